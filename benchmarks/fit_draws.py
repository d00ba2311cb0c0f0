"""Fit Gaussian processes to many random draws of labels, failures among them, and tell which could not be fitted.

python benchmarks/fit_draws.py --draws 1000 --predictor gp-plain
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from tqdm import tqdm

from nplib import sources
from nplib.errors import UserError
from nplib.gp import GPConfig

FEWEST, MOST = 3, 860
KINDS = ("gp", "gp-plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="one-run", help="whose labels (default one-run)")
    parser.add_argument("--draws", type=int, default=1000, help="of 3 to 860 labels each (default 1000)")
    parser.add_argument("--predictor", choices=KINDS, action="append", help="which (default both)")
    options = parser.parse_args()
    benchmark = sources.load(options.data)
    # A failed run as it is: the hardest labels that there are.
    labels = benchmark.values(benchmark.label_metric)
    sizes = np.geomspace(FEWEST, MOST, options.draws).round().astype(int)
    for name in options.predictor or KINDS:
        config, failed, odd, started = GPConfig.named(name), [], 0, time.perf_counter()
        for draw, size in enumerate(tqdm(sizes, desc=name, unit="draw")):
            cells = np.random.default_rng(draw).choice(len(benchmark), size, replace=False)
            try:
                fit = config.fit(benchmark.cells[cells], labels[cells], [draw])
                odd += not np.isfinite(fit.predict(benchmark.cells[:200])).all()
            except UserError as error:
                failed.append((size, str(error)))
        seconds = time.perf_counter() - started
        print(f"{name}: {len(sizes)} draws in {seconds:.0f} s, {len(failed)} not fitted, {odd} predict no number")
        for size, error in failed[:5]:
            print(f"  {size} labels: {error}")


if __name__ == "__main__":
    main()

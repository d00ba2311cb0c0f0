"""Time training on a graphics card by how many predictors train as one, against the processor in the same run.

python benchmarks/bench_gpu.py --seeds 10 100 1000
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from nplib import training
from nplib.predictor import PredictorConfig
from nplib.space import load_space
from nplib.training import TrainingConfig, choose_device, fit_predictors

TRAINED = 172


def step_ms(device: torch.device, count: int, config: TrainingConfig) -> tuple[float, float, np.ndarray]:
    """Milliseconds a step and predictor, of so many that train as one; most GB used on the device; predictions."""
    space = load_space()
    random = np.random.default_rng(0)
    cells = random.permutation(len(space))[:TRAINED]
    accuracies = np.full(len(space), np.nan)
    accuracies[cells] = random.normal(0.908, 0.024, TRAINED)

    def fit(settings: TrainingConfig) -> training.Fit:
        return fit_predictors(space.cells, accuracies, range(count), settings, training_cells=cells, device=device)

    fit(TrainingConfig(epochs=1, predictor=config.predictor))  # what is loaded once is no part of a step
    on_card = device.type == "cuda"
    if on_card:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    found = fit(config)  # its predictors are on the processor: all has been computed
    seconds = time.perf_counter() - start
    steps = config.epochs * (TRAINED // config.batch_size)
    used = torch.cuda.max_memory_allocated(device) / 1e9 if on_card else float("nan")
    return seconds / steps / count * 1e3, used, found.predict(space.cells[cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps, or cpu to try this out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 100, 1000], help="predictors that train as one")
    parser.add_argument("--epochs", type=int, default=30, help="of each training (default 30)")
    parser.add_argument("--hidden", type=int, default=144, help="width (default 144)")
    options = parser.parse_args()

    device = choose_device(options.device)
    config = TrainingConfig(epochs=options.epochs, predictor=PredictorConfig(hidden=options.hidden))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    base, _, expected = step_ms(torch.device("cpu"), min(options.seeds), config)
    print(f"torch {torch.__version__}; {name}; the processor: {torch.get_num_threads()} threads")
    print(f"the processor, {min(options.seeds)} predictors: {base:.4f} ms a step and predictor")
    for count in options.seeds:
        found, used, predicted = step_ms(device, count, config)
        away = np.abs(predicted[: len(expected)] - expected).max()
        print(
            f"{name}, {count} as one: {found:.4f} ms a step and predictor, {base / found:.1f}x the processor, "
            f"{used:.2f} GB at most; predictions differ by {away:.1e} at most"
        )


if __name__ == "__main__":
    main()

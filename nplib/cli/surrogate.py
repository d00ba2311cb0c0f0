"""``nplib surrogate``: make the surrogate's files, fit it anew, and tell how good it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nplib.cli.common import Data, Overwrite, Results, Seed, load, refuse_early, waiting


def surrogate() -> None:
    """A model of NASBench-101 for who has no 1.95 GB of measurements.

    All 423,624 cells, three runs at each budget, drawn from a model
    that was fitted to one real run of every cell and more of 20,001.
    Nothing of it is a measurement, and every file says so.
    """


def make(
    target: Annotated[Path, typer.Argument(metavar="DST", help="HDF5 file to write, 202 MB.")],
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write the surrogate as HDF5, in the reference's layout.

    Nothing needs this: --data surrogate makes and keeps its own. Other
    seeds give other runs of the same cells.
    """
    out = Results(files=[target], overwrite=overwrite)
    from nplib.sources.surrogate import make_surrogate

    with waiting("making the surrogate"):
        benchmark = make_surrogate(seed)
        benchmark.save(target, overwrite)
    out.say(f"{target}: {len(benchmark):,} cells; {benchmark.labels}")


def records(
    target: Annotated[Path, typer.Argument(metavar="DST", help="tfrecord file to write.")],
    cells: Annotated[
        int,
        typer.Option(metavar="NUMBER", min=1, max=423_624, help="How many cells, drawn at random; 12 records each."),
    ] = 20_000,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write surrogate cells in the official format, a tfrecord to try conversion on.

    About 5 MB a thousand cells. The order of records is that of cells,
    budgets and runs.
    """
    out = Results(files=[target], overwrite=overwrite)
    import numpy as np
    from tqdm import tqdm

    from nplib.benchmark import BUDGETS, RUNS
    from nplib.records.export import records_of
    from nplib.records.record import write_records
    from nplib.sources.surrogate import load_surrogate

    with waiting("opening the surrogate"):
        benchmark = load_surrogate(seed)
    chosen = np.random.default_rng(seed).permutation(len(benchmark))[:cells]
    total = cells * len(BUDGETS) * RUNS
    lines = tqdm(records_of(benchmark, chosen), total=total, unit=" records", unit_scale=True, leave=False)
    count = write_records(target, lines, overwrite)
    out.say(f"{target}: {count:,} records of {cells:,} cells, surrogate results, not measurements")


def fit(
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write surrogate.npz and surrogate.json.")
    ] = Path("."),
    data: Data = "sample",
    one_run: Annotated[
        str, typer.Option(metavar="DATA", help="One run of every cell: one-run, or the path of its .npy.")
    ] = "one-run",
    overwrite: Overwrite = False,
) -> None:
    """Fit the surrogate to real results, minutes, and tell how good it is.

    To use what was fitted, put both files in place of those shipped with
    nplib.
    """
    refuse_early(data)
    refuse_early(one_run)
    from nplib.sources.surrogate import make_surrogate, read_model
    from nplib.studies.surrogate_fit import fit_surrogate
    from nplib.studies.surrogate_report import compare, measure_predictor, table

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    runs = load(one_run)
    fit_surrogate(load(data), runs, folder, overwrite=overwrite, watch=tell)
    model = read_model(folder)
    tell("the report")
    benchmark = make_surrogate(0, model)
    print(table(compare(benchmark, model, measure_predictor(benchmark, model), runs)).to_string(index=False))


def report(
    seed: Seed = 0,
    draws: Annotated[
        int,
        typer.Option(metavar="NUMBER", min=1, max=10, help="Draws of 172 cells that the predictor learns from."),
    ] = 10,
) -> None:
    """Tell how good the shipped surrogate is, figure by figure."""
    from nplib.sources.surrogate import load_surrogate, read_model
    from nplib.studies.surrogate_report import compare, find_one_run, measure_predictor, table

    with waiting("comparing; a minute"):
        benchmark, model = load_surrogate(seed), read_model()
        lines = compare(benchmark, model, measure_predictor(benchmark, model, draws), find_one_run())
    print(table(lines).to_string(index=False))
    missed = sum(line.verdict == "no" for line in lines)
    asked = sum(line.verdict != "" for line in lines)
    print(f"{asked - missed} of {asked} figures are as near as asked for")

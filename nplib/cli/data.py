"""``nplib data``, ``nplib convert`` and ``nplib split``: results, and which cells to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nplib.cli.common import Data, Overwrite, Results, load, refuse_early, waiting


def data(
    download: Annotated[
        Literal["full", "only108", "one-run", "sample"] | None,
        typer.Option(
            metavar="NAME", help="Get it: full (1.95 GB), only108 (499 MB), one-run (3.4 MB) or sample (2.9 MB)."
        ),
    ] = None,
) -> None:
    """Show which results are here, and which of them auto would take.

    They lie in the folder NPLIB_DATA, or else in data; NPLIB_ONE_RUN and
    NPLIB_SAMPLE may name files of theirs. A download that was cut goes on
    where it stopped. The surrogate is always here: results of a model, no
    measurements. The sample is taken only when it is named.
    """
    from nplib import sources

    if download in ("one-run", "sample"):
        sources.load(download, progress=True)
    elif download is not None:
        sources.fetch_full(which=download, progress=True)
    out = Results()
    found = sources.find("auto")
    for source in found:
        out.say(f"{source.name:<10} {source.state:<12} {source.where}")
    taken = next(source for source in found if source.state != "missing")
    out.say(f"auto takes {taken.name}" + ("" if taken.is_here else ", or else the surrogate without a network"))


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="nasbench_full.tfrecord or nasbench_only108.tfrecord.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="HDF5 file to write, for instance data/nasbench.hdf5.")],
    overwrite: Overwrite = False,
    verify_hashes: Annotated[
        bool, typer.Option("--verify-hashes/--no-verify-hashes", help="Check that each cell's hash is its graph's.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Convert an official tfrecord file to the HDF5 that everything else reads.

    Every record's checksums are verified. DST is written whole or not
    at all.
    """
    out = Results(files=[target], overwrite=overwrite)
    from nplib.convert import convert_tfrecord

    done = convert_tfrecord(source, target, overwrite=overwrite, verify_hashes=verify_hashes, progress=not quiet)
    if not quiet:
        out.say(
            f"{done.target}: {done.cells:,} cells from {done.records:,} records ({done.source_name}), "
            f"{done.seconds:.1f} s, {done.records_per_second:,.0f} records/s"
        )


def split(
    data: Data = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.npz", help="File to write; train.npz beside the data by default."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the splits that predictors train on and are held against, and show their sizes.

    172, 334, 860 and others are the first cells of random permutations;
    denoise-91 and denoise-80 leave out cells at or below 91 % and 80 %;
    91-172 is what both have. The reference's code reads the file too.
    """
    from nplib import sources
    from nplib.splits import make_splits, save_splits

    output = sources.data_folder() / "train.npz" if output is None else output
    out = Results(files=[output], overwrite=overwrite)
    refuse_early(data)
    benchmark = load(data)
    with waiting("drawing the splits"):
        splits = make_splits(benchmark)
        save_splits(output, splits, overwrite)
    out.say(f"{output}: splits of {len(benchmark):,} cells ({benchmark.source})")
    for name, indices in splits.items():
        out.say(f"  {name:<12} {len(indices):>8,} cells")

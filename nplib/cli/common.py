"""What commands share: every option, declared once; what is refused at once; and the one way out.

An option that several commands have is a type here, so that it has the same name, limits and help in all of them.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from tqdm import tqdm

from nplib.errors import UserError, printable

if TYPE_CHECKING:
    import numpy as np

    from nplib.benchmark import Benchmark
    from nplib.space import Space

Number = TypeVar("Number", int, float)


def _numbers(kind: type[Number]) -> Callable[[str], tuple[Number, ...]]:
    """What reads an option that lists numbers."""

    def read(text: str) -> tuple[Number, ...]:
        try:
            return tuple(dict.fromkeys(kind(part) for part in text.split(",")))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise typer.BadParameter(f"{text!r}; give {what} with commas between them, and no spaces") from None

    return read


def _setting(kind: type[Number], metavar: str, *names: str, about: str, least: Number | None = None) -> tuple:
    """An option of one number, and the same one where several numbers may be tried."""
    one = typer.Option(*names, metavar=metavar, min=least, help=f"{about}.")
    listed = f"{metavar},{metavar},..."
    several = typer.Option(*names, metavar=listed, parser=_numbers(kind), help=f"{about}; or several to choose from.")
    return Annotated[kind, one], Annotated[tuple, several]


def _use_scheduler(address: str | None) -> str | None:
    """Let all that is computed go to a cluster, by notebooks too."""
    if address:
        from nplib._workers import SCHEDULER, check_scheduler

        check_scheduler(address)
        os.environ[SCHEDULER] = address
    return address


Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="Results to use: a name that nplib data lists; auto, the best that is here; or a path to an .hdf5, a "
        ".tfrecord or the sample's .json.",
    ),
]
TrainSplit = Annotated[
    str,
    typer.Option("--train-split", metavar="SPLIT", help="Cells to learn from: 172, 43, 91-172, ... (see nplib split)."),
]
EvalSplit = Annotated[
    str,
    typer.Option("--eval-split", metavar="SPLIT", help="Cells to be held against: all, denoise-91, denoise-80, ..."),
]
SplitFile = Annotated[
    Path | None,
    typer.Option("--split-file", metavar="FILE.npz", help="Take splits from this file, of nplib split or your own."),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="NUMBER", min=0, help="First seed of all that is random; the same, the same.")
]
Seeds = Annotated[
    int, typer.Option("--seeds", metavar="NUMBER", min=1, help="How many seeds, all at once: --seed, the next, ...")
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where graph networks train: auto, cpu, cuda, cuda:1, mps.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        envvar="NPLIB_SCHEDULER",
        callback=_use_scheduler,
        help="Work on a Dask cluster whose scheduler is there, as tcp://host:8786.",
    ),
]
Hidden, Hiddens = _setting(
    int, "CHANNELS", "--hidden", "--gcn-hidden", about="Width of the graph convolutions", least=1
)
LearningRate, LearningRates = _setting(
    float, "RATE", "--lr", "--learning-rate", about="Adam's learning rate at the start; it falls to 0"
)
Epochs, EpochNumbers = _setting(int, "NUMBER", "--epochs", about="Passes over the training cells", least=1)
Dropout, Dropouts = _setting(float, "SHARE", "--dropout", about="Share of values dropped in training, below 1")
WeightDecay = Annotated[
    float, typer.Option("--wd", "--weight-decay", metavar="FACTOR", help="L2 penalty, added to the gradient.")
]
BatchSize = Annotated[int, typer.Option("--train-batch-size", metavar="CELLS", min=1, help="Cells a training step.")]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE.safetensors",
        help="Write the trained weights, for nplib predict; of several seeds one file each, FILE-SEED.",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE.csv", help="Write the cells as a table.")]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw them (.png, .svg or .pdf).")]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write everything as JSON; - for the standard output, with no other."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
Predictor = Literal["gcn", "gp", "gp-plain"]

# What only a graph network has.
NETWORK = ("hidden", "learning_rate", "epochs", "dropout", "weight_decay", "batch_size")
NO_NETWORK = "a Gaussian process has no such setting; leave it out, or choose --predictor gcn"
PICTURES = (".png", ".svg", ".pdf")
QUIET_SECONDS = 1.0  # that may pass before what takes long is named


def refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that were given, and that mean nothing beside the others."""
    given = [
        param.opts[0]
        for param in context.command.params
        if param.name in names and context.get_parameter_source(param.name).name != "DEFAULT"
    ]
    if given:
        raise UserError(f"{', '.join(given)}: {why}")


def refuse_early(
    data: str = "auto", device: str = "auto", splits: Sequence[str] = (), split_file: Path | None = None
) -> None:
    """Refuse what can be told by names alone, before anything is imported that takes seconds.

    Raises:
        UserError:
    """
    from nplib import sources
    from nplib.splits import NAMES, BadSplits, pick_split

    if data != "auto":
        sources.locate(data)
    why = None if re.fullmatch(r"auto|cpu|(cuda|mps|xpu|hpu|xla)(:\d+)?", device) else "there is none of that name"
    if device.startswith("cuda") and sys.platform == "linux" and not _has_driver():
        why = "there is no driver of a graphics card"
    if why:
        raise UserError(f"device {device!r} cannot be used here: {why}; try auto or cpu")
    known = NAMES if split_file is None else _names_in(split_file)
    for name in splits:
        if split_file is not None:
            pick_split(dict.fromkeys(known), name, str(split_file))
        elif name not in known:
            raise BadSplits(f"no split is called {name!r}; there are {', '.join(known)}")


def _has_driver() -> bool:
    """Whether there is what every graphics card needs; AMD's counts as CUDA."""
    try:
        return bool(ctypes.CDLL("libcuda.so.1"))
    except OSError:
        return os.path.exists("/dev/kfd")


def _names_in(split_file: Path) -> list[str]:
    """The splits of a file, which is told to be none of splits if it is."""
    from nplib._files import expand
    from nplib.splits import load_splits

    split_file = expand(split_file)
    try:
        with zipfile.ZipFile(split_file) as stored:
            return [*(name.removesuffix(".npy") for name in stored.namelist()), "all"]
    except (OSError, zipfile.BadZipFile):
        return list(load_splits(split_file, 0))


def load(data: str) -> Benchmark:
    """The results that an option names."""
    from nplib import sources

    with waiting("opening the results"):
        return sources.load(data, progress=True, say=lambda line: tqdm.write(printable(line), file=sys.stderr))


def cells_of(benchmark: Benchmark, name: str, split_file: Path | None) -> np.ndarray:
    """The cells of a split, by options."""
    from nplib.splits import load_splits, pick_split, split_indices

    if split_file is None:
        return split_indices(benchmark, name)
    return pick_split(load_splits(split_file, len(benchmark)), name, str(split_file))


def described(benchmark: Benchmark) -> dict[str, object]:
    """What results are, as JSON can hold it."""
    return {name: getattr(benchmark, name) for name in ("source", "labels", "sha256")} | {"cells": len(benchmark)}


def counted(number: int, what: str) -> str:
    """A number of things, in words: ``1 seed``, ``2 seeds``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Say what is being done, if it takes more than a moment."""
    done = threading.Event()

    def tell() -> None:
        if not done.wait(QUIET_SECONDS):
            tqdm.write(f"{for_what} ...", file=sys.stderr)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


class Results:
    """The one way out of a command: files first, words after them, so that nothing that happens to words undoes files.

    Args:
        json_file (Path or None): Of everything as JSON. ``-``: the standard output, which then has nothing else.
        files (iterable of Path or None): Whatever else is to be written.

    Raises:
        UserError: If one of them could not be written; told before any work is done.
    """

    def __init__(
        self,
        json_file: Path | None = None,
        picture: Path | None = None,
        files: Iterable[Path | None] = (),
        overwrite: bool = False,
    ) -> None:
        from nplib._files import check_target

        self.json_file, self.picture, self.overwrite = json_file, picture, overwrite
        self.to_stdout = json_file is not None and str(json_file) == "-"
        self._written: list[str] = []
        self._failed: list[str] = []
        self._report = ""
        if picture is not None and picture.suffix not in PICTURES:
            raise UserError(f"--picture names {picture}; its ending must be one of {', '.join(PICTURES)}")
        named = filter(None, [*files, picture, None if self.to_stdout else json_file])
        self.targets = [check_target(file, overwrite).resolve() for file in named]
        if len(set(self.targets)) < len(self.targets):
            raise UserError("two files to write have the same name; give each its own")

    def say(self, line: str) -> None:
        """Tell a person something, wherever the report as JSON is not."""
        tqdm.write(printable(line), file=sys.stderr if self.to_stdout else sys.stdout)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Tell rows of columns: the first from the left, all others, figures, from the right."""
        lines = [[str(value) for value in row] for row in (head, *rows)]
        first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
        for name, *texts in lines:
            cells = (f"{text:>{width + 2}}" for text, width in zip(texts, widths, strict=True))
            self.say(f"{name:<{first}}{''.join(cells)}".rstrip())

    def by_seed(self, seeds: Sequence[int], figures: Mapping[str, Sequence], style: str) -> None:
        """Tell a row a seed, and means with standard deviations, of figures by their heads; texts have no mean."""
        from nplib.metrics import summarize

        columns = []
        for values in figures.values():
            if isinstance(values[0], str):
                columns.append([*values, ""])
            else:
                columns.append([*(format(value, style) for value in values), format(summarize(values), style)])
        rows = list(zip([*seeds, "mean ± sd"], *columns, strict=True))
        self.table(["seed", *figures], rows if len(seeds) > 1 else rows[:1])

    def cell(self, cells: Benchmark | Space, index: int) -> None:
        """Tell what a cell is made of."""
        cell = cells.cell(index)
        self.say(f"  {cells.hashes[index].decode()}")
        self.say(f"  operations: {', '.join(cell.operations)}")
        self.say(f"  edges: {' '.join(f'{u}->{v}' for u, v in cell.edges)}")

    def about(self, benchmark: Benchmark) -> None:
        """Tell which results are used."""
        self.say(f"data: {benchmark.source}, {len(benchmark):,} cells; {benchmark.labels}")

    def whose(self, benchmark: Benchmark) -> None:
        """Tell of figures that follow that nobody measured them, if so."""
        from nplib.benchmark import SURROGATE

        if benchmark.source == SURROGATE:
            self.say(f"Figures on the surrogate, {benchmark.kind}:")

    def write(self, what: str, target: Path | None, make: Callable[[Path], object]) -> None:
        """Write a file, if one is asked for. That it cannot be written keeps nothing else from being so."""
        if target is None:
            return
        try:
            make(target)
        except (UserError, OSError) as error:
            text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._failed.append(f"{target} cannot be written: {text}")
        else:
            self._written.append(f"{what}: {target}")

    def draw(self, source: Benchmark | str, figure: Callable[[ModuleType], Any]) -> None:
        """Draw the picture that a function makes of :mod:`nplib.plots`, if one is asked for, in the book's style."""

        def make(target: Path) -> None:
            os.environ["MPLBACKEND"] = "Agg"  # a file is drawn, whatever windows the user's matplotlib opens
            from nplib import plots
            from nplib._files import replacing

            with plots.showing(source), replacing(target, self.overwrite) as partial:
                plots.use_style(source)
                figure(plots).savefig(partial, format=target.suffix[1:])

        with waiting("drawing"):
            self.write("picture", self.picture, make)

    def json(self, report: Mapping[str, object] | Callable[[], Mapping[str, object]]) -> None:
        """Write the report, if one is asked for; to the standard output when all is done."""
        if self.json_file is None:
            return
        from nplib._files import write_json

        report = report() if callable(report) else report
        if self.to_stdout:
            self._report = json.dumps(report, indent=1)
        else:
            self.write("report", self.json_file, lambda target: write_json(target, report, self.overwrite))

    def end(self) -> None:
        """Tell which files were written.

        Raises:
            UserError: If one could not be.
        """
        for line in self._written:
            self.say(line)
        if self.to_stdout:
            print(self._report)
        if self._failed:
            raise UserError("; ".join(self._failed))

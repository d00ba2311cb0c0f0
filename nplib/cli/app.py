"""The command line: ``nplib COMMAND``. What a command needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

import nplib
from nplib.cli.search import search
from nplib.cli.surrogate import surrogate_app
from nplib.cli.validate import validate
from nplib.errors import UserError

if TYPE_CHECKING:
    from nplib.publish.kernels import Step

DATA_HELP = (
    "full, surrogate or sample; auto takes full if it is here, else surrogate; or a path to an .hdf5, .tfrecord or the "
    "sample's .json."
)
Download = Literal["full", "only108", "one-run", "sample"]
SecondStage = Literal["passing", "accepted"]
Data = Annotated[str, typer.Option("--data", metavar="SOURCE", help=f"Results to use. {DATA_HELP}")]


class _Commands(TyperGroup):
    """Turns errors that a user can mend into one message, and Ctrl-C into a short line."""

    def invoke(self, context: typer.Context) -> object:
        try:
            return super().invoke(context)
        except (UserError, OSError) as error:
            if context.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("\ninterrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(surrogate_app, name="surrogate", rich_help_panel=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(nplib.__version__)
        raise typer.Exit


@app.callback()
def nplib_command(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,
) -> None:
    """Neural Predictor for Neural Architecture Search, reproduced on NASBench-101.

    [bold]nplib data[/bold] shows which results are here.

    [bold]nplib train[/bold] trains a predictor on 172 cells and tells how well it does.

    [bold]nplib book[/bold] runs every notebook and builds the book.
    """


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(nplib.__version__)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="nasbench_full.tfrecord or nasbench_only108.tfrecord.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="HDF5 file to write, for instance data/nasbench.hdf5.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST if it is there.")] = False,
    verify_hashes: Annotated[
        bool, typer.Option("--verify-hashes/--no-verify-hashes", help="Check that each cell's hash is its graph's.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Convert an official tfrecord file to the HDF5 that everything else reads.

    Every record's checksums are verified. DST is written whole or not
    at all.
    """
    from nplib.convert import convert_tfrecord

    done = convert_tfrecord(source, target, overwrite=overwrite, verify_hashes=verify_hashes, progress=not quiet)
    if not quiet:
        typer.echo(
            f"{done.target}: {done.cells:,} cells from {done.records:,} records ({done.source_name}), "
            f"{done.seconds:.1f} s, {done.records_per_second:,.0f} records/s"
        )


@app.command()
def data(
    download: Annotated[
        Download | None,
        typer.Option(help="Get it: full (1.95 GB), only108 (499 MB), one-run (3.4 MB), sample (2.9 MB)."),
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
    found = sources.find("auto")
    for source in found:
        typer.echo(f"{source.name:<10} {source.state:<12} {source.where}")
    taken = next(source for source in found if source.state != "missing")
    typer.echo(f"auto takes {taken.name}" + ("" if taken.is_here else ", or else the surrogate without a network"))


@app.command()
def split(
    data: Data = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("data/train.npz"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write the splits that predictors train on and are held against, and show their sizes.

    172, 334, 860 and others are the first cells of random permutations;
    denoise-91 and denoise-80 leave out cells at or below 91 % and 80 %;
    91-172 is what both have. The reference's code reads the file too.
    """
    from nplib import sources
    from nplib._files import check_target
    from nplib.splits import make_splits, save_splits

    check_target(output, overwrite)
    benchmark = sources.load(data, progress=True)
    splits = make_splits(benchmark)
    save_splits(output, splits, overwrite)
    typer.echo(f"{output}: splits of {len(benchmark):,} cells ({benchmark.source})")
    for name, indices in splits.items():
        typer.echo(f"  {name:<12} {len(indices):>8,} cells")


@app.command(context_settings={"token_normalize_func": lambda name: name.replace("_", "-")})
def train(
    train_split: Annotated[
        str, typer.Option(help="Cells to train on: 172, 334, 860, 91-172, ... (see nplib split).")
    ] = "172",
    eval_split: Annotated[str, typer.Option(help="Cells to evaluate on: all, denoise-91, denoise-80, ...")] = "all",
    predictor: Annotated[
        Literal["gcn", "gp"], typer.Option(help="Graph network, or Gaussian process: better, and in a second.")
    ] = "gcn",
    gcn_hidden: Annotated[int, typer.Option(min=1, help="Width of the graph convolutions.")] = 144,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, trained together: --seed, the next, ...")] = 1,
    train_batch_size: Annotated[int, typer.Option(min=1, help="Cells a training step.")] = 10,
    test_batch_size: Annotated[int, typer.Option(min=1, help="Cells predicted at a time; changes no figure.")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training cells.")] = 300,
    learning_rate: Annotated[float, typer.Option("--lr", "--learning-rate", help="Adam's, at the start.")] = 1e-4,
    weight_decay: Annotated[float, typer.Option("--wd", "--weight-decay", help="L2, added to the gradient.")] = 1e-3,
    train_print_freq: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Show the training loss every so many epochs; 0: never.")
    ] = 0,
    eval_print_freq: Annotated[
        int,
        typer.Option(min=0, metavar="EPOCHS", help="Evaluate every so many epochs while training; 0: at the end only."),
    ] = 0,
    visualize: Annotated[
        bool, typer.Option("--visualize", help="Draw predicted against true accuracy of the first seed.")
    ] = False,
    picture: Annotated[Path, typer.Option(help="Where --visualize draws to (.png, .svg or .pdf).")] = Path(
        "predicted_against_true.png"
    ),
    data: Data = "auto",
    split_file: Annotated[
        Path | None, typer.Option(help="Take the splits from this file (nplib split, or your own) instead.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures as JSON; - for the standard output."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save the weights (.safetensors); with several seeds, FILE-SEED.safetensors."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    two_stage: Annotated[
        bool,
        typer.Option("--two-stage", help="First a classifier (lr 2e-4), then a predictor for what it accepts (--lr)."),
    ] = False,
    second_stage: Annotated[
        SecondStage | None,
        typer.Option(help="What that learns from: training cells truly passing (default), or accepted."),
    ] = None,
    decision: Annotated[
        float | None, typer.Option(metavar="PROBABILITY", help="Accept cells from this probability on; 0.5.")
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Choose that from held-out folds, to keep this share of the passing."),
    ] = None,
    above: Annotated[
        float | None, typer.Option(metavar="ACCURACY", help="A cell passes if its accuracy is above; 0.91.")
    ] = None,
) -> None:
    """Train predictors and tell their error (MSE, points²) and Kendall tau.

    Defaults are the reference's. Its spellings with underscores, such
    as --train_split, work too. Examples:

    nplib train --train-split 172 --eval-split all --seeds 10

    nplib train --train-split 91-172 --eval-split denoise-91 --lr 2e-4

    nplib train --two-stage --recall 0.95 --seeds 10

    nplib train --predictor gp --train-split 43
    """
    from nplib.cli.train import TrainOptions, run_train

    options = {
        "train_split": train_split,
        "eval_split": eval_split,
        "predictor": predictor,
        "hidden": gcn_hidden,
        "seeds": tuple(range(seed, seed + seeds)),
        "train_batch_size": train_batch_size,
        "test_batch_size": test_batch_size,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "train_print_freq": train_print_freq,
        "eval_print_freq": eval_print_freq,
        "picture": picture if visualize else None,
        "data": data,
        "split_file": split_file,
        "device": device,
        "json_file": json_file,
        "save": save,
        "overwrite": overwrite,
    }
    own = {"second_stage": second_stage, "decision": decision, "recall": recall, "above": above}
    own = {name: value for name, value in own.items() if value is not None}
    if two_stage:
        from nplib.cli.two_stage import TwoStageOptions, run_two_stage

        run_two_stage(TwoStageOptions(**options, **own))
    elif own:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        raise typer.BadParameter("it is for --two-stage; add that, or leave it out", param_hint=names)
    else:
        run_train(TrainOptions(**options))


for of_own_module in (validate, search):
    app.command(context_settings={"token_normalize_func": lambda name: name.replace("_", "-")})(of_own_module)


@app.command()
def book(
    data: Data = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer seeds and repeats; every page says so.")] = False,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="For every notebook that has the name; repeatable."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run notebooks whose inputs did not change, too.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NOTEBOOK", help="Run this one, such as 04_train, and build no pages; repeatable."
        ),
    ] = None,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Build the pages when the notebooks have run.")] = True,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Notebooks at a time; as many as cores and free memory allow if not given."),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The book's folder; the current one or one above it if not given."),
    ] = None,
) -> None:
    """Run the notebooks, several at a time, and build the book, into _build/html.

    A notebook whose cells, parameters, data and code are those of its
    last run is not run again. If one fails the others end and no pages
    are built; what it had done until then is kept in _build/partial.
    """
    from nplib.publish.build import build_book

    index = build_book(
        project,
        data=data,
        quick=quick,
        parameters=_pairs(parameters or []),
        only=only or (),
        force=force,
        jobs=jobs,
        html=html,
        watch=_Lines(),
        progress=True,
    )
    if index is not None:
        typer.echo(f"the book: {index}")


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{text!r} is not of the form name=value", param_hint="-p")
        if name.strip() in pairs:
            raise typer.BadParameter(f"{name.strip()} is given twice", param_hint="-p")
        pairs[name.strip()] = value
    return pairs


class _Lines:
    """One line on stderr for each step that ended; on a terminal, one more counts the cells of those that run."""

    def __init__(self) -> None:
        self.running: dict[str, Step] = {}

    def __call__(self, step: Step) -> None:
        live = sys.stderr.isatty()
        text = ""
        if step.state == "running":
            self.running[step.name] = step
        else:
            self.running.pop(step.name, None)
            seconds = f"{step.seconds:7.1f} s" if step.seconds else " " * 9
            text = f"{step.name:<24} {step.state:<10}{seconds}  {step.reason}".rstrip() + "\n"
        if live:
            at = (f"{name} {one.cell}/{one.cells}".removesuffix(" 0/0") for name, one in self.running.items())
            text = f"\r\x1b[2K{text}{'   '.join(at)[: shutil.get_terminal_size().columns - 1]}"
        sys.stderr.write(text)
        sys.stderr.flush()


def main() -> None:
    """The console script."""
    try:
        app(prog_name="nplib")
    except KeyboardInterrupt:
        typer.echo("\ninterrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

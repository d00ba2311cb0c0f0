"""``nplib book``: notebooks and pages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nplib.cli.common import Data, Results, Scheduler
from nplib.errors import printable

if TYPE_CHECKING:
    from nplib.publish.kernels import Step


def book(
    data: Data = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer seeds and repeats; every page says so.")] = False,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="For every notebook that has the name; repeatable."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run all notebooks, and train all anew.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NOTEBOOK", help="Run this one, such as 04_train, and build no pages; repeatable."
        ),
    ] = None,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Build the pages when the notebooks have run.")] = True,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", min=1, help="Notebooks at a time; as many as cores and free memory allow if not given."
        ),
    ] = None,
    scheduler: Scheduler = None,
    keep_record: Annotated[
        bool, typer.Option("--record", help="Keep what a whole build of real data found, for the front page.")
    ] = False,
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
    if keep_record:
        from nplib.publish.findings import record
        from nplib.publish.project import find_project

        root = find_project(project or ".")
        Results().say(f"recorded: {record(root / '_build' / 'results', root)}")
    if index is not None:
        Results().say(f"the book: {index}")


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
    """A line on stderr for each step that ended; one more counts the cells of those that run, or names what begins."""

    def __init__(self) -> None:
        self.running: dict[str, Step] = {}

    def __call__(self, step: Step) -> None:
        live = sys.stderr.isatty()
        text = ""
        if step.state == "running":
            if step.name not in self.running and not live:
                text = f"{step.name:<24} begins\n"
            self.running[step.name] = step
        else:
            self.running.pop(step.name, None)
            seconds = f"{step.seconds:7.1f} s" if step.seconds else " " * 9
            text = f"{step.name:<24} {step.state:<10}{seconds}  {printable(step.reason)}".rstrip() + "\n"
        if live:
            at = (f"{name} {one.cell}/{one.cells}".removesuffix(" 0/0") for name, one in self.running.items())
            text = f"\r\x1b[2K{text}{'   '.join(at)[: shutil.get_terminal_size().columns - 1]}"
        sys.stderr.write(text)
        sys.stderr.flush()

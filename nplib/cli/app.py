"""The commands of ``nplib``, gathered. What a command needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

import nplib
from nplib.cli.book import book
from nplib.cli.cells import cells
from nplib.cli.data import convert, data, split
from nplib.cli.predict import predict
from nplib.cli.search import search
from nplib.cli.surrogate import fit, make, records, report, surrogate
from nplib.cli.train import train
from nplib.cli.validate import validate
from nplib.errors import UserError, printable


class _PlainHelp:
    """Help in which a switch is not said to take a value."""

    def get_params(self, context: typer.Context) -> list:
        params = super().get_params(context)
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class _Command(_PlainHelp, TyperCommand):
    pass


class _Group(_PlainHelp, TyperGroup):
    """Turns errors that a user can mend into one message."""

    def invoke(self, context: typer.Context) -> object:
        try:
            return super().invoke(context)
        except (UserError, OSError, MemoryError) as error:
            if context.find_root().params.get("debug"):
                raise
            if isinstance(error, MemoryError):
                error = f"there is not enough memory for this ({error or 'none is left'}); close what else takes some"
            print(f"error: {printable(str(error))}", file=sys.stderr)
            raise typer.Exit(1) from None


class _Warnings(logging.StreamHandler):
    """Warnings of the package on stderr, with what would steer a terminal written out."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


SETTINGS = {
    "help_option_names": ["-h", "--help"],
    # The reference's spellings, such as --train_split, name the same options.
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
OPTIONS = {"cls": _Group, "no_args_is_help": True, "rich_markup_mode": "rich", "context_settings": SETTINGS}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, **OPTIONS)
surrogate_app = typer.Typer(**OPTIONS)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(nplib.__version__)
        raise typer.Exit


@app.callback()
def nplib_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,
) -> None:
    """Neural Predictor for Neural Architecture Search, reproduced on NASBench-101.

    [bold]nplib data[/bold] shows which results are here.

    [bold]nplib train[/bold] trains a predictor on 172 cells and tells how well it does.

    [bold]nplib cells[/bold] shows the best cells, [bold]nplib search[/bold] finds them with few trainings.

    [bold]nplib book[/bold] runs every notebook and builds the book.
    """
    logger, handler = logging.getLogger("nplib"), _Warnings(sys.stderr)
    logger.addHandler(handler)
    context.call_on_close(lambda: logger.removeHandler(handler))


for command in (data, convert, split, cells, train, predict, validate, search, book):
    app.command(cls=_Command)(command)
surrogate_app.callback()(surrogate)
for command in (make, records, fit, report):
    surrogate_app.command(cls=_Command)(command)
app.add_typer(surrogate_app, name="surrogate")

"""The command ``nplib``."""

from nplib.cli.app import main

__all__ = ["main"]

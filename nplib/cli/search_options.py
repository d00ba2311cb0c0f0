"""The options of ``nplib search``, and what of them cannot be."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nplib._files import check_target
from nplib.cli.train import PICTURE_SUFFIXES
from nplib.errors import UserError
from nplib.search.proposers import DEFAULT_GP, PREDICTORS
from nplib.search.trainings import BadSearch
from nplib.space import SPACE_SIZE
from nplib.training import choose_device, paper_config

SHARE_FIRST = 0.5  # of a budget, that is trained at random where nobody says how much


@dataclass(frozen=True)
class SearchOptions:
    """The options of ``nplib search``; :mod:`nplib.cli.search` explains them."""

    budget: int
    first: int | None = None
    predictor: str = "gp"
    rounds: int = 1
    seeds: tuple[int, ...] = (0,)
    data: str = "auto"
    device: str = "auto"
    plan: Path | None = None
    labels: Path | None = None
    output: Path | None = None
    picture: Path | None = None
    json_file: Path | None = None
    overwrite: bool = False

    @property
    def to_stdout(self) -> bool:
        """Whether the report as JSON is what the standard output is for."""
        return self.json_file is not None and str(self.json_file) == "-"

    @property
    def num_first(self) -> int:
        """N, the cells trained at random."""
        return max(1, round(SHARE_FIRST * self.budget)) if self.first is None else self.first

    def say(self, line: str) -> None:
        """Tell a person something, wherever the report as JSON is not."""
        tqdm.write(line, file=sys.stderr if self.to_stdout else sys.stdout)

    def check(self) -> None:
        """Refuse what cannot be, as far as that can be told before anything is loaded.

        Raises
        ------
        UserError
            If options do not fit together, or a file could not be written.
        """
        self._check_counts()
        self._check_mode()
        if self.predictor not in PREDICTORS:
            raise UserError(f"no predictor is called {self.predictor!r}; there are {', '.join(PREDICTORS)}")
        if self.picture is not None and self.picture.suffix not in PICTURE_SUFFIXES:
            raise UserError(f"--picture names {self.picture}; its ending must be one of {', '.join(PICTURE_SUFFIXES)}")
        files = [self.plan, self.output, self.picture, None if self.to_stdout else self.json_file]
        named = [check_target(file, self.overwrite).resolve() for file in filter(None, files)]
        if self.labels is not None and self.labels.resolve() in named:
            raise UserError(f"{self.labels} would be read and written; choose another name for what is written")
        if len(set(named)) < len(named):
            raise UserError("two files to write have the same name; give each its own")
        choose_device(self.device)

    def check_learnable(self, count: int, what: str) -> None:
        """Refuse fewer cells than the predictor can learn from.

        Raises
        ------
        BadSearch
        """
        least, why = (DEFAULT_GP if self.predictor == "gp" else paper_config(max(count, 1))).least_cells
        if count < least:
            raise BadSearch(f"{what}, and nothing can be learned from so few: {why}. There must be {least} or more")

    def _check_counts(self) -> None:
        if not 2 <= self.budget <= SPACE_SIZE:
            raise BadSearch(
                f"--budget is {self.budget:,}; it must be from 2, one random and one proposed cell, to the "
                f"{SPACE_SIZE:,} cells that there are"
            )
        if self.labels is not None:
            return
        if not 1 <= self.num_first < self.budget:
            raise BadSearch(
                f"--first is {self.num_first:,} of a budget of {self.budget:,}; it must be 1 or more, and leave at "
                "least one training for a proposed cell"
            )
        if not 1 <= self.rounds <= self.budget - self.num_first:
            raise BadSearch(
                f"--rounds is {self.rounds}; {self.budget - self.num_first:,} proposed cells can be trained in 1 to "
                f"{self.budget - self.num_first:,} rounds"
            )
        self.check_learnable(self.num_first, f"--first is {self.num_first} of a budget of {self.budget}")

    def _check_mode(self) -> None:
        if self.plan is not None and self.labels is not None:
            raise UserError("--plan is for before your training, --labels for after it; leave out one of them")
        if self.plan is None and self.labels is None:
            return
        mode = "--plan" if self.labels is None else "--labels"
        others = {"--data": self.data != "auto", "--rounds": self.rounds != 1, "--seeds": len(self.seeds) > 1}
        if self.labels is None:
            others |= {
                "--output": self.output is not None,
                "--picture": self.picture is not None,
                "--json": self.json_file is not None,
            }
        else:
            others["--first"] = self.first is not None
        if wrong := [name for name, given in others.items() if given]:
            raise UserError(
                f"{mode} looks at no benchmark and makes one step of one search: leave out {', '.join(wrong)}"
            )

"""What a page of the book uses: numbers for its sentences, tables, verdicts, checks, and results that it leaves behind.

Sentences stand in Markdown cells and name their numbers; a code cell hands these over, under names of its own page::

    show(mse=mean_sd(outcome.figures()["mse_percent2"], ".2f", "points²"), poor=percent(0.0126), cells=len(benchmark))

    172 cells give an error of {eval}`show.mse`; {eval}`show.poor` of all {eval}`show.cells` cells are poor.

The page then reads "3.67 ± 0.03 points² (10 seeds); 1.3 % of all 423,624", in JupyterLab (by jupyterlab-myst, which
asks the kernel) as in the book (by myst-nb's ``glue``). A name is handed over once a page, whatever the data
(``UNKNOWN`` where they cannot tell). The cell carries the tag ``remove-cell``: the book hides it. Tables are of tidy
frames, a row an observation::

    table(frame, rows="labels", columns="predictor", value="tau", style=".3f", caption="Kendall tau by labels.")

A judgement is one short line, and none at all of too few draws::

    show(stages=verdict(two - one, "Two stages rank better", "One stage ranks better", of="draws"))
"""

from __future__ import annotations

import html
import math
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from myst_nb import glue

from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.metrics import MeanSd, summarize

# Pages find all that they use here.
from nplib.publish.results import about as about
from nplib.publish.results import load_results as load_results
from nplib.publish.results import save_results as save_results

UNKNOWN = "–"
LONGEST_NUMBER = 32  # characters, with its spread and count; what is longer is a sentence, and its lines break
LEAST_DRAWS = 8  # an interval of fewer is wider than what it is asked about, and its own width is chance


class _Shown(str):
    """A text that looks the same where its representation is shown."""

    __repr__ = str.__str__


def show(**numbers: str | int) -> Markdown:
    """Hand numbers to the sentences of the page: text as it is, whole numbers with commas; see above.

    Returns:
        Markdown: What was handed over, as a list.
    """
    texts = {}
    for name, value in numbers.items():
        if not isinstance(value, str | int | np.integer):
            raise UserError(f"{name} is {value!r}; say how it is written: mean_sd, percent, interval, or a text")
        texts[name] = _set_off(value if isinstance(value, str) else f"{value:,}")
        glue(name, texts[name], display=False)
        setattr(show, name, _Shown(texts[name]))
    return Markdown("\n".join(f"- `{name}`: {plain(text)}" for name, text in texts.items()))


def mean_sd(values: Iterable[float] | MeanSd, style: str = ".2f", unit: str = "", of: str = "seeds") -> str:
    """Mean ± sample standard deviation, unit, and of how many: of one value the value alone, of none ``UNKNOWN``.

    >>> mean_sd([3.64, 3.66, 3.71], ".2f", "points²"), mean_sd([0.5921], ".3f")
    ('3.67 ± 0.04 points² (3 seeds)', '0.592 (1 seed)')
    """
    summary = _summary(values)
    if summary is None:
        return UNKNOWN
    counted = f"({summary.count} {of if summary.count > 1 else of.removesuffix('s')})"
    return " ".join(filter(None, [_written(summary, style), unit, counted]))


def percent(share: float | Iterable[float] | MeanSd, digits: int = 1) -> str:
    """A share (fraction), or the mean ± standard deviation of several, in percent.

    >>> percent(0.0126), percent([0.1, 0.2, 0.3])
    ('1.3 %', '20.0 ± 10.0 %')
    """
    summary = MeanSd(share, math.nan, 1) if isinstance(share, float | int) else _summary(share)
    if summary is None or not math.isfinite(summary.mean):
        return UNKNOWN
    return f"{_written(MeanSd(100 * summary.mean, 100 * summary.sd, summary.count), f'.{digits}f')} %"


def interval(low: float, high: float, style: str = ".2f", unit: str = "") -> str:
    """From the one to the other; ``UNKNOWN`` if either is.

    >>> interval(1.24, 3.5, ".1f", "points")
    '1.2 to 3.5 points'
    """
    known = math.isfinite(low) and math.isfinite(high)
    return f"{low:{style}} to {high:{style}} {unit}".strip() if known else UNKNOWN


def verdict(
    differences: Sequence[float], positive: str, negative: str, *, of: str = "draws", style: str = "+.3f",
    least: int = LEAST_DRAWS,
) -> str:  # fmt: skip
    """Which side paired differences speak for, with their mean and its 95 % interval (Student's t).

    >>> verdict([0.01, 0.02], "Two stages rank better", "One stage ranks better")
    'Too few draws to say (2; it takes 8).'
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < least:
        return f"Too few {of} to say ({len(values)}; it takes {least})."
    from scipy import stats

    mean = values.mean()
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    found = f"{mean:{style}}, 95 % interval {interval(mean - reach, mean + reach, style)}, {len(values)} {of}"
    if abs(mean) <= reach:
        return f"No difference can be told ({found})."
    return f"{positive if mean > 0 else negative} ({found})."


def table(
    frame: pd.DataFrame,
    *,
    caption: str = "",
    style: str | Mapping[str, str] = ".2f",
    rows: str | list[str] | None = None,
    columns: str | None = None,
    value: str | None = None,
    of: str = "seeds",
) -> HTML | None:
    """A table as readers see it: numbers and their headings to the right, "–" where unknown. None without rows.

    Args:
        frame (DataFrame): Tidy if ``value`` is given: a row an observation. Otherwise the table itself, its index to
            the left.
        caption (str): Plain text. It gets a sentence that says over how many the means are; where that differs each has
            its own count.
        style (str or mapping of columns to str): How numbers are written.
        rows, columns, value (str): Columns of a tidy frame: what stands to the left, what above, and what the mean ±
            standard deviation is of.
        of (str): What the observations are.
    """
    if value is not None:
        keys = [rows] if isinstance(rows, str) else list(rows or ())
        grouped = frame.groupby([*keys, columns] if columns else keys, sort=False)[value].agg(_summary)
        frame = grouped.unstack(columns, sort=False) if columns else grouped.to_frame()
    if not len(frame):
        return None
    counts = {item.count for item in frame.to_numpy().ravel() if isinstance(item, MeanSd)}
    if counts - {1}:
        shared = f"over {min(counts)} {of}" if len(counts) == 1 else f"(number of {of})"
        caption = f"{caption} Mean ± standard deviation {shared}.".strip()
    styles = style if isinstance(style, Mapping) else dict.fromkeys(frame.columns, style)
    written = frame.apply(lambda column: column.map(partial(_entry, style=styles.get(column.name), counts=counts)))
    written = written.rename_axis(frame.index.names if frame.index.names[0] else "").reset_index()
    places = dict(enumerate(written.columns, 1))
    words = [f":nth-child({place})" for place, name in places.items() if _says_words(written[name])]
    left = [f":nth-child(-n+{frame.index.nlevels})", *words]
    sentences = [
        f":nth-child({place})"
        for place, name in places.items()
        if written[name].map(lambda text: len(str(text)) > LONGEST_NUMBER).any()
    ]
    prose = "text-align: left; white-space: normal; min-width: 12rem"
    page = (
        written.style.hide(axis="index")
        .format(lambda text: _set_off(html.escape(str(text))))
        .format_index(lambda text: _set_off(html.escape(str(text))), axis=1)
        .set_caption(_set_off(html.escape(caption)))
        .set_uuid(f"{zlib.crc32(repr((caption, written)).encode()):x}")
        .set_table_attributes('class="dataframe"')
        .set_table_styles(
            [
                {"selector": "caption", "props": "caption-side: top; text-align: left"},
                {"selector": "td, th", "props": "text-align: right"},
                *({"selector": f"td{place}, th{place}", "props": "text-align: left"} for place in left),
                *({"selector": f"td{place}, th{place}", "props": prose} for place in sentences),
            ]
        )
        .to_html()
    )
    label = html.escape(caption or "table")
    return HTML(f'<div style="overflow-x: auto" tabindex="0" role="region" aria-label="{label}">{page}</div>')


def _says_words(column: pd.Series) -> bool:
    """Whether a column of written entries has words in place of numbers."""
    known = [text for text in map(str, column) if text != UNKNOWN]
    return bool(known) and all(text[:1].isalpha() for text in known)


def _summary(values: Iterable[float] | MeanSd) -> MeanSd | None:
    if isinstance(values, MeanSd):
        return values
    values = list(values)
    return summarize(values) if values else None


def _written(item: MeanSd, style: str) -> str:
    return f"{item:{style}}" if item.count > 1 else f"{item.mean:{style}}"


def _entry(item: object, style: str | None, counts: Collection[int]) -> str:
    """One number of a table."""
    if isinstance(item, MeanSd):
        return _written(item, style or ".2f") + (f" ({item.count})" if len(counts) > 1 else "")
    if item is None or item is pd.NA or (isinstance(item, float) and not math.isfinite(item)):
        return UNKNOWN
    if isinstance(item, str):
        return item
    return format(item, (style or ".2f") if isinstance(item, float) else ",")


def _set_off(text: str) -> str:
    """Percent signs apart from their numbers, without a break."""
    return re.sub(r"(?<=\d) ?%", "\N{NO-BREAK SPACE}%", text)


def plain(text: str) -> str:
    """Text from data, so that Markdown shows it as it is: no markup, no HTML, no codes of a terminal.

    >>> plain("<script>x</script> *runs*")
    '&lt;script&gt;x&lt;/script&gt; \\\\*runs\\\\*'
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"([\\`*_{}\[\]#|$~])", r"\\\1", html.escape(printable, quote=False))


def data_note(benchmark: Benchmark) -> Markdown:
    """What the page rests on (:func:`~nplib.publish.results.about`), as a line of its own."""
    return Markdown(_set_off(f"> **Data:** {plain(about(benchmark))}."))


@dataclass
class Checks:
    """A table of what is seen beside what is expected; for the surrogate, a model, how far off it is."""

    source: str = ""
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, seen: float, expected: float, within: float = 0.0, digits: int = 3) -> None:
        """Note whether a number lies within so much of what is expected."""
        style = f",.{digits}f" if isinstance(expected, float) else ","
        if self.source == SURROGATE:
            self.rows.append((what, format(seen, style), format(expected, style), format(seen - expected, f"+{style}")))
            return
        match = abs(seen - expected) <= within
        allowed = format(expected, style) + (f" ± {format(within, style)}" if within else "")
        self.rows.append((what, format(seen, style), allowed, "yes" if match else "no"))

    def table(self) -> pd.DataFrame:
        """The table, to be shown."""
        names, *columns = zip(*self.rows, strict=True) if self.rows else ((), (), (), ())
        on_surrogate = self.source == SURROGATE
        heads = ("surrogate", "NASBench-101", "difference") if on_surrogate else ("we see", "expected", "match")
        return pd.DataFrame(dict(zip(heads, columns, strict=True)), index=names)

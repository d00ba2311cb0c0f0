"""The book's pages: gathered into one folder, and built by Jupyter Book beside those that stand, then exchanged.

Notebooks are run elsewhere (:mod:`nplib.publish.build`); here their executed copies are pages like any other.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import yaml

from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.publish.page import plain
from nplib.publish.project import toc_pages

QUICK_BANNER = "Quick build: fewer seeds, rougher numbers."
# Colours and progress of a terminal, which Sphinx writes into its log too.
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# An icon in the script of all of Font Awesome's: its name, size, other names, code and path.
_ICON = re.compile(r'"?([a-z0-9-]+)"?:\[\d+,\d+,(\[[^\]]*\]),"\w+",(?:"[^"]*"|\[[^\]]*\])\],?')
_BADGES = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"}
_PHONE = "_phone"  # the folder of pictures for phones
_PICTURE = re.compile(r'<img [^>]*?src="([^"]*_images/)([0-9a-f]{64})\.png"[^>]*>')
_SHOWN = ("text/html", "text/markdown", "image/svg+xml")
# A builder whose parent is gone, however it went, ends too: the pipe that is its standard input closes.
# Sphinx reads and writes pages by all cores, which Jupyter Book has no option for, unless an extension forbids it. Two
# do not say whether they do: that of numbers, which works when all is read, and that of formulas, a single setting.
_BUILDER = """
import functools, os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
import joblib, jupyter_book.sphinx
from jupyter_book.cli.main import main
from sphinx.application import Sphinx
def allowed(app, kind):
    return all(getattr(one, f"parallel_{kind}_safe") is not False for one in app.extensions.values())
Sphinx.is_parallel_allowed = allowed
build = jupyter_book.sphinx.build_sphinx
jupyter_book.sphinx.build_sphinx = functools.partial(build, jobs=min(8, 2 * joblib.cpu_count()))
sys.argv[0] = "jupyter-book"
main()
"""


class _Active(HTMLParser):
    """Tags of a text that a browser might run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = ((name, (value or "").strip().lower()) for name, value in attrs)
        runs = any(name.startswith("on") or value.startswith("javascript:") for name, value in values)
        if runs or tag in ("script", "iframe", "object", "embed"):
            self.found.append(self.get_starttag_text() or tag)


class PagesFailed(UserError):
    """The pages could not be built."""


def data_banner(benchmark: Benchmark) -> str:
    """A line for the top of every page: what the book was built from."""
    return f"Built from: {benchmark.source}, {len(benchmark):,} cells ({benchmark.kind})."


def data_warning(benchmark: Benchmark, pages: Sequence[PurePosixPath]) -> str:
    """What pages made by a notebook have to warn of, as Markdown; a page called ``surrogate`` is linked to, if any."""
    if benchmark.source != SURROGATE:
        return ""
    report = next((page for page in pages if page.stem == SURROGATE), None)
    more = f" {{doc}}`/{report.with_suffix('')}` tells how far that can be relied on." if report else ""
    return (
        "**Surrogate data.** Unless a passage names another source, what this page shows comes from "
        f"{plain(benchmark.kind)}.{more}"
    )


def assemble(project: Path, executed: Path, source: Path, banners: Sequence[str] = (), warning: str = "") -> None:
    """Make the folder that Jupyter Book reads: pages, what lies beside them, executed notebooks, configuration.

    Args:
        project, executed (Path): Folders of the book, which may be closed to writing, and of the executed copies of its
            notebooks. What these left in ``_static`` of their results, a script for instance, lies beside the book's
            own for the pages.
        source (Path): The folder to make; one that stands there is replaced, so that no page of an earlier build is
            left.
        banners (sequence of str): Plain text for the top of every page.
        warning (str): Markdown for below the title of every page made by a notebook.

    Raises:
        PagesFailed: If an output of a notebook holds a script, as text from data might, or a notebook has no title.
    """
    pages = toc_pages(project)
    shutil.rmtree(source, ignore_errors=True)
    for folder in {page.parent for page in pages} - {PurePosixPath(".")}:
        for path in (project / folder).rglob("*"):
            inside = path.relative_to(project)
            hidden = any(part.startswith((".", "_build", "__pycache__")) for part in inside.parts)
            if path.is_file() and path.suffix != ".ipynb" and not hidden:
                _copy(path, source / inside)
    for path in (executed.parent / "results" / "_static").glob("*"):
        _copy(path, source / "book" / "_static" / path.name)
    for page in pages:
        _copy((executed if page.suffix == ".ipynb" else project) / page, source / page)
        if page.suffix == ".ipynb":
            _make_page(source / page, warning, source / _PHONE)
    _copy(project / "_toc.yml", source / "_toc.yml")
    config = yaml.safe_load((project / "_config.yml").read_text(encoding="utf8")) or {}
    # The copies are executed already; Jupyter Book must publish them as they are.
    config.setdefault("execute", {})["execute_notebooks"] = "off"
    shown = config.setdefault("html", {})
    shown["announcement"] = " ".join(html.escape(banner) for banner in banners)
    if config.get("repository", {}).get("url"):
        shown["use_repository_button"] = True
        config["launch_buttons"] = config.get("launch_buttons", {}) | _BADGES
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf8")


def _copy(path: Path, target: Path) -> None:
    """Copy a file without its mode: sources may be closed to writing, what is made of them is not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def with_numbers(source: str) -> str:
    """The Markdown of a notebook's cell with what JupyterLab asks the kernel for in words of myst-nb."""
    return re.sub(r"\{eval\}`show\.(\w+)`", r"{glue:text}`\1`", source)


def _make_page(page: Path, warning: str, phone: Path) -> None:
    """Refuse scripts in the outputs of a notebook, let its sentences find their numbers, and warn below its title.

    Pictures for phones go to a folder of their own, by the name that myst-nb gives the picture that they stand for.
    """
    from nplib.plots.style import PHONE_PICTURE  # matplotlib is slow to load

    content = json.loads(page.read_text(encoding="utf8"))
    shown = [output.get("data", {}) for cell in content["cells"] for output in cell.get("outputs", ())]
    for data in shown:
        if (picture := data.pop(PHONE_PICTURE, None)) and "image/png" in data:
            name = hashlib.sha256(base64.b64decode("".join(data["image/png"]))).hexdigest()
            phone.mkdir(exist_ok=True)
            (phone / f"{name}.png").write_bytes(base64.b64decode("".join(picture)))
    for text in ("".join(data[kind]) for data in shown for kind in _SHOWN if kind in data):
        if found := _Active(text).found:
            raise PagesFailed(f"{page}: an output holds {found[0][:80]!r}, which a browser might run; escape it")
    box = f"\n\n:::{{warning}}\n{warning}\n:::\n" if warning else ""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            source = cell["source"] = with_numbers("".join(cell["source"]))
            if box and (title := re.search("^# .*$", source, re.MULTILINE)):
                cell["source"] = source[: title.end()] + box + source[title.end() :]
                box = ""
    if box:
        raise PagesFailed(f"{page} has no title, below which a warning is to stand; give it a line such as: # Search")
    page.write_text(json.dumps(content), encoding="utf8")


def build_html(source: Path, project: Path, environment: Mapping[str, str]) -> Path:
    """Let Jupyter Book make ``_build/html`` of what :func:`assemble` made, every warning an error.

    Pages that stand there are replaced once the new ones are whole. :class:`PagesFailed` names the warnings; otherwise
    the page to open first is returned.
    """
    output = project / "_build"
    new, old, log = output / "new", output / "old", output / "pages.log"
    # A page that Sphinx thinks unchanged is not read again, and neither are its warnings: always start afresh.
    shutil.rmtree(new, ignore_errors=True)
    command = [sys.executable, "-c", _BUILDER, "build", str(source), "--path-output", str(new)]
    with (
        open(log, "w", encoding="utf8") as file,
        subprocess.Popen(
            [*command, "-W", "--keep-going", "-n", "--all"],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        ) as builder,
    ):
        code = builder.wait()
    if code:
        raise PagesFailed(f"the pages could not be built:\n{_complaints(log)}\nThe whole log: {log}")
    _keep_used_icons(new / "_build" / "html")
    _show_phone_pictures(new / "_build" / "html", source / _PHONE)
    shutil.rmtree(old, ignore_errors=True)
    if (output / "html").exists():
        (output / "html").rename(old)
    (new / "_build" / "html").rename(output / "html")
    for left in (old, new):
        shutil.rmtree(left, ignore_errors=True)
    return output / "html" / "index.html"


def _keep_used_icons(html_folder: Path) -> None:
    """Leave of the theme's script of 2,000 icons, 1.5 MB, those that pages and other scripts name."""
    script = html_folder / "_static" / "scripts" / "fontawesome.js"
    readers = [*html_folder.rglob("*.html"), *(path for path in html_folder.rglob("*.js") if path != script)]
    used = set(re.findall(r"\bfa-([a-z0-9-]+)", "".join(path.read_text(encoding="utf8") for path in readers)))

    def kept(icon: re.Match) -> str:
        return icon[0] if used & {icon[1], *re.findall(r'"([a-z0-9-]+)"', icon[2])} else ""

    if script.is_file():
        script.write_text(_ICON.sub(kept, script.read_text(encoding="utf8")), encoding="utf8")


def _show_phone_pictures(html_folder: Path, phone: Path) -> None:
    """Let pages show the picture that was made for a narrow screen where theirs is one."""

    def both(image: re.Match) -> str:
        folder, name = image.groups()
        if not (phone / f"{name}.png").is_file():
            return image[0]
        shutil.copyfile(phone / f"{name}.png", html_folder / "_images" / f"{name}-phone.png")
        return f'<picture><source media="(max-width: 700px)" srcset="{folder}{name}-phone.png">{image[0]}</picture>'

    for page in html_folder.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        if (changed := _PICTURE.sub(both, text)) != text:
            page.write_text(changed, encoding="utf8")


def _complaints(log: Path) -> str:
    """What a log complains about, else its end."""
    lines = _TERMINAL_CODES.sub("", log.read_text(encoding="utf8", errors="replace")).splitlines()
    complaints = [f"  {line.strip()}" for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|Error)\b", line)]
    return "\n".join(complaints[:30] or [f"  {line}" for line in lines[-15:]])

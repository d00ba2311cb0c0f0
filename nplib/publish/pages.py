"""The book's pages: gathered into one folder, built by Jupyter Book, and checked once they are HTML.

Notebooks are run elsewhere (:mod:`nplib.publish.build`); here their executed copies are pages like any other.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import yaml

from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError

PAGE_SUFFIXES = (".md", ".ipynb")
QUICK_BANNER = "Quick build: fewer seeds and repeats; figures are rougher than the full book's."
# Colours and progress of a terminal, which Sphinx writes into its log too.
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Attributes by which a page makes a browser fetch something; a link that a reader may click is none.
_LOADING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
}
_LINKS_TO_FOLLOW = {"author", "canonical", "index", "license", "next", "prev", "search", "top", "up"}


class BadTableOfContents(UserError):
    """``_toc.yml`` does not name pages that are there."""


class PagesFailed(UserError):
    """The pages could not be built, or were built with a fault."""


def find_project(start: str | os.PathLike = ".") -> Path:
    """The book's project folder: this one or the nearest above with ``_toc.yml`` and ``_config.yml``.

    Raises
    ------
    UserError
        If there is none.
    """
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "_config.yml").is_file():
            return folder
    raise UserError(
        f"no book here: neither {start} nor a folder above it has _toc.yml and _config.yml; "
        "go to the project's folder, or name it with --project"
    )


def toc_pages(project: Path) -> list[PurePosixPath]:
    """Every page that ``_toc.yml`` names, in its order, as a path below the project with its suffix.

    Raises
    ------
    BadTableOfContents
        If the file cannot be read, names no page, names one that is not there, or one twice.
    """
    toc = project / "_toc.yml"
    try:
        tree = yaml.safe_load(toc.read_text(encoding="utf8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadTableOfContents(f"{toc} is no readable YAML: {error}") from error
    pages = []
    for name in _names(tree):
        found = [PurePosixPath(name + suffix) for suffix in PAGE_SUFFIXES if (project / (name + suffix)).is_file()]
        if not found and PurePosixPath(name).suffix in PAGE_SUFFIXES and (project / name).is_file():
            found = [PurePosixPath(name)]
        if not found:
            raise BadTableOfContents(f"{toc} names {name}, but there is neither {name}.md nor {name}.ipynb")
        if found[0] in pages:
            raise BadTableOfContents(f"{toc} names {name} twice")
        pages.append(found[0])
    if not pages:
        raise BadTableOfContents(f"{toc} names no page; it needs at least 'root: book/intro'")
    return pages


def _names(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("root", "file"):
                yield str(value)
            else:
                yield from _names(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _names(item)


def data_banner(benchmark: Benchmark) -> str:
    """A line for the top of every page: what the book was built from."""
    return f"Built from: {benchmark.source}, {len(benchmark):,} cells ({benchmark.kind})."


def data_warning(benchmark: Benchmark, pages: Sequence[PurePosixPath]) -> str:
    """What every page made by a notebook has to warn of, as Markdown; empty for real results.

    Parameters
    ----------
    benchmark : Benchmark
        What the notebooks are given.
    pages : sequence of path
        Those of the book; if one is called ``surrogate``, a link leads to it.
    """
    if benchmark.source != SURROGATE:
        return ""
    report = next((page for page in pages if page.stem == SURROGATE), None)
    more = f" {{doc}}`/{report.with_suffix('')}` tells how far that can be relied on." if report else ""
    return (
        "**Surrogate data.** Unless a passage names another source, what this page shows comes from "
        f"{benchmark.kind}.{more}"
    )


def assemble(project: Path, executed: Path, source: Path, banners: Sequence[str] = (), warning: str = "") -> None:
    """Make the folder that Jupyter Book reads: pages, what lies beside them, executed notebooks, configuration.

    Parameters
    ----------
    project : Path
        Folder with ``_toc.yml`` and ``_config.yml``.
    executed : Path
        Folder with the executed copy of every notebook that the table of contents names.
    source : Path
        The folder to make; one that stands there is replaced, so that no page of an earlier build is left.
    banners : sequence of str
        Plain text shown at the top of every page.
    warning : str
        Markdown shown below the title of every page made by a notebook.
    """
    pages = toc_pages(project)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for folder in sorted({page.parent for page in pages}):
        if folder != PurePosixPath("."):
            ignored = shutil.ignore_patterns("*.ipynb", ".*", "_build", "__pycache__")
            shutil.copytree(project / folder, source / folder, ignore=ignored, dirs_exist_ok=True)
    for page in pages:
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile((executed if page.suffix == ".ipynb" else project) / page, source / page)
        if warning and page.suffix == ".ipynb":
            _warn(source / page, warning)
    shutil.copyfile(project / "_toc.yml", source / "_toc.yml")
    config = yaml.safe_load((project / "_config.yml").read_text(encoding="utf8")) or {}
    # The copies are executed already; Jupyter Book must publish them as they are.
    config.setdefault("execute", {})["execute_notebooks"] = "off"
    config.setdefault("html", {})["announcement"] = "<br>".join(html.escape(banner) for banner in banners)
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf8")


def _warn(page: Path, warning: str) -> None:
    """Put a warning below the title of a notebook, which stays the same otherwise."""
    content = json.loads(page.read_text(encoding="utf8"))
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and (title := re.search("^# .*$", source, re.MULTILINE)):
            cell["source"] = f"{source[: title.end()]}\n\n:::{{warning}}\n{warning}\n:::\n{source[title.end() :]}"
            page.write_text(json.dumps(content), encoding="utf8")
            return
    raise PagesFailed(f"{page} has no title, below which a warning is to stand; give it a line such as: # Search")


def build_html(source: Path, project: Path, environment: Mapping[str, str]) -> Path:
    """Let Jupyter Book make ``_build/html`` of the project from an assembled folder, every warning an error.

    Parameters
    ----------
    source : Path
        What :func:`assemble` made.
    project : Path
        The folder in which ``_build/html`` is made; one that stands there is replaced.
    environment : mapping
        Environment variables of the build, which imports ``nplib`` for the API reference.

    Returns
    -------
    Path
        The page to open first.

    Raises
    ------
    PagesFailed
        With the build's warnings, or the faults that :func:`faults` finds in the pages.
    """
    output = project / "_build"
    log = output / "pages.log"
    # A page that Sphinx thinks unchanged is not read again, and neither are its warnings: always start afresh.
    for stale in ("html", ".doctrees"):
        shutil.rmtree(output / stale, ignore_errors=True)
    program = "import sys; from jupyter_book.cli.main import main; sys.argv[0] = 'jupyter-book'; main()"
    options = ["--path-output", str(project), "-W", "--keep-going", "-n", "--all"]
    with open(log, "w", encoding="utf8") as file:
        code = subprocess.run(
            [sys.executable, "-c", program, "build", str(source), *options],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(environment),
        ).returncode
    if code:
        raise PagesFailed(f"the pages could not be built:\n{_complaints(log)}\nThe whole log: {log}")
    found = faults(output / "html")
    if found:
        listed = "\n".join(f"  {fault}" for fault in found[:20])
        more = f"\n  and {len(found) - 20} more" if len(found) > 20 else ""
        raise PagesFailed(f"the pages in {output / 'html'} have faults:\n{listed}{more}")
    return output / "html" / "index.html"


def _complaints(log: Path) -> str:
    """What a log complains about, else its end."""
    lines = _TERMINAL_CODES.sub("", log.read_text(encoding="utf8", errors="replace")).splitlines()
    complaints = [f"  {line.strip()}" for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|Error)\b", line)]
    return "\n".join(complaints[:30] or [f"  {line}" for line in lines[-15:]])


class _Page(HTMLParser):
    """What one page is made of: names in it, files it loads, links, images without alternative text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.no_alt: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.names.update(values[key] for key in ("id", "name") if key in values)
        self._in_script = tag == "script"
        if tag == "link" and not _LINKS_TO_FOLLOW.intersection(values.get("rel", "").split()):
            self.loads.append(values.get("href", ""))
        elif tag in _LOADING and _LOADING[tag] in values:
            self.loads.append(values[_LOADING[tag]])
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.no_alt.append(values.get("src", "")[:80])

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)


def faults(folder: Path) -> list[str]:
    """What is wrong with built pages: loads from the network, links and files that lead nowhere, images without text.

    Parameters
    ----------
    folder : Path
        A folder of HTML; ``_static`` in it belongs to the theme and is not read as pages.

    Returns
    -------
    list of str
        One line per fault, beginning with the page; empty if there is none.
    """
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]
    pages = {}
    for path in paths:
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf8"))
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve()).as_posix()
        found += [f"{name}: image without alternative text: {source}" for source in page.no_alt]
        found += [f"{name}: loads {url} from the network" for url in page.loads if _is_external(url)]
        for script in page.scripts:
            urls = re.findall(r"https?://[^\s\"'`<>]+", script)
            found += [f"{name}: a script names {url}, which is not part of the book" for url in urls]
        for url in dict.fromkeys([*page.loads, *page.links]):
            if not _leads_somewhere(url, path, pages):
                found.append(f"{name}: {url} leads nowhere")
    return found


def _is_external(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https", "ftp")


def _leads_somewhere(url: str, path: Path, pages: Mapping[Path, _Page]) -> bool:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return False
    fragment = unquote(parts.fragment)
    return not fragment or target not in pages or fragment in pages[target].names

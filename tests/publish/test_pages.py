"""The pages of a book: everything they need is in them, and a fault in them is a failure."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from page_faults import faults
from tiny_book import wait_for, write_book, write_notebook

import nplib
from nplib.publish.build import build_book
from nplib.publish.pages import QUICK_BANNER, PagesFailed, assemble, build_html
from nplib.publish.project import toc_pages

INTRO = r"""
# Front

Mean squared error is $\frac{1}{N}\sum_i (y_i - \hat y_i)^2$ {cite}`wen2019`, and

$$
\hat A = \operatorname{rownorm}(A + I)
$$ (eq-normalised)

is equation {eq}`eq-normalised`. {numref}`fig-line` is in {doc}`/notebooks/02_second`; a notebook calls
{py:func}`~nplib.publish.parameters.check_parameters`.
"""
PACKAGE = Path(nplib.__file__).parent
API = "# API\n\n```{eval-rst}\n.. automodule:: nplib.publish.parameters\n.. automodule:: nplib.errors\n```\n"
FIGURE = {"figure": {"caption": "A *line*.", "name": "fig-line"}, "image": {"alt": "a line that rises"}}


def write_pages(book: Path) -> None:
    """Give the tiny book all that the real one has: formulas, citations, an API reference, a figure."""
    (book / "book" / "intro.md").write_text(INTRO)
    (book / "book" / "api.md").write_text(API)
    (book / "book" / "bibliography.md").write_text("# Bibliography\n\n```{bibliography}\n```\n")
    with open(book / "_toc.yml", "a") as toc:
        toc.write("- file: book/api\n- file: book/bibliography\n")
    write_notebook(
        book / "notebooks" / "02_second.ipynb",
        [
            "import sys\nprint('shown')\nprint('progress bar', file=sys.stderr)",
            "from nplib import plots\nplots.use_style('surrogate')\nplots.pairs([([1, 2], [1, 2], 'x', 'y')] * 2)",
        ],
        parameters="data: str = 'auto'\nquick: bool = False",
        figure=FIGURE,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of HTML of a book that the command line built, quickly and from the surrogate."""
    book = write_book(tmp_path_factory.mktemp("project"))
    write_pages(book)
    (book / "book" / "surrogate.md").write_text("# The surrogate\n\nA page about it.\n")
    with open(book / "_toc.yml", "a") as toc:
        toc.write("- file: book/surrogate\n")
    command = [sys.executable, "-m", "nplib.cli", "book", "--quick", "--data", "surrogate"]
    done = subprocess.run(command, cwd=book / "notebooks", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^pages +done +\d+\.\d s$", done.stderr, re.MULTILINE)
    assert done.stdout == f"the book: {book / '_build' / 'html' / 'index.html'}\n"
    return book / "_build" / "html"


def pages(built: Path) -> list[Path]:
    return [path for path in built.rglob("*.html") if "_static" not in path.parts and path.name != "index.html"]


def test_pages_need_nothing_from_elsewhere_and_lead_somewhere(built):
    assert len(pages(built)) >= 8
    assert faults(built) == []
    for style in built.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import\s+(url\()?['\"]?(https?:)?//", style.read_text()), style


def test_every_page_says_that_the_build_was_quick(built):
    for page in pages(built):
        assert QUICK_BANNER in page.read_text(), page


def test_every_page_names_its_data_and_notebooks_warn_of_the_surrogate(built, surrogate):
    kind = surrogate.kind
    for page in pages(built):
        text = page.read_text()
        assert f"Built from: surrogate, 423,624 cells ({kind})." in text, page
        warned = re.search(r'<h1>.*?</h1>\s*<div class="admonition warning">.*?</div>', text, re.DOTALL)
        if (built.parent / "executed" / page.relative_to(built)).with_suffix(".ipynb").is_file():
            assert "Surrogate data." in warned[0] and kind in warned[0], page
            assert 'href="../book/surrogate.html"' in warned[0] or 'href="surrogate.html"' in warned[0], page
        else:
            assert not warned, page


def test_pages_show_outputs_but_no_progress_bars(built):
    page = (built / "notebooks" / "02_second.html").read_text()
    assert "shown" in page
    assert "progress bar" not in re.sub(r"<div class=\"cell_input.*?</div>", "", page, flags=re.DOTALL)
    assert 'alt="a line that rises"' in page


def test_a_phone_gets_a_picture_of_its_own(built, browser):
    """Two panels side by side where there is room, else below one another; the notebook's copy holds no second one."""
    page = (built / "notebooks" / "02_second.html").resolve()
    shown = {}
    for width in (390, 1280):
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(page.as_uri())
        tab.wait_for_function("document.querySelector('img[alt=\"a line that rises\"]').complete")
        shown[width] = tab.evaluate(
            "(image => [image.currentSrc, image.naturalWidth, image.naturalHeight])"
            "(document.querySelector('img[alt=\"a line that rises\"]'))"
        )
        tab.close()
    assert shown[390][0].endswith("-phone.png") and not shown[1280][0].endswith("-phone.png")
    assert shown[390][1] == 462 and shown[390][2] > shown[390][1] > 0.4 * shown[1280][1] > shown[1280][2] * 0.4


def test_references_resolve(built):
    intro = (built / "book" / "intro.html").read_text()
    assert 'href="api.html#nplib.publish.parameters.check_parameters"' in intro
    assert 'href="../notebooks/02_second.html#fig-line"' in intro
    assert re.search(r'href="bibliography.html#[^"]+"', intro)
    api = (built / "book" / "api.html").read_text()
    assert "hands on whatever it is given" in api  # a docstring
    assert "Bases: <a" in api  # BadParameter leads to UserError


def test_formulas_are_drawn_without_a_network(built, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no chromium to open pages with; on Debian: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={tmp_path}"]
    # No name resolves: whatever a page would fetch from elsewhere fails, on any machine.
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--dump-dom"]
    page = (built / "book" / "intro.html").as_uri()
    shown = subprocess.run([*command, page], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.count("<mjx-container") == 2
    assert "<mjx-merror" not in shown
    assert r"\frac" not in re.sub(r"<mjx-assistive-mml.*?</mjx-assistive-mml>", "", shown, flags=re.DOTALL)


def test_a_warning_is_a_failure_each_time(tmp_path):
    book = write_book(tmp_path / "book")
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (book / "book" / "intro.md").write_text("# Front\n\n{doc}`nowhere` and {py:func}`nplib.cell.nothing`.\n")
    for _ in range(2):
        with pytest.raises(PagesFailed) as failed:
            build_book(book)
        assert "unknown document: 'nowhere'" in str(failed.value)
        assert "nplib.cell.nothing" in str(failed.value)
        assert str(book / "_build" / "pages.log") in str(failed.value)


def test_pages_are_replaced_only_when_new_ones_are_whole(tmp_path):
    book = write_book(tmp_path / "book")
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    index = build_book(book)
    before = index.read_bytes()
    (book / "book" / "intro.md").write_text("# Front\n\n{doc}`nowhere`\n")
    with pytest.raises(PagesFailed):
        build_book(book)
    assert index.read_bytes() == before
    (book / "book" / "intro.md").write_text("# Another\n")
    build_book(book)
    assert "Another" in (book / "_build" / "html" / "book" / "intro.html").read_text()
    assert not {"new", "old"} & {path.name for path in (book / "_build").iterdir()}


def test_the_builder_of_the_pages_ends_with_what_started_it(tmp_path):
    book = write_book(tmp_path / "book")
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    builder = book / "waits.py"  # an extension of Sphinx that tells who it is, and waits
    builder.write_text(
        "import os, time\ndef setup(app):\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    config = book / "_config.yml"
    config.write_text(config.read_text().replace("extensions:\n", "extensions:\n      - waits\n", 1))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(book), str(PACKAGE.parent)])}
    command = [sys.executable, "-m", "nplib.cli", "book", "--project", str(book)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    note = tmp_path / "pid"
    wait_for(lambda: note.exists() and note.read_text(), "Sphinx to run", 60)
    process.kill()
    process.wait(30)
    child = int(note.read_text())
    wait_for(lambda: not Path(f"/proc/{child}/cmdline").exists() or not is_alive(child), "Sphinx to end")
    assert not (book / "_build" / "html").exists()


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_sources_may_be_closed_to_writing(tmp_path):
    book = write_book(tmp_path / "book")
    build = book / "_build"
    build.mkdir()
    executed = build / "executed"
    shutil.copytree(book / "notebooks", executed / "notebooks")
    shutil.copytree(book / "book", executed / "book")
    for path in sorted(book.rglob("*")):
        if build not in (path, *path.parents):
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assemble(book, executed, build / "source", warning="**Beware.**")
        assemble(book, executed, build / "source")  # again, over what the first left
        made = [path for path in (build / "source").rglob("*") if not path.stat().st_mode & 0o200]
        assert made == []
    finally:
        for path in (book / "book", book / "notebooks", book / "book" / "_static"):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/html", "<p><script>alert(1)</script>"),
        ("text/markdown", "from **data**: <svg onload=alert(1)>"),
        ("text/markdown", "4 < 5 <SCRIPT src=x>"),
        ("image/svg+xml", '<svg><a href="javascript:alert(1)">x</a></svg>'),
    ],
)
def test_outputs_that_a_browser_might_run_are_refused(tmp_path, kind, text):
    book = write_book(tmp_path / "book")
    page = book / "notebooks" / "01_first.ipynb"
    content = nbformat.read(page, as_version=4)
    content.cells[-1].outputs = [nbformat.v4.new_output("display_data", {kind: text})]
    nbformat.write(content, page)
    with pytest.raises(PagesFailed, match=r"01_first\.ipynb: an output holds .* which a browser might run"):
        assemble(book, book, tmp_path / "source")
    content.cells[-1].outputs[0].data[kind] = "4 < 5, on = 'x', <b title='only one = 1'>bold</b>"
    nbformat.write(content, page)
    assemble(book, book, tmp_path / "source")


@pytest.mark.skipif("NPLIB_PAGES" not in os.environ, reason="NPLIB_PAGES names no folder of built pages")
def test_the_built_book_has_no_faults():
    folder = Path(os.environ["NPLIB_PAGES"])
    assert (folder / "index.html").is_file()
    assert faults(folder) == []


def test_pages_of_an_earlier_build_are_gone(tmp_path):
    book = write_book(tmp_path / "book")
    stale = book / "_build" / "source" / "book" / "gone.md"
    stale.parent.mkdir(parents=True)
    stale.write_text("# Gone\n")
    executed = tmp_path / "executed"
    shutil.copytree(book, executed)
    (tmp_path / "results" / "_static").mkdir(parents=True)
    (tmp_path / "results" / "_static" / "made.js").write_text("1")
    assemble(book, executed, book / "_build" / "source", ["1 < 2", "both"], "**Beware.**")
    assert (book / "_build" / "source" / "book" / "_static" / "made.js").read_text() == "1"
    assert not stale.exists()
    config = (book / "_build" / "source" / "_config.yml").read_text()
    assert "announcement: 1 &lt; 2 both" in config
    for page, warned in (("book/results", True), ("notebooks/01_first", True), ("book/intro", False)):
        path = next((book / "_build" / "source").glob(f"{page}.*"))
        assert ("**Beware.**" in path.read_text()) == warned
    title = nbformat.read(book / "_build" / "source" / "notebooks" / "01_first.ipynb", as_version=4).cells[0]
    assert title.source == "# 01_first\n\n:::{warning}\n**Beware.**\n:::\n"
    assert sorted(path.name for path in (book / "_build" / "source" / "book").iterdir()) == [
        "_static",
        "intro.md",
        "references.bib",
        "results.ipynb",
    ]


@pytest.mark.parametrize("address", ["", "https://github.com/somebody/nplib"])
def test_one_setting_gives_the_buttons_to_open_notebooks_elsewhere(tmp_path, address):
    book = write_book(tmp_path / "book")
    config = book / "_config.yml"
    config.write_text(config.read_text().replace('url: ""', f'url: "{address}"'))
    source = book / "_build" / "source"
    shutil.copytree(book, tmp_path / "executed")
    assemble(book, tmp_path / "executed", source)
    page = build_html(source, book, os.environ).parent / "notebooks" / "01_first.html"
    links = [link for link in ("mybinder.org", "colab.research.google.com") if link in page.read_text()]
    assert len(links) == (2 if address else 0)


PAGE = '<html><head>{head}</head><body><h1 id="top">x</h1>{body}</body></html>'


@pytest.mark.parametrize(
    ("head", "body", "fault"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "", "loads https://cdn.example/x.js from the network"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "", "loads //cdn.example/x.css from the network"),
        ("<script>import('https://cdn.example/y.js')</script>", "", "a script names https://cdn.example/y.js"),
        ("", '<img src="a.png">', "image without alternative text: a.png"),
        ("", '<img src="a.png" alt=" ">', "image without alternative text: a.png"),
        ("", '<img src="b.png" alt="b">', "b.png leads nowhere"),
        ("", '<a href="other.html">x</a>', "other.html leads nowhere"),
        ("", '<a href="#bottom">x</a>', "#bottom leads nowhere"),
        ("", '<a href="page.html#middle">x</a>', "page.html#middle leads nowhere"),
        ("", '<div class="cell_output"><p><script>1</script></p></div>', "an output holds what a browser might run"),
        ("", '<div class="cell_output"><svg onload="x()"></svg></div>', "an output holds what a browser might run"),
        (
            "",
            '<div class="cell_output"><a href=" JavaScript:x">x</a></div>',
            "an output holds what a browser might run",
        ),
        (
            "",
            '<div class="cell_output"><pre>/home/me/data.hdf5</pre></div>',
            "an absolute path is shown: /home/me/data",
        ),
    ],
)
def test_faults_of_a_page_are_found(tmp_path, head, body, fault):
    (tmp_path / "a.png").touch()
    (tmp_path / "page.html").write_text(PAGE.format(head=head, body=body))
    assert [found for found in faults(tmp_path) if fault in found], faults(tmp_path)


def test_a_page_without_faults_has_none(tmp_path):
    (tmp_path / "a.png").touch()
    body = (
        '<img src="a.png" alt="a"><a href="#top">x</a><a href="page.html#top">y</a><a href="https://example.org">z</a>'
    )
    (tmp_path / "page.html").write_text(
        PAGE.format(head='<link rel="canonical" href="https://example.org">', body=body)
    )
    assert faults(tmp_path) == []


def test_pages_are_named_with_or_without_their_suffix(tmp_path):
    book = write_book(tmp_path / "book")
    (book / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro.md\nparts:\n- chapters:\n  - file: notebooks/01_first.ipynb\n"
    )
    assert [str(page) for page in toc_pages(book)] == ["book/intro.md", "notebooks/01_first.ipynb"]

"""The built book in a browser: every page at the width of a desk and of a phone, in the light and in the dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("NPLIB_PAGES", "no-pages"))
PAGES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html") if "_static" not in path.parts)
# Faults of the theme and of Jupyter Book's bibliography, which are theirs to mend: rule of axe, and what it is about.
OF_THE_THEME = {
    "summary-name": "the arrow that opens a part of the list of pages",
    "aria-allowed-role": "roles that docutils gives citations",
    "aria-deprecated-role": "doc-biblioentry in the bibliography",
    "aria-required-children": "the list of the bibliography",
    "landmark-unique": "two navigations of one name",
}
LEAST_TEXT = 9  # pixels on a phone

pytestmark = [
    pytest.mark.skipif("NPLIB_PAGES" not in os.environ, reason="NPLIB_PAGES names no folder of built pages"),
    pytest.mark.parametrize("name", PAGES),
]


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def page(request, browser, name):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.add_init_script(f"localStorage.setItem('mode', '{scheme}'); localStorage.setItem('theme', '{scheme}')")
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith("http") and page.faults.append(asked.url))
    page.goto((FOLDER / name).resolve().as_uri())
    page.wait_for_timeout(300)
    yield page
    context.close()


def test_a_page_of_the_built_book_can_be_read(page, name):
    """No error, nothing from a network, no page wider than the window, every icon drawn, no text cut off or tiny."""
    from axe_playwright_python.sync_playwright import Axe

    assert page.faults == []
    assert page.locator("h1:visible").count(), "the page has no title: did a script take its place?"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert page.evaluate("[...document.querySelectorAll('i[class*=fa-]')].map(icon => icon.className)") == []
    if page.viewport_size["width"] < 700:
        # The smallest text of pictures has 8 points (tests of plots hold that), and shrinks as they do.
        shown = page.evaluate(
            "[...document.querySelectorAll('.cell_output img')].filter(image => image.naturalWidth && image.width)"
            ".map(image => 8 / 72 * 110 * image.width / image.naturalWidth)"
        )
        assert all(height >= LEAST_TEXT for height in shown), shown
    # By whoever cannot see it, too; a page is opened once for both, since that takes longest.
    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("critical", "serious")]
    ours = [v for v in found if v["id"] not in OF_THE_THEME]
    assert not ours, [(v["id"], [node["html"][:200] for node in v["nodes"]][:3]) for v in ours]

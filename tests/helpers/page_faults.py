"""Faults of built pages: loads from the network, links that lead nowhere, images without text, scripts, local paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

# Attributes by which a page makes a browser fetch something; a link that a reader may click is none.
LOADING = "script[src], img[src], iframe[src], source[src], audio[src], video[src], embed[src]"
LINKS_TO_FOLLOW = {"author", "canonical", "index", "license", "next", "prev", "search", "top", "up"}
OUTPUT = ".cell_output"
ABSOLUTE = re.compile(r"(?<![\w.:/-])/(home|root|tmp|Users|work|opt|private|var)/[\w.-]+[^\s<,;:)\"']*")


@dataclass
class Page:
    """One page: its names, what it loads, its links, and what is wrong with it alone."""

    names: set[str]
    loads: list[str]
    links: list[str]
    faults: list[str]


def read_page(path: Path) -> Page:
    soup = BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
    links = [link for link in soup.select("link[href]") if not LINKS_TO_FOLLOW & set(link.get("rel", ()))]
    loads = [tag["src"] for tag in soup.select(LOADING)] + [tag["data"] for tag in soup.select("object[data]")]
    found = [f"image without alternative text: {i['src'][:80]}" for i in soup.select("img[src]") if not text_of(i)]
    for script in soup.find_all("script"):
        urls = re.findall(r"https?://[^\s\"'`<>]+", script.string or "")
        found += [f"a script names {url}, which is not part of the book" for url in urls]
    for tag in soup.select(f"{OUTPUT} *"):
        runs = [name for name in tag.attrs if name.startswith("on")]
        runs += [name for name in ("href", "src") if tag.get(name, "").strip().lower().startswith("javascript:")]
        if runs or tag.name in ("script", "iframe", "object", "embed"):
            found.append(f"an output holds what a browser might run: {str(tag)[:80]}")
    for output in soup.select(f"{OUTPUT}, .bd-header-announcement"):
        found += [f"an absolute path is shown: {place.group()}" for place in ABSOLUTE.finditer(output.get_text(" "))]
    names = {tag[key] for key in ("id", "name") for tag in soup.select(f"[{key}]")}
    return Page(names, [*(link["href"] for link in links), *loads], [a["href"] for a in soup.select("a[href]")], found)


def text_of(image) -> str:
    return image.get("alt", "").strip()


def faults(folder: Path) -> list[str]:
    """What is wrong with built pages, a line each, beginning with the page.

    Args:
        folder (Path): A folder of HTML; ``_static`` in it belongs to the theme and is not read as pages.
    """
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]
    pages = {path.resolve(): read_page(path) for path in paths}
    found = []
    for path, page in pages.items():
        own = page.faults + [f"loads {url} from the network" for url in page.loads if is_external(url)]
        urls = dict.fromkeys([*page.loads, *page.links])
        own += [f"{url} leads nowhere" for url in urls if not leads_somewhere(url, path, pages)]
        found += [f"{path.relative_to(folder.resolve()).as_posix()}: {fault}" for fault in own]
    return found


def is_external(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https", "ftp")


def leads_somewhere(url: str, path: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return False
    fragment = unquote(parts.fragment)
    return not fragment or target not in pages or fragment in pages[target].names

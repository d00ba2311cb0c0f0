"""A book's folder: where it is, and the pages that it names. A notebook's own kernel uses this too, so it is light."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from nplib._files import expand
from nplib.errors import UserError

PAGE_SUFFIXES = (".md", ".ipynb")


class BadTableOfContents(UserError):
    """``_toc.yml`` does not name pages that are there."""


def find_project(start: str | os.PathLike = ".") -> Path:
    """The book's project folder: this one or the nearest above with ``_toc.yml`` and ``_config.yml``.

    Raises:
        UserError: If there is none.
    """
    start = expand(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "_config.yml").is_file():
            return folder
    raise UserError(
        f"no book here: neither {start} nor a folder above it has _toc.yml and _config.yml; "
        "go to the project's folder, or name it with --project"
    )


def data_folder(project: Path) -> Path:
    """Where data are: ``NPLIB_DATA``, or ``data`` of the project."""
    return expand(os.environ.get("NPLIB_DATA") or project / "data").resolve()


def toc_pages(project: Path) -> list[PurePosixPath]:
    """Every page that ``_toc.yml`` names, in its order, as a path below the project with its suffix.

    Raises:
        BadTableOfContents: If the file cannot be read, names a page that is not there, or one twice.
    """
    import yaml
    from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

    toc = project / "_toc.yml"
    try:
        names = list(parse_toc_yaml(toc))
    except (MalformedError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadTableOfContents(f"{toc}: {error}") from error
    pages = []
    for name in names:
        candidates = [name, *(name + suffix for suffix in PAGE_SUFFIXES)]
        found = [page for page in candidates if page.endswith(PAGE_SUFFIXES) and (project / page).is_file()]
        if not found:
            raise BadTableOfContents(f"{toc} names {name}, but there is neither {name}.md nor {name}.ipynb")
        pages.append(PurePosixPath(found[0]))
    return pages

"""Notebooks as they are stored: read whatever editor saved them, with their typed parameters. Nothing is run here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nbformat

from nplib.errors import UserError
from nplib.publish.parameters import BadParameter, Parameter, fit_value
from nplib.publish.project import toc_pages

FOLDER = "notebooks"
# What the build itself decides, and what is to be done instead of giving it.
OWN_PARAMETERS = {"data": "use --data", "quick": "use --quick", "results_folder": "the build sets it"}
PYTHON = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


class BadNotebook(UserError):
    """A notebook cannot be read, or its parameters cell is not what the build can work with."""


@dataclass(frozen=True)
class Notebook:
    """A notebook of the book, as it is stored."""

    path: Path
    page: PurePosixPath  # below the project
    content: nbformat.NotebookNode  # of format 4, for Python, and valid
    parameters: Mapping[str, Parameter]

    @property
    def name(self) -> str:
        return self.page.stem

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Type and source of each."""
        return [(cell.cell_type, cell.source) for cell in self.content.cells]

    @property
    def minutes(self) -> float:
        """How long it takes, as its metadata declares it; endless if they do not."""
        return float(self.content.metadata.get("nplib", {}).get("minutes", "inf"))

    @property
    def gathers(self) -> bool:
        """Whether it shows results of the others, as those outside the notebooks' own folder do; these run last."""
        return self.page.parts[0] != FOLDER


def read_notebook(project: Path, page: PurePosixPath) -> Notebook:
    """A notebook and its parameters; :class:`BadNotebook` if it is none, or one of them has no type."""
    from papermill import inspect_notebook

    path = project / page
    try:
        content = _normal(path)
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        what = str(error).partition("\n")[0]
        raise BadNotebook(f"{path} is no notebook that can be read: {type(error).__name__}: {what}") from error
    tagged = sum("parameters" in cell.metadata.get("tags", ()) for cell in content.cells)
    if tagged > 1:
        raise BadNotebook(f"{path} has {tagged} cells tagged 'parameters'; there may be one")
    parameters = {}
    for name, found in inspect_notebook(content).items():
        if found["inferred_type_name"] == "None":
            raise BadNotebook(f"{path}: the parameter {name} has no type; write {name}: int = {found['default']}")
        parameters[name] = Parameter(name, found["inferred_type_name"].strip(), found["default"])
    return Notebook(path, page, content, parameters)


def _normal(path: Path) -> nbformat.NotebookNode:
    """The content of a file as format 4 of today; editors leave out metadata, ids and the language."""
    raw = json.loads(path.read_text(encoding="utf8"))
    for cell in raw.get("cells", ()):
        cell.setdefault("metadata", {})
    content = nbformat.from_dict(nbformat.v4.upgrade(nbformat.convert(nbformat.reader.reads(json.dumps(raw)), 4)))
    content.metadata.update(nbformat.from_dict(PYTHON))
    _, content = nbformat.validator.normalize(content)
    nbformat.validate(content)
    return content


def find_notebooks(project: Path, only: Sequence[str] = ()) -> list[Notebook]:
    """Every notebook that ``_toc.yml`` names, or those of these names; an error if there is none such."""
    notebooks = [read_notebook(project, page) for page in toc_pages(project) if page.suffix == ".ipynb"]
    known = [notebook.name for notebook in notebooks]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise BadParameter(f"there is no notebook {', '.join(unknown)}; there are {', '.join(known)}")
    return [notebook for notebook in notebooks if not only or notebook.name in only]


def values_of(notebooks: Sequence[Notebook], given: Mapping[str, str]) -> dict[PurePosixPath, dict[str, object]]:
    """Values for the parameters of each notebook, by page and name, from their text by name.

    Raises:
        BadParameter: If no notebook has the name, if the build decides it itself, or if the text is no value of the
            type.
    """
    for name in given:
        if name in OWN_PARAMETERS:
            raise BadParameter(f"{name} cannot be given with -p; {OWN_PARAMETERS[name]}")
        if not any(name in notebook.parameters for notebook in notebooks):
            lines = [f"no notebook has a parameter {name}; nothing was run. They have"]
            for notebook in notebooks:
                own = [str(one) for one in notebook.parameters.values() if one.name not in OWN_PARAMETERS]
                lines.append(f"  {notebook.name}: {', '.join(own) or 'none'}")
            raise BadParameter("\n".join(lines))
    return {
        notebook.page: {
            name: fit_value(notebook.parameters[name], text)
            for name, text in given.items()
            if name in notebook.parameters
        }
        for notebook in notebooks
    }

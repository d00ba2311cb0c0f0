"""Notebooks as they are stored: their cells, and the typed parameters that a run may change.

Nothing is run here; :mod:`nplib.publish.build` does that.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nplib.errors import UserError
from nplib.publish.pages import toc_pages

NOTEBOOKS = "notebooks"
INJECTED = "# Parameters"  # how papermill's cell of given values begins
# What the pipeline itself decides; the command line has options for the first two.
OWN_PARAMETERS = ("data", "quick", "results_folder")
_SCALARS = {"int": int, "float": float, "str": str}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class BadNotebook(UserError):
    """A notebook cannot be read, or its parameters cell is not what the pipeline can work with."""


class BadParameter(UserError):
    """A parameter that no notebook has, or a value that does not fit its type."""

    def _render_traceback_(self) -> list[str]:
        # What a notebook shows of it: where in nplib it was noticed helps nobody.
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Parameter:
    """One typed assignment of a notebook's parameters cell."""

    name: str
    kind: str  # its annotation, as written
    default: str  # its value, as written

    def __str__(self) -> str:
        return f"{self.name}: {self.kind} = {self.default}"


@dataclass(frozen=True)
class Notebook:
    """A notebook of the book, as it is stored."""

    path: Path
    page: PurePosixPath  # below the project
    cells: tuple[tuple[str, str], ...]  # type and source of each
    parameters: Mapping[str, Parameter]

    @property
    def name(self) -> str:
        return self.page.stem

    @property
    def gathers(self) -> bool:
        """Whether it shows results of the others: those outside the notebooks' own folder do, and run last."""
        return self.page.parts[0] != NOTEBOOKS


def read_notebook(project: Path, page: PurePosixPath) -> Notebook:
    """A notebook and its parameters.

    Raises
    ------
    BadNotebook
        If it is no notebook, or its parameters cell holds anything but assignments like ``epochs: int = 300``.
    """
    path = project / page
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        cells = [(cell["cell_type"], "".join(cell["source"]), _tags(cell)) for cell in content["cells"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadNotebook(f"{path} is no notebook of format 4: {type(error).__name__}: {error}") from error
    tagged = [(number, source) for number, (_, source, tags) in enumerate(cells, start=1) if "parameters" in tags]
    if len(tagged) > 1:
        raise BadNotebook(f"{path} has {len(tagged)} cells tagged 'parameters'; there may be one")
    parameters = {}
    for number, source in tagged:
        for parameter in _parameters(path, number, source):
            parameters[parameter.name] = parameter
    return Notebook(path, page, tuple((kind, source) for kind, source, _ in cells), parameters)


def _tags(cell: Mapping) -> Sequence[str]:
    return cell.get("metadata", {}).get("tags", ())


def _parameters(path: Path, number: int, source: str) -> Iterable[Parameter]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise BadNotebook(f"{path}, cell {number}: the parameters are no Python: {error}") from error
    for statement in statements:
        line = source.splitlines()[statement.lineno - 1]
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise BadNotebook(
                f"{path}, cell {number}: {line!r}; a parameters cell may only hold typed assignments, "
                "such as: epochs: int = 300"
            )
        yield Parameter(statement.target.id, ast.unparse(statement.annotation), ast.unparse(statement.value))


def find_notebooks(project: Path) -> list[Notebook]:
    """Every notebook that ``_toc.yml`` names, in the order in which they run."""
    notebooks = [read_notebook(project, page) for page in toc_pages(project) if page.suffix == ".ipynb"]
    return sorted(notebooks, key=lambda notebook: notebook.gathers)


def select_notebooks(notebooks: Sequence[Notebook], only: Sequence[str]) -> list[Notebook]:
    """The notebooks of these names, all if there are none; in the order in which they run.

    Raises
    ------
    BadParameter
        If there is no such notebook.
    """
    known = [notebook.name for notebook in notebooks]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise BadParameter(f"there is no notebook {', '.join(unknown)}; there are {', '.join(known)}")
    return [notebook for notebook in notebooks if not only or notebook.name in only]


def values_of(notebooks: Sequence[Notebook], given: Mapping[str, str]) -> dict[PurePosixPath, dict[str, object]]:
    """Values for the parameters of each notebook, from their text.

    Parameters
    ----------
    notebooks : sequence of Notebook
        Those that will run.
    given : mapping
        Text by parameter name; it goes to every notebook that has the name.

    Returns
    -------
    dict
        By page: value by name, of the type that the notebook declares.

    Raises
    ------
    BadParameter
        If no notebook has the name, if the pipeline decides it itself, or if the text is no value of the type.
    """
    for name in given:
        if name in OWN_PARAMETERS:
            instead = {"data": "use --data", "quick": "use --quick"}.get(name, "the build sets it")
            raise BadParameter(f"{name} cannot be given with -p; {instead}")
        if not any(name in notebook.parameters for notebook in notebooks):
            known = "\n".join(
                f"  {notebook.name}: "
                + (", ".join(str(p) for p in notebook.parameters.values() if p.name not in OWN_PARAMETERS) or "none")
                for notebook in notebooks
            )
            raise BadParameter(f"no notebook has a parameter {name}; nothing was run. They have\n{known}")
    return {
        notebook.page: {
            name: read_value(notebook.parameters[name], text, f"{notebook.name}: ")
            for name, text in given.items()
            if name in notebook.parameters
        }
        for notebook in notebooks
    }


def read_value(parameter: Parameter, text: str, where: str = "") -> object:
    """A value of the parameter's type: bool, int, float, str, or a list of one of them, with commas between.

    Raises
    ------
    BadParameter
        If the text is no such value, or the type another.
    """
    kind, text = parameter.kind, text.strip()
    if kind.endswith("| None"):
        if text.lower() in ("none", ""):
            return None
        kind = kind.removesuffix("| None").strip()
    try:
        if kind.startswith("list[") and kind.endswith("]"):
            items = [item for item in text.strip("[]()").split(",") if item.strip()]
            return [_scalar(kind[len("list[") : -1], item.strip()) for item in items]
        return _scalar(kind, text)
    except KeyError:
        raise BadParameter(
            f"{where}{parameter.name} has the type {parameter.kind}, which cannot be given on the command line"
        ) from None
    except ValueError:
        raise BadParameter(f"{where}{parameter.name}={text!r} is no {kind} (the notebook has {parameter})") from None


def _scalar(kind: str, text: str) -> object:
    if kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    return _SCALARS[kind](text)


def check_parameters(namespace: dict[str, object]) -> None:
    """Check what a notebook was given against the types that its parameters cell declares; called in its first cell.

    Papermill, unlike ``nplib book``, hands on whatever it is given: ``-p quick no`` as a text, which is true. Texts
    become values of the declared type here, and names that are not declared are refused.

    Parameters
    ----------
    namespace : dict
        The notebook's ``globals()``; values are converted in place. ``In`` in it is what has run until now: the cell
        of typed assignments, and papermill's, which begins with ``# Parameters``.

    Raises
    ------
    BadParameter
        Naming each parameter that is unknown or of another type.
    """
    declared: dict[str, Parameter] = {}
    given: list[str] = []
    for source in namespace.get("In", ())[:-1]:
        statements = ast.parse(source).body
        if source.startswith(INJECTED):
            given += [ast.unparse(one.targets[0]) for one in statements if isinstance(one, ast.Assign)]
        elif all(isinstance(one, ast.AnnAssign) and one.value for one in statements):
            for one in statements:
                name = ast.unparse(one.target)
                declared[name] = Parameter(name, ast.unparse(one.annotation), ast.unparse(one.value))
    known = ", ".join(declared)
    faults = [f"there is no parameter {name}; there are {known}" for name in given if name not in declared]
    for name, parameter in declared.items():
        try:
            namespace[name] = fit_value(parameter, namespace[name])
        except BadParameter as error:
            faults.append(str(error))
    if faults:
        raise BadParameter("; ".join(faults))


def fit_value(parameter: Parameter, value: object) -> object:
    """A value of the parameter's type, from one or from the text of one.

    Raises
    ------
    BadParameter
        If it is neither; 1 and 0 will do for a bool, and whole numbers for a float.
    """
    kind = parameter.kind
    if isinstance(value, str) and kind != "str":
        return read_value(parameter, value)
    if kind.startswith("list[") and isinstance(value, list | tuple):
        item = Parameter(parameter.name, kind[len("list[") : -1], parameter.default)
        return [fit_value(item, one) for one in value]
    wanted = {"bool": bool, **_SCALARS}.get(kind)
    if type(value) is wanted or not (wanted or kind.startswith("list[")):
        return value
    # Whole numbers for a float or an int, 1 and 0 for a bool; a bool is no number.
    if wanted in (bool, int, float) and type(value) in (int, float) and value == value // 1 and wanted(value) == value:
        return wanted(value)
    raise BadParameter(f"{parameter.name} is {value!r}, which is no {kind} (the notebook has {parameter})")

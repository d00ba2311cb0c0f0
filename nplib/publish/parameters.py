"""Typed parameters of a notebook: values from what was written on a command line, or by papermill into the notebook."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nplib.errors import UserError

INJECTED = "# Parameters"  # how papermill's cell of given values begins
_SCALARS = {"bool": bool, "int": int, "float": float, "str": str}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


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


def fit_value(parameter: Parameter, value: object) -> object:
    """A value of the parameter's type (bool, int, float, str, or a list of one of them), from one or from its text.

    Text of a list has commas between its items. Whole numbers do for a float or an int, 1 and 0 for a bool. A type that
    is none of these takes any value but a text. What fits in no such way is a ``BadParameter``.
    """
    kind = parameter.kind
    try:
        if kind.startswith("list[") and kind.endswith("]"):
            if isinstance(value, str):
                value = [item.strip() for item in value.strip().strip("[]()").split(",") if item.strip()]
            item = Parameter(parameter.name, kind[len("list[") : -1], parameter.default)
            return [fit_value(item, one) for one in value]
        return _scalar(kind, value)
    except (KeyError, TypeError, ValueError):
        raise BadParameter(
            f"{parameter.name} is {value!r}, which is no {kind} (the notebook has {parameter})"
        ) from None


def _scalar(kind: str, value: object) -> object:
    wanted = _SCALARS.get(kind)
    if type(value) is wanted or (wanted is None and not isinstance(value, str)):
        return value
    if isinstance(value, str):
        text = value.strip()
        return _BOOLEANS[text.lower()] if wanted is bool else _SCALARS[kind](text)
    if wanted is not str and type(value) in (int, float) and value == value // 1 and wanted(value) == value:
        return wanted(value)
    raise ValueError


def check_parameters(namespace: dict[str, object]) -> None:
    """Check what a notebook was given against the types that its parameters cell declares; called in its first cell.

    Papermill, unlike ``nplib book``, hands on whatever it is given: ``-p quick no`` as a text, which is true. Texts
    become values of the declared type here, and names that are not declared are refused.

    Args:
        namespace (dict): The notebook's ``globals()``; values are converted in place. ``In`` in it is what has run
            until now: the cell of typed assignments, and papermill's, which begins with ``# Parameters``.

    Raises:
        BadParameter: Naming each parameter that is unknown or of another type.
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

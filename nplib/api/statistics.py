"""Statistics of many cells as a dict whose values are made when they are first asked for, and kept from then on."""

from __future__ import annotations

import copy
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any

from nplib.benchmark import UnknownCell


class Unmade:
    """Stands for a value that nobody has asked for yet."""


class Statistics(dict):
    """Something of every cell by its module hash. A change to it, or to a value, stays for the life of the object.

    What is asked for here takes memory from then on; :meth:`handed_out` keeps nothing.

    Parameters
    ----------
    names : iterable of str
    make : callable
        Gives the value of a name, new at each call.
    """

    def __init__(self, names: Iterable[str] | Mapping[str, Any], make: Callable[[str], dict]) -> None:
        super().__init__(names if isinstance(names, Mapping) else dict.fromkeys(names, Unmade))
        self._make = make
        self._made: dict[str, dict] = {}  # shared with shallow copies, as their values are

    def handed_out(self, name: str) -> dict:
        """A value that the caller may change."""
        if name in self._made or (name in self and super().__getitem__(name) is not Unmade):
            return copy.deepcopy(self[name])
        return self._make(name) if name in self else self[name]

    def _stored(self) -> dict:
        return dict(dict.items(self))

    def __missing__(self, name: object) -> Any:
        if isinstance(name, str):
            self._make(name)  # for its error
        raise UnknownCell(f"{name!r} is no module hash of a cell that is there, or was taken out")

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if value is not Unmade:
            return value
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    # What the interpreter would answer from what is stored, past the method above.

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping) or len(self) != len(other):
            return False
        return all(name in other and value == other[name] for name, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __or__(self, other: Mapping) -> dict:
        return {**self, **other}

    def __ror__(self, other: Mapping) -> dict:
        return {**other, **self}

    def __repr__(self) -> str:
        return f"<statistics of {len(self):,} cells by module hash>"

    def __reduce__(self) -> tuple:
        return _restored, (self._stored(), self._make, self._made)

    def __deepcopy__(self, memo: dict) -> Statistics:
        return _restored(copy.deepcopy(self._stored(), memo), self._make, copy.deepcopy(self._made, memo))

    def copy(self) -> Statistics:
        return _restored(self._stored(), self._make, self._made)

    __copy__ = copy

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - this is what get does

    def items(self) -> ItemsView:
        return ItemsView(self)

    def values(self) -> ValuesView:
        return ValuesView(self)

    def pop(self, name: str, *default: Any) -> Any:
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        name = next(reversed(self.keys()), None)
        return name, self.pop(name)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]


def _restored(stored: dict, make: Callable[[str], dict], made: dict[str, dict]) -> Statistics:
    statistics = Statistics(stored, make)
    statistics._made = made
    return statistics

"""Statistics of many cells as a dict whose values are made when they are first asked for, and kept from then on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from nplib.benchmark import UnknownCell


class Unmade:
    """Stands for a value that nobody has asked for yet."""


class Statistics(MutableMapping, dict):
    """Something of every cell by its module hash. A change to it, or to a value, stays for the life of the object.

    What is asked for here takes memory from then on; :meth:`handed_out` keeps nothing.

    Args:
        make (callable): Gives the value of a name, new at each call.
    """

    def __init__(self, names: Iterable[str] | Mapping[str, Any], make: Callable[[str], dict]) -> None:
        dict.__init__(self, names if isinstance(names, Mapping) else dict.fromkeys(names, Unmade))
        self._make = make
        self._made: dict[str, dict] = {}  # shared with shallow copies, as their values are

    def handed_out(self, name: str) -> dict:
        """A value that the caller may change."""
        if name in self._made or (name in self and dict.__getitem__(self, name) is not Unmade):
            return copy.deepcopy(self[name])
        return self._make(name) if name in self else self[name]

    def _stored(self) -> dict:
        return dict(dict.items(self))

    def __missing__(self, name: object) -> Any:
        if isinstance(name, str):
            self._make(name)  # for its error
        raise UnknownCell(f"{name!r} is no module hash of a cell that is there, or was taken out")

    def __getitem__(self, name: str) -> Any:
        value = dict.__getitem__(self, name)
        if value is not Unmade:
            return value
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    # What dict answers from what is stored, MutableMapping answers from the method above. These look at names alone,
    # but for __iter__, which keeps the interpreter from copying what is stored.

    __setitem__, __delitem__, __contains__, __len__ = (
        dict.__setitem__,
        dict.__delitem__,
        dict.__contains__,
        dict.__len__,
    )
    keys, clear, __reversed__ = dict.keys, dict.clear, dict.__reversed__

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Mapping) -> dict:
        return {**self, **other}

    def __ror__(self, other: Mapping) -> dict:
        return {**other, **self}

    def popitem(self) -> tuple[str, Any]:
        name = next(reversed(self), None)
        return name, self.pop(name)

    def __repr__(self) -> str:
        return f"<statistics of {len(self):,} cells by module hash>"

    def copy(self) -> Statistics:
        return _restored(self._stored(), self._make, self._made)

    __copy__ = copy

    def __deepcopy__(self, memo: dict) -> Statistics:
        return _restored(copy.deepcopy(self._stored(), memo), self._make, copy.deepcopy(self._made, memo))

    def __reduce__(self) -> tuple:
        return _restored, (self._stored(), self._make, self._made)


def _restored(stored: dict, make: Callable[[str], dict], made: dict[str, dict]) -> Statistics:
    statistics = Statistics(stored, make)
    statistics._made = made
    return statistics

"""Where results come from: one door to all of them, by name or by path."""

from nplib.sources.door import (
    CONVERTED,
    NAMES,
    OFFICIAL,
    PARTS,
    DataUnavailable,
    choose,
    data_folder,
    fetch_full,
    find,
    find_records,
    load,
    locate,
)

__all__ = [
    "CONVERTED",
    "NAMES",
    "OFFICIAL",
    "PARTS",
    "DataUnavailable",
    "choose",
    "data_folder",
    "fetch_full",
    "find",
    "find_records",
    "load",
    "locate",
]

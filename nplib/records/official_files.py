"""The files of NASBench-101 as its authors publish them, the best first. Both hold all 423,624 cells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialFile:
    """What a file is called, where it is, what it must be, and its size in MB."""

    name: str
    url: str
    sha256: str
    megabytes: int


OFFICIAL_FILES = {
    "full": OfficialFile(
        "nasbench_full.tfrecord",
        "https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
        1950,
    ),
    "only108": OfficialFile(
        "nasbench_only108.tfrecord",
        "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
        499,
    ),
}

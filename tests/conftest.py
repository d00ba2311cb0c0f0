"""What tests share: the folder of reference outputs and real results, the enumerated space, and surrogates."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from nplib import sources
from nplib.benchmark import Benchmark
from nplib.space import Space, load_space

PROJECT = Path(__file__).parents[1]

# No test depends on what a network has, or on a table that is named to whoever runs the tests.
os.environ["NPLIB_OFFLINE"] = "1"
os.environ.pop("NPLIB_ONE_RUN", None)

# A shell starts what runs in the background with Ctrl-C ignored, and whatever the tests start and interrupt would
# inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference outputs and real results, which is not part of the project."""
    folder = Path(os.environ.get("NPLIB_SHARED") or PROJECT.parent / "shared")
    if not (folder / "golden").is_dir():
        reason = f"no reference outputs in {folder}; set NPLIB_SHARED to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def sample_path(shared: Path) -> Path:
    """The best-of-three results of 20,001 real cells."""
    return shared / "nasbench101" / "best_of_3_20k.json"


@pytest.fixture(scope="session")
def space() -> Space:
    return load_space()


@pytest.fixture(scope="session")
def surrogate() -> Benchmark:
    """All cells, 200 MB; made once if no cache has it."""
    return sources.load("surrogate")


@pytest.fixture(scope="session")
def small_surrogate(surrogate: Benchmark, space: Space) -> Benchmark:
    """A thousand of its cells, in memory."""
    chosen = np.random.default_rng(0).permutation(len(space))[:1000]
    about = {"source": surrogate.source, "labels": surrogate.labels, "sha256": surrogate.sha256}
    return Benchmark.from_space(space, chosen, surrogate.metrics[chosen], **about)

"""nplib._layout: what a benchmark file must hold, and what is said of one that does not."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from flip_bits import flip_bits

from nplib._layout import LAYOUT, SEAL
from nplib.benchmark import BadBenchmark, Benchmark, empty_metrics
from nplib.cell import Cell, Cells

CHAIN = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
POOL = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
DIRECT = Cell([[0, 1], [0, 0]], ["input", "output"])
CELLS = (CHAIN, POOL, DIRECT)


@pytest.fixture
def benchmark() -> Benchmark:
    return Benchmark.from_cells(CELLS, np.random.default_rng(0).random((3, 4, 3, 2, 4), dtype=np.float32))


@pytest.fixture
def file(benchmark, tmp_path) -> Path:
    path = tmp_path / "three.hdf5"
    benchmark.save(path)
    return path


def put(name, at, value):
    def change(file):
        file[name][at] = value

    return change


def replace(name, data):
    def change(file):
        data_now = data(file[name][()]) if callable(data) else data
        del file[name]
        file[name] = data_now

    return change


def drop(name):
    def change(file):
        del file[name]

    return change


def attribute_of(name, value):
    def change(file):
        file.attrs[name] = value

    return change


BAD_FILES = [
    (drop("metrics"), "dataset metrics is missing; it holds adjacency, hash.*nplib convert"),
    (drop("hash"), "dataset hash is missing"),
    (lambda file: (drop("hash")(file), file.create_group("hash")), "hash is no dataset"),
    (replace("hash", np.zeros(0, "S32")), r"hash has shape \(0,\)"),
    (replace("hash", np.bytes_("a")), r"hash has shape \(\)"),
    (replace("hash", np.arange(3)), "hash is of type int64"),
    (replace("hash", lambda h: h.astype("S40") + np.array(b"beef", "S4")), "a module hash has 32 characters"),
    (replace("num_vertices", lambda v: v[:2]), r"num_vertices has shape \(2,\); for 3 cells it must be \(3,\)"),
    (replace("metrics", lambda m: m[..., :3]), r"metrics has shape \(3, 4, 3, 2, 3\).*\(3, 4, 3, 2, 4\)"),
    (replace("metrics", np.zeros((3, 4, 3, 2, 4), np.int32)), "metrics is of type int32; it must be float32"),
    (replace("num_vertices", np.zeros(3)), "num_vertices is of type float64; it must be int8"),
    (replace("num_vertices", np.array([3, 3, 300])), "num_vertices holds numbers from 3 to 300; they must fit int8"),
    (put("hash", 1, b"feed"), "hash 1 is 'feed'"),
    (put("hash", 1, b"Z" * 32), "hash 1 is 'ZZ"),
    (put("hash", 2, CHAIN.module_hash.encode()), f"cells 0, 2 have one hash, {CHAIN.module_hash}"),
    (put("num_vertices", 1, 8), "num_vertices of cell 1 is 8; cells have 2 to 7"),
    (put("num_vertices", 1, 1), "num_vertices of cell 1 is 1"),
    (put("adjacency", (1, 2, 0), 1), r"adjacency of cell 1, which has 3 vertices, is 1 at \(2, 0\)"),
    (put("adjacency", (1, 0, 1), 2), r"adjacency of cell 1.*is 2 at \(0, 1\)"),
    (put("adjacency", (1, 0, 1), -1), r"adjacency of cell 1.*is -1 at \(0, 1\)"),
    (put("adjacency", (2, 0, 2), 1), r"adjacency of cell 2, which has 2 vertices, is 1 at \(0, 2\)"),
    (put("operations", (0, 1), 3), r"operations of cell 0.*are \[-1, 3, -2, 0, 0, 0, 0\]"),
    (put("operations", (0, 0), 0), "operations of cell 0"),
    (put("operations", (2, 1), 0), "operations of cell 2, which has 2 vertices"),
    (put("operations", (2, 4), 1), "operations of cell 2"),
    (put("trainable_parameters", 1, -5), "trainable_parameters of cell 1 is -5"),
    (
        put("metrics", (2, 3, 1, 1, 2), 93.5),
        r"validation_accuracy of cell 2 \(108 epochs, run 1, end\) is 93.5; accuracies are fractions",
    ),
    (put("metrics", (0, 0, 0, 0, 3), -0.1), r"test_accuracy of cell 0 \(4 epochs, run 0, halfway\) is -0.1"),
    (put("metrics", (1, 1, 2, 1, 0), np.inf), r"training_time of cell 1 \(12 epochs, run 2, end\) is inf; times"),
    (attribute_of("schema_version", 2), "is of layout 2, and this nplib reads up to 1; update nplib"),
    (attribute_of("schema_version", "one"), "schema_version is 'one'"),
    (attribute_of("schema_version", 0), "schema_version is "),
]


@pytest.mark.parametrize(("change", "found"), BAD_FILES, ids=[found for _, found in BAD_FILES])
def test_a_bad_file_is_refused_by_name(file, change, found):
    with h5py.File(file, "r+") as stored:
        change(stored)
    with pytest.raises(BadBenchmark, match=found) as caught:
        Benchmark.open(file)
    assert str(file) in str(caught.value)


def test_a_bad_array_in_memory_is_refused_too():
    with pytest.raises(BadBenchmark, match="metrics has shape"):
        Benchmark.from_cells(CELLS, empty_metrics(2))


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("num_vertices", lambda v: v.astype(np.int64)),
        ("trainable_parameters", lambda p: p.astype(np.uint32)),
        ("metrics", lambda m: m.astype(np.float64)),
        ("hash", lambda h: h.astype("S64")),
        ("hash", lambda h: h.astype(object)),
    ],
)
def test_types_that_hold_the_same_values_are_taken(benchmark, file, name, convert):
    with h5py.File(file, "r+") as stored:
        replace(name, convert)(stored)
    again = Benchmark.open(file)
    for attribute, dtype in zip(("hashes", *list(LAYOUT)[1:]), (dtype for _, dtype in LAYOUT.values()), strict=True):
        assert getattr(again, attribute).dtype == dtype
        assert np.array_equal(getattr(again, attribute), getattr(benchmark, attribute))


def test_half_equal_hashes_are_no_duplicates():
    """The test for duplicates sorts mixed numbers; those that differ in one word only must stay apart."""
    hashes = np.array([b"0" * 8 + b"%024x" % i for i in range(5000)], "S32")
    many = dict(
        num_vertices=np.full(5000, 2, np.int8),
        trainable_parameters=np.zeros(5000, np.int32),
        adjacency=np.tile(np.eye(7, k=1, dtype=np.int8) * (np.arange(7) == 1).astype(np.int8), (5000, 1, 1)),
        operations=np.tile(np.array([-1, -2, 0, 0, 0, 0, 0], np.int8), (5000, 1)),
        metrics=empty_metrics(5000),
    )
    assert len(Benchmark(hashes=hashes, **many)) == 5000
    hashes[4321] = hashes[17]
    with pytest.raises(BadBenchmark, match="cells 17, 4321 have one hash"):
        Benchmark(hashes=hashes, **many)


def test_what_is_no_hdf5_is_refused(tmp_path, file):
    with pytest.raises(BadBenchmark, match="does not exist"):
        Benchmark.open(tmp_path / "none.hdf5")
    with pytest.raises(BadBenchmark, match="is a folder"):
        Benchmark.open(tmp_path)
    for content in (b"", b"module_hash,accuracy\n", bytes(5000)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(BadBenchmark, match="other cannot be read as HDF5"):
            Benchmark.open(tmp_path / "other")


def test_a_file_cut_short_anywhere_is_refused(tmp_path, file):
    whole, metrics = file.read_bytes(), Benchmark.open(file).metrics
    cut = tmp_path / "cut.hdf5"
    end = whole.rindex(SEAL)
    for length in (*range(0, end, 97), end - 1, end + len(SEAL), len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(BadBenchmark, match=r"cut\.hdf5"):
            Benchmark.open(cut)
    for length in range(end, end + len(SEAL)):  # all that was measured is there
        cut.write_bytes(whole[:length])
        assert Benchmark.open(cut).metrics.tobytes() == metrics.tobytes()


def test_damage_is_refused_before_hdf5_reads_it(file, monkeypatch):
    """HDF5 goes round for ever at some bytes, and crashes at others."""
    whole = file.read_bytes()
    monkeypatch.setattr(h5py, "File", lambda *_, **__: pytest.fail("HDF5 was asked"))
    for place in np.random.default_rng(0).integers(whole.rindex(SEAL), size=50):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        with pytest.raises(BadBenchmark, match="is not as it was written"):
            Benchmark.open(file)


# What the arrays say against what the file says


def test_no_flipped_bit_gives_other_results_in_silence(file):
    outcomes = flip_bits(file, 400)
    assert set(outcomes) <= {"refused", "equal"} and outcomes["refused"] > 80  # of three cells there is little to hit


@pytest.mark.parametrize("name", ["source", "labels", "kind", "source_sha256", "digest"])
def test_what_was_changed_after_writing_is_refused(file, name):
    with h5py.File(file, "r+") as stored:
        stored.attrs[name] = "0" * 64
    with pytest.raises(BadBenchmark, match=r"three\.hdf5 is not as it was written"):
        Benchmark.open(file)


def test_a_file_of_ours_that_lost_what_it_says_of_itself_is_refused(file):
    """As HDF5 drops all attributes behind a damaged one, the digest among them."""
    lost = ("digest", "source_sha256", "kind", "labels", "source", "schema_version")
    for name in lost:
        with h5py.File(file, "r+") as stored:
            del stored.attrs[name]
        if name != "digest":
            with pytest.raises(BadBenchmark, match=r"three\.hdf5 does not say all that it must of where it is from"):
                Benchmark.open(file)


@pytest.fixture
def foreign(file) -> Path:
    """A file that states no digest, as the reference's own."""
    with h5py.File(file, "r+") as stored:
        del stored.attrs["digest"]
    return file


def test_a_file_without_a_digest_is_taken_where_graphs_have_their_hashes(benchmark, foreign):
    assert np.array_equal(Benchmark.open(foreign).metrics, benchmark.metrics)


LOOSE = Cell([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], ["input", *["maxpool3x3"] * 2, "output"])
APART = Cell([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], ["input", *["maxpool3x3"] * 2, "output"])
FULL = Cell(np.triu(np.ones((7, 7), int), 1), ["input", *["maxpool3x3"] * 5, "output"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (LOOSE, "cell 1, of hash .* every vertex must be on a path"),
        (APART, "cell 1, of hash .* every vertex must be on a path"),
        (FULL, "at most 9 edges, not 21"),
        (CHAIN, f"cell 1 has the hash {POOL.module_hash}, and that of its graph is {CHAIN.module_hash}"),
    ],
)
def test_a_graph_that_has_not_its_hash_or_is_no_cell_is_refused(foreign, cell, message):
    num_vertices, adjacency, operations = (
        getattr(Cells.of([cell]), name)[0] for name in ("num_vertices", "adjacency", "operations")
    )
    with h5py.File(foreign, "r+") as stored:
        for name, value in zip(list(LAYOUT)[1:], (num_vertices, 0, adjacency, operations), strict=False):
            stored[name][1] = value
    with pytest.raises(BadBenchmark, match=message):
        Benchmark.open(foreign)


def test_swapped_hashes_are_named(shared):
    message = r"cell 0 has the hash eb0ef54e91ef162c9d690f3bb09a96ae, and that of its graph is fe50beb1c1cb744f1e88117"
    with pytest.raises(BadBenchmark, match=message):
        Benchmark.open(shared / "faults" / "hash_swapped.hdf5")


# What leads out of a file


def external(file):
    shape = file["metrics"].shape
    Path("raw").write_bytes(bytes(4 * int(np.prod(shape))))
    del file["metrics"]
    file.create_dataset("metrics", shape, "f4", external=[("raw", 0, h5py.h5f.UNLIMITED)])


def virtual(source):
    def change(file):
        shape = file["metrics"].shape
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(source, "metrics", shape)
        del file["metrics"]
        file.create_virtual_dataset("metrics", layout)

    return change


def link(kind, name="metrics"):
    def change(file):
        if name in file:
            file.move(name, "elsewhere")
        file[name] = kind

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "dataset metrics is virtual or lies in another file"),
        (virtual("other.hdf5"), "dataset metrics is virtual or lies in another file"),
        (virtual("."), "dataset metrics is virtual or lies in another file"),
        (virtual("pipe"), "dataset metrics is virtual or lies in another file"),
        (link(h5py.SoftLink("/elsewhere")), "metrics is a link to elsewhere"),
        (link(h5py.SoftLink("/metrics")), "metrics is a link to elsewhere"),
        (link(h5py.ExternalLink("pipe", "metrics")), "metrics is a link to elsewhere"),
        (link(h5py.ExternalLink("/dev/zero", "x"), "unheard_of"), "unheard_of is a link to elsewhere"),
    ],
)
def test_what_leads_out_of_a_file_is_refused_before_it_is_followed(foreign, monkeypatch, change, message):
    monkeypatch.chdir(foreign.parent)
    os.mkfifo("pipe")  # whoever opens it waits for ever
    with h5py.File(foreign, "r+") as stored:
        change(stored)
    with pytest.raises(BadBenchmark, match=message):
        Benchmark.open(foreign)


def test_a_virtual_dataset_of_itself_is_refused(shared):
    with pytest.raises(BadBenchmark, match="dataset metrics is virtual"):
        Benchmark.open(shared / "faults" / "virtual_self.hdf5")


def test_more_cells_than_there_are_take_no_memory(foreign):
    with h5py.File(foreign, "r+") as stored:
        for name, (shape, dtype) in LAYOUT.items():
            del stored[name]
            stored.create_dataset(name, (10**9, *shape), dtype, chunks=(1000, *shape))
    with pytest.raises(BadBenchmark, match=r"hash has shape \(1000000000,\); it needs .* at most 423,624"):
        Benchmark.open(foreign)


def test_a_whole_table_opens_in_a_second(surrogate, tmp_path):
    surrogate.save(tmp_path / "table.hdf5")
    times = []
    for _ in range(5):
        started = time.thread_time()
        Benchmark.open(tmp_path / "table.hdf5")
        times.append(time.thread_time() - started)
    assert min(times) < 1

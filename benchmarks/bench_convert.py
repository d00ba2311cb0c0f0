"""How fast a tfrecord file is converted, hash verification on, beside a decoder that takes one record at a time.

Each conversion runs in a process of its own, so that its memory is its own; the file lies in the disk cache. "First"
is a fresh process, which loads compiled code and the enumerated space; "again" is the same process once more.
Compilation, once after installation, is measured apart with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from nplib._files import sha256_of
from nplib.errors import UserError

# The official reader and the reference's converter on 240,000 records and 2 cores: 22.1 s. A figure measured once, as
# that code needs TensorFlow 1.
REFERENCE_RECORDS_PER_SECOND = 240_000 / 22.1


def peak_memory() -> float:
    """Largest resident memory of this process, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        # Elsewhere; macOS counts bytes.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def convert_repeatedly(source: str, repeats: int) -> None:
    """What the measured process does: print seconds, records and memory as JSON."""
    started = time.perf_counter()
    from nplib.convert import convert_tfrecord

    imported = time.perf_counter() - started
    with tempfile.TemporaryDirectory(dir=Path(source).parent) as folder:
        done = [convert_tfrecord(source, Path(folder, "b.hdf5"), overwrite=True) for _ in range(repeats)]
    print(
        json.dumps(
            {
                "import": imported,
                "seconds": [conversion.seconds for conversion in done],
                "records": done[0].records,
                "bytes": done[0].size,
                "memory": peak_memory(),
            }
        )
    )


def measured(source: Path, repeats: int, **environment: str) -> dict:
    command = [sys.executable, __file__, str(source), "--repeats", str(repeats), "--measured"]
    result = subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def plain_decoder(source: Path, limit: int) -> float:
    """Records a second of ``records.read_records``, over the first ``limit`` of a file."""
    from nplib.records import read_records

    sum(1 for _ in islice(read_records(source), 100))  # loads the compiled checksum
    started = time.perf_counter()
    count = sum(1 for _ in islice(read_records(source), limit))
    return count / (time.perf_counter() - started)


def make_file(target: Path, cells: int) -> Path:
    script = Path(__file__).with_name("make_records.py")
    subprocess.run([sys.executable, script, target, "--cells", str(cells)], check=True)
    return target


def compile_seconds(folder: Path) -> float:
    """What the first conversion after installation takes longer than the second, each in a fresh process."""
    source = make_file(folder / "few.tfrecord", 10)
    cache = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    return measured(source, 1, **cache)["seconds"][0] - measured(source, 1, **cache)["seconds"][0]


def report(source: Path, repeats: int, plain_records: int, folder: Path) -> None:
    sha256_of(source)  # brings the file into the disk cache
    compiling = compile_seconds(folder)
    plain = plain_decoder(source, plain_records)
    result = measured(source, repeats)
    records, size = result["records"], result["bytes"]
    first, *again = result["seconds"]
    print(f"{source.name}: {records:,} records, {size / 1e6:,.1f} MB, hashes verified")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"compilation, once              {compiling:8.2f} s")
    rows = [("first, in a fresh process", first)]
    if again:
        rows.append((f"again, median of {len(again)}", statistics.median(again)))
        rows.append((f"again, best of {len(again)}", min(again)))
    for name, seconds in rows:
        rate = records / seconds
        print(
            f"{name:30} {seconds:8.3f} s {rate:12,.0f} records/s {size / 1e6 / seconds:8,.1f} MB/s "
            f"{rate / plain:6.1f}x plain decoder {rate / REFERENCE_RECORDS_PER_SECOND:6.1f}x reference"
        )
    print(f"plain decoder, same run        {plain:34,.0f} records/s (first {min(plain_records, records):,})")
    print(f"reference, as published        {REFERENCE_RECORDS_PER_SECOND:34,.0f} records/s (240,000 in 22.1 s)")
    print(f"peak resident memory           {result['memory']:8.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, help="tfrecord file; without it, one is made and removed")
    parser.add_argument("--cells", type=int, default=20_000, help="of the file to make, 12 records each")
    parser.add_argument("--repeats", type=int, default=6, help="conversions in one process")
    parser.add_argument("--plain-records", type=int, default=50_000, help="records for the plain decoder")
    parser.add_argument("--measured", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    try:
        if arguments.measured:
            convert_repeatedly(str(arguments.source), arguments.repeats)
            return
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            source = arguments.source or make_file(folder / "made.tfrecord", arguments.cells)
            report(source, arguments.repeats, arguments.plain_records, folder)
    except (UserError, OSError) as error:
        sys.exit(f"bench_convert: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()

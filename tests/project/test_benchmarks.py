"""The benchmark of graphics cards, tried without one: what it measures is there, and adds up."""

import re
import runpy
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_benchmark_of_cards_runs_on_a_processor_and_finds_no_difference_to_it(monkeypatch, capsys):
    options = ["--device", "cpu", "--seeds", "2", "3", "--epochs", "1", "--hidden", "4"]
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", *options])
    runpy.run_path(str(BENCHMARKS / "bench_gpu.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert re.findall(r"cpu, (\d) as one: \d+\.\d+ ms", said) == ["2", "3"]
    assert said.count("predictions differ by 0.0e+00 at most") == 2

"""A book small enough to build in a test: real notebooks, the project's own configuration."""

import shutil
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat

PROJECT = Path(__file__).parents[2]
# A cell that leaves results as the book's own notebooks do.
SAVES_RESULTS = """
from nplib.benchmark import Benchmark, empty_metrics
from nplib.cell import Cell
from nplib.publish.page import save_results
cell = Cell([[0, 1], [0, 0]], ["input", "output"])
one = Benchmark.from_cells([cell], empty_metrics(1), source="made", labels="made")
save_results(results_folder, "01_first", one, {"a": 1})
"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write_notebook(path: Path, cells: Sequence[str], parameters: str = "", figure: dict | None = None) -> None:
    """Store a notebook without outputs: title, parameters if any, and cells; ``figure`` goes to the last one."""
    content = nbformat.v4.new_notebook(metadata=KERNEL)
    content.cells.append(nbformat.v4.new_markdown_cell(f"# {path.stem}"))
    if parameters:
        content.cells.append(
            nbformat.v4.new_code_cell(textwrap.dedent(parameters).strip(), metadata={"tags": ["parameters"]})
        )
    content.cells += [nbformat.v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in cells]
    if figure:
        content.cells[-1].metadata["mystnb"] = figure
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, path)


def write_book(folder: Path) -> Path:
    """Two notebooks of which the second knows ``epochs``, and a page that gathers what they found; listed first."""
    (folder / "book").mkdir(parents=True)
    shutil.copyfile(PROJECT / "_config.yml", folder / "_config.yml")
    shutil.copytree(PROJECT / "book" / "_static", folder / "book" / "_static")
    (folder / "book" / "references.bib").write_text(
        "@article{wen2019, author={Wen, Wei}, title={Neural Predictor}, journal={arXiv}, year={2019}}\n"
    )
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: book/results\n- file: notebooks/01_first\n"
        "- file: notebooks/02_second\n"
    )
    (folder / "book" / "intro.md").write_text("# Front\n\nA front page.\n")
    write_notebook(
        folder / "notebooks" / "01_first.ipynb",
        ["from pathlib import Path", "Path(results_folder, 'first.txt').write_text('one')"],
        parameters="results_folder: str = ''",
    )
    write_notebook(
        folder / "notebooks" / "02_second.ipynb",
        ["from pathlib import Path", "Path(results_folder, 'second.txt').write_text(f'{epochs} {quick}')"],
        parameters="""
        epochs: int = 3  # passes
        quick: bool = False
        results_folder: str = ''
        """,
    )
    write_notebook(
        folder / "book" / "results.ipynb",
        [
            "from pathlib import Path",
            "{path.name: path.read_text() for path in sorted(Path(results_folder).iterdir())}",
        ],
        parameters="results_folder: str = ''",
    )
    return folder


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)

"""Draw the picture of the README from real results: ``python book/readme_picture.py`` (about ten seconds)."""

from pathlib import Path

import matplotlib.pyplot as plt

from nplib import plots, sources
from nplib.splits import split_indices
from nplib.training import fit_predictor

TARGET = Path(__file__).parent / "_static" / "readme.png"


def main() -> None:
    benchmark = sources.load("sample")
    plots.use_style(benchmark)
    labels, trained = benchmark.accuracy_labels(), split_indices(benchmark, "172")
    graphs = benchmark.cells
    predicted = fit_predictor(graphs, labels, seed=0, training_cells=trained).predict(graphs)
    figure = plt.figure(figsize=(8.4, 6.2))
    axes = figure.subplot_mosaic([["first", "second"], ["wide", "close"]], height_ratios=(1, 2.3))
    for name, index, kind in (("first", labels.argmax(), "best"), ("second", labels.argmin(), "worst that trains")):
        plots.draw_cell(benchmark.cell(index), axes[name], f"the {kind}: {labels[index]:.1%} validation accuracy")
    plots.draw_scatter(axes["wide"], labels, predicted, trained, (0.8, 0.96))
    plots.draw_scatter(axes["close"], labels, predicted, trained, (0.9, 0.95))
    plots.finish(figure).savefig(TARGET, dpi=100)


if __name__ == "__main__":
    main()

"""Draw the picture of the README from the recorded results: ``python book/readme_picture.py``."""

import json
from pathlib import Path

import pandas as pd

from nplib import plots
from nplib.plots import few_labels

BOOK = Path(__file__).parent
TARGET = BOOK / "_static" / "readme.png"


def main() -> None:
    found = json.loads((BOOK / "recorded.json").read_text(encoding="utf8"))
    plots.use_style(found["source"])
    few = found["results"]["09_few_labels"]
    taus = [
        (name, int(count), value)
        for name, by_count in few["kendall_tau"].items()
        for count, values in by_count.items()
        for value in values
    ]
    frame = pd.DataFrame(taus, columns=["predictor", "labels", "tau"])
    figure = few_labels.by_labels(frame, "Kendall's tau, unseen cells", band=few["ceiling_tau"])
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()

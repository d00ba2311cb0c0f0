"""``nplib search``: search in a benchmark, or name the cells that someone should train next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nplib.cli import common
from nplib.cli.common import counted, waiting
from nplib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from nplib.benchmark import Benchmark
    from nplib.search import Histories, Proposer, Trainings
    from nplib.space import Space

SHARE_FIRST = 0.5  # of a budget, that is trained at random where nobody says how much
RIVAL_SEEDS = 20
POPULATION = 100  # of the evolution held against it, or all cells where there are fewer
SHOWN, DRAWN = 10, 6  # proposed cells that are told and drawn
OF_A_BENCHMARK = ("data", "rounds", "seeds", "keep_by")


def search(
    context: typer.Context,
    budget: Annotated[
        int, typer.Option(metavar="TRAININGS", min=2, max=423_624, help="How many cells may be trained in all.")
    ],
    first: Annotated[
        int | None,
        typer.Option(metavar="CELLS", min=1, help="Of them trained first, to learn from; half if not given."),
    ] = None,
    design: Annotated[
        Literal["random", "variance"],
        typer.Option(help="Which are first: random ones, or those that leave a Gaussian process least unsure."),
    ] = "random",
    predictor: Annotated[
        Literal["gcn", "two-stage", "gp", "gp-plain"] | None,
        typer.Option(
            help="What learns: Gaussian process, gp-plain with nothing chosen by other labels; graph network, the "
            "paper's; one behind a classifier. If not given: gp; of labels of your own gp-plain."
        ),
    ] = None,
    keep_by: Annotated[
        Literal["run", "posterior"],
        typer.Option(help="Keep the cell with the best run, or by what a Gaussian process makes of all runs."),
    ] = "run",
    rounds: Annotated[
        int,
        typer.Option(metavar="NUMBER", min=1, help="Train the proposed cells in so many parts; learn anew after each."),
    ] = 1,
    seed: common.Seed = 0,
    seeds: common.Seeds = 1,
    data: common.Data = "auto",
    device: common.Device = "auto",
    scheduler: common.Scheduler = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="For your own training: write the random cells to train, and stop."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Learn from your own results (.csv or .json) instead, and name the cells to train next.",
        ),
    ] = None,
    output: common.Output = None,
    picture: common.Picture = None,
    json_file: common.Json = None,
    overwrite: common.Overwrite = False,
) -> None:
    """Find the best cell that a budget of trainings can buy.

    Some cells are trained, a predictor learns from them and predicts
    all cells, the best predicted are trained, and the best by
    validation accuracy is kept. Trainings are looked up in a benchmark,
    or are your own. --output writes the proposed cells, --picture draws
    the search beside others, the cell kept and the first proposed.
    Examples:

    nplib search --budget 192 --seeds 10

    nplib search --budget 192 --first 172 --predictor gcn

    nplib search --budget 100 --first 28 --design variance --rounds 9

    nplib search --budget 100 --plan train.csv

    nplib search --budget 100 --labels train.csv --output next.csv
    """
    if plan is not None and labels is not None:
        raise UserError("--plan is for before your training, --labels for after it; leave out one of them")
    why = "{} looks at no benchmark and makes one step of one search; leave it out"
    if plan is not None:
        common.refuse(context, (*OF_A_BENCHMARK, "output", "picture", "json_file"), why.format("--plan"))
    if labels is not None:
        common.refuse(context, (*OF_A_BENCHMARK, "first", "design"), why.format("--labels"))
    # Columns, priors and scale of "gp" were chosen with labels of NASBench-101, and others' may be of another task.
    predictor = predictor or ("gp" if labels is None else "gp-plain")
    out = common.Results(json_file, picture, [plan, output], overwrite)
    if labels is not None and labels.resolve() in out.targets:
        raise UserError(f"{labels} would be read and written; choose another name for what is written")
    common.refuse_early(data, device)
    first = max(1, round(SHARE_FIRST * budget)) if first is None else first
    if labels is None and not first < budget:
        raise UserError(f"--first is {first:,} of a budget of {budget:,}; leave a training for a proposed cell")
    if labels is None and rounds > budget - first:
        most = f"{budget - first:,}"
        raise UserError(f"--rounds is {rounds}; {most} proposed cells can be trained in 1 to {most} rounds")
    with waiting("starting"):
        from nplib.search.trainings import BadSearch
        from nplib.training import choose_device
        from nplib.two_stage import TwoStageFailed
    asked = {"budget": budget, "predictor": predictor, "device": str(choose_device(device))}
    asked |= {"device": None} if predictor.startswith("gp") else {}
    try:
        if labels is None:
            check_learnable(predictor, first, f"--first is {first} of a budget of {budget}")
        if plan is not None:
            _plan(out, plan, budget, first, design, seed)
        elif labels is not None:
            _next_cells(out, asked, seed, labels, output)
        else:
            how = {"rounds": rounds, "design": design, "keep_by": keep_by}
            _search(out, asked, first, how, range(seed, seed + seeds), data, output)
    except TwoStageFailed as error:
        raise BadSearch(f"{error}. Here: give more random cells (--first), or another --predictor") from None
    out.end()


def check_learnable(predictor: str, count: int, what: str) -> None:
    """Refuse fewer cells than the predictor can learn from."""
    from nplib.gp import GPConfig
    from nplib.search.trainings import BadSearch
    from nplib.training import paper_config

    least, why = (GPConfig() if predictor.startswith("gp") else paper_config(max(count, 1))).least_cells
    if count < least:
        raise BadSearch(f"{what}, and nothing can be learned from so few: {why}. There must be {least} or more")


def _plan(out: common.Results, plan: Path, budget: int, first: int, design: str, seed: int) -> None:
    """Write the cells that a search begins with."""
    from nplib.search.cell_table import write_cells
    from nplib.search.designs import first_cells
    from nplib.space import load_space

    space = load_space()
    with waiting("choosing cells"):
        write_cells(plan, space, first_cells(space.cells, first, seed, design), overwrite=out.overwrite)
    chosen = "random cells" if design == "random" else "cells that tell most of the others,"
    out.say(
        f"{plan}: {first:,} {chosen} to train. Fill in their validation_accuracy (fractions), then: "
        f"nplib search --budget {budget} --labels {plan}"
    )


def _proposer(asked: Mapping[str, object], cells: Benchmark | Space, labels: int) -> Proposer:
    """What learns and proposes."""
    from nplib.search import make_proposer

    options = {"device": asked["device"] or "cpu", "progress": True}
    return make_proposer(asked["predictor"], cells.cells, labels, **options)


def _next_cells(out: common.Results, asked: Mapping[str, object], seed: int, labels: Path, output: Path | None) -> None:
    """Learn from someone's own trainings, and name the cells to train next."""
    from nplib.search.cell_table import read_labels, write_cells
    from nplib.search.trainings import BadSearch, useful
    from nplib.space import load_space

    space = load_space()
    trained, accuracies = read_labels(labels, space)
    count = asked["budget"] - len(trained)
    if count < 1:
        raise BadSearch(
            f"--budget is {asked['budget']:,}, and {labels} has {len(trained):,} trained cells already: nothing is "
            "left to propose; raise the budget"
        )
    good = useful(accuracies)
    check_learnable(asked["predictor"], int(good.sum()), f"{labels} has {good.sum()} trainings that did not fail")
    out.say(f"{labels}: {len(trained):,} cells trained, {(~good).sum()} of them failed; predicting all {len(space):,}")
    propose = _proposer(asked, space, int(good.sum()))
    (proposed,) = propose([trained[good]], [accuracies[good]], [trained], count, [seed])
    best = int(trained[accuracies.argmax()])
    if output is not None:
        out.write("proposed cells", output, lambda file: write_cells(file, space, proposed, None, out.overwrite))
    titles = [f"{place}." for place in range(1, DRAWN + 1)]
    out.draw("own", lambda plots: plots.draw_cells([space.cell(cell) for cell in proposed[:DRAWN]], titles))
    cells = _described(space, [best, *proposed])
    out.json(
        {
            **asked,
            "labels": str(labels),
            "labelled_cells": len(trained),
            "failed": int((~good).sum()),
            "seed": seed,
            "best": cells[0] | {"validation_accuracy": float(accuracies.max())},
            "proposed": cells[1:],
        }
    )
    out.say(f"best so far, {100 * accuracies.max():.2f} % validation accuracy:")
    out.cell(space, best)
    out.say(f"to train next, best predicted first ({counted(count, 'cell')}):")
    _tell_proposed(out, [cell["module_hash"] for cell in cells[1:]], output)


def _described(cells: Benchmark | Space, indices: list[int]) -> list[dict[str, object]]:
    """Cells as JSON can hold them."""
    from nplib.search.cell_table import cell_frame

    rows = cell_frame(cells, indices).drop(columns="place").to_dict("records")
    return [row | {"operations": row["operations"].split(",")} for row in rows]


def _search(
    out: common.Results,
    asked: Mapping[str, object],
    first: int,
    how: Mapping[str, Any],
    seeds: range,
    data: str,
    output: Path | None,
) -> None:
    """Search in a benchmark, once a seed."""
    from nplib.metrics import summarize
    from nplib.search import Trainings, evolution, predictor_search, random_search
    from nplib.search.cell_table import write_cells

    budget, predictor, rounds = asked["budget"], asked["predictor"], how["rounds"]
    benchmark = common.load(data)
    trainings = Trainings.of(benchmark)
    trainings.check_queries(budget, "--budget")
    out.about(benchmark)
    out.say(
        f"a budget of {budget:,} trainings: {first:,} {'random' if how['design'] == 'random' else 'designed'} cells, "
        f"then the {budget - first:,} best predicted ({predictor}, {counted(rounds, 'round')}), "
        + (f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")
        + (f", {asked['device']}" if asked["device"] else "")
    )
    with waiting("learning, and predicting all cells"):
        propose = _proposer(asked, benchmark, first)
        found = predictor_search(trainings, propose, first, budget - first, seeds, progress=rounds > 1, **how)
    with waiting("searching without a predictor"):
        size = min(POPULATION, len(trainings))
        tournament = {"population_size": size, "tournament_size": min(10, size)}
        rivals = {
            "random search": random_search(trainings, budget, range(RIVAL_SEEDS)),
            "regularised evolution": evolution(trainings, budget, range(RIVAL_SEEDS), **tournament),
        }
    searches = {f"predictor search ({predictor})": found} | rivals
    judged = {name: _judged(trainings, history) for name, history in searches.items()}
    cells, seen = found.cells[0, first:], found.seen[0, first:]
    if output is not None:
        out.write("proposed cells", output, lambda file: write_cells(file, benchmark, cells, seen, out.overwrite))
    drawn = [benchmark.cell(cell) for cell in (found.best_cell[0], *cells[: DRAWN - 1])]
    titles = [f"kept: {100 * found.best_seen[0, -1]:.2f} %", *(f"{100 * value:.2f} %" for value in seen[: DRAWN - 1])]

    def picture(_plots: ModuleType) -> object:
        from nplib.plots.search import found as draw_search

        return draw_search(searches, drawn, titles, _what(trainings))

    out.draw(benchmark, picture)
    ours, *others = judged.values()
    about = {"first": first, "best": budget - first, **how}
    about |= {"data": common.described(benchmark) | {"has_test": trainings.has_test}}
    reports = {
        "searches": [_report(benchmark, found, ours, number) for number in range(len(seeds))],
        "others": {
            name: {"seeds": list(rival.seeds)} | {figure: values.tolist() for figure, values in of_rival.items()}
            for (name, rival), of_rival in zip(rivals.items(), others, strict=True)
        },
    }
    out.json(asked | about | reports)

    out.whose(benchmark)
    if len(seeds) == 1:
        _tell_kept(out, trainings, found, ours)
    else:
        kept = [benchmark.hashes[cell].decode() for cell in found.best_cell]
        places = [f"{place:,}" for place in ours["place"]]
        out.by_seed(seeds, {"cell kept": kept} | _percent(ours) | {"place": places}, ".2f")
    out.say(f"the same budget in other hands, {budget:,} trainings each, mean ± sd over seeds:")
    rows = [
        [name, len(searches[name].seeds), *(format(summarize(v), ".2f") for v in _percent(of_search).values())]
        for name, of_search in judged.items()
    ]
    out.table(["search", "seeds", *_percent(ours)], rows)
    if not trainings.has_test:
        out.say("mean test accuracy: unknown in this benchmark")
    out.say(f"{_what(trainings)} seen of the cell kept, %, mean over seeds, after so many trainings:")
    after = sorted({max(1, round(budget * part / 8)) for part in range(1, 9)} | {first})
    curve = [[n, *(f"{100 * history.best_seen[:, n - 1].mean():.2f}" for history in searches.values())] for n in after]
    out.table(["trainings", *searches], curve)
    if budget <= size:
        out.say(f"(the first {size} cells of evolution are random)")
    which = "" if len(seeds) == 1 else f" of seed {seeds[0]}"
    order = "best predicted first" if rounds == 1 else "by round, best predicted first"
    out.say(f"proposed cells{which}, {order}; {_what(trainings)} seen:")
    names = [benchmark.hashes[cell].decode() for cell in cells]
    _tell_proposed(out, [f"{name}  {100 * value:.2f} %" for name, value in zip(names, seen, strict=True)], output)


def _what(trainings: Trainings) -> str:
    return trainings.metric.replace("_", " ")


def _judged(trainings: Trainings, history: Histories) -> dict[str, np.ndarray]:
    """Of the cells kept, a value a search, fractions, and their places; no test accuracy where it is unknown."""
    means = trainings.mean_seen
    of_kept = means[history.best_cell]
    figures = {trainings.metric.replace("accuracy", "seen"): history.best_seen[:, -1]}
    if trainings.has_test:
        figures["mean_test"] = history.best_test[:, -1]
    return figures | {"regret": means.max() - of_kept, "place": 1 + (means > of_kept[:, None]).sum(axis=1)}


def _percent(judged: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same accuracies for people, by their heads."""
    return {
        "regret, points" if name == "regret" else f"{name.replace('_', ' ')}, %": 100 * values
        for name, values in judged.items()
        if name != "place"
    }


def _tell_kept(out: common.Results, trainings: Trainings, history: Histories, judged: Mapping[str, np.ndarray]) -> None:
    cell, query = int(history.best_cell[0]), int(history.place[0, -1])
    begun = query < history.first
    out.say(f"kept, {f'first cell {query + 1}' if begun else f'proposed cell {query - history.first + 1}'}:")
    out.cell(trainings.benchmark, cell)
    runs = trainings.seen.shape[1]
    of_runs = f"; mean of {runs} runs: {100 * trainings.mean_seen[cell]:.2f} %" if runs > 1 else ""
    out.say(f"  {_what(trainings)} seen: {100 * history.best_seen[0, -1]:.2f} %{of_runs}")
    if trainings.has_test:
        out.say(f"  {trainings.judge}: {100 * history.best_test[0, -1]:.2f} %")
    out.say(
        f"  regret: {100 * judged['regret'][0]:.2f} points of mean {_what(trainings)} below the best cell; place "
        f"{judged['place'][0]:,} of {len(trainings):,}"
    )


def _tell_proposed(out: common.Results, lines: list[str], output: Path | None) -> None:
    for place, line in enumerate(lines[:SHOWN], start=1):
        out.say(f"{place:>6}  {line}")
    if len(lines) > SHOWN:
        elsewhere = "" if output or out.json_file else "; --output FILE.csv writes them all"
        out.say(f"   ... and {len(lines) - SHOWN:,} more{elsewhere}")


def _report(
    benchmark: Benchmark, history: Histories, judged: Mapping[str, np.ndarray], number: int
) -> dict[str, object]:
    """One search as JSON can hold it."""
    (kept,) = _described(benchmark, [history.best_cell[number]])
    name = next(iter(judged))
    proposed = zip(history.cells[number], history.seen[number], strict=True)
    return {
        "seed": history.seeds[number],
        "kept": kept,
        **{figure: values[number].item() for figure, values in judged.items()},
        "proposed": [
            {"module_hash": benchmark.hashes[cell].decode(), name: float(seen)}
            for cell, seen in [*proposed][history.first :]
        ],
    }

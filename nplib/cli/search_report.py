"""What ``nplib search`` does: search in a benchmark, or name the cells that someone should train next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nplib import sources
from nplib._files import replacing, write_json
from nplib.benchmark import SURROGATE, Benchmark
from nplib.cell import Cells
from nplib.cli.search_options import SearchOptions
from nplib.metrics import summarize
from nplib.search.cell_table import cell_texts, read_labels, write_cells
from nplib.search.proposers import Proposer, make_proposer
from nplib.search.searches import draw_cells, evolution, predictor_search, random_search
from nplib.search.trainings import BadSearch, Histories, Trainings, useful
from nplib.space import SPACE_SIZE, Space, load_space
from nplib.training import choose_device
from nplib.two_stage.stages import TwoStageFailed

BASELINE_SEEDS = 20
POPULATION = 100  # of the evolution held against it, or all cells where there are fewer
SHOWN, DRAWN = 10, 6  # proposed cells that are printed and drawn
_PERCENT = {"validation_seen": "validation seen, %", "mean_test": "mean test, %", "regret": "regret, points"}


def run_search(options: SearchOptions) -> None:
    """Search, or plan; print, and write what was asked for.

    Raises
    ------
    UserError
        If options do not fit together, data are missing, or the search cannot be carried out.
    """
    options.check()
    if options.plan is not None:
        _plan(options)
        return
    try:
        if options.labels is None:
            _search(options)
        else:
            _next_cells(options)
    except TwoStageFailed as error:
        raise BadSearch(f"{error}. Here: give more random cells (--first), or another --predictor") from None


def _plan(options: SearchOptions) -> None:
    """Write the random cells that a search begins with."""
    cells = draw_cells(SPACE_SIZE, options.num_first, options.seeds[0])
    write_cells(options.plan, load_space(), cells, overwrite=options.overwrite)
    options.say(
        f"{options.plan}: {len(cells):,} random cells to train. Fill in their validation_accuracy (fractions), then: "
        f"nplib search --budget {options.budget} --labels {options.plan}"
    )


def _next_cells(options: SearchOptions) -> None:
    """Learn from someone's own trainings, and name the cells to train next."""
    space = load_space()
    trained, accuracies = read_labels(options.labels, space)
    count = options.budget - len(trained)
    if count < 1:
        raise BadSearch(
            f"--budget is {options.budget:,}, and {options.labels} has {len(trained):,} trained cells already: nothing "
            "is left to propose; raise the budget"
        )
    good = useful(accuracies)
    options.check_learnable(int(good.sum()), f"{options.labels} has {int(good.sum())} trainings that did not fail")
    options.say(
        f"{options.labels}: {len(trained):,} cells trained, {int((~good).sum())} of them failed; predicting all "
        f"{len(space):,}"
    )
    propose = _proposer(options, space.cells, int(good.sum()))
    (proposed,) = propose([trained[good]], [accuracies[good]], [trained], count, options.seeds)
    best = int(trained[accuracies.argmax()])
    options.say(f"best so far, {100 * accuracies.max():.2f} % validation accuracy:")
    _show_cell(options, space, best)
    options.say(f"to train next, best predicted first ({count:,} cells):")
    _show_proposed(options, [f"{index:>6}  {space.hashes[cell].decode()}" for index, cell in enumerate(proposed, 1)])
    _write_cells(options, space, proposed, None)
    _write_report(
        options,
        {
            "labels": str(options.labels),
            "labelled_cells": len(trained),
            "failed": int((~good).sum()),
            "seed": options.seeds[0],
            "best": _cell_report(space, best) | {"validation_accuracy": float(accuracies.max())},
            "proposed": [_cell_report(space, cell) for cell in proposed],
        },
    )


def _search(options: SearchOptions) -> None:
    """Search in a benchmark, once a seed."""
    benchmark = sources.load(options.data, progress=True)
    trainings = Trainings.of(benchmark)
    trainings.check_queries(options.budget, "--budget")
    first, best = options.num_first, options.budget - options.num_first
    seeds = options.seeds
    options.say(f"data: {benchmark.source}, {len(benchmark):,} cells; {benchmark.labels}")
    options.say(
        f"a budget of {options.budget:,} trainings: {first:,} random cells, then the {best:,} best predicted "
        f"({options.predictor}, {options.rounds} {'round' if options.rounds == 1 else 'rounds'}), "
        f"{f'seed {seeds[0]}' if len(seeds) == 1 else f'{len(seeds)} seeds'}{_on(options)}"
    )
    propose = _proposer(options, benchmark.cells, first)
    history = predictor_search(
        trainings, propose, first, best, seeds, rounds=options.rounds, progress=options.rounds > 1
    )
    rivals = _rivals(trainings, options.budget)
    if benchmark.source == SURROGATE:
        options.say(f"Figures on the surrogate, {benchmark.kind}:")
    if len(seeds) == 1:
        _show_kept(options, trainings, history, first)
    else:
        _show_seeds(options, trainings, history)
    _show_rivals(options, trainings, {f"predictor search ({options.predictor})": history} | rivals)
    proposed, seen = history.cells[:, first:], history.seen[:, first:]
    which = "" if len(seeds) == 1 else f" of seed {seeds[0]}"
    order = "best predicted first" if options.rounds == 1 else "by round, best predicted first"
    options.say(f"proposed cells{which}, {order}; validation accuracy seen:")
    lines = [
        f"{place:>6}  {benchmark.hashes[cell].decode()}  {100 * value:.2f} %"
        for place, (cell, value) in enumerate(zip(proposed[0], seen[0], strict=True), start=1)
    ]
    _show_proposed(options, lines)
    _write_cells(options, benchmark, proposed[0], seen[0])
    _write_report(options, _report(options, trainings, history, rivals))


def _proposer(options: SearchOptions, graphs: Cells, labels: int) -> Proposer:
    return make_proposer(options.predictor, graphs, labels, device=options.device, progress=True)


def _on(options: SearchOptions) -> str:
    return "" if options.predictor == "gp" else f", {choose_device(options.device)}"


def _rivals(trainings: Trainings, budget: int) -> dict[str, Histories]:
    """By name, what the same budget gives searches without a predictor."""
    seeds = range(BASELINE_SEEDS)
    size = min(POPULATION, len(trainings))
    return {
        "random search": random_search(trainings, budget, seeds),
        "regularised evolution": evolution(
            trainings, budget, seeds, population_size=size, tournament_size=min(10, size)
        ),
    }


def _figures(trainings: Trainings, history: Histories) -> dict[str, np.ndarray]:
    """Of the cells kept, a value a search, fractions; no test accuracy where it is unknown."""
    means = trainings.mean_seen
    figures = {"validation_seen": history.best_seen[:, -1]}
    if trainings.has_test:
        figures["mean_test"] = history.best_test[:, -1]
    return figures | {"regret": means.max() - means[history.best_cell]}


def _places(trainings: Trainings, history: Histories) -> list[int]:
    """Of the cells kept among all, by mean validation accuracy; 1 is the best."""
    means = trainings.mean_seen
    return [1 + int((means > means[cell]).sum()) for cell in history.best_cell]


def _show_kept(options: SearchOptions, trainings: Trainings, history: Histories, first: int) -> None:
    cell, query = int(history.best_cell[0]), int(history.place[0, -1])
    found = f"random cell {query + 1}" if query < first else f"proposed cell {query - first + 1}"
    options.say(f"kept, {found}:")
    _show_cell(options, trainings.benchmark, cell)
    runs = trainings.seen.shape[1]
    seen, mean = history.best_seen[0, -1], trainings.mean_seen[cell]
    of_runs = f"; mean of {runs} runs: {100 * mean:.2f} %" if runs > 1 else ""
    options.say(f"  validation accuracy seen: {100 * seen:.2f} %{of_runs}")
    test = f"{100 * history.best_test[0, -1]:.2f} %" if trainings.has_test else "unknown in this benchmark"
    options.say(f"  mean test accuracy: {test}")
    regret = _figures(trainings, history)["regret"][0]
    options.say(
        f"  regret: {100 * regret:.2f} points of mean validation accuracy below the best cell; place "
        f"{_places(trainings, history)[0]:,} of {len(trainings):,}"
    )


def _show_seeds(options: SearchOptions, trainings: Trainings, history: Histories) -> None:
    """A row a search."""
    figures = _figures(trainings, history)
    options.say(
        f"{'seed':>9}  {'cell kept':<32}" + "".join(f"{_PERCENT[name]:>20}" for name in figures) + f"{'place':>9}"
    )
    for number, (seed, place) in enumerate(zip(history.seeds, _places(trainings, history), strict=True)):
        name = trainings.benchmark.hashes[history.best_cell[number]].decode()
        texts = "".join(f"{100 * values[number]:>20.2f}" for values in figures.values())
        options.say(f"{seed:>9}  {name}{texts}{place:>9,}")
    texts = "".join(f"{format(summarize(100 * values), '.2f'):>20}" for values in figures.values())
    options.say(f"mean ± sd  {'':<32}{texts}")
    if not trainings.has_test:
        options.say("mean test accuracy: unknown in this benchmark")


def _show_rivals(options: SearchOptions, trainings: Trainings, searches: Mapping[str, Histories]) -> None:
    options.say(f"the same budget in other hands, {options.budget:,} trainings each, mean ± sd over seeds:")
    rows = {name: _figures(trainings, history) for name, history in searches.items()}
    heads = next(iter(rows.values()))
    options.say(f"  {'search':<30}{'seeds':>6}" + "".join(f"{_PERCENT[name]:>20}" for name in heads))
    for name, figures in rows.items():
        texts = "".join(f"{format(summarize(100 * values), '.2f'):>20}" for values in figures.values())
        options.say(f"  {name:<30}{len(searches[name].seeds):>6}{texts}")
    if options.budget <= min(POPULATION, len(trainings)):
        options.say(f"  (the first {min(POPULATION, len(trainings))} cells of evolution are random)")


def _show_cell(options: SearchOptions, cells: Benchmark | Space, index: int) -> None:
    cell = cells.cell(index)
    edges = " ".join(f"{u}->{v}" for u, v in cell.edges)
    options.say(f"  {cells.hashes[index].decode()}")
    options.say(f"  operations: {', '.join(cell.operations)}")
    options.say(f"  edges: {edges}")


def _show_proposed(options: SearchOptions, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        options.say(line)
    if len(lines) > SHOWN:
        elsewhere = "" if options.output or options.json_file else "; --output FILE.csv writes them all"
        options.say(f"   ... and {len(lines) - SHOWN:,} more{elsewhere}")


def _write_cells(
    options: SearchOptions, cells: Benchmark | Space, proposed: np.ndarray, seen: np.ndarray | None
) -> None:
    """The proposed cells as a table and as a picture, where asked for."""
    if options.output is not None:
        write_cells(options.output, cells, proposed, seen, options.overwrite)
        options.say(f"proposed cells: {options.output}")
    if options.picture is not None:
        from nplib import plots

        titles = [f"{place}." for place in range(1, DRAWN + 1)] if seen is None else [f"{100 * v:.2f} %" for v in seen]
        with plots.showing(cells if isinstance(cells, Benchmark) else "own"):
            figure = plots.draw_cells([cells.cell(cell) for cell in proposed[:DRAWN]], titles[:DRAWN])
        with replacing(options.picture, options.overwrite) as partial:
            figure.savefig(partial, format=options.picture.suffix[1:])
        options.say(f"picture: {options.picture}")


def _cell_report(cells: Benchmark | Space, index: int) -> dict[str, object]:
    operations, adjacency = cell_texts(cells, index)
    return {"module_hash": cells.hashes[index].decode(), "operations": operations.split(","), "adjacency": adjacency}


def _report(
    options: SearchOptions, trainings: Trainings, history: Histories, rivals: Mapping[str, Histories]
) -> dict[str, object]:
    """Everything about searches in a benchmark as JSON can hold it."""
    benchmark, first = trainings.benchmark, options.num_first
    figures = _figures(trainings, history)
    places = _places(trainings, history)
    about = {name: getattr(benchmark, name) for name in ("source", "labels", "sha256")}
    searches = [
        {
            "seed": seed,
            "kept": _cell_report(benchmark, history.best_cell[number]),
            **{name: float(values[number]) for name, values in figures.items()},
            "place": places[number],
            "proposed": [
                {"module_hash": benchmark.hashes[cell].decode(), "validation_seen": float(seen)}
                for cell, seen in zip(history.cells[number, first:], history.seen[number, first:], strict=True)
            ],
        }
        for number, seed in enumerate(history.seeds)
    ]
    others = {
        name: {"seeds": list(rival.seeds)}
        | {figure: values.tolist() for figure, values in _figures(trainings, rival).items()}
        for name, rival in rivals.items()
    }
    return {
        "data": about | {"cells": len(benchmark), "has_test": trainings.has_test},
        "first": first,
        "best": options.budget - first,
        "rounds": options.rounds,
        "searches": searches,
        "others": others,
    }


def _write_report(options: SearchOptions, report: Mapping[str, object]) -> None:
    if options.json_file is None:
        return
    device = None if options.predictor == "gp" else str(choose_device(options.device))
    about = {"budget": options.budget, "predictor": options.predictor, "device": device}
    write_json(options.json_file, about | dict(report), options.overwrite)
    if not options.to_stdout:
        options.say(f"report: {options.json_file}")

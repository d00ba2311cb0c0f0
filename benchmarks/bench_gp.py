"""Time the Gaussian-process predictor, beside libraries that fit one too where they are installed.

python benchmarks/bench_gp.py
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from nplib.cell import Cells
from nplib.features import NAMES, features_of
from nplib.gp import GPConfig, GPPredictor, fit_gps
from nplib.gp.process import NOISE
from nplib.gp.targets import TARGETS
from nplib.space import load_space

BAG = GPConfig(members=9, feature_sets=(NAMES,), column_share=0.5, targets=TARGETS)


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fit_with_scikit_learn(X: np.ndarray, targets: np.ndarray) -> None:
    """The same kernel by maximum likelihood: it has no priors of hyper-parameters. So many steps as it takes."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel() * Matern(np.full(X.shape[1], X.shape[1] ** 0.5), nu=1.5) + WhiteKernel(0.15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many length-scales go to their bounds
        GaussianProcessRegressor(kernel).fit(X, targets)


def fit_with_gpytorch(X: np.ndarray, targets: np.ndarray, steps: int) -> None:
    """The same kernel and priors, by so many steps of L-BFGS."""
    import gpytorch

    class Model(gpytorch.models.ExactGP):
        def __init__(self, rows: torch.Tensor, labels: torch.Tensor, likelihood: torch.nn.Module) -> None:
            super().__init__(rows, labels, likelihood)
            prior = gpytorch.priors.LogNormalPrior(0.5 * np.log(rows.shape[1]), 1.0)
            matern = gpytorch.kernels.MaternKernel(1.5, ard_num_dims=rows.shape[1], lengthscale_prior=prior)
            self.kernel = gpytorch.kernels.ScaleKernel(matern)
            self.mean = gpytorch.means.ZeroMean()

        def forward(self, rows: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
            return gpytorch.distributions.MultivariateNormal(self.mean(rows), self.kernel(rows))

    rows, labels = torch.from_numpy(X), torch.from_numpy(targets)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(gpytorch.priors.LogNormalPrior(np.log(0.15), 0.7))
    model = Model(rows, labels, likelihood).double().train()
    density = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -density(model(rows), labels)
        loss.backward()
        return loss

    optimizer.step(closure)


def fit_many(graphs: Cells, accuracies: np.ndarray, count: int, labels: int, config: GPConfig) -> None:
    """Fit random draws of labels, a new one each time; whatever fails is raised."""
    smallest = np.inf
    for seed in range(count):
        cells = np.random.default_rng([seed, 9]).permutation(len(graphs))[:labels]
        (predictor,) = fit_gps(graphs, accuracies, [0], config, training_cells=cells).predictors
        smallest = min(smallest, *(float(np.exp(row[NOISE])) for row in predictor.parameters))
        if not np.isfinite(predictor.posterior(graphs[:100])).all():
            raise SystemExit(f"draw {seed}: a posterior is no finite number")
    print(f"{count:,} random draws of {labels} labels: all fitted; smallest noise variance {smallest:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds; in each, all sides run (default 3)")
    parser.add_argument("--labels", type=int, nargs="*", default=[172], help="how many labels (default 172)")
    parser.add_argument("--draws", type=int, default=0, help="fit so many random draws too, and tell if one fails")
    options = parser.parse_args()

    space = load_space()
    graphs = space.cells
    print(f"{torch.get_num_threads()} threads, medians of {options.repeats} rounds")
    print(f"features of all {len(space):,} cells: {timed(lambda: features_of(graphs)):.1f} s")
    random = np.random.default_rng(0)
    depth = features_of(graphs)[:, NAMES.index("mean_conv3x3_by_flow")].astype(np.float64)
    accuracies = np.clip(0.88 + 0.02 * depth + random.normal(0, 0.005, len(space)), 0, 0.955)
    for labels in options.labels:
        cells = random.permutation(len(space))[:labels]
        for name, config in (("default", GPConfig()), ("bag of 9", BAG)):
            rows: dict[str, list[float]] = {}
            fitted: list[GPPredictor] = []

            def fit(config: GPConfig = config, cells: np.ndarray = cells, fitted: list[GPPredictor] = fitted) -> None:
                fitted[:] = fit_gps(graphs, accuracies, [0], config, training_cells=cells).predictors

            work = {
                "fit": fit,
                "predict all": lambda fitted=fitted: fitted[0].predict(graphs),
                "posterior of all": lambda fitted=fitted: fitted[0].posterior(graphs),
            }
            if name == "default":
                fit()
                X, targets = fitted[0].rows, (accuracies[cells] - accuracies[cells].mean()) / accuracies[cells].std()
                if importlib.util.find_spec("sklearn"):
                    work["fit, scikit-learn, no priors"] = lambda X=X, t=targets: fit_with_scikit_learn(X, t)
                if importlib.util.find_spec("gpytorch"):
                    steps = config.iterations
                    work["fit, GPyTorch"] = lambda X=X, t=targets, steps=steps: fit_with_gpytorch(X, t, steps)
            for _ in range(options.repeats):
                for what, call in work.items():
                    rows.setdefault(what, []).append(timed(call))
            for what, seconds in rows.items():
                print(f"{labels} labels, {name}, {what}: {statistics.median(seconds):.2f} s", flush=True)
    if options.draws:
        fit_many(graphs, accuracies, options.draws, options.labels[0], GPConfig())


if __name__ == "__main__":
    main()

"""One Gaussian process is the textbook's, and its gradient is that of its density."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from nplib.errors import UserError
from nplib.gp.process import (
    AMPLITUDE,
    FURTHEST,
    LENGTH,
    NOISE,
    WEIGHTS,
    GaussianProcess,
    Priors,
    most_probable,
    negative_log_posterior,
)


@pytest.fixture(autouse=True)
def one_thread():
    """As in fits: threads would wait for each other for longer than these small matrices take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def problem(labels=30, columns=4, seed=0, others=50):
    """Hyper-parameters drawn from their priors, rows, a function drawn from that process there, and noisy labels."""
    random = np.random.default_rng(seed)
    mean, sd = Priors().of(columns)
    parameters = mean + sd * random.uniform(-1, 1, WEIGHTS + columns)
    X = random.normal(size=(labels + others, columns))
    values = np.linalg.cholesky(kernel(parameters, X, X) + 1e-10 * np.eye(len(X))) @ random.normal(size=len(X))
    targets = values[:labels] + math.exp(parameters[NOISE] / 2) * random.normal(size=labels)
    return parameters, X[:labels], targets, X[labels:], values[labels:]


def kernel(parameters, A, B):
    """Matérn 3/2 as the book has it, from the differences of all rows."""
    lengths = np.sqrt(A.shape[1]) * np.exp(parameters[LENGTH] + parameters[WEIGHTS:])
    distances = np.sqrt((((A[:, None] - B[None]) / lengths) ** 2).sum(axis=2))
    return np.exp(parameters[AMPLITUDE]) * (1 + np.sqrt(3) * distances) * np.exp(-np.sqrt(3) * distances)


def textbook(parameters, X, targets, others):
    """Posterior mean and covariance of the function, with an explicit inverse."""
    inverse = np.linalg.inv(kernel(parameters, X, X) + math.exp(parameters[NOISE]) * np.eye(len(X)))
    across = kernel(parameters, others, X)
    return across @ inverse @ targets, kernel(parameters, others, others) - across @ inverse @ across.T


@pytest.mark.parametrize("columns", [1, 5])
def test_the_posterior_is_the_textbook_s(columns):
    parameters, X, targets, others, _ = problem(columns=columns)
    mean, covariance = textbook(parameters, X, targets, others)
    process = GaussianProcess(parameters, X, targets)
    ours = process.joint(others)
    np.testing.assert_allclose(ours[0], mean, atol=1e-9)
    np.testing.assert_allclose(ours[1], covariance, atol=1e-9)
    fast = process.predict(torch.from_numpy(others).float(), variance=True)
    np.testing.assert_allclose(fast[0], mean, atol=2e-4)
    np.testing.assert_allclose(fast[1], covariance.diagonal(), atol=2e-4)


def test_the_posterior_is_that_of_scikit_learn():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    kernels = gaussian_process.kernels
    parameters, X, targets, others, _ = problem()
    lengths = np.sqrt(X.shape[1]) * np.exp(parameters[LENGTH] + parameters[WEIGHTS:])
    fixed = math.exp(parameters[AMPLITUDE]) * kernels.Matern(lengths, nu=1.5)
    theirs = gaussian_process.GaussianProcessRegressor(fixed, alpha=math.exp(parameters[NOISE]), optimizer=None)
    mean, sd = theirs.fit(X, targets).predict(others, return_std=True)
    ours = GaussianProcess(parameters, X, targets).joint(others)
    np.testing.assert_allclose(ours[0], mean, atol=1e-9)
    np.testing.assert_allclose(ours[1].diagonal().sqrt(), sd, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(1, 6))
def test_the_gradient_is_that_of_finite_differences(seed, labels, columns):
    parameters, X, targets, _, _ = problem(labels, columns, seed)
    X[1] = X[0]  # the distance has a kink there, the kernel none

    def value(at):
        return negative_log_posterior(at, X, targets, Priors())[0]

    def gradient(at):
        return negative_log_posterior(at, X, targets, Priors())[1]

    assert check_grad(value, gradient, parameters) < 1e-4 * max(1, np.abs(gradient(parameters)).max())


def test_the_density_is_that_of_the_labels_and_the_priors():
    parameters, X, targets, _, _ = problem()
    priors = Priors(weight_sd=0.8)
    mean, sd = priors.of(X.shape[1])

    def plain(at):
        K = kernel(at, X, X) + math.exp(at[NOISE]) * np.eye(len(X))
        likelihood = targets @ np.linalg.solve(K, targets) / 2 + np.linalg.slogdet(K)[1] / 2
        return likelihood + (((at - mean) / sd) ** 2).sum() / 2

    assert negative_log_posterior(parameters, X, targets, priors)[0] == pytest.approx(plain(parameters), rel=1e-9)


def test_the_hyper_parameters_found_are_a_maximum_within_bounds():
    truth, X, targets, _, _ = problem(labels=80, seed=4)
    found = most_probable(X, targets, Priors(), 200)
    value, gradient = negative_log_posterior(found, X, targets, Priors())
    assert np.abs(gradient).max() < 1e-2
    assert value < negative_log_posterior(truth, X, targets, Priors())[0]
    mean, sd = Priors().of(X.shape[1])
    assert (np.abs(found - mean) <= FURTHEST * sd + 1e-9).all()


def test_intervals_cover_what_they_should_on_functions_of_the_prior():
    """Both with the true hyper-parameters and with those found, of the function and of new labels."""
    inside = []
    for seed in range(40):
        truth, X, targets, others, values = problem(labels=60, columns=3, seed=seed)
        for parameters in (truth, most_probable(X, targets, Priors(), 60)):
            mean, covariance = GaussianProcess(parameters, X, targets).joint(others)
            sd = covariance.diagonal().clamp_min(0).sqrt().numpy()
            inside.append(np.mean(np.abs(values - mean.numpy()) < 1.645 * sd))
    exact, found = np.reshape(inside, (-1, 2)).T
    assert abs(exact.mean() - 0.9) < 4 * exact.std() / np.sqrt(len(exact))
    assert 0.85 < found.mean() < 0.95


def test_more_labels_never_make_it_less_sure():
    parameters, X, targets, others, _ = problem(labels=40)
    variances = [
        GaussianProcess(parameters, X[:n], targets[:n]).joint(others)[1].diagonal().numpy() for n in (3, 10, 39, 40)
    ]
    for fewer, more in pairwise(variances):
        assert (more <= fewer + 1e-9).all() and more.mean() < fewer.mean()


def test_means_as_labels_come_are_those_of_processes_of_fewer_labels():
    parameters, X, targets, _, _ = problem(labels=30)
    means = GaussianProcess(parameters, X, targets).means_as_labels_come()
    for n in (1, 2, 17, 30):
        expected = GaussianProcess(parameters, X[:n], targets[:n]).joint(X[:n])[0]
        np.testing.assert_allclose(means[n - 1, :n], expected, atol=1e-9)


def test_left_out_variance_is_that_of_fits_without_a_label():
    parameters, X, targets, _, _ = problem(labels=12)
    kept = [np.delete(np.arange(12), left) for left in range(12)]
    variances = [
        textbook(parameters, X[rows], targets[rows], X[left : left + 1])[1][0, 0] + math.exp(parameters[NOISE])
        for left, rows in enumerate(kept)
    ]
    assert GaussianProcess(parameters, X, targets).left_out_variance == pytest.approx(np.mean(variances))


def test_slopes_are_those_of_the_mean():
    parameters, X, targets, _, _ = problem(labels=12)
    process = GaussianProcess(parameters, X, targets)
    step = 1e-5
    for column in range(X.shape[1]):
        shift = step * np.eye(X.shape[1])[column]
        rise = process.joint(X + shift)[0] - process.joint(X - shift)[0]
        np.testing.assert_allclose(process.slopes()[:, column], rise / (2 * step), atol=1e-4)


@pytest.mark.parametrize("change", [{"noise": 0.0}, {"weight_sd": -1.0}, {"length_sd": math.inf}], ids=str)
def test_impossible_priors_are_refused(change):
    with pytest.raises(UserError, match=next(iter(change))):
        Priors(**change)

"""One Gaussian process: its kernel, the hyper-parameters that its labels make most probable, and its posterior.

The kernel is amplitude x Matérn 3/2 of the distance after each column is multiplied by a scale of its own (automatic
relevance determination), plus noise. With far more columns than labels would determine, likelihood alone overfits, so
hyper-parameters have priors and are set to the most probable values (MAP). Source: Rasmussen and Williams, "Gaussian
Processes for Machine Learning", 2006, algorithm 2.1 and sections 4.2.1, 5.4.1 and 5.4.2 (left-out labels).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nplib.errors import UserError

# A column's scale is exp(-(length + weight)), noise variance and amplitude are exponentials too; these come first.
NOISE, AMPLITUDE, LENGTH, WEIGHTS = 0, 1, 2, 3
# No hyper-parameter goes further from the middle of its prior than so many of its standard deviations: a line search
# that tries absurd values would meet matrices that are singular in float64.
FURTHEST = 4.0
# Of the amplitude, added to variances of joint draws: cells with equal features make their covariance singular.
JITTER = 1e-6


class GPFailed(UserError):
    """A Gaussian process cannot be fitted to these labels; the message says what to change."""


@dataclass(frozen=True)
class Priors:
    """Normal priors of the logarithms of the hyper-parameters, for standardised columns and labels."""

    amplitude_sd: float = 2.0  # about 1, the variance of the labels
    length: float = 2.7  # the middle of the length-scale's that all columns share, times the root of their number
    length_sd: float = 1.0
    weight_sd: float = 0.3  # of a column's own factor; wider, and few labels decide too much
    noise: float = 0.15  # the middle of the noise variance's, a share of the variance of the labels
    noise_sd: float = 0.7

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{field.name} is {value}; it must be a finite number above 0")

    def of(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each hyper-parameter, both of shape (3 + columns,)."""
        mean = np.zeros(WEIGHTS + columns)
        mean[[NOISE, LENGTH]] = math.log(self.noise), math.log(self.length)
        sd = np.full(WEIGHTS + columns, self.weight_sd, dtype=np.float64)
        sd[[NOISE, AMPLITUDE, LENGTH]] = self.noise_sd, self.amplitude_sd, self.length_sd
        return mean, sd


def column_scales(parameters: np.ndarray) -> np.ndarray:
    """What columns are multiplied by, shape (C,): Matérn 3/2 is (1 + r) exp(-r) of the distance r that they then have.

    ``parameters`` are logarithms, shape (3 + C,): of noise variance, amplitude, length-scale, and of each column's own
    factor of that.
    """
    count = len(parameters) - WEIGHTS
    return np.sqrt(3 / count) * np.exp(-(parameters[LENGTH] + parameters[WEIGHTS:]))


def negative_log_posterior(
    parameters: np.ndarray, X: np.ndarray, targets: np.ndarray, priors: Priors
) -> tuple[float, np.ndarray]:
    """Minus the log posterior density of hyper-parameters, but for a constant, and its gradient, shape (3 + C,).

    Parameters are as of :class:`GaussianProcess`.
    """
    noise, amplitude = math.exp(parameters[NOISE]), math.exp(parameters[AMPLITUDE])
    Z = torch.from_numpy(X * column_scales(parameters))  # (n, C)
    t = torch.from_numpy(targets)[:, None]  # (n, 1)
    r = _distances(Z, Z)
    decay = torch.exp(-r).mul_(amplitude)  # (n, n)
    signal = r.add_(1).mul_(decay)  # (n, n)
    L = _factor(signal, noise)
    alpha = torch.cholesky_solve(t, L)  # (n, 1)
    # By K: half of its inverse less the outer product of alpha.
    by_K = torch.cholesky_inverse(L).addmm_(alpha, alpha.T, alpha=-1).div_(2)  # (n, n)
    gradient = np.empty_like(parameters)
    gradient[NOISE] = noise * by_K.trace().item()
    gradient[AMPLITUDE] = torch.sum(by_K * signal).item()
    # By r², since the derivative of (1 + r) exp(-r) by r² is -exp(-r) / 2. A column adds (z_i - z_j)² to it.
    by_squares = by_K.mul_(decay).div_(-2)  # (n, n)
    spread = by_squares.sum(dim=0) @ Z.square() - (Z * (by_squares @ Z)).sum(dim=0)  # (C,)
    gradient[WEIGHTS:] = -4 * spread.numpy()
    gradient[LENGTH] = gradient[WEIGHTS:].sum()

    mean, sd = priors.of(X.shape[1])
    off = (parameters - mean) / sd
    value = (t * alpha).sum().item() / 2 + L.diagonal().log().sum().item() + off @ off / 2
    return value, gradient + off / sd


def most_probable(X: np.ndarray, targets: np.ndarray, priors: Priors, iterations: int) -> np.ndarray:
    """Hyper-parameters, shape (3 + C,), by so many iterations of L-BFGS from the middle of their priors."""
    from scipy.optimize import minimize  # slow to load

    mean, sd = priors.of(X.shape[1])
    bounds = np.stack([mean - FURTHEST * sd, mean + FURTHEST * sd], axis=1)
    options = {"maxiter": iterations}
    found = minimize(
        negative_log_posterior, mean, (X, targets, priors), "L-BFGS-B", jac=True, bounds=bounds, options=options
    )
    return found.x


def _distances(A: Tensor, B: Tensor) -> Tensor:
    """Distances of rows, shape (len(A), len(B))."""
    squares = A.square().sum(dim=1)[:, None] + B.square().sum(dim=1)
    return squares.addmm_(A, B.T, alpha=-2).clamp_min_(0).sqrt_()


def _factor(signal: Tensor, noise: float) -> Tensor:
    """Lower Cholesky factor of the labels' covariance."""
    K = signal.clone()
    K.diagonal().add_(noise)
    L, failed = torch.linalg.cholesky_ex(K)
    if failed.item():
        raise GPFailed(
            f"the covariance of {len(K)} labels is not positive definite at row {failed.item()}; look for features "
            "that are no finite numbers, or give the noise's prior a larger middle or a smaller sd"
        )
    return L


class GaussianProcess:
    """A Gaussian process of given hyper-parameters, conditioned on labels.

    Args:
        parameters (array, shape (3 + C,)): See :func:`column_scales`.
        X (array, shape (n, C)): Standardised columns.
        targets (array, shape (n,)): Standardised labels.
    """

    def __init__(self, parameters: np.ndarray, X: np.ndarray, targets: np.ndarray) -> None:
        self.parameters = parameters
        self.noise, self.amplitude = math.exp(parameters[NOISE]), math.exp(parameters[AMPLITUDE])
        self.scales = torch.from_numpy(column_scales(parameters))
        self.Z = torch.from_numpy(X) * self.scales  # (n, C)
        self.L = _factor(self.covariance(self.Z, self.Z), self.noise)
        self.alpha = torch.cholesky_solve(torch.from_numpy(targets)[:, None], self.L)  # (n, 1)

    def covariance(self, A: Tensor, B: Tensor) -> Tensor:
        """Prior covariance of the function at scaled rows, shape (len(A), len(B))."""
        r = _distances(A, B)
        return torch.exp(-r).mul_(r.add_(1)).mul_(self.amplitude)

    @cached_property
    def left_out_variance(self) -> float:
        """Variance of a label given all others, mean over the labels."""
        return torch.cholesky_inverse(self.L).diagonal().reciprocal().mean().item()

    def means_as_labels_come(self) -> np.ndarray:
        """Posterior means at the labelled rows after the first 1, 2, ... labels, shape (n, n).

        Row q knows the labels to q, and its columns beyond q mean nothing.
        """
        inverse = torch.linalg.solve_triangular(self.L, torch.eye(len(self.L), dtype=self.L.dtype), upper=False)
        whitened = self.L.T @ self.alpha  # (n, 1)
        # A leading block of a triangular matrix has the leading block of its inverse, so one sum gives every alpha.
        alphas = inverse.mul_(whitened).cumsum(dim=0)  # (n, n)
        return ((self.L @ whitened).T - self.noise * alphas).numpy()

    def slopes(self) -> np.ndarray:
        """Slopes of the mean at the labelled rows, by each standardised column, shape (n, C)."""
        decay = torch.exp(-_distances(self.Z, self.Z)).mul_(-self.amplitude)  # (n, n)
        # Of the kernel by z_i: -amplitude exp(-r) (z_i - z_j).
        slopes = self.Z * (decay @ self.alpha) - decay @ (self.alpha * self.Z)  # (n, C)
        return (slopes * self.scales).numpy()

    @cached_property
    def _fast(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What many predictions read, in float32: column scales, labelled rows, alpha, and the inverse of L."""
        # A product of rows with their squared lengths and a one beside them is the squared distance at once.
        lengths, ones = self.Z.square().sum(dim=1, keepdim=True), torch.ones_like(self.alpha)
        labelled = torch.cat([-2 * self.Z, ones, lengths], dim=1).T.contiguous()  # (C + 2, n)
        inverse = torch.linalg.solve_triangular(self.L, torch.eye(len(self.L), dtype=self.L.dtype), upper=False)
        fast = (self.scales, labelled, self.alpha * self.amplitude, inverse.T.contiguous() * self.amplitude)
        return tuple(tensor.float() for tensor in fast)

    def predict(self, X: Tensor, *, variance: bool = False) -> tuple[Tensor, Tensor | None]:
        """Posterior mean and variance of the function at standardised rows, shape (B, C); both (B,), all in float32.

        The variance costs more than the mean, and is None if not asked for.
        """
        scales, labelled, alpha, inverse = self._fast
        Z = X.new_empty(len(X), X.shape[1] + 2)
        torch.mul(X, scales, out=Z[:, :-2])
        torch.sum(Z[:, :-2].square(), dim=1, out=Z[:, -2])
        Z[:, -1] = 1
        r = (Z @ labelled).clamp_min_(0).sqrt_()  # (B, n)
        kernel = torch.exp(-r).mul_(r.add_(1))  # (B, n)
        mean = (kernel @ alpha)[:, 0]
        if not variance:
            return mean, None
        explained = (kernel @ inverse).square_().sum(dim=1)
        return mean, (self.amplitude - explained).clamp_min_(JITTER * self.amplitude)

    def joint(self, X: np.ndarray) -> tuple[Tensor, Tensor]:
        """Posterior mean, shape (B,), and covariance, shape (B, B), of the function at rows, in float64."""
        Z = torch.from_numpy(X) * self.scales
        across = self.covariance(self.Z, Z)  # (n, B)
        V = torch.linalg.solve_triangular(self.L, across, upper=False)
        return (across.T @ self.alpha)[:, 0], self.covariance(Z, Z).addmm_(V.T, V, alpha=-1)

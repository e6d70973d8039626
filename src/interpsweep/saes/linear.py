"""Linear probes: where a value is against where it is not, many values at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ITERATIONS = 300


class Probes(NamedTuple):
    """Logistic probes of k values on activations of d dimensions."""

    weights: Floats  # (k, d)
    bias: Floats  # (k,)

    def logits(self, x: Floats) -> Floats:
        """Log odds (n, k) of activations (n, d)."""
        return x @ self.weights.T + self.bias

    def of(self, k: int, x: Floats) -> Floats:
        """Log odds (n,) by probe `k`."""
        return x @ self.weights[k] + self.bias[k]

    def directions(self) -> Floats:
        """Unit weights (k, d)."""
        norms = np.linalg.norm(self.weights, axis=1, keepdims=True)
        return self.weights / np.maximum(norms, 1e-300)


def one_vs_rest(x: Floats, wanted: Bools, ridge: float) -> Probes:
    """Logistic regressions of where each of k values is, `wanted` (n, k), on activations (n, d).

    Both sides of every value have the same total weight. Activations are centred and divided by
    their root mean variance, and `ridge` is half the factor of the squared weights there. The
    values share no parameters but are fitted together, by L-BFGS.
    """
    centre = x.mean(axis=0)
    scale = max(float(np.sqrt(x.var(axis=0).mean())), 1e-300)
    z = (x - centre) / scale
    k = wanted.shape[1]
    count = np.maximum(wanted.sum(axis=0), 1)
    others = np.maximum(len(x) - wanted.sum(axis=0), 1)
    weight = np.where(wanted, 0.5 / count, 0.5 / others)
    sign = np.where(wanted, 1.0, -1.0)
    d = x.shape[1]

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(k, d + 1)
        w, b = parameters[:, :d], parameters[:, d]
        margin = sign * (z @ w.T + b)
        error = -weight * sign * expit(-margin)
        value = np.sum(weight * np.logaddexp(0, -margin)) + 0.5 * ridge * np.sum(w**2)
        gradient = np.column_stack([error.T @ z + ridge * w, error.sum(axis=0)])
        return float(value), gradient.ravel()

    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS}
    found = minimize(loss, np.zeros(k * (d + 1)), jac=True, method="L-BFGS-B", options=options)
    parameters = found.x.reshape(k, d + 1)
    weights = parameters[:, :d] / scale
    return Probes(weights, parameters[:, d] - weights @ centre)


def f1(said: Bools, true: Bools) -> float:
    """2 tp / (said + true); 0 where nothing is."""
    return 2 * int(np.sum(said & true)) / max(int(np.sum(said)) + int(np.sum(true)), 1)


def f1_of_each(probes: Probes, x: Floats, wanted: Bools) -> Floats:
    """F1 (k,) of each of k probes on activations (n, d), where `wanted` (n, k) is true."""
    said = probes.logits(x) > 0
    return np.array([f1(said[:, v], wanted[:, v]) for v in range(wanted.shape[1])])

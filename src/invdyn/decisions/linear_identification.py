"""From inputs and outputs to a linear system: Markov parameters by closed-loop ARX, matrices by Ho-Kalman.

y_t = sum_i F_i y_{t-i} + sum_i G_i u_{t-i} is regressed (it holds whether or not u depends on past y); the impulse
response follows by h_0 = G_0, h_s = G_s + sum_{i=1..s} F_i h_{s-i}; its Hankel matrix is factored by SVD into
observability and controllability (Ho and Kalman 1966), from which A, B, C are read. Matrices come out up to a change of
state coordinates, so compare Markov parameters, never entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.errors import ConfigError, SignalError

__all__ = ["Realisation", "estimate_markov", "hankel", "ho_kalman"]


@dataclass(frozen=True)
class Realisation:
    """x' = A x + B u, y = C x + D u, in coordinates of the data's choosing.

    Args:
        A, B, C, D: matrices.
        singular_values: of the Hankel matrix; a gap tells the order.
    """

    A: Float64[np.ndarray, "x x"]
    B: Float64[np.ndarray, "x cause"]
    C: Float64[np.ndarray, "y x"]
    D: Float64[np.ndarray, "y cause"]
    singular_values: Float64[np.ndarray, " n"]

    def markov(self, count: int) -> Float64[np.ndarray, "lag y cause"]:
        """D, C B, C A B, ..."""
        found, power = [self.D], self.B
        for _ in range(count - 1):
            found.append(self.C @ power)
            power = self.A @ power
        return np.array(found[:count])

    def respond(self, u: Float64[np.ndarray, "time cause"]) -> Float64[np.ndarray, "time y"]:
        """Outputs from rest, without noise."""
        x, y = np.zeros(len(self.A)), []
        for cause in u:
            y.append(self.C @ x + self.D @ cause)
            x = self.A @ x + self.B @ cause
        return np.array(y)


def estimate_markov(
    u: Float64[np.ndarray, "time cause"],
    y: Float64[np.ndarray, "time y"],
    horizon: int,
    count: int,
    *,
    ridge: float = 1e-8,
) -> Float64[np.ndarray, "lag y cause"]:
    """h_0 ... h_(count-1) by least squares on `horizon` past inputs and outputs.

    Args:
        u, y: one recording; u has to move in every direction.
        horizon: lags of the regression; the noise of the state has to be forgotten within it.
        count: how many Markov parameters.
        ridge: relative to the mean square of the regressors.
    """
    time, m, p = len(u), y.shape[1], u.shape[1]
    unknown = horizon * (m + p) + p
    if len(y) != time or time - horizon < unknown:
        raise SignalError(
            f"estimate_markov: {time} inputs and {len(y)} outputs for {unknown} unknowns; give equally many, and at "
            f"least {unknown + horizon}."
        )
    past = [y[horizon - i : time - i] for i in range(1, horizon + 1)]
    inputs = [u[horizon - i : time - i] for i in range(horizon + 1)]
    rows = np.concatenate([*past, *inputs], 1)
    gram = rows.T @ rows
    gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram, rows.T @ y[horizon:]).T
    f = weights[:, : horizon * m].reshape(m, horizon, m).swapaxes(0, 1)
    g = weights[:, horizon * m :].reshape(m, horizon + 1, p).swapaxes(0, 1)
    found: list[np.ndarray] = []
    for s in range(count):
        term = g[s] if s <= horizon else np.zeros((m, p))
        for i in range(1, min(s, horizon) + 1):
            term = term + f[i - 1] @ found[s - i]
        found.append(term)
    return np.array(found)


def hankel(markov: Float64[np.ndarray, "lag y cause"], rows: int, columns: int) -> Float64[np.ndarray, "row column"]:
    """Blocks h_(i+j+1), i < rows, j < columns, of h_0, h_1, ..."""
    if rows + columns > len(markov):
        raise ConfigError(
            f"hankel: {rows} x {columns} blocks need {rows + columns} Markov parameters, there are {len(markov)}."
        )
    return np.block([[markov[i + j + 1] for j in range(columns)] for i in range(rows)])


def ho_kalman(markov: Float64[np.ndarray, "lag y cause"], order: int) -> Realisation:
    """A system of the given order with these Markov parameters.

    Raises:
        ConfigError: an order that the Hankel matrix cannot show.
    """
    rows = (len(markov) - 1) // 2
    columns = len(markov) - 1 - rows
    m, p = markov.shape[1:]
    if not 1 <= order <= min(rows * m, (columns - 1) * p):
        raise ConfigError(
            f"ho_kalman: order {order} from {len(markov)} Markov parameters of {m} outputs and {p} inputs; at most "
            f"{min(rows * m, (columns - 1) * p)} can be seen. Give more parameters or a lower order."
        )
    whole = hankel(markov, rows, columns)
    left, s, right = np.linalg.svd(whole[:, :-p], full_matrices=False)
    root = np.sqrt(s[:order])
    observe, control = left[:, :order] * root, root[:, None] * right[:order]
    a = (left[:, :order] / root).T @ whole[:, p:] @ (right[:order] / root[:, None]).T
    return Realisation(a, control[:, :p].copy(), observe[:m].copy(), markov[0].copy(), s)

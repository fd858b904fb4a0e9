"""Singular values of long products of matrices, accurate even where they span more than float64's 16 digits.

Source: Saxe, McClelland, Ganguli, arXiv 1312.6120, section 3; Lyapunov exponents of Gaussian products: Newman,
Comm. Math. Phys. 103 (1986).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import digamma

from invdyn.errors import SignalError

__all__ = ["gaussian_exponents", "product_singular_values"]


def product_singular_values(factors: Sequence[Float[np.ndarray, "n n"]]) -> Float[np.ndarray, " n"]:
    """Singular values of F_L ... F_1 (first factor first), largest first.

    Forming the product loses every value below 1e-16 of the largest. Here QR is carried through the factors, so that
    what remains is a triangle with rows of very different size, each accurate relative to itself; LAPACK's
    preconditioned Jacobi method (gejsv) keeps that accuracy.

    Raises:
        SignalError: factors that are not square matrices of one size, or a decomposition that fails.
    """
    from scipy.linalg import lapack

    n = factors[0].shape[0]
    if any(f.shape != (n, n) for f in factors):
        raise SignalError(
            f"product_singular_values: shapes {[f.shape for f in factors]}, expected squares of one size."
        )
    frame, triangle = np.eye(n), np.eye(n)
    for factor in factors:
        frame, r = np.linalg.qr(factor @ frame)
        triangle = r @ triangle
    # Transposed: gejsv (joba C) is accurate for well-conditioned columns times any diagonal.
    values, _, _, work, _, info = lapack.dgejsv(triangle.T, joba=0, jobu=3, jobv=3)
    if info:
        raise SignalError(f"product_singular_values: the decomposition failed (gejsv info {info}).")
    return np.sort(values * (work[0] / work[1]))[::-1]


def gaussian_exponents(n: int) -> Float[np.ndarray, " n"]:
    """Growth per layer of ln of the singular values of products of n x n matrices with entries of variance 1/n.

    (digamma((n - k + 1)/2) + ln(2/n)) / 2 for k = 1 ... n, exact in the limit of many layers.
    """
    k = np.arange(1, n + 1)
    return (digamma((n - k + 1) / 2) + np.log(2 / n)) / 2

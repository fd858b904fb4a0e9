"""`ArmKernel`: the covariance of one joint's torque, with a part for every term of the equation of motion."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from invdyn.errors import unknown_name

__all__ = ["ArmKernel", "KernelKind"]

KernelKind = Literal["rbf", "arm"]
START = {"length": 1.5, "near": 1.0, "narrow": 0.5}  # logarithms; of our choice, all are learned


class ArmKernel(nn.Module):
    """Prior covariance k(x, x') of a joint's torque over motions x = (q, qd, qdd), all in units of their spread.

    rbf: a^2 exp(-|x - x'|^2_L / 2) + x' W x + b^2, a length per input (ARD) and a linear part.
    arm: that, plus, for tau = sum_i M_i(q) qdd_i + sum_ik C_ik(q) qd_i qd_k + g(q) + f(qd), each factor a Gaussian
    process (sums and products as Nguyen-Tuong and Peters 2010 use them):

        inertia    (sum_i m_i^2 qdd_i qdd'_i) e(q, q')
        velocity   (sum_i c_i^2 qd_i qd'_i)^2 e(q, q')
        gravity    g^2 e(q, q')
        friction   f^2 e(qd, qd')

    each e(u, u') = exp(-|u - u'|^2_L / 2) with lengths of its own. Gaussian in q itself, not in its sine and cosine:
    an arm's joints stay within a turn.

    Args:
        kind: which.
        joints: n.
    """

    def __init__(self, kind: str, joints: int) -> None:
        super().__init__()
        if kind not in get_args(KernelKind):
            raise unknown_name("kernel", kind, get_args(KernelKind))
        self.kind, self.joints, n = kind, joints, joints
        self._own("length", 3 * n, START["length"])
        self._own("size", 1, 0.0)
        self._own("linear", 3 * n + 1, -1.0)
        if kind == "arm":
            for name, count, size in (("inertia", n, -1.0), ("velocity", n, -1.5), ("gravity", 1, -0.5)):
                self._own(name, count, size)
                self._own(f"{name}_length", n, START["near"])
            self._own("friction", 1, -2.0)
            self._own("friction_length", n, START["narrow"])

    def _own(self, name: str, count: int, log: float) -> None:
        self.register_parameter(f"log_{name}", nn.Parameter(torch.full((count,), log, dtype=torch.float64)))

    def _get(self, name: str) -> Float64[Tensor, " parts"]:
        value: Tensor = getattr(self, f"log_{name}")
        return value.exp()

    def forward(
        self, a: Float64[Tensor, "left inputs"], b: Float64[Tensor, "right inputs"]
    ) -> Float64[Tensor, "left right"]:
        """[A, B] covariance between the torques of two sets of motions [A, 3n], [B, 3n]."""
        n, w = self.joints, self._get("linear") ** 2
        k = self._get("size") ** 2 * self._near(a, b, "length") + (a * w[:-1]) @ b.T + w[-1]
        if self.kind == "rbf":
            return k
        (q, v, acc), (q2, v2, acc2) = a.split(n, 1), b.split(n, 1)
        k = k + (acc * self._get("inertia") ** 2) @ acc2.T * self._near(q, q2, "inertia_length")
        k = k + ((v * self._get("velocity") ** 2) @ v2.T) ** 2 * self._near(q, q2, "velocity_length")
        k = k + self._get("gravity") ** 2 * self._near(q, q2, "gravity_length")
        return k + self._get("friction") ** 2 * self._near(v, v2, "friction_length")

    def diagonal(self, a: Float64[Tensor, "left inputs"]) -> Float64[Tensor, " left"]:
        """[A] prior variances, k(x, x)."""
        w, n = self._get("linear") ** 2, self.joints
        k = self._get("size") ** 2 + (a**2) @ w[:-1] + w[-1]
        if self.kind == "rbf":
            return k
        _, v, acc = a.split(n, 1)
        k = k + acc**2 @ self._get("inertia") ** 2 + (v**2 @ self._get("velocity") ** 2) ** 2
        return k + self._get("gravity") ** 2 + self._get("friction") ** 2

    def _near(
        self, a: Float64[Tensor, "left part"], b: Float64[Tensor, "right part"], length: str
    ) -> Float64[Tensor, "left right"]:
        scale = self._get(length)
        a, b = a / scale, b / scale
        apart = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return torch.exp(-0.5 * apart.clamp_min(0))

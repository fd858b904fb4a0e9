"""Discrete answers: several independent groups of classes, or one table of joint classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invdyn.errors import SignalError
from invdyn.nn.distributions import CauseDistribution

__all__ = ["FactoredCategorical", "JointCategorical"]


def _checked(value: Tensor, sizes: Sequence[int]) -> Tensor:
    value = value.long()
    for group, size in enumerate(sizes):
        least, most = int(value[..., group].min()), int(value[..., group].max())
        if least < 0 or most >= size:
            raise SignalError(
                f"group {group} of a categorical cause holds classes {least} to {most}, expected 0 to {size - 1}. "
                "Set the bounds of the target signal to the classes it has."
            )
    return value


class FactoredCategorical(CauseDistribution):
    """Independent groups (20 buttons and 2 mouse axes in VPT); a cause is one class number per group.

    Args:
        logits: [..., sum of sizes] of all groups side by side.
        sizes: classes of each group.
    """

    def __init__(self, logits: Float[Tensor, "*batch logit"], sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.log_probs = [torch.log_softmax(part, -1) for part in logits.split(list(sizes), -1)]

    def point(self) -> Int[Tensor, "*batch group"]:
        """The most likely class of each group."""
        return torch.stack([p.argmax(-1) for p in self.log_probs], -1)

    def sample(self, generator: torch.Generator | None = None) -> Int[Tensor, "*batch group"]:
        draws = [torch.multinomial(p.exp().reshape(-1, p.shape[-1]), 1, generator=generator) for p in self.log_probs]
        return torch.cat(draws, -1).reshape(*self.log_probs[0].shape[:-1], len(self.sizes))

    def log_prob_per_dimension(self, value: Int[Tensor, "*batch group"]) -> Float[Tensor, "*batch group"]:
        value = _checked(value, self.sizes)
        parts = [p.gather(-1, value[..., g, None]).squeeze(-1) for g, p in enumerate(self.log_probs)]
        return torch.stack(parts, -1)

    def log_prob(self, value: Int[Tensor, "*batch group"]) -> Float[Tensor, "*batch"]:
        return self.log_prob_per_dimension(value).sum(-1)

    def spread(self) -> Float[Tensor, "*batch group"]:
        """1 - probability of the answer, per group."""
        return torch.stack([1 - p.max(-1).values.exp() for p in self.log_probs], -1)


class JointCategorical(CauseDistribution):
    """One class for every combination of groups, so that contradictory combinations can get no mass.

    Args:
        logits: [..., product of sizes], the last group varying fastest.
        sizes: classes of each group.
    """

    def __init__(self, logits: Float[Tensor, "*batch logit"], sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        if logits.shape[-1] != math.prod(sizes):
            raise SignalError(
                f"{logits.shape[-1]} joint logits for groups {tuple(sizes)}, expected {math.prod(sizes)}."
            )
        self.log_probs = torch.log_softmax(logits, -1)

    def _split(self, code: Tensor) -> Tensor:
        groups = []
        for size in reversed(self.sizes):
            groups.append(code % size)
            code = code // size
        return torch.stack(groups[::-1], -1)

    def point(self) -> Int[Tensor, "*batch group"]:
        """The most likely combination."""
        return self._split(self.log_probs.argmax(-1))

    def sample(self, generator: torch.Generator | None = None) -> Int[Tensor, "*batch group"]:
        flat = self.log_probs.exp().reshape(-1, self.log_probs.shape[-1])
        return self._split(torch.multinomial(flat, 1, generator=generator).reshape(self.log_probs.shape[:-1]))

    def log_prob(self, value: Int[Tensor, "*batch group"]) -> Float[Tensor, "*batch"]:
        value = _checked(value, self.sizes)
        code = torch.zeros_like(value[..., 0])
        for group, size in enumerate(self.sizes):
            code = code * size + value[..., group]
        return self.log_probs.gather(-1, code[..., None]).squeeze(-1)

    def spread(self) -> Float[Tensor, "*batch group"]:
        """1 - marginal probability of the answer's class, per group."""
        table = self.log_probs.exp().reshape(*self.log_probs.shape[:-1], *self.sizes)
        answer, first = self.point(), self.log_probs.ndim - 1
        out = []
        for group in range(len(self.sizes)):
            others = tuple(first + g for g in range(len(self.sizes)) if g != group)
            marginal = table.sum(others) if others else table
            out.append(1 - marginal.gather(-1, answer[..., group, None]).squeeze(-1))
        return torch.stack(out, -1)

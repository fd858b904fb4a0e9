"""Quasi-static contact of push2d: radii, and how overlaps are resolved."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

__all__ = ["DISC", "OBSTACLE", "PUSHER", "SPEED", "are_apart", "length", "push_out", "settle"]

PUSHER, DISC, OBSTACLE, SPEED = 0.05, 0.08, 0.07, 0.05
"""Radii, and the displacement per step of a cause of 1, as shares of the arena's side."""

SWEEPS, SLACK = 8, 1e-9
"""Contact sweeps per step; overlap that counts as none."""


def settle(
    pusher: Float64[Tensor, "2 batch"],
    discs: Float64[Tensor, "disc 2 batch"],
    obstacle: Float64[Tensor, "2 batch"] | None,
) -> tuple[Float64[Tensor, "2 batch"], Float64[Tensor, "disc 2 batch"]]:
    """Resolve overlaps: discs give way to the pusher and to each other, and the pusher to discs that cannot."""
    pusher = pusher.clamp(PUSHER, 1 - PUSHER)
    if obstacle is not None:
        pusher = (pusher + push_out(pusher - obstacle, PUSHER + OBSTACLE)).clamp(PUSHER, 1 - PUSHER)
    first, second = torch.triu_indices(len(discs), len(discs), 1, device=discs.device)
    for _ in range(SWEEPS):
        before = discs
        discs = discs + push_out(discs - pusher, PUSHER + DISC)
        half = push_out(discs[first] - discs[second], 2 * DISC) / 2
        for k, (a, b) in enumerate(zip(first.tolist(), second.tolist())):
            discs = torch.cat([discs[:a], discs[a : a + 1] + half[k], discs[a + 1 :]])
            discs = torch.cat([discs[:b], discs[b : b + 1] - half[k], discs[b + 1 :]])
        if obstacle is not None:
            discs = discs + push_out(discs - obstacle, DISC + OBSTACLE)
        discs = discs.clamp(DISC, 1 - DISC)
        if torch.equal(before, discs):  # more sweeps would change no copy any more
            break
    for disc in discs:
        pusher = pusher + push_out(pusher - disc, PUSHER + DISC)
    return pusher.clamp(PUSHER, 1 - PUSHER), discs


def length(vectors: Float64[Tensor, "*rest 2 batch"]) -> Float64[Tensor, "*rest batch"]:
    x, y = vectors.unbind(-2)
    return (x * x + y * y).sqrt()


def push_out(apart: Float64[Tensor, "*rest 2 batch"], distance: float) -> Float64[Tensor, "*rest 2 batch"]:
    """What to add to a body at offset `apart` from another so that they are `distance` apart; zero if they are."""
    far = length(apart).unsqueeze(-2)
    lacking = distance - far
    return torch.where(lacking > SLACK, lacking * apart / far.clamp(min=1e-12), 0.0)


def are_apart(bodies: Float64[Tensor, "layout body 2 batch"], distance: float) -> Bool[Tensor, "pair layout batch"]:
    """Whether each pair of bodies is farther apart than `distance`."""
    first, second = torch.triu_indices(bodies.shape[1], bodies.shape[1], 1, device=bodies.device)
    return (length(bodies[:, first] - bodies[:, second]) > distance).transpose(0, 1)

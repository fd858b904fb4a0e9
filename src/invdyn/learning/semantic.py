"""Hierarchical data: items at the leaves of a binary tree, one property per node; its modes are the tree's splits.

Source: Saxe, McClelland, Ganguli, arXiv 1312.6120, and PNAS 116 (2019) 11537-11546.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = ["TreeData", "binary_tree"]


@dataclass(frozen=True)
class TreeData:
    """One-hot items and the properties they have; level 0 is what all share, level 1 the first split, ..."""

    properties: Float[Tensor, "property item"]
    """1 where the item has the property; with one-hot items this is Sigma_31 (up to the number of items)."""
    left: Float[Tensor, "property mode"]
    right: Float[Tensor, "item mode"]
    strengths: Float[Tensor, " mode"]
    """Singular value decomposition: strongest first, levels in order."""
    levels: tuple[int, ...]
    """Level of the tree each mode splits."""


def binary_tree(levels: int = 3) -> TreeData:
    """The balanced binary tree with 2^levels items and 2^(levels+1) - 1 properties (8 and 15 for 3 levels).

    Two items share a property for every node above both. The modes are Haar vectors over the items; mode strengths
    sqrt(15), sqrt(7), sqrt(3) twice, 1 four times for 3 levels.

    Raises:
        ConfigError: fewer than one level.
    """
    if levels < 1:
        raise ConfigError(f"binary_tree: {levels} levels; at least one split is needed.")
    items = 2**levels
    leaf = torch.arange(items)
    rows = [(leaf >> (levels - depth)) == node for depth in range(levels + 1) for node in range(2**depth)]
    properties = torch.stack(rows).double()
    vectors, mode_levels = [torch.ones(items, dtype=torch.float64)], [0]
    for depth in range(levels):
        side = 1 - 2.0 * ((leaf >> (levels - depth - 1)) & 1)
        for node in range(2**depth):
            vectors.append(torch.where((leaf >> (levels - depth)) == node, side, 0.0).double())
            mode_levels.append(depth + 1)
    right = torch.stack(vectors, 1)
    right = right / right.norm(dim=0)
    image = properties @ right
    strengths = image.norm(dim=0)
    return TreeData(properties, image / strengths, right, strengths, tuple(mode_levels))

"""A program cut into stretches that compilers can take: their time grows faster than the length of a function."""

from __future__ import annotations

from invdyn.kernels.program import Program

__all__ = ["pieces"]


def pieces(program: Program, most: int) -> tuple[list[list[int]], dict[int, int]]:
    """Stretches of at most `most` operations, and the numbers they leave for one another.

    Returns:
        Per stretch the nodes it computes, in order; and node -> place for each node that a later stretch reads.
    """
    stretches: list[list[int]] = [[]]
    for i, op in enumerate(program.ops):
        if op not in ("input", "const"):
            if len(stretches[-1]) >= most:
                stretches.append([])
            stretches[-1].append(i)
    piece_of = {i: k for k, stretch in enumerate(stretches) for i in stretch}
    crossing: dict[int, int] = {}
    for i in piece_of:
        for a in program.args[i]:
            if a in piece_of and piece_of[a] != piece_of[i]:
                crossing.setdefault(a, len(crossing))
    return stretches, crossing

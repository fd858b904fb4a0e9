"""`Packed`: a program whose results are written once each, without structural zeros.

A mass matrix is symmetric and empty between branches, a regressor is empty where a joint does not carry a body: of the
38 x 380 numbers of a humanoid's regressor one in five is more than a zero. What is not written costs no memory traffic,
which is what bounds programs with many results.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invdyn.kernels.program import Block, Program

__all__ = ["Packed"]


@dataclass(frozen=True)
class Packed:
    """A program with one output `packed`, and where its numbers go.

    Args:
        program: gives [numbers, batch].
        outputs: blocks of the program it was made from.
        number: per row of those blocks the packed number, -1 for a constant.
        constant: per row the constant, 0 where there is none.
    """

    program: Program
    outputs: tuple[Block, ...]
    number: tuple[int, ...]
    constant: tuple[float, ...]

    @classmethod
    def of(cls, program: Program) -> Packed:
        """Pack a program's results."""
        order: dict[int, int] = {}
        number, constant = [], []
        for node in program.results:
            fixed = program.ops[node] == "const"
            constant.append(float(program.args[node][0]) if fixed else 0.0)
            number.append(-1 if fixed else order.setdefault(node, len(order)))
        block = (Block("packed", len(order)),)
        packed = Program(f"{program.name}.packed", program.inputs, block, program.ops, program.args, tuple(order))
        return cls(packed, program.outputs, tuple(number), tuple(constant))

    def unpack(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[numbers, batch] to the blocks of the original program, [size, batch] each."""
        place = torch.tensor(self.number, device=values.device)
        constant = torch.tensor(self.constant, dtype=values.dtype, device=values.device)
        dense = values.new_zeros(len(self.number), values.shape[1]) + constant[:, None]
        there = place >= 0
        dense = dense.index_put((there.nonzero()[:, 0],), values[place[there]])
        return dense.split([b.size for b in self.outputs])

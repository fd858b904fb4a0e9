"""Random trees of bodies for property tests: every kind of joint, arbitrary axes, driven joints."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from invdyn.bodies.drive import Drive, Term
from invdyn.bodies.manifold import random_positions
from invdyn.bodies.model import NQ, NV, Body, BodyModel, Coordinate, Inertia, Joint, Placement

KINDS = ("revolute", "prismatic", "spherical", "free", "driven")


def rotation(rng: np.random.Generator) -> np.ndarray:
    return Rotation.from_quat(rng.normal(size=4)).as_matrix()


def inertia(rng: np.random.Generator) -> Inertia:
    """A body as eight points of mass would make it: always possible."""
    points, mass = rng.normal(size=(8, 3)) / 4, rng.uniform(0.2, 1.0, size=8)
    com = mass @ points / mass.sum()
    r = points - com
    about = np.einsum("k,kij->ij", mass, (r * r).sum(1)[:, None, None] * np.eye(3) - r[:, :, None] * r[:, None, :])
    return Inertia.of(mass.sum(), com, about)


def tree(kinds: tuple[str, ...], seed: int) -> BodyModel:
    """A tree with these joints. A driven joint follows one-dof coordinates before it; a hinge stands for it else."""
    rng = np.random.default_rng(seed)
    bodies: list[Body] = []
    coordinates: list[Coordinate] = []
    single: list[tuple[int, int]] = []
    nq = 0
    for i, kind in enumerate(kinds):
        parent = int(rng.integers(-1, i)) if i else -1
        axis = tuple((lambda x: x / np.linalg.norm(x))(rng.normal(size=3)).tolist())
        if kind == "driven" and single:
            terms = []
            for q, v in (single[j] for j in rng.integers(0, len(single), size=2)):
                terms.append(Term(q, v, "polynomial", tuple(rng.normal(size=3).tolist())))
            joint = Joint(f"j{i}", "revolute" if rng.random() < 0.5 else "prismatic", axis, drive=Drive(tuple(terms)))
        else:
            kind = "revolute" if kind == "driven" else kind
            joint = Joint(f"j{i}", kind, axis, q=nq, v=len(coordinates))  # type: ignore[arg-type]
            if NQ[kind] == 1:
                single.append((nq, len(coordinates)))
            nq += NQ[kind]
            for k in range(NV[kind]):
                armature = float(rng.uniform(0, 0.3)) if rng.random() < 0.5 else 0.0
                turns = kind != "prismatic" and not (kind == "free" and k < 3)
                coordinates.append(Coordinate(f"j{i}.{k}", turns, armature=armature))
        at = Placement.of(rotation(rng), rng.normal(size=3) / 2)
        bodies.append(Body(f"b{i}", parent, joint, at, inertia(rng)))
    gravity = tuple(rng.normal(size=3).tolist())
    return BodyModel(f"tree{seed}", tuple(bodies), tuple(coordinates), nq, gravity)  # type: ignore[arg-type]


Parts = tuple[tuple[str, ...], int]
trees = st.tuples(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5).map(tuple), st.integers(0, 2**31 - 1))
"""What `tree` takes, for one to five bodies."""


def states(model: BodyModel, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """q [nq, n], v and a [nv, n]."""
    generator = torch.Generator().manual_seed(seed)
    q = random_positions(model, n, generator)
    v, a = torch.randn(2, model.nv, n, generator=generator, dtype=torch.float64)
    return q, v, a

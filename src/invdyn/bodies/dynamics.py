"""`Dynamics`: the algorithms of a model as batched, differentiable torch functions.

Batch last: positions are [nq, batch], velocities [nv, batch]. A batch-first tensor is passed as its transpose, which
copies nothing. Each algorithm is traced when it is first asked for; see `kernels.function` for how it then runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from invdyn.bodies import energy as energies
from invdyn.bodies.aba import aba
from invdyn.bodies.crba import crba
from invdyn.bodies.kinematics import frame_jacobian, placements, site_placement
from invdyn.bodies.model import BodyModel, Site
from invdyn.bodies.regressor import inertial_regressor
from invdyn.bodies.rnea import rnea
from invdyn.bodies.rnea_derivatives import has_closed_form, rnea_derivatives
from invdyn.errors import ConfigError, unknown_name
from invdyn.kernels.derivative import jacobian
from invdyn.kernels.function import Backend, Function
from invdyn.kernels.program import Block, Program, trace
from invdyn.kernels.store import fingerprint
from invdyn.kernels.stored import stored

__all__ = ["Dynamics", "ForceDerivatives", "Frames", "Momentum"]


class Frames(NamedTuple):
    """Where frames stand in the world.

    rotation [frames, 3, 3, batch]; translation [frames, 3, batch], m.
    """

    rotation: Tensor
    translation: Tensor


class ForceDerivatives(NamedTuple):
    """d tau / dq, d tau / dv, d tau / da, each [nv, nq or nv, batch].

    d tau / dq is in the position numbers themselves: for a quaternion, four columns.
    """

    q: Tensor
    v: Tensor
    a: Tensor


class Momentum(NamedTuple):
    """Linear momentum, and angular momentum about the centre of mass, world axes: [3, batch] each."""

    linear: Tensor
    angular: Tensor


class Dynamics:
    """Kinematics and dynamics of one model.

    Args:
        model: the tree of bodies.
        backend: `auto`, `compiled` or `eager`; see `Function`.
    """

    def __init__(self, model: BodyModel, backend: Backend = "auto") -> None:
        if not isinstance(model, BodyModel):
            raise ConfigError(f"Dynamics({model!r}): expected a BodyModel. Read it first: load_model(path).")
        self.model, self.backend = model, backend
        self._functions: dict[tuple[str, ...], Function] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: compiled code stays here, and is found again on disk."""
        return self.__dict__ | {"_functions": {}}

    def rnea(
        self,
        q: Float[Tensor, "nq batch"],
        v: Float[Tensor, "nv batch"],
        a: Float[Tensor, "nv batch"],
        *,
        gravity: Float[Tensor, " 3"] | None = None,
        wrenches: Float[Tensor, "six_per_body batch"] | None = None,
        inertias: Float[Tensor, " ten_per_body"] | None = None,
    ) -> Float[Tensor, "nv batch"]:
        """Generalised forces of a motion, N m or N: M(q) a + c(q, v) + g(q) - sum J^T w, armature included.

        Args:
            q, v, a: positions, velocities, accelerations (conventions: `joints`).
            gravity: acceleration of free fall in the world, m/s^2; None takes the model's.
            wrenches: external force (N) and moment about the body's origin (N m) per body, in the body's axes.
            inertias: parameters per body (`Inertia.parameters`) for all the batch; None takes the model's.
        """
        given = {"gravity": gravity, "wrenches": wrenches, "inertias": inertias}
        extra = [name for name, x in given.items() if x is not None]
        return self.function("rnea", *extra)(q, v, a, *(x for x in given.values() if x is not None))[0]

    def aba(
        self,
        q: Float[Tensor, "nq batch"],
        v: Float[Tensor, "nv batch"],
        tau: Float[Tensor, "nv batch"],
        *,
        wrenches: Float[Tensor, "six_per_body batch"] | None = None,
    ) -> Float[Tensor, "nv batch"]:
        """Accelerations under generalised forces; the inverse of `rnea`."""
        if wrenches is None:
            return self.function("aba")(q, v, tau)[0]
        return self.function("aba", "wrenches")(q, v, tau, wrenches)[0]

    def crba(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "nv nv batch"]:
        """Mass matrix M(q), armature included; kg, kg m, kg m^2."""
        nv = self.model.nv
        return self.function("crba")(q)[0].unflatten(0, (nv, nv))

    def bias(self, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"]) -> Float[Tensor, "nv batch"]:
        """c(q, v) + g(q): the forces that keep all accelerations zero; N m or N."""
        return self.function("bias")(q, v)[0]

    def regressor(
        self, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"], a: Float[Tensor, "nv batch"]
    ) -> Float[Tensor, "nv ten_per_body batch"]:
        """Y of tau = Y pi, with pi the inertial parameters of all bodies (`BodyModel.parameters`); no armature."""
        return self.function("regressor")(q, v, a)[0].unflatten(0, (self.model.nv, -1))

    def force_derivatives(
        self, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"], a: Float[Tensor, "nv batch"]
    ) -> ForceDerivatives:
        """Derivatives of `rnea` in each number of q, v and a, as matrices."""
        outs = self.function("derivatives")(q, v, a)
        return ForceDerivatives(*(y.unflatten(0, (self.model.nv, -1)) for y in outs))

    def frames(self, q: Float[Tensor, "nq batch"], sites: Sequence[str] | None = None) -> Frames:
        """Placements of named frames in the world; None: of all bodies."""
        if isinstance(sites, str):
            raise ConfigError(f"frames: sites={sites!r}; expected a sequence of names. Pass [{sites!r}].")
        names = tuple(b.name for b in self.model.bodies) if sites is None else tuple(sites)
        rotation, translation = self.function("frames", *names)(q)
        return Frames(rotation.unflatten(0, (-1, 3, 3)), translation.unflatten(0, (-1, 3)))

    def jacobian(self, q: Float[Tensor, "nq batch"], site: str) -> Float[Tensor, "6 nv batch"]:
        """(linear, angular) velocity of a named frame in world axes per velocity number (LOCAL_WORLD_ALIGNED)."""
        return self.function("jacobian", site)(q)[0].unflatten(0, (6, self.model.nv))

    def kinetic_energy(self, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"]) -> Float[Tensor, " batch"]:
        """J; armature included."""
        return self.function("kinetic")(q, v)[0][0]

    def potential_energy(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, " batch"]:
        """J; zero with the centre of mass in the world's origin."""
        return self.function("potential")(q)[0][0]

    def centre_of_mass(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "3 batch"]:
        """In the world, m."""
        return self.function("com")(q)[0]

    def momentum(self, q: Float[Tensor, "nq batch"], v: Float[Tensor, "nv batch"]) -> Momentum:
        """Centroidal momentum, kg m/s and kg m^2/s."""
        both = self.function("momentum")(q, v)[0]
        return Momentum(both[:3], both[3:])

    def centroidal_matrix(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "6 nv batch"]:
        """A of centroidal momentum = A v."""
        return self.function("centroidal")(q)[0].unflatten(0, (6, self.model.nv))

    def function(self, algorithm: str, *options: str) -> Function:
        """The traced algorithm, made once: the methods above, before their results are shaped."""
        key = (algorithm, *options)
        if key not in self._functions:
            if self.backend == "eager":
                program = _program(self.model, algorithm, options)
            else:
                program = stored(self._facts(algorithm, options), lambda: _program(self.model, algorithm, options))
            self._functions[key] = Function(program, self.backend)
        return self._functions[key]

    def _facts(self, algorithm: str, options: Sequence[str]) -> list[str]:
        """All that the program of an algorithm depends on."""
        code = fingerprint("invdyn.kernels", "invdyn.bodies")
        sites = [repr(self.model.site(s)) for s in options] if algorithm in ("frames", "jacobian") else []
        return [self.model.name, self.model.key, algorithm, *options, *sites, code]


def _program(model: BodyModel, algorithm: str, options: Sequence[str]) -> Program:
    """Trace one algorithm of one model."""
    q, v, a = Block("q", model.nq), Block("v", model.nv), Block("a", model.nv)
    n = len(model.bodies)
    name = f"{model.name}.{algorithm}"
    if algorithm == "derivatives" and has_closed_form(model):

        def matrices(q: Any, v: Any, a: Any) -> dict[str, Any]:
            found = zip("qva", rnea_derivatives(model, q, v, a))
            return {f"dtau/d{by}": [x for row in matrix for x in row] for by, matrix in found}

        return trace(name, matrices, [q, v, a])
    if algorithm == "derivatives":
        return jacobian(_program(model, "rnea", ()), "tau", ("q", "v", "a"))
    if algorithm in ("rnea", "aba"):
        extras = {
            "gravity": Block("gravity", 3, uniform=True),
            "wrenches": Block("wrenches", 6 * n),
            "inertias": Block("inertias", 10 * n, uniform=True),
        }
        solve: Callable[..., Any] = rnea if algorithm == "rnea" else aba
        out = "tau" if algorithm == "rnea" else "a"
        third = a if algorithm == "rnea" else Block("tau", model.nv)

        def forces(q: Any, v: Any, third: Any, *given: Any) -> dict[str, Any]:
            return {out: solve(model, q, v, third, **dict(zip(options, given)))}

        return trace(name, forces, [q, v, third, *(extras[o] for o in options)])
    if algorithm == "frames":
        return trace(name, partial(_frames, model, [model.site(s) for s in options]), [q])
    if algorithm == "jacobian":
        site = model.site(options[0])
        return trace(
            name, lambda q: {"J": [x for part in frame_jacobian(model, q, site) for r in part for x in r]}, [q]
        )
    table: dict[str, tuple[list[Block], Callable[..., Any]]] = {
        "bias": ([q, v], lambda q, v: rnea(model, q, v, [0.0] * model.nv)),
        "crba": ([q], lambda q: [x for row in crba(model, q) for x in row]),
        "regressor": ([q, v, a], lambda q, v, a: [x for row in inertial_regressor(model, q, v, a) for x in row]),
        "kinetic": ([q, v], lambda q, v: [energies.kinetic_energy(model, q, v)]),
        "potential": ([q], lambda q: [energies.potential_energy(model, q)]),
        "com": ([q], lambda q: energies.centre_of_mass(model, q)),
        "momentum": ([q, v], lambda q, v: energies.centroidal_momentum(model, q, v)),
        "centroidal": ([q], lambda q: [x for row in energies.centroidal_matrix(model, q) for x in row]),
    }
    if algorithm not in table:
        known = ("rnea", "aba", "derivatives", "frames", "jacobian", *table)
        raise unknown_name("algorithm", algorithm, known)
    blocks, compute = table[algorithm]
    return trace(name, lambda *lists: {algorithm: compute(*lists)}, blocks)


def _frames(model: BodyModel, sites: Sequence[Site], q: Any) -> dict[str, Any]:
    where = placements(model, q, sorted({s.body for s in sites}))
    found = [site_placement(s, where) for s in sites]
    return {
        "rotation": [x for r, _ in found for row in r for x in row],
        "translation": [x for _, p in found for x in p],
    }

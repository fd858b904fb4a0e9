"""`invdyn identify MODEL MOTION ...`: masses, inertias and friction from recorded motion and torque."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from invdyn.cli.bodies import Bodies
from invdyn.cli.identify_motion import Asked, read_measured
from invdyn.cli.options import Flag, new_paths
from invdyn.cli.output import note, table
from invdyn.cli.torques_reading import Reading, as_options, pairs
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from invdyn.bodies.model import BodyModel
    from invdyn.forces.identification.identify import Identified
    from invdyn.forces.identification.recordings import Measured, Recording
    from invdyn.forces.identification.settings import IdentifySettings

__all__ = ["Identify"]

LISTED = 15
"""Base parameters printed; all of them are in the report and the JSON."""


@dataclass(frozen=True)
class Identify:
    """Masses, inertias and friction of a model from recorded motion and torque, with intervals and a held-out test."""

    model: tyro.conf.Positional[Path]
    """Bodies: URDF, MJCF or OpenSim (.osim). Lengths and axes are taken from it; masses are found."""
    motion: tyro.conf.Positional[tuple[Path, ...]]
    """Recordings of positions and torques (.csv, .npz, .parquet, .mot, .sto, our Datasets)."""
    out: tuple[Path, ...] = ()
    """What to create: the identified model (`.urdf`, `.xml` for MJCF), all parameters with covariance (`.json`)."""
    method: Literal["feasible", "log-cholesky", "wls", "ols"] = "feasible"
    """`feasible` and `log-cholesky`: only bodies that can exist (a semidefinite program; no constraints). `wls` and
    `ols`: weighted and ordinary least squares of what torque tells."""
    friction: tuple[str, ...] = ("viscous", "coulomb", "rotor", "offset")
    """What every joint gets besides: `viscous`, `coulomb`, `stribeck`, `rotor`, `offset`, or `none`."""
    width: float | None = None
    """Velocity (rad/s, m/s) over which the sign of Coulomb friction is smoothed; chosen by blocks left out if not
    given."""
    stribeck: float | None = None
    """Stribeck velocity, rad/s or m/s; chosen likewise."""
    prior: float = 1.0
    """Strength that holds `feasible` and `log-cholesky` near the given model where torque tells little: at 1, a body
    that differs from it by its own size counts as much as one sample that is off by its error."""
    held_out: float | None = None
    """Share at the end of every recording that no fit sees (0.2, or 0 where --test gives recordings)."""
    test: tuple[Path, ...] = ()
    """Recordings that are only compared with."""
    torque_file: Path | None = None
    """Table with the torques, where they stand in a file of their own with the same clock."""
    bodies: tyro.conf.OmitArgPrefixes[Bodies] = field(default_factory=Bodies)
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)
    torque_units: tuple[str, ...] = ()
    """`Nm`, `mNm`, `Ncm`, `N`, ... where the file does not say it."""
    torques: tuple[str, ...] = ()
    """`COORDINATE=COLUMN` of torques where the name is none of `tau.X`, `torque.X`, `effort.X`, `X_moment`, ..."""
    torque_signal: str | None = None
    """Signal that holds all torques, as --signal does positions (`force.torque` where there is one)."""
    smooth: Literal["rts", "butterworth", "spline", "savgol", "opensim", "none"] = "rts"
    """Smoother of the positions."""
    cutoff: tuple[float, ...] = ()
    """Cut-off, Hz. Of several, the one with the least torque error on blocks left out; when not given, of the
    smoother's own choice, 2.5, 5, 10 and 20."""
    lag: tuple[float, ...] = (0.0,)
    """Seconds by which torques were recorded late; of several, the best likewise."""
    blocks: int = 10
    """Blocks of time for cross-validation and intervals."""
    level: float = 0.95
    """Coverage of the intervals."""
    horizon: float = 0.25
    """Seconds over which the identified model is replayed forward."""
    report: Path | None = None
    """HTML report to write, with plots."""
    overwrite: Flag = False
    """Replace existing outputs."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        import torch

        from invdyn.forces.identification.body_regressor import check_joints
        from invdyn.forces.identification.identify import identify
        from invdyn.forces.identification.recordings import moving_coordinates
        from invdyn.forces.identification.smoothing import choose_smoothing
        from invdyn.forces.identification.written import check_model, check_outputs, parameters_of, write_identified
        from invdyn.training.progress import progress

        # Matrices this small gain nothing from a second thread, and beside other programs threads that wait for each
        # other lose manyfold (a fit of seven joints: 8.1 s instead of 0.9 s).
        torch.set_num_threads(1)
        settings = self._settings()
        check_outputs(self.out, settings)
        new_paths(self.out, self.report, overwrite=self.overwrite)
        if not self.motion:
            raise ConfigError("no recording was given. Pass its path after the model's.")
        model = self.bodies.read(self.model)
        check_joints(model)
        torques = pairs("--torques", self.torques, "elbow=motor_2")
        asked = Asked(self.reading, self.torque_file, self.torque_units, torques, self.torque_signal)
        with as_options():
            measured = [m for path in self.motion for m in read_measured(model, path, asked)]
            tested = [m for path in self.test for m in read_measured(model, path, asked)]
        moving = moving_coordinates(model, measured[0].positions.recorded)
        check_model(model, moving, self.out)
        still = _still(model, measured[0])
        share = (0.0 if self.test else 0.2) if self.held_out is None else self.held_out
        with progress(5, "identify", unit="stages") as bar:
            smoothing = choose_smoothing(
                *(model, moving, still, measured, share),
                cutoffs=self._cutoffs(),
                lags=self.lag,
                smoother=self.smooth,
                settings=settings,
                tell=lambda s: bar.advance(0, s),
            )
            how = {"smoother": self.smooth, "cutoff": smoothing.cutoff, "lag": smoothing.lag}
            train, test = self._parts(model, moving, measured, tested, share, how)
            found = identify(model, moving, still, train, test, settings, tell=lambda s: bar.advance(1, s))
        self._remark(found)
        told = {"model": str(self.model), "motion": [str(p) for p in self.motion], "test": [str(p) for p in self.test]}
        metadata = {
            **told,
            "settings": dataclasses.asdict(settings),
            "smoothing": {"smooth": self.smooth, **dataclasses.asdict(smoothing)},
        }
        write_identified(found, self.out, metadata, overwrite=self.overwrite)
        result = {
            **metadata,
            "out": [str(o) for o in self.out],
            "report": None if self.report is None else str(self.report),
            "samples": {"fitted": sum(len(r.time) for r in train), "held out": sum(len(r.time) for r in test)},
            "cutoff": train[0].cutoff.tolist(),
            **parameters_of(found),
        }
        if self.report is not None:
            from invdyn.cli.identify_report import write_identify_report

            write_identify_report(self.report, result, found)
        return result

    def _parts(
        self,
        model: BodyModel,
        moving: tuple[int, ...],
        measured: list[Measured],
        tested: list[Measured],
        share: float,
        how: dict[str, Any],
    ) -> tuple[list[Recording], list[Recording]]:
        """Recordings to fit and to compare on."""
        from invdyn.forces.identification.recordings import moving_coordinates, recordings_of

        for other in (*measured, *tested):
            if moving_coordinates(model, other.positions.recorded) != moving:
                raise ConfigError(
                    f"{other.positions.origin}: other coordinates moved than in {measured[0].positions.origin}. "
                    "Identify recordings of the same joints together."
                )
        parts = [recordings_of(model, moving, m, share, **how) for m in measured]
        unseen = [recordings_of(model, moving, m, 0.0, **how)[0] for m in tested]
        return [p[0] for p in parts], [p[1] for p in parts if p[1] is not None] + unseen

    def _cutoffs(self) -> Sequence[float | None]:
        from invdyn.forces.identification.smoothing import CUTOFFS

        for cutoff in self.cutoff:
            if not cutoff > 0:
                raise ConfigError(f"--cutoff {cutoff:g}: expected Hz above zero, for example 5.")
        return self.cutoff or ((None,) if self.smooth == "none" else CUTOFFS)

    def _settings(self) -> IdentifySettings:
        from invdyn.forces.identification.settings import IdentifySettings

        terms = () if self.friction == ("none",) else self.friction
        return IdentifySettings(
            method=self.method,
            friction=terms,
            width=self.width,
            stribeck=self.stribeck,
            prior=self.prior,
            blocks=self.blocks,
            level=self.level,
            horizon=self.horizon,
        )

    def _remark(self, found: Identified) -> None:
        """What a reader of the numbers must know, on stderr."""
        if not found.real.all():
            names = [n for n, fine in zip(found.estimate.bodies, found.real) if not fine]
            note(
                f"No real body has the parameters of {', '.join(names)}: least squares tells combinations, not bodies. "
                "--method feasible finds bodies."
            )
        from invdyn.forces.identification.identify import unreal
        from invdyn.forces.identification.written import PHYSICAL

        none = () if found.given is None else unreal(found.given)
        if self.prior and none and self.method in PHYSICAL:
            note(
                "Nothing is held near the given model (--prior), for no solid body has the inertia it states of "
                f"{', '.join(none[:4])}{' ...' if len(none) > 4 else ''}: what torque does not tell is arbitrary. "
                "Correct the model."
            )
        lost = {"offset", "stribeck"} & set(found.estimate.friction.names)
        models = [str(o) for o in self.out if o.suffix.lower() != ".json"]
        if models and lost:
            note(f"{', '.join(models)}: model files have no place for {' and '.join(sorted(lost))} of friction.")
        for name, why in found.failed.items():
            note(f"{name}: not replayed forward. {why}")

    def show(self, result: dict[str, Any]) -> None:
        samples = result["samples"]
        print(
            f"{samples['fitted']} samples fitted, {samples['held out']} held out; {result['rank']} base parameters, "
            f"condition {result['condition']:.3g}; {_told(result['smoothing'])}"
        )
        part = "held out" if samples["held out"] else "fitted"
        rows = []
        for e in result["errors"]:
            row = {"joint": e["joint"], "unit": e["unit"]}
            for model in ("identified", "given, friction fitted", "given"):
                for figure in ("RMS", "nMSE"):
                    if f"{model}: {part}, {figure}" in e:
                        row[f"{figure}, {model}"] = e[f"{model}: {part}, {figure}"]
            rows.append(row)
        table(rows, title=f"torque error, {part}")
        told = sorted(result["base_parameters"], key=lambda r: r["relative_std"] or 0.0)
        table(
            [
                {
                    "parameter": _short(r["parameter"]),
                    "value": r["value"],
                    "± (std)": r["std"],
                    "part": r["relative_std"],
                }
                for r in told[:LISTED]
            ],
            title="best told base parameters (kg, kg m, kg m^2; N m, N m s)",
        )
        well = sum((r["relative_std"] or 0.0) < 0.1 for r in told)
        print(
            f"{well} of {len(told)} are told to a tenth of their value or better; all are in --out ….json, --report …"
        )
        replay = result["replay"]
        for name, off in replay["rmse"].items():
            way = ", ".join(f"{o:.3g}" if o is not None else "flew off" for o in off)
            print(f"replayed forward over {replay['horizon']:g} s, {name} lands off by {way}")
        if replay["still"]:
            print(f"the recording itself moves by {', '.join(f'{s:.3g}' for s in replay['still'])} (rad, m)")
        written = [*result["out"], *([result["report"]] if result["report"] else [])]
        print("written: " + (", ".join(written) or "nothing (--out model.xml parameters.json)"))

    def exit_code(self, result: Any) -> int:
        return 0


def _told(smoothing: dict[str, Any]) -> str:
    """How the motion was smoothed."""
    cutoff = "its own cut-off" if smoothing["cutoff"] is None else f"{smoothing['cutoff']:g} Hz"
    late = f", torque {smoothing['lag']:g} s late" if smoothing["lag"] else ""
    chosen = " by blocks left out" if smoothing["scores"] else ""
    return f"smoothed by {smoothing['smooth']} at {cutoff}{late}{chosen}"


def _short(text: str) -> str:
    """A combination on one line."""
    return text if len(text) <= 60 else text[:57].rsplit(" ", 1)[0] + " ..."


def _still(model: BodyModel, measured: Measured) -> np.ndarray:
    """Positions of the coordinates that are held."""
    import numpy as np

    held = measured.positions.q[0].copy()
    held[np.array(measured.positions.recorded)] = 0.0
    return np.where(np.isfinite(held), held, 0.0)

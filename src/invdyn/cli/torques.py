"""`invdyn torques MODEL MOTION --out FILE`: recorded motion to torques."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from invdyn.cli.bodies import Bodies
from invdyn.cli.options import Flag, new_paths
from invdyn.cli.output import note, table
from invdyn.cli.torques_motion import Recorded, read_loads, read_motion
from invdyn.cli.torques_reading import Reading, as_options, pairs
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    from invdyn.forces.torques import Torques as Found
    from invdyn.forces.torques import TorqueSettings
    from invdyn.training.progress import Bar

__all__ = ["Torques"]

WRITING = 0.2
"""Share of the time that writing takes, about; for time left."""


@dataclass(frozen=True)
class Torques:
    """Torques behind recorded motion, with intervals, residuals, contact forces and the check forward."""

    model: tyro.conf.Positional[Path]
    """Bodies: URDF, MJCF, OpenSim (.osim), or a DeepMimic character."""
    motion: tyro.conf.Positional[Path]
    """Positions (.csv, .npz, .parquet, .mot, .sto, our Datasets) or markers (.trc, .c3d)."""
    out: tuple[Path, ...]
    """What to create: `.csv`, `.sto` (as OpenSim names them), or a folder (Dataset, native layout); several at will."""
    grf: Path | None = None
    """Measured external loads: OpenSim's external-loads file (.xml), a table (.mot, .sto), or a .c3d with plates."""
    grf_body: tuple[str, ...] = ()
    """Which body each load of a table pushes: `calcn_r=ground_force` for columns ground_force_vx ... (N), _px (m), _mx
    (N m); `foot=plate1` for plates."""
    root: Literal["fixed", "free", "planar"] | None = None
    """How a URDF stands in the world (fixed if not said)."""
    bodies: tyro.conf.OmitArgPrefixes[Bodies] = field(default_factory=Bodies)
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)
    up: str | None = None
    """Axis of the markers and plates that points up (`z`, `-y`, ...), where it is not the model's."""
    markers: tuple[str, ...] = ()
    """`MARKER=SITE` where the recording names markers differently."""
    smooth: Literal["rts", "butterworth", "spline", "savgol", "opensim", "none"] = "rts"
    """Smoother. `rts` finds the cut-off by likelihood and gives intervals; `opensim` is its tool's filter (6 Hz)."""
    cutoff: float | None = None
    """Cut-off, Hz; found by the smoother when not given (butterworth, opensim: 6)."""
    sweep: tuple[float, ...] | None = None
    """Cut-offs (Hz) whose effect on the torques is shown; five about the one used when not given."""
    span: tuple[float, float] | None = None
    """First and last second wanted (those of measured loads, say); the whole recording is smoothed in any case."""
    level: float = 0.9
    """Coverage of the intervals."""
    contacts: tuple[str, ...] = ()
    """Points that may touch the ground, `SITE` or `SITE@x,y,z` (m): their forces are found, for none were measured."""
    ground: float = 0.0
    """Height of the ground along up, m."""
    friction: float = 0.8
    """Friction coefficient of the ground."""
    closes: tuple[float, float] = (0.03, 0.3)
    """Height (m) and speed (m/s) below which a contact closes."""
    smoothness: float = 0.0
    """Pulls contact forces of neighbouring steps together."""
    horizon: float = 0.1
    """Seconds over which the torques are replayed forward."""
    report: Path | None = None
    """HTML report to write, with plots."""
    overwrite: Flag = False
    """Replace existing outputs."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.training.progress import progress

        settings = self._settings()
        self._check_outputs()
        with as_options(), progress(None, "torques", unit="frames") as bar:
            return self._recover(settings, bar)

    def _recover(self, settings: TorqueSettings, bar: Bar) -> dict[str, Any]:
        from invdyn.bodies.dynamics import Dynamics
        from invdyn.forces.torques import recover_torques
        from invdyn.forces.torques_results import check_target, summary_of, write_torques

        bar.advance(0, f"reading {self.model}")
        model = self.bodies.read(self.model, self.root)
        given = Recorded(self.motion, self.reading, self.up, pairs("--markers", self.markers, "R.Knee=RKNE"))
        pushed = pairs("--grf-body", self.grf_body, "foot_r=ground_force")
        loads = read_loads(model, given, self.grf, pushed, bar)
        positions, tasks, fit = read_motion(model, given, bar)
        for out in self.out:
            check_target(out, [p.time for p in positions])
        bar.advance(0, "compiling the dynamics")
        dynamics = Dynamics(model)
        found: list[Found] = []
        frames = sum(len(r.time) for r in positions)
        bar.expect(frames)
        outputs = [*self.out, *([] if self.report is None else [self.report])]
        for recording in positions:
            told_so_far = 0.0

            def tell(stage: str, share: float, frames: int = len(recording.time)) -> None:
                nonlocal told_so_far
                bar.advance((share - told_so_far) * frames * (1 - WRITING), stage)
                told_so_far = share

            found.append(recover_torques(model, recording, settings, loads, dynamics=dynamics, tell=tell))
            tell("", 1.0)
        told = {
            "model": str(self.model),
            "motion": str(self.motion),
            "grf": None if loads is None else str(self.grf or self.motion),
        }
        metadata = {**told, "settings": _plain(settings)}
        result: dict[str, Any] = {
            **told,
            "out": [str(o) for o in self.out],
            "report": None if self.report is None else str(self.report),
            "mass": model.mass,
            "markers": fit or None,
            "recordings": [summary_of(f) for f in found],
            "remarks": self._remarks(found, loads is not None),
        }
        for out in outputs:
            bar.advance(0, f"writing {out}")
            if out == self.report:
                from invdyn.cli.torques_report import write_torque_report

                write_torque_report(out, result, found)
            else:
                write_torques(found, out, tasks, metadata, overwrite=self.overwrite or out.is_dir())
            bar.advance(frames * WRITING / len(outputs))
        for remark in result["remarks"]:
            note(remark)
        return result

    def _remarks(self, found: list[Found], loads: bool) -> list[str]:
        """What a reader of the torques must know."""
        told = []
        if self.smooth != "rts":
            told.append(
                f"--smooth {self.smooth} knows no noise of the measurement: no intervals. --smooth rts gives them."
            )
        elif self.contacts:
            told.append("Contact forces were found, not measured: no intervals, for theirs are not known.")
        if not loads and not self.contacts and found[0].residual is not None:
            told.append(
                "Nothing pushes this body but its root, which carries the whole weight as its residual. Give what was "
                "measured (--grf), or points that may touch the ground (--contacts)."
            )
        for k, one in enumerate(found):
            what = f"Recording {k}: " if len(found) > 1 else ""
            heavy = one.overloaded()
            if len(heavy) and (loads or self.contacts):
                told.append(
                    f"{what}in {len(heavy)} of {len(one.motion.time)} steps (from {heavy[0]:.2f} to {heavy[-1]:.2f} s) "
                    "the root carries more than half the body weight: there forces are missing, or do not go with this "
                    "motion, and the torques of those steps are wrong by them."
                )
            for name, lowest in [] if one.contacts is None else one.contacts.untouched():
                told.append(
                    f"{what}--contacts {name} never touches: its lowest point is {lowest:.3g} m above the ground, and "
                    f"it closes below {self.closes[0]:g} m where it is slow. See --ground, --closes, or move the point."
                )
        return told

    def _settings(self) -> TorqueSettings:
        from invdyn.forces.torques import TorqueSettings
        from invdyn.forces.torques_contacts import ContactPoint

        return TorqueSettings(
            smoother=self.smooth,
            cutoff=self.cutoff,
            level=self.level,
            contacts=tuple(ContactPoint.parse(c) for c in self.contacts),
            ground=self.ground,
            friction=self.friction,
            closes=self.closes,
            smoothness=self.smoothness,
            horizon=self.horizon,
            sweep=self.sweep,
            span=self.span,
        )

    def _check_outputs(self) -> None:
        if not self.out:
            raise ConfigError("--out names nothing. Give a .csv, a .sto, or a folder.")
        for out in self.out:
            if out.suffix.lower() not in ("", ".csv", ".sto", ".mot"):
                raise ConfigError(f"--out {out}: expected .csv, .sto, .mot, or a folder without an ending. Rename it.")
        new_paths(self.out, self.report, overwrite=self.overwrite)

    def show(self, result: dict[str, Any]) -> None:
        for k, one in enumerate(result["recordings"]):
            what = f"recording {k}: " if len(result["recordings"]) > 1 else ""
            print(f"{what}{one['frames']} frames, {one['seconds']:.2f} s, smoothed by {one['smoother']}")
            band = "± (std)"
            table(
                [
                    {
                        "coordinate": r["coordinate"],
                        "unit": r["unit"],
                        "RMS": r["rms"],
                        "peak": r["peak"],
                        band: r["std"],
                        "cut-off [Hz]": r["cutoff"],
                        "replay lands off by": r["landing"],
                        "of": r["travelled"],
                    }
                    for r in one["coordinates"]
                ]
            )
            if one["residual"]:
                table(one["residual"], title="residual at the root (N, N m; % of body weight, moments times 1 m)")
            if one["contacts"]:
                table(one["contacts"], title="contacts found")
            replay = one["replay"]
            print(
                f"forward dynamics returns the accelerations to {replay['acceleration_error']:.1e} of their peak; "
                f"landing after {replay['horizon']:g} s from {replay['starts']} states"
            )
        print("written: " + ", ".join([*result["out"], *([result["report"]] if result["report"] else [])]))

    def exit_code(self, result: Any) -> int:
        return 0


def _plain(settings: TorqueSettings) -> dict[str, Any]:
    told = dataclasses.asdict(settings)
    return told | {"contacts": [c.name for c in settings.contacts]}

"""What OpenSim's own tool says today of its example problems: writes `opensim_4_6.json` beside this file.

Run it with a Python that has `opensim` 4.6 (`pip install opensim==4.6`; it need not have anything of ours):

    python opensim_tool.py FOLDER

FOLDER is the folder of the three problems (`subject01_and_arm26`, `rajagopal_walk`). The walk is thinned to every 15th
step. Two changes make its table one the tool can read: paths of coordinates become their names, and the columns
`knee_angle_*_beta`, in degrees among radians, are those of the knees they are coupled to.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

CUTOFF = 6.0  # Hz


def forces(model: Path, coordinates: Path, loads: Path | None, first: float, last: float, folder: Path) -> Path:
    """The file of generalised forces that InverseDynamicsTool writes; muscles left out."""
    import opensim

    read = opensim.Model(str(model))
    read.initSystem()
    tool = opensim.InverseDynamicsTool()
    tool.setModel(read)
    tool.setCoordinatesFileName(str(coordinates))
    tool.setLowpassCutoffFrequency(CUTOFF)
    tool.setStartTime(first)
    tool.setEndTime(last)
    if loads is not None:
        tool.setExternalLoadsFileName(str(loads))
    muscles = opensim.ArrayStr()
    muscles.append("muscles")
    tool.setExcludedForces(muscles)
    tool.setResultsDir(str(folder))
    tool.setOutputGenForceFileName("forces.sto")
    if not tool.run():
        raise SystemExit(f"{model}: OpenSim's tool failed")
    return folder / "forces.sto"


def readable_walk(table: Path, folder: Path) -> Path:
    """The table of the walk as the tool can read it."""
    lines = table.read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("endheader"))
    names = [path.split("/")[-2] if "/" in path else path for path in lines[head + 1].split("\t")]
    rows = [line.split("\t") for line in lines[head + 2 :] if line.strip()]
    for knee in ("knee_angle_r", "knee_angle_l"):
        for row in rows:
            row[names.index(f"{knee}_beta")] = row[names.index(knee)]
    changed = [*lines[: head + 1], *("\t".join(row) for row in (names, *rows))]
    (folder / "coordinates.sto").write_text("\n".join(changed) + "\n", encoding="utf-8")
    return folder / "coordinates.sto"


def thinned(file: Path, every: int) -> dict[str, list[object]]:
    """Names, every so many rows (time first), and the peaks of all rows of a table."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("endheader"))
    rows = [[float(x) for x in line.split()] for line in lines[head + 2 :] if line.strip()]
    peaks = [max(abs(x) for x in column) for column in zip(*rows)]
    return {"names": lines[head + 1].split(), "peaks": peaks, "rows": rows[::every]}


def main(data: Path) -> None:
    import opensim

    with tempfile.TemporaryDirectory() as made:
        folder, small, walk = Path(made), data / "subject01_and_arm26", data / "rajagopal_walk"
        arm = forces(small / "arm26.osim", small / "arm26_InverseKinematics.mot", None, 0.0, 1.0, folder)
        found = {"version": opensim.GetVersion(), "arm26": thinned(arm, 1)}
        subject = small / "subject01.osim", small / "subject01_walk1_ik.mot", small / "subject01_walk1_grf.xml"
        found["subject01"] = thinned(forces(*subject, 0.5, 1.6, folder), 1)
        walking = walk / "subject_walk_scaled.osim", readable_walk(walk / "coordinates.sto", folder)
        found["walk"] = thinned(forces(*walking, walk / "grf_walk.xml", 0.45, 1.799, folder), 15)
    Path(__file__).with_name("opensim_4_6.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Real-time iteration of diffusion policies (Duan, Yin, Kragic 2025, arXiv 2508.05396).

The policy stands in decisions/chunk_policy.py, its closed loop in decisions/receding_horizon.py, the iteration and when
it contracts in diffusion/real_time.py; the experiments in rti_dp_tasks.py and rti_dp_door.py, the claims in
rti_dp_claims.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.studies.part import Part, run_parts
from invdyn.studies.rti_dp_claims import CLAIMS
from invdyn.studies.rti_dp_config import DOOR, MORE, TASKS, RtiDpConfig
from invdyn.studies.rti_dp_door import on_door
from invdyn.studies.rti_dp_figure import draw
from invdyn.studies.rti_dp_tasks import exact, task_part
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "RtiDp"]

SCALES = {
    "smoke": RtiDpConfig(parts=("exact",)),
    "laptop": RtiDpConfig(),
    "gpu": RtiDpConfig(
        parts=("exact", *TASKS, *MORE, DOOR),
        steps=20_000,
        policy=ChunkPolicyConfig(net="unet", width=256, kind="x0"),
    ),
}


class RtiDp(Study[RtiDpConfig]):
    """A trained diffusion policy in closed loop at three denoising steps a tick."""

    slug = "rti-dp"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: RtiDpConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every task for every seed; then what claims say over tasks and seeds together."""
        experiments: dict[str, Callable[[int, RtiDpConfig], Part]] = {
            "exact": exact,
            **{name: partial(task_part, name) for name in TASKS | MORE},
        }
        names = [name for name in config.parts if name != DOOR]
        folder = context.recordings(DOOR) if DOOR in config.parts else None
        if folder is not None:
            experiments[DOOR] = partial(on_door, folder)
            names.append(DOOR)
        outcomes = run_parts(experiments, names, replace(config, device=context.device), seeds, context)
        tasks = [name for name in config.parts if name in TASKS | MORE]
        for outcome in outcomes.values():
            m = outcome.metrics
            for name in tasks:
                m[f"{name}.behind"] = m[f"{name}.rti"] - m[f"{name}.dp100_8"]
            if "point" in tasks:
                before = m["point.switches.dp100_1"]
                m["point.switching"] = m["point.switches.rti"] / before if before else float("nan")
            for prefix in ("pick.", "pick.eps.") if "pick" in tasks else ():
                m[f"{prefix}scale_clip"] = m[f"{prefix}rti"] - m[f"{prefix}gripper.clip"]
                m[f"{prefix}clip_none"] = m[f"{prefix}gripper.clip"] - m[f"{prefix}gripper.as_is"]
                m[f"{prefix}gap"] = max(m[f"{prefix}scale_clip"], m[f"{prefix}clip_none"])
        for net in ("", "eps.") if tasks else ():  # one number of all seeds
            ahead = sum(_ahead(outcomes, name, net) >= 0.10 - 1e-9 for name in tasks)
            for outcome in outcomes.values():
                outcome.metrics[f"tasks.{net}ahead"] = ahead
        return outcomes

    def figure(self, config: RtiDpConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Success by plan and task, what is left of a guess, where it fits best."""
        return draw(config, outcomes)

    def parts(self, config: RtiDpConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds; fewer where the recordings are missing."""
        return len(config.parts) * len(seeds)


def _ahead(outcomes: Mapping[int, Outcome], task: str, net: str) -> float:
    """Success of RTI minus that of DDIM-3, over the seeds."""
    m = [o.metrics for o in outcomes.values()]
    return float(np.mean([x[f"{task}.{net}rti"] - x[f"{task}.{net}ddim3_1"] for x in m]))


STUDY = RtiDp()

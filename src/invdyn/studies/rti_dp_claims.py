"""The claims of the rti-dp study: every line of the card's "Works when", with its thresholds."""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold
from invdyn.studies.rti_dp_config import DOOR, TASKS

__all__ = ["CLAIMS"]

HIDDEN = (
    "the state does not tell reach-v3's goal: every plan that decides anew at each tick, DP-100/1 too, hovers between "
    "the goals, while eight actions of one draw go to one of them after the other"
)

CLAIMS = (
    Claim(
        "1a",
        "Gaussian data: the error left of a guess is the closed product of multipliers: relative difference",
        "exact.multiplier",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim("1b", "data of variance 4 expand it: least product", "exact.expansion", Threshold(">=", 1.0), smoke=True),
    Claim(
        "2",
        "a certain chunk is returned from any guess: difference",
        "exact.certain",
        Threshold("<=", 1e-6),
        smoke=True,
    ),
    Claim(
        "3",
        "all levels from a Gaussian guess are the full sampling bit for bit: difference",
        "exact.degenerate",
        Threshold("<=", 0.0),
        smoke=True,
    ),
    *(
        Claim(
            f"4a {name}",
            f"{name}: success of RTI with 3 steps minus that of DP-100/8",
            f"{name}.behind",
            Threshold(">=", -0.05),
            over="mean",
            reason=HIDDEN if name == "reach" else "",
        )
        for name in TASKS
        if name != "moving"
    ),
    Claim(
        "4b",
        "tasks where RTI beats DDIM-3/1 by 10 points or more (over the seeds' mean)",
        "tasks.ahead",
        Threshold(">=", 2.0),
        over="mean",
        reason="nets that put out the chunk need no more than three steps from noise either; see 4b eps",
    ),
    Claim(
        "4b eps",
        "(ours) the same with nets that put out eps, as the paper's",
        "tasks.eps.ahead",
        Threshold(">=", 2.0),
        over="mean",
    ),
    Claim(
        "5",
        "moving goal: success of RTI minus that of DP-100/8",
        "moving.behind",
        Threshold(">=", 0.10),
        over="mean",
    ),
    Claim("6", "median latency of a tick over DP-100's", "point.latency.ratio", Threshold("<=", 0.05)),
    Claim(
        "7",
        "changes of the planned side: RTI's share of DP-100/1's",
        "point.switching",
        Threshold("<=", 1 / 3),
        over="mean",
    ),
    Claim("8a", "pick-place: success of scale minus clip", "pick.scale_clip", Threshold(">=", 0.0), over="mean"),
    Claim("8b", "pick-place: success of clip minus none", "pick.clip_none", Threshold(">=", 0.0), over="mean"),
    Claim(
        "8c",
        "the larger of the two gaps",
        "pick.gap",
        Threshold(">=", 0.10),
        over="mean",
        reason="nets that put out the chunk lift the puck without any treatment; with eps the gap is there (docs)",
    ),
    Claim(
        "9",
        "(ours) along recorded door openings: distance of RTI-3's action from DP-100's over that of DDIM-3's",
        "door.over_ddim",
        Threshold("<=", 1.0),
        needs=DOOR,
    ),
)

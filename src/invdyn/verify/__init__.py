"""Is the answer right? Replay, calibration, refinement, closed-loop evaluation and every metric.

| file | what | source |
|---|---|---|
| replay.py | `replay`: causes rolled forward from recorded starts; divergence, outcome | DESIGN |
| onestep.py | `one_step_residual`, `OneStep`: forward evaluations from anchored states | DESIGN |
| compared.py | `Compared`: which components are compared, in which unit, at which scale | |
| oracle.py | `ReplayOracle`: which candidate causes reproduce the next observation | vpt |
| resolvable.py | `resolvable`: which dimensions of a continuous cause leave a trace | DESIGN |
| refine.py | `refine`: correct causes by a few forward evaluations | |
| tracking.py | `refine_track`: the same along the episode, for recordings that do not tell the whole state | |
| correction.py | how one cause is corrected | Levenberg-Marquardt, Broyden 1965, CEM |
| conformal.py | `calibrate`, `calibrate_quantiles`: split conformal and CQR, episodes as units | Lee et al. 2023 |
| cross_conformal.py | `cross_calibrate`, `cv_plus`: leave episodes out in turn | Vovk 2015; Barber et al. 2021 |
| refined_calibration.py | `calibrate_refined`: the same for causes corrected by replay | ours |
| adaptive.py | `AdaptiveConformal`: streams that drift | Gibbs and Candès 2021 |
| predictions.py | `predict`: a model's answers at labelled frames | |
| evaluator.py | `evaluate`: closed loop, common random numbers, Wilson interval, videos | |
| cost.py | `CostMeter`, `flops`, `parameters` | |
| metrics/ | `r2`, `mae`, `accuracy`, `coverage`, `success_rate`, ... each once | |
"""

from invdyn.verify.adaptive import AdaptiveConformal, StreamIntervals
from invdyn.verify.compared import Compared
from invdyn.verify.conformal import Calibration, calibrate, calibrate_quantiles, episodes_needed
from invdyn.verify.cost import Cost, CostMeter, flops, parameters
from invdyn.verify.cross_conformal import (
    CrossPredictions,
    CvPlus,
    calibrate_crossed,
    cross_calibrate,
    cross_predict,
    cv_plus,
)
from invdyn.verify.evaluator import Evaluation, Policy, evaluate, write_video
from invdyn.verify.onestep import OneStep, one_step_residual
from invdyn.verify.oracle import Consistent, OracleAccuracy, ReplayOracle
from invdyn.verify.predictions import Predictions, predict
from invdyn.verify.refine import REFINED, RefineConfig, Refinement, refine
from invdyn.verify.refined_calibration import calibrate_refined, refine_predictions
from invdyn.verify.replay import DivergenceCurve, ReplayResult, replay
from invdyn.verify.resolvable import Resolvability, resolvable
from invdyn.verify.tracking import refine_track

__all__ = [
    "REFINED",
    "AdaptiveConformal",
    "Calibration",
    "Compared",
    "Consistent",
    "Cost",
    "CostMeter",
    "CrossPredictions",
    "CvPlus",
    "DivergenceCurve",
    "Evaluation",
    "OneStep",
    "OracleAccuracy",
    "Policy",
    "Predictions",
    "RefineConfig",
    "Refinement",
    "ReplayOracle",
    "ReplayResult",
    "Resolvability",
    "StreamIntervals",
    "calibrate",
    "calibrate_crossed",
    "calibrate_quantiles",
    "calibrate_refined",
    "cross_calibrate",
    "cross_predict",
    "cv_plus",
    "episodes_needed",
    "evaluate",
    "flops",
    "one_step_residual",
    "parameters",
    "predict",
    "refine",
    "refine_predictions",
    "refine_track",
    "replay",
    "resolvable",
    "write_video",
]

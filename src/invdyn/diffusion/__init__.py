"""The diffusion, flow and flow-map core: one corruption path, one hub E[x0 | x_t], one step loop; t = 0 is data.

A model is any callable `net(x[batch, ...], t[batch], condition)` of the shape of x; nothing here knows about images.

| file | what | source |
|---|---|---|
| path.py | `Path`: alpha, sigma, log-SNR; `PATHS`: linear, trig, edm, vp_linear, ddpm, cosine_k | Lai et al. 2025 |
| parameterize.py | every kind of output to D = E[x0 given x_t] and back; `Denoiser` | Karras et al. 2022 |
| losses.py | `DenoisingLoss`: one loss with a weight; `Times`, stratified | Kingma et al. 2021; Hang et al. 2023 |
| grids.py | time lists: uniform, in lambda, EDM, levels of a DDPM | Karras et al. 2022; Lin et al. 2024 |
| steps.py | rules: `DDIM`, `DPMpp2M`, `DPMpp2S`, `Euler`, `Heun` (churn), `ReverseSDE`, `Renoise` | see there |
| run.py | `Level`, `Run`: what a rule works with | |
| samplers.py | `Sampler`: the one loop, with the `guide` hook | |
| guidance.py | `ClassifierFree`, `ClassifierGuide`, `Measurement`, `Imputation`, `Chain` | Ho, Salimans 2022 |
| real_time.py | real-time iteration from the last chunk; when it contracts | arXiv 2508.05396 |
| flowmaps.py | `MeanFlowLoss`, `ShortcutLoss`, `ConsistencyLoss`, `TrajectoryLoss`; `jump` | see there |
| oracles.py | `GaussianPrior`, `GaussianMixturePrior`: everything in closed form | Wang, Vastola 2023 |
| operators.py | `Operator`: mask, block average, blur, matrix, clipping, phase retrieval | |
| operators_motion.py | integration, pinhole projection, contact forces, a simulator replayed | |
| posterior.py | `DPS`, `pgdm`, `Projection`, `wiener`: samplers and filters of inverse problems | see there |
| variational.py | `RedDiff`: inverse problems by optimisation, no Jacobian of the net | Mardani et al. 2024 |
| spread.py | `laplace`, `block_spread`: error bars around an answer | |
| teleport.py | `Teleport`: the linear beginning in one step, by skipping or a new grid | Wang, Vastola 2023 |
| moments.py | `Moments` of a stream; `gaussian_of` data; `ClassGaussians` | Wang, Vastola 2023 |
| outline.py | `explained_share`, `emergence`, `sensitivity`: how linear a model is | Wang, Vastola 2023 |
| delta_oracle.py | `DeltaMixturePrior`: the data set itself, points or kernels | Wang, Vastola 2023 |
| bridges.py | `gaussian_coupling` in closed form, `sinkhorn`: static Schrödinger bridges | Léonard 2014 |
| bridges_drift.py | `simulate` an SDE; `fit_drift`: drifts from increments, random features or a process | SB-IRR |
| bridges_ipf.py | `bridge` of two snapshots under any reference, by proportional fitting | Vargas et al. 2021 |
| bridges_families.py | `DriftFamily`: laws fitted to increments; Lotka-Volterra, repressilator, vortex | SB-IRR |
| bridges_fields.py | drifts without a named law: polynomial, second order, gradients of bumps or of a net | SB-IRR |
| bridges_plain.py | the plain bridge in closed form, and the law it speaks for | Léonard 2014 |
| bridges_mixing.py | `Mixing`: a fixed-point iteration that learns from its last steps | Anderson 1965 |
| bridges_refined.py | `refine_reference`: many snapshots and the law that drives them, in turn | SB-IRR |
"""

from invdyn.diffusion.delta_oracle import DeltaMixturePrior
from invdyn.diffusion.flowmaps import (
    ConsistencyLoss,
    MeanFlowLoss,
    ShortcutLoss,
    TrajectoryLoss,
    jump,
    mean_velocity_map,
    trajectory_map,
)
from invdyn.diffusion.grids import edm_grid, level_grid, levels, log_ratio_grid, uniform_grid
from invdyn.diffusion.guidance import Chain, ClassifierFree, ClassifierGuide, Imputation, Measurement
from invdyn.diffusion.losses import DenoisingLoss, Times, drop_condition, elbo_step, loss_weight
from invdyn.diffusion.moments import ClassGaussians, Moments, gaussian_of
from invdyn.diffusion.operators import Operator
from invdyn.diffusion.oracles import GaussianMixturePrior, GaussianPrior, Posterior, Prior
from invdyn.diffusion.outline import explained_share
from invdyn.diffusion.parameterize import Denoiser, denoised_to, to_denoised
from invdyn.diffusion.path import PATHS, DiscretePath, EDMPath, LinearPath, Path, TrigPath, VPLinear, make_path
from invdyn.diffusion.samplers import Sampler
from invdyn.diffusion.steps import DDIM, DPMpp2M, DPMpp2S, Euler, Heun, Renoise, ReverseSDE
from invdyn.diffusion.teleport import Teleport
from invdyn.diffusion.variational import RedDiff

__all__ = [
    "DDIM",
    "PATHS",
    "Chain",
    "ClassGaussians",
    "ClassifierFree",
    "ClassifierGuide",
    "ConsistencyLoss",
    "DPMpp2M",
    "DPMpp2S",
    "DeltaMixturePrior",
    "Denoiser",
    "DenoisingLoss",
    "DiscretePath",
    "EDMPath",
    "Euler",
    "GaussianMixturePrior",
    "GaussianPrior",
    "Heun",
    "Imputation",
    "LinearPath",
    "MeanFlowLoss",
    "Measurement",
    "Moments",
    "Operator",
    "Path",
    "Posterior",
    "Prior",
    "RedDiff",
    "Renoise",
    "ReverseSDE",
    "Sampler",
    "ShortcutLoss",
    "Teleport",
    "Times",
    "TrajectoryLoss",
    "TrigPath",
    "VPLinear",
    "denoised_to",
    "drop_condition",
    "edm_grid",
    "elbo_step",
    "explained_share",
    "gaussian_of",
    "jump",
    "level_grid",
    "levels",
    "log_ratio_grid",
    "loss_weight",
    "make_path",
    "mean_velocity_map",
    "to_denoised",
    "trajectory_map",
    "uniform_grid",
]

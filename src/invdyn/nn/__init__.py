"""Building blocks that at least two methods share.

| file | what | source |
|---|---|---|
| distributions.py | `CauseDistribution`, `Delta`: what a typed head returns | |
| gaussians.py | `Gaussian`, `SquashedGaussian`, `ClippedGaussian`, `GaussianMixture` | SS-ORL, Tobin 1958 |
| categoricals.py | `FactoredCategorical`, `JointCategorical` | VPT |
| mixing.py | `mix_members`: an ensemble as one distribution; `Reshaped` | SS-ORL |
| heads.py | typed heads: raw outputs to a distribution, and their loss; `make_head` | SS-ORL, VPT |
| encoders.py | `MLP`, `ConvEncoder` (keypoints, strided with spatial softmax, IMPALA), `MultiView` | IDP, VPT |
| time_mlp.py | `TimeMLP`: a small net that knows the time it is asked at | |
| unet1d.py | `ConditionalUnet1D`: a U-Net over the time of action chunks, with FiLM | Chi et al. 2023 |
| unet2d.py | `ConditionalUnet2D`: a U-Net over pictures, told one or two times by FiLM | Karras et al. 2022 |
| temporal.py | masks pair, causal, noncausal; `MaskedTransformer` | Vaswani et al. 2017; Su et al. 2021 |
| seed_axis.py | `SeedAxis`: independent nets on a leading axis | |
| streams.py | `Streams`: random numbers for runs side by side, one generator per seed | |
| stacked_mlp.py | `StackedMLP`: many MLPs as batched matrix products | |
| vectorized_critic.py | `VectorizedCritic`: N values per run with their action slopes; `diversity` | EDAC |
| probabilistic_ensemble.py | `ProbabilisticEnsemble`, `EnsembleDynamics`: mean and variance of dynamics | PETS, MBPO |
| ema.py | `EMA` of weights (constant, power with cap), `frozen_copy` | Karras et al. 2024 |
"""

from invdyn.nn.categoricals import FactoredCategorical, JointCategorical
from invdyn.nn.distributions import CauseDistribution, Delta
from invdyn.nn.ema import EMA, EMAConfig, frozen_copy
from invdyn.nn.encoders import MLP, ConvEncoder, MultiView, SpatialSoftmax
from invdyn.nn.gaussians import ClippedGaussian, Gaussian, GaussianMixture, SquashedGaussian
from invdyn.nn.heads import Head, HeadKind, make_head
from invdyn.nn.mixing import mix_members
from invdyn.nn.seed_axis import SeedAxis
from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.nn.streams import Streams
from invdyn.nn.temporal import MaskedTransformer, TemporalMask, attention_mask
from invdyn.nn.time_mlp import TimeMLP
from invdyn.nn.vectorized_critic import VectorizedCritic, diversity

__all__ = [
    "EMA",
    "MLP",
    "CauseDistribution",
    "ClippedGaussian",
    "ConvEncoder",
    "Delta",
    "EMAConfig",
    "FactoredCategorical",
    "Gaussian",
    "GaussianMixture",
    "Head",
    "HeadKind",
    "JointCategorical",
    "MaskedTransformer",
    "MultiView",
    "SeedAxis",
    "SpatialSoftmax",
    "SquashedGaussian",
    "StackedMLP",
    "Streams",
    "TemporalMask",
    "TimeMLP",
    "VectorizedCritic",
    "attention_mask",
    "diversity",
    "frozen_copy",
    "make_head",
    "mix_members",
]

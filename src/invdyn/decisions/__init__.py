"""What to do next: policies.

| file | what | source |
|---|---|---|
| `config.py` | `PolicyConfig`: inputs, history, size, head | |
| `policy.py` | `ClonedPolicy`: acts from a masked history of states or images | VPT, IDP |
| `selection.py` | which steps count and how much, which episodes are held out | SS-ORL |
| `cloning.py` | `fit_policy`: weighted behavioural cloning | VPT, IDP |
| `comparison.py` | `compare_policies`: labelled only, inferred, oracle | SS-ORL, the two controls |
| `chunk_config.py`, `chunk_policy.py` | `ChunkPolicy`: a diffusion policy over action chunks | arXiv 2303.04137 |
| `chunk_training.py` | `fit_chunk_policy` | arXiv 2303.04137 |
| `receding_horizon.py` | `RecedingHorizonRunner`: chunks in closed loop, from noise or the last | arXiv 2508.05396 |
| `tabular_mdp.py` | `TabularMDP`: finite decision processes, solved exactly | Howard 1960; Ziebart 2010 |
| `behaviour.py` | `Behaviour`: optimal, Boltzmann, maximum causal entropy | irl-misspec |
| `identified_set.py` | `IdentifiedSet`: every reward that explains a policy; rules that pick one | arXiv 2203.07475 |
| `adversarial.py` | `adversarial_pair`: rewards a behaviour model cannot tell apart | arXiv 2403.06854 |
| `sensitivity.py` | `sensitivity`: how a recovered reward hangs on assumptions and data | arXiv 2403.06854 |
| `batched_projection.py` | `ShapingProjection`: a large process, many rewards at once | arXiv 2309.15257 |
| `linear_bandit.py` | `LinearBandit`, `play`: rewards through a hidden linear system, common noise | arXiv 2211.08997 |
| `optimism.py` | `DynLinUCB`, `LinUCB`, `DiscountedLinUCB`: optimistic ridge regression | arXiv 2211.08997 |
| `bandit_baselines.py` | `UCB1`, `Exp3`, `BatchedExp3`, `AR2`, an advertiser's own split | |
| `linear_identification.py` | closed-loop Markov parameters, Ho-Kalman | Ho and Kalman 1966 |
| `transitions.py` | `Transitions` of recordings; `RecentRollouts`, the buffer of model rollouts | MBPO |
| `learned_dynamics.py` | `fit_dynamics`: an ensemble with bootstraps, hold-out and elites | MBPO |
| `rollout_loop.py` | `RolloutLoop`: branched model rollouts, filter, penalty, bootstrapped end | MBPO, MOPO, MOREC |
| `sac.py` | `SAC` with N critics and the diversity of EDAC, runs side by side | SAC, EDAC, RAVL |
| `td3bc.py` | `TD3BC`: values against distance to the recorded action | TD3+BC |
| `cql.py` | `CQL`: values pressed down where no action was recorded | CQL |
| `offline.py` | `train_offline`: rollouts and updates in turn; `RunPolicy` | MBPO, RAVL |
| `dynamics_reward.py` | `fit_dynamics_reward`: the reward dynamics maximise, by adversarial imitation | MOREC |
| `dynamics_readout.py` | `DynamicsReward`: snapshots of discriminators, calibrated and averaged | MOREC |
| `transition_filter.py` | `RewardFilter`, `UncertaintyFilter`: which candidate of a model is believed | MOREC |
| `bellman_inconsistency.py` | `BellmanInconsistency`: members' disagreement about values, as a penalty | MOBILE |
| `offline_sets.py` | random, medium, replay and expert sets by checkpoints of a trained agent | arXiv 2004.07219 |
| `edge_of_reach.py` | states bootstrapped from and never updated: where they are, what they cost | RAVL |

VPT: arXiv 2206.11795. IDP: arXiv 2305.16985. SS-ORL: arXiv 2210.06518. SAC: arXiv 1801.01290.
MBPO: arXiv 1906.08253. MOPO: arXiv 2005.13239. EDAC: arXiv 2110.01548. RAVL: arXiv 2402.12527. MOREC: arXiv 2310.05422.
MOBILE: Sun et al., ICML 2023. TD3+BC: arXiv 2106.06860. CQL: arXiv 2006.04779.
"""

from invdyn.decisions.cloning import FittedPolicy, cloning_loss, fit_policy
from invdyn.decisions.comparison import PolicyComparison, compare_policies
from invdyn.decisions.config import PolicyConfig
from invdyn.decisions.cql import CQL, CQLConfig
from invdyn.decisions.offline import OfflineConfig, RunPolicy, train_offline
from invdyn.decisions.policy import ClonedPolicy
from invdyn.decisions.rollout_loop import RolloutLoop
from invdyn.decisions.sac import SAC, SACConfig
from invdyn.decisions.selection import choose_holdout, frame_sources, frame_weights
from invdyn.decisions.td3bc import TD3BC, TD3BCConfig
from invdyn.decisions.transitions import RecentRollouts, Transitions, transitions_of

__all__ = [
    "CQL",
    "SAC",
    "TD3BC",
    "CQLConfig",
    "ClonedPolicy",
    "FittedPolicy",
    "OfflineConfig",
    "PolicyComparison",
    "PolicyConfig",
    "RecentRollouts",
    "RolloutLoop",
    "RunPolicy",
    "SACConfig",
    "TD3BCConfig",
    "Transitions",
    "choose_holdout",
    "cloning_loss",
    "compare_policies",
    "fit_policy",
    "frame_sources",
    "frame_weights",
    "train_offline",
    "transitions_of",
]

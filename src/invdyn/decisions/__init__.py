"""What to do next: policies.

| file | what | source |
|---|---|---|
| `config.py` | `PolicyConfig`: inputs, history, size, head | |
| `policy.py` | `ClonedPolicy`: acts from a masked history of states or images | VPT, IDP |
| `selection.py` | which steps count and how much, which episodes are held out | SS-ORL |
| `cloning.py` | `fit_policy`: weighted behavioural cloning | VPT, IDP |
| `comparison.py` | `compare_policies`: labelled only, inferred, oracle | SS-ORL, the two controls |
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

VPT: arXiv 2206.11795. IDP: arXiv 2305.16985. SS-ORL: arXiv 2210.06518.
"""

from invdyn.decisions.cloning import FittedPolicy, cloning_loss, fit_policy
from invdyn.decisions.comparison import PolicyComparison, compare_policies
from invdyn.decisions.config import PolicyConfig
from invdyn.decisions.policy import ClonedPolicy
from invdyn.decisions.selection import choose_holdout, frame_sources, frame_weights

__all__ = [
    "ClonedPolicy",
    "FittedPolicy",
    "PolicyComparison",
    "PolicyConfig",
    "choose_holdout",
    "cloning_loss",
    "compare_policies",
    "fit_policy",
    "frame_sources",
    "frame_weights",
]

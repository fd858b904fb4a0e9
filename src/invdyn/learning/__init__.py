"""The dynamics of learning itself: what happens inside networks while they learn, and what caused a learning curve.

| file | what | source |
|---|---|---|
| `deep_linear.py` | closed forms of modes over time: `balanced`, `unbalanced`, `deep`, `riccati` | Saxe et al. 2014 |
| `linear_flow.py` | the same by simulation: `gradient_flow`, `gradient_descent`, `epochs_to_loss` | Saxe et al. 2014 |
| `inits.py` | starts: `orthogonal_chain`, `balanced_chain`, `gaussian_chain` | Saxe et al. 2014; Mezzadri 2007 |
| `trace.py` | `TrainingTrace`: weights over time; `mode_projection`, `crossing_times` | |
| `spectra.py` | singular values of long matrix products, beyond float64's range | Newman 1986 |
| `edge_of_chaos.py` | tanh networks: activity map, back-propagated errors, Jacobian spectra | Saxe et al. 2014 |
| `semantic.py` | hierarchical data whose modes are the splits of a tree | Saxe et al. 2014, 2019 |
| `curve_fit.py` | from a learning curve back to strengths, starts, learning rate, imbalance and depth | |
| `objectives.py` | functions with known mu, L and minimiser; Hessians as products only | |
| `accelerated.py` | `Method`: gradient descent, heavy ball, Nesterov, triple momentum | Nesterov 1983 |
| `accelerated_flows.py` | `flow`: the designed (passivity) flow, limits of NAG | arXiv 2509.18346; Shi et al. 2022 |
| `certificate.py` | `certificate`: Lyapunov functions of methods and flows | Nesterov 2004 |
| `performance.py` | `worst_case` over a class of functions, as a semidefinite program | Drori and Teboulle 2014 |
| `law_of_iterates.py` | from iterates back to the optimiser, from a path back to the flow | |
| `group_task.py` | `GroupTask`: cyclic, product, dihedral, symmetric groups, tables, expressions; their irreps | |
| `grok_net.py` | `GrokNet`: the two-layer net, several side by side, and its loss | arXiv 2509.21519 |
| `grokking.py` | `train_grokking`, stage detector; `grok_probes.py`: what is watched | arXiv 2509.21519 |
| `lazy_stage.py` | ridge readout, the gradient it leaves on features, how features push each other | arXiv 2509.21519 |
| `feature_energy.py` | the energy a node climbs on its own, its maxima, nodes' shares per irrep | arXiv 2509.21519 |
"""

from invdyn.learning.accelerated import (
    METHODS,
    Method,
    drift_kick,
    iterate,
    method,
    nesterov_convex,
    quadratic_radius,
    three_sequences,
)
from invdyn.learning.accelerated_flows import Flow, flow, off_manifold
from invdyn.learning.certificate import Certificate, certificate, worst_excess
from invdyn.learning.curve_fit import LossFit, ModeFit, fit_loss_curve, fit_mode_curve, identify_depth, loss_curve
from invdyn.learning.deep_linear import balanced, balanced_time, deep, deep_time, infinite_time, riccati, unbalanced
from invdyn.learning.edge_of_chaos import activity_map, activity_path, backward, fixed_activity, jacobian_spectrum
from invdyn.learning.feature_energy import Ascent, ascend
from invdyn.learning.feature_energy import energy as feature_energy
from invdyn.learning.feature_energy import energy_gradient as feature_energy_gradient
from invdyn.learning.feature_energy import shares as shares_of_nodes
from invdyn.learning.grok_net import GrokNet
from invdyn.learning.grokking import GrokConfig, GrokRun, first_at_least, train_grokking
from invdyn.learning.group_task import (
    GroupTask,
    critical_share,
    cyclic,
    dihedral,
    expression,
    from_table,
    product,
    symmetric,
)
from invdyn.learning.inits import balanced_chain, balanced_pair, gaussian_chain, orthogonal_chain, orthogonal_init
from invdyn.learning.law_of_iterates import IdentifiedMethod, PassivityFit, fit_passivity, identify_optimizer
from invdyn.learning.lazy_stage import (
    closed_feature_gradient,
    coupling,
    feature_gradient,
    lemma_direction,
    projected_similarity,
    ridge_readout,
    similar_pairs,
)
from invdyn.learning.linear_flow import (
    Correlations,
    Epochs,
    correlations,
    descent_direction,
    epochs_to_loss,
    gradient_descent,
    gradient_flow,
)
from invdyn.learning.objectives import Objective, double_well, kinked, log_sum_exp, logistic, quadratic
from invdyn.learning.performance import worst_case
from invdyn.learning.semantic import TreeData, binary_tree
from invdyn.learning.spectra import gaussian_exponents, product_singular_values
from invdyn.learning.trace import TrainingTrace, chain_product, crossing_times, mode_projection

__all__ = [
    "METHODS",
    "Ascent",
    "Certificate",
    "Correlations",
    "Epochs",
    "Flow",
    "GrokConfig",
    "GrokNet",
    "GrokRun",
    "GroupTask",
    "IdentifiedMethod",
    "LossFit",
    "Method",
    "ModeFit",
    "Objective",
    "PassivityFit",
    "TrainingTrace",
    "TreeData",
    "activity_map",
    "activity_path",
    "ascend",
    "backward",
    "balanced",
    "balanced_chain",
    "balanced_pair",
    "balanced_time",
    "binary_tree",
    "certificate",
    "chain_product",
    "closed_feature_gradient",
    "correlations",
    "coupling",
    "critical_share",
    "crossing_times",
    "cyclic",
    "deep",
    "deep_time",
    "descent_direction",
    "dihedral",
    "double_well",
    "drift_kick",
    "epochs_to_loss",
    "expression",
    "feature_energy",
    "feature_energy_gradient",
    "feature_gradient",
    "first_at_least",
    "fit_loss_curve",
    "fit_mode_curve",
    "fit_passivity",
    "fixed_activity",
    "flow",
    "from_table",
    "gaussian_chain",
    "gaussian_exponents",
    "gradient_descent",
    "gradient_flow",
    "identify_depth",
    "identify_optimizer",
    "infinite_time",
    "iterate",
    "jacobian_spectrum",
    "kinked",
    "lemma_direction",
    "log_sum_exp",
    "logistic",
    "loss_curve",
    "method",
    "mode_projection",
    "nesterov_convex",
    "off_manifold",
    "orthogonal_chain",
    "orthogonal_init",
    "product",
    "product_singular_values",
    "projected_similarity",
    "quadratic",
    "quadratic_radius",
    "riccati",
    "ridge_readout",
    "shares_of_nodes",
    "similar_pairs",
    "symmetric",
    "three_sequences",
    "train_grokking",
    "unbalanced",
    "worst_case",
    "worst_excess",
]

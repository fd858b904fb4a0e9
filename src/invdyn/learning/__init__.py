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
"""

from invdyn.learning.curve_fit import LossFit, ModeFit, fit_loss_curve, fit_mode_curve, identify_depth, loss_curve
from invdyn.learning.deep_linear import balanced, balanced_time, deep, deep_time, infinite_time, riccati, unbalanced
from invdyn.learning.edge_of_chaos import activity_map, activity_path, backward, fixed_activity, jacobian_spectrum
from invdyn.learning.inits import balanced_chain, balanced_pair, gaussian_chain, orthogonal_chain, orthogonal_init
from invdyn.learning.linear_flow import (
    Correlations,
    Epochs,
    correlations,
    descent_direction,
    epochs_to_loss,
    gradient_descent,
    gradient_flow,
)
from invdyn.learning.semantic import TreeData, binary_tree
from invdyn.learning.spectra import gaussian_exponents, product_singular_values
from invdyn.learning.trace import TrainingTrace, chain_product, crossing_times, mode_projection

__all__ = [
    "Correlations",
    "Epochs",
    "LossFit",
    "ModeFit",
    "TrainingTrace",
    "TreeData",
    "activity_map",
    "activity_path",
    "backward",
    "balanced",
    "balanced_chain",
    "balanced_pair",
    "balanced_time",
    "binary_tree",
    "chain_product",
    "correlations",
    "crossing_times",
    "deep",
    "deep_time",
    "descent_direction",
    "epochs_to_loss",
    "fit_loss_curve",
    "fit_mode_curve",
    "fixed_activity",
    "gaussian_chain",
    "gaussian_exponents",
    "gradient_descent",
    "gradient_flow",
    "identify_depth",
    "infinite_time",
    "jacobian_spectrum",
    "loss_curve",
    "mode_projection",
    "orthogonal_chain",
    "orthogonal_init",
    "product_singular_values",
    "riccati",
    "unbalanced",
]

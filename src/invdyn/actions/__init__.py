"""What was done: inverse dynamics models and labelling.

| file | what | source | needs |
|---|---|---|---|
| base.py | `InverseModel`: a window of observations in, a distribution over the cause out | | |
| inverse.py | `InverseConfig`, `build_inverse` | SS-ORL, VPT, IDP | a schema |
| features.py | `WindowFeatures`: scaled states, changes, image codes, masks | SS-ORL, IDP | |
| inverse_nets.py | `InverseNet`: encoder x temporal mask x typed head, ensembles | SS-ORL, VPT, IDP | labelled steps |
| ridge.py | the linear path at its ridge solution | Golub et al. 1979 | |
| fit.py | `fit_inverse`: labelled steps in, whole episodes held out | SS-ORL | some labelled episodes |
| closed_form.py | `ClosedFormInverse`: a world's exact inverse | | a world that has one |
| labeller.py | the labelling engine | VPT, SS-ORL | a model, recordings |
"""

from invdyn.actions.base import InverseModel
from invdyn.actions.closed_form import ClosedFormInverse
from invdyn.actions.fit import FittedInverse, fit_inverse
from invdyn.actions.inverse import InverseConfig, build_inverse
from invdyn.actions.inverse_nets import InverseNet

__all__ = [
    "ClosedFormInverse",
    "FittedInverse",
    "InverseConfig",
    "InverseModel",
    "InverseNet",
    "build_inverse",
    "fit_inverse",
]

"""What was done: inverse dynamics models and labelling.

| file | what | source | needs |
|---|---|---|---|
| base.py | `InverseModel`: a window of observations in, a distribution over the cause out | | |
| inverse.py | `InverseConfig`: encoder x temporal mask x typed head | SS-ORL, VPT, IDP | a schema |
| features.py | `WindowFeatures`: scaled states, changes, image codes, masks | SS-ORL, IDP | |
| inverse_nets.py | `InverseNet`, `build_inverse`: nets and ensembles of them | SS-ORL, VPT, IDP | labelled steps |
| ridge.py | the linear path at its ridge solution | Golub et al. 1979 | |
| fit.py | `fit_inverse`: labelled steps in, whole episodes held out | SS-ORL | some labelled episodes |
| closed_form.py | `ClosedFormInverse`: a world's exact inverse | | a world that has one |
| labeller.py | `label_dataset`: recordings in, labelled recordings out, resumable | VPT, SS-ORL | a model, recordings |
| labelling.py | one episode's answers into its label | | |
| sliding.py | a model slid over whole episodes, in batches | VPT | |
| confidence.py | the weight of a label from its interval and residual | | |
| overlay.py | an episode with a label laid over it; measured values to the bit | | |
| engine.py | executors, and the staging folder that becomes the output | | |
| provenance.py | fingerprints of model, recordings and settings | | |
| filtering.py | `filter_labels` for trainers that know no weights | | labels |
"""

from invdyn.actions.base import InverseModel
from invdyn.actions.closed_form import ClosedFormInverse
from invdyn.actions.engine import EngineError, Executor, LocalExecutor
from invdyn.actions.filtering import filter_labels
from invdyn.actions.fit import FittedInverse, fit_inverse
from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import InverseNet, build_inverse
from invdyn.actions.labeller import LabelReport, label_dataset

__all__ = [
    "ClosedFormInverse",
    "EngineError",
    "Executor",
    "FittedInverse",
    "InverseConfig",
    "InverseModel",
    "InverseNet",
    "LabelReport",
    "LocalExecutor",
    "build_inverse",
    "filter_labels",
    "fit_inverse",
    "label_dataset",
]

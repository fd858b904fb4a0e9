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

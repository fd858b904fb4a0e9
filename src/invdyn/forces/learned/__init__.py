"""Joint torques of an arm learned from its motion, with intervals.

| file | what | source |
|---|---|---|
| `rows.py` | `TorqueRows`: motion beside measured torques; `TorqueEstimate`, `TorqueModel` | |
| `ridge.py` | linear and kernel ridge regression: the baselines | Hoerl and Kennard 1970 |
| `arm_kernel.py` | `ArmKernel`: covariance after the equation of motion | Nguyen-Tuong and Peters 2010 |
| `gaussian_process.py` | exact Gaussian process per joint, by evidence | Rasmussen and Williams 2006 |
| `ensemble.py` | nets of one shape trained together, their mean and spread | Lakshminarayanan et al. 2017 |
| `network.py` | pure network | |
| `lagrangian.py` | Deep Lagrangian network with friction | Lutter, Ritter and Peters 2019 |
| `rigid_body.py` | least squares on a regressor; a learned residual on top | Nguyen-Tuong and Peters 2010 |
| `stacking.py` | models weighed by how they do at rows left out | Breiman 1996 |
| `intervals.py` | conformal intervals, blocks of the recording left out | Vovk et al. 2005 |
"""

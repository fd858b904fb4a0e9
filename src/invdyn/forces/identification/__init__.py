"""Masses, inertias and friction from recorded motion and torque.

| file | what | source |
|---|---|---|
| `identify.py` | `identify`: recordings to parameters, beside the given model; joins the files below | |
| `settings.py` | `IdentifySettings` | |
| `recordings.py` | torque columns matched and converted, motion smoothed in parts | |
| `smoothing.py` | cut-off and lag chosen by the torque error of blocks left out | |
| `equations.py` | `Equations`: a recording of any length, reduced to triangles | Golub and Van Loan, 5.2 |
| `friction.py` | `Friction`: columns of what resists and of what the rotors add | Swevers et al. 2007 |
| `friction_choice.py` | its nonlinear numbers, chosen by blocks left out | |
| `base_parameters.py` | which combinations of the parameters torque can tell | Gautier 1991 |
| `least_squares.py` | ordinary and weighted fits, their intervals | Gautier and Poignet 2001 |
| `pseudo_inertia.py` | what a body can weigh: 4 x 4 pseudo-inertia, log-Cholesky, distances | Rucker and Wensing 2022 |
| `feasible.py` | physically consistent fit as a semidefinite program | Wensing, Kim and Slotine 2018 |
| `log_cholesky.py` | physically consistent fit without constraints | Rucker and Wensing 2022 |
| `excitation.py` | motion that makes the parameters visible, within limits | Swevers et al. 1997 |
| `body_regressor.py` | the regressor of a `BodyModel`, time first | Atkeson, An and Hollerbach 1986 |
| `written.py` | the identified model (URDF, MJCF), parameters with covariance (JSON) | |
| `crossvalidation.py` | torque error on blocks of time left out | |
| `replay.py` | torques and motion of the identified model beside the recorded ones | |
"""

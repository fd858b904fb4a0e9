"""What pushed: torques, contact forces, inertial parameters behind recorded motion.

| file | what | source |
|---|---|---|
| `torques.py` | `recover_torques`: recorded motion to torques, the steps joined | |
| `torques_columns.py`, `torques_recordings.py` | recorded numbers as positions of a model, by name and unit | |
| `torques_smoothing.py`, `torques_evaluation.py` | derivatives; forces, and intervals from noise | first order |
| `torques_sweep.py` | what the cut-off does to the torques | |
| `torques_root.py`, `torques_loads.py`, `torques_contacts.py` | residual at the root, loads, found contacts | |
| `torques_replay.py` | the answer replayed forward | |
| `torques_results.py` | written as Dataset, CSV, STO, summary | |
| `opensim_problem.py` | OpenSim's inverse dynamics problem as its tool poses it | OpenSim |
| `contacts.py` | contacts found, forces never measured, centre of pressure, root residuals | friction-cone QP |
| `learned/` | torques of arms learned from motion, on a rigid body or without one | see its table |
| `identification/` | masses, inertias and friction from motion and torque, with intervals | Gautier; Wensing et al. |
"""

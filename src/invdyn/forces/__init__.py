"""What pushed: torques, contact forces, inertial parameters behind recorded motion.

| file | what | source |
|---|---|---|
| `contacts.py` | contacts found, forces never measured, centre of pressure, root residuals | friction-cone QP |
| `learned/` | torques of arms learned from motion, on a rigid body or without one | see its table |
| `identification/` | masses, inertias and friction from motion and torque, with intervals | Gautier; Wensing et al. |
"""

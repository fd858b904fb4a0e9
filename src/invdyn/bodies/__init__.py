"""Rigid bodies: models from files, kinematics, inverse and forward dynamics, contacts.

| file | what | source |
|---|---|---|
| `model.py` | `BodyModel`: a tree of bodies, joints, inertias, coordinates | |
| `drive.py` | `Drive`: displacements as functions of coordinates (mimic, OpenSim custom joints) | |
| `files.py` | `load_model`: URDF, MJCF, OSIM or DeepMimic by what the file is | |
| `urdf.py`, `urdf_elements.py`, `urdf_write.py` | URDF, read by hand to keep line numbers, and written | ROS |
| `mjcf*.py`, `mujoco_convention.py` | MJCF through MuJoCo's compiled arrays, and written; its conventions | MuJoCo |
| `mujoco_inverse.py` | torques of MuJoCo recordings through the integrator's own inverse | MuJoCo |
| `osim*.py` | OpenSim models: joints, coordinate functions, couplings, passive forces | OpenSim, Simbody |
| `xml_reading.py`, `merging.py` | XML read safely with line numbers; fixed bodies merged | |
| `character.py` | DeepMimic characters as models | Peng et al. 2018 |
| `joints.py` | what each kind of joint does | Featherstone 2008 |
| `kinematics.py` | placements, frame Jacobians | Featherstone 2008, 4. |
| `rnea.py`, `crba.py`, `aba.py` | inverse dynamics, mass matrix, forward dynamics | Featherstone 2008, 5.-7. |
| `rnea_derivatives.py` | its derivatives as matrices | Carpentier & Mansard 2018; Singh et al. 2022 |
| `regressor.py` | the inertial regressor: torque = Y parameters | Atkeson, An & Hollerbach 1986 |
| `energy.py` | energies, centre of mass, centroidal momentum | Orin, Goswami & Lee 2013 |
| `dynamics.py` | `Dynamics`: all of these as batched, differentiable torch functions | |
| `rotations.py`, `manifold.py` | positions with quaternions: steps, differences, rates | Sola et al. 2018 |
| `inverse_kinematics.py`, `ik_*.py` | markers and frames to positions | Lu & O'Connor 1999 |
| `contact_*.py` | contact forces by a batched friction-cone QP | quadratic programming |
"""

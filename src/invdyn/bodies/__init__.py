"""Rigid bodies: models from files, kinematics, inverse and forward dynamics, contacts.

| file | what | source |
|---|---|---|
| `model.py` | `BodyModel`: a tree of bodies, joints, inertias, coordinates | |
| `joints.py` | what each kind of joint does | Featherstone 2008 |
| `kinematics.py` | placements, frame Jacobians | Featherstone 2008, 4. |
| `rnea.py`, `crba.py`, `aba.py` | inverse dynamics, mass matrix, forward dynamics | Featherstone 2008, 5.-7. |
| `regressor.py` | the inertial regressor: torque = Y parameters | Atkeson, An & Hollerbach 1986 |
| `energy.py` | energies, centre of mass, centroidal momentum | Orin, Goswami & Lee 2013 |
| `dynamics.py` | `Dynamics`: all of these as batched, differentiable torch functions | |
| `contact_qp.py`, `contact_cone.py`, `contact_interior.py` | contact forces by a batched friction-cone QP | card rigid-body |
| `drive.py` | `Drive`: displacements as functions of coordinates (mimic, OpenSim custom joints) | |
| `files.py` | `load_model`: URDF, MJCF or OSIM, by the root element | |
| `xml_reading.py` | XML of unknown origin read safely, complaints with file and line | |
| `urdf.py`, `urdf_write.py` | URDF read and written | wiki.ros.org/urdf/XML |
| `mjcf.py`, `mjcf_compile.py`, `mjcf_write.py` | MJCF read through MuJoCo's compiled arrays, written | MuJoCo documentation |
| `merging.py` | fixed links merged into their parents, joints locked, massless leaves | |
| `mujoco_convention.py` | states and forces between MuJoCo's convention and ours | |
| `mujoco_inverse.py` | torques of MuJoCo recordings through the integrator's own inverse | MuJoCo documentation |
"""

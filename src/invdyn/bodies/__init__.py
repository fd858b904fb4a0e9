"""Rigid bodies: models from files, kinematics, inverse and forward dynamics, contacts.

| file | what | source |
|---|---|---|
| `model.py` | `BodyModel`: a tree of bodies, joints, inertias, coordinates | |
| `drive.py` | `Drive`: displacements as functions of coordinates (mimic, OpenSim custom joints) | |
"""

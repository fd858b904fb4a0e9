"""What pushed: torques, contact forces, inertial parameters behind recorded motion.

| file | what | source |
|---|---|---|
| `contacts.py` | contacts found, forces never measured, centre of pressure, root residuals | friction-cone QP |
"""

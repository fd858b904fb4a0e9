"""The legend of axis names used in shape annotations.

| axis | meaning |
|---|---|
| batch | independent samples, copies of a world, windows |
| time | steps of an episode (`time+1`: with the final state) |
| window | steps around a centre, oldest first |
| cause | components of the inferred cause (action, torque, force) |
| state | components of a state vector |
| frames | steps of all episodes end to end |
| episodes | episodes of a dataset |
| h w / height width | image rows and columns |
| joint nq nv body marker cam | joints, generalised positions, velocities, bodies, markers, cameras |
"""

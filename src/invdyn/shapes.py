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
| step steps | simulated or recorded steps that need not be an episode's |
| column columns | named numbers of a table or recording |
| coordinate | one named generalised coordinate (OpenSim) |
| six_per_body ten_per_body | wrenches, inertial parameters, of all bodies end to end |
| sites plate_channel | frames of a model; analogue channels of force plates |
| k | contact points (forces), points, whatever is counted within one file |
| loaded | bodies that measured loads push |
| cutoffs | cut-off frequencies compared |
| component jobs | numbers in which a replay is compared; one-step evaluations at a time |
| inertial unknowns rank | inertial parameters; all that is identified; those that can be told |
"""

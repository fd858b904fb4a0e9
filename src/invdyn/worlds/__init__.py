"""Worlds: what can be put into a state, pushed by a cause, observed, and put back exactly.

| file | what | source |
|---|---|---|
| base | `World`, `Expert`, `Snapshot`, `StepResult`: the interface | |
| registry | `WORLDS`, `make_world`: worlds by id; `maker` for other processes | |
| record | `record`: episodes under an expert or a policy | |
| torch_world, counter_rng | base of the batched torch worlds; random numbers that are functions of seed and step | |
| rasterizer | batched 2-D pictures, masks, depth and flow in torch | |
| pendulum | a torque swings up a rod; exact inverse | gymnasium Pendulum-v1 |
| refrigerator | a temperature under a compressor; PID and on-off controllers | MOREC |
| point2d, push2d | a point, a pushing disc | this project |
| gym_adapter, env_attributes | copies of a Gymnasium environment as a world, exact snapshot and restore | gymnasium |
| mujoco_state | exact state of MuJoCo environments | MuJoCo, mjSTATE_INTEGRATION |
| mujoco_torques | the same driven by generalised forces, with the integrator's own inverse | MuJoCo, mj_inverse |
| gymnasium_world | `gymnasium/<EnvId>`: any vector environment | gymnasium |
| locomotion | Hopper, HalfCheetah, Walker2d in large batches from given states, with their ends | gymnasium v5 |
| metaworld | 50 manipulation tasks with scripted experts | Yu et al., CoRL 2019 |
| adroit | a hand of 24 joints opens a door | Rajeswaran et al., RSS 2018 |
| pusht | a disc pushes a T onto its place | Chi et al., RSS 2023 |
| linear_gaussian | a linear system whose posteriors are closed form | UWM, UVA |
| mixtures | behaviour mixtures and return-quantile splits | SS-ORL |
| forward_model | `ForwardModel`; `ExactDynamics`: a world as its own perfect model | RAVL |
| mixed_dynamics | a model between a random, a learnt and the true one | RAVL |
| solver | `integrate`: RK4 and Tsit5 over batches, float64 | Tsitouras 2011 |
| fast_renderer | MuJoCo pictures, depth and segmentation without the costly effects | MuJoCo |

Simulators are imported when a world is made (extra `worlds`).
"""

from invdyn.worlds.base import INVERSE, WORLD_STATE, Expert, Snapshot, StepResult, World
from invdyn.worlds.record import record
from invdyn.worlds.registry import WORLDS, Entry, make_world, maker

__all__ = [
    "INVERSE",
    "WORLDS",
    "WORLD_STATE",
    "Entry",
    "Expert",
    "Snapshot",
    "StepResult",
    "World",
    "make_world",
    "maker",
    "record",
]

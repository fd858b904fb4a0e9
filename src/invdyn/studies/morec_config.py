"""Sizes and runs of the MOREC study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from invdyn.decisions.dynamics_reward import RewardConfig
from invdyn.decisions.learned_dynamics import DynamicsConfig
from invdyn.decisions.offline import OfflineConfig
from invdyn.decisions.sac import SACConfig
from invdyn.studies.walkers import WalkersConfig

__all__ = ["GROUPS", "WALKERS", "WALKER_SETS", "WALKER_VARIANTS", "MorecConfig", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One method that learns a policy on the pendulum."""

    name: str
    choose: str = "none"
    """`argmax`, `argmin`, `random`, `last` (argmax by the last discriminator alone), `uncertainty`, `none`."""
    short: bool = False
    """Whether rollouts have the host's own length instead of MOREC's."""
    average: bool = False
    """Whether the model is the mean of the ensemble."""


GROUPS: dict[str, tuple[Variant, ...]] = {
    "mopo": (
        Variant("morec", "argmax"),
        Variant("mopo", "random"),
        Variant("mopo5", "random", short=True),
        Variant("argmin", "argmin"),
        Variant("last", "last"),
        Variant("mean", average=True),
        Variant("uncertainty", "uncertainty"),
    ),
    "mobile": (Variant("mobile+morec", "argmax"), Variant("mobile", "random")),
    "exact": (Variant("exact"), Variant("exact+filter", "argmax")),
}
"""Trainings side by side: on the host MOPO, on the host MOBILE, on the true dynamics."""

WALKERS = ("hopper", "halfcheetah", "walker2d")
"""Parts of scale gpu."""
WALKER_SETS = ("medium", "medium-replay", "random")
"""Recordings of each (card)."""
WALKER_VARIANTS = (Variant("morec", "argmax"), Variant("mopo", "random"), Variant("mopo5", "random", short=True))
"""On each: the host with the filter, without it over as many steps, without it over the host's own."""


GAME = RewardConfig(
    encoder=(32, 32),
    head=(32,),
    iterations=120,
    every=4,
    snapshots=30,
    starts=128,
    horizon=3,
    discriminator_updates=6,
    discriminator_lr=1e-3,
    model_lr=2e-3,
    warm=0,
    likelihood=0.3,
    epochs=2,
    minibatches=2,
)
"""Of the worlds with noise."""


@dataclass(frozen=True)
class MorecConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("readout", "planted", "refrigerator", "pendulum", "mopo", "mobile", "exact")
    """Which experiments run; those on the pendulum's policies need `pendulum`."""
    rows: int = 4000
    """Transitions of the linear-Gaussian world (ours)."""
    refrigerator_episodes: int = 50
    """Of 100 steps, under the PID controller (ours)."""
    pendulum_episodes: int = 500
    """Of 40 steps: 20,000 transitions before those outside the part are taken away (card)."""
    reward: RewardConfig = GAME
    """The game on the planted world: 30 snapshots (card); nets, rates and rounds ours."""
    refrigerator_reward: RewardConfig = field(default_factory=lambda: replace(GAME, log_std=(1.0, 2.0)))
    """The same on the refrigerator, against a P that stays wide: bounds of -0.7, 0, 0.5 and 1 were tried (ours)."""
    pendulum_reward: RewardConfig = field(
        default_factory=lambda: replace(
            GAME,
            encoder=(128, 128),
            head=(128,),
            iterations=240,
            every=8,
            horizon=2,
            discriminator_updates=12,
            discriminator_lr=2e-3,
            model_lr=3e-3,
            likelihood=1.0,
            log_std=(-1.5, 1.0),
        )
    )
    """The same on the pendulum, which has no noise to tell errors by: sharper discriminators (ours)."""
    dynamics: DynamicsConfig = field(
        default_factory=lambda: DynamicsConfig(
            members=5, elites=5, width=64, depth=2, lr=2e-3, lr_factor=1.0, epochs=12
        )
    )
    """The pendulum's ensemble: 5 nets of 64-64 (card)."""
    refrigerator_dynamics: DynamicsConfig = field(
        default_factory=lambda: DynamicsConfig(
            members=5, elites=5, width=64, depth=2, lr=2e-3, lr_factor=1.0, epochs=30
        )
    )
    """The refrigerator's: longer, its recordings are fewer (ours)."""
    pairs: int = 1000
    """(s, a) at which candidates are compared, inside and outside the data (ours)."""
    rolled: int = 30
    """Rollouts under unseen policies (ours)."""
    steps: int = 100
    """Of a rollout (card)."""
    length: int = 100
    """Steps of a rollout that MOREC learns from (card)."""
    host_length: int = 5
    """Of MOPO's own (MOPO: 1 or 5)."""
    penalty: float = 0.5
    """c of MOPO, the card's for HalfCheetah, for every variant of that host."""
    mobile_penalty: float = 0.5
    """Weight of MOBILE's inconsistency (ours)."""
    epochs: int = 12
    """Rounds of rollouts and updates (ours): 6,000 updates, when the learner has solved the true pendulum."""
    updates: int = 500
    """Per round (ours)."""
    starts: int = 50
    """Rollouts per round (ours)."""
    batch: int = 128
    """Transitions per update (ours)."""
    real: float = 0.05
    """Share of recorded ones (card)."""
    evaluation: int = 30
    """Starts of an evaluation, 200 steps each (ours)."""

    walkers: WalkersConfig = field(default_factory=WalkersConfig)
    """Recordings, ensemble and evaluation on the walkers, which are parts of scale gpu."""
    walker_reward: RewardConfig = field(
        default_factory=lambda: RewardConfig(iterations=400, snapshots=40, likelihood=1.0, discriminator_lr=1e-3)
    )
    """The game there: the card's nets, a tenth of its snapshots; rounds and rates ours."""
    walker_learner: SACConfig = field(
        default_factory=lambda: SACConfig(critics=2, eta=0.0, depth=2, actor_lr=1e-4, alpha_lr=1e-4)
    )
    """Learner there: twin critics of 256-256, rates 1e-4 and 3e-4 (card)."""
    walker_epochs: int = 200
    """Rounds of rollouts and updates there, 2e5 updates in all (card)."""
    walker_updates: int = 1000
    """Per round there (card)."""
    walker_starts: int = 1000
    """Rollouts per round there (card: 2,000)."""
    walker_batch: int = 256
    """Transitions per update there (card)."""
    walker_checks: int = 8
    """Points of a learning curve there (ours)."""

    def agent(self) -> SACConfig:
        """Settings of every learner: twin critics of 64-64, rates for short trainings (ours)."""
        return SACConfig(critics=2, eta=0.0, width=64, depth=2, alpha=0.1, actor_lr=1e-3, critic_lr=1e-3, alpha_lr=1e-3)

    def schedule(self) -> OfflineConfig:
        """Five epochs of rollouts are kept (card)."""
        return OfflineConfig(
            epochs=self.epochs, updates=self.updates, starts=self.starts, keep=5, batch=self.batch, real=self.real
        )

    def walker_schedule(self) -> OfflineConfig:
        """The same on the walkers."""
        return OfflineConfig(
            epochs=self.walker_epochs,
            updates=self.walker_updates,
            starts=self.walker_starts,
            keep=5,
            batch=self.walker_batch,
            real=self.real,
        )

"""Sizes and runs of the RAVL study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from invdyn.decisions.offline import OfflineConfig
from invdyn.decisions.sac import SACConfig
from invdyn.studies.walkers import WalkersConfig

__all__ = ["GROUPS", "RavlConfig", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One method at one rollout length."""

    method: str
    """`base` (N = 2), `oracle` (OraclePatch), `mopo`, `ravl` (N, eta), `plain` (N, eta = 0)."""
    length: int
    """Steps k of a rollout."""

    @property
    def name(self) -> str:
        """`base.k1`."""
        return f"{self.method}.k{self.length}"


GROUPS: dict[str, tuple[Variant, ...]] = {
    "base": (Variant("base", 1),),
    "mopo": (Variant("mopo", 1),),
    "pairs": (Variant("base", 2), Variant("base", 3), Variant("oracle", 1)),
    "ravl": (Variant("ravl", 1), Variant("ravl", 3)),
    "plain": (Variant("plain", 1),),
}
"""Trainings on point2d that share their number of critics and their diversity, so that they run side by side.

Base and MOPO at k = 1 run apart: they are compared to the last bit, and how a batched product rounds depends on where
in the batch a net stands."""


@dataclass(frozen=True)
class RavlConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("exact", "base", "mopo", "pairs", "ravl", "plain", "pendulum")
    """Which experiments run."""
    critics: int = 10
    """N of RAVL (card)."""
    eta: float = 1.0
    """Weight of the diversity (card)."""
    width: int = 64
    """Units of the nets' two hidden layers (card)."""
    batch: int = 128
    """Transitions per update (card)."""
    updates: int = 4000
    """On point2d (card)."""
    reward_scale: float = 3.0
    """Rewards of point2d are learnt in this unit, by every method: eta = 1 weighs the diversity against squared
    rewards of order one, as those of D4RL are; here they are 0.1 per metre (ours; 1 and 10 were tried)."""
    lr: float = 1e-3
    """Of actor, critics and temperature (ours; 3e-4 is made for 3e6 updates)."""
    alpha: float = 0.3
    """Temperature on point2d at the start, in the learner's unit of reward: a tenth of the card's 1 in the card's unit,
    which drowns the rewards for 4,000 updates; a hundredth lets the base come back within them (ours)."""
    pendulum_alpha: float = 0.03
    """On the pendulum (ours)."""
    diagnose_at: int = 2000
    """Updates after which effective penalties are compared (card)."""
    pool: int = 2000
    """Start states that rollouts branch from, uniform in the square (ours)."""
    evaluation: int = 200
    """Starts of an evaluation, 50 steps each (ours)."""
    pendulum_updates: int = 10_000
    """Updates on the pendulum (ours)."""
    pendulum_episodes: int = 30
    """Recorded episodes of 200 steps, a third each of an expert, a sluggish and a random policy (ours)."""
    replicas: int = 40_000
    """Independent chains of the Monte Carlo (ours)."""
    walkers: WalkersConfig = field(default_factory=WalkersConfig)
    """Recordings, ensemble and evaluation on Hopper and HalfCheetah, which are parts of scale gpu."""
    walker_set: str = "medium"
    """Which of the sets is learnt from (ours)."""
    walker_learner: SACConfig = field(default_factory=SACConfig)
    """RAVL's learner there (card); base and MOPO have two critics and no diversity."""
    walker_methods: tuple[str, ...] = ("base", "mopo", "ravl")
    """Who is trained there; MOPO not under mixed models."""
    sources: tuple[str, ...] = ("learnt", "exact", "mixed")
    """Models there: the ensemble, the simulator, and those on the way from random to learnt to true."""
    qualities: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    """Of mixed models: -1 random, 0 learnt, 1 true (ours)."""
    length: int = 5
    """Steps k of a rollout there (card)."""
    walker_updates: int = 100_000
    """There (card)."""
    walker_epoch: int = 1000
    """Updates between fresh rollouts there (card)."""
    learnt_starts: int = 50_000
    """Rollouts per epoch of the ensemble (card)."""
    exact_starts: int = 2000
    """Of the simulator and of mixed models, which simulate too (ours)."""
    walker_batch: int = 256
    """Transitions per update there, 5 % of them recorded (card)."""
    walker_sample: int = 2000
    """States there of which is asked whether they are edge-of-reach (ours)."""

    def agent(self, method: str) -> SACConfig:
        """Settings of a method's learner."""
        many = method in ("ravl", "plain")
        return SACConfig(
            critics=self.critics if many else 2,
            eta=self.eta if method == "ravl" else 0.0,
            width=self.width,
            depth=2,
            actor_lr=self.lr,
            critic_lr=self.lr,
            alpha_lr=self.lr,
            alpha=self.alpha,
        )

    def schedule(self, updates: int, real: float) -> OfflineConfig:
        """Fresh rollouts every 50 updates, five epochs kept."""
        epoch = min(50, updates)
        return OfflineConfig(
            epochs=updates // epoch, updates=epoch, starts=4 * self.batch, keep=5, batch=self.batch, real=real
        )

    def walker_agent(self, method: str) -> SACConfig:
        """Settings of a method's learner on the walkers."""
        return self.walker_learner if method == "ravl" else replace(self.walker_learner, critics=2, eta=0.0)

    def walker_schedule(self, source: str) -> OfflineConfig:
        """Five epochs of rollouts are kept (card)."""
        return OfflineConfig(
            epochs=max(1, self.walker_updates // self.walker_epoch),
            updates=self.walker_epoch,
            starts=self.learnt_starts if source == "learnt" else self.exact_starts,
            keep=5,
            batch=self.walker_batch,
            real=0.05,
        )

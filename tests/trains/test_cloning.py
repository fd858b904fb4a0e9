"""Behavioural cloning recovers a known expert, obeys weights, and uses its history."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invdyn.decisions import ClonedPolicy, PolicyConfig, compare_policies, fit_policy, frame_weights
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.label import Label
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.training.trainer import TrainerConfig
from invdyn.verify.evaluator import evaluate
from invdyn.worlds.pendulum import Pendulum

STATE = SignalSpec("observation.state", (2,), "float32", "state")
ACTION = SignalSpec("action", (1,), "float32", "action", low=(-1.0,), high=(1.0,))
IMAGES = TrainerConfig(steps=150, batch_size=32, lr=3e-3)
QUICK = TrainerConfig(steps=300, batch_size=128, lr=5e-3, validate_every=100, seed=0)


def expert_action(state: np.ndarray) -> np.ndarray:
    """A smooth known behaviour within the bounds."""
    return np.tanh(1.5 * state[:, :1] - state[:, 1:])


def recording(
    seed: int, *, wrong: bool = False, inferred: bool = False, weight: float = 1.0, length: int = 40
) -> Episode:
    """States drawn at random with the expert's action, or with its opposite; the last step has none."""
    state = np.random.default_rng(seed).normal(size=(length, 2)).astype(np.float32)
    action = expert_action(state).astype(np.float32) * (-1 if wrong else 1)
    source = np.full(length, "inferred:test" if inferred else "measured", object)
    source[-1] = ""
    weights = np.full(length, weight if inferred else 1.0)
    weights[-1] = 0
    nothing = np.full(length, np.nan)
    label = Label(action.astype(float), action.astype(float), action.astype(float), source, nothing, weights)
    return Episode.from_signals([Signal(STATE, state), *label.signals(ACTION)], fps=10.0)


def error(policy: ClonedPolicy) -> float:
    """Root mean square distance to the expert on fresh states."""
    state = np.random.default_rng(10_000).normal(size=(500, 2)).astype(np.float32)
    policy.reset(500)
    action = policy.act({"observation.state": torch.from_numpy(state)}).numpy()
    return float(np.sqrt(((action - expert_action(state)) ** 2).mean()))


@pytest.mark.parametrize("head", ["regression", "squashed", "mixture"])
def test_recovers_the_expert(head: str) -> None:
    data = Dataset.from_episodes(recording(s) for s in range(20))
    fitted = fit_policy(data, PolicyConfig(head=head, width=64), trainer=QUICK)
    # The constant mean action is off by 0.75; 0.1 is what 780 samples and 300 steps reach with every head (measured
    # 0.02 to 0.06).
    assert error(fitted.policy) < 0.1
    assert fitted.measured == 18 * 39
    assert fitted.inferred == 0
    assert len(fitted.holdout) == 2
    assert not set(fitted.holdout) & set(fitted.episodes)


def test_wrong_labels_of_weight_zero_do_no_harm_and_do_harm_with_weight_one() -> None:
    good = [recording(s) for s in range(8)]
    wrong = [recording(100 + s, wrong=True, inferred=True, weight=0.0) for s in range(24)]
    data = Dataset.from_episodes([*good, *wrong])
    config = PolicyConfig(width=64)
    weighted = fit_policy(data, config, trainer=QUICK, weighting="confidence").policy
    blind = fit_policy(data, config, trainer=QUICK, weighting="none").policy
    assert error(weighted) < 0.15
    assert error(blind) > 0.7  # 3 of 4 labels point the other way


def test_small_weights_count_less() -> None:
    good = [recording(s) for s in range(8)]
    wrong = [recording(100 + s, wrong=True, inferred=True, weight=0.01) for s in range(8)]
    fitted = fit_policy(
        Dataset.from_episodes([*good, *wrong]), PolicyConfig(width=64), trainer=QUICK, weighting="confidence"
    )
    # The weighted mean of expert e and -e with weights 1 and 0.01 is 0.98 e: 0.015 off; the rest is fit.
    assert error(fitted.policy) < 0.2
    assert fitted.inferred > 0


def test_sources_and_residual_weights() -> None:
    data = Dataset.from_episodes([recording(0), recording(1, inferred=True, weight=0.5)])
    measured = frame_weights(data, "action", "measured")
    inferred = frame_weights(data, "action", "inferred", "confidence")
    assert measured.sum() == 39
    assert measured[40:].sum() == 0
    assert np.allclose(inferred, np.r_[np.zeros(40), np.full(39, 0.5), 0])
    episode = data[1]
    replayed = Signal(
        episode.schema["label.action.residual"], np.r_[np.full(39, 3.0), np.nan].astype(np.float32), np.arange(40) < 39
    )
    with_residual = Dataset.from_episodes([data[0], episode.with_signals([replayed])])
    weight = frame_weights(with_residual, "action", "both", "residual")
    assert np.allclose(weight[:39], 1)
    assert np.allclose(weight[40:79], 0.25)  # 1 / (1 + 3)
    assert weight[[39, 79]].sum() == 0


def test_unlabelled_columns_count_as_measured_only_where_there_are_values() -> None:
    data = Dataset.from_episodes([recording(0)])
    plain = Dataset.from_episodes([Episode.from_signals([data[0]["observation.state"], data[0]["action"]], fps=10.0)])
    assert frame_weights(plain, "action", "measured", "confidence").sum() == 39


def test_null_actions_are_dropped() -> None:
    state = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    action = np.where(np.arange(400)[:, None] % 4 == 0, expert_action(state), 0.0).astype(np.float32)
    episode = Episode.from_signals([Signal(STATE, state), Signal(ACTION, action)], fps=10.0)
    data = Dataset.from_episodes([episode])
    kept = fit_policy(data, PolicyConfig(width=64, null_below=0.0), trainer=QUICK, holdout=0)
    plain = fit_policy(data, PolicyConfig(width=64), trainer=QUICK, holdout=0)
    assert kept.measured == 100
    assert error(kept.policy) < 0.3 < error(plain.policy)


def hidden_velocity(seed: int, length: int = 30) -> Episode:
    """The action is the last move of the position, which one observation does not tell."""
    state = np.random.default_rng(seed).normal(size=(length, 2)).astype(np.float32)
    action = np.clip(np.diff(state[:, :1], axis=0, prepend=state[:1, :1]) / 4, -1, 1)
    return Episode.from_signals([Signal(STATE, state), Signal(ACTION, action.astype(np.float32))], fps=10.0)


def test_history_is_seen_and_its_absence_is_masked() -> None:
    data = Dataset.from_episodes(hidden_velocity(s) for s in range(30))
    test = [hidden_velocity(1000 + s) for s in range(20)]

    def closed_loop_error(history: int) -> float:
        policy = fit_policy(data, PolicyConfig(width=64, history=history), trainer=QUICK).policy
        policy.reset(len(test))
        gaps = []
        for t in range(30):
            seen = torch.from_numpy(np.stack([e["observation.state"].values[t] for e in test]))
            truth = np.stack([e["action"].values[t] for e in test])
            gaps.append(((policy.act({"observation.state": seen}).numpy() - truth) ** 2).mean())
        return float(np.sqrt(np.mean(gaps)))

    assert closed_loop_error(1) < 0.1  # incl. the first step, whose history is absent and whose action is 0
    assert closed_loop_error(0) > 0.2  # the deviation of the hidden part is 0.25


def test_what_is_masked_has_no_influence() -> None:
    data = Dataset.from_episodes(hidden_velocity(s) for s in range(5))
    policy = fit_policy(data, PolicyConfig(width=32, history=2), trainer=TrainerConfig(steps=20), holdout=0).policy
    window = torch.randn(4, 3, 2)
    mask = torch.tensor([[False, False, True], [False, True, True], [True, False, True], [True, True, True]])
    garbage = torch.where(mask[..., None], window, torch.nan)
    clean = policy.distribution({"observation.state": window}, mask).point()
    assert torch.equal(clean, policy.distribution({"observation.state": garbage}, mask).point())


def test_copies_can_begin_anew_one_by_one() -> None:
    data = Dataset.from_episodes(hidden_velocity(s) for s in range(5))
    policy = fit_policy(data, PolicyConfig(width=32, history=2), trainer=TrainerConfig(steps=20), holdout=0).policy
    first, second = torch.randn(2, 2), torch.randn(2, 2)
    policy.reset(2)
    policy.act({"observation.state": first})
    policy.reset(2, torch.tensor([True, False]))
    mixed = policy.act({"observation.state": second})
    policy.reset(2)
    fresh = policy.act({"observation.state": second})
    assert torch.allclose(mixed[0], fresh[0])
    assert not torch.allclose(mixed[1], fresh[1])


def test_draws_are_repeatable_and_differ_from_the_point() -> None:
    data = Dataset.from_episodes(recording(s) for s in range(3))
    policy = fit_policy(
        data, PolicyConfig(head="squashed", width=32), trainer=TrainerConfig(steps=20), holdout=0
    ).policy
    seen = {"observation.state": torch.randn(5, 2)}

    def draw(seed: int) -> torch.Tensor:
        policy.reset(5)
        return policy.act(seen, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert bool((draw(0).abs() <= 1).all())


def test_images_are_enough() -> None:
    camera = SignalSpec("observation.images.top", (40, 40, 3), "uint8", "image")
    rng = np.random.default_rng(0)

    def film(seed: int) -> Episode:
        column = rng.integers(4, 36, 30)
        picture = np.zeros((30, 40, 40, 3), np.uint8)
        for t, c in enumerate(column):
            picture[t, 16:24, c - 4 : c + 4] = 255
        action = ((column - 20) / 20)[:, None].astype(np.float32)
        return Episode.from_signals([Signal(camera, picture), Signal(ACTION, action)], fps=10.0)

    data, test = Dataset.from_episodes(film(s) for s in range(10)), film(99)
    fitted = fit_policy(data, PolicyConfig(width=64, image_features=16), trainer=IMAGES)
    fitted.policy.reset(30)
    action = fitted.policy.act({"observation.images.top": torch.from_numpy(test["observation.images.top"].values)})
    gap = float((action - torch.from_numpy(test["action"].values)).square().mean().sqrt())
    assert gap < 0.2  # the mean action is off by 0.5
    assert fitted.policy.inputs[0].name == "observation.images.top"


def test_the_same_seed_gives_the_same_policy() -> None:
    data = Dataset.from_episodes(recording(s) for s in range(4))
    short = TrainerConfig(steps=30, batch_size=32)

    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(np.random.randint(1 << 30))  # noqa: NPY002 (the global state must not matter)
        return list(
            fit_policy(data, PolicyConfig(width=16, dropout=0.1), trainer=short, seed=seed).policy.state_dict().values()
        )

    assert all(torch.equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_three_policies_in_the_pendulum() -> None:
    """The label protocol in closed loop: one measured swing-up, the rest inferred (here: true) labels."""
    world = Pendulum(batch=40)
    world.reset(range(40))
    expert, states, actions = world.expert(), [], []
    for _ in range(80):
        states.append(world.observe()["observation.state"].numpy())
        actions.append(expert.act().float().numpy())
        world.step(torch.from_numpy(actions[-1]))
    spec, target = world.observations[0], world.action
    labelled, truth = [], []
    for i in range(40):
        state, action = np.stack([s[i] for s in states]), np.stack([a[i] for a in actions])
        source = np.full(80, "measured" if i < 2 else "inferred:test", object)
        column = action.astype(float)
        label = Label(column, column, column, source, np.full(80, np.nan), np.ones(80))
        labelled.append(Episode.from_signals([Signal(spec, state), *label.signals(target)], fps=20.0))
        truth.append(Episode.from_signals([Signal(spec, state), Signal(target, action)], fps=20.0))
    both = compare_policies(
        Dataset.from_episodes(labelled),
        Dataset.from_episodes(truth),
        PolicyConfig(width=128),
        trainer=TrainerConfig(steps=500, batch_size=128, lr=3e-3),
        holdout=0,
        seed=0,
    )
    assert (both.labelled_only.measured, both.labelled_only.inferred) == (160, 0)
    assert (both.inferred.measured, both.inferred.inferred) == (160, 3040)
    assert (both.oracle.measured, both.oracle.inferred) == (3200, 0)
    seeds = range(500, 530)
    test_world = Pendulum(batch=30)

    def mean_return(policy: ClonedPolicy | None) -> float:
        return float(evaluate(policy, test_world, seeds).returns.mean())

    few, inferred, oracle = (mean_return(p.policy) for p in (both.labelled_only, both.inferred, both.oracle))
    assert inferred > few + 50  # returns: the expert about -200, no torque about -1200
    assert abs(inferred - oracle) < 100  # the same labels: only the batches' weights differ in nothing

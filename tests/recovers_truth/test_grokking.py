"""Grokking: groups and their irreps, exact identities of its stages, and that learning starts as it should."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invdyn.errors import ConfigError, SignalError, UnknownNameError
from invdyn.learning.feature_energy import ACTIVATIONS, ascend, energy, energy_gradient, node_energy, shares
from invdyn.learning.grok_net import GrokNet, centred_loss
from invdyn.learning.grokking import GrokConfig, UpdateSpectrum, first_at_least, train_grokking
from invdyn.learning.group_task import (
    GroupTask,
    critical_share,
    cyclic,
    dihedral,
    expression,
    from_table,
    product,
    symmetric,
)
from invdyn.learning.lazy_stage import (
    closed_feature_gradient,
    coupling,
    feature_gradient,
    lemma_direction,
    projected_similarity,
    ridge_readout,
    similar_pairs,
)

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_hot(task: GroupTask, pairs: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(pairs[:, 2], task.order).double()


def random_features(task: GroupTask, pairs: Tensor, hidden: int, g: torch.Generator) -> Tensor:
    w = torch.randn(2 * task.order, hidden, generator=g, dtype=F64) / (2 * task.order) ** 0.5
    return (w[pairs[:, 0]] + w[task.order + pairs[:, 1]]).square()


# Degrees of the irreps (with their conjugates one component): character tables of any textbook.
@pytest.mark.parametrize(
    ("task", "degrees"),
    [
        (cyclic(7), [1] * 4),
        (product([2, 3, 4]), [1] * 14),  # 4 real characters, 20 in conjugate pairs
        (symmetric(3), [1, 1, 2]),
        (symmetric(4), [1, 1, 2, 3, 3]),
        (dihedral(5), [1, 1, 2, 2]),
        (dihedral(6), [1, 1, 1, 1, 2, 2]),
    ],
)
def test_groups_have_the_irreps_of_their_character_tables(task: GroupTask, degrees: list[int]) -> None:
    assert sorted(task.degrees) == degrees
    basis = torch.cat(task.components, 1)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(task.order, dtype=F64))
    assert float(task.components[0].std()) == pytest.approx(0, abs=1e-10)  # the constant one comes first
    again = from_table("again", task.table)
    assert again.order == task.order
    # Components are kept by every translation.
    shifted = task.components[-1][task.table[1]]
    torch.testing.assert_close(task.components[-1] @ (task.components[-1].mT @ shifted), shifted)


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(SignalError, match=r"group broken: the table of shape \(3, 3\) is no group"):
        from_table("broken", torch.tensor([[0, 1, 2], [1, 2, 0], [2, 1, 0]]))
    loop = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
    with pytest.raises(SignalError, match=r"\(a b\) c = a \(b c\)"):  # a Latin square with identity, not associative
        from_table("loop", loop)
    with pytest.raises(SignalError, match="its table is no group, so it has no irreps"):
        _ = expression("x y", 5, lambda x, y: x * y).components
    with pytest.raises(ConfigError, match=r"share 0.001 gives 0 of 49 pairs"):
        cyclic(7).split(0.001, generator())
    with pytest.raises(ConfigError, match="at least 3 are expected"):
        dihedral(2)
    with pytest.raises(ConfigError, match="2 to 6 are expected"):
        symmetric(9)
    with pytest.raises(ConfigError, match="parts of two elements or more"):
        product([3, 1])


def test_splits_cover_all_pairs_once() -> None:
    task = cyclic(7)
    train, test = task.split(0.4, generator())
    assert len(train) == round(0.4 * 49)
    assert {tuple(p) for p in torch.cat([train, test]).tolist()} == {
        (a, b, (a + b) % 7) for a in range(7) for b in range(7)
    }
    assert critical_share(71) == pytest.approx(0.165, abs=1e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_energy_gradient_is_that_of_autograd(name: str) -> None:
    task = symmetric(3)
    train, _ = task.split(0.7, generator())
    w = torch.randn(4, 12, generator=generator(1), dtype=F64, requires_grad=True)
    value = energy(w, train, name)
    (expected,) = torch.autograd.grad(value.sum(), w)
    torch.testing.assert_close(energy_gradient(w.detach(), train, name), expected, rtol=1e-10, atol=1e-10)
    with pytest.raises(UnknownNameError, match=r"unknown activation 'squre'. Did you mean 'square'"):
        energy(w.detach(), train, "squre")


def test_energy_climbs_to_single_frequencies() -> None:
    task = cyclic(7)
    found = ascend(torch.randn(20, 14, generator=generator(2), dtype=F64), task.pairs)
    torch.testing.assert_close(found.energy, torch.full((20,), 7 / 4, dtype=F64), rtol=0, atol=1e-6)
    share = shares(found.w.mT, task.components)
    assert float(share.max(-1).values.min()) > 1 - 1e-6
    assert share.argmax(-1).unique().numel() == 3
    torch.testing.assert_close(found.w[:, :7].square().sum(1), torch.full((20,), 0.5, dtype=F64), rtol=0, atol=1e-5)
    torch.testing.assert_close(node_energy(found.w.mT, task), energy(found.w, task.pairs))
    # On few pairs other maxima win: the same starts end on mixtures.
    few, _ = task.split(0.3, generator(3))
    assert float(shares(ascend(found.w + 0.3, few).w.mT, task.components).max(-1).values.median()) < 0.9


def test_ridge_gradient_on_features_is_the_closed_form_and_dies_with_decay() -> None:
    task = cyclic(11)
    train, _ = task.split(0.6, generator())
    y = one_hot(task, train)
    for hidden in (30, len(train), 300):
        f = random_features(task, train, hidden, generator(4))
        direct = feature_gradient(f, y, ridge_readout(f, y, 2e-4))
        closed = closed_feature_gradient(f, y, 2e-4)
        assert float((direct - closed).norm() / direct.norm()) < 1e-6
        assert float(direct.norm()) > 1e-6
    none = feature_gradient(f, y, ridge_readout(f, y, 0.0))  # 300 features: rank n - 1
    assert float(none.norm()) < 1e-9
    cosine = torch.cosine_similarity(direct.flatten(), lemma_direction(f, y).flatten(), dim=0)
    assert float(cosine) > 0.5
    with pytest.raises(ConfigError, match="eta is -1"):
        ridge_readout(f, y, -1.0)


def test_the_sign_of_coupling_is_the_projected_similarity() -> None:
    task = cyclic(11)
    train, _ = task.split(0.6, generator())
    f = random_features(task, train, 40, generator(5))
    f[:, 1] = f[:, 0] + 0.05 * f[:, 2]  # two alike nodes
    pairs = similar_pairs(f, 30)
    assert pairs[0].tolist() == [0, 1]
    b = coupling(f, 2e-4)[pairs[:, 0], pairs[:, 1]]
    similarity = projected_similarity(f, pairs, 2e-4)
    assert bool((torch.sign(b) == -torch.sign(similarity)).all())
    assert float(b[0]) < 0  # alike nodes repel


def test_net_and_loss_are_what_they_say() -> None:
    task = cyclic(5)
    net = GrokNet(5, 8, [0, 1]).double()
    pairs = torch.stack([task.pairs[:10], task.pairs[7:17]])
    x = torch.cat([torch.nn.functional.one_hot(pairs[..., i], 5) for i in (0, 1)], -1).double()
    expected = (x @ net.features).square() @ net.readout
    torch.testing.assert_close(net(pairs), expected)
    target = torch.nn.functional.one_hot(pairs[..., 2], 5) - 0.2
    centred = expected - expected.mean(-1, keepdim=True)
    torch.testing.assert_close(centred_loss(expected, pairs[..., 2]), (centred - target).square().sum(-1).mean(-1))
    torch.testing.assert_close(GrokNet(5, 8, [1]).double().features[0], net.features[1])
    assert float(net.features.abs().max()) <= 10**-0.5
    net.hold_readout(pairs, 1e-3)
    seen, fitted = net.hidden(pairs), torch.linalg.lstsq(net.hidden(pairs), target.double()).solution
    best = (seen @ fitted - target).square().sum(-1).mean(-1)
    assert bool((centred_loss(net(pairs), pairs[..., 2]) <= best + 0.1).all())


def test_several_nets_learn_as_each_would_alone_and_test_accuracy_comes_late() -> None:
    config = GrokConfig(hidden=128, share=0.7, lr=1e-2, epochs=150, probe_every=10)
    both = train_grokking(cyclic(13), config, [3, 4])
    alone = train_grokking(cyclic(13), config, [4])
    torch.testing.assert_close(both.net.features[1], alone.net.features[0], rtol=1e-3, atol=1e-3)
    probes = both.probes
    assert probes.epochs == list(range(0, 151, 10))
    train, test = probes.curve("train_accuracy"), probes.curve("test_accuracy")
    assert bool((train[-1] == 1).all())
    for i in range(2):
        learnt, grokked = (first_at_least(probes.epochs, c[:, i], 0.9) for c in (train, test))
        assert learnt < grokked
    assert first_at_least([0, 5], torch.zeros(2), 0.5) == math.inf
    energies = probes.curve("energy")
    assert bool((energies[-1] > 1.5 * energies[0]).all())
    assert bool((energies <= 1 + 1e-6).all())
    control = train_grokking(cyclic(13), GrokConfig(**{**config.__dict__, "decay": 0.0}), [3]).probes
    assert control.curve("test_accuracy")[-1, 0] < test[-1, 0]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_other_optimisers_and_a_held_readout_learn_the_training_pairs(optimizer: str) -> None:
    config = GrokConfig(hidden=64, share=0.7, lr=1e-2, epochs=120, probe_every=40, optimizer=optimizer, window=0)
    assert float(train_grokking(cyclic(7), config, [0]).probes.curve("train_accuracy")[-1, 0]) == 1
    held = GrokConfig(hidden=64, share=0.7, epochs=5, probe_every=1, ridge=True, window=0)
    assert float(train_grokking(cyclic(7), held, [0]).probes.curve("train_accuracy")[2, 0]) == 1
    with pytest.raises(ConfigError, match="grokking: hidden 0"):
        GrokConfig(hidden=0)


def test_stage_detector_tells_two_directions_from_one() -> None:
    g = generator(6)
    directions, noise = torch.randn(2, 50, generator=g), 1e-3
    ratios = {}
    for rank in (1, 2):
        spectrum, w = UpdateSpectrum(20), torch.zeros(1, 50, 1)
        for step in range(41):
            spectrum(step, w)
            push = torch.randn(rank, generator=g) @ directions[:rank] + noise * torch.randn(50, generator=g)
            w = w + push[None, :, None]
        ratios[rank] = spectrum.ratios[-1][0]
    assert ratios[1] < 3
    assert ratios[2] > 30

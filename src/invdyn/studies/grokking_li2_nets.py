"""Experiments of the grokking-li2 study on trained nets: late generalisation, its events, features and thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import linregress

from invdyn.learning import (
    GrokConfig,
    GrokRun,
    GroupTask,
    coupling,
    critical_share,
    cyclic,
    dihedral,
    first_at_least,
    projected_similarity,
    similar_pairs,
    train_grokking,
)
from invdyn.studies.grokking_li2_config import GrokkingConfig
from invdyn.studies.part import Part

__all__ = ["degrees", "events", "features", "grok", "muon", "shares"]

FAST = GrokConfig(lr=1e-2, full_probes=False, window=0)
"""The sweeps' learning rate (published sweeps use it too), accuracies only."""


def _end(run: GrokRun, name: str = "test_accuracy") -> float:
    return float(run.probes.curve(name)[-1, 0])


def _repulsion(run: GrokRun) -> tuple[float, float]:
    """Of the 200 pairs most alike: share with b_jl < 0; share of 20 of them that keep the theorem's sign."""
    features = run.net.hidden(run.train)[0].detach().double().cpu()
    features = features[:, features.norm(dim=0) > 1e-3 * features.norm(dim=0).max()]
    pairs = similar_pairs(features, 200)
    b = coupling(features, 2e-4)[pairs[:, 0], pairs[:, 1]]
    some = slice(None, None, 10)
    signs = torch.sign(projected_similarity(features, pairs[some], 2e-4))
    return float((b < 0).double().mean()), float((torch.sign(b[some]) == -signs).double().mean())


def grok(seed: int, config: GrokkingConfig) -> Part:
    """Claims 4, 5a, 7: M = 41, K = 1024, p = 0.5 with decay and without; p = 0.15; repulsion early and late."""
    task = cyclic(config.order)
    base = GrokConfig(hidden=config.hidden, epochs=config.epochs, probe_every=config.probe_every)
    run, control = (train_grokking(task, replace(base, decay=eta), [seed], config.device) for eta in (2e-4, 0.0))
    few = train_grokking(task, replace(base, share=0.15, full_probes=False, window=0), [seed], config.device)
    early = train_grokking(task, replace(base, epochs=50, full_probes=False, window=0), [seed], config.device)
    decoupled = train_grokking(
        task, replace(base, optimizer="adamw", full_probes=False, window=0), [seed], config.device
    )
    epochs, train, test = (
        run.probes.epochs,
        run.probes.curve("train_accuracy")[:, 0],
        run.probes.curve("test_accuracy")[:, 0],
    )
    at = {epoch: i for i, epoch in enumerate(epochs)}
    repel, exact = zip(_repulsion(early), _repulsion(run), strict=True)
    assert run.spectrum is not None
    assert control.spectrum is not None
    ratios = [torch.tensor(s.ratios)[:, 0] for s in (run.spectrum, control.spectrum)]
    fired = [first_at_least(run.spectrum.epochs, r, 10.0) for r in ratios]
    curves = {
        name: {k: [row[0] for row in v] for k, v in r.probes.curves.items()} | {"epochs": r.probes.epochs}
        for name, r in (("decay", run), ("control", control))
    }
    curves["detector"] = {"epochs": run.spectrum.epochs, "decay": ratios[0].tolist(), "control": ratios[1].tolist()}
    return Part(
        {
            "grok.train_at_50": float(train[at[50]]),
            "grok.test_at_50": float(test[at[50]]),
            "grok.test_at_300": float(test[at[300]]) if 300 in at else math.nan,
            "grok.half_epoch": first_at_least(epochs, test, 0.5),
            "grok.control_end": _end(control),
            "grok.few_end": _end(few),
            "grok.adamw_end": _end(decoupled),
            "grok.repulsion_early": repel[0],
            "grok.repulsion_late": repel[1],
            "grok.sign_rule": min(exact),
            "grok.detector_epoch": fired[0],
            "grok.detector_control": float(ratios[1].max()),
            "grok.detector_separates": float(math.isfinite(fired[0]) and math.isinf(fired[1])),
            "grok.final_frequencies": float(run.probes.curve("frequencies")[-1, 0]),
        },
        curves,
    )


def events(seed: int, config: GrokkingConfig) -> Part:
    """Claims 4d and 6: M = 31, K = 512, p = 0.6; gradient growth and energy lead test accuracy, net by net."""
    task, nets = cyclic(31), [config.event_nets * seed + i for i in range(config.event_nets)]
    base = GrokConfig(hidden=512, share=0.6, epochs=450, probe_every=config.event_every, window=0)
    run, control = (train_grokking(task, replace(base, decay=eta), nets, config.device).probes for eta in (2e-4, 0.0))
    epochs, rows = run.epochs, []
    for i in range(len(nets)):
        half = first_at_least(epochs, run.curve("test_accuracy")[:, i], 0.5)
        growth = run.curve("feature_gradient")[:, i].diff()
        energy, level = run.curve("energy")[:, i], float(control.curve("energy")[:, i].max())
        rows.append([half, epochs[int(growth.argmax()) + 1], first_at_least(epochs, energy, 1.000001 * level)])
    ordered = [max(peak, rise) < half < math.inf for half, peak, rise in rows]
    return Part(
        {
            "events.test_end": float(run.curve("test_accuracy")[-1].min()),
            "events.control_end": float(control.curve("test_accuracy")[-1].max()),
            "events.ordered": float(np.mean(ordered)),
            "events.half": float(np.median([r[0] for r in rows])),
            "events.gradient_peak": float(np.median([r[1] for r in rows])),
            "events.energy_rise": float(np.median([r[2] for r in rows])),
        },
        {},
    )


def features(seed: int, config: GrokkingConfig) -> Part:
    """Claim 8: what nodes are at the end (M = 41, K = 256, p = 0.5, learning rate 0.01)."""
    how = replace(FAST, hidden=256, epochs=config.feature_epochs, probe_every=100, full_probes=True)
    probes = train_grokking(cyclic(config.order), how, [seed], config.device).probes
    curves = {name: probes.curve(name)[:, 0] for name in ("pure_nodes", "alive_nodes", "frequencies", "energy")}
    return Part(
        {
            "features.pure": float(curves["pure_nodes"][-1]),
            "features.alive": float(curves["alive_nodes"][-1]),
            "features.pure_of_all": float(curves["pure_nodes"][-1] * curves["alive_nodes"][-1]),
            "features.frequencies": float(curves["frequencies"][-1]) / ((config.order - 1) // 2),
            "features.energy": float(curves["energy"][-1]),
        },
        {name: values.tolist() for name, values in curves.items()} | {"epochs": probes.epochs},
    )


def _threshold(shares: Sequence[float], accuracies: Sequence[float]) -> float:
    """Share at which the last rise through 0.5 lies, linear between shares; NaN where none was seen."""
    found = math.nan
    for a, b, low, high in zip(shares[:-1], shares[1:], accuracies[:-1], accuracies[1:], strict=True):
        if low < 0.5 <= high:
            found = a + (b - a) * (0.5 - low) / (high - low)
    return found


def _sweep(task: GroupTask, shares: Sequence[float], how: GrokConfig, seed: int, device: str) -> list[float]:
    return [_end(train_grokking(task, replace(how, share=share), [seed], device)) for share in shares]


def shares(seed: int, config: GrokkingConfig) -> Part:
    """Claim 5b, c: the share of pairs at which test accuracy is 0.5 against the order of the group."""
    thresholds, curves = [], {}
    for order in config.orders:
        how = replace(FAST, hidden=config.width * order, epochs=config.sweep_epochs, probe_every=config.sweep_epochs)
        grid = [factor * math.log(order) / order for factor in config.factors]
        accuracies = _sweep(cyclic(order), grid, how, seed, config.device)
        thresholds.append(_threshold(grid, accuracies))
        curves[str(order)] = {"shares": grid, "accuracy": accuracies}
    m, p = np.array(config.orders, float), np.array(thresholds)
    constant = p * m / np.log(m)
    fit = linregress(np.log(m * np.log(m)), np.log(p * m**2))
    return Part(
        {
            "shares.spread": float(np.abs(constant / constant.mean() - 1).max()),
            "shares.r2": float(fit.rvalue**2),
            "shares.slope": float(fit.slope),
            "shares.constants": constant.tolist(),
            "shares.thresholds": thresholds,
        },
        curves,
    )


def muon(seed: int, config: GrokkingConfig) -> Part:
    """Claim 9: epochs to test accuracy 0.99, each optimiser at the best of four pairs of learning rates (W, V)."""
    task = cyclic(config.muon_order)
    base = replace(FAST, epochs=config.muon_epochs, probe_every=10)
    grids: dict[Literal["adam", "muon"], tuple[float, float]] = {"adam": (1e-2, 3e-2), "muon": (1e-1, 3e-1)}
    counts: dict[Literal["adam", "muon"], list[float]] = {"adam": [], "muon": []}
    settings = [(share, 128) for share in (0.4, 0.6)]
    for share, hidden in settings:
        for name, rates in grids.items():
            best = float(config.muon_epochs)
            for lr in rates:
                for readout in (1e-2, 3e-2):
                    how = replace(base, optimizer=name, lr=lr, readout_lr=readout, share=share, hidden=hidden)
                    probes = train_grokking(task, how, [seed], config.device).probes
                    best = min(best, first_at_least(probes.epochs, probes.curve("test_accuracy")[:, 0], 0.99))
            counts[name].append(best)
    ratios = np.array(counts["muon"]) / np.array(counts["adam"])
    return Part(
        {
            "muon.ratio": float(np.exp(np.log(ratios).mean())),
            "muon.best_ratio": float(ratios.min()),
            "muon.adam_epochs": counts["adam"],
            "muon.muon_epochs": counts["muon"],
        },
        {"settings": [f"p = {share:g}\nK = {hidden}" for share, hidden in settings], "counts": dict(counts)},
    )


def degrees(seed: int, config: GrokkingConfig) -> Part:
    """Claim 10: the share a dihedral group needs (d_k = 2) beside the cyclic group of equal order."""
    ratios, metrics, curves = [], {}, {}
    for order in config.degree_orders:
        how = replace(FAST, hidden=config.width * order, epochs=config.sweep_epochs, probe_every=config.sweep_epochs)
        found = {}
        for name, task in (("cyclic", cyclic(order)), ("dihedral", dihedral(order // 2))):
            accuracies = _sweep(task, config.degree_shares, how, seed, config.device)
            found[name] = _threshold(config.degree_shares, accuracies)
            metrics[f"degrees.{name}_{order}"] = found[name]
            curves[f"{name} {order}"] = {"shares": list(config.degree_shares), "accuracy": accuracies}
        ratios.append(found["dihedral"] / found["cyclic"])
        metrics[f"degrees.critical_{order}"] = critical_share(order)
    out: dict[str, Any] = {"degrees.ratio": float(np.mean(ratios)), **metrics}
    return Part(out, curves)

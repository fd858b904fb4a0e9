"""Experiments of the deep-linear study on whole nets: depth, spectra, tanh, tree data, and curves back to causes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdyn.learning import (
    Correlations,
    activity_path,
    backward,
    balanced_chain,
    binary_tree,
    crossing_times,
    deep,
    deep_time,
    epochs_to_loss,
    fit_loss_curve,
    fit_mode_curve,
    fixed_activity,
    gaussian_chain,
    gradient_flow,
    jacobian_spectrum,
    orthogonal_chain,
    product_singular_values,
    unbalanced,
)
from invdyn.studies.deep_linear_config import DeepLinearConfig, Part, generators, teacher
from invdyn.worlds.solver import RK4

__all__ = ["depth", "inverse", "spectra", "tanh", "tree"]


def depth(seed: int, config: DeepLinearConfig, data: Correlations, device: str) -> Part:
    """Claim 6: epochs to a loss of 1 % at the best fixed rate against depth, for three starts and two data sets."""
    g, _ = generators(seed, "depth")
    outputs, inputs = data.input_output.shape
    moved = Correlations(data.input_output.to(device))
    left, s, right = torch.linalg.svd(data.input_output, full_matrices=False)
    alive = s > 1e-9 * s[0]
    frame = (left[:, alive], right[alive].mT)
    kinds = ("orthogonal", "orthogonal_square", "balanced", "balanced_small", "gaussian")
    counts: dict[str, list[float]] = {kind: [] for kind in kinds}
    cap = 10_000
    for depth in config.depths:
        sizes = [inputs, *[config.width] * (depth - 1), outputs]
        # The curvature at the end is about L s^(2 - 2/L), s near 1 here: the best rate is a few tenths to a few / L.
        near, wide = (torch.from_numpy(np.geomspace(a, b, n)) / depth for a, b, n in ((0.5, 4, 24), (0.1, 30, 12)))

        def epochs(chain: list[Tensor], rates: Tensor, limit: int = 10_000) -> float:
            return epochs_to_loss([w.to(device) for w in chain], moved, rates, cap=limit).epochs

        for name, units in (("orthogonal", config.width), ("orthogonal_square", inputs)):
            shape = [inputs, *[units] * (depth - 1), outputs]
            runs = [epochs(orthogonal_chain(shape, g), near) for _ in range(config.starts)]
            counts[name].append(float(np.mean(runs)))
        for name, u0 in (("balanced", 1.0), ("balanced_small", 0.1)):
            strengths = torch.full((int(alive.sum()),), u0, dtype=torch.float64)
            counts[name].append(epochs(balanced_chain(*frame, strengths, config.width, depth, g), near))
        counts["gaussian"].append(epochs(gaussian_chain(sizes, g), wide, cap))
        if depth == config.depths[0]:
            cap = math.ceil(config.gaussian_cap * counts["gaussian"][0])
    _, _, modes, toy_data = teacher(config, g)
    toy = []
    for depth in (config.depths[0], config.depths[-1]):
        top = float(modes.max()) ** (2 - 2 / depth)
        rates = torch.from_numpy(np.geomspace(1, 4, 16)) / (depth * top)
        chain = orthogonal_chain([config.units] * (depth + 1), g)
        toy.append(epochs_to_loss(chain, toy_data, rates).epochs)
    metrics: dict[str, Any] = {f"depth.{name}_epochs": values for name, values in counts.items()}
    metrics |= {f"depth.{name}_ratio": max(v) / min(v) for name, v in counts.items() if name != "gaussian"}
    metrics["depth.gaussian_ratio"] = counts["gaussian"][-1] / counts["gaussian"][0]
    metrics["depth.teacher_ratio"] = max(toy) / min(toy)
    metrics["depth.teacher_epochs"] = toy
    return Part(metrics, {"depths": list(config.depths), "cap": cap, **counts})


def spectra(seed: int, config: DeepLinearConfig) -> Part:
    """Claim 7: singular values of products of 100 x 100 matrices."""
    g, _ = generators(seed, "spectra")
    n = 100
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for depth in (5, 20, 100):
        values = product_singular_values([w[0].numpy() for w in gaussian_chain([n] * (depth + 1), g)])
        metrics[f"spectrum.gaussian_{depth}"] = float(values[0] / np.median(values))
        curves[f"gaussian {depth}"] = (values / values[0]).tolist()
    values = product_singular_values([w[0].numpy() for w in orthogonal_chain([n] * 101, g)])
    metrics["spectrum.orthogonal_error"] = float(np.abs(values - 1).max())
    curves["orthogonal 100"] = values.tolist()
    return Part(metrics, curves)


def tanh(seed: int, config: DeepLinearConfig) -> Part:
    """Claim 8: what a tanh net of depth 100 leaves of an error on its way to the first layer."""
    g, _ = generators(seed, "tanh")
    n, depth, samples = config.tanh_units, 100, 64
    # "As the fixed point": inputs as active as a deep net of gain 1.1 is. Unit variance is measured beside it.
    sizes, scales = [n] * (depth + 1), {"": math.sqrt(fixed_activity(1.1)), "unit_": 1.0}
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for prefix, scale in scales.items():
        ratios = []
        for kind, gain in (("orthogonal", 1.0), ("orthogonal", 1.05), ("orthogonal", 1.1), ("gaussian", 0.9)):
            make = orthogonal_chain if kind == "orthogonal" else gaussian_chain
            chain = [w[0] for w in make(sizes, g, gain=gain)]
            x, error = (torch.randn(n, samples, generator=g, dtype=torch.float64) for _ in range(2))
            back = backward(chain, scale * x, error)
            ratio = back.error_ratio
            metrics[f"tanh.{prefix}{kind}_{gain}"] = ratio
            metrics[f"tanh.{prefix}{kind}_{gain}.weights"] = back.weight_ratio
            if kind == "orthogonal":
                ratios.append(ratio)
            else:
                metrics[f"tanh.{prefix}gaussian_outside"] = max(0.1 / ratio, ratio / 10)
            if not prefix:
                curves[f"{kind} {gain}"] = (back.error_norms / back.error_norms[-1]).tolist()
                predicted = activity_path(scale**2, gain, depth)[1:]
                metrics[f"tanh.{kind}_{gain}.activity_error"] = float(
                    np.abs(np.log(back.activity[:20].numpy() / predicted[:20])).max()
                )
                spread = jacobian_spectrum(chain, scale * x[:, 0])
                metrics[f"tanh.{kind}_{gain}.jacobian_spread"] = float(spread[0] / spread.median())
        metrics[f"tanh.{prefix}orthogonal_worst"] = max(ratios, key=lambda r: abs(math.log(r)))
    return Part(metrics, curves)


def tree(seed: int, config: DeepLinearConfig) -> Part:
    """Claim 9: hierarchical data are learnt from the root to the leaves."""
    g, _ = generators(seed, "tree")
    data = binary_tree(3)
    times = torch.linspace(0, 14, 701, dtype=torch.float64)
    chain = gaussian_chain((8, 16, 15), g, gain=1e-2, batch=config.tree_starts)
    curves = gradient_flow(chain, Correlations(data.properties), times, RK4(5e-3)).modes(data.left, data.right)
    half = crossing_times(times, curves, (data.strengths / 2).expand(curves.shape[1:]))
    level = torch.tensor(data.levels)
    first, second = half[:, level == 1].amax(1), half[:, level == 2].amin(1)
    return Part(
        {
            "tree.coarse_first": float((first < second).double().mean()),
            "tree.half_times": [float(half[:, level == k].mean()) for k in range(4)],
        },
        {
            "times": times[::5].tolist(),
            "modes": (curves[::5, 0] / data.strengths).T.tolist(),
            "levels": list(data.levels),
        },
    )


def inverse(seed: int, config: DeepLinearConfig) -> Part:
    """Claim 10: strengths and depth back from noisy loss curves; imbalance and rate back from mode curves."""
    _, rng = generators(seed, "inverse")
    depths, modes = (2, 3, 4, 8), len(config.strengths)
    errors, hard_errors, named, taus, starts = [], [], [], [], []
    curves: dict[str, Any] = {}
    for depth in depths:
        for trial in range(config.curves):
            s = np.array(config.strengths) * rng.uniform(0.85, 1.15, modes)
            u0 = math.exp(rng.uniform(math.log(0.01), math.log(0.1))) * np.exp(rng.uniform(-0.35, 0.35, modes))
            tau = float(np.exp(rng.uniform(math.log(20), math.log(500))))  # 1 / learning rate, so times are epochs
            times = np.linspace(0, 1.5 * deep_time(s, u0, 0.95 * s, depth, tau).max(), config.records)
            clean = ((s - deep(s, u0, times[:, None], depth, tau)) ** 2).sum(1) / 2
            noise = 1e-3 * rng.normal(size=config.records)
            fits = [fit_loss_curve(times, clean + noise, modes, d) for d in depths]
            best = min(fits, key=lambda fit: fit.residual)
            own = fits[depths.index(depth)]
            rank = np.argsort(-s)
            named.append(best.depth == depth)
            errors.append(float(np.abs(own.strengths / s[rank] - 1).max()))
            taus.append(abs(own.tau / tau - 1))
            starts.append(float(np.abs(own.starts / u0[rank] - 1).max()))
            hard = fit_loss_curve(times, clean + clean[0] * noise, modes, depth)
            hard_errors.append(float(np.abs(hard.strengths / s[rank] - 1).max()))
            if trial == 0:
                thin = slice(None, None, max(1, config.records // 200))
                curves[str(depth)] = {
                    "times": times[thin].tolist(),
                    "loss": (clean + noise)[thin].tolist(),
                }
                curves[str(depth)]["named"] = best.depth
    imbalances = []
    for _ in range(config.curves):
        s1, ratio = rng.uniform(0.7, 5), rng.uniform(0.05, 0.6)
        a0 = rng.uniform(0.3, 0.9) * math.sqrt(s1)
        times = np.linspace(0, 600 / s1, 400)
        a, b = unbalanced(s1, a0, a0 * ratio, times, 100.0)
        mode = fit_mode_curve(times, a * b + 1e-3 * s1 * rng.normal(size=400))
        imbalances.append(abs(mode.imbalance / (a0**2 * (1 - ratio**2)) - 1))
    return Part(
        {
            "inverse.strength_error": max(errors),
            "inverse.strength_error_median": float(np.median(errors)),
            "inverse.strength_error_relative_noise": max(hard_errors),
            "inverse.strength_error_relative_noise_median": float(np.median(hard_errors)),
            "inverse.depth_named": float(np.mean(named)),
            "inverse.tau_error_median": float(np.median(taus)),
            "inverse.start_error_median": float(np.median(starts)),
            "inverse.imbalance_error_median": float(np.median(imbalances)),
        },
        curves,
    )

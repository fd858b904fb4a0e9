"""Sizes of the grokking-li2 study."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GrokkingConfig"]


@dataclass(frozen=True)
class GrokkingConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = (
        "identities",
        "energy",
        "maxima",
        "grok",
        "events",
        "features",
        "shares",
        "muon",
        "degrees",
    )
    """Which experiments run."""
    order: int = 41
    """M of the main run (card)."""
    hidden: int = 1024
    """K of the main run (card)."""
    epochs: int = 400
    """Updates of the main run (card)."""
    event_nets: int = 4
    """Nets per seed whose order of events is judged, M = 31, K = 512, p = 0.6 (card: 10 in all; 12 with 3 seeds)."""
    probe_every: int = 25
    """Updates between records of all probes of the main run."""
    event_every: int = 15
    """The same where the order of events is judged."""
    orders: tuple[int, ...] = (23, 31, 41)
    """M of the sweep of shares (card: these on a laptop, to 71 and beyond on an accelerator)."""
    factors: tuple[float, ...] = (2.3, 2.7, 3.1, 3.5, 3.9, 4.3)
    """Shares of the sweep, in units of ln(M)/M (card: 6)."""
    width: int = 14
    """K/M in the sweep: about as many nodes as pairs, as in the paper (2048 for 2016); with a third of that the readout
    passes through its interpolation threshold and nothing generalises."""
    sweep_epochs: int = 400
    """Updates of the sweep at learning rate 0.01 (paper: 10,000)."""
    degree_orders: tuple[int, ...] = (30,)
    """Orders at which a dihedral group (d_k = 2) is compared with the cyclic one."""
    degree_shares: tuple[float, ...] = (0.25, 0.35, 0.45, 0.6)
    """Shares of that comparison."""
    feature_epochs: int = 1200
    """Updates of the run whose nodes are sorted into frequencies (K = 256, learning rate 0.01)."""
    muon_order: int = 31
    """M of the comparison of optimisers."""
    muon_epochs: int = 300
    """Updates at most; a run that has not arrived counts with all of them."""
    device: str = "cpu"
    """Where nets are trained; the run sets it."""
    starts: int = 60
    """Random starts of the energy's ascent, M = 5, 7, 11 (card)."""

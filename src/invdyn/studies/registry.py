"""Which studies are built: slug -> "module:object". A system of the list without a line here is open."""

from __future__ import annotations

import importlib
from typing import Any

from invdyn.errors import ConfigError, unknown_name
from invdyn.studies.study import Study
from invdyn.studies.systems import SYSTEMS

__all__ = ["STUDIES", "load_study"]

STUDIES: dict[str, str] = {
    "deep-linear": "invdyn.studies.deep_linear:STUDY",
    "grokking-li2": "invdyn.studies.grokking_li2:STUDY",
    "nesterov-dynamics": "invdyn.studies.nesterov_dynamics:STUDY",
    "diffusion-principles": "invdyn.studies.diffusion_principles:STUDY",
    "diffusion-painters": "invdyn.studies.diffusion_painters:STUDY",
    "red-diff": "invdyn.studies.red_diff:STUDY",
    "rti-dp": "invdyn.studies.rti_dp:STUDY",
    "ravl": "invdyn.studies.ravl:STUDY",
    "morec": "invdyn.studies.morec:STUDY",
    "sb-irr": "invdyn.studies.sb_irr:STUDY",
    "dynlin-ucb": "invdyn.studies.dynlin_ucb:STUDY",
    "irl-misspec": "invdyn.studies.irl_misspec:STUDY",
}


def load_study(slug: str) -> Study[Any]:
    """The study of a system.

    Raises:
        UnknownNameError: no such system; names the nearest.
        ConfigError: a system of the list whose study is not built yet.
    """
    if slug not in SYSTEMS:
        raise unknown_name("study", slug, SYSTEMS)
    if slug not in STUDIES:
        raise ConfigError(
            f"study {slug!r} ({SYSTEMS[slug].title}) is open: it has not been built yet. "
            f"Built so far: {', '.join(STUDIES)}."
        )
    module, _, name = STUDIES[slug].partition(":")
    study: Study[Any] = getattr(importlib.import_module(module), name)
    return study

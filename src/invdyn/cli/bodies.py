"""The model that a command is given: how its file is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from invdyn.cli.options import Flag
from invdyn.cli.torques_reading import as_options

if TYPE_CHECKING:
    from invdyn.bodies.model import BodyModel

__all__ = ["Bodies"]


@dataclass(frozen=True)
class Bodies:
    """Options of the model's file."""

    no_geometry: Flag = False
    """Of an MJCF model, leave meshes and shapes out (where their files are not at hand; masses must be stated)."""
    ignore: tuple[str, ...] = ()
    """Kinds of elements of an MJCF model to leave out though they act on motion: `equality`, `tendon`, ..."""

    def read(self, path: Path, root: str | None = None) -> BodyModel:
        """The model; remedies are named as options."""
        from invdyn.bodies.files import load_model

        with as_options():
            return load_model(path, root, ignore=self.ignore, geometry=not self.no_geometry)

"""`LeRobotOptions`: how a LeRobotDataset is written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from invdyn.errors import ConfigError, unknown_name

__all__ = ["LeRobotOptions"]


@dataclass(frozen=True)
class LeRobotOptions:
    """How to write. The defaults are LeRobot's own (formats.md 1.2, 1.8), except `matrices`."""

    codec: str = "auto"
    """Video codec, `auto`, `av1` or `h264`; `auto` is AV1 (libsvtav1) if this build of PyAV has it, else H.264."""
    lossless: bool = False
    """Keep every bit of video pictures (H.264 in RGB at quantiser 0; about ten times larger)."""
    crf: int = 30
    """Constant rate factor of lossy video; smaller is better and larger."""
    gop: int = 2
    """Frames from one keyframe to the next; 2 makes random access cheap."""
    preset: int = 12
    """Speed of the AV1 encoder, 0 (slow, small) to 13."""
    data_mb: float = 100
    """Soft limit of one data file, MB."""
    video_mb: float = 200
    """Soft limit of one video file, MB."""
    chunk_files: int = 1000
    """Files in one chunk folder."""
    robot_type: str | None = None
    """Free text for `info.json`."""
    matrices: str = "flat"
    """Values of two and more dimensions: `flat` (fast; Rerun shows them), or LeRobot's `nested` lists (2 to 5)."""

    def __post_init__(self) -> None:
        if self.codec not in ("auto", "av1", "h264"):
            raise ConfigError(f"codec {self.codec!r} is none of auto, av1, h264.")
        if self.matrices not in ("flat", "nested"):
            raise ConfigError(f"matrices {self.matrices!r} is none of flat, nested.")
        for name in ("gop", "data_mb", "video_mb", "chunk_files"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a positive number.")

    @classmethod
    def of(cls, **options: Any) -> LeRobotOptions:
        """From keyword options. Raises `UnknownNameError` for one that does not exist."""
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_name("option of the lerobot writer", name, known)
        return cls(**options)

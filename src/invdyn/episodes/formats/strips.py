"""`PngStrips`: frames kept as lossless PNG strips of many frames stacked vertically, decoded when asked for."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.npz_archive import NpzArchive

__all__ = ["FRAMES_PER_STRIP", "PngStrips"]

FRAMES_PER_STRIP = 32


@dataclass
class PngStrips:
    """The frames of one image archive: arrays `png` (bytes), `offsets` (strip k is png[offsets[k]:offsets[k+1]]),
    `n_frames`, `episodes` (whose frames follow each other).

    Args:
        path: the NPZ file.
        height, width: pixels of one frame.
        per_strip: frames in every strip but the last.

    Raises:
        FormatError: a missing array, offsets that leave the bytes, a strip of another size.
    """

    path: Path
    height: int
    width: int
    per_strip: int = FRAMES_PER_STRIP
    episodes: tuple[int, ...] = field(init=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        archive = NpzArchive(self.path)
        for name in ("png", "offsets", "n_frames", "episodes"):
            if name not in archive:
                raise complaint(
                    self.path,
                    f"no array {name!r}",
                    expected="png, offsets, n_frames and episodes",
                    remedy="Use the image file as it was published.",
                )
        self.episodes = tuple(int(e) for e in archive.array("episodes"))
        self.count = int(archive.array("n_frames"))
        self._archive = archive
        offsets = archive.array("offsets")
        stored = archive.headers["png"].shape[0]
        strips = -(-self.count // self.per_strip)
        if len(offsets) != strips + 1 or (np.diff(offsets) <= 0).any() or offsets[0] < 0 or offsets[-1] > stored:
            raise complaint(
                self.path,
                f"{len(offsets)} offsets for {self.count} frames in {stored} bytes",
                expected=f"{strips + 1} increasing offsets inside the bytes",
                remedy="Use the image file as it was published.",
            )
        self._offsets = offsets
        self._strip = lru_cache(maxsize=8)(self._decode)  # consecutive episodes share strips

    def __reduce__(self) -> tuple[type[PngStrips], tuple[Path, int, int, int]]:
        """Another process opens the file anew, with a cache of its own."""
        return PngStrips, (self.path, self.height, self.width, self.per_strip)

    def _decode(self, strip: int) -> UInt8[np.ndarray, "rows width 3"]:
        from PIL import Image, UnidentifiedImageError

        png = self._archive.array("png", keep=True)
        encoded = png[self._offsets[strip] : self._offsets[strip + 1]].tobytes()
        frames = min(self.per_strip, self.count - strip * self.per_strip)
        expected = (frames * self.height, self.width)
        try:
            image = Image.open(io.BytesIO(encoded), formats=["PNG"])
            if image.size != expected[::-1]:  # checked before a pixel is decoded
                raise ValueError(f"{image.size[0]} x {image.size[1]} px")
            pixels = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise complaint(
                self.path,
                f"strip {strip} cannot be decoded ({error})",
                expected=f"a PNG of {expected[1]} x {expected[0]} px",
                remedy="Copy or download the file again.",
                signal="observation.images",
            ) from None
        return pixels

    def read(self, start: int, stop: int) -> UInt8[np.ndarray, "frames height width 3"]:
        """Frames start..stop (end exclusive), numbered over the whole file."""
        frames = np.empty((stop - start, self.height, self.width, 3), np.uint8)
        at = start
        while at < stop:
            strip, first = divmod(at, self.per_strip)
            last = min(self.per_strip, first + stop - at)
            rows = self._strip(strip)[first * self.height : last * self.height]
            frames[at - start : at - start + last - first] = rows.reshape(-1, self.height, self.width, 3)
            at += last - first
        return frames

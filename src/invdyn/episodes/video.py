"""Video files: exact frames by timestamp, encoding of one clip, joining of clips by stream copy (formats.md 1.8)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from invdyn.errors import FormatError

__all__ = ["TOLERANCE", "VideoReader", "encode_clip", "has_encoder", "join_clips", "rate_of"]

TOLERANCE = 1e-4
"""Seconds a decoded frame may be away from the time asked for (LeRobot's default)."""


def rate_of(fps: float) -> Fraction:
    """The frame rate as a fraction of 32-bit numbers, as containers count; off by less than 1e-9 of the rate."""
    return Fraction(fps).limit_denominator(max(1, min(1_000_000, int(1e9 / fps))))


def has_encoder(name: str) -> bool:
    """Whether this build of PyAV can encode with it, e.g. `libsvtav1`."""
    try:
        av.Codec(name, "w")
    except av.FFmpegError:
        return False
    return True


class VideoReader:
    """Frames of one file at exact times, decoded forward from the keyframe before.

    A read that begins at or after the last decoded frame goes on decoding, so reading a file from begin to end
    decodes every frame once, at the decoder's own speed.

    Args:
        path: the file.
        shape: (height, width, channel) that its frames must have; channel is 3 (RGB) or 1 (grey).
        where: episode and signal, for messages.

    Attributes:
        frames: how many frames the container says it has; 0 when it does not say.

    Raises:
        FormatError: a file that is missing, is no video, or has frames of another size.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], where: str = "") -> None:
        self.path, self.shape = path, shape
        self.where = f"{path}{f' ({where})' if where else ''}"
        if not path.is_file():
            raise FormatError(f"{self.where}: the video file is missing. Copy it again from the source.")
        try:
            self._container: Any = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise FormatError(
                f"{self.where}: not a readable video ({error}); cut off? Copy it again from the source."
            ) from error
        try:
            if not self._container.streams.video:
                raise FormatError(f"{self.where}: the file holds no video stream. Copy it again from the source.")
            self._stream = self._container.streams.video[0]
            context = self._stream.codec_context
            if context is None:
                raise FormatError(
                    f"{self.where}: cut off, or of a codec this build of PyAV lacks. Copy it again from the source."
                )
            size = (context.height, context.width)
            if size != tuple(shape[:2]):
                raise FormatError(
                    f"{self.where}: frames are {size[0]} x {size[1]}, the metadata says {shape[0]} x {shape[1]}. "
                    "Correct the shape in meta/info.json."
                )
        except FormatError:
            self._container.close()
            raise
        self._stream.thread_type = "AUTO"  # frame and slice threads: without it PyAV decodes on one core
        self._format = "rgb24" if shape[2] == 3 else "gray"
        self._base: Any = self._stream.time_base
        self.frames = int(self._stream.frames)
        self._frames: Iterator[Any] | None = None
        self._held: Any = None  # decoded, later than what was asked so far
        self._reached = -np.inf
        self._key, self._gap = -np.inf, np.inf  # the last keyframe, and its distance to the one before it, s

    def close(self) -> None:
        self._frames = self._held = None
        self._container.close()

    def read(
        self,
        times: Sequence[float] | np.ndarray,
        out: UInt8[np.ndarray, "time height width channel"],
        *,
        spacing: float = np.inf,
    ) -> None:
        """Decode the frames at increasing `times` (seconds on the file's own clock) into `out`.

        Args:
            spacing: seconds between frames, if known: the tolerance is kept below half of it.

        Raises:
            FormatError: no frame within the tolerance, or data that cannot be decoded.
        """
        tolerance = min(TOLERANCE, 0.49 * spacing)
        try:
            for step, time in enumerate(times):
                self._put(self._frame_at(float(time), tolerance), out[step])
        except av.FFmpegError as error:
            self._frames = self._held = None
            raise FormatError(
                f"{self.where}: decoding fails near {float(time):.3f} s ({error}). Copy the file again from the source."
            ) from error

    def _frame_at(self, time: float, tolerance: float) -> Any:
        # Decoding on costs less than seeking as long as no keyframe is nearer; their distance shows while decoding.
        ahead = min(2.0, 1.5 * self._gap)
        if self._frames is None or not self._reached - tolerance <= time <= self._reached + ahead:
            self._seek(time)
        nearest = np.inf
        while True:
            frame, self._held = self._held, None
            if frame is None:
                assert self._frames is not None
                frame = next(self._frames, None)
            if frame is None:
                self._frames, self._reached = None, -np.inf
                break
            at = self._time(frame)
            if frame.key_frame and at > self._key:
                self._gap, self._key = at - self._key, at
            self._reached = at
            nearest = min(nearest, abs(at - time))
            if at < time - tolerance:
                continue
            self._held = frame  # asked for again, or for the next time
            if at <= time + tolerance:
                return frame
            break
        told = f"the nearest is {nearest:.4g} s away" if np.isfinite(nearest) else "the file ends before it"
        raise FormatError(
            f"{self.where}: no frame at {time:.4f} s ({told}, allowed {tolerance:g} s). The file is cut off, or "
            "its frame "
            "rate is not the one in meta/info.json."
        )

    def _time(self, frame: Any) -> float:
        if frame.pts is None:
            raise FormatError(f"{self.where}: a frame has no timestamp. Encode the file again.")
        return float(frame.pts * self._base)

    def _seek(self, time: float) -> None:
        """Go to the keyframe at or before `time`.

        Containers seek by decoding time, which with reordered frames lies before the time of display: where the first
        frame comes too late, go further back.
        """
        for back in (0.0, 1.0, 10.0, np.inf):
            # Half the tolerance early, so that rounding cannot skip the keyframe that is the very frame asked for.
            ticks = int(max(time - back - TOLERANCE / 2, 0.0) / self._base) if np.isfinite(back) else 0
            self._container.seek(ticks, stream=self._stream, backward=True, any_frame=False)
            self._frames = self._container.decode(self._stream)
            self._held = next(self._frames, None)
            self._reached = self._key = -np.inf if self._held is None else self._time(self._held)
            if self._held is not None and self._reached <= time + TOLERANCE / 2:
                return

    def _put(self, frame: Any, out: np.ndarray) -> None:
        """Convert one frame straight into the caller's array."""
        if (frame.height, frame.width) != self.shape[:2]:
            raise FormatError(f"{self.where}: the frame size changes inside the file. Encode it again.")
        converted = frame if frame.format.name == self._format else frame.reformat(format=self._format)
        plane = converted.planes[0]
        row = frame.width * self.shape[2]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, :row]
        out[...] = rows.reshape(out.shape)


def encode_clip(
    path: Path,
    frames: UInt8[np.ndarray, "time height width channel"],
    fps: float,
    *,
    codec: str = "auto",
    lossless: bool = False,
    crf: int = 30,
    gop: int = 2,
    preset: int = 12,
) -> None:
    """Encode one episode's pictures; frame k stands at k / fps. The same input gives the same bytes.

    Raises:
        FormatError: a codec this build lacks, or pictures the codec cannot hold.
    """
    _, height, width, channels = frames.shape
    encoder, pixels, options = _encoder(codec, lossless, height, width)
    options |= {"g": str(gop)}
    if not lossless:
        options |= {"crf": str(crf)}
    if encoder == "libsvtav1":
        options |= {"preset": str(preset)}
    if not has_encoder(encoder):
        raise FormatError(
            f"{path}: this build of PyAV has no encoder {encoder}. Install av from PyPI or choose another codec."
        )
    source = "rgb24" if channels == 3 else "gray"
    rate = rate_of(fps)
    try:
        with _quiet(), av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream: Any = container.add_stream(encoder, rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.time_base = 1 / rate
            for step, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(picture if channels == 3 else picture[..., 0]), format=source
                )
                frame.pts, frame.time_base = step, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise FormatError(
            f"{path}: {encoder} cannot encode pictures of {height} x {width} ({error}). "
            'Use lossless=True, or encoding="png" for this signal.'
        ) from error


def _encoder(codec: str, lossless: bool, height: int, width: int) -> tuple[str, str, dict[str, str]]:
    if lossless:
        return "libx264rgb", "rgb24", {"qp": "0", "bf": "0"}
    if codec == "auto":
        codec = "av1" if has_encoder("libsvtav1") else "h264"
    if codec == "av1":
        return "libsvtav1", "yuv420p", {}
    # Chroma at half resolution needs even sides; no B-frames, so that clips join without reordering.
    return "libx264", "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p", {"bf": "0"}


def join_clips(path: Path, clips: Iterable[Path], lengths: Iterable[int], fps: float) -> None:
    """Put clips of one camera end to end by copying their packets; clip k starts at sum(lengths[:k]) / fps."""
    clips, lengths = list(clips), list(lengths)
    rate = rate_of(fps)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as target:
        stream: Any = None
        done = 0
        for clip, length in zip(clips, lengths, strict=True):
            with av.open(str(clip)) as source:
                origin = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(origin, opaque=True)  # packets only, no codec
                offset = Fraction(done) / rate
                for packet in source.demux(origin):
                    if packet.dts is None or packet.pts is None:  # the end of the file
                        continue
                    base = packet.time_base
                    shift = round(offset / base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
            done += length


@contextmanager
def _quiet() -> Iterator[None]:
    """SVT-AV1 writes to stderr by itself; its own variable turns that off while an encoder is opened."""
    if "SVT_LOG" in os.environ:
        yield
        return
    os.environ["SVT_LOG"] = "0"
    try:
        yield
    finally:
        del os.environ["SVT_LOG"]


def video_facts(path: Path) -> dict[str, Any]:
    """The `info` object of a video feature (formats.md 1.3), read from a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        rate = stream.average_rate or Fraction(0)
        fps = float(rate)
        return {
            "video.height": context.height,
            "video.width": context.width,
            "video.codec": av.Codec(context.name, "r").canonical_name,
            "video.pix_fmt": str(context.pix_fmt),
            "is_depth_map": False,
            "video.fps": int(fps) if fps == int(fps) else fps,
            "video.channels": 1 if str(context.pix_fmt).startswith("gray") else 3,
            "has_audio": bool(container.streams.audio),
        }

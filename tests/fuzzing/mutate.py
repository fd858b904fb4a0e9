"""A seeded mutator of files: what damaged disks, cut downloads, other programs and bad intent do to them."""

from __future__ import annotations

import random
import re

__all__ = ["mutate"]

NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
INSTEAD = (
    *(b"nan", b"inf", b"-inf", b"1e400", b"-1e400", b"0", b"-1", b"2", b"99999999999999999999", b"4294967296"),
    *(b"2147483648", b"1e-320", b"0x10", b"1_000", b"", b"word", b"1,5", b"9" * 5000, "\u0663".encode()),
)
BYTES = (0, 1, 127, 128, 255)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four faults; the same for the same generator state.

    Faults: bits flipped, bytes overwritten, the end cut off, a stretch removed, doubled or zeroed, lines doubled,
    removed or swapped, numbers replaced by absurd ones, rubbish inserted, brackets nested.
    """
    faults = [
        *(_flip, _overwrite, _cut, _remove, _double, _zero),
        *(_double_line, _remove_line, _swap_lines, _number, _number, _number, _insert, _nest),
    ]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(faults)(content, rng)
    return content


def _at(content: bytes, rng: random.Random) -> int:
    """A position; every second one among the first 2 kB, where headers stand."""
    reach = min(len(content), 2048) if rng.random() < 0.5 else len(content)
    return rng.randrange(reach) if reach else 0


def _flip(content: bytes, rng: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice((1, 3, 20)) if out else 0):
        out[_at(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    at = _at(content, rng)
    new = bytes(rng.choice(BYTES) for _ in range(rng.choice((1, 2, 4))))
    return content[:at] + new + content[at + len(new) :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _at(content, rng)]


def _stretch(content: bytes, rng: random.Random) -> tuple[int, int]:
    at = _at(content, rng)
    return at, min(len(content), at + rng.choice((1, 2, 8, 64, 512)))


def _remove(content: bytes, rng: random.Random) -> bytes:
    start, stop = _stretch(content, rng)
    return content[:start] + content[stop:]


def _double(content: bytes, rng: random.Random) -> bytes:
    start, stop = _stretch(content, rng)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 50)) + content[stop:]


def _zero(content: bytes, rng: random.Random) -> bytes:
    start, stop = _stretch(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def _double_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join(lines[: at + 1] + lines[at:])


def _remove_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def _swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _number(content: bytes, rng: random.Random) -> bytes:
    start = _at(content, rng)
    found = NUMBER.search(content, start) or NUMBER.search(content)
    if found is None:
        return content
    return content[: found.start()] + rng.choice(INSTEAD) + content[found.end() :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = _at(content, rng)
    rubbish = rng.choice((b"\0", b"\xff\xfe", b"\t", b"\r", b"\n\n", b"{", b"}", b"<", b"&x;", b'"', rng.randbytes(16)))
    return content[:at] + rubbish + content[at:]


def _nest(content: bytes, rng: random.Random) -> bytes:
    at, times = _at(content, rng), rng.choice((3, 1000, 100_000))
    return content[:at] + rng.choice((b"[", b"{\n", b"<a>", b"(", b"JOINT a\n{\n")) * times + content[at:]

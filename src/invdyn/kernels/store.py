"""Files made from content and kept under its hash: whole or not at all, made anew where they were damaged.

What is kept is code that will be run, so the folder is the user's alone, and every file ends in a checksum of what
stands before it: a shared library cut short by a full disk would otherwise take the process down when it is loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from invdyn.episodes.formats.atomic import replacing
from invdyn.errors import ConfigError

__all__ = ["cache_folder", "content", "fingerprint", "kept", "whole"]

MARK = b"\ninvdyn:"
SUM = 32
"""Bytes of the checksum; loaders of libraries and GPU code ignore what follows their last section."""


def cache_folder() -> Path:
    """`INVDYN_CACHE`, else invdyn/ in the user's cache; for the user alone, because code is run from it.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    base = os.environ.get("INVDYN_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "invdyn"
    kernels = folder / "kernels"
    try:
        kernels.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(_unusable(kernels, error)) from error
    return kernels


def kept(facts: Iterable[str], suffix: str, make: Callable[[Path], None]) -> Path:
    """The file that `facts` determine; made if it is not there or not whole.

    Several processes may make it at the same time: each writes its own file and the last takes the place whole.

    Args:
        facts: all that the content depends on.
        suffix: of the file's name.
        make: writes the content to a path; nothing is kept where it raises.

    Raises:
        ConfigError: the cache cannot be written.
    """
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]
    path = cache_folder() / f"{digest}{suffix}"
    if whole(path):
        return path
    try:
        with replacing(path) as made:
            make(made)
            with made.open("ab") as file:
                file.write(MARK + _sum(made.read_bytes()))
    except OSError as error:
        raise ConfigError(_unusable(path.parent, error)) from error
    return path


def whole(path: Path) -> bool:
    """Whether a file is there and ends in the checksum of its content."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    end = len(text) - SUM - len(MARK)
    return end >= 0 and text[end:-SUM] == MARK and text[-SUM:] == _sum(text[:end])


def content(path: Path) -> bytes:
    """What `make` wrote."""
    return path.read_bytes()[: -SUM - len(MARK)]


@cache
def fingerprint(*packages: str) -> str:
    """A hash of the source files of packages: what was made by other code is not taken for what this code makes."""
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted(files(package).iterdir(), key=lambda f: f.name):
            if file.name.endswith((".py", ".h")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _sum(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=SUM).digest()


def _unusable(folder: Path, error: OSError) -> str:
    return (
        f"the cache of compiled programs {folder} cannot be written ({error.strerror}). "
        "Set INVDYN_CACHE to a folder that can."
    )

"""Files and folders that appear whole or not at all: write beside the target, then rename.

A process killed at any point leaves the old state or the new one, never a part. What it leaves besides is a
hidden `.<name>.partial-*` neighbour, which no reader looks at and the next `appearing` of the same path removes.
"""

from __future__ import annotations

import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from invdyn.errors import FormatError

__all__ = ["appearing", "replacing"]

REPLACED = ".replaced"
"""Where the old content stands while the new one takes its place."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.partial-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files for the owner only
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def appearing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A path to create, file or folder, in a fresh temporary folder; at the end it is renamed to `path`.

    Raises:
        FormatError: `path` is there already and `overwrite` is off, or the block created nothing.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.partial-{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        if not _alive(left.name.removeprefix(prefix).partition("-")[0]):  # of a process of this machine that was killed
            if (left / REPLACED).exists() and not path.exists():
                os.rename(left / REPLACED, path)  # between the two renames
            shutil.rmtree(left, ignore_errors=True)
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise FormatError(f"{path} exists already. Choose another path, or pass overwrite=True to replace it.")
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=path.parent))
    try:
        staged = folder / path.name
        yield staged
        if not staged.exists():
            raise FormatError(f"{path}: nothing was written. This is a fault of the format's writer.")
        if path.exists() or path.is_symlink():
            # Between the two renames the target is absent for an instant, but the old one is still whole beside it.
            os.rename(path, folder / REPLACED)
        elif not overwrite and path.exists():
            raise FormatError(f"{path} appeared meanwhile. Choose another path, or pass overwrite=True to replace it.")
        os.rename(staged, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

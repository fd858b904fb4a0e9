"""The resumable engine: an executor that maps a function over work, and a staging folder that becomes the output.

One finished episode is one atomic file in `<out>.partial`; when all are there they are merged beside each other and
the result appears under its name by a single rename. A process killed anywhere leaves finished episodes whole, the
others absent, and the output absent or complete.
"""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from invdyn.actions.provenance import check_same
from invdyn.episodes.formats.atomic import replacing
from invdyn.errors import ConfigError, FormatError, InvdynError

__all__ = ["EngineError", "Executor", "LocalExecutor", "Staging"]

Item = TypeVar("Item")
Result = TypeVar("Result")

RECORD = "meta/invdyn_label.json"
"""Inside a finished output: what made it."""


class EngineError(InvdynError, RuntimeError):
    """Work that cannot go on: a disk that takes nothing more, a worker that died."""


@runtime_checkable
class Executor(Protocol):
    """Where work is done: here, in processes, or on a cluster (Ray Data fits behind it).

    `function` can be pickled and depends on its item alone; an item may be done more than once, since its effect is an
    atomic file with the same bytes each time. Results come in any order.
    """

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...


@dataclass(frozen=True)
class LocalExecutor:
    """This process, or several on this machine.

    Args:
        workers: processes; 1 works in this one.

    Raises:
        ConfigError: fewer than one worker.
        EngineError: a worker that died.
    """

    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}, expected at least 1.")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        items = list(items)
        if self.workers == 1 or len(items) <= 1:
            yield from map(function, items)
            return
        # Fresh interpreters: forking a process that holds threads or a simulator is not safe.
        context = multiprocessing.get_context("spawn")
        count = min(self.workers, len(items))
        threads = max(1, (os.cpu_count() or 1) // count)
        with ProcessPoolExecutor(count, context, _start_worker, (function, threads)) as pool:
            futures = [pool.submit(_work, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool:
                raise EngineError(
                    "a worker process died (out of memory, or killed). Finished episodes are kept: run the same "
                    "command again, with fewer workers if memory is short."
                ) from None
            finally:
                for future in futures:
                    future.cancel()


_worker: dict[str, Any] = {}


def _start_worker(function: Callable[[Any], Any], threads: int) -> None:
    """In a fresh worker process, which is ours alone: share the cores, and do not outlive the parent."""
    import torch

    torch.set_num_threads(threads)
    _worker["function"] = function
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)  # the parent was killed: whatever is under way here is done again by the next run


def _work(item: Any) -> Any:
    return _worker["function"](item)


@dataclass(frozen=True)
class Staging:
    """The folder beside an output in which it grows.

    Args:
        out: the output.
        fingerprint: JSON-able facts that decide its content; another one is refused.
    """

    out: Path
    fingerprint: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.out.with_name(self.out.name + ".partial")

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    def finished(self) -> dict[str, Any] | None:
        """The record of a finished output with this fingerprint; None when there is no output yet.

        Raises:
            FormatError: something else stands there.
            ConfigError: it was made with other settings.
        """
        if not (self.out.exists() or self.out.is_symlink()):
            return None
        path = self.out / RECORD
        if not path.is_file():
            raise FormatError(
                f"{self.out} exists already and is no output of labelling. Choose another path, or move it away."
            )
        record = _read_json(path)
        check_same(record["made_by"], self.fingerprint, str(self.out), "Choose another path for the new labels.")
        return record

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The folder, locked against other processes, with leftovers of killed runs removed.

        Raises:
            ConfigError: labels of other settings are under way in it, or another process works in it.
            FormatError: the folder is something else.
            EngineError: it cannot be written.
        """
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"another process is labelling into {self.out}. Wait for it, or choose another path."
                ) from None
            self._claim()
            try:
                yield
            except InvdynError:
                if not (self.shards.is_dir() and any(self.shards.iterdir())):
                    self.clear()  # a mistake that showed before anything was done leaves nothing behind
                raise
        finally:
            os.close(handle)

    def _claim(self) -> None:
        path = self.folder / "fingerprint.json"
        if path.is_file():
            remedy = f"Finish it with the former settings, delete {self.folder}, or choose another path."
            check_same(_read_json(path), self.fingerprint, f"{self.folder} is under way and", remedy)
        else:
            others = sorted(p.name for p in self.folder.iterdir() if p.name != "lock" and ".partial-" not in p.name)
            if others:
                raise FormatError(
                    f"{self.folder} holds {others[0]!r} and no fingerprint, so labelling did not make it. Move it away."
                )
            with self.writing(), replacing(path) as temporary:
                temporary.write_text(json.dumps(self.fingerprint, indent=1, sort_keys=True))
        for leftover in (*self.folder.rglob(".*.partial-*"), *self.folder.rglob(".*.tmp*")):
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    @contextmanager
    def writing(self, done: Callable[[], str] = lambda: "") -> Iterator[None]:
        """Turns a disk that takes nothing more into one sentence; `done` says how far the work has come."""
        try:
            yield
        except OSError as error:
            if error.errno not in (
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EFBIG,
                errno.EACCES,
                errno.EPERM,
                errno.EROFS,
                errno.ENOTDIR,
                errno.EIO,
            ):
                raise
            raise EngineError(
                f"cannot write {error.filename or self.folder}: {error.strerror}. Free space or choose another "
                f"path, and run the same command again. {done()}".rstrip()
            ) from error

    def publish(self, merge: Callable[[Path], object], record: Mapping[str, Any]) -> None:
        """Make the output from all shards and let it appear; then remove the staging folder.

        Args:
            merge: writes the whole output to the path it is given.
            record: what is kept in `meta/invdyn_label.json`, beside the fingerprint.
        """
        ready = self.folder / "dataset"
        if not (ready / RECORD).is_file():  # else a former run was killed between the merge and the rename
            shutil.rmtree(ready, ignore_errors=True)
            merge(ready)
            (ready / RECORD).parent.mkdir(exist_ok=True)
            with replacing(ready / RECORD) as temporary:
                temporary.write_text(json.dumps({"made_by": self.fingerprint, **record}, indent=1, sort_keys=True))
            for leftover in ready.rglob(".*.partial-*"):
                leftover.unlink()
        os.rename(ready, self.out)
        self.clear()

    def clear(self) -> None:
        """Remove the staging folder; what is left of it after a kill is removed by the next run."""
        # The fingerprint goes last, so that a half-removed folder is still known as ours.
        for child in sorted(self.folder.iterdir() if self.folder.is_dir() else ()):
            if child.name not in ("fingerprint.json", "lock"):
                shutil.rmtree(child, ignore_errors=True) if child.is_dir() else child.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def note(self, index: int, facts: Mapping[str, Any]) -> None:
        """Keep small facts of an episode; written before its shard, which is the commit point."""
        with replacing(self.folder / "facts" / f"episode-{index:06d}.json") as temporary:
            temporary.write_text(json.dumps(facts, sort_keys=True))

    def noted(self, index: int) -> dict[str, Any]:
        """The facts `note` kept."""
        return _read_json(self.folder / "facts" / f"episode-{index:06d}.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not readable JSON ({error}). Delete it and label again.") from None
    if not isinstance(data, dict):
        raise FormatError(f"{path} holds no JSON object. Delete it and label again.")
    return data

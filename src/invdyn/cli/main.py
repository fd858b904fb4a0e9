"""The entry point: finds the command, parses its options, prints its result, turns user errors into exit code 2."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from invdyn import __version__
from invdyn.errors import InvdynError

__all__ = ["COMMANDS", "Command", "main", "told"]

# name -> (module, class, one line). Modules are imported only when their command runs: `--help` stays quick.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("invdyn.cli.demo", "Demo", "the main job on an embedded default, with a report (minutes)"),
    "data make": ("invdyn.cli.data", "Make", "recordings of a world's expert"),
    "data offline": (
        "invdyn.cli.data_offline",
        "Offline",
        "offline sets by checkpoints of an agent trained in a world",
    ),
    "inspect": ("invdyn.cli.inspect", "Inspect", "what is in these recordings"),
    "convert": ("invdyn.cli.convert", "Convert", "between formats; hide or filter signals and episodes"),
    "fit": ("invdyn.cli.fit", "Fit", "an inverse model from the episodes whose causes are known"),
    "label": ("invdyn.cli.label", "Label", "infer the missing causes, write a labelled dataset (resumable)"),
    "verify": ("invdyn.cli.verify", "Verify", "replay causes forward; compare with recorded ones"),
    "train": ("invdyn.cli.train", "Train", "a policy on measured and inferred causes"),
    "evaluate": ("invdyn.cli.evaluate", "Evaluate", "a policy in a world"),
    "torques": ("invdyn.cli.torques", "Torques", "torques behind recorded motion of a model, with intervals"),
    "identify": ("invdyn.cli.identify", "Identify", "masses, inertias, friction from recorded motion and torque"),
    "identify design": ("invdyn.cli.identify_design", "Design", "a motion that makes these parameters visible"),
    "studies": ("invdyn.cli.studies", "Studies", "the 58 systems of the literature and where each stands"),
    "study": ("invdyn.cli.studies", "StudyCommand", "re-test one system's claims next to its controls"),
    "bench": ("invdyn.cli.bench", "Bench", "our speed against a peer, in one run"),
}


class Command(Protocol):
    """What every command is. `run` returns JSON-able data, `show` prints it for people."""

    json: bool

    def run(self) -> Any: ...
    def show(self, result: Any) -> None: ...
    def exit_code(self, result: Any) -> int: ...


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, _, line) in COMMANDS.items()]
    return "\n".join(
        [
            f"invdyn {__version__}: from what was observed to what caused it.",
            "",
            "usage: invdyn COMMAND [options]     (invdyn COMMAND --help for its options)",
            "",
            *lines,
            "",
            "Every command takes --json: one JSON value on stdout, messages on stderr. Bad input exits with 2.",
            "Start with: invdyn demo",
        ]
    )


def _unknown(name: str) -> str:
    """What to say about a command that does not exist."""
    families = sorted({known.split()[0] for known in COMMANDS if " " in known})
    if name in families:
        members = ", ".join(known for known in COMMANDS if known.startswith(f"{name} "))
        return f"{name!r} needs a second word. Commands: {members}."
    near = difflib.get_close_matches(name, [*COMMANDS, *families], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Commands: {', '.join(COMMANDS)}."
    return f"unknown command {name!r}. {hint}"


@contextlib.contextmanager
def _stdout_for_data_only() -> Iterator[Any]:
    """Send whatever libraries print (greetings, C code) to stderr; yield the real stdout for the one JSON value."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(real), "w") as out, contextlib.redirect_stdout(sys.stderr):
            yield out
    finally:
        os.dup2(real, 1)
        os.close(real)


def _plain(value: Any) -> Any:
    """JSON has no NaN, no infinity and no numpy: numbers that are none become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def told(error: InvdynError | OSError, name: str) -> int:
    """What a user can mend, in one sentence on stderr, and the exit code 2; other errors of the system are raised."""
    mendable = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    if isinstance(error, InvdynError):
        print(f"{name}: {error}", file=sys.stderr)
    elif isinstance(error, mendable) and error.filename is not None:
        print(f"{name}: {error.filename}: {error.strerror}. Check the path.", file=sys.stderr)
    else:
        raise error
    return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 a check failed, 2 bad input."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read has gone: `invdyn ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if args else 2
    if args[0] == "--version":
        print(f"invdyn {__version__}")
        return 0
    name = " ".join(args[:2]) if " ".join(args[:2]) in COMMANDS else args[0]
    rest = args[len(name.split()) :]
    if name not in COMMANDS:
        print(f"invdyn: {_unknown(name)}", file=sys.stderr)
        return 2
    module, cls, _ = COMMANDS[name]
    from invdyn.cli.parsing import parse

    kind = getattr(importlib.import_module(module), cls)
    try:
        command: Command = parse(kind, rest, f"invdyn {name}")
    except SystemExit:  # the help was printed
        return 0
    except InvdynError as error:
        print(f"invdyn {name}: {error}", file=sys.stderr)
        return 2
    try:
        if command.json:
            with _stdout_for_data_only() as out:
                result = command.run()
                json.dump(_plain(result), out)
                out.write("\n")
        else:
            result = command.run()
            command.show(result)
        return command.exit_code(result)
    except (InvdynError, OSError) as error:
        return told(error, f"invdyn {name}")
    except KeyboardInterrupt:
        again = "The same command continues where it stopped." if getattr(command, "resumes", False) else ""
        print(f"\ninvdyn {name}: interrupted. {again}".rstrip(), file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""How episodes are named on the command line: `all`, `0:20`, `3,7,12`, `20:`, `-5:`."""

from __future__ import annotations

from invdyn.errors import ConfigError

__all__ = ["parse_episodes"]


def parse_episodes(text: str, total: int) -> list[int]:
    """Episode numbers a text selects among `total`.

    >>> parse_episodes("0:3,7", 10), parse_episodes("-2:", 10), parse_episodes("all", 2)
    ([0, 1, 2, 7], [8, 9], [0, 1])

    Raises:
        ConfigError: text of another form, or a number outside the recordings.
    """
    if text == "all":
        return list(range(total))
    chosen: list[int] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            if ":" in part:
                low, _, high = part.partition(":")
                bounds = slice(int(low) if low else None, int(high) if high else None)
                chosen += range(total)[bounds]
            else:
                chosen.append(range(total)[int(part)])
        except ValueError:
            raise ConfigError(
                f"episodes {text!r}: {part!r} is neither a number nor a range like 0:20, 20: or -5:."
            ) from None
        except IndexError:
            raise ConfigError(f"episodes {text!r}: there is no episode {part}; the recordings have {total}.") from None
    if not chosen:
        raise ConfigError(f"episodes {text!r} selects none of the {total} episodes. Use for example 0:20 or all.")
    return list(dict.fromkeys(chosen))

"""`XmlDocument`: XML of unknown origin read safely, every value checked, every complaint with file and line.

No entities, no external documents, no network, bounded size and depth. Shared by the readers of model files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import read_bytes
from invdyn.errors import FormatError, require

__all__ = ["XmlDocument", "named", "parse_xml", "quoted", "read_xml"]

LARGEST = 32 * 2**20
"""Bytes; the largest robot descriptions are some MB."""
LARGEST_NUMBER = 1e9
"""In SI units, of anything in a model; larger ones are mistakes, and overflow in products."""


@dataclass(frozen=True)
class XmlDocument:
    """A parsed document and what is needed to complain about it.

    Args:
        path: the file, as messages name it.
        root: the lxml root element.
        remedy: the last sentence of complaints.
    """

    path: Path
    root: Any
    remedy: str = "Correct the file."

    def children(self, element: Any) -> Iterator[Any]:
        """Child elements in order, without comments and the like."""
        return (e for e in element if isinstance(e.tag, str))

    def error(self, element: Any, found: str, expected: str, remedy: str | None = None) -> FormatError:
        """The complaint about an element, to be raised: file, line, what was found, what was expected, what to do."""
        return complaint(
            self.path,
            f"line {element.sourceline}: {short(found)}",
            expected=short(expected),
            remedy=remedy or self.remedy,
        )

    def unknown(self, element: Any, known: Iterable[str]) -> FormatError:
        """The complaint about an element that we do not know."""
        inside = f" in {element.getparent().tag}" if element.getparent() is not None else ""
        return self.error(
            element,
            f"element {quoted(element.tag)}{inside}",
            f"one of {', '.join(known)}",
            "Remove it if it does not matter for the dynamics.",
        )

    def sort(self, element: Any, known: Iterable[str], ignored: Iterable[str] = ()) -> dict[str, list[Any]]:
        """Child elements by tag, for each of `known`; `ignored` ones are left out.

        Raises:
            FormatError: an element that is neither.
        """
        found: dict[str, list[Any]] = {tag: [] for tag in known}
        skipped = frozenset(ignored)
        for child in self.children(element):
            if child.tag in found:
                found[child.tag].append(child)
            elif child.tag not in skipped:
                raise self.unknown(child, found)
        return found

    def at_most_one(self, element: Any, found: list[Any]) -> Any | None:
        """The only element of a list, None of an empty one.

        Raises:
            FormatError: there are several.
        """
        if len(found) > 1:
            raise self.error(found[1], f"a second {found[1].tag} in {named(element)}", "at most one")
        return found[0] if found else None

    def attribute(self, element: Any, name: str) -> str:
        """An attribute that must be there and not be empty.

        Raises:
            FormatError: it is not.
        """
        value = (element.get(name) or "").strip()
        if not value:
            raise self.error(element, f"{element.tag} without {name}", f'{name}="..."')
        return str(value)

    def text(self, element: Any) -> str:
        """The text of an element, stripped; empty if it has none."""
        return str(element.text or "").strip()

    def numbers(self, element: Any, text: str, count: int | None, what: str) -> tuple[float, ...]:
        """Numbers separated by white space.

        Args:
            element: where the text stands.
            text: the numbers.
            count: how many are expected; None for any number of them.
            what: they are, for messages.

        Raises:
            FormatError: no numbers, not finite, absurdly large, or not `count` of them.
        """
        words = text.split()
        if count is not None and len(words) != count:
            raise self.error(element, f"{what} {quoted(text)}", f"{count} number{'s' if count > 1 else ''}")
        return tuple(self._number(element, word, what) for word in words)

    def number(self, element: Any, text: str, what: str) -> float:
        """One number; see `numbers`."""
        return self.numbers(element, text, 1, what)[0]

    def truth(self, element: Any, text: str, what: str) -> bool:
        """true or false, in any case; 1 or 0.

        Raises:
            FormatError: another word.
        """
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.strip().lower() not in known:
            raise self.error(element, f"{what} is {quoted(text)}", "true or false")
        return known[text.strip().lower()]

    def attribute_numbers(
        self, element: Any, name: str, default: tuple[float, ...], count: int | None = None
    ) -> tuple[float, ...]:
        """Numbers in an attribute, as many as `default` has (or `count`); the default without the attribute."""
        text = element.get(name)
        if text is None:
            return default
        return self.numbers(element, text, len(default) if count is None else count, f"{element.tag} {name}")

    def attribute_number(self, element: Any, name: str, default: float | None = None) -> float:
        """One number in an attribute; without a default it must be there."""
        text = self.attribute(element, name) if default is None else element.get(name)
        return float(default or 0.0) if text is None else self.number(element, text, f"{element.tag} {name}")

    def _number(self, element: Any, word: str, what: str) -> float:
        try:
            value = float(word) if word.isascii() and "_" not in word else math.nan  # Python's own spellings
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST_NUMBER:
            raise self.error(element, f"{what} {quoted(word)}", f"a number of at most {LARGEST_NUMBER:.0e}")
        return value


def read_xml(path: Path | str, remedy: str = "Correct the file.") -> XmlDocument:
    """Parse a file.

    Raises:
        FormatError: unreadable, too large, no XML, or XML with a document type (which may define entities).
        MissingExtraError: lxml is not installed.
    """
    path = Path(path)
    return parse_xml(read_bytes(path, LARGEST), path, remedy)


def parse_xml(content: bytes, path: Path, remedy: str = "Correct the file.") -> XmlDocument:
    """As `read_xml`, from memory; `path` is for messages."""
    etree = require("lxml.etree", "bodies")

    def unreadable(found: str) -> FormatError:
        return complaint(path, found, expected="an XML document without a document type", remedy=remedy)

    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise unreadable("the file has a document type or entities, which are not read")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise unreadable(f"no XML ({' '.join(str(error).split())[:100]})") from None
    if root.getroottree().docinfo.doctype:  # in another encoding
        raise unreadable("the file has a document type, which is not read")
    return XmlDocument(path, root, remedy)


def named(element: Any) -> str:
    """How messages call an element: its tag and, if it has one, its name."""
    return f"{short(str(element.tag), 40)} {quoted(element.get('name'))}" if element.get("name") else str(element.tag)


def quoted(text: object, most: int = 60) -> str:
    """A value from a file for use in a message: one line, bounded."""
    return repr(short(str(text), most))


def short(text: str, most: int = 400) -> str:
    """A text on one line, cut where it gets long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."

"""JSON documents: an array of records, wherever it stands, or objects one after the other.

Whatever its size, no more of a document is held than the record that is read. What stands between
two commas of the array is one record; one that is no object is a fault of its own. Where quotes
or brackets are broken, so that the end of a record can't be told, reading goes on at the next
line that begins like this one did, with an object of the same kind.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.engines.sources.json_files import reading
from airflow_etl_provider.engines.sources.json_files.reading import Fault
from airflow_etl_provider.engines.sources.json_files.text import Walk, Window
from airflow_etl_provider.engines.sources.json_files.values import (
    NotAnObjectError,
    new_decoder,
    record_of,
)
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView

    from airflow_etl_provider.engines.sources.json_files.reading import Reading
    from airflow_etl_provider.engines.sources.json_files.values import Unfolding

__all__ = ["DocumentReader"]

_FOLLOWED = re.compile(r"[ \t\r\n]*([,\]}])?")
_SCALAR = re.compile(r"[^,\]}\s]*")
_NEXT_LINE = re.compile(r"\n[ \t]*(?=[\[{])")

MOST_KEYS_SHOWN = 20

MARGIN = 16
"""So near to the end of what is held, an error may come from the rest not being there."""


class DocumentReader:
    """Reads the records of one document, once.

    :param path: keys on the way to the records; without one they stand at the top.
    :param name: of the input, for messages.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        name: str,
        path: tuple[str, ...] = (),
        unfolding: Unfolding | None = None,
    ) -> None:
        self._window = Window(chunks)
        self._decoder = new_decoder()
        self._name = name
        self._path = path
        self._unfolding = unfolding
        self._longest = reading.MAX_RECORD
        self._records = 0
        self._known: KeysView[str] = {}.keys()
        self.gaps = 0
        """Commas with nothing between them, which are passed over."""
        self.tables: tuple[str, ...] = ()
        """Keys that hold arrays of objects, where the whole document is one object."""

    def records(self) -> Iterator[Reading]:
        """Read record by record.

        :raises SourceFormatError: what surrounds the records is broken, or they are not there.
        """
        window, in_array = self._window, False
        while char := window.peek():
            if self._path:
                yield from self._descend(self._path)
            elif char == "[":
                in_array = True
                yield from self._array()
            elif char == "," and not in_array:
                window.at += 1
                self.gaps += 1
            elif char in ",]}":
                raise self._broken(f"has a {char!r} that closes or separates nothing")
            else:
                yield self._element("")
        if self._records != 1 or in_array or self._path:
            self.tables = ()

    def _array(self) -> Iterator[Reading]:
        window = self._window
        window.at += 1
        separated, empty = True, True
        while char := window.peek():
            if char not in ",]":
                yield self._element(",]")
                separated = empty = False
                continue
            window.at += 1
            self.gaps += separated and not (empty and char == "]")
            separated, empty = True, False
            if char == "]":
                return
        raise self._broken("ends inside of its array", hint=_FETCH)

    def _descend(self, path: tuple[str, ...]) -> Iterator[Reading]:
        """Read what the path leads to, and pass over everything else."""
        window, found, seen = self._window, False, []
        if window.peek() != "{":
            raise self._broken(f"has no object that could hold the key {path[0]!r}")
        window.at += 1
        while (char := window.peek()) != "}":
            if char == ",":
                window.at += 1
                continue
            key = self._key()
            if key != path[0]:
                seen.append(key)
                self._skip()
                continue
            if found:
                raise self._broken(f"has the key {key!r} twice on the way to its records")
            found = True
            yield from self._at(path[1:])
        window.at += 1
        if not found:
            keys = ", ".join(map(repr, seen[:MOST_KEYS_SHOWN])) or "none"
            raise self._broken(
                f"has no key {path[0]!r} on the way to its records; the keys there: {keys}",
                hint="Check `source.records`.",
            )

    def _at(self, path: tuple[str, ...]) -> Iterator[Reading]:
        char = self._window.peek()
        if path:
            if char == "{":
                yield from self._descend(path)
                return
        elif char == "[":
            yield from self._array()
            return
        elif char == "{":
            yield self._element(",}")
            return
        if char != "n" or self._skip() != "null":
            wanted = "no object" if path else "neither an array nor an object"
            raise self._broken(f"has {wanted} where `source.records` leads to")

    def _key(self) -> str:
        """Read a key and the colon behind it."""
        window, key = self._window, None
        while key is None and window.peek() == '"':
            try:
                key, window.at = scanstring(window.text, window.at + 1)
            except json.JSONDecodeError:
                if window.held > self._longest or not window.more():
                    break
        if key is None or window.peek() != ":":
            raise self._broken("has something that is no key where one should be", hint=_FETCH)
        window.at += 1
        return str(key)

    def _skip(self) -> str:
        """Pass over a value that is not read; gives the text of a word or number."""
        window = self._window
        if window.peek() not in ("[", "{", '"'):
            while (found := _SCALAR.match(window.text, window.at)) and (
                found.end() == len(window.text)
            ):
                if window.held > self._longest or not window.more():
                    break
            word = found[0] if found else ""
            window.at += len(word)
            return word
        walk = Walk(window.at, ends=",}")
        while (end := walk.end(window.text)) is None:
            window.at = walk.at
            if walk.damaged_at is not None or not window.more():
                raise self._broken("breaks off or has broken quotes or brackets", hint=_FETCH)
            walk.shift(window.dropped)
        window.at = end
        return ""

    def _element(self, ends: str) -> Reading:
        """Read the value that begins here; `ends` is what may follow it, in an array or object."""
        window = self._window
        self._records += 1
        if window.text[window.at] == "{":
            parsed = self._parse(ends)
            return self._fault(ends, parsed) if isinstance(parsed, str) else self._good(*parsed)
        problem = "The record is no JSON object."
        return self._fault(ends, problem) if ends else self._stray(problem)

    def _good(self, value: Any, end: int) -> Reading:
        window, start = self._window, self._window.at
        size, too_long = end - start, end - start > self._longest
        escapes = window.text.find("\\u", start, end) >= 0
        try:
            if too_long:
                raise NotAnObjectError(self._too_long_words)
            if not window.is_valid(start, end):
                raise NotAnObjectError("The record is not valid UTF-8.")
            record = record_of(value, unfolding=self._unfolding, noun="record", escapes=escapes)
        except NotAnObjectError as error:
            code = "too_long" if too_long else "not_json"
            raw = window.raw(start, min(end, start + self._longest))
            fault = Fault(window.line(), raw, code, str(error))
            window.at = end
            return None, size, fault
        if self._records == 1:
            self.tables = tuple(key for key, item in value.items() if _is_table(item))
        self._known = value.keys()
        window.at = end
        return record, size, None

    def _parse(self, ends: str) -> tuple[Any, int] | str:
        """Parse an object that `ends` may follow; in words why that is not possible."""
        window = self._window
        while True:
            try:
                value, end = self._decoder.raw_decode(window.text, window.at)
            except NotAnObjectError as error:
                return str(error)
            except RecursionError:
                return "The record is nested too deeply."
            except json.JSONDecodeError as error:
                what = error.msg.removesuffix(" at")
                return f"{what} at character {error.pos - window.at + 1}."
            if not ends:
                return value, end
            following, at = self._following(end)
            if following and following in ends:
                return value, end
            if following or at < len(window.text) or not window.more():
                return "Extra data behind the record."

    def _following(self, end: int) -> tuple[str, int]:
        """The comma or bracket behind blanks, or none, and where."""
        found = _FOLLOWED.match(self._window.text, end)
        return (found[1] or "", found.end()) if found else ("", end)

    def _fault(self, ends: str, problem: str) -> Reading:
        """Find the end of a value that could not be parsed, and parse it again if it was cut."""
        window, grown = self._window, False
        walk, search = Walk(window.at, ends=ends), _Search(window)
        while (end := search.end(walk, self._is_record)) is None:
            if window.held > self._longest:
                return self._too_long(ends, walk)
            if not window.more():
                return self._tail(ends, problem)
            walk.shift(window.dropped)
            search.shift(window.dropped)
            grown = True
        start = window.at
        if grown and window.text[start] == "{":
            parsed = self._parse(ends)
            if not isinstance(parsed, str):
                return self._good(*parsed)
            problem = parsed
        line, raw = window.line(), window.raw(start, end)
        window.at = end
        raw = raw.removesuffix(b",").rstrip() if search.found else raw
        return None, end - start, Fault(line, raw, "not_json", problem)

    def _is_record(self, at: int, ends: str) -> bool | None:
        """Whether a record of the usual kind begins here; None while too little is held."""
        window = self._window
        try:
            value, end = self._decoder.raw_decode(window.text, at)
        except (NotAnObjectError, RecursionError):
            return False
        except json.JSONDecodeError as error:
            cut = error.msg.startswith("Unterminated") or len(window.text) - error.pos < MARGIN
            return None if cut and not window.ended else False
        following, behind = self._following(end)
        if ends and not following:
            return None if behind == len(window.text) and not window.ended else False
        if ends and following not in ends:
            return False
        return not self._known or 2 * len(self._known & value.keys()) > len(value)

    def _stray(self, problem: str) -> Reading:
        """Take text that is no JSON, up to the next line that begins an object or array."""
        window = self._window
        while (found := _NEXT_LINE.search(window.text, window.at)) is None:
            if window.held > self._longest:
                raise self._broken("is no JSON")
            if not window.more():
                break
        start, end = window.at, found.start() if found else len(window.text)
        line, raw = window.line(), window.raw(start, end)
        window.at = end
        return None, end - start, Fault(line, raw, "not_json", problem)

    @property
    def _too_long_words(self) -> str:
        return f"The record is longer than {self._longest} characters."

    def _too_long(self, ends: str, walk: Walk) -> Reading:
        """Pass over a record that is too long to be held; only its beginning is kept."""
        window, size = self._window, 0
        if not ends and self._records == 1:
            raise self._broken(
                f"begins with an object of more than {self._longest} characters",
                hint="If its records are inside, say where: `source: { records: $.items }`.",
            )
        line, raw = window.line(), window.raw(window.at, window.at + self._longest)
        while (end := walk.end(window.text)) is None:
            size += walk.at - window.at
            window.at = walk.at
            if walk.damaged_at is not None or not window.more():
                raise self._no_end(line)
            walk.shift(window.dropped)
        size += end - window.at
        window.at = end
        return None, size, Fault(line, raw, "too_long", self._too_long_words)

    def _tail(self, ends: str, problem: str) -> Reading:
        """Take all that is left as one record, if the array around it ends where the text does."""
        window = self._window
        line, start = window.line(), window.at
        if window.text[start] == "{" and isinstance(parsed := self._parse(ends), str):
            problem = parsed
        rest = window.text[start:].rstrip()
        closing = re.search(r"\]" + r"\s*\}" * len(self._path) + "$", rest)
        if ends and (ends != ",]" or closing is None):
            raise self._no_end(line)
        end = start + (closing.start() if ends and closing else len(rest))
        window.at = end
        words = f"{problem} It is not closed; all that follows it is in this record."
        return None, end - start, Fault(line, window.raw(start, end), "not_json", words)

    def _no_end(self, line: int) -> SourceFormatError:
        return SourceFormatError(
            f"{self._name} has no end of record {self._records}, which begins in line {line}: the "
            "file is cut off, or a quote or bracket is missing.",
            hint=_FETCH,
        )

    def _broken(self, what: str, *, hint: str | None = None) -> SourceFormatError:
        return SourceFormatError(f"{self._name} {what} (line {self._window.line()}).", hint=hint)


_FETCH = "Fetch the file again, or have it written as JSON lines, of which each stands alone."


class _Search:
    """Looks for the end of a record that could not be parsed.

    Once its quotes or brackets prove to be broken, each following line that begins as this record
    did is tried. A record in the middle of a line says nothing of how others begin.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        indent = window.text[window.text.rfind("\n", 0, window.at) + 1 : window.at]
        self._mark = None if indent.strip(" \t") else f"\n{indent}{{"
        self._from = window.at
        self.found = False
        """The record ends before such a line, not where brackets close it."""

    def end(self, walk: Walk, is_record: Callable[[int, str], bool | None]) -> int | None:
        """Tell where it ends; None where that is not in what is held of the text."""
        text, mark = self._window.text, self._mark
        while True:
            known, line, limit = walk.damaged_at, -1, len(text)
            if mark is not None and known is not None:
                # The line that the damage showed in may be the next record's already.
                near = text.rfind("\n", self._window.at, known + 1)
                line = text.find(mark, max(self._from, near if near >= 0 else known))
                limit = line if line >= 0 else limit
            end = walk.end(text, limit=limit)
            if end is not None or (line < 0 and walk.damaged_at == known):
                return end
            if line < 0 or mark is None:
                continue
            verdict = is_record(line + len(mark) - 1, walk.ends)
            if verdict is None:
                return None
            if verdict:
                self.found = True
                return line
            self._from = line + 1

    def shift(self, by: int) -> None:
        """The text lost so many characters at its beginning."""
        self._from = max(self._from - by, 0)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)

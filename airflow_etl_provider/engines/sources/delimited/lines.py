"""Physical lines of a byte stream, decoded, with the bytes they came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.engines.sources.delimited.dialect import Newline

__all__ = ["Fault", "LineReader", "Lines"]

Fault = Literal["bad_encoding", "too_long"]

_MIXED_TEXT = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


@dataclass(slots=True)
class Lines:
    """Consecutive physical lines.

    A text has no separator but may end in the carriage return before it; in `mixed` mode it has
    its whole terminator. `raws` are the bytes of each line, terminator included (of an over-long
    line the beginning; `sizes` then has its length). `faults` names lines that can't be values.
    """

    texts: list[str] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def size(self, index: int) -> int:
        return self.sizes.get(index) or len(self.raws[index])

    def extend(self, other: Lines) -> None:
        base = len(self.texts)
        self.texts += other.texts
        self.raws += other.raws
        self.faults.update({base + at: fault for at, fault in other.faults.items()})
        self.sizes.update({base + at: size for at, size in other.sizes.items()})

    def drop(self, count: int) -> None:
        """Forget the first `count` lines."""
        del self.texts[:count], self.raws[:count]
        self.faults = {at - count: fault for at, fault in self.faults.items() if at >= count}
        self.sizes = {at - count: size for at, size in self.sizes.items() if at >= count}


class LineReader:
    """Cuts chunks into lines and decodes them, a block at a time.

    Invalid bytes become U+FFFD in the text, so that the fields around them can still be told
    apart, and the line is marked; so is a line with a NUL character.

    :param max_line: a longer line is marked `too_long` and only its beginning is kept.
    """

    def __init__(
        self, chunks: Iterator[bytes], *, encoding: str, bom: int, newline: Newline, max_line: int
    ) -> None:
        self._chunks = chunks
        self._codec = encoding
        self._skip = bom
        self._mixed = newline == "mixed"
        self._max_line = max_line
        self.separator = "" if self._mixed else "\r" if newline == "\r" else "\n"
        self._ends = tuple(
            end.encode(encoding) for end in (("\n", "\r") if self._mixed else (self.separator,))
        )
        self._unit = len(self._ends[0])
        self._rest = b""
        self._dropped = 0
        self._kept = b""
        self.done = False

    def read(self, size: int) -> Lines:
        """The next lines, about `size` bytes of them; empty only at the end."""
        lines = Lines()
        while not self.done and not lines.texts:
            parts, have = [self._rest], len(self._rest)
            fresh = 0
            while fresh < size:
                chunk = next(self._chunks, None)
                if chunk is None:
                    self.done = True
                    break
                if self._skip:
                    cut = min(self._skip, len(chunk))
                    self._skip -= cut
                    chunk = chunk[cut:]
                parts.append(chunk)
                fresh += len(chunk)
                have += len(chunk)
            self._take(b"".join(parts), lines)
        return lines

    def _take(self, data: bytes, lines: Lines) -> None:
        cut = len(data) if self.done else self._last_end(data)
        if self._dropped and (data or self.done):
            end = self._first_end(data)
            if end < 0 and not self.done:
                keep = len(data) - len(data) % self._unit
                self._dropped += keep
                self._rest = data[keep:]
                return
            end = len(data) if end < 0 else end
            self._mark_long(lines, self._kept, self._dropped + end)
            self._dropped, self._kept = 0, b""
            data, cut = data[end:], cut - end
        head, self._rest = data[:cut], data[cut:]
        if head:
            self._split(head, lines)
        if not self.done and len(self._rest) > self._max_line:
            keep = len(self._rest) - len(self._rest) % self._unit
            if self._mixed and self._rest[:keep].endswith(self._ends[1]):
                keep -= self._unit
            self._kept, self._dropped = self._rest[: self._max_line], keep
            self._rest = self._rest[keep:]

    def _last_end(self, data: bytes) -> int:
        """Where the last complete line ends; a CR at the very end may be half of one (`mixed`)."""
        limit = len(data) - len(data) % self._unit
        if self._mixed and data[limit - self._unit : limit] == self._ends[1]:
            limit -= self._unit
        best = 0
        for end in self._ends:
            at = data.rfind(end, 0, limit)
            while at >= 0 and at % self._unit:
                at = data.rfind(end, 0, at + self._unit - 1)
            best = max(best, at + self._unit if at >= 0 else 0)
        return best

    def _first_end(self, data: bytes) -> int:
        best = -1
        for end in self._ends:
            at = data.find(end)
            while at >= 0 and at % self._unit:
                at = data.find(end, at + 1)
            if at >= 0 and (best < 0 or at + self._unit < best):
                best = at + self._unit
        if self._mixed and best >= 0 and data[best - self._unit : best] == self._ends[1]:
            if data[best : best + self._unit] == self._ends[0]:
                return best + self._unit
            if best == len(data) and not self.done:
                return -1
        return best

    def _split(self, data: bytes, lines: Lines) -> None:
        try:
            text = data.decode(self._codec)
        except UnicodeDecodeError:
            self._split_badly(data, lines)
            return
        if self._mixed:
            texts = _MIXED_TEXT.findall(text)
        else:
            texts = text.split(self.separator)
            if not texts[-1]:
                texts.pop()
        raws = self._cut(data)
        if len(raws) != len(texts):
            self._split_badly(data, lines)
            return
        base = len(lines.texts)
        lines.texts += texts
        lines.raws += raws
        if "\0" in text:
            for at, line in enumerate(texts):
                if "\0" in line:
                    lines.faults[base + at] = "bad_encoding"
        if len(data) > self._max_line:
            self._check_sizes(lines, base)

    def _split_badly(self, data: bytes, lines: Lines) -> None:
        base = len(lines.texts)
        for raw in self._cut(data):
            try:
                text = raw.decode(self._codec)
                bad = "\0" in text
            except UnicodeDecodeError:
                text, bad = raw.decode(self._codec, errors="replace"), True
            if bad:
                lines.faults[len(lines.texts)] = "bad_encoding"
            if not self._mixed and text.endswith(self.separator):
                text = text[:-1]
            lines.texts.append(text)
            lines.raws.append(raw)
        self._check_sizes(lines, base)

    def _cut(self, data: bytes) -> list[bytes]:
        if self._unit == 1 and self._mixed:
            return data.splitlines(keepends=True)
        if self._unit == 1:
            end = self._ends[0]
            raws = [part + end for part in data.split(end)]
            last = raws.pop()[: -len(end)]
            return [*raws, last] if last else raws
        return self._cut_wide(data)

    def _cut_wide(self, data: bytes) -> list[bytes]:
        raws, start, unit = [], 0, self._unit
        searches = re.compile(b"|".join(re.escape(end) for end in self._ends))
        position = 0
        while match := searches.search(data, position):
            at = match.start()
            if at % unit:
                position = at + 1
                continue
            end = at + unit
            if (
                self._mixed
                and match[0] == self._ends[1]
                and data[end : end + unit] == self._ends[0]
            ):
                end += unit
            raws.append(data[start:end])
            start = position = end
        if start < len(data):
            raws.append(data[start:])
        return raws

    def _check_sizes(self, lines: Lines, base: int) -> None:
        for at in range(base, len(lines.raws)):
            raw = lines.raws[at]
            if len(raw) > self._max_line:
                lines.sizes[at] = len(raw)
                lines.faults[at] = "too_long"
                lines.raws[at] = raw[: self._max_line]
                lines.texts[at] = ""

    def _mark_long(self, lines: Lines, beginning: bytes, size: int) -> None:
        at = len(lines.texts)
        lines.texts.append("")
        lines.raws.append(beginning)
        lines.faults[at] = "too_long"
        lines.sizes[at] = size

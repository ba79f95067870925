"""A window that moves over the text of a JSON document, however long that is."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Walk", "Window"]

_SPACE = re.compile("[ \t\r\n\x1e]*")
"""With the mark that begins each text of a JSON text sequence (RFC 7464)."""

_ESCAPED = re.compile("[\udc80-\udcff]")


KEPT = 200
"""Characters behind the position that stay: how a line begins can be looked up."""


class Window:
    """What is held of the text: from `at`, the next character to read, to as far as was asked for.

    Bytes that are no UTF-8 become single surrogates, so that nothing of them is lost.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._counted = 0
        self._line = 1
        self.text = ""
        self.at = 0
        self.dropped = 0
        """Characters that the last `more` forgot: positions are so much smaller now."""
        self.ended = False
        self.has_invalid = False

    @property
    def held(self) -> int:
        """Characters from `at` on."""
        return len(self.text) - self.at

    def more(self) -> bool:
        """Hold another piece, and forget what is well behind `at`; False at the end."""
        if self.ended:
            return False
        self.line()
        chunk = next(self._chunks, b"")
        self.ended = not chunk
        new = self._decoder.decode(chunk, final=self.ended)
        if not new.isascii() and _ESCAPED.search(new):
            self.has_invalid = True
        self.dropped = max(self.at - KEPT, 0)
        self.text = self.text[self.dropped :] + new
        self.at -= self.dropped
        self._counted = self.at
        return True

    def line(self) -> int:
        """The number of the physical line at `at`."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def peek(self) -> str:
        """Go to the next character that is no blank; empty at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def raw(self, start: int, end: int) -> bytes:
        """The bytes of a part of `text`, without the blanks at its end."""
        return self.text[start:end].rstrip(" \t\r\n").encode("utf-8", "surrogateescape")

    def is_valid(self, start: int, end: int) -> bool:
        """Whether a part of `text` was UTF-8."""
        return not self.has_invalid or _ESCAPED.search(self.text, start, end) is None


_INSIDE = re.compile(r'["\[\]{}]')
_OUTSIDE = re.compile(r'["\[\]{},]')
_IN_STRING = re.compile(r'["\\\n]')
_CLOSES = {"}": "{", "]": "["}
_BEFORE = {"{": ":", "[": "[,"}
"""What stands before an object or array inside of an object, and inside of an array."""


class Walk:
    """Looks for the end of one value by its brackets and quotes, whatever else is wrong in it.

    Goes on where it stopped when there is more text. `damaged_at` is where the structure was found
    to be broken: a line ends inside a string, or brackets don't belong together.

    :param at: where the value begins.
    :param ends: what may follow the value: `,]` in an array, `,}` in an object. Without it the
        value ends with the bracket that closes it.
    """

    def __init__(self, at: int, *, ends: str = "") -> None:
        self.at = at
        self.damaged_at: int | None = None
        self.ends = ends
        self._open: list[str] = []
        self._in_string = False
        self._last = ""

    def end(self, text: str, *, limit: int | None = None) -> int | None:
        """Where the value ends; None where that is not in the text, or not before `limit`.

        None also once, where damage is found: look at `damaged_at`, and go on by another call.
        """
        limit = len(text) if limit is None else limit
        known = self.damaged_at
        while self.at < limit and self.damaged_at == known:
            if self._in_string:
                if not self._string(text, limit):
                    return None
                continue
            found = (_INSIDE if self._open else _OUTSIDE).search(text, self.at, limit)
            at = found.start() if found else limit
            before = text[self.at : at].rstrip()[-1:] or self._last
            if found is None:
                self.at, self._last = limit, before
                return None
            if self._ends_at(found[0]):
                return at
            self._take(found[0], at, before)
            if not self._open and not self.ends and found[0] in _CLOSES:
                return self.at
        return None

    def shift(self, by: int) -> None:
        """The text lost so many characters at its beginning."""
        self.at -= by
        if self.damaged_at is not None:
            self.damaged_at = max(self.damaged_at - by, 0)

    def _ends_at(self, sign: str) -> bool:
        """Whether what surrounds the value goes on with this sign."""
        if sign not in self.ends:
            return False
        return not self._open or (sign in _CLOSES and _CLOSES[sign] not in self._open)

    def _take(self, sign: str, at: int, before: str) -> None:
        if sign == '"':
            self._in_string = True
        elif sign in _CLOSES:
            if not self._open or self._open[-1] != _CLOSES[sign]:
                self._damage(at)
            if _CLOSES[sign] in self._open:
                while self._open.pop() != _CLOSES[sign]:
                    pass
        elif sign != ",":
            if self._open and before not in _BEFORE[self._open[-1]]:
                self._damage(at)
            self._open.append(sign)
        self._last = sign
        self.at = at + 1

    def _string(self, text: str, limit: int) -> bool:
        """Go to the end of the string; False where the text ends first."""
        found = _IN_STRING.search(text, self.at, limit)
        if found is None or (found[0] == "\\" and found.start() + 2 > limit):
            self.at = found.start() if found else limit
            return False
        if found[0] == "\n":
            self._damage(found.start())
        elif found[0] == '"':
            self._in_string, self._last = False, '"'
        self.at = found.start() + (2 if found[0] == "\\" else 1)
        return True

    def _damage(self, at: int) -> None:
        if self.damaged_at is None:
            self.damaged_at = at

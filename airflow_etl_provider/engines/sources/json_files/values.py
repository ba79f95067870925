"""One JSON object as a record: text for scalars as written, JSON for what is nested."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = [
    "UNLIMITED",
    "Json",
    "NotAnObjectError",
    "Record",
    "Unfolding",
    "new_decoder",
    "read_object",
    "record_of",
]

Record = dict[str, "str | None"]

UNLIMITED = 10_000
"""Levels to unfold where no number is given: more than any parser goes down."""

_UNSTORABLE_ESCAPE = "\\u"

_SURROGATE = re.compile("[\ud800-\udfff]")


class NotAnObjectError(ValueError):
    """A record that is no JSON object; the message says why, without a value."""


class _Number(str):
    """A number or truth value with the characters it was written with."""

    __slots__ = ()


class Json(str):
    """An object or array, written as JSON."""

    __slots__ = ()


class Unfolding:
    """How nested objects become fields of their own, named with dots: `customer.city`.

    :param depth: so many levels of objects; what is nested deeper stays JSON.
    :param origins: of names that are known, whether a key with a dot of its own is in them. A name
        of the other origin is another thing, and refused. Without it the names are learned.
    """

    def __init__(self, depth: int, origins: dict[str, bool] | None = None) -> None:
        self.depth = depth
        self.origins: dict[str, bool] = {} if origins is None else origins
        self._learning = origins is None

    def unfold(self, value: dict[str, Any]) -> Record:
        """Give every value its name; an empty object has none to give.

        :raises NotAnObjectError: two things would have one name.
        """
        read: Record = {}
        self._add(value, "", self.depth, read, has_dot=False)
        return read

    def _add(
        self, value: dict[str, Any], prefix: str, depth: int, read: Record, *, has_dot: bool
    ) -> None:
        for key, item in value.items():
            name, dotted = prefix + key, has_dot or "." in key
            if isinstance(item, dict) and depth:
                self._add(item, f"{name}.", depth - 1, read, has_dot=dotted)
                continue
            known = self.origins.get(name, dotted)
            if name in read or known is not dotted:
                raise NotAnObjectError(
                    "Two different values have one name once nested objects are unfolded."
                )
            if self._learning:
                self.origins[name] = dotted
            read[name] = _text(item)


def new_decoder() -> json.JSONDecoder:
    """Make a parser that loses no digit and takes no key twice; one for each reading."""
    return json.JSONDecoder(
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=_refuse_constant,
        object_pairs_hook=_unique,
    )


def read_object(
    line: bytes,
    *,
    decoder: json.JSONDecoder | None = None,
    unfolding: Unfolding | None = None,
    noun: str = "line",
) -> Record:
    """Read one object that stands alone.

    :param noun: what messages call it.
    :raises NotAnObjectError: it is no object, has a key twice, or can't be read.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise NotAnObjectError(f"The {noun} is not valid UTF-8.") from None
    try:
        value = (decoder or new_decoder()).decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise NotAnObjectError(f"{what} at character {error.pos + 1}.") from None
    except RecursionError:
        raise NotAnObjectError(f"The {noun} is nested too deeply.") from None
    return record_of(value, unfolding=unfolding, noun=noun, escapes=_UNSTORABLE_ESCAPE in text)


def record_of(
    value: Any, *, unfolding: Unfolding | None, noun: str = "line", escapes: bool = True
) -> Record:
    """Turn what the parser gave into a record.

    :param escapes: whether the text has escapes that can write what no text column holds.
    :raises NotAnObjectError: it is no object, or has a value that can't be stored.
    """
    if not isinstance(value, dict):
        raise NotAnObjectError(f"The {noun} is no JSON object.")
    try:
        read: Record = (
            unfolding.unfold(value)
            if unfolding
            else {key: _text(item) for key, item in value.items()}
        )
    except RecursionError:
        raise NotAnObjectError(f"The {noun} is nested too deeply.") from None
    if escapes:
        _refuse_unstorable(read)
    return read


def _refuse_constant(name: str) -> Any:
    raise NotAnObjectError(f"{name} is no JSON.")


def _refuse_unstorable(read: Record) -> None:
    """Escapes can write what no text column holds: NUL, and halves of a surrogate pair."""
    for text in (*read, *(value for value in read.values() if value is not None)):
        if "\0" in text:
            raise NotAnObjectError("A text holds a NUL character, which databases can't store.")
        if _SURROGATE.search(text):
            raise NotAnObjectError("A text holds half of a surrogate pair, which is no character.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotAnObjectError("The object has a key twice.")
    return made


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return _Number("true" if value else "false")
    return Json(_nested(value))


def _nested(value: Any) -> str:
    """JSON again, with numbers as they were written."""
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(key, ensure_ascii=False)}: {_nested(item)}" for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_nested, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)

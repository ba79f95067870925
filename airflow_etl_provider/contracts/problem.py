"""What is wrong with something that a person wrote, in words that say where and what is allowed."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

__all__ = [
    "KeyPath",
    "NotYetError",
    "Problem",
    "did_you_mean",
    "found",
    "problems_of",
    "raise_problems",
    "show_path",
]

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys and positions from the root, such as ("rules", 2, "between")."""

BRANCH = "<"
"""Parts of a pydantic location that start so name an alternative, no key of the file."""

EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "is_instance_of": "another kind of value",
}
"""In words of ours, what pydantic wanted."""


class NotYetError(ValueError):
    """Inside a validator: what is written is planned, but not built."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    :param at_key: the key itself is wrong, not its value.
    """

    path: KeyPath
    message: str
    not_yet: bool = False
    at_key: bool = False

    def __str__(self) -> str:
        return f"{show_path(self.path)}: {self.message}" if self.path else self.message


def show_path(path: KeyPath) -> str:
    """Write a path as people do: `rules[2].between`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif re.fullmatch(r"[^\W\d][\w-]*", part):
            shown += f".{part}" if shown else part
        else:
            shown += f"[{part!r}]"
    return shown


def found(value: object) -> str:
    """Say what was found, never more than a few characters of it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str | int | float):
        text = repr(value) if isinstance(value, str) else str(value)
        return text if len(text) <= 60 else f"{text[:56]}..."
    return f"a value of type {type(value).__name__}"


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """Give a half sentence with the nearest allowed words, or nothing."""
    if not isinstance(word, str):
        return ""
    lower = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(word.lower(), lower, n=2, cutoff=0.6)
    return f". Did you mean {' or '.join(repr(lower[name]) for name in close)}?" if close else ""


def problems_of(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Translate what pydantic found, in the order of the keys."""
    return [_problem(model, details) for details in error.errors(include_url=False)]


def raise_problems(
    problems: Sequence[Problem],
    *,
    origin: str,
    locate: Callable[[Problem], str] = lambda _: "",
) -> NoReturn:
    """Report all problems in one error.

    :param origin: what has the problems: a file's name, or "This Pipeline".
    :param locate: gives "line 3, column 5" for a problem, or nothing.
    :raises NotSupportedYetError: when nothing but planned things are asked for.
    :raises SpecificationError: else.
    """
    lines = [", ".join(filter(None, [locate(p), str(p)])) for p in problems]
    kind = NotSupportedYetError if all(p.not_yet for p in problems) else SpecificationError
    if len(lines) == 1:
        message = f"{origin}, {lines[0]}" if locate(problems[0]) else f"{origin}: {lines[0]}"
    else:
        message = f"{origin} has {len(lines)} problems:\n" + "\n".join(f"  - {x}" for x in lines)
    raise kind(message if message[-1] in ".?!" else f"{message}.") from None


def _problem(model: type[BaseModel], details: ErrorDetails) -> Problem:
    path = tuple(p for p in details["loc"] if isinstance(p, int) or not p.startswith(BRANCH))
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _keys(_model_at(model, path[:-1]))
        hint = did_you_mean(path[-1], allowed) or "."
        return Problem(path, f"unknown key{hint} Allowed: {', '.join(allowed)}", at_key=True)
    if kind == "missing":
        return Problem(path, "is missing")
    if kind in ("not_yet", "wrong"):
        return Problem(path, str(context["message"]), not_yet=kind == "not_yet")
    if kind == "value_error":
        cause = context["error"]
        planned = isinstance(cause, NotYetError | NotSupportedYetError)
        return Problem(path, str(cause), not_yet=planned)
    if kind in EXPECTED:
        return Problem(path, f"found {found(value)}; expected {EXPECTED[kind]}")
    return Problem(path, f"found {found(value)}; {details['msg'][:1].lower()}{details['msg'][1:]}")


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Find the model that a path leads to; what is no key of a model leads nowhere."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if (inner := _model_in(part)) is not None:
            return inner
    return None

"""A YAML or JSON text as plain values, with the place of each: nothing hostile gets through.

Stricter than YAML where YAML surprises: no tags, no merge keys, no value left empty, no number that
could be meant as text (`0123`, `1_000`), keys are text. Dates stay text, as JSON has them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.problem import KeyPath, Problem, raise_problems
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

__all__ = ["MAX_BYTES", "Document", "read_document"]

MAX_BYTES = 2 * 2**20
"""A contract of thousands of columns has a tenth of it."""

MAX_VALUES = 200_000
"""Aliases can make a short text mean a huge one; this is what it may mean."""

MAX_DEPTH = 50

_CORE = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+")
_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says, and where: lines and columns count from 1."""

    name: str
    value: Any
    keys: dict[KeyPath, tuple[int, int]]
    values: dict[KeyPath, tuple[int, int]]

    def locate(self, problem: Problem) -> str:
        """Say where a problem stands: "line 3, column 5"."""
        path = problem.path
        if problem.at_key and path in self.keys:
            return _place(self.keys[path])
        while path not in self.values and path:
            path = path[:-1]
        return _place(self.values.get(path, (1, 1)))


def read_document(text: str, *, name: str) -> Document:
    """Read YAML or JSON.

    :param name: what errors call the text: the file's name.
    :raises SpecificationError: it is neither, or holds what is refused; all of it at once.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise SpecificationError(
            f"{name} is larger than {MAX_BYTES // 2**20} MB; that is no pipeline and no contract."
        )
    text = text.removeprefix("\ufeff")
    if name.lower().endswith(".json"):
        _check_json(text, name)
    if _is_json(text):
        # JSON allows tabs anywhere outside text (and none inside), YAML not everywhere.
        text = text.replace("\t", " ")
    reading = _Reading()
    root = _compose(text, name)
    if root is None:
        raise SpecificationError(f"{name} is empty.")
    value = reading.take(root, (), depth=0)
    document = Document(name, value, reading.keys, reading.values)
    if reading.problems:
        raise_problems(reading.problems, origin=name, locate=document.locate)
    return document


def _place(place: tuple[int, int]) -> str:
    return f"line {place[0]}, column {place[1]}"


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _check_json(text: str, name: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecificationError(
            f"{name}, line {error.lineno}, column {error.colno}: no valid JSON: {error.msg}."
        ) from None
    except RecursionError:
        raise SpecificationError(f"{name} nests more than {MAX_DEPTH} deep.") from None


def _compose(text: str, name: str) -> Node | None:
    """Parse without building anything: nodes carry their marks and their tags."""
    import warnings

    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f", {_place((mark.line + 1, mark.column + 1))}"
        words = " ".join(filter(None, [error.context, error.problem]))
        raise SpecificationError(f"{name}{where}: no valid YAML: {words}.") from None
    except YAMLError as error:
        words = str(error).splitlines()[0]
        raise SpecificationError(f"{name}: no valid YAML: {words}.") from None
    except (ValueError, OverflowError, RecursionError) as error:
        # The last for thousands of brackets, the others for escapes such as \U99999999.
        words = "it nests too deep" if isinstance(error, RecursionError) else "a bad escape"
        raise SpecificationError(f"{name}: no valid YAML: {words}.") from None
    return node


@dataclass(slots=True)
class _Reading:
    """Turns nodes into values and collects what is wrong."""

    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def take(self, node: Node, path: KeyPath, *, depth: int) -> Any:
        self.count += 1
        self.values[path] = _start(node)
        if self.count > MAX_VALUES:
            if self.count == MAX_VALUES + 1:
                self._refuse(path[:2], f"more than {MAX_VALUES:,} values (aliases count in full)")
            return None
        if depth > MAX_DEPTH:
            self._refuse(path[:2], f"nests more than {MAX_DEPTH} deep")
            return None
        kind = str(node.tag).removeprefix(_CORE)
        if isinstance(node.value, str):
            return self._scalar(node, kind, path)
        if kind == "seq":
            return [
                self.take(item, (*path, at), depth=depth + 1) for at, item in enumerate(node.value)
            ]
        if kind == "map":
            return self._mapping(node, path, depth=depth)
        self._refuse(path, f"has the tag {str(node.tag)[:60]!r}; tags are not allowed")
        return None

    def _mapping(self, node: Node, path: KeyPath, *, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            line, column = _start(key)
            if not isinstance(key.value, str) or str(key.tag) == f"{_CORE}merge":
                what = "`<<`" if isinstance(key.value, str) else "a list or mapping"
                self._refuse(path, f"line {line}, column {column}: {what} is no key; a key is text")
                continue
            name = _whole(key.value)
            here = (*path, name)
            if name in result:
                message = f"stands twice; it is also at {_place(self.keys[here])}"
                self.keys[here] = (line, column)
                self.problems.append(Problem(here, message, at_key=True))
                continue
            self.keys[here] = (line, column)
            result[name] = self.take(value, here, depth=depth + 1)
        return result

    def _scalar(self, node: Node, kind: str, path: KeyPath) -> Any:
        text: str = node.value
        if kind in ("str", "timestamp"):
            return _whole(text)
        if kind == "null":
            if not text:
                message = "has no value; write one, or null, or remove the key"
                self.problems.append(Problem(path, message, at_key=True))
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind in ("int", "float"):
            return self._number(text, path)
        self._refuse(path, f"has the tag {str(node.tag)[:60]!r}; tags are not allowed")
        return None

    def _number(self, text: str, path: KeyPath) -> int | float | None:
        if not _NUMBER.fullmatch(text):
            self._refuse(path, f"found {text[:40]}; write a plain number, or text in quotes")
            return None
        if len(text) > _DIGITS:
            self._refuse(path, f"found a number of {len(text)} digits; write it in quotes")
            return None
        number = float(text) if set(text) & set(".eE") else int(text)
        if number - number != 0:
            self._refuse(path, "found a number that is too large; write it in quotes")
            return None
        return number

    def _refuse(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(path, message))


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _whole(text: str) -> str:
    """Join the two halves that JSON escapes make of characters such as emoji."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""Whether text is JSON, and whether each of its lines stands alone."""

from __future__ import annotations

import re
from typing import Literal

from airflow_etl_provider.engines.sources.json_files.reading import encoding_of

__all__ = ["json_kind"]

_OBJECT = re.compile(r'\{\s*("|\})')
_DOCUMENT = re.compile(r'\[\s*(\{\s*["}]|\])')
"""An array that begins with an object, or is empty. Others are too much like text in brackets."""


def json_kind(sample: bytes, *, whole: bool, named_json: bool) -> Literal["json", "jsonl"] | None:
    """Tell documents from lines by the beginning of a file; None where it is no JSON.

    :param whole: the sample is all of the file.
    :param named_json: its name ends with `.json`, so that a single line is a document.
    """
    text = sample.decode(encoding_of(sample[:4]), errors="replace").lstrip("\ufeff \t\r\n\x1e")
    if _DOCUMENT.match(text):
        return "json"
    if not _OBJECT.match(text):
        return None
    lines = [line.strip() for line in text.split("\n", 3)]
    if len(lines) == 1 and not whole:
        return "json"
    first, *others = lines[: None if whole else -1]
    if named_json and not any(others):
        return "json"
    alone = first.endswith("}") and all(_OBJECT.match(line) for line in others[:1] if line)
    return "jsonl" if alone else "json"

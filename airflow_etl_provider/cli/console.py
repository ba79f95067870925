"""The two streams of the command: results on stdout, everything for people on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

__all__ = ["Console"]


class Console:
    """Writes results and messages, and survives a reader that went away.

    :param json_wanted: whether the result is asked for as JSON.
    """

    def __init__(self, *, json_wanted: bool = False, debug: bool = False) -> None:
        self.json_wanted = json_wanted
        self.debug = debug

    def result(self, value: Any) -> None:
        """Write one JSON document to stdout."""
        try:
            text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
        except ValueError:
            # JSON knows neither NaN nor infinity, and a strict reader refuses the whole document.
            text = json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)
        self.out(text)

    def out(self, text: str) -> None:
        """Write a line to stdout. Text that the terminal can't show is escaped, never an error."""
        _write(sys.stdout, f"{text}\n")

    def say(self, text: str) -> None:
        """Write a line to stderr."""
        _write(sys.stderr, f"{text}\n")

    @property
    def stderr_is_terminal(self) -> bool:
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _finite(value: Any) -> Any:
    """The same, with numbers that are not finite as text: NaN, Infinity, -Infinity."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(float(value))
    return value


def _write(stream: Any, text: str) -> None:
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # Nobody reads any more (`| head`): what was asked for is done all the same. Python would
        # complain once more when it flushes at exit, so the stream now leads nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

"""The two streams of the command: results on stdout, everything for people on stderr."""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow_etl_provider.engines.strict_json import to_json

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
        self.out(to_json(value, default=str))

    def out(self, text: str) -> None:
        """Write a line to stdout. Text that the terminal can't show is escaped, never an error."""
        _write(sys.stdout, f"{text}\n")

    def say(self, text: str) -> None:
        """Write a line to stderr."""
        _write(sys.stderr, f"{text}\n")

    @property
    def stderr_is_terminal(self) -> bool:
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


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

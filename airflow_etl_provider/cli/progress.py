"""The progress bar, on terminals only."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_etl_provider.engines.batch import Progress

__all__ = ["ProgressBar", "render_bar"]

CLEAR_LINE = "\r\x1b[K"


class ProgressBar:
    """Draws one line over and over, and takes it away at the end.

    :param shown: False draws nothing: stderr is a file or a pipe.
    """

    def __init__(self, *, shown: bool, stream: TextIO | None = None) -> None:
        self._shown = shown
        self._stream = stream or sys.stderr

    def __call__(self, progress: Progress) -> None:
        """Draw how far the run is."""
        if self._shown:
            width = shutil.get_terminal_size().columns
            self._stream.write(CLEAR_LINE + render_bar(progress, width=width))
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._shown:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()


def render_bar(progress: Progress, *, width: int) -> str:
    """Draw a bar, rows, speed and rejects in at most `width` - 1 characters."""
    seconds = max(progress.seconds, 1e-9)
    facts = (
        f" {progress.rows_read:,} rows  {progress.bytes_read / 1e6:,.0f} MB  "
        f"{progress.rows_read / seconds:,.0f} rows/s  {progress.rows_rejected:,} rejected"
    )
    head = f"{progress.stage} "
    if progress.bytes_total:
        share = min(progress.bytes_read / progress.bytes_total, 1.0)
        room = max(min(width - len(head) - len(facts) - 9, 40), 0)
        full = round(share * room)
        bar = f"[{'#' * full}{'.' * (room - full)}] " if room >= 5 else ""
        head = f"{head}{bar}{share:4.0%}"
    return (head + facts)[: max(width - 1, 0)]

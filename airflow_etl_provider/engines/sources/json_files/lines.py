"""JSON lines: every line that is not blank is a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.json_files import reading
from airflow_etl_provider.engines.sources.json_files.reading import Fault
from airflow_etl_provider.engines.sources.json_files.values import (
    NotAnObjectError,
    new_decoder,
    read_object,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from airflow_etl_provider.engines.sources.json_files.reading import Reading
    from airflow_etl_provider.engines.sources.json_files.values import Unfolding

__all__ = ["read_lines"]


def read_lines(stream: BinaryIO, *, unfolding: Unfolding | None = None) -> Iterator[Reading]:
    """Read the records of a stream of UTF-8."""
    decoder, longest = new_decoder(), reading.MAX_RECORD
    for number, line, too_long in _lines(stream, longest):
        if not line.strip():
            continue
        try:
            if too_long:
                raise NotAnObjectError(f"The line is longer than {longest} bytes.")
            record = read_object(line, decoder=decoder, unfolding=unfolding)
        except NotAnObjectError as error:
            code = "too_long" if too_long else "not_json"
            yield None, len(line), Fault(number, line.rstrip(b"\r\n"), code, str(error))
        else:
            yield record, len(line), None


def _lines(stream: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, bool]]:
    """Physical lines with their numbers; of one that is too long, only the beginning."""
    number, first = 0, True
    while line := stream.readline(longest + 1):
        number += 1
        too_long = len(line) > longest
        rest = line
        while too_long and not rest.endswith(b"\n"):
            rest = stream.readline(longest)
            if not rest:
                break
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        yield number, line, too_long

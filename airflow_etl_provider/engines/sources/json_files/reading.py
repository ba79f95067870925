"""What both ways of reading JSON give: records one after the other, good ones and broken ones."""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.json_files.values import Record

__all__ = ["MAX_RECORD", "Fault", "Reading", "as_utf8", "encoding_of"]

MAX_RECORD = 16 * 2**20
"""A longer record is rejected, so that no file can fill the memory."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record is none, where it begins, and its bytes."""

    line: int
    raw: bytes
    code: str
    message: str


Reading = tuple["Record | None", int, Fault | None]
"""A record or what is wrong with it, and its size in bytes or characters."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_ZEROS = {
    b"\0\0\0x": "utf-32-be",
    b"x\0\0\0": "utf-32-le",
    b"\0x\0x": "utf-16-be",
    b"x\0x\0": "utf-16-le",
}


def encoding_of(start: bytes) -> str:
    """Tell the encoding by a byte order mark or by the zeros between ASCII signs; else UTF-8."""
    for mark, codec in _MARKS:
        if start.startswith(mark):
            return codec
    return _ZEROS.get(bytes(byte and 0x78 for byte in start[:4]), "utf-8")


def as_utf8(stream: BinaryIO, encoding: str) -> BinaryIO:
    """The same text in UTF-8; what is invalid in the encoding is invalid in UTF-8 too."""
    if codecs.lookup(encoding).name in ("utf-8", "ascii"):
        return stream
    return cast("BinaryIO", io.BufferedReader(_Reencoded(stream, encoding), 2**18))


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udc80", error.end


codecs.register_error("etl_mark_invalid", _mark_invalid)


class _Reencoded(io.RawIOBase):
    """Bytes of another encoding, read as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("etl_mark_invalid")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            data = self._stream.read(2**18)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
            self._ready = text.encode("utf-8", "surrogatepass")
        taken = self._ready[: len(into)]
        into[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

"""Zstandard (RFC 8878) as a stream that can be sought, over Arrow's decoder."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["open_zstd"]

BUFFER = 2**18


def open_zstd(packed: BinaryIO) -> BinaryIO:
    """The unpacked bytes of all frames; going back means beginning anew, as with gzip.

    :raises OSError: while reading, without an `errno`, when the stream is damaged or cut off.
    """
    return cast("BinaryIO", io.BufferedReader(_ZstdReader(packed), BUFFER))


class _ZstdReader(io.RawIOBase):
    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._at = 0
        self._stream = self._begin()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("The end of a packed stream is not known.")
        wanted = offset + (self._at if whence == io.SEEK_CUR else 0)
        if wanted < self._at:
            self._packed.seek(0)
            self._stream, self._at = self._begin(), 0
        while self._at < wanted:
            passed = len(self._stream.read(min(BUFFER, wanted - self._at)))
            if not passed:
                break
            self._at += passed
        return self._at

    def _begin(self) -> pa.CompressedInputStream:
        import pyarrow as pa

        return pa.CompressedInputStream(_Open(self._packed), "zstd")


class _Open(io.RawIOBase):
    """Keeps Arrow, which closes what it reads, from closing the file below."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

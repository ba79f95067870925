"""Which encoding a file is written in: byte order marks first, then what the bytes allow."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Encoding", "detect_encoding"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_ISOLATED = ("cp1252", "cp1250", "cp1254", "cp1257", "cp850", "mac_roman")
"""Encodings whose texts are ASCII with single accented letters; earlier ones win a tie."""

_FOREIGN = (
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", "cp866",
    "shift_jis", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp949",
)  # fmt: skip
"""Encodings of other scripts: words of bytes above ASCII."""

_SYMBOLS = frozenset("£€¥¢°–—‘’“”„‚•…©®™½¼¾²³µ§«»·\xa0¿¡ªº×±´†‡‰¹¬¦¨¸÷¤¶")  # noqa: RUF001

_EVIDENCE = 20_000
"""Bytes around the first characters above ASCII that are looked at: more changes no verdict."""

_HIGH_RUN = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec, the length of the byte order mark, and how sure that is (0 to 1)."""

    codec: str
    bom_length: int
    confidence: float


def detect_encoding(sample: bytes, *, whole: bool) -> Encoding:
    """Name the encoding of a file from its beginning.

    :param whole: the sample is all of the file; otherwise it may end inside a character.
    """
    for mark, codec in _MARKS:
        if sample.startswith(mark):
            return Encoding(codec, len(mark), 1.0)
    wide = _wide(sample)
    if wide is not None:
        return wide
    if sample.isascii():
        return Encoding("utf-8", 0, 1.0 if whole else 0.95)
    good, bad = _count_utf8(sample, whole=whole)
    if not bad:
        return Encoding("utf-8", 0, 1.0 if good > 2 else 0.95)
    if good >= 4 * bad:
        return Encoding("utf-8", 0, 0.8)
    return _legacy(sample, whole=whole)


def _wide(sample: bytes) -> Encoding | None:
    """UTF-16 without a mark: line feeds and ASCII leave zeros in every other byte."""
    head = sample[: 64 * 1024]
    pairs = len(head) // 2
    if pairs < 2 or b"\0" not in head:
        return None
    even, odd = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    for codec, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        breaks = sum(mark.encode(codec) in head for mark in ("\n", "\r", ",", ";", "\t", " "))
        mostly = zeros > 0.4 * pairs
        if not (mostly or (breaks >= 2 and zeros > 0.02 * pairs)) or others > 0.1 * zeros:
            continue
        text = head[: 2 * pairs].decode(codec, errors="replace")
        if text.count("\ufffd") <= len(text) // 100:
            return Encoding(codec, 0, 0.95 if mostly else 0.8)
    return None


def _count_utf8(sample: bytes, *, whole: bool) -> tuple[int, int]:
    """Characters above ASCII that are valid UTF-8, and places where it is invalid."""
    if not whole:
        sample = _without_cut_character(sample)
    try:
        return len(_not_ascii(sample.decode("utf-8"))), 0
    except UnicodeDecodeError:
        text = sample.decode("utf-8", errors="replace")
        genuine = sample.count("\ufffd".encode())
        bad = text.count("\ufffd") - genuine
        return len(_not_ascii(text)) - bad, bad


def _not_ascii(text: str) -> list[str]:
    return re.findall(r"[^\x00-\x7f]", text)


def _without_cut_character(sample: bytes) -> bytes:
    for back in range(1, min(4, len(sample) + 1)):
        byte = sample[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return sample[:-back] if back < length else sample
        if byte < 0x80:
            break
    return sample


def _legacy(sample: bytes, *, whole: bool) -> Encoding:
    """An encoding from before Unicode, or damaged UTF-8 when none makes sense of the bytes."""
    excerpt = _around_high_bytes(sample)
    runs = [len(run) for run in _HIGH_RUN.findall(excerpt)]
    in_words = sum(length for length in runs if length >= 3)
    letters = len(re.findall(rb"[A-Za-z]", excerpt))
    few = sum(runs) < 4
    if not few and (in_words > 0.5 * sum(runs) or sum(runs) > 0.7 * letters):
        foreign = _foreign(excerpt)
        if foreign is not None:
            return foreign
    scores = {codec: _plausibility(excerpt, codec) for codec in _ISOLATED}
    if not re.search(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]", excerpt):
        scores = {"cp1252": scores["cp1252"]}
    best = max(scores, key=lambda codec: scores[codec] - 0.02 * _ISOLATED.index(codec))
    if scores[best] < 0.5:
        foreign = None if few else _foreign(excerpt)
        return foreign or Encoding("utf-8", 0, 0.3)
    confidence = round(0.9 * scores[best], 2)
    if best == "cp1252" and _is_turkish(excerpt):
        best = "cp1254"
    if best == "cp1252" and whole and not re.search(rb"[\x80-\x9f]", sample):
        best = "latin-1"
    return Encoding(best, 0, confidence)


def _is_turkish(excerpt: bytes) -> bool:
    """Letters where Turkish and Icelandic share a place, and only Turkish ones beside them."""
    letters = set(_not_ascii(excerpt.decode("cp1254", errors="replace"))) - _SYMBOLS
    return bool(letters & set("ğışİŞĞ")) and letters <= set("çğıöşüâîûÇĞİÖŞÜÂÎÛ")


def _around_high_bytes(sample: bytes) -> bytes:
    """Lines that have bytes above ASCII, as many as are needed."""
    lines, size = [], 0
    for line in re.split(rb"[\r\n]+", sample):
        if not line.isascii():
            lines.append(line[:4096])
            size += len(lines[-1])
            if size > _EVIDENCE:
                break
    return b"\n".join(lines)


def _foreign(excerpt: bytes) -> Encoding | None:
    from charset_normalizer import from_bytes

    matches = from_bytes(
        excerpt[:_EVIDENCE], cp_isolation=list(_FOREIGN), preemptive_behaviour=False, threshold=0.4
    )
    best = matches.best()
    if best is None:
        return None
    return Encoding(best.encoding, 0, round(max(0.5, 0.9 - best.chaos), 2))


def _plausibility(excerpt: bytes, codec: str) -> float:
    """The share of characters above ASCII that stand where such a character would.

    A letter stands beside a letter; a sign or a symbol does not stand inside a word.
    """
    text = excerpt.decode(codec, errors="replace")
    fine = total = 0
    for match in re.finditer(r"[^\x00-\x7f]", text):
        at, char = match.start(), match[0]
        before = text[at - 1] if at else " "
        after = text[at + 1] if at + 1 < len(text) else " "
        total += 1
        inside = before.isalpha() and after.isalpha() and not after.isupper()
        if char.isalpha() and char not in _SYMBOLS:
            beside = before.isalpha() or after.isalpha()
            shouts = char.isupper() and before.islower()
            fine += beside and not shouts
        elif char in _SYMBOLS:
            fine += not inside or char in "’‘·´\xa0"  # noqa: RUF001
        elif unicodedata.category(char) in ("Sc", "Pi", "Pf", "Zs"):
            fine += not inside
    return fine / total if total else 0.0

"""Conversions of dates, times and durations."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, field_validator

from airflow_etl_provider.contracts.conversions.base import (
    INT64,
    NUMBERS,
    STRING,
    Conversion,
    Example,
    Texts,
)
from airflow_etl_provider.contracts.problem import did_you_mean
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import SpecificationError

__all__ = [
    "DatePart",
    "DateTrunc",
    "FormatDate",
    "FromEpoch",
    "ParseDate",
    "ParseDuration",
    "ParseTime",
    "ParseTimestamp",
    "ToTimezone",
]

DATE = LogicalType("date")
TIME = LogicalType("time")
TIMESTAMP = LogicalType("timestamp")
TIMESTAMPTZ = LogicalType("timestamptz")
DURATION = LogicalType("duration")
_TEXT: frozenset[Kind] = frozenset(("string",))
_CLOCK_AND_CALENDAR: frozenset[Kind] = frozenset(("date", "timestamp"))

_DATE_DIRECTIVES = frozenset("YymdbBaAj")
_TIME_DIRECTIVES = frozenset("HIMSfp")
_DIRECTIVE = re.compile(r"%(-?.)", re.DOTALL)


def directives(format: str) -> list[str]:
    """List the letters of a strptime format, `%%` left out; `%-d` counts as `d`."""
    return [d.lstrip("-") for d in _DIRECTIVE.findall(format) if d != "%"]


def _check_format(format: str, *, allowed: frozenset[str], what: str) -> None:
    used = directives(format)
    if _DIRECTIVE.sub("", format).count("%") or not used:
        raise ValueError(f"{format!r} is no format; write it like {what}")
    for letter in used:
        if letter not in allowed:
            known = " ".join(f"%{known}" for known in sorted(allowed))
            raise ValueError(f"{format!r} has %{letter}; allowed for {what}: {known}")
        if used.count(letter) > 1:
            raise ValueError(f"{format!r} has %{letter} twice")


def _check_date(format: str) -> None:
    used = set(directives(format))
    if len(used & {"Y", "y"}) != 1 or not (
        "j" in used or ("d" in used and len(used & {"m", "b", "B"}) == 1)
    ):
        raise ValueError(f"{format!r} does not say year, month and day once each")


def _check_time(format: str) -> None:
    used = set(directives(format))
    if ("H" in used) == ("I" in used) or ("I" in used) != ("p" in used):
        raise ValueError(f"{format!r} needs the hour as %H, or as %I with %p")


def _check_zone(name: str | None) -> str | None:
    import zoneinfo

    known = zoneinfo.available_timezones()
    # A machine without a time zone database leaves the check to the engine.
    if name is None or not known or name in known:
        return name
    raise ValueError(
        f"{name!r} is no time zone; write it like Europe/Berlin or UTC{did_you_mean(name, known)}"
    )


Zone = Annotated[str, AfterValidator(_check_zone)]
"""A time zone by its IANA name."""


class ParseDate(Conversion):
    """Read a date by formats, tried in order; surrounding blanks are allowed.

    :param formats: as Python's strptime has them; day and month may have one digit, the year has
        all four (`%Y`) or two (`%y`, where 69 to 99 is the last century), names are English.
    """

    name: ClassVar[str] = "parse_date"
    primary: ClassVar[str | None] = "formats"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT
    example: ClassVar[Example] = Example(
        {"parse_date": ["%d/%m/%Y", "%Y-%m-%d"]},
        ("string",),
        ("31/12/2024",),
        "date",
        date(2024, 12, 31),
    )

    formats: Texts = ("%Y-%m-%d",)

    @field_validator("formats")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for format in _some(value):
            _check_format(format, allowed=_DATE_DIRECTIVES, what="dates, %d/%m/%Y")
            _check_date(format)
        return value

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return DATE


class ParseTimestamp(Conversion):
    """Read a date with a time by formats, tried in order; surrounding blanks are allowed.

    Makes a timestamptz where a time zone is known (by `timezone`, or by `%z` in every format, which
    reads +02:00, +0200 and Z), else a timestamp.

    :param formats: as Python's strptime has them; without any, ISO 8601.
    :param timezone: texts without an offset are local time there.
    :param ambiguous: which one is meant by an hour that a change of clocks repeats.
    :param nonexistent: what becomes of an hour that a change of clocks skips; `shift` moves it
        forward by what was skipped.
    """

    name: ClassVar[str] = "parse_timestamp"
    primary: ClassVar[str | None] = "formats"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT
    example: ClassVar[Example] = Example(
        {"parse_timestamp": {"formats": ["%d/%m/%Y %H:%M"], "timezone": "Europe/Berlin"}},
        ("string",),
        ("31/12/2024 10:30",),
        "timestamptz",
        "2024-12-31T09:30:00+00:00",
    )

    formats: Texts = ()
    timezone: Zone | None = None
    ambiguous: Literal["earlier", "later", "reject"] = "earlier"
    nonexistent: Literal["reject", "shift"] = "reject"

    @field_validator("formats")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for format in value:
            allowed = _DATE_DIRECTIVES | _TIME_DIRECTIVES | {"z"}
            _check_format(format, allowed=allowed, what="timestamps, %Y-%m-%d %H:%M:%S")
            _check_date(format)
            if set(directives(format)) & _TIME_DIRECTIVES:
                _check_time(format)
        return value

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        if self.timezone is not None:
            return TIMESTAMPTZ
        offsets = {"z" in directives(format) for format in self.formats}
        if offsets == {True, False}:
            raise SpecificationError(
                "parse_timestamp has formats with and without an offset (%z); add the timezone "
                "that is meant where there is none."
            )
        if offsets:
            has_offset = offsets == {True}
        else:
            has_offset = target.kind == "timestamptz"
        if target.kind == "timestamptz" and not has_offset:
            raise SpecificationError(
                "parse_timestamp can't know the instant of a local time: add the timezone, such as "
                "Europe/Berlin or UTC."
            )
        return TIMESTAMPTZ if has_offset else TIMESTAMP


class ParseTime(Conversion):
    """Read a time of day by formats, tried in order; surrounding blanks are allowed.

    `%H%M` and `%H%M%S` take numbers as well, and their digits from the right: 517 is 05:17, 5 is
    00:05. With them 2400 is 00:00, the midnight at which the day ends; its date is not changed.

    :param formats: as Python's strptime has them.
    """

    name: ClassVar[str] = "parse_time"
    primary: ClassVar[str | None] = "formats"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("string", "int16", "int32", "int64"))
    example: ClassVar[Example] = Example(
        {"parse_time": "%H%M"}, ("int64",), (517,), "time", time(5, 17)
    )

    formats: Texts = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M")

    @field_validator("formats")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for format in _some(value):
            _check_format(format, allowed=_TIME_DIRECTIVES, what="times, %H:%M:%S")
            _check_time(format)
        return value

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        if inputs[0].is_integer and not set(self.formats) <= {"%H%M", "%H%M%S"}:
            raise SpecificationError(
                "parse_time reads whole numbers only by %H%M or %H%M%S; make them text for others."
            )
        return TIME


class ParseDuration(Conversion):
    """Read a length of time: ISO 8601 (`P1DT2H30M`), a clock (`26:30:00`), or a number of a unit.

    Weeks, days, hours, minutes and seconds have a fixed length here; months and years are rejects.

    :param unit: of values that are plain numbers; without it those are rejects.
    """

    name: ClassVar[str] = "parse_duration"
    primary: ClassVar[str | None] = "unit"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT | NUMBERS
    example: ClassVar[Example] = Example(
        "parse_duration", ("string",), ("PT1H30M",), "duration", timedelta(hours=1, minutes=30)
    )

    unit: (
        Literal["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"]
        | None
    ) = None

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        if inputs[0].is_number and self.unit is None:
            raise SpecificationError("parse_duration of numbers needs their unit, such as seconds.")
        return DURATION


class FromEpoch(Conversion):
    """Make an instant of a number of seconds (or ms, us, ns) since 1970 in UTC.

    For a target of type timestamp or date it is what a clock in UTC shows.

    :param round: cut off what is finer than a microsecond, instead of rejecting.
    """

    name: ClassVar[str] = "from_epoch"
    primary: ClassVar[str | None] = "unit"
    takes: ClassVar[frozenset[Kind] | None] = NUMBERS
    example: ClassVar[Example] = Example(
        {"from_epoch": "ms"},
        ("int64",),
        (1735689600000,),
        "timestamptz",
        "2025-01-01T00:00:00+00:00",
    )

    unit: Literal["s", "ms", "us", "ns"] = "s"
    round: bool = False

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return TIMESTAMP if target.kind in ("timestamp", "date") else TIMESTAMPTZ


class ToTimezone(Conversion):
    """Go between instants and what a clock shows, as SQL's AT TIME ZONE does.

    A timestamptz becomes the timestamp that a clock in the zone shows; a timestamp is taken as
    local time of the zone and becomes a timestamptz.

    :param ambiguous: which instant is meant by an hour that a change of clocks repeats.
    :param nonexistent: what becomes of an hour that a change of clocks skips.
    """

    name: ClassVar[str] = "to_timezone"
    primary: ClassVar[str | None] = "timezone"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("timestamp", "timestamptz"))
    example: ClassVar[Example] = Example(
        {"to_timezone": "Europe/Berlin"},
        ("timestamptz",),
        ("2024-07-01T10:00:00+00:00",),
        "timestamp",
        "2024-07-01T12:00:00",
    )

    timezone: Zone
    ambiguous: Literal["earlier", "later", "reject"] = "earlier"
    nonexistent: Literal["reject", "shift"] = "reject"

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return TIMESTAMP if inputs[0].kind == "timestamptz" else TIMESTAMPTZ


class _OfLocalTime(Conversion):
    """Takes what a clock and a calendar show; the date of an instant depends on the zone."""

    takes: ClassVar[frozenset[Kind] | None] = _CLOCK_AND_CALENDAR

    def check_inputs(self, inputs: tuple[LogicalType, ...]) -> None:
        if any(given.kind == "timestamptz" for given in inputs):
            raise SpecificationError(
                f"{self.name} of a timestamptz depends on the time zone: use to_timezone first."
            )
        super().check_inputs(inputs)


class DateTrunc(_OfLocalTime):
    """Go back to the start of the year, quarter, month, week (Monday), day, hour, ..."""

    name: ClassVar[str] = "date_trunc"
    primary: ClassVar[str | None] = "unit"
    example: ClassVar[Example] = Example(
        {"date_trunc": "month"}, ("date",), (date(2024, 2, 29),), "date", date(2024, 2, 1)
    )

    unit: Literal["year", "quarter", "month", "week", "day", "hour", "minute", "second"]

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


class DatePart(_OfLocalTime):
    """Take a part as a number; week and isoyear by ISO 8601, isodow 1 is Monday."""

    name: ClassVar[str] = "date_part"
    primary: ClassVar[str | None] = "part"
    takes: ClassVar[frozenset[Kind] | None] = _CLOCK_AND_CALENDAR | {"time"}
    example: ClassVar[Example] = Example(
        {"date_part": "year"}, ("date",), (date(2024, 2, 29),), "int64", 2024
    )

    part: Literal[
        "year",
        "isoyear",
        "quarter",
        "month",
        "week",
        "day",
        "doy",
        "isodow",
        "hour",
        "minute",
        "second",
    ]

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        if inputs[0].kind == "time" and self.part not in ("hour", "minute", "second"):
            raise SpecificationError(f"date_part {self.part} takes date or timestamp, not time.")
        return INT64


class FormatDate(_OfLocalTime):
    """Write a date or timestamp by a format of Python's strftime; names are English."""

    name: ClassVar[str] = "format_date"
    primary: ClassVar[str | None] = "format"
    example: ClassVar[Example] = Example(
        {"format_date": "%d.%m.%Y"}, ("date",), (date(2024, 2, 29),), "string", "29.02.2024"
    )

    format: str = "%Y-%m-%d"

    @field_validator("format")
    @classmethod
    def _writable(cls, value: str) -> str:
        for letter in directives(value):
            if letter not in "YymdbBaAjHIMSfpuwUWGV":
                raise ValueError(f"{value!r} has %{letter}, which is not supported")
        if _DIRECTIVE.sub("", value).count("%"):
            raise ValueError(f"{value!r} is no format; write it like %d.%m.%Y")
        return value

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return STRING


def _some(formats: tuple[str, ...]) -> tuple[str, ...]:
    if not formats:
        raise ValueError("is empty; write at least one format")
    return formats

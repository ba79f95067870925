"""What PostgreSQL and its driver refuse, as errors of ours, without a value of any row.

DETAIL and CONTEXT quote rows, and so do primary messages of the data classes. Only codes and names
are kept: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_etl_provider.exceptions import (
    TargetAuthError,
    TargetDataError,
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["DriverError", "StreamError", "translate_connect_error", "translate_error"]


class DriverError(Protocol):
    """The parts of an ADBC error that are read."""

    sqlstate: str | None
    details: Any


@dataclass(slots=True)
class StreamError:
    """What is left of a driver's error that came through Arrow: a text that holds its code."""

    sqlstate: str | None
    details: Any = ()

    @classmethod
    def of(cls, error: BaseException) -> StreamError:
        found = re.search(r"SQLSTATE[: ]+([0-9A-Z]{5})", str(error))
        return cls(found[1] if found else None)


_BY_CODE: dict[str, type[TargetError]] = {
    "25006": TargetPermissionError,
    "3D000": TargetMissingError,
    "3F000": TargetMissingError,
    "42501": TargetPermissionError,
    "42P01": TargetMissingError,
    "55000": TargetSchemaError,
    "0A000": TargetSchemaError,
}
_BY_CLASS: dict[str, type[TargetError]] = {
    "08": TargetUnavailableError,
    "21": TargetDataError,
    "22": TargetDataError,
    "23": TargetDataError,
    "28": TargetAuthError,
    "40": TargetUnavailableError,
    "42": TargetSchemaError,
    "44": TargetDataError,
    "53": TargetUnavailableError,
    "54": TargetDataError,
    "55": TargetUnavailableError,
    "57": TargetUnavailableError,
    "58": TargetUnavailableError,
    "P0": TargetDataError,
}

_SPEAKING = frozenset({"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"})
"""Classes whose primary message names objects and limits, never a value."""

_WORDS = {
    "21000": "a key occurs twice in one load",
    "22001": "a text is longer than its column",
    "22003": "a number is out of the range of its column",
    "22007": "a date or time can't be read",
    "22008": "a date or time is out of PostgreSQL's range",
    "22021": "a text holds a NUL character or bytes that are no UTF-8",
    "22030": "a JSON object has a key twice",
    "22P02": "a text can't be read as the type of its column",
    "22P03": "the column takes another binary format",
    "22P05": "a text holds a NUL character or one that the database's encoding lacks",
    "23502": "a value is missing in a column that is not null",
    "23503": "a foreign key does not hold",
    "23505": "a key that must be unique is there already",
    "23514": "a check constraint does not hold, or no partition takes the row",
    "23P01": "an exclusion constraint does not hold",
}
_UNSTORABLE = (
    "Find such values (in JSON, NUL is written \\u0000) and replace them by a conversion "
    "(`replace`), or exclude the rows by a rule."
)
_HINTS = {
    "22021": _UNSTORABLE,
    "22P05": _UNSTORABLE,
    "23503": "Load the referenced table first, or use merge where replaced rows are referenced.",
    "23505": "Use mode merge with this key, or a rule `unique` that quarantines the rows.",
    "25006": "This server or session is read-only: connect to the primary.",
    "40001": "Running again may succeed.",
    "40P01": "Running again may succeed.",
    "42501": "GRANT this role what the message names, or use another connection.",
    "53100": "The server's disk is full.",
    "55P03": "Another transaction holds the table longer than lock_timeout.",
    "54001": "Such values nest too deep: exclude the rows by a rule, or raise max_stack_depth.",
    "57014": "The statement ran longer than statement_timeout, or was cancelled.",
}

_COPY_CONTEXT = re.compile(r"^COPY .*, line \d+, column (.+?)(?:: .*)?$", re.MULTILINE)


def translate_error(
    error: DriverError, *, doing: str, where: str, columns: Collection[str] = ()
) -> TargetError:
    """Make an error of ours of a driver's; raise it outside the handler, so that none is chained.

    :param doing: what was refused, after "PostgreSQL refused ": "the rows for", "to commit on".
    :param columns: names that a message may repeat.
    """
    details = _details(error)
    state = details.get("SQLSTATE") or error.sqlstate
    if not state:
        was = "was" if doing.startswith("to ") else "handled"
        return TargetUnavailableError(
            f"The connection was lost while PostgreSQL {was} {doing} {where}.",
            hint="Nothing of this load was published unless its ledger row says so; "
            "running again is safe.",
        )
    words = _WORDS.get(state)
    if words is None and state[:2] in _SPEAKING:
        words = details.get("MESSAGE_PRIMARY")
    named = [
        f"{label} {details[key]!r}"
        for label, key in (
            ("column", "COLUMN_NAME"),
            ("constraint", "CONSTRAINT_NAME"),
            ("table", "TABLE_NAME"),
        )
        if details.get(key)
    ]
    context = _COPY_CONTEXT.search(details.get("CONTEXT", ""))
    if context and context[1] in columns and "COLUMN_NAME" not in details:
        named.insert(0, f"column {context[1]!r}")
    message = f"PostgreSQL refused {doing} {where}"
    message += f": {words}" if words else ""
    message += f" ({', '.join([*named, f'SQLSTATE {state}'])})."
    kind = _BY_CODE.get(state) or _BY_CLASS.get(state[:2]) or TargetError
    return kind(message, hint=_HINTS.get(state))


_CONNECT: tuple[tuple[re.Pattern[str], type[TargetError], str], ...] = (
    (
        re.compile(r"password authentication failed|no password supplied|Peer authentication failed"
                   r"|no pg_hba.conf entry|role \"[^\"]*\" (?:does not exist|is not permitted)"
                   r"|authentication failed|certificate authentication"),
        TargetAuthError,
        "Check login and password of the connection, and the server's pg_hba.conf.",
    ),
    (
        re.compile(r"database \".*\" does not exist"),
        TargetMissingError,
        "Create the database, or name another in the connection (field `schema`).",
    ),
    (
        re.compile(r"permission denied for database"),
        TargetPermissionError,
        "GRANT CONNECT on the database to this role.",
    ),
)  # fmt: skip


def translate_connect_error(text: str, *, where: str, secrets: Collection[str]) -> TargetError:
    """Make an error of ours of a failed connect, for which the driver gives words but no code.

    :param secrets: what must not be repeated.
    """
    words = text.partition("Failed to connect:")[2].strip() or "no connection"
    words = words.splitlines()[0]
    for secret in secrets:
        words = words.replace(secret, "***") if secret else words
    for pattern, kind, hint in _CONNECT:
        if pattern.search(text):
            return kind(f"{where} refused the login: {words}.", hint=hint)
    return TargetUnavailableError(
        f"{where} can't be reached: {words}.",
        hint="Check host, port and sslmode of the connection, and that the server runs.",
    )


def _details(error: DriverError) -> dict[str, str]:
    found = {}
    for key, value in error.details or ():
        name = key.decode() if isinstance(key, bytes) else key
        found[name.removeprefix("PG_DIAG_")] = value.decode("utf-8", "replace")
    return found

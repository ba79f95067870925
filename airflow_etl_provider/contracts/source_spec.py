"""The source of a pipeline, as a person writes it."""

from __future__ import annotations

import codecs
import hashlib
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from airflow_etl_provider.contracts.incremental import Incremental
from airflow_etl_provider.contracts.problem import NotYetError, found
from airflow_etl_provider.contracts.spec import Faults, Spec, Text, Words

__all__ = ["DELIMITED_ONLY", "Dialect", "Format", "Incremental", "SourceSpec"]

Format = Literal["csv", "jsonl", "json", "parquet"]

_MARK_SCHEMA: dict[str, Any] = {"type": "string", "maxLength": 1, "pattern": r"^[^\r\n]?$"}


def _read_mark(value: object) -> str:
    if not isinstance(value, str) or len(value) > 1 or value in ("\r", "\n"):
        raise ValueError(f'found {found(value)}; expected one character, or "" for none')
    return value


def _read_separator(value: object) -> str:
    if not isinstance(value, str) or not value or "\n" in value or "\r" in value:
        raise ValueError(
            f"found {found(value)}; expected the characters between two fields, such as ; or a tab"
        )
    return value


def _read_comment(value: object) -> str:
    if not isinstance(value, str) or "\n" in value or "\r" in value:
        raise ValueError(f'found {found(value)}; expected how a comment begins, or "" for none')
    return value


_Mark = Annotated[str, BeforeValidator(_read_mark), WithJsonSchema(_MARK_SCHEMA)]
_Separator = Annotated[
    str,
    BeforeValidator(_read_separator),
    WithJsonSchema({"type": "string", "pattern": r"^[^\r\n]+$"}),
]
_Comment = Annotated[
    str,
    BeforeValidator(_read_comment),
    WithJsonSchema({"type": "string", "pattern": r"^[^\r\n]*$"}),
]
_Count = Annotated[int, Field(strict=True, ge=0)]


class Dialect(Spec):
    """How a delimited file is written; what is None is sniffed.

    `quote` and `escape` may be "" for none. `header_rows` 0 means there is no header.
    """

    delimiter: Annotated[
        _Separator | None, Field(description='What separates two fields: ";", "\\t", "||".')
    ] = None
    quote: Annotated[
        _Mark | None, Field(description='What surrounds a quoted field; "" for no quoting.')
    ] = None
    escape: Annotated[
        _Mark | None,
        Field(description='What escapes a quote inside quotes; "" where it is doubled.'),
    ] = None
    comment: Annotated[
        _Comment | None, Field(description='Lines that begin so are no records; "" for none.')
    ] = None
    skip_rows: Annotated[
        _Count | None, Field(description="Lines of a preamble before the header.")
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> Dialect:
        if self.delimiter is not None and self.delimiter in (self.quote, self.escape, self.comment):
            raise ValueError("delimiter is also the quote, escape or comment character")
        return self


def _name_of_query(text: str) -> str:
    """Name a query, the same as long as its text is but for spaces."""
    digest = hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass"))
    return f"query-{digest.hexdigest()[:8]}"


def _not_yet(_: str) -> str:
    raise NotYetError("is not supported yet; read files by `location`, or a `table`")


_NotYet = Annotated[Text, AfterValidator(_not_yet), WithJsonSchema({"not": {}})]


def _check_encoding(name: str) -> str:
    try:
        text = codecs.lookup(name)._is_text_encoding  # noqa: SLF001
    except LookupError:
        text = False
    if not text:
        raise ValueError(
            f"found {found(name)}; expected an encoding such as utf-8, utf-16, latin-1, cp1252"
        )
    return name


def _read_null_values(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else (value,)
    for item in items:
        if not isinstance(item, str):
            hint = "" if item is None else "; write it in quotes"
            raise ValueError(  # noqa: TRY004 - pydantic takes no TypeError
                f"found {found(item)}; expected text as it stands in the file{hint}"
            )
    return tuple(dict.fromkeys(items))


_NullValues = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_null_values),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]

_RECORD_PATH = re.compile(r'\$((?:\.[\w-]+|\."[^"\\]+")*)(?:\[\*\])?')
_PATH_KEY = re.compile(r'\.(?:([\w-]+)|"([^"\\]+)")')


def _check_record_path(path: str) -> str:
    if not _RECORD_PATH.fullmatch(path):
        raise ValueError(
            f"found {found(path)}; expected the keys on the way to the records, such as "
            '$.data.items or $."a key".items'
        )
    return path


def _read_flatten(value: object) -> bool | int:
    if isinstance(value, bool) or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError(
        f"found {found(value)}; expected true, false or how many levels of objects (1, 2, ...)"
    )


DELIMITED_ONLY = ("dialect", "header_rows", "null_values")
"""Keys that mean nothing for files that are no delimited text."""

JSON_ONLY = ("records", "flatten")
"""Keys that mean nothing for files that are no JSON."""


class SourceSpec(Spec):
    """Where the data comes from: `location` (path, glob or URL), `table`, `query` or `topic`."""

    connection: Annotated[
        Text | None,
        Field(description="An Airflow connection; absent for a plain path or URL."),
    ] = None
    location: Annotated[
        Text | None,
        Field(description="A file, a folder's pattern (exports/*.csv.gz) or a URL."),
    ] = None
    table: Annotated[
        Text | None,
        Field(
            description="table or schema.table of the connection's database: PostgreSQL, a DuckDB "
            "or a SQLite file; also a view."
        ),
    ] = None
    query: Annotated[
        Text | None,
        Field(
            description="In place of a table: one SELECT in the SQL of the connection's database "
            "(PostgreSQL, a DuckDB or a SQLite file)."
        ),
    ] = None
    topic: Annotated[_NotYet | None, Field(description="Not supported yet: a topic.")] = None
    format: Annotated[
        Annotated[Format, Words(("csv", "jsonl", "json", "parquet"))] | None,
        Field(
            description="csv (any delimited text), jsonl (an object a line), json (a document) or "
            "parquet; found out when absent."
        ),
    ] = None
    dialect: Annotated[
        Dialect, Field(description="How a delimited file is written; the rest is found out.")
    ] = Dialect()
    encoding: Annotated[
        Annotated[Text, AfterValidator(_check_encoding)] | None,
        Field(description="utf-8, utf-16, latin-1, cp1252, ...; found out when absent."),
    ] = None
    header_rows: Annotated[
        _Count | None,
        Field(description="Rows of the header; 0 when there is none; found out when absent."),
    ] = None
    null_values: Annotated[
        _NullValues | None,
        Field(description='Unquoted fields that mean NULL, in place of the empty field: ["", NA].'),
    ] = None
    records: Annotated[
        Annotated[
            Text,
            AfterValidator(_check_record_path),
            WithJsonSchema({"type": "string", "pattern": r"^\$"}),
        ]
        | None,
        Field(
            description="Of a JSON document: the keys on the way to its records, such as "
            "$.data.items; absent where it is an array, or objects one after the other."
        ),
    ] = None
    flatten: Annotated[
        Annotated[
            bool | int,
            PlainValidator(_read_flatten),
            WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1}]}),
        ],
        Field(
            description="Of JSON: nested objects become fields named with dots "
            "(customer.address.city), on all levels or on so many; arrays stay JSON."
        ),
    ] = False
    incremental: Annotated[
        Incremental | None, Field(description="What one run takes; all of it when absent.")
    ] = None

    @property
    def of_database(self) -> bool:
        """Whether a database is read: a table of it, or a query."""
        return self.table is not None or self.query is not None

    @property
    def place(self) -> str | None:
        """What names it within its connection."""
        if self.query is not None:
            return _name_of_query(self.query)
        return self.table or self.location

    @property
    def record_path(self) -> tuple[str, ...]:
        """The keys of `records`, in order."""
        return tuple(plain or quoted for plain, quoted in _PATH_KEY.findall(self.records or ""))

    @model_validator(mode="before")
    @classmethod
    def _read_tsv(cls, data: Any) -> Any:
        """Take `format: tsv` as csv with tabs."""
        if not isinstance(data, dict) or data.get("format") != "tsv":
            return data
        dialect = data.get("dialect", {})
        if isinstance(dialect, Dialect):
            dialect = dialect.model_dump(exclude_defaults=True)
        if not isinstance(dialect, dict):
            return data | {"format": "csv"}
        if dialect.get("delimiter", "\t") != "\t":
            raise ValueError("format tsv has tabs between fields, and dialect.delimiter is another")
        return data | {"format": "csv", "dialect": dialect | {"delimiter": "\t"}}

    @model_validator(mode="after")
    def _fits(self) -> SourceSpec:
        faults = Faults()
        if self.table is not None or self.query is not None:
            self._fits_table(faults)
        elif self.location is None:
            faults.add(
                (),
                "needs `location` (a file, a pattern such as exports/*.csv, a URL), `table` or "
                "`query`",
            )
        for keys, of, formats in (
            (DELIMITED_ONLY, "delimited text", ("csv",)),
            (JSON_ONLY, "JSON", ("json", "jsonl")),
        ):
            for key in keys:
                written = getattr(self, key) != SourceSpec.model_fields[key].default
                if written and self.format is not None and self.format not in formats:
                    faults.add((key,), f"belongs to {of}, and format is {self.format}")
        if self.records is not None and self.format == "jsonl":
            faults.add(("records",), "belongs to documents, and format is jsonl: write json")
        if self.format == "parquet" and self.encoding is not None:
            faults.add(("encoding",), "belongs to text, and format is parquet")
        faults.report()
        return self

    def _fits_table(self, faults: Faults) -> None:
        key = "table" if self.table is not None else "query"
        if self.location is not None:
            faults.add((key,), "and `location` are given; one of them names the source")
        elif self.table is not None and self.query is not None:
            faults.add(("query",), "and `table` are given; one of them names the source")
        elif self.connection is None:
            faults.add(("connection",), "is missing: it names the database that has the table")
        for key in ("format", "encoding", *DELIMITED_ONLY, *JSON_ONLY):
            if getattr(self, key) != SourceSpec.model_fields[key].default:
                faults.add((key,), "belongs to files, and the source is a table")
        if self.incremental is not None and self.incremental.by == "new_files":
            faults.add(
                ("incremental", "by"),
                "is new_files, and the source is a table: write column or data_interval",
            )

"""A pipeline: source, contract, rules, target and error policy. What a person writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from airflow_etl_provider.contracts.deletes import DeleteSpec
from airflow_etl_provider.contracts.inputs import Inputs, InputSpec
from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.problem import NotYetError, did_you_mean, found
from airflow_etl_provider.contracts.rules import Rule
from airflow_etl_provider.contracts.source_spec import Dialect, Incremental, SourceSpec
from airflow_etl_provider.contracts.spec import (
    PERCENT,
    Faults,
    Flag,
    Names,
    Seconds,
    Share,
    Spec,
    Text,
    Words,
    read_share,
)

__all__ = [
    "Budget",
    "DeleteSpec",
    "Dialect",
    "Incremental",
    "InputSpec",
    "Mode",
    "Name",
    "Pipeline",
    "QuarantineSpec",
    "RejectBudget",
    "Rules",
    "SourceSpec",
    "TargetSpec",
]

Mode = Literal["append", "replace", "merge", "replace_partition", "scd2", "snapshot"]


class TargetSpec(Spec):
    """Where the data goes."""

    connection: Annotated[
        Text | None, Field(description="An Airflow connection: the database that has the table.")
    ] = None
    location: Annotated[
        Text | None,
        Field(
            description="A file (orders.parquet, orders.csv), a folder of Parquet files "
            "(orders/), or a database's URL, with `table`."
        ),
    ] = None
    table: Annotated[
        Text | None, Field(description="table or schema.table; made when it is not there.")
    ] = None
    mode: Annotated[
        Mode,
        Words(("append", "replace", "replace_partition", "merge"), planned=("scd2", "snapshot")),
        Field(
            description="append: add; replace: only these rows; replace_partition: the same in the "
            "partitions that occur in the load; merge: insert or update by key."
        ),
    ] = "append"
    key: Annotated[Names, Field(description="Columns that identify a row; merge needs it.")] = ()
    partition_by: Annotated[
        Names,
        Field(
            description="Columns whose values together name a partition: what replace_partition "
            "replaces, and the folders of a Parquet folder."
        ),
    ] = ()
    latest_by: Annotated[
        Text | None,
        Field(description="Merge: of two rows with one key the one with the larger value stays."),
    ] = None
    deletes: Annotated[
        DeleteSpec | None, Field(description="Merge: which records delete the row of their key.")
    ] = None
    on_reload: Annotated[
        Literal["stop", "replace_load"],
        Words(("stop", "replace_load")),
        Field(
            description="Append, when the same window comes with other input or contract: stop, or "
            "remove the earlier load first (needs load_columns, but for a folder)."
        ),
    ] = "stop"
    load_columns: Annotated[
        Flag, Field(description="Add _etl_load_id and _etl_loaded_at to every row.")
    ] = False
    lock_timeout: Annotated[
        Seconds | None,
        Field(
            description="Databases: how long to wait for what others hold: 30 seconds, 10 minutes, "
            "or a number of seconds."
        ),
    ] = None
    statement_timeout: Annotated[
        Seconds | None,
        Field(
            description="PostgreSQL: how long one statement may take, the sending of the rows "
            "included."
        ),
    ] = None

    keep_versions: Annotated[
        Annotated[int, Field(strict=True, ge=0)],
        Field(
            description="Folder of Parquet files: for so many more versions the files of replaced "
            "rows stay, for readers that go by the manifest; 0 removes them at once."
        ),
    ] = 0

    @model_validator(mode="after")
    def _fits(self) -> TargetSpec:
        faults = Faults()
        if self.location is None and self.table is None:
            faults.add((), "needs `location` (a file), or `connection` and `table`")
        elif self.location is None and self.connection is None:
            faults.add((), "needs `connection` beside `table`: the database that has the table")
        elif self.location is None and self.table is None:
            faults.add((), "needs `table` beside `connection`")
        if self.mode == "merge" and not self.key:
            faults.add(("key",), "is missing: merge needs the columns that identify a row")
        if self.mode == "replace_partition" and not self.partition_by:
            faults.add(
                ("partition_by",),
                "is missing: replace_partition needs the columns that name a partition",
            )
        if self.latest_by is not None and self.mode != "merge":
            faults.add(("latest_by",), f"goes with `mode: merge`, and mode is {self.mode}")
        if self.deletes is not None and self.mode != "merge":
            faults.add(("deletes",), f"goes with `mode: merge`, and mode is {self.mode}")
        is_folder = self.location is not None and self.location.endswith("/")
        if self.keep_versions and not is_folder:
            faults.add(
                ("keep_versions",), "goes with a folder of Parquet files: a location ending in /"
            )
        if self.on_reload == "replace_load" and not self.load_columns and not is_folder:
            faults.add(("on_reload",), "replace_load needs `load_columns: true`")
        faults.report()
        return self


class QuarantineSpec(Spec):
    """Where rejected rows go. A location alone may be written as a text."""

    location: Annotated[Text, Field(description="A folder, or s3://bucket/folder/.")]
    connection: Annotated[
        Text | None,
        Field(
            description="An Airflow connection of type aws, for s3://, or of type fs or file, "
            "whose folder holds the location; absent: the target's or the source's, if it is of "
            "type aws, else what the environment gives."
        ),
    ] = None


def _read_quarantine(value: object) -> object:
    return {"location": value} if isinstance(value, str) else value


_QUARANTINE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "A folder, or s3://bucket/folder/."},
                "connection": {
                    "type": ["string", "null"],
                    "description": "An Airflow connection of type aws, for s3://, or fs or file.",
                },
            },
            "required": ["location"],
            "additionalProperties": False,
        },
        {"type": "null"},
    ]
}


class RejectBudget(Spec):
    """How many rejected records a load survives.

    Written `100`, `1%`, or `none`; absent: the larger of 1 % and 100 records. Both given: the
    larger holds. Both None: no limit.
    """

    records: Annotated[
        Annotated[int, Field(strict=True, ge=0)] | None, Field(description="So many records.")
    ] = 100
    share: Annotated[Share | None, Field(description="Such a share of the records read.")] = 0.01

    def allows(self, *, rejected: int, read: int) -> bool:
        """Whether so many rejects of so many records are within the budget."""
        if self.records is None and self.share is None:
            return True
        return rejected <= max(self.records or 0, (self.share or 0.0) * read)


def _read_budget(value: object) -> object:
    """Turn `100`, `1%` and `none` into the fields of a RejectBudget."""
    if isinstance(value, RejectBudget | Mapping):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return {"records": value, "share": None}
    if isinstance(value, str):
        text = value.strip()
        if text == "none":
            return {"records": None, "share": None}
        if re.fullmatch(r"[0-9]{1,18}", text):
            return {"records": int(text), "share": None}
        if text.endswith("%"):
            return {"records": None, "share": read_share(text)}
    raise ValueError(
        f"found {found(value)}; expected a number of records (100), a share (1%) or none"
    )


_BUDGET_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*([0-9]{1,18}|none)\s*$"},
        {"type": "string", "pattern": PERCENT},
        {
            "type": "object",
            "properties": {
                "records": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "So many records.",
                },
                "share": {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 1},
                        {"type": "string", "pattern": PERCENT},
                        {"type": "null"},
                    ],
                    "description": "Such a share of the records read; the larger holds.",
                },
            },
            "additionalProperties": False,
        },
    ]
}


def _check_name(name: str) -> str:
    # It becomes part of file names and of the load's identity.
    if len(name) > 200 or name in (".", "..") or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(
            f"found {found(name)}; expected a name of at most 200 characters without slashes and "
            "control characters"
        )
    return name


def _check_mapping_name(text: str) -> str:
    if text == "propose":
        raise NotYetError("'propose' is not supported yet; use by_name or the file of a contract")
    if text == "by_name" or re.search(r"\.(ya?ml|json)$", text, re.IGNORECASE):
        return text
    raise ValueError(
        f"found {found(text)}; expected by_name or the name of a contract file (.yaml, .yml, .json)"
        f"{did_you_mean(text, ['by_name'])}"
    )


def _check_policy(name: str) -> str:
    if name != "default":
        raise NotYetError(f"{name!r} is not supported yet; use default")
    return name


def _read_rules(value: object) -> object:
    return (value,) if isinstance(value, Rule | Mapping) else value


Name = Annotated[Text, AfterValidator(_check_name)]
"""What a pipeline or a check is called."""

Budget = Annotated[RejectBudget, BeforeValidator(_read_budget), WithJsonSchema(_BUDGET_SCHEMA)]
"""`100`, `1%` or `none`."""

Rules = Annotated[tuple[Rule, ...], BeforeValidator(_read_rules)]
"""Rules in order; one may be written without a list."""


def _branch(value: object) -> str:
    return "<contract>" if isinstance(value, Mapping | MappingContract) else "<name>"


_MappingName = Annotated[
    Text,
    AfterValidator(_check_mapping_name),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "by_name"},
                {"type": "string", "pattern": r"\.([yY][aA]?[mM][lL]|[jJ][sS][oO][nN])$"},
            ]
        }
    ),
]


NO_SOURCE = SourceSpec.model_construct()
"""The source of a pipeline that has `inputs` and a `select` instead: it names nothing."""


class Pipeline(Spec):
    """One way of data to a target, from a source or by a `select` over named `inputs`.

    `mapping` is a contract, a file name, or by_name.
    """

    pipeline: Annotated[
        Name,
        Field(description="Its name: part of the identity of every load."),
    ]
    source: Annotated[
        SourceSpec, Field(description="Where the data comes from; or `inputs` and a `select`.")
    ] = NO_SOURCE
    inputs: Annotated[
        Inputs, Field(description="Sources by the names that the `select` calls them by.")
    ] = {}  # noqa: RUF012 - pydantic copies it
    select: Annotated[
        Text | None,
        Field(
            description="One SQL query over the inputs (joins, aggregates, windows, unnest); its "
            "columns are what `mapping` and `filter` see as source fields."
        ),
    ] = None
    target: Annotated[TargetSpec, Field(description="Where the data goes, and how.")]
    mapping: Annotated[
        Annotated[MappingContract, Tag("<contract>")] | Annotated[_MappingName, Tag("<name>")],
        Discriminator(_branch),
        Field(description="by_name, the file of a mapping contract, or the contract itself."),
    ] = "by_name"
    filter: Annotated[
        Text | None,
        Field(
            description="An SQL condition over source fields; records for which it is not true "
            "(false or NULL) are filtered."
        ),
    ] = None
    rules: Annotated[
        Rules,
        Field(description="Conditions on rows and on the load."),
    ] = ()
    max_rejected: Annotated[
        Budget,
        Field(
            description="How many rejected records a load survives: 100, 1% or none. Absent: the "
            "larger of 1% and 100."
        ),
    ] = RejectBudget()
    schema_evolution: Annotated[
        Annotated[
            Literal["review", "evolve", "freeze", "discard"],
            Words(("review", "evolve", "freeze", "discard")),
        ]
        | None,
        Field(
            description="Where the source is not as agreed: review and freeze stop the run, evolve "
            "adds and widens columns, discard leaves new fields out. Absent: review by a written "
            "contract, discard by name."
        ),
    ] = None
    quarantine: Annotated[
        QuarantineSpec | None,
        BeforeValidator(_read_quarantine),
        WithJsonSchema(_QUARANTINE_SCHEMA),
        Field(
            description="The folder or s3:// prefix for rejected rows; beside the target when "
            "absent."
        ),
    ] = None
    engine: Annotated[
        Literal["auto", "duckdb", "spark"],
        Words(("auto", "duckdb"), planned=("spark",)),
        Field(description="What runs it."),
    ] = "auto"
    on_error: Annotated[
        Annotated[Text, AfterValidator(_check_policy), WithJsonSchema({"const": "default"})],
        Field(description="A policy of the Error Resolution agent; only default now."),
    ] = "default"
    description: Annotated[Text | None, Field(description="What it is for, in words.")] = None

    @model_validator(mode="after")
    def _fits(self) -> Pipeline:
        faults = Faults()
        if self.source.place is None:
            if self.select is None and not self.inputs:
                faults.add(("source",), "is missing (or `inputs` with a `select`)")
            elif self.select is None:
                faults.add(("select",), "is missing: the query over the inputs")
            elif not self.inputs:
                faults.add(("inputs",), "is missing: the sources that the select reads, by name")
        else:
            for key in ("inputs", "select"):
                if getattr(self, key):
                    faults.add((key,), "stands in place of `source`; give one of the two")
        faults.report()
        self._check_incremental()
        if isinstance(self.mapping, MappingContract):
            self.check_columns(self.mapping)
        return self

    def _check_incremental(self) -> None:
        """Refuse modes in which a part of the source would take the place of more than itself."""
        taken, target = self.source.incremental, self.target
        if taken is None or not taken.follows:
            return
        faults, mode = Faults(), target.mode
        if mode == "replace":
            faults.add(
                ("target", "mode"),
                f"replace leaves only the rows of the last load, and `by: {taken.by}` takes only "
                "what is new; use merge or append",
            )
        elif mode == "replace_partition" and taken.by == "column":
            faults.add(
                ("target", "mode"),
                "replace_partition would drop the older records of a partition, and `by: column` "
                "takes only the newer ones; use merge or append",
            )
        if taken.lag is not None and mode == "append":
            faults.add(
                ("source", "incremental", "lag"),
                "takes records again that were loaded, which append would double; use merge",
            )
        if target.on_reload == "replace_load":
            faults.add(
                ("target", "on_reload"),
                "replace_load is about loading the same window again, and "
                f"`by: {taken.by}` never does; leave it away",
            )
        faults.report()

    def check_columns(self, contract: MappingContract) -> None:
        """Make sure that key, `latest_by` and rules name columns of the contract.

        :raises ValueError: naming each that does not (a pydantic ValidationError).
        """
        faults, known = Faults(), contract.columns
        wanted: list[tuple[tuple[str | int, ...], str]] = [
            (("target", "key"), name) for name in self.target.key
        ]
        wanted += [(("target", "partition_by"), name) for name in self.target.partition_by]
        if self.target.latest_by is not None:
            wanted.append((("target", "latest_by"), self.target.latest_by))
        for at, rule in enumerate(self.rules):
            wanted += [(("rules", at, "column"), rule.column)] if rule.column else []
            wanted += [(("rules", at, "columns"), name) for name in rule.columns]
        for path, name in wanted:
            if name not in known:
                faults.add(
                    path,
                    f"found {found(name)}, which no column of contract {contract.contract!r} fills"
                    f"{did_you_mean(name, known)}",
                )
        deletes = self.target.deletes
        if deletes is not None and deletes.column in known:
            faults.add(
                ("target", "deletes", "column"),
                f"found {found(deletes.column)}, which contract {contract.contract!r} fills; it "
                "must be a column of its own",
            )
        faults.report()

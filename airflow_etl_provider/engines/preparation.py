"""Before the first row: names resolved, source and target opened, contract and plan settled."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.by_name import contract_by_name
from airflow_etl_provider.contracts.files import resolve_mapping
from airflow_etl_provider.contracts.load import Load, input_hash_of, load_id_of
from airflow_etl_provider.contracts.report import SelectReport
from airflow_etl_provider.contracts.schema import Schema
from airflow_etl_provider.engines.planner import build_plan
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.base import ReadsAhead
from airflow_etl_provider.engines.storage import is_remote
from airflow_etl_provider.engines.targets import open_target
from airflow_etl_provider.exceptions import SourceError, TargetError, TargetPermissionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.accounting import Tally
    from airflow_etl_provider.engines.batch import EngineOptions, Window
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.relational.source import SelectSource
    from airflow_etl_provider.engines.relational.staging import TakenInput
    from airflow_etl_provider.engines.sources.base import Source
    from airflow_etl_provider.engines.targets.base import Target
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["Prepared", "flow_of", "prepare"]

NOT_ABOUT_ROWS: dict[str, Any] = {
    **dict.fromkeys(
        ("description", "max_rejected", "quarantine", "on_error", "engine", "mapping"), True
    ),
    "target": dict.fromkeys(("keep_versions", "lock_timeout", "statement_timeout"), True),
}
"""Keys of a pipeline that change no row of the target, so that changing them is no other load."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a run needs, opened."""

    pipeline: Pipeline
    source: Source
    target: Target
    contract: MappingContract
    plan: Plan
    load: Load
    quarantine_home: str
    quarantine_connection: Connection | None
    unmapped: tuple[str, ...]
    select: SelectSource | None = None
    """The source, where it is a select over named inputs."""

    @property
    def width(self) -> int:
        """Columns of the widest table that is handled."""
        return max(self.plan.width, self.select.width if self.select else 0)

    def taken(
        self, connection: DuckDBPyConnection, *, cancelled: Callable[[], bool]
    ) -> Iterator[TakenInput] | None:
        """What has to be read into the compute session first: the inputs of a select."""
        return self.select.take(connection, cancelled=cancelled) if self.select else None

    def select_report(self, tally: Tally) -> SelectReport | None:
        """Rows in and out of the select, as far as it came."""
        if self.select is None:
            return None
        return SelectReport(
            rows_in={name: tally.rows_in[name] for name in self.select.names},
            rows_out=sum(i.records for i in tally.inputs if not i.taken),
        )


def prepare(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None,
    window: Window | None,
    options: EngineOptions,
    run_id: str,
    stack: ExitStack,
) -> Prepared:
    """Open both sides and settle the plan; `stack` closes what was opened.

    :raises SpecificationError: the pipeline can't work with this source and this target.
    """
    written = resolve_mapping(pipeline, base)
    # Looking one up may log in to a service.
    connections = cache(connections)
    with _system_errors(SourceError, SourceError, "read"):
        source, select = _open(pipeline, connections=connections, base=base, options=options)
    stack.callback(source.close)
    if isinstance(source, ReadsAhead):
        # The target is looked up and the plan made meanwhile.
        source.read_ahead()
    with _system_errors(TargetPermissionError, TargetError, "written"):
        target = open_target(
            pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
        )
        stack.callback(target.close)
        existing = _without_own_columns(target.schema(), pipeline)
    home, keeper = _quarantine_of(pipeline, target, connections=connections, options=options)
    contract = written or contract_by_name(
        name=pipeline.pipeline,
        source=source.schema,
        suggested=source.suggested,
        target=existing,
        source_dataset=source.name,
        target_dataset=target.name,
    )
    plan = build_plan(
        pipeline,
        contract,
        source=source.schema,
        target=existing,
        window=window,
        limit_of=target.limit_of,
    )
    inputs = select.origins if select is not None else source.inputs
    input_hash = input_hash_of(inputs)
    period = (
        f"{window.start.isoformat()}/{window.end.isoformat()}" if plan.interval and window else None
    )
    return Prepared(
        pipeline=pipeline,
        source=source,
        target=target,
        contract=contract,
        plan=plan,
        load=Load(
            load_id=load_id_of(pipeline.pipeline, period or f"input:{input_hash}"),
            pipeline=pipeline.pipeline,
            window=period or f"input:{input_hash}",
            input_hash=input_hash,
            contract_hash=_definition_hash(pipeline, written, all_text=options.all_text),
            run_id=run_id,
            on_reload=pipeline.target.on_reload,
            inputs=inputs,
        ),
        quarantine_home=home,
        quarantine_connection=keeper,
        unmapped=_unmapped(contract, source, known=written.unmapped.source if written else ()),
        select=select,
    )


def _without_own_columns(existing: Schema | None, pipeline: Pipeline) -> Schema | None:
    """Leave out what the load fills itself, so that no contract by name maps it."""
    deletes = pipeline.target.deletes
    if existing is None or deletes is None or deletes.column is None:
        return existing
    return Schema(tuple(field for field in existing if field.name != deletes.column))


def _quarantine_of(
    pipeline: Pipeline, target: Target, *, connections: Connections, options: EngineOptions
) -> tuple[str, Connection | None]:
    """Where rejects go, and who logs in there; the login matters in a bucket alone."""
    given = pipeline.quarantine
    home = (given and given.location) or target.quarantine_home or str(options.quarantine_home)
    if given is not None and given.connection is not None:
        return home, connections(given.connection)
    if is_remote(home):
        read = (pipeline.source, *pipeline.inputs.values())
        for name in (pipeline.target.connection, *(source.connection for source in read)):
            if name is not None and connections(name).kind == "aws":
                return home, connections(name)
    return home, None


def _open(
    pipeline: Pipeline, *, connections: Connections, base: Path | None, options: EngineOptions
) -> tuple[Source, SelectSource | None]:
    """Open what the pipeline reads, and say so where it is a select."""
    if pipeline.select is None:
        plain = open_source(
            pipeline.source,
            connections=connections,
            base=base,
            all_text=options.all_text,
            scratch=options.scratch,
        )
        return plain, None
    from airflow_etl_provider.engines.relational.source import open_select

    select = open_select(
        pipeline,
        connections=connections,
        base=base,
        all_text=options.all_text,
        scratch=options.scratch,
    )
    return select, select


def flow_of(prepared: Prepared, *, connections: Connections, base: Path | None) -> Flow:
    """Name both sides of what was prepared, for those who follow data through a company."""
    from airflow_etl_provider.engines.datasets import name_source, name_target
    from airflow_etl_provider.engines.lineage import Flow, SourceSide
    from airflow_etl_provider.engines.targets.base import HasTableSchema

    pipeline, source, target = prepared.pipeline, prepared.source, prepared.target
    named = partial(name_source, connections=connections, base=base)
    if prepared.select is not None:
        sides = tuple(
            SourceSide(named(pipeline.inputs[name]), schema, inputs, name)
            for name, schema, inputs in prepared.select.sides
        )
    else:
        sides = (SourceSide(named(pipeline.source), source.schema, source.inputs),)
    return Flow(
        plan=prepared.plan,
        sources=sides,
        target=name_target(
            pipeline.target,
            connections=connections,
            base=base,
            pipeline=pipeline.pipeline,
            schema=target.table_schema if isinstance(target, HasTableSchema) else None,
        ),
        load_columns=pipeline.target.load_columns,
        select=pipeline.select,
    )


@contextmanager
def _system_errors(refused: type[EtlError], other: type[EtlError], doing: str) -> Iterator[None]:
    """Turn what the operating system says of a path into errors of ours."""
    try:
        yield
    except OSError as error:
        kind = refused if isinstance(error, PermissionError) else other
        raise kind(
            f"{error.filename or 'The location'} can't be {doing}: {error.strerror or error}.",
            hint="Check the rights of the user that runs this, on it and on the folders above it.",
        ) from error


def _definition_hash(pipeline: Pipeline, written: MappingContract | None, *, all_text: bool) -> str:
    """A hash of all that decides rows; by-name contracts follow from source and target alone."""
    definition = {
        # Without defaults, or a key that a later version knows would make every load another one.
        "pipeline": pipeline.model_dump(mode="json", exclude=NOT_ABOUT_ROWS, exclude_defaults=True),
        "contract": written.contract_hash() if written is not None else "by_name",
        "all_text": all_text,
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def _unmapped(
    contract: MappingContract, source: Source, *, known: Collection[str]
) -> tuple[str, ...]:
    """Source columns that nothing reads, but for those that a person wrote down as such."""
    used = {name for column in contract.columns.values() for name in column.from_}
    return tuple(name for name in source.schema.names if name not in used and name not in known)

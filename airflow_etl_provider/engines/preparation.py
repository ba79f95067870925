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
from airflow_etl_provider.contracts.load import (
    Load,
    input_hash_of,
    load_id_of,
    window_after,
    window_of_inputs,
)
from airflow_etl_provider.contracts.report import RunReport, SelectReport
from airflow_etl_provider.contracts.schema import Schema
from airflow_etl_provider.engines.evolution import expected_fields, settle_evolution
from airflow_etl_provider.engines.high_mark import high_of
from airflow_etl_provider.engines.planner import build_plan
from airflow_etl_provider.engines.position import Selection
from airflow_etl_provider.engines.sources.base import ReadsAhead
from airflow_etl_provider.engines.storage import is_remote
from airflow_etl_provider.engines.storage.connection_folder import folder_of, path_below
from airflow_etl_provider.engines.targets import open_target
from airflow_etl_provider.engines.targets.base import LookingTarget
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SpecificationError,
    TargetError,
    TargetPermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import ExitStack
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.accounting import Tally
    from airflow_etl_provider.engines.batch import EngineOptions, Window
    from airflow_etl_provider.engines.evolution import Evolution
    from airflow_etl_provider.engines.high_mark import High, HighMark
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.relational.source import SelectSource
    from airflow_etl_provider.engines.relational.staging import TakenInput
    from airflow_etl_provider.engines.sources.base import Source
    from airflow_etl_provider.engines.targets.base import Position, Target
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["NothingNew", "Prepared", "flow_of", "prepare", "quarantine_of"]

NOT_ABOUT_ROWS: dict[str, Any] = {
    **dict.fromkeys(
        ("description", "max_rejected", "quarantine", "on_error", "engine", "mapping"), True
    ),
    "target": dict.fromkeys(("keep_versions", "lock_timeout", "statement_timeout"), True),
}
"""Keys of a pipeline that change no row of the target, so that changing them is no other load."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a run needs, opened.

    :param select: the source, where it is a select over named inputs.
    :param high: what the load before took last, where the pipeline goes by a column.
    :param note: for people: what this run leaves to the next ones.
    """

    pipeline: Pipeline
    source: Source
    target: Target
    contract: MappingContract
    plan: Plan
    load: Load
    quarantine_home: str
    quarantine_connection: Connection | None
    evolution: Evolution
    unmapped: tuple[str, ...]
    select: SelectSource | None = None
    high: High | None = None
    note: str | None = None

    @property
    def hopeful(self) -> bool:
        """Whether unique keys are compared at the end only, instead of being read first.

        Where they occur twice, all is read again. So not where that is usual (`latest_by`), nor
        where rows go straight into the table, which the first try would fill with dead ones.
        """
        keys = self.plan.unique_keys
        return (
            self.pipeline.target.mode == "merge"
            and bool(keys)
            and not self.plan.lookups
            and all(key.latest_by is None for key in keys)
        )

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

    def high_mark(self) -> HighMark | None:
        """What follows the highest value through one attempt."""
        interval = self.plan.interval
        if interval is None or not interval.marked:
            return None
        from airflow_etl_provider.engines.high_mark import HighMark

        types = ", ".join(f"{field.name} {field.type}" for field in self.plan.target)
        return HighMark(
            self.high,
            column=interval.column,
            kind=interval.kind,
            basis=hashlib.sha256(f"{self.load.contract_hash} {types}".encode()).hexdigest()[:16],
            appends=self.pipeline.target.mode == "append",
        )


@dataclass(frozen=True, slots=True)
class NothingNew:
    """The pipeline has loaded all that is there; why, is said in `note`."""

    target: str
    note: str

    def report(
        self, pipeline: Pipeline, *, run_id: str, started: datetime, seconds: float
    ) -> RunReport:
        return RunReport(
            status="nothing_new",
            run_id=run_id,
            pipeline=pipeline.pipeline,
            load_id=None,
            target=self.target,
            started_at=started.isoformat(),
            seconds=round(seconds, 3),
            notes=(self.note,),
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
) -> Prepared | NothingNew:
    """Open both sides and settle the plan; `stack` closes what was opened.

    :raises SpecificationError: the pipeline can't work with this source and this target.
    """
    written = resolve_mapping(pipeline, base)
    # Looking one up may log in to a service.
    connections = cache(connections)
    _refuse_one_file(pipeline, connections=connections, base=base)
    contract_hash = _definition_hash(pipeline, written, all_text=options.all_text)
    target, position = _position_of(pipeline, connections=connections, base=base, stack=stack)
    selection = Selection(pipeline, position, contract_hash=contract_hash)
    with _system_errors(SourceError, SourceError, "read"):
        source, select = _open(
            pipeline,
            selection,
            connections=connections,
            base=base,
            options=options,
            expected=expected_fields(written),
        )
    if source is None:
        return NothingNew(target.name if target is not None else "", selection.note or "")
    stack.callback(source.close)
    if isinstance(source, ReadsAhead):
        # The target is looked up and the plan made meanwhile.
        source.read_ahead()
    if target is None:
        target = _open_target(pipeline, connections=connections, base=base, stack=stack)
    home, keeper = quarantine_of(pipeline, target, connections=connections, options=options)
    high = high_of(pipeline, position) if position is not None else None
    evolution, plan = _settle(
        pipeline, written, source=source, target=target, window=window, high=high
    )
    if pipeline.source.of_database:
        _narrow(source, plan, evolution.contract)
    return Prepared(
        pipeline=pipeline,
        source=evolution.source,
        target=target,
        contract=evolution.contract,
        plan=plan,
        load=_load(
            pipeline,
            select.origins if select is not None else source.inputs,
            window=window if plan.interval is not None else None,
            position=position,
            contract_hash=contract_hash,
            run_id=run_id,
        ),
        quarantine_home=home,
        quarantine_connection=keeper,
        evolution=evolution,
        unmapped=_unmapped(
            evolution.contract,
            evolution.source,
            known=written.unmapped.source if written else (),
        ),
        select=select,
        high=high,
        note=selection.note,
    )


def _position_of(
    pipeline: Pipeline, *, connections: Connections, base: Path | None, stack: ExitStack
) -> tuple[Target | None, Position | None]:
    """Where a pipeline stands that goes on where it ended, by its target, which is open then."""
    incremental = pipeline.source.incremental
    if incremental is None or not incremental.follows:
        return None, None
    target = _open_target(pipeline, connections=connections, base=base, stack=stack)
    with _system_errors(TargetPermissionError, TargetError, "written"):
        return target, target.position(pipeline.pipeline, with_inputs=incremental.by == "new_files")


def _settle(
    pipeline: Pipeline,
    written: MappingContract | None,
    *,
    source: Source,
    target: Target,
    window: Window | None,
    high: High | None,
) -> tuple[Evolution, Plan]:
    """Settle contract, schema changes and plan, with the target's table as it is."""
    with _system_errors(TargetPermissionError, TargetError, "written"):
        existing = _without_own_columns(target.schema(), pipeline)
    contract = written or contract_by_name(
        name=pipeline.pipeline,
        source=source.schema,
        suggested=source.suggested,
        target=existing,
        source_dataset=source.name,
        target_dataset=target.name,
    )
    evolution = settle_evolution(
        pipeline, contract, by_name=written is None, source=source, target=existing
    )
    plan = build_plan(
        pipeline,
        evolution.contract,
        source=evolution.source.schema,
        target=evolution.target,
        window=window,
        limit_of=target.limit_of,
        high=high,
    )
    _expect_database(plan, target)
    return evolution, plan


def _refuse_one_file(pipeline: Pipeline, *, connections: Connections, base: Path | None) -> None:
    """Refuse at once what would wait for itself.

    :raises SpecificationError: a DuckDB file is read and written.
    """
    from airflow_etl_provider.engines.datasets import name_source, name_target

    read = [one for one in (pipeline.source, *pipeline.inputs.values()) if one.of_database]
    if not read:
        return
    at = name_target(
        pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
    ).namespace
    places = {name_source(one, connections=connections, base=base).namespace for one in read}
    if at.startswith("duckdb://") and at in places:
        raise SpecificationError(
            f"The pipeline reads and writes {at}, and a DuckDB file is open for one of the two.",
            hint="Load into another file, or into a database with a server.",
        )


def _narrow(source: Source, plan: Plan, contract: MappingContract) -> None:
    """Have a database send only what the run's interval may hold, and once, where that will do."""
    from airflow_etl_provider.engines.sources.tables.conditions import conditions_of_interval
    from airflow_etl_provider.engines.sources.tables.table import TableSource

    if not isinstance(source, TableSource):
        return
    conditions = (
        conditions_of_interval(plan.interval, contract, source.schema) if plan.interval else ()
    )
    source.narrow(source.schema.names, conditions)
    source.rereads = bool(plan.unique_keys or plan.lookups)


def _load(
    pipeline: Pipeline,
    inputs: tuple[InputIdentity, ...],
    *,
    window: Window | None,
    position: Position | None,
    contract_hash: str,
    run_id: str,
) -> Load:
    """Identify the load: by the position it follows, by its window, or by its inputs."""
    input_hash = input_hash_of(inputs)
    if position is not None:
        period = window_after(position.token)
    elif window is not None:
        period = f"{window.start.isoformat()}/{window.end.isoformat()}"
    else:
        period = window_of_inputs(input_hash)
    return Load(
        load_id=load_id_of(pipeline.pipeline, period),
        pipeline=pipeline.pipeline,
        window=period,
        input_hash=input_hash,
        contract_hash=contract_hash,
        run_id=run_id,
        on_reload=pipeline.target.on_reload,
        inputs=inputs,
        follows=position.token if position is not None else None,
    )


def _without_own_columns(existing: Schema | None, pipeline: Pipeline) -> Schema | None:
    """Leave out what the load fills itself, so that no contract by name maps it."""
    deletes = pipeline.target.deletes
    if existing is None or deletes is None or deletes.column is None:
        return existing
    return Schema(tuple(field for field in existing if field.name != deletes.column))


def quarantine_of(
    pipeline: Pipeline, target: Target, *, connections: Connections, options: EngineOptions
) -> tuple[str, Connection | None]:
    """Where rejects go, and who logs in there; the login matters in a bucket alone."""
    given = pipeline.quarantine
    home = (given and given.location) or target.quarantine_home or str(options.quarantine_home)
    if given is not None and given.connection is not None:
        keeper = connections(given.connection)
        folder = folder_of(keeper) if keeper.kind.lower() in ("file", "fs") else None
        return (home, keeper) if folder is None else (str(path_below(folder, home)), None)
    if is_remote(home):
        read = (pipeline.source, *pipeline.inputs.values())
        for name in (pipeline.target.connection, *(source.connection for source in read)):
            if name is not None and connections(name).kind == "aws":
                return home, connections(name)
    return home, None


def _open_target(
    pipeline: Pipeline, *, connections: Connections, base: Path | None, stack: ExitStack
) -> Target:
    with _system_errors(TargetPermissionError, TargetError, "written"):
        target = open_target(
            pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
        )
    stack.callback(target.close)
    return target


def _open(
    pipeline: Pipeline,
    selection: Selection,
    *,
    connections: Connections,
    base: Path | None,
    options: EngineOptions,
    expected: Schema | None,
) -> tuple[Source | None, SelectSource | None]:
    """Open what the pipeline reads, and say so where it is a select; None: nothing is new."""
    if pipeline.select is None:
        plain = selection.open(
            connections=connections,
            base=base,
            all_text=options.all_text,
            scratch=options.scratch,
            expected=expected,
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


def _expect_database(plan: Plan, target: Target) -> None:
    """Refuse rules that look keys up where there is nothing to look them up in.

    :raises NotSupportedYetError: the target is no database.
    """
    if not plan.lookups or isinstance(target, LookingTarget):
        return
    references = any(one.wanted == "present" for one in plan.lookups)
    what = "The rule `references` needs" if references else "In mode append, `unique` needs"
    raise NotSupportedYetError(
        f"{what} a database to look the keys up in, and {target.name} is none.",
        hint="Load into PostgreSQL or a DuckDB file, or take the rule out.",
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

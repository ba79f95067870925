"""Before the first row: names resolved, source and target opened, contract and plan settled."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.by_name import contract_by_name
from airflow_etl_provider.contracts.files import resolve_mapping
from airflow_etl_provider.contracts.load import Load, input_hash_of, load_id_of
from airflow_etl_provider.engines.planner import build_plan
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.targets import open_target
from airflow_etl_provider.engines.targets.base import LookingTarget
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    TargetError,
    TargetPermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import EngineOptions, Window
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.sources.base import Source
    from airflow_etl_provider.engines.targets.base import Target
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["Prepared", "prepare"]

NOT_ABOUT_ROWS = {"description", "max_rejected", "quarantine", "on_error", "engine", "mapping"}
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
    unmapped: tuple[str, ...]


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
        source = open_source(
            pipeline.source,
            connections=connections,
            base=base,
            all_text=options.all_text,
            scratch=options.scratch,
        )
    stack.callback(source.close)
    with _system_errors(TargetPermissionError, TargetError, "written"):
        target = open_target(
            pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
        )
        stack.callback(target.close)
        existing = target.schema()
    contract = written or contract_by_name(
        name=pipeline.pipeline,
        source=source.schema,
        suggested=source.suggested,
        target=existing,
        source_dataset=source.name,
        target_dataset=target.name,
    )
    plan = build_plan(pipeline, contract, source=source.schema, target=existing, window=window)
    _expect_database(plan, target)
    inputs = source.inputs
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
        quarantine_home=pipeline.quarantine
        or target.quarantine_home
        or str(options.quarantine_home),
        unmapped=_unmapped(contract, source, known=written.unmapped.source if written else ()),
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
        "pipeline": pipeline.model_dump(mode="json", exclude=NOT_ABOUT_ROWS),
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

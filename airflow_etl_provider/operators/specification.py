"""What a task is told to run: a pipeline from wherever it is written, made this task's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.pipeline import Pipeline

__all__ = ["for_this_task", "read_specification"]


def read_specification(
    pipeline: str | Mapping[str, Any] | Pipeline, *, folder: Path
) -> tuple[Pipeline, Path]:
    """Read a pipeline; returns it with the folder that its relative paths start from.

    :param folder: of the DAG file, where a relative path to a pipeline file starts.
    :raises SpecificationError: no such file, or what it says is wrong.
    """
    from airflow_etl_provider.contracts.files import pipeline_from_mapping, read_pipeline
    from airflow_etl_provider.contracts.pipeline import Pipeline

    if isinstance(pipeline, Pipeline):
        return pipeline, folder
    if isinstance(pipeline, Mapping):
        return pipeline_from_mapping(pipeline), folder
    path = folder / pipeline
    if not path.is_file():
        raise SpecificationError(
            f"There is no pipeline file {path}.",
            hint="A relative path starts at the DAG file's folder.",
        )
    return read_pipeline(path), path.parent


def for_this_task(
    pipeline: Pipeline,
    *,
    render: Callable[[str], str] | None,
    source_location: str | None,
    target_table: str | None,
    mapped: bool,
) -> Pipeline:
    """Render locations, and put the task's own location and table in their place.

    :param render: fills in templates; None where that is done already.
    :param mapped: whether this task is one of several of a dynamic mapping.
    :raises SpecificationError: the location or table does not fit the pipeline, or mapped tasks
        would overwrite each other.
    """
    source, target = pipeline.source, pipeline.target
    if source_location and source.location is None:
        raise SpecificationError(
            f"`source_location` is given, but pipeline {pipeline.pipeline!r} reads no files.",
            hint="Leave it away, or write `source.location` in the pipeline; the inputs of a "
            "`select` are named there alone.",
        )
    if target_table and target.table is None:
        raise SpecificationError(
            f"`target_table` is given, but pipeline {pipeline.pipeline!r} writes no table.",
            hint="Leave it away, or write `target.table` in the pipeline.",
        )
    if mapped and source_location and not target_table:
        _refuse_collisions(pipeline)

    quarantine = pipeline.quarantine

    def rendered(text: str | None) -> str | None:
        return render(text) if render and text and "{" in text else text

    return pipeline.model_copy(
        update={
            # The source of a select names nothing, and stays the very default that it is.
            "source": source
            if pipeline.select
            else source.model_copy(
                update={
                    "location": source_location or rendered(source.location),
                    "table": rendered(source.table),
                    "query": rendered(source.query),
                }
            ),
            "inputs": {
                name: spec.model_copy(
                    update={
                        "location": rendered(spec.location),
                        "table": rendered(spec.table),
                        "query": rendered(spec.query),
                    }
                )
                for name, spec in pipeline.inputs.items()
            },
            "target": target.model_copy(
                update={
                    "location": rendered(target.location),
                    "table": target_table or rendered(target.table),
                }
            ),
            "quarantine": quarantine
            and quarantine.model_copy(update={"location": rendered(quarantine.location)}),
        }
    )


def _refuse_collisions(pipeline: Pipeline) -> None:
    """Stop tasks that load different files into one table under one name."""
    if pipeline.target.mode == "replace":
        raise SpecificationError(
            f"Mapped tasks of pipeline {pipeline.pipeline!r} would each replace what the others "
            "loaded.",
            hint="Use `mode: append` or `merge`, map `target_table` as well, or give all files to "
            "one task by a pattern.",
        )
    if pipeline.source.incremental is not None:
        raise SpecificationError(
            f"Mapped tasks of pipeline {pipeline.pipeline!r} would all be the same load: it is "
            "known by its data interval, or by the load that it follows, not by its files.",
            hint="Leave `incremental` away, or give all files to one task by a pattern.",
        )

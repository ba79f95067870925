"""The ledger of a target: its entries, and what an earlier one means for a load about to begin."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Literal

from airflow_etl_provider.contracts.load import InputIdentity, takes_whole_inputs
from airflow_etl_provider.engines.targets.base import (
    START,
    LedgerEntry,
    Position,
    Publication,
    Published,
    WriteSpec,
)
from airflow_etl_provider.exceptions import (
    LoadConflictError,
    PositionMovedError,
    SpecificationError,
    UndoError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Schema

__all__ = [
    "Verdict",
    "check_position",
    "check_undone",
    "entries_of",
    "entry_from_dict",
    "entry_of",
    "entry_to_dict",
    "join_token",
    "judge_reload",
    "judge_undo",
    "later_by_column",
    "position_of",
    "refuse_undo_below_mark",
    "require_load_columns",
    "require_partition",
    "supersedes",
    "token_of",
]

GONE = "gone"
"""Ends the token of a position in a table that was dropped."""

Verdict = Literal["load", "already_loaded", "replace_load"]
"""`load`: write. `already_loaded`: nothing to do. `replace_load`: first remove the earlier rows."""


def judge_reload(
    previous: LedgerEntry | None,
    *,
    load: Load,
    write: WriteSpec,
    superseded: bool = False,
    finds_rows: bool = False,
) -> Verdict:
    """Decide what a load does about the published entry of the same load id.

    The same input by the same contract is done already. Other input or another contract for the
    same window: replace and merge load anew; append would double rows, so it removes the earlier
    load if told to, and stops otherwise. A load that follows a position is held by that alone.

    :param superseded: another load replaced rows since (`supersedes`), so that those of `previous`
        may be gone. A new run then loads again; a retry of the run that published them does not, or
        it would put old rows over newer ones.
    :param finds_rows: the target tells the rows of a load apart without load columns.
    :raises LoadConflictError: append, other input or contract, and `on_reload` is `stop`.
    """
    if previous is None or (superseded and previous.run_id != load.run_id):
        return "load"
    same_input = previous.input_hash == load.input_hash
    same_contract = previous.contract_hash == load.contract_hash
    if same_input and same_contract:
        return "already_loaded"
    if write.mode != "append" or load.follows is not None:
        return "load"
    if load.on_reload == "replace_load":
        return "replace_load"
    changed = " and ".join(
        what for what, same in (("input", same_input), ("contract", same_contract)) if not same
    )
    raise LoadConflictError(
        f"Load {load.load_id} of pipeline {load.pipeline!r} ({load.window}) was appended before to "
        f"{previous.target} at {previous.published_at} with another {changed}.",
        hint="Appending again would double its rows. Set `on_reload: replace_load` on the target "
        f"{'' if finds_rows else '(needs `load_columns: true`) '}to remove the earlier load first, "
        "or use merge or replace.",
    )


def judge_undo(
    entry: LedgerEntry | None, load_id: str, *, target: str, load_columns: bool
) -> LedgerEntry:
    """Decide whether a load can be taken back.

    :param load_columns: the table has the column that says which load a row came with.
    :raises UndoError: it can't.
    """
    if entry is None:
        raise UndoError(
            f"{target} knows no published load {load_id}.",
            hint="`airflow-etl loads PIPELINE.yaml` lists those that there are.",
        )
    if entry.mode != "append":
        raise UndoError(
            f"Load {load_id} went into {target} by mode {entry.mode}. The rows that it replaced or "
            "changed are gone, so that removing its own would not bring back what was there.",
            hint="Load again what should be there, or restore the table from a backup.",
        )
    if not load_columns:
        raise UndoError(
            f"{target} has no column _etl_load_id, which tells the rows of load {load_id} from "
            "others.",
            hint="Loads with `load_columns: true` can be undone. Remove the rows by hand, and the "
            "row of the load in _etl_loads with them.",
        )
    return entry


def later_by_column(entries: Sequence[LedgerEntry], load_id: str) -> int:
    """Count the loads by column of the same pipeline that came after one.

    :param entries: of one table, oldest first.
    """
    at = next((at for at, entry in enumerate(entries) if entry.load_id == load_id), len(entries))
    return sum(e.by_column and e.pipeline == entries[at].pipeline for e in entries[at + 1 :])


def refuse_undo_below_mark(entry: LedgerEntry, *, later: int, gone: bool) -> None:
    """Stop an undo after which no run would take the same records again.

    :param later: loads by column of the same pipeline that came after it.
    :param gone: the table was replaced or dropped since, and so may hold none of its rows.
    :raises UndoError: later loads by column stand.
    """
    if later and not gone:
        raise UndoError(
            f"After load {entry.load_id}, pipeline {entry.pipeline!r} published {later} more into "
            f"{entry.target} by the highest value of its column. They stand above the records of "
            "this one, so that no run would take those again. Nothing was changed.",
            hint="Undo the pipeline's loads one by one, from the newest back to this one. "
            "`airflow-etl loads PIPELINE.yaml` lists them.",
        )


def check_undone(entry: LedgerEntry, *, deleted: int, gone: bool) -> None:
    """Compare the rows that were found with what the ledger says was loaded.

    :param gone: the table was replaced or dropped since, and so may hold none of them.
    :raises UndoError: they differ; what was deleted must be rolled back.
    """
    if deleted == entry.rows_loaded or (gone and not deleted):
        return
    raise UndoError(
        f"{entry.target} holds {deleted} rows of load {entry.load_id}, and its ledger says "
        f"{entry.rows_loaded} were loaded: others were changed or removed since, or came without "
        "`load_columns`. Nothing was changed.",
        hint="Remove what should go by hand, together with the row of the load in _etl_loads.",
    )


def supersedes(later: str, earlier: str) -> bool:
    """Whether a load of mode `later` may have taken away rows that an earlier one brought.

    Which partitions a load replaced is not kept, so any may have been the earlier one's. Where
    loading again would double what is still there, or undo changes, only a whole replace counts.
    """
    if later == "replace_partition":
        return earlier in ("replace", "replace_partition")
    return later == "replace"


def require_partition(schema: Schema, write: WriteSpec) -> None:
    """Check that a load says what its partitions are, by values that can be compared.

    :raises SpecificationError: `partition_by` is missing, not loaded, or of a type without order.
    """
    if write.mode != "replace_partition":
        return
    if not write.partition_by:
        raise SpecificationError(
            "Mode replace_partition needs `partition_by`: the columns that name a partition."
        )
    for name in write.partition_by:
        if name not in schema:
            raise SpecificationError(
                f"The load has no column {name!r}, which `partition_by` names.",
                hint=f"It has: {', '.join(schema.names)}.",
            )
        if schema[name].type.kind in ("json", "array", "struct"):
            raise SpecificationError(
                f"Column {name!r} of `partition_by` is {schema[name].type}, and names no partition."
            )


def require_load_columns(load: Load, write: WriteSpec) -> None:
    """Refuse `on_reload: replace_load` where the rows of a load could not be found again.

    Not for targets that keep the rows of a load apart, such as a folder of files.

    :raises SpecificationError: append mode without load columns.
    """
    if write.mode == "append" and load.on_reload == "replace_load" and not write.load_columns:
        raise SpecificationError(
            "`on_reload: replace_load` needs `load_columns: true` on the target.",
            hint="Only the column _etl_load_id tells which rows an earlier load appended.",
        )


def token_of(
    entries: Sequence[LedgerEntry], pipeline: str, *, there: bool = True, undone: int = 0
) -> str:
    """The token of a pipeline's position.

    :param entries: of one table, oldest first.
    :param there: the table exists.
    :param undone: how many loads of the pipeline were undone, where attempts are not fenced by it.
    """
    ours = [at for at, entry in enumerate(entries) if entry.pipeline == pipeline]
    since = entries[ours[-1] :] if ours else ()
    loads = [entry.token for entry in since if entry is since[0] or entry.clears]
    return join_token(loads, there=there, undone=undone)


def join_token(loads: Sequence[str], *, there: bool, undone: int) -> str:
    """Put a token together: it changes with all that says what the table has of the pipeline.

    An undo makes a new one, too: with an earlier token an attempt from before would go on.

    :param loads: the tokens of the pipeline's newest load, and of those that cleared the table
        after it.
    """
    counted = [f"undone {undone}"] if undone else []
    gone = [GONE] if loads and not there else []
    return "+".join([*(loads[:1] or [START]), *loads[1:][-1:], *gone, *counted])


def entries_of(entries: Sequence[LedgerEntry], pipeline: str) -> list[LedgerEntry]:
    """A pipeline's loads whose rows the table may hold.

    :param entries: of one table, oldest first.
    """
    cleared = max((at for at, entry in enumerate(entries) if entry.clears), default=0)
    return [entry for entry in entries[cleared:] if entry.pipeline == pipeline]


def position_of(entries: Sequence[LedgerEntry], pipeline: str, *, with_inputs: bool) -> Position:
    """Find how far a pipeline has come, for targets that have their ledger at hand.

    :param entries: of one table, oldest first; none of a table that is gone.
    """
    ours = entries_of(entries, pipeline)
    inputs = {
        found["name"]: InputIdentity(found["name"], found.get("size"), found.get("version"))
        for entry in (ours if with_inputs else ())
        if takes_whole_inputs(entry.window)
        for found in entry.positions.get("inputs", ())
    }
    return Position(token_of(entries, pipeline), ours[-1] if ours else None, inputs)


def check_position(load: Load, token: str, *, where: str) -> None:
    """Compare the position that a load follows with the present one; at the publish, under a lock.

    :param token: of the present position; unused where the load follows nothing.
    :raises PositionMovedError: they differ.
    """
    if load.follows not in (None, token):
        raise PositionMovedError(
            f"What {where} has of pipeline {load.pipeline!r} changed since this run began: another "
            "run of it published, a load was undone, or the table was replaced or dropped. This "
            "run publishes nothing, since it took what was new before.",
            hint="Run again: it takes what is new now.",
        )


def entry_of(
    *,
    load: Load,
    write: WriteSpec,
    target: str,
    epoch: int,
    publication: Publication,
    published: Published,
    published_at: str,
    created: bool = False,
) -> LedgerEntry:
    """Put together what the ledger will say of a load."""
    return LedgerEntry(
        load_id=load.load_id,
        pipeline=load.pipeline,
        window=load.window,
        target=target,
        mode=write.mode,
        epoch=epoch,
        input_hash=load.input_hash,
        contract_hash=load.contract_hash,
        run_id=load.run_id,
        published_at=published_at,
        rows_read=publication.rows_read,
        rows_loaded=published.rows_loaded,
        rows_quarantined=publication.rows_quarantined,
        rows_filtered=publication.rows_filtered,
        rows_deduplicated=publication.rows_deduplicated + published.rows_deduplicated,
        rows_deleted=published.rows_deleted,
        quarantine=publication.quarantine,
        quarantine_checksum=publication.quarantine_checksum,
        positions=publication.positions,
        created=created,
    )


def entry_to_dict(entry: LedgerEntry) -> dict[str, Any]:
    """JSON-ready."""
    return asdict(entry)


def entry_from_dict(values: Mapping[str, Any]) -> LedgerEntry:
    """Read an entry back; keys that a newer version added are left out.

    :raises ValueError: it is no ledger entry.
    """
    known = {field.name for field in fields(LedgerEntry)}
    kept = {name: value for name, value in values.items() if name in known}
    if isinstance(kept.get("positions"), str):
        kept["positions"] = json.loads(kept["positions"])
    try:
        return LedgerEntry(**kept)
    except TypeError as error:
        raise ValueError("not a ledger entry") from error

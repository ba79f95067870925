"""What an earlier entry in the target's ledger means for a load that is about to begin."""

from __future__ import annotations

from typing import Literal

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.engines.targets.base import LedgerEntry, WriteSpec
from airflow_etl_provider.exceptions import LoadConflictError

__all__ = ["Verdict", "judge_reload"]

Verdict = Literal["load", "already_loaded", "replace_load"]
"""`load`: write. `already_loaded`: nothing to do. `replace_load`: remove the earlier load's rows first."""


def judge_reload(previous: LedgerEntry | None, *, load: Load, write: WriteSpec) -> Verdict:
    """Decide what a load does about the published entry of the same load id.

    The same input by the same contract is done already. Other input or another contract for the
    same window: replace and merge load anew; append would double rows, so it removes the earlier
    load if told to, and stops otherwise.

    :raises LoadConflictError: append, other input or contract, and `on_reload` is `stop`.
    """
    if previous is None:
        return "load"
    same_input = previous.input_hash == load.input_hash
    same_contract = previous.contract_hash == load.contract_hash
    if same_input and same_contract:
        return "already_loaded"
    if write.mode != "append":
        return "load"
    if load.on_reload == "replace_load":
        return "replace_load"
    changed = " and ".join(
        what for what, same in (("input", same_input), ("contract", same_contract)) if not same
    )
    raise LoadConflictError(
        f"Load {load.load_id} of pipeline {load.pipeline!r} ({load.window}) was already appended to "
        f"{previous.target} at {previous.published_at} with another {changed}.",
        hint="Appending again would double its rows. Set `on_reload: replace_load` on the target "
        "(needs `load_columns: true`) to remove the earlier load first, or use merge or replace.",
    )

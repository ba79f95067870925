"""Which records of a merge delete the row of their key, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from airflow_etl_provider.contracts.spec import Faults, Spec, Text, Words

__all__ = ["DeleteSpec"]


class DeleteSpec(Spec):
    """Records that say that a row is gone; of the others they need only the key."""

    when: Annotated[
        Text,
        Field(
            description="An SQL condition over source fields; a record for which it is true "
            "deletes the row of its key."
        ),
    ]
    how: Annotated[
        Literal["hard", "soft"],
        Words(("hard", "soft")),
        Field(description="hard: remove the row; soft: keep it and put the time into `column`."),
    ] = "hard"
    column: Annotated[
        Text | None,
        Field(
            description="soft: the timestamptz column that gets the load's time, and NULL again "
            "when a later record brings the row back."
        ),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> DeleteSpec:
        faults = Faults()
        if self.how == "soft" and self.column is None:
            faults.add(("column",), "is missing: soft deletes need a column for their time")
        if self.how == "hard" and self.column is not None:
            faults.add(("column",), "goes with `how: soft`, and how is hard")
        faults.report()
        return self

"""Every error this package raises: one tree, each message saying what, where and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.drift import Change
    from airflow_etl_provider.contracts.report import RunReport

__all__ = [
    "AccountingError",
    "BudgetExceededError",
    "BusUnavailableError",
    "CancelledError",
    "ConnectionNotFoundError",
    "CredentialsError",
    "DataQualityError",
    "EditConflictError",
    "EtlError",
    "EventError",
    "FencedError",
    "LeaseTakenError",
    "LoadConflictError",
    "LoadRuleError",
    "MetadataError",
    "MetadataSchemaError",
    "MetadataUnavailableError",
    "NotSupportedYetError",
    "PositionMovedError",
    "QuarantineError",
    "SchemaDriftError",
    "SelectError",
    "SourceError",
    "SourceFormatError",
    "SourceNotFoundError",
    "SpecificationError",
    "TargetAuthError",
    "TargetChangedError",
    "TargetDataError",
    "TargetError",
    "TargetMissingError",
    "TargetPermissionError",
    "TargetSchemaError",
    "TargetUnavailableError",
    "UndoError",
]


class EtlError(Exception):
    """Base of every error of ours.

    `code` is stable: docs have an anchor for it, reports and tables carry it.
    """

    code: ClassVar[str] = "etl_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.report: RunReport | None = None
        """How far the run came, where reading had begun."""

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class SpecificationError(EtlError):
    """What a person wrote (pipeline, contract, expression, option) is wrong; nothing began."""

    code = "bad_specification"


class NotSupportedYetError(SpecificationError):
    """The specification asks for something that is planned but not built."""

    code = "not_supported_yet"


class ConnectionNotFoundError(SpecificationError):
    """A connection is named that does not exist here."""

    code = "connection_not_found"


class SchemaDriftError(SpecificationError):
    """Source or target no longer has the schema that was agreed on; nothing was read.

    :param changes: what differs.
    """

    code = "schema_drift"

    def __init__(
        self, message: str, *, changes: tuple[Change, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.changes = changes


class CredentialsError(EtlError):
    """A connection gives no credentials: its role, profile or token service refuses or fails."""

    code = "no_credentials"


class SourceError(EtlError):
    """The source can't be read."""

    code = "source_error"


class SourceNotFoundError(SourceError):
    """No file, table or topic is where the source says."""

    code = "source_not_found"


class SourceFormatError(SourceError):
    """The source is there, but is not what its format says."""

    code = "source_format"


class SelectError(EtlError):
    """The `select` over the inputs can't be computed on these rows; nothing was published."""

    code = "select_failed"


class TargetError(EtlError):
    """The target refused or failed; nothing was published."""

    code = "target_error"


class TargetUnavailableError(TargetError):
    """The target can't be reached, or went away."""

    code = "target_unavailable"


class TargetAuthError(TargetError):
    """The target does not accept the credentials."""

    code = "target_auth"


class TargetPermissionError(TargetError):
    """The credentials are accepted but may not do this."""

    code = "target_permission"


class TargetMissingError(TargetError):
    """The database, schema, table or folder is missing and is not ours to create."""

    code = "target_missing"


class TargetSchemaError(TargetError):
    """The table is there, but does not fit the contract (columns, types, keys)."""

    code = "target_schema"


class TargetDataError(TargetError):
    """The target refused the data as a whole (constraint, encoding, overflow)."""

    code = "target_data"


class TargetChangedError(TargetError):
    """Others changed the target while this load ran, so that it fits it no more."""

    code = "target_changed"


class FencedError(TargetError):
    """A newer attempt of the same load took over; this one publishes nothing."""

    code = "fenced"


class PositionMovedError(FencedError):
    """Another run of the pipeline published meanwhile; this one publishes nothing."""

    code = "position_moved"


class LoadConflictError(TargetError):
    """What was loaded before is there again, but changed, and the mode can't redo it."""

    code = "load_conflict"


class UndoError(TargetError):
    """A load can't be taken back; nothing was changed."""

    code = "undo_refused"


class QuarantineError(EtlError):
    """Rejected rows can't be written or read; nothing was published."""

    code = "quarantine_error"


class AccountingError(EtlError):
    """Records read and records accounted for differ; nothing was published."""

    code = "rows_not_conserved"


class BudgetExceededError(EtlError):
    """More rows were rejected than `max_rejected` allows; nothing was published."""

    code = "too_many_rejected"


class LoadRuleError(EtlError):
    """A rule of severity `fail` does not hold; nothing was published."""

    code = "rule_failed"


class DataQualityError(EtlError):
    """What was checked breaks its rules by more than `max_violations` allows."""

    code = "quality_failed"


class CancelledError(EtlError):
    """The run was told to stop; nothing was published."""

    code = "cancelled"


class MetadataError(EtlError):
    """The metadata store did not do what it was asked for.

    :param missing: because what was asked about is not there.
    """

    code = "metadata_error"

    def __init__(self, message: str, *, hint: str | None = None, missing: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class MetadataUnavailableError(MetadataError):
    """The metadata store can't be reached now; nothing was written or read."""

    code = "metadata_unavailable"


class MetadataSchemaError(MetadataError):
    """The tables of the metadata store are missing, or of another version than this package's."""

    code = "metadata_schema"


class EditConflictError(MetadataError):
    """Somebody else changed what was to be changed, after it had been read."""

    code = "edit_conflict"


class EventError(EtlError):
    """An event is none, is too large, or of a kind or version that is not known."""

    code = "bad_event"


class BusUnavailableError(EtlError):
    """The message bus can't be reached; what was told may have been told in part."""

    code = "bus_unavailable"


class LeaseTakenError(EtlError):
    """Another agent or run acts on it, and has the lease."""

    code = "lease_taken"

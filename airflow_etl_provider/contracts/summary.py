"""Reports and progress in words, for task logs and terminals. Counts and places, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.contracts.quality import QualityReport
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.batch import Progress

__all__ = [
    "describe_broken",
    "describe_progress",
    "describe_quality",
    "describe_report",
    "shorten_notes",
    "show_command",
]

REASONS_SHOWN = 8
"""More than fit a glance are in the quarantine itself."""

NOTES_SHOWN = 20
"""Every input may give one, and there may be thousands; the report itself has them all."""


def describe_progress(progress: Progress) -> str:
    """One line: stage, rows, megabytes, speed, rejects."""
    seconds = max(progress.seconds, 1e-9)
    read = f"{_size(progress.bytes_read)}, "
    if progress.bytes_total:
        share = min(progress.bytes_read / progress.bytes_total, 1.0)
        # Bytes are known input by input: of the first one, nothing is told while it is read.
        read = f"{share:.0%} of {_size(progress.bytes_total)}, " if progress.bytes_read else ""
    return (
        f"{progress.stage}: {progress.rows_read:,} rows, {read}"
        f"{progress.rows_read / seconds:,.0f} rows/s, {progress.rows_rejected:,} rejected"
    )


def describe_report(report: RunReport) -> list[str]:
    """A few lines: what happened, where every row went, why some did not, where to look."""
    lines = [_outcome(report), _accounts(report)]
    if report.select is not None:
        given = ", ".join(f"{rows:,} of {name}" for name, rows in report.select.rows_in.items())
        lines.append(f"select: {given} in, {report.select.rows_out:,} out")
    if report.reasons:
        ranked = sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{code} {count:,}" for code, count in ranked[:REASONS_SHOWN])
        more = len(ranked) - REASONS_SHOWN
        lines.append(f"rejected for: {shown}" + (f", and {more} more reasons" if more > 0 else ""))
    if report.warnings:
        warned = ", ".join(f"{rule} {count:,}" for rule, count in report.warnings.items())
        lines.append(f"loaded with a warning: {warned}")
    if report.unmapped:
        lines.append(f"source columns that no target column uses: {', '.join(report.unmapped)}")
    if report.schema_changes:
        told = "; ".join(change.describe() for change in report.schema_changes)
        lines.append(f"the schema has changed: {told}")
    lines += shorten_notes(report.notes)
    if report.quarantine and report.rows_quarantined:
        lines.append(f"look at the rejected rows: {show_command(report.quarantine)}")
    return lines


def describe_quality(report: QualityReport) -> list[str]:
    """A few lines: what was checked, which rules do not hold, where to look."""
    lines = [_verdict(report), _checked(report)]
    lines += [f"does not hold: {words}" for words in describe_broken(report, most=100)]
    lines += shorten_notes(report.notes)
    if report.sample:
        lines.append(f"look at {report.sample_rows:,} of the rows: {show_command(report.sample)}")
    return lines


def _verdict(report: QualityReport) -> str:
    held = sum(rule.holds for rule in report.rules)
    rules = f"{held} of {len(report.rules)} rules hold on {report.dataset}"
    return f"{report.check}: {report.status.replace('_', ' ')}, {rules}"


def _checked(report: QualityReport) -> str:
    filtered = f", {report.rows_filtered:,} filtered" if report.rows_filtered else ""
    rows = f"{report.rows_checked:,} rows checked in {report.seconds:,.1f} s"
    return f"{rows}, {report.rows_violating:,} break a rule{filtered}"


def describe_broken(report: QualityReport, *, most: int = REASONS_SHOWN) -> list[str]:
    """One text per rule that does not hold."""
    broken = report.broken
    texts = []
    for rule in broken[:most]:
        counted = rule.code != "rule:load"
        rows = f", {rule.violations:,} rows ({rule.share:.2%})" if counted else ""
        texts.append(f"{rule.rule} [{rule.severity}{rows}]")
    if len(broken) > most:
        texts.append(f"and {len(broken) - most} more rules")
    return texts


def shorten_notes(notes: Sequence[str]) -> list[str]:
    """Give the first notes, and in one line how many more there are."""
    more = len(notes) - NOTES_SHOWN
    return [*notes[:NOTES_SHOWN], *([f"and {more:,} more notes"] if more > 0 else [])]


def show_command(quarantine: str) -> str:
    """What to type to see the rejected rows."""
    from shlex import quote

    return f"airflow-etl quarantine show {quote(quarantine)}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _outcome(report: RunReport) -> str:
    if report.status == "failed":
        where = f" to {report.target}" if report.target else ""
        return f"{report.pipeline}: failed, nothing was published{where}"
    if report.status == "already_loaded":
        return f"{report.pipeline}: already loaded into {report.target}"
    if report.status == "nothing_new":
        return f"{report.pipeline}: nothing new for {report.target}"
    speed = f" in {report.seconds:,.1f} s"
    if report.select is None:
        speed += f" ({report.rows_per_second:,.0f} rows/s)"
    return f"{report.pipeline}: {report.rows_loaded:,} rows loaded into {report.target}{speed}"


def _accounts(report: RunReport) -> str:
    parts = [f"{report.rows_loaded:,} loaded", f"{report.rows_quarantined:,} quarantined"]
    optional = (
        (report.rows_filtered, "filtered"),
        (report.rows_deduplicated, "deduplicated"),
        (report.rows_deleted, "deleted"),
    )
    parts += [f"{count:,} {word}" for count, word in optional if count]
    if report.status == "failed":
        return f"{report.rows_read:,} rows read before it stopped"
    if report.select is not None:
        before = report.rows_read - report.select.rows_out
        rejected = f" and {before:,} records that never reached it" if before else ""
        return f"{report.select.rows_out:,} rows of the select{rejected} = " + " + ".join(parts)
    when = "then: " if report.status == "already_loaded" else ""
    return f"{when}{report.rows_read:,} rows read = " + " + ".join(parts)

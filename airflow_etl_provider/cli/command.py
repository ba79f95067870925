"""One command from its words to its exit code; errors become one line."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.cli.arguments import build_parser
from airflow_etl_provider.cli.console import Console
from airflow_etl_provider.exceptions import EtlError, SpecificationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["DONE", "DONE_WITH_REJECTS", "FAILED", "WRONG_USAGE", "main"]

DONE, FAILED, WRONG_USAGE, DONE_WITH_REJECTS = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the words after the program's name; None takes those of the process.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        from airflow_etl_provider import __version__

        Console().out(f"airflow-etl {__version__}")
        return DONE
    if not args.command:
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    console = Console(json_wanted=getattr(args, "json", False), debug=args.debug)
    logging.basicConfig(
        level=logging.DEBUG if args.debug else logging.ERROR,
        stream=sys.stderr,
        format="%(levelname)s %(name)s: %(message)s",
    )
    return _run(args, console)


def _run(args: argparse.Namespace, console: Console) -> int:
    # Each command is a module of its own, so that `--help` and `schema` don't import the engine.
    command = importlib.import_module(f"airflow_etl_provider.cli.{args.command}")
    try:
        code: int = command.run(args, console)
        return code
    except EtlError as error:
        _tell(error, console)
        return WRONG_USAGE if isinstance(error, SpecificationError) else FAILED
    except KeyboardInterrupt:
        console.say("airflow-etl: stopped; nothing was published.")
        if console.json_wanted:
            console.result(_failure("cancelled", "stopped"))
        return FAILED
    except Exception as error:
        # The text of an error that is none of ours may quote a row.
        message = f"internal error ({type(error).__qualname__}); nothing was published."
        if console.debug:
            console.say(traceback.format_exc())
            raise
        console.say(f"airflow-etl: {message} Run again with --debug and report what it shows.")
        if console.json_wanted:
            console.result(_failure("internal_error", message))
        return FAILED


def _tell(error: EtlError, console: Console) -> None:
    if console.debug:
        console.say(traceback.format_exc())
    console.say(f"airflow-etl: {error} [{error.code}]")
    if console.json_wanted:
        report = error.report.to_dict() if error.report else {}
        console.result(report | _failure(error.code, str(error)))


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"code": code, "message": message}}

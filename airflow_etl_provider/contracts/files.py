"""Pipelines and contracts as files: YAML or JSON, read strictly, written readably."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from airflow_etl_provider.contracts.document import MAX_BYTES, Document, read_document
from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.pipeline import Pipeline, Rules
from airflow_etl_provider.contracts.problem import problems_of, raise_problems
from airflow_etl_provider.contracts.spec import Spec
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.contracts.rules import Rule

__all__ = [
    "contract_from_mapping",
    "contract_from_text",
    "contract_to_text",
    "pipeline_from_mapping",
    "pipeline_from_text",
    "read_contract",
    "read_pipeline",
    "read_rules",
    "resolve_mapping",
    "write_contract",
]

_SpecT = TypeVar("_SpecT", bound=Spec)


class _RuleFile(Spec):
    """A file of rules alone."""

    rules: Rules


_PLAIN = re.compile(r"[A-Za-z_](?:[\w ./()-]*[\w)])?", re.ASCII)

_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""Words that some YAML reader takes for something else."""


def read_pipeline(path: str | Path) -> Pipeline:
    """Read a pipeline file.

    :raises SpecificationError: there is no such file, or it is wrong: every problem with its line.
    """
    return pipeline_from_text(_read(Path(path), "pipeline"), name=str(path))


def pipeline_from_text(text: str, *, name: str) -> Pipeline:
    """Read a pipeline from YAML or JSON; `name` is what errors call the text."""
    return _model(Pipeline, read_document(text, name=name))


def pipeline_from_mapping(value: Mapping[str, Any], *, name: str = "The pipeline") -> Pipeline:
    """Read a pipeline from the plain values that its YAML would give."""
    return _from_values(Pipeline, dict(value), name=name)


def read_rules(path: str | Path) -> tuple[Rule, ...]:
    """Read the rules of a file that has `rules`: one of its own, or a pipeline's.

    :raises SpecificationError: there is no such file, or it is wrong: every problem with its line.
    """
    document = read_document(_read(Path(path), "rules"), name=str(path))
    if isinstance(document.value, dict) and "pipeline" in document.value:
        return _model(Pipeline, document).rules
    return _model(_RuleFile, document).rules


def read_contract(path: str | Path) -> MappingContract:
    """Read a contract file.

    :raises SpecificationError: there is no such file, or it is wrong: every problem with its line.
    """
    return contract_from_text(_read(Path(path), "contract"), name=str(path))


def contract_from_text(text: str, *, name: str) -> MappingContract:
    """Read a contract from YAML or JSON; `name` is what errors call the text."""
    return _model(MappingContract, read_document(text, name=name))


def contract_from_mapping(
    value: Mapping[str, Any], *, name: str = "The contract"
) -> MappingContract:
    """Read a contract from values, as JSON gives them; `name` is what errors call them."""
    return _from_values(MappingContract, dict(value), name=name)


def resolve_mapping(pipeline: Pipeline, base: Path | None) -> MappingContract | None:
    """Give the contract that a pipeline loads by; None when it loads by name.

    :param base: the folder that a file name starts from: the pipeline file's.
    :raises SpecificationError: the contract is missing, wrong, not approved, or does not have the
        columns that the pipeline names.
    """
    if pipeline.mapping == "by_name":
        return None
    if isinstance(pipeline.mapping, MappingContract):
        contract = pipeline.mapping
    else:
        contract = read_contract((base or Path()) / pipeline.mapping)
    contract.require_approved()
    try:
        pipeline.check_columns(contract)
    except ValidationError as error:
        raise_problems(problems_of(Pipeline, error), origin=f"Pipeline {pipeline.pipeline!r}")
    return contract


def write_contract(contract: MappingContract, path: str | Path) -> None:
    """Write a contract so that people can read, diff and edit it; JSON where the name says so.

    The file is there whole or not at all.
    """
    path = Path(path)
    text = contract_to_text(contract, json_text=path.suffix.lower() == ".json")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode_of(path))
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def contract_to_text(contract: MappingContract, *, json_text: bool = False) -> str:
    """Write a contract as YAML or JSON; reading it gives an equal contract."""
    spec = contract.to_spec()
    if json_text:
        return json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(_laid_out(_quoted(spec)), stream)
    return stream.getvalue()


def _quoted(value: Any) -> Any:
    """Put text that YAML could take for something else into quotes, keys too.

    What the YAML library leaves plain it can't always read again (`{a: :0}`), nor can others.
    """
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else DoubleQuotedScalarString(value)
    if isinstance(value, dict):
        return CommentedMap({_quoted(key): _quoted(part) for key, part in value.items()})
    if isinstance(value, list):
        return [_quoted(part) for part in value]
    return value


def _laid_out(root: Any) -> Any:
    """Give each column and the approval one line, as people write them."""
    lines = [root[key] for key in ("approved", "unmapped") if key in root]
    for mapping in (*lines, *root["columns"].values()):
        mapping.fa.set_flow_style()
    return root


def _mode_of(path: Path) -> int:
    """Keep the rights of a file that is there; give those of any new file to one that is not."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return 0o644


def _read(path: Path, what: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecificationError(
                f"{path} is larger than {MAX_BYTES // 2**20} MB; that is no {what}."
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecificationError(
            f"There is no {what} file {path}.",
            hint="A relative name starts at the folder of the file that names it.",
        ) from None
    except UnicodeDecodeError as error:
        raise SpecificationError(
            f"{path} is no UTF-8 text (byte {error.start + 1}).", hint="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise SpecificationError(f"{path} can't be read: {error.strerror}.") from error


def _model(model: type[_SpecT], document: Document) -> _SpecT:
    if not isinstance(document.value, dict):
        raise SpecificationError(
            f"{document.name} holds no keys; it begins with `{_first_key(model)}: ...`."
        )
    return _from_values(model, document.value, name=document.name, document=document)


def _from_values(
    model: type[_SpecT],
    values: dict[str, Any],
    *,
    name: str,
    document: Document | None = None,
) -> _SpecT:
    try:
        # By alias alone: `from_` is Python's way to write `from`, not a file's.
        return model.__pydantic_validator__.validate_python(  # type: ignore[no-any-return]
            values, by_alias=True, by_name=False
        )
    except ValidationError as error:
        problems = problems_of(model, error)
        if document is None:
            raise_problems(problems, origin=name)
        raise_problems(problems, origin=name, locate=document.locate)


def _first_key(model: type[Spec]) -> str:
    return next(iter(model.model_fields))

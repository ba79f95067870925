"""JSON files: lines or documents, read by ourselves so that no digit and no record is lost.

A number keeps the digits it was written with, objects and arrays stay JSON unless they are asked
to be unfolded. A record that is no object is a rejected one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.sources.infer import suggest_types
from airflow_etl_provider.engines.sources.json_files.opening import JsonReading
from airflow_etl_provider.engines.sources.json_files.scan import JsonScan, rows_of_batch
from airflow_etl_provider.engines.sources.json_files.values import UNLIMITED, Json, Unfolding
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.engines.sources.json_files.values import Record

__all__ = ["JsonSource"]

SAMPLE = 4 * 2**20
"""Size of the records of each file that are looked at for their keys."""

MOST_KEYS = 2_000
"""More keys than this in the sample are data written as keys, and no table."""

MOST_SAMPLED = 20_000
"""Records that are kept to suggest types by."""

MOST_CHARACTERS = 1_000
"""Of each value of a record that is larger than the sample; more digits fit no type either."""

TEXT, JSON = LogicalType("string"), LogicalType("json")


class JsonSource:
    """JSON files; the fields are the keys that a sample of them has.

    :param kind: `jsonl` where every line is a record, `json` for documents.
    :param expected: the fields that a contract knows: they stand in where the files hold no record
        at all, and say the type of a field that has no value in the sample.
    """

    def __init__(
        self,
        files: tuple[FileInput, ...],
        spec: SourceSpec,
        *,
        kind: Literal["json", "jsonl"],
        name: str,
        all_text: bool = False,
        expected: Schema | None = None,
    ) -> None:
        self.name = name
        self.format = self.kind = kind
        self.dialect = None
        self._files = {file.identity: file for file in files}
        self._spec = spec
        self._nulls = frozenset(spec.null_values or ())
        self._all_text = all_text
        self._expected = expected or Schema(())
        self._unfolding: Unfolding | None = None
        depth = UNLIMITED if spec.flatten is True else int(spec.flatten)
        if depth:
            self._unfolding = Unfolding(depth)
        self._sampled: list[Record] = []
        self._keys = self._sample() or self._expected.names
        if self._unfolding is not None:
            self._unfolding = Unfolding(depth, self._unfolding.origins)
        if not self._keys:
            raise SourceFormatError(
                f"{name} has no JSON object with a key at its beginning.",
                hint="JSON lines have one object a line, documents an array of objects; check the "
                "file and its `format`.",
            )
        self._nested = frozenset() if all_text else self._nested_keys()

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return tuple(self._files)

    @property
    def schema(self) -> Schema:
        return Schema(
            tuple(Field(key, JSON if key in self._nested else TEXT) for key in self._keys)
        )

    @property
    def suggested(self) -> Schema:
        """What the values of the sample say."""
        if self._all_text:
            return self.schema
        size = rows_of_batch(self._keys)
        blocks = (
            [[record.get(key) for key in self._keys] for record in self._sampled[at : at + size]]
            for at in range(0, len(self._sampled), size)
        )
        suggested = zip(suggest_types(self._keys, blocks), self.schema, strict=True)
        return Schema(
            tuple(given if given.name in self._nested else field for field, given in suggested)
        )

    def scan(self, input: InputIdentity, *, careful: bool = False) -> JsonScan:
        file = self._files[input]
        return JsonScan(
            file,
            self._keys,
            read=lambda: self._read(file),
            nested=self._nested,
            nulls=self._nulls,
            alone=len(self._files) == 1,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, file: FileInput) -> JsonReading:
        return JsonReading(file, self._spec, self.kind, self._unfolding)

    def _sample(self) -> tuple[str, ...]:
        """Look at the first records of every file; gives the keys of all of them."""
        keys: dict[str, bool] = {}
        for file in self._files.values():
            size, looked_at = 0, False
            for record, record_size, _ in self._read(file):
                size += record_size
                # The first one counts however large it is: it may be the only one.
                if looked_at and size > SAMPLE:
                    break
                if record is None:
                    continue
                looked_at = True
                for key, value in record.items():
                    keys[key] = keys.get(key, False) or value is not None
                if len(self._sampled) < MOST_SAMPLED:
                    self._sampled.append(record if record_size <= SAMPLE else _shortened(record))
            self._check_keys(keys)
        if self._unfolding is not None:
            # Where there is nothing, there is no object either that could be unfolded.
            inner = {key[: at + 1] for key in keys for at, sign in enumerate(key) if sign == "."}
            return tuple(key for key, filled in keys.items() if filled or f"{key}." not in inner)
        return tuple(keys)

    def _check_keys(self, keys: dict[str, bool]) -> None:
        if len(keys) > MOST_KEYS:
            raise SourceFormatError(
                f"{self.name}: the sample has {len(keys)} different keys; at most "
                f"{MOST_KEYS} can be columns.",
                hint="Keys that are values (ids, dates) belong in rows: write one record for "
                'each, such as {"key": ..., "value": ...}, or nest them in one object.',
            )
        folded: dict[str, str] = {}
        for key in keys:
            if folded.setdefault(key.lower(), key) != key:
                raise SourceFormatError(
                    f"{self.name} has the keys {folded[key.lower()]!r} and {key!r}, which differ "
                    "in case only.",
                    hint="Rename one of them where the file is written.",
                )

    def _nested_keys(self) -> frozenset[str]:
        """Keys that hold objects or arrays wherever the sample has a value; those are JSON."""
        kinds: dict[str, set[bool]] = {}
        for record in self._sampled:
            for key, value in record.items():
                if value is not None:
                    kinds.setdefault(key, set()).add(isinstance(value, Json))
        known = {field.name for field in self._expected if field.type == JSON}
        return frozenset(key for key in self._keys if kinds.get(key, {key in known}) == {True})


def _shortened(record: Record) -> Record:
    """A large record without most of its text: its types show as well, and many fit in memory."""
    return {
        key: value if value is None else type(value)(value[:MOST_CHARACTERS])
        for key, value in record.items()
    }

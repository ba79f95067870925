"""Find the datasets at a place, and profile each; a broken one never stops the others."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from threading import get_ident
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.discover import (
    MEMORY,
    SAMPLE_ROWS,
    profile_dataset,
    profile_source,
)
from airflow_etl_provider.agents.discovery.places import Wanted, find_datasets
from airflow_etl_provider.agents.discovery.topics import TopicPlace, profile_topic
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
from airflow_etl_provider.engines.sources.tables import TableReader
from airflow_etl_provider.exceptions import ConnectionNotFoundError, EtlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.source_spec import SourceSpec
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.topics import TopicReader

__all__ = ["discover"]

_USUAL_COLUMNS = 100
"""Of a table; for wider ones the memory is laid out otherwise."""

log = logging.getLogger(__name__)


def discover(
    place: str,
    *,
    connections: Connections,
    base: Path | None = None,
    connection: str | None = None,
    tables: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    sample: int = SAMPLE_ROWS,
    exact: bool = False,
    at_once: int = 2,
) -> Iterator[DatasetProfile | NotRead]:
    """Profile what is at a place, dataset by dataset, in the order of their names.

    A folder or a prefix of a bucket is looked through with all that is below it; files whose names
    differ in numbers only are one dataset. Of a database all tables and views are looked at,
    of a Kafka cluster all topics.

    :param place: a file, a folder, a pattern or a URL; a word that is none of these, and the place
        with `tables`, is an Airflow connection, `warehouse/sales.orders` a table or location of
        one.
    :param connection: that the place is relative to.
    :param tables: tables of the connection that `place` names.
    :param include: patterns of names (`sales.*`): of a folder or database only these.
    :param exclude: patterns of names that are left out.
    :param sample: rows of each dataset whose values are looked at one by one.
    :param exact: read all. Else a part is read of tables with more than five times the sample, and
        of datasets with more than a hundred files; rows are estimated then.
    :param at_once: datasets that are read side by side, each in memory of its own.
    """
    specs: Sequence[SourceSpec | TopicPlace] = []
    try:
        specs = find_datasets(
            place,
            connections=connections,
            base=base,
            connection=connection,
            tables=tables,
            wanted=Wanted(include, exclude),
        )
    except ConnectionNotFoundError as error:
        reason = f"There is no file or folder {place!r}, nor a connection. {error}"
        yield NotRead(place, place, error.code, reason)
    except EtlError as error:
        yield NotRead(place, place, error.code, str(error))
    with closing(_Profiler(connections, base=base, sample=sample, exact=exact)) as profiler:
        yield from _side_by_side(profiler.profile, specs, at_once=at_once)


def _side_by_side(
    profiled: Callable[[SourceSpec | TopicPlace], DatasetProfile | NotRead],
    specs: Sequence[SourceSpec | TopicPlace],
    *,
    at_once: int,
) -> Iterator[DatasetProfile | NotRead]:
    """Profile some at a time, and give them in their order."""
    if min(at_once, len(specs)) <= 1:
        yield from map(profiled, specs)
        return
    _load_arrow()
    with ThreadPoolExecutor(at_once, thread_name_prefix="etl-discover") as pool:
        ahead: deque[Future[DatasetProfile | NotRead]] = deque()
        try:
            for spec in specs:
                ahead.append(pool.submit(profiled, spec))
                if len(ahead) > at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            # Whoever stops listening waits for what is being read, and for no more.
            pool.shutdown(cancel_futures=True)


def _load_arrow() -> None:
    """Load Arrow's library in this thread: see `operators.listening`."""
    import pyarrow as pa  # noqa: F401


class _Profiler:
    """Profiles datasets; each thread has a connection of its own to a database."""

    def __init__(
        self, connections: Connections, *, base: Path | None, sample: int, exact: bool
    ) -> None:
        self._connections, self._base = connections, base
        self._sample, self._exact = sample, exact
        self._readers: dict[tuple[int, str], TableReader] = {}
        self._sessions: dict[int, ComputeSession] = {}
        self._topics: dict[int, TopicReader] = {}

    def profile(self, spec: SourceSpec | TopicPlace) -> DatasetProfile | NotRead:
        """Profile one; what can't be read is told with its reason."""
        if isinstance(spec, TopicPlace):
            location = spec.topic
        else:
            location = str(spec.location or spec.table)
        named = f"{spec.connection}/{location}" if spec.connection else location
        try:
            if isinstance(spec, TopicPlace):
                return self._topic(spec, named)
            if spec.table and spec.connection:
                return self._table(spec, named)
            return profile_dataset(
                spec,
                connections=self._connections,
                base=self._base,
                name=named,
                sample=self._sample,
                whole=self._exact,
            )
        except EtlError as error:
            return NotRead(named, location, error.code, str(error))
        except Exception as error:
            # Its text may hold values of rows.
            log.debug("Profiling %s failed.", named, exc_info=True)
            kind = type(error).__qualname__
            return NotRead(named, location, "internal_error", f"It could not be profiled: {kind}.")

    def _table(self, spec: SourceSpec, named: str) -> DatasetProfile:
        key = (get_ident(), str(spec.connection))
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = TableReader(self._connections(key[1]))
        with closing(reader.open(str(spec.table))) as source:
            return profile_source(
                source,
                spec,
                name=named,
                sample=self._sample,
                whole=self._exact,
                session=self._session(columns=len(source.schema)),
            )

    def _topic(self, spec: TopicPlace, named: str) -> DatasetProfile:
        from airflow_etl_provider.engines.sources.topics import TopicReader

        connection = self._connections(spec.connection)
        reader = self._topics.get(get_ident())
        if reader is None:
            reader = self._topics[get_ident()] = TopicReader(connection)
        return profile_topic(reader, connection, spec.topic, name=named, sample=self._sample)

    def _session(self, *, columns: int) -> ComputeSession | None:
        """Give the session of this thread; a wide table gets one of its own."""
        if columns > _USUAL_COLUMNS:
            return None
        from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession

        found = self._sessions.get(get_ident())
        if found is None:
            found = ComputeSession(memory_limit=MEMORY, threads=1, columns=_USUAL_COLUMNS)
            self._sessions[get_ident()] = found
        return found

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        for session in self._sessions.values():
            session.close()
        for topics in self._topics.values():
            topics.close()

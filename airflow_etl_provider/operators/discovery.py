"""The operator of the Data Discovery agent."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_etl_provider.exceptions import SchemaDriftError, SpecificationError
from airflow_etl_provider.operators.batch import NEEDS_A_PERSON
from airflow_etl_provider.operators.listening import run_listening
from airflow_etl_provider.operators.recording import TaskRecording
from airflow_etl_provider.operators.run_name import run_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from airflow.sdk import Context

    from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
    from airflow_etl_provider.metadata.store import MetadataStore
    from airflow_etl_provider.operators.discovery_findings import Findings

__all__ = ["DataDiscoveryOperator"]

DATASETS_IN_XCOM = 100
"""A folder of thousands of datasets does not fit an XCom; the counts always do."""


class DataDiscoveryOperator(BaseOperator):
    """Find datasets, look into each, and write what was found into the catalog.

    .. code-block:: python

        DataDiscoveryOperator(task_id="warehouse", connection="warehouse", include=["sales.*"])
        DataDiscoveryOperator(task_id="exports", locations=["exports/", "s3://lake/orders/*.parquet"])

    Nothing is changed where it looks. What it returns holds ids, names and counts, and no value.
    With an `AssetAlias` among its `outlets`, each dataset that is not as it was makes an event of
    the asset that is called as the dataset.

    :param connection: a database, whose tables and views are looked at; with `locations` what
        those belong to.
    :param locations: files, folders, patterns or URLs; relative ones start from the DAG file's
        folder.
    :param tables: only these tables of the connection.
    :param include: patterns of names: of a folder or a database only these.
    :param exclude: patterns of names that are left out.
    :param sample: rows of each dataset whose values are looked at one by one.
    :param exact: read all. Else a part is read of tables with more than five times the sample, and
        of datasets with more than a hundred files; rows are estimated then.
    :param fail_on_drift: changes against the last look that make the task fail at the end, when all
        was written: `never`, those that are `breaking`, or `any`. They are told in its log and on
        the event table in any case.
    :param on_not_read: what the task does when a dataset can't be read: `warn`, or `fail` at the
        end, when all others were written. Where none can be read it fails.
    """

    template_fields: Sequence[str] = ("connection", "locations", "tables", "include", "exclude")
    ui_color = "#e1d5e7"

    def __init__(
        self,
        *,
        connection: str | None = None,
        locations: Sequence[str] = (),
        tables: Sequence[str] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sample: int = 20_000,
        exact: bool = False,
        on_not_read: Literal["warn", "fail"] = "warn",
        fail_on_drift: Literal["never", "breaking", "any"] = "never",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_not_read not in ("warn", "fail"):
            raise ValueError(f"on_not_read is {on_not_read!r}; allowed: warn, fail.")
        if fail_on_drift not in ("never", "breaking", "any"):
            raise ValueError(f"fail_on_drift is {fail_on_drift!r}; allowed: never, breaking, any.")
        if sample < 1:
            raise ValueError(f"sample is {sample!r}; at least one row is looked at.")
        self.connection = connection
        self.locations = locations
        self.tables = tables
        self.include = include
        self.exclude = exclude
        self.sample = sample
        self.exact = exact
        self.on_not_read = on_not_read
        self.fail_on_drift = fail_on_drift
        self._cancelled = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Discover, and return what was found in short."""
        name = run_id_of(context["ti"], retries=self.retries or 0)
        recording = TaskRecording(context["ti"], kind="discovery")
        recording.begin(name, check=f"{context['ti'].dag_id}.{self.task_id}")
        try:
            found = run_listening(partial(self._run, context), stop=self._stop)
        except BaseException as error:
            recording.end_with_error(error)
            if isinstance(error, NEEDS_A_PERSON):
                raise AirflowFailException(f"{error} [{error.code}]") from None
            raise
        problem = self._problem(found) or self._drift(found)
        recording.end_discovery(found, failed=problem)
        if problem is None:
            return found
        if self.do_xcom_push:
            context["ti"].xcom_push("return_value", found)
        raise AirflowFailException(problem[1])

    def _problem(self, found: dict[str, Any]) -> tuple[str, str] | None:
        """Give a code, and say why the task fails for what was not read; None if it does not."""
        broken = found["not_read"]
        if not broken or (self.on_not_read == "warn" and found["datasets"]):
            return None
        first = broken[0]
        return first["code"], (
            f"{found['not_read_count']} dataset(s) could not be read. The first is "
            f"{first['name']}: {first['message']} [{first['code']}]"
        )

    def _drift(self, found: dict[str, Any]) -> tuple[str, str] | None:
        """Give a code, and say why the task fails for what changed; None if it does not."""
        counted = {"never": 0, "breaking": found["breaking"], "any": found["changes"]}
        count = counted[self.fail_on_drift]
        if not count:
            return None
        return SchemaDriftError.code, (
            f"{count} change(s) that make it fail ({self.fail_on_drift}) were found; "
            "the log and the decisions of the discovery agent list them. All was written into "
            "the catalog: the next run compares with what is there now."
        )

    def on_kill(self) -> None:
        """Ask it to stop after the dataset that it looks at; what was written stays."""
        self.log.warning("Told to stop.")
        self._stop()

    def _stop(self) -> None:
        self._cancelled = True

    def _run(self, context: Context) -> dict[str, Any]:
        from airflow_etl_provider.hooks.metadata import store_opener

        opener = store_opener(context["ti"])
        if opener is None:
            self.log.warning("Nothing is written into a catalog: there is no metadata store.")
            with closing(self._discovered()) as found:
                return self._summary(found, None, context)
        with closing(opener()) as store, closing(self._discovered()) as found:
            return self._summary(found, store, context)

    def _discovered(self) -> Generator[DatasetProfile | NotRead, None, None]:
        from airflow_etl_provider.agents.discovery.scan import discover
        from airflow_etl_provider.hooks.connections import find_airflow_connection, refuse_secret

        look: Callable[..., Iterator[DatasetProfile | NotRead]] = partial(
            discover,
            connections=cache(find_airflow_connection),
            base=self._folder(),
            include=self.include,
            exclude=self.exclude,
            sample=self.sample,
            exact=self.exact,
        )
        if self.locations:
            if self.tables:
                raise SpecificationError("Of `locations` and `tables`, only one can be looked at.")
            for location in self.locations:
                refuse_secret(location, key="locations", owner=f"task {self.task_id!r}")
                yield from look(location, connection=self.connection)
        elif self.connection:
            yield from look(self.connection, tables=self.tables)
        else:
            raise SpecificationError("There is nothing to look at: give a connection or locations.")

    def _summary(
        self,
        found: Iterator[DatasetProfile | NotRead],
        store: MetadataStore | None,
        context: Context,
    ) -> dict[str, Any]:
        from airflow_etl_provider.exceptions import CancelledError
        from airflow_etl_provider.metadata.records import stable_id
        from airflow_etl_provider.operators.discovery_findings import Findings

        run_id = stable_id("run", run_id_of(context["ti"], retries=self.retries or 0))
        findings = Findings(store, at=datetime.now(timezone.utc), run_id=run_id)
        for one in found:
            if self._cancelled:
                raise CancelledError("The discovery was told to stop.")
            findings.take(one)
        findings.relate()
        self._tell_assets(context, findings)
        return findings.summary(most=DATASETS_IN_XCOM)

    def _tell_assets(self, context: Context, findings: Findings) -> None:
        """Make an event of each dataset that is not as it was, for whoever waits for the alias."""
        aliases = [outlet for outlet in self.outlets if isinstance(outlet, AssetAlias)]
        if not aliases:
            return
        for name, facts in findings.moved.items():
            asset = _asset(name, dataset_id=str(facts["dataset_id"]))
            for alias in aliases:
                context["outlet_events"][alias].add(asset, extra=facts)

    def _folder(self) -> Path:
        dag = self.get_dag()
        return Path(dag.folder) if dag else Path.cwd()


def _asset(name: str, *, dataset_id: str) -> Asset:
    """Name an asset as the dataset; by its id where Airflow allows no such name."""
    try:
        return Asset(name=name)
    except ValueError:
        # Too long, or a URL that a provider has rules for.
        return Asset(name=dataset_id)

"""Loads from S3: which objects are found, what of them is read, and what a bad day does to it."""

from __future__ import annotations

import gzip
import io
import subprocess
import zipfile
from datetime import datetime, timezone
from urllib.parse import parse_qs

import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline, SourceSpec
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.sources import depot, open_source
from airflow_etl_provider.engines.storage import open_filesystem, reading
from airflow_etl_provider.engines.storage.objects import find_objects
from airflow_etl_provider.exceptions import (
    CancelledError,
    SourceError,
    SourceNotFoundError,
    SpecificationError,
)
from tests.integration.storage.proxy import Answer, Cut, refuse

pytestmark = pytest.mark.s3

CSV = b"id,name\n1,Ada\n2,Bob\n"

LARGE = b"id,text\n" + b"".join(b"%d,%s\n" % (n, b"x" * 90) for n in range(100_000))
"""Ten megabytes: more than is copied for a glance."""


class Job:
    """One pipeline from a location into a CSV file."""

    def __init__(self, folder, connections):
        self.folder, self.connections = folder, connections
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.out = folder / "out.csv"

    def run(self, location, *, connection="lake", cancel=None, **more):
        source = {"location": location} | ({"connection": connection} if connection else {})
        pipeline = Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": source | more.pop("source", {}),
                "target": {"location": str(self.out), "mode": "replace"},
                **more,
            }
        )
        return run_pipeline(
            pipeline,
            connections=self.connections,
            run_id="run",
            base=self.folder,
            options=EngineOptions(all_text=True, threads=2, scratch=self.scratch),
            clock=lambda: datetime.now(timezone.utc),
            cancel=cancel,
        )

    def left(self):
        """What is still on scratch."""
        return list(self.scratch.iterdir())


@pytest.fixture
def job(tmp_path, lake):
    return Job(tmp_path, lake)


def opened(server, location, **spec):
    spec = SourceSpec(location=location, connection="lake", **spec)
    return open_source(spec, connections=server.connections, base=None, all_text=True)


def names(server, location):
    source = opened(server, location)
    try:
        return [input.name.removeprefix(server.url()) for input in source.inputs]
    finally:
        source.close()


# Which objects


KEYS = (
    "exports/orders_1.csv",
    "exports/orders_2.csv",
    "exports/other.csv",
    "exports/.hidden.csv",
    "exports/2026/orders_3.csv",
    "exports/2026/11/orders_4.csv",
    "exports/.tmp/orders_5.csv",
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("exports/orders_*.csv", ["exports/orders_1.csv", "exports/orders_2.csv"]),
        ("exports/orders_[!1].csv", ["exports/orders_2.csv"]),
        ("exports/orders_?.csv", ["exports/orders_1.csv", "exports/orders_2.csv"]),
        ("*/*/orders_3.csv", ["exports/2026/orders_3.csv"]),
        (
            "exports/**/orders_[34].csv",
            ["exports/2026/11/orders_4.csv", "exports/2026/orders_3.csv"],
        ),
        ("**/other.csv", ["exports/other.csv"]),
        ("exports/.h*", ["exports/.hidden.csv"]),
        ("exports/2026/**", ["exports/2026/11/orders_4.csv", "exports/2026/orders_3.csv"]),
    ],
)
def test_a_pattern_finds_what_it_would_find_on_disk(s3_server, tmp_path, pattern, found):
    for key in KEYS:
        s3_server.put(key, CSV)
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(CSV)

    assert names(s3_server, s3_server.url(pattern)) == found
    local = open_source(SourceSpec(location=pattern), connections=str, base=tmp_path)
    assert [input.name for input in local.inputs] == found


def test_a_name_with_brackets_is_taken_as_it_stands(s3_server):
    s3_server.put("report[1].csv", CSV)
    s3_server.put("report1.csv", CSV)

    assert names(s3_server, s3_server.url("report[1].csv")) == ["report[1].csv"]


def test_folders_that_a_console_made_are_no_files(s3_server):
    s3_server.put("in/", b"")
    s3_server.put("in/a.csv", CSV)

    assert names(s3_server, s3_server.url("in/*")) == ["in/a.csv"]


def test_a_folder_is_no_file(s3_server):
    s3_server.put("in/a.csv", CSV)

    with pytest.raises(SourceError, match="is a folder"):
        opened(s3_server, s3_server.url("in"))


@pytest.mark.parametrize("key", ["nothing.csv", "nothing/*.csv"])
def test_nothing_there_says_what_was_looked_for(s3_server, key):
    with pytest.raises(SourceNotFoundError, match=r"nothing"):
        opened(s3_server, s3_server.url(key))


def test_a_bucket_that_is_not_there_says_so(s3_server):
    with pytest.raises(SourceNotFoundError, match="the bucket does not exist"):
        opened(s3_server, "s3://no-such-bucket-anywhere/*.csv")


def test_a_connection_may_name_the_bucket(s3_server):
    s3_server.put("in/a.csv", CSV)
    connection = s3_server.connection(service_config={"s3": {"bucket_name": s3_server.bucket}})
    spec = SourceSpec(location="in/*.csv", connection="lake")

    source = open_source(spec, connections={"lake": connection}.__getitem__, base=None)

    assert [input.name for input in source.inputs] == [s3_server.url("in/a.csv")]
    source.close()


def test_without_a_connection_the_environment_logs_in(s3_server, job, monkeypatch):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)

    assert job.run(s3_server.put("a.csv", CSV), connection=None).rows_loaded == 2


def test_an_input_is_its_name_size_and_etag(s3_server):
    url = s3_server.put("a.csv", CSV)
    etag = s3_server.client().head_object(Bucket=s3_server.bucket, Key="a.csv")["ETag"]

    source = opened(s3_server, url)

    (input_,) = source.inputs
    assert (input_.name, input_.size, input_.version) == (url, len(CSV), etag)
    source.close()


def test_a_version_that_is_named_is_read_also_when_there_are_newer_ones(s3_server, job):
    client = s3_server.client()
    client.put_bucket_versioning(
        Bucket=s3_server.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    client.put_object(Bucket=s3_server.bucket, Key="a.csv", Body=CSV)
    version = client.head_object(Bucket=s3_server.bucket, Key="a.csv")["VersionId"]
    client.put_object(Bucket=s3_server.bucket, Key="a.csv", Body=CSV + b"3,Cy\n")

    report = job.run(s3_server.url(f"a.csv?versionId={version}"))

    assert report.rows_loaded == 2
    assert report.inputs[0].input.endswith(version)


def test_a_listing_goes_over_pages(s3_server, proxy, lake):
    for number in range(1_010):
        s3_server.put(f"in/{number:05}.csv", b"")
    fs = open_filesystem("s3://", connection=lake("lake"))

    found = [item.key for item in find_objects(fs, s3_server.bucket, "in/*.csv")]

    assert found == [f"in/{number:05}.csv" for number in range(1_010)]
    assert proxy.count("GET") == 2


def page(number, pages):
    """One of the answers of a large bucket."""
    keys = "".join(
        f"<Contents><Key>in/{number:03}-{at:04}.csv</Key><Size>3</Size><ETag>&quot;e&quot;</ETag>"
        "<LastModified>2026-11-20T09:00:00.000Z</LastModified></Contents>"
        for at in range(1_000)
    )
    more = number + 1 < pages
    token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if more else ""
    return Answer(
        f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{keys}"
        "</ListBucketResult>".encode()
    )


def pages(count):
    def behave(asked):
        token = parse_qs(asked.query).get("continuation-token", ["0"])[0]
        return page(int(token), count)

    return behave


def test_of_a_large_bucket_one_page_is_held_at_a_time(s3_server, proxy, lake):
    proxy.behave = pages(6)
    fs = open_filesystem("s3://", connection=lake("lake"))

    listing = find_objects(fs, s3_server.bucket, "in/*.csv")

    next(listing)
    assert proxy.count("GET") == 1
    assert sum(1 for _ in listing) == 5_999
    assert proxy.count("GET") == 6


def test_only_what_begins_like_the_pattern_is_listed(s3_server, proxy, lake):
    for key in KEYS:
        s3_server.put(key, CSV)
    fs = open_filesystem("s3://", connection=lake("lake"))

    list(find_objects(fs, s3_server.bucket, "exports/orders_*.csv"))

    asked = parse_qs(proxy.asked[-1].query)
    assert (asked["prefix"], asked["delimiter"]) == (["exports/orders_"], ["/"])


def test_a_listing_without_an_end_is_given_up(s3_server, job, proxy):
    same = Answer(
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>1</NextContinuationToken></ListBucketResult>"
    )
    proxy.behave = lambda _: same

    with pytest.raises(SourceError, match="can't be read"):
        job.run(s3_server.url("in/*.csv"))


# What is read


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV)),
        ("a.jsonl", b'{"id": 1}\n{"id": 2}\n'),
        ("a.utf16.csv", CSV.decode().encode("utf-16")),
        ("empty at the end.csv", CSV + b"\n\n"),
    ],
)
def test_every_kind_of_file_is_loaded(s3_server, job, name, data):
    report = job.run(s3_server.put(name, data))

    assert (report.rows_read, report.rows_loaded) == (2, 2)
    assert job.left() == []


def test_the_files_of_an_archive_are_inputs_of_their_own(s3_server, job):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("b.csv", CSV)
        archive.writestr("a.csv", CSV)
    url = s3_server.put("all.zip", packed.getvalue())

    report = job.run(url)

    assert [input.input for input in report.inputs] == [f"{url}!a.csv", f"{url}!b.csv"]
    assert report.rows_loaded == 4


def test_an_object_with_a_content_encoding_is_read_as_it_is_stored(s3_server, job):
    s3_server.client().put_object(
        Bucket=s3_server.bucket, Key="a.csv", Body=gzip.compress(CSV), ContentEncoding="gzip"
    )

    assert job.run(s3_server.url("a.csv")).rows_loaded == 2


def test_rejects_are_those_of_the_object(s3_server, job):
    report = job.run(s3_server.put("a.csv", CSV + b"only one\n"), max_rejected="none")

    assert (report.rows_loaded, report.rows_quarantined) == (2, 1)


def test_a_small_file_is_asked_for_once(s3_server, job, proxy):
    for number in range(40):
        s3_server.put(f"in/{number:03}.csv", CSV)

    report = job.run(s3_server.url("in/*.csv"))

    assert report.rows_loaded == 80
    assert [input.rows_loaded for input in report.inputs] == [2] * 40
    assert proxy.count("GET", "/in/") == 40


def test_what_does_not_fit_on_scratch_is_fetched_again_for_a_second_pass(
    s3_server, job, proxy, monkeypatch
):
    monkeypatch.setattr(depot, "KEPT_BYTES", 0)
    monkeypatch.setattr(depot.Depot.__init__, "__kwdefaults__", {"scratch": None, "kept_bytes": 0})
    for number in range(6):
        s3_server.put(f"in/{number:03}.csv", CSV + b"%d,Cy\n" % (10 + number))

    report = job.run(
        s3_server.url("in/*.csv"), rules=[{"column": "id", "unique": True}], max_rejected="none"
    )

    assert (report.rows_loaded, report.rows_quarantined) == (8, 10)
    assert job.left() == []


def test_of_a_large_file_only_the_beginning_is_fetched_to_see_what_it_is(s3_server, proxy, lake):
    spec = SourceSpec(location=s3_server.put("a.csv", LARGE), connection="lake")

    source = open_source(spec, connections=lake, base=None)

    assert source.schema.names == ("id", "text")
    wanted = [asked.headers["range"] for asked in proxy.asked if "range" in asked.headers]
    assert wanted
    assert all(int(asked.rpartition("-")[2]) < 4 * 2**20 for asked in wanted)
    source.close()


def test_a_large_file_is_whole(s3_server, job):
    report = job.run(s3_server.put("a.csv", LARGE))

    assert report.rows_loaded == 100_000
    assert job.left() == []


def test_a_load_is_the_same_when_nothing_changed(s3_server, job):
    url = s3_server.put("a.csv", CSV)
    first = job.run(url)

    again = job.run(url)

    assert again.load_id == first.load_id


# Bad days


def test_an_object_that_is_replaced_before_it_is_read_fails_the_run(s3_server, job, proxy):
    url = s3_server.put("a.csv", LARGE)

    def replace(asked):
        # After the listing and the looks at its beginning, when all of it is wanted.
        if "if-match" in asked.headers and "range" not in asked.headers:
            s3_server.put("a.csv", LARGE.replace(b"x", b"y"))

    proxy.behave = replace

    with pytest.raises(SourceError, match="changed while it was read"):
        job.run(url)
    assert not job.out.exists()
    assert job.left() == []


def test_an_object_that_is_replaced_between_two_parts_of_a_transfer_fails_the_run(
    s3_server, job, proxy
):
    url = s3_server.put("a.csv", LARGE)

    begun = []

    def behave(asked):
        if asked.method == "GET" and "range" not in asked.headers:
            begun.append(asked)
            return Cut(3_000_000)
        if begun:
            s3_server.put("a.csv", LARGE.replace(b"x", b"y"))
        return None

    proxy.behave = behave

    with pytest.raises(SourceError, match="changed while it was read"):
        job.run(url)
    assert not job.out.exists()


def test_a_store_that_does_not_heed_the_etag_is_noticed_by_its_answer(s3_server, job, proxy):
    url = s3_server.put("a.csv", CSV)

    def behave(asked):
        if asked.method == "GET" and "a.csv" in asked.path:
            asked.headers.pop("if-match", None)
            s3_server.put("a.csv", CSV.replace(b"Ada", b"Ann"))

    proxy.behave = behave

    with pytest.raises(SourceError, match="changed while it was read"):
        job.run(url)


def test_an_object_that_is_deleted_before_it_is_read_fails_the_run(s3_server, job, proxy):
    url = s3_server.put("a.csv", CSV)

    def behave(asked):
        if asked.method == "GET":
            s3_server.client().delete_object(Bucket=s3_server.bucket, Key="a.csv")

    proxy.behave = behave

    with pytest.raises(SourceNotFoundError, match="was deleted while it was read"):
        job.run(url)
    assert not job.out.exists()


@pytest.mark.parametrize("honest", [True, False])
def test_a_transfer_that_breaks_off_is_taken_up_where_it_stopped(s3_server, job, proxy, honest):
    url = s3_server.put("a.csv", LARGE)
    proxy.behave = lambda asked: (
        Cut(3_000_000, honest=honest)
        if asked.method == "GET" and asked.number % 2 and honest
        else None
    )

    report = job.run(url)

    assert report.rows_loaded == 100_000


def test_a_short_answer_is_never_taken_for_the_whole(s3_server, job, proxy):
    url = s3_server.put("a.csv", LARGE)
    proxy.behave = lambda asked: (
        Cut(3_000_000, honest=False)
        if asked.method == "GET" and "range" not in asked.headers
        else None
    )

    with pytest.raises(SourceError, match="changed while it was read"):
        job.run(url)
    assert not job.out.exists()


def test_a_transfer_that_never_gets_on_is_given_up(s3_server, job, proxy, monkeypatch):
    monkeypatch.setattr(reading, "RESUMES", 1)
    url = s3_server.put("a.csv", CSV)
    proxy.behave = lambda asked: Cut(0) if asked.method == "GET" else None

    with pytest.raises(SourceError, match="the connection broke off"):
        job.run(url)
    assert not job.out.exists()


@pytest.mark.parametrize(
    ("stage", "status", "code", "words"),
    [
        ("?list-type=2", 500, "InternalError", "internal error"),
        ("?list-type=2", 503, "SlowDown", "asks for fewer requests"),
        ("?list-type=2", 403, "AccessDenied", "access is denied"),
        ("?list-type=2", 403, "InvalidAccessKeyId", "the access key is not known"),
        ("?list-type=2", 400, "ExpiredToken", "the session token has expired"),
        ("/in/a.csv", 500, "InternalError", "internal error"),
        ("/in/a.csv", 403, "AccessDenied", "access is denied"),
    ],
)
def test_a_store_that_refuses_says_why(s3_server, job, proxy, status, code, words, stage):
    s3_server.put("in/a.csv", CSV)
    proxy.behave = lambda asked: (
        refuse(status, code) if stage in f"{asked.path}?{asked.query}" else None
    )

    with pytest.raises(SourceError, match=words) as failed:
        job.run(s3_server.url("in/*.csv"))

    assert s3_server.secret not in str(failed.value)
    assert not job.out.exists()
    assert job.left() == []


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_a_store_that_is_busy_is_asked_again(s3_server, job, proxy, code):
    s3_server.put("in/a.csv", CSV)
    status = 500 if code == "InternalError" else 503
    proxy.behave = lambda asked: refuse(status, code) if asked.number == 1 else None

    assert job.run(s3_server.url("in/*.csv")).rows_loaded == 2


def test_a_store_that_is_not_there_says_so(s3_server, tmp_path):
    lost = s3_server.connection(endpoint_url="http://127.0.0.1:9")
    job = Job(tmp_path, {"lake": lost}.__getitem__)

    with pytest.raises(SourceError, match="the connection failed"):
        job.run(s3_server.url("*.csv"))


def test_a_run_that_is_told_to_stop_leaves_nothing_on_scratch(s3_server, job):
    url = s3_server.put("a.csv", LARGE)

    with pytest.raises(CancelledError):
        job.run(url, cancel=lambda: True)
    assert job.left() == []


def test_a_connection_of_another_kind_is_refused(s3_server, tmp_path):
    from airflow_etl_provider.contracts.connection import Connection

    job = Job(tmp_path, lambda name: Connection(name, "postgres"))

    with pytest.raises(SpecificationError, match="of type 'postgres'"):
        job.run(s3_server.put("a.csv", CSV))


@pytest.fixture
def small_disk(tmp_path):
    """A scratch folder with room for five megabytes; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_scratch_folder_without_room_is_named(s3_server, job, small_disk):
    job.scratch = small_disk

    with pytest.raises(SourceError, match=rf"can't be copied to {small_disk}: no space is left"):
        job.run(s3_server.put("a.csv", LARGE))

    assert not job.out.exists()
    assert job.left() == []

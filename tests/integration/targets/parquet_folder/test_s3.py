"""Folders in an object store that answers late, wrongly, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.cli import main
from airflow_etl_provider.engines.targets.parquet_folder import s3_store
from airflow_etl_provider.engines.targets.parquet_folder.s3_store import S3Store
from airflow_etl_provider.exceptions import (
    FencedError,
    SpecificationError,
    TargetAuthError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
)
from tests.integration.targets.parquet_folder.folders import Folder
from tests.integration.targets.parquet_folder.proxy import a_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import S3Server
    from tests.integration.targets.parquet_folder.proxy import Action, Proxy

pytestmark = pytest.mark.s3


@pytest.fixture
def proxied(s3_server: S3Server, tmp_path: Path) -> Iterator[tuple[Folder, Proxy]]:
    with a_proxy(s3_server.endpoint) as (proxy, endpoint):
        server = replace(s3_server, endpoint=endpoint)
        store = S3Store(server.url("orders/"), connection=server.connection())
        yield Folder(tmp_path, store=store), proxy


def data(server: S3Server) -> list[str]:
    return [key for key in server.keys("orders/") if key.endswith(".parquet")]


def uploads(server: S3Server) -> list[str]:
    answer = server.client().list_multipart_uploads(Bucket=server.bucket)
    return [upload["Key"] for upload in answer.get("Uploads", [])]


WRITES = {
    "a part": ("PUT", "partNumber"),
    "a completed upload": ("POST", "uploadId"),
    "a list of loads": ("PUT", "_etl/loads"),
    "a manifest": ("PUT", "_etl/manifest"),
    "a listing": ("GET", "list-type"),
    "what is read": ("GET", "_etl/manifest/"),
}


@pytest.mark.parametrize(
    ("what", "action"),
    [
        *((what, (503, "SlowDown")) for what in WRITES),
        ("a part", (500, "InternalError")),
        *((what, "cut") for what in ("a part", "a manifest", "what is read")),
        *((what, "lose") for what in ("a completed upload", "a manifest")),
    ],
)
def test_a_passing_weakness_of_the_store_does_not_show(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, what: str, action: Action
) -> None:
    folder, proxy = proxied
    folder.load("a", [(1, "one")])
    method, part = WRITES[what]
    with folder.begin("b") as session:
        proxy.times(1, action, method=method, part=part)
        folder.publish(session, folder.write(session, [(2, "two")]))
    assert proxy.misbehaved == 1
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["a", "b"]
    assert len(data(s3_server)) == 2
    assert uploads(s3_server) == []


@pytest.mark.parametrize(
    ("what", "action"),
    [("a part", "cut"), ("a completed upload", (503, "SlowDown")), ("a manifest", "cut")],
)
def test_a_store_that_stays_away_is_told_and_the_load_runs_again(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, what: str, action: Action
) -> None:
    folder, proxy = proxied
    folder.load("a", [(1, "one")])
    method, part = WRITES[what]
    with folder.begin("b") as session:
        proxy.times(1000, action, method=method, part=part)
        with pytest.raises(TargetUnavailableError):
            folder.publish(session, folder.write(session, [(2, "two")]))
    proxy.behave()
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["a"]
    assert folder.load("b", [(2, "two")]) is not None
    assert len(data(s3_server)) == 2
    assert uploads(s3_server) == []


def test_a_manifest_that_arrived_unheard_is_found_by_the_next_run(
    proxied: tuple[Folder, Proxy], s3_server: S3Server
) -> None:
    folder, proxy = proxied
    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])

        lost: list[str] = []

        def decide(method: str, path: str) -> Action:
            if method == "PUT" and "_etl/manifest/" in path:
                lost.append(path)
                return "lose"
            return "cut" if lost else "pass"

        proxy.decide = decide
        with pytest.raises(TargetUnavailableError):
            folder.publish(session, count)
    proxy.behave()
    assert folder.load("a", [(1, "one")]) is None
    assert len(data(s3_server)) == 1


CONFLICT = (409, "ConditionalRequestConflict")


def test_a_conflict_with_a_request_under_way_is_no_lost_race(
    proxied: tuple[Folder, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, proxy = proxied
    store = folder.target().store
    monkeypatch.setattr(s3_store, "FIRST_WAIT", 0.0)
    proxy.times(2, CONFLICT, method="PUT", part="new")
    assert store.put_if_absent("new", b"mine")
    assert proxy.misbehaved == 2
    proxy.times(1, CONFLICT, method="PUT", part="new")
    assert not store.put_if_absent("new", b"of another")
    assert store.read("new") == b"mine"
    proxy.times(1000, CONFLICT, method="PUT", part="never")
    with pytest.raises(TargetUnavailableError):
        store.put_if_absent("never", b"mine")


def test_a_manifest_that_arrives_after_a_conflict_is_found(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, proxy = proxied
    folder.load("0", [(0, "zero")])
    real, late = S3Store.put_if_absent, []

    def put(store: S3Store, key: str, data: bytes) -> bool:
        if key.startswith("_etl/manifest/") and not late:
            late.append(key)
            monkeypatch.setattr(s3_store, "CONFLICTS", 1)
            proxy.times(1, CONFLICT, method="PUT", part=key)
            with pytest.raises(TargetUnavailableError):
                real(store, key, data)
            store.put(key, data)
            return False
        return real(store, key, data)

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        monkeypatch.setattr(S3Store, "put_if_absent", put)
        folder.publish(session, count)
    assert late
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["0", "a"]
    assert len(data(s3_server)) == 2


def test_large_files_go_in_parts(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, proxy = proxied
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 * 2**20)
    noise = s3_store.secrets.token_hex(500_000)
    rows = [(n, noise[n:] + noise[:n]) for n in range(24)]
    with folder.begin("a") as session:
        count = folder.write(session, rows, batch_rows=4)
        assert data(s3_server) == [], "nothing is seen before the publish"
        assert len(uploads(s3_server)) == 1
        folder.publish(session, count)
    parts = [path for method, path in proxy.seen if "partNumber" in path]
    assert len(parts) > 1
    [key] = data(s3_server)
    found = s3_server.client().get_object(Bucket=s3_server.bucket, Key=key)["Body"].read()
    import io

    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(found))
    assert table["name"].to_pylist() == [name for _, name in rows]


def test_a_store_that_passes_over_conditions_is_noticed_and_used_with_care(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    folder, proxy = proxied
    proxy.times(1000, "ignore conditions", method="PUT")
    folder.load("a", [(1, "one")])
    assert "no conditional puts" in caplog.text
    assert not folder.target().store.fenced
    zombie = folder.begin("b")
    folder.load("b", [(2, "two")])
    with pytest.raises(FencedError):
        folder.publish(zombie, folder.write(zombie, [(2, "zombie")]))
    zombie.abort()
    assert len(data(s3_server)) == 2


def test_a_store_that_knows_no_conditions_is_used_with_care(
    proxied: tuple[Folder, Proxy], s3_server: S3Server
) -> None:
    folder, proxy = proxied
    proxy.times(1, (501, "NotImplemented"), method="PUT", part="probe")
    folder.load("a", [(1, "one")])
    assert not folder.target().store.fenced
    assert len(data(s3_server)) == 1


REFUSED = {
    (403, "AccessDenied"): TargetPermissionError,
    (403, "InvalidAccessKeyId"): TargetAuthError,
    (403, "SignatureDoesNotMatch"): TargetAuthError,
    (400, "ExpiredToken"): TargetAuthError,
}


@pytest.mark.parametrize("answer", REFUSED)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_the_store_refuses_is_told_as_what_it_is(
    proxied: tuple[Folder, Proxy], method: str, answer: tuple[int, str]
) -> None:
    folder, proxy = proxied
    proxy.times(1000, answer, method=method)
    with pytest.raises(REFUSED[answer]) as caught:
        folder.load("a")
    assert "secret/with+signs" not in str(caught.value)


def test_who_may_not_delete_can_load_all_the_same(
    proxied: tuple[Folder, Proxy], s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    folder, proxy = proxied
    folder.load("a", [(1, "one")])
    proxy.times(1000, (403, "AccessDenied"), method="POST", part="delete")
    assert folder.load("b", [(2, "two")], mode="replace") is not None
    assert "could not be swept" in caplog.text
    assert len(data(s3_server)) == 2
    proxy.behave()
    folder.load("c", [(3, "three")])
    assert len(data(s3_server)) == 2, "the next load swept what was replaced"


def test_a_missing_bucket_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    store = S3Store("s3://no-such-bucket/orders/", connection=s3_server.connection())
    with pytest.raises(TargetMissingError, match="no-such-bucket"):
        Folder(tmp_path, store=store).load("a")


def test_a_server_that_is_not_there_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    server = replace(s3_server, endpoint="http://127.0.0.1:1")
    store = S3Store(server.url("orders/"), connection=server.connection())
    with pytest.raises(TargetUnavailableError):
        Folder(tmp_path, store=store).load("a")


@pytest.mark.parametrize("url", ["s3:///orders/", "s3://bucket/a//b/"])
def test_a_url_that_names_no_prefix_is_refused(url: str) -> None:
    with pytest.raises(SpecificationError):
        S3Store(url)


def test_uploads_of_another_folder_are_left_alone(s3_server: S3Server, tmp_path: Path) -> None:
    def folder(prefix: str) -> Folder:
        store = S3Store(s3_server.url(prefix), connection=s3_server.connection())
        return Folder(tmp_path, store=store)

    inner, outer = folder("orders/inner/"), folder("orders/")
    with inner.begin("a") as living:
        count = inner.write(living, [(1, "one")])
        outer.load("b")
        outer.load("c")
        assert len(uploads(s3_server)) == 1
        inner.publish(living, count)
    assert len(data(s3_server)) == 3


def test_a_csv_is_loaded_into_a_prefix_by_the_command_line(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text("id,shop\n1,x\n2,y\n3,y,surplus\n")
    words = ["load", "orders.csv", s3_server.url("orders/"), "--partition-by", "shop"]
    assert main(words) == 3
    assert main(words) in (0, 3)
    rejects = s3_server.keys("orders.quarantine/")
    assert {key.rpartition("/")[2] for key in rejects} >= {"rejects.parquet", "manifest.json"}
    assert [key.rpartition("/")[0] for key in data(s3_server)] == [
        "orders/shop=x",
        "orders/shop=y",
    ]
    capsys.readouterr()
    assert main(["files", s3_server.url("orders/")]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed == [s3_server.url(key) for key in data(s3_server)]

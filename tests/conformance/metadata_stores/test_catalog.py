"""Every store searches the catalog, and versions pipelines and schemas."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from airflow_etl_provider.metadata.queries import CatalogQuery, Query
from airflow_etl_provider.metadata.records import (
    PipelineRecord,
    PipelineVersionRecord,
    SchemaVersionRecord,
)
from tests.conformance.metadata_stores.examples import (
    MINUTE,
    NOW,
    dataset,
    pipeline,
)


def found_names(store, text="", **query):
    return [hit.dataset.name for hit in store.search(CatalogQuery(text, **query)).items]


def test_the_catalog_is_searched_by_names_columns_tags_and_descriptions(store):
    store.record(
        [
            dataset(
                "shop/public.orders",
                [
                    {"name": "customerId", "type": "int64"},
                    {"name": "order_total", "type": "string"},
                ],
                description="What was bought, by day",
                tags=("finance",),
            ),
            dataset(
                "shop/public.customers",
                [{"name": "e_mail", "type": "string", "tags": ["personal", "email"]}],
                kind="files",
            ),
            dataset("lake/Zürich_ÖV", [{"name": "Straße"}], connection="lake"),
        ]
    )

    assert found_names(store, "customer") == ["shop/public.customers", "shop/public.orders"]
    assert found_names(store, "CUSTOMER id") == ["shop/public.orders"]
    assert found_names(store, "customerid") == ["shop/public.orders"]
    assert found_names(store, "bought") == ["shop/public.orders"]
    assert found_names(store, "bou") == ["shop/public.orders"]
    assert found_names(store, "ought") == []
    assert found_names(store, "finance") == ["shop/public.orders"]
    assert found_names(store, "zürich straße") == ["lake/Zürich_ÖV"]
    assert found_names(store, tags=("personal",)) == ["shop/public.customers"]
    assert found_names(store, "shop", tags=("personal", "email")) == ["shop/public.customers"]
    assert found_names(store, tags=("person",)) == []
    assert found_names(store, kind="files") == ["shop/public.customers"]
    assert found_names(store, connection="lake") == ["lake/Zürich_ÖV"]
    assert len(found_names(store)) == 3
    assert found_names(store, "' | !:*& %_\\") == []
    hits = store.search(CatalogQuery("customer")).items
    assert [hit.matched_columns for hit in hits] == [(), ("customerId",)]
    assert hits[0].score > hits[1].score


def test_a_search_is_read_page_by_page(store):
    store.record(
        [dataset(f"a/orders_{at}") for at in range(5)]
        + [dataset(f"b/{at}", [{"name": "orders"}]) for at in range(4)]
    )

    seen, cursor = [], None
    while True:
        page = store.search(CatalogQuery("order", limit=2, after=cursor))
        seen += [hit.dataset.name for hit in page.items]
        cursor = page.cursor
        if cursor is None:
            break

    assert seen == [f"a/orders_{at}" for at in range(5)] + [f"b/{at}" for at in range(4)]


def test_what_is_missing_is_found_only_when_asked_for(store):
    store.record([dataset("shop/gone", missing_since=NOW)])

    assert found_names(store, "gone") == []
    assert found_names(store, "gone", include_missing=True) == ["shop/gone"]


def test_a_dataset_that_changed_is_found_by_what_it_has_now(store):
    store.record([dataset("shop/orders", [{"name": "old_name"}])])
    store.record([dataset("shop/orders", [{"name": "fresh"}], seen_at=NOW + MINUTE)])

    assert found_names(store, "old") == []
    assert found_names(store, "fresh") == ["shop/orders"]


def test_a_dataset_of_ten_thousand_columns_is_found_by_each(store):
    store.record([dataset("shop/wide", [{"name": f"column{at}"} for at in range(10_000)])])

    assert found_names(store, "column9999") == ["shop/wide"]


def test_a_pipeline_gets_a_version_when_its_specification_changes(store):
    def register(fingerprint, **values):
        return store.register_pipeline(
            pipeline(**values), specification={"is": fingerprint}, fingerprint=fingerprint, by="ann"
        ).version

    assert register("a") == 1
    assert register("a", updated_at=NOW + MINUTE) == 1
    assert register("b", updated_at=NOW + 2 * MINUTE) == 2
    assert register("a", updated_at=NOW + 3 * MINUTE) == 3
    versions = store.find(Query(PipelineVersionRecord, equals={"pipeline": "orders"})).items
    assert [(found.version, found.specification["is"]) for found in versions] == [
        (3, "a"),
        (2, "b"),
        (1, "a"),
    ]
    assert store.get(PipelineRecord, "orders").version == 3


def test_many_that_register_one_pipeline_at_once_give_it_one_version(store):
    def register(_):
        return store.register_pipeline(
            pipeline(), specification={}, fingerprint="a", by=None
        ).version

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(register, range(12))) == [1] * 12


def test_a_schema_that_changed_ends_the_one_before(store):
    def tell(fingerprint, at):
        return store.record_schema(
            SchemaVersionRecord("d", 0, fingerprint, ({"name": fingerprint},), valid_from=at)
        ).version

    assert tell("a", NOW) == 1
    assert tell("a", NOW + MINUTE) == 1
    assert tell("b", NOW + 2 * MINUTE) == 2
    newest, first = store.find(Query(SchemaVersionRecord, equals={"dataset_id": "d"})).items
    assert (newest.valid_from, newest.valid_to) == (NOW + 2 * MINUTE, None)
    assert (first.valid_from, first.valid_to) == (NOW, NOW + 2 * MINUTE)

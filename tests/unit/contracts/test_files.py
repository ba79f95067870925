from __future__ import annotations

import json
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.document import MAX_BYTES
from airflow_etl_provider.contracts.files import (
    contract_from_text,
    contract_to_text,
    pipeline_from_mapping,
    pipeline_from_text,
    read_contract,
    read_pipeline,
    resolve_mapping,
    write_contract,
)
from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.exceptions import SpecificationError

YAML = """\
pipeline: orders
source: { location: orders.csv, null_values: NA }
target:
  location: warehouse.duckdb
  table: orders
  mode: merge
  key: order_id
rules:
  - { column: order_id, not_null: true }
"""

JSON = """\
{
\t"pipeline": "orders",
\t"source": {"location": "orders.csv", "null_values": ["NA"]},
\t"target": {"location": "warehouse.duckdb", "table": "orders",
\t           "mode": "merge", "key": ["order_id"]},
\t"rules": [{"column": "order_id", "not_null": true}]
}
"""

CONTRACT = MappingContract(
    contract="orders",
    target={"fields": {"order_id": "int64"}},
    columns={"order_id": {"from": "id", "convert": "cast"}},
)


def refusal(text: str, name: str = "orders.yaml") -> str:
    with pytest.raises(SpecificationError) as error:
        pipeline_from_text(text, name=name)
    return str(error.value)


def test_yaml_json_and_python_give_equal_pipelines(tmp_path):
    (tmp_path / "orders.yaml").write_text(YAML)
    (tmp_path / "orders.json").write_text(JSON)
    python = Pipeline(
        pipeline="orders",
        source={"location": "orders.csv", "null_values": "NA"},
        target={
            "location": "warehouse.duckdb",
            "table": "orders",
            "mode": "merge",
            "key": "order_id",
        },
        rules=[{"column": "order_id", "not_null": True}],
    )
    assert read_pipeline(tmp_path / "orders.yaml") == python
    assert read_pipeline(tmp_path / "orders.json") == python
    assert pipeline_from_mapping(json.loads(JSON)) == python


def test_an_error_names_file_line_column_key_what_was_found_and_what_is_allowed(tmp_path):
    path = tmp_path / "orders.yaml"
    path.write_text(YAML.replace("mode: merge", "mode: marge"))
    with pytest.raises(SpecificationError) as error:
        read_pipeline(path)
    assert str(error.value) == (
        f"{path}, line 6, column 9, target.mode: found 'marge'; allowed: append, replace, "
        "replace_partition, merge. Did you mean 'merge'?"
    )


def test_all_problems_of_a_file_are_reported_at_once():
    message = refusal(
        YAML.replace("location: orders.csv", "locaton: orders.csv")
        .replace("mode: merge", "mode: 5")
        .replace("not_null: true", "notnull: true")
        + "max_rejected: lots\n"
    )
    assert message.startswith("orders.yaml has 4 problems:\n")
    assert "line 2, column 11, source.locaton: unknown key. Did you mean 'location'?" in message
    assert "line 6, column 9, target.mode: found 5; allowed" in message
    assert "line 9, column 25, rules[0].notnull: unknown key. Did you mean 'not_null'?" in message
    assert "line 10, column 15, max_rejected: found 'lots'" in message


def test_a_missing_key_is_reported_at_the_mapping_that_lacks_it():
    message = refusal("pipeline: orders\nsource:\n  location: a.csv\n")
    assert message == "orders.yaml, line 1, column 1, target: is missing."


def test_a_key_that_stands_twice_is_an_error_at_both_places():
    message = refusal(YAML + "pipeline: again\n")
    assert message == (
        "orders.yaml, line 10, column 1, pipeline: stands twice; it is also at line 1, column 1."
    )


def test_a_key_without_a_value_is_an_error():
    assert "line 10, column 1, filter: has no value" in refusal(YAML + "filter:\n")


@pytest.mark.parametrize(
    "number", ["0123", "1_000", "0x1F", "0o17", ".inf", ".nan", "1" * 50, "1e999"]
)
def test_a_number_that_may_be_meant_as_text_is_not_guessed(number):
    message = refusal(YAML + f"max_rejected: {number}\n")
    assert "line 10, column 15, max_rejected: found" in message
    assert "quotes" in message


def test_yes_is_text_and_no_truth_value():
    assert "found 'yes'; expected true or false" in refusal(YAML.replace("true", "yes"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- pipeline\n", "holds no keys"),
        ("just text", "holds no keys"),
        ("pipeline: [orders\n", "line 2, column 1: no valid YAML"),
        ("pipeline: a\n---\npipeline: b\n", "no valid YAML"),
        ("pipeline: 'a\x00'\n", "no valid YAML"),
        ('pipeline: "\\U99999999"\n', "no valid YAML"),
        ("[" * 5000, "no valid YAML"),
        ("pipeline: !!python/object/apply:os.system [ls]\n", "tags are not allowed"),
        ("pipeline: !!python/name:os.system ''\n", "tags are not allowed"),
        ("pipeline: !secret x\n", "tags are not allowed"),
        ("pipeline: !!binary aGk=\n", "tags are not allowed"),
        ("a: &a { x: 1 }\nb: { <<: *a }\n", "`<<` is no key"),
        ("? [a, b]\n: 1\n", "a list or mapping is no key"),
        ("a: &a [*a]\n", "nests more than"),
        ("a: *nowhere\n", "undefined alias"),
    ],
)
def test_what_is_no_plain_document_is_refused(text, problem):
    message = refusal(text)
    assert message.startswith("orders.yaml")
    assert problem in message
    assert len(message) < 500


def test_a_short_text_that_means_a_huge_one_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases count in full" in refusal("\n".join(lines))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "orders.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SpecificationError, match="larger than 2 MB"):
        read_pipeline(path)
    assert "larger than 2 MB" in refusal("#" * (MAX_BYTES + 1))


def test_an_alias_may_spare_writing_a_value_twice():
    text = YAML.replace("key: order_id", "key: &key order_id").replace(
        "column: order_id", "column: *key"
    )
    assert pipeline_from_text(text, name="orders.yaml").rules[0].column == "order_id"


def test_a_broken_json_file_is_reported_as_json():
    assert "no valid JSON" in refusal('{"pipeline": "orders",}', name="orders.json")
    # Python 3.13 points at the comma, older ones at what comes after it.
    told = refusal('{"pipeline": "orders",}', name="orders.json")
    assert re.search(r"line 1, column 2[23]\b", told)


def test_a_date_is_text_in_yaml_as_in_json():
    text = YAML + "  - { column: day, between: [2026-01-01, 2026-12-31T00:00:00Z] }\n"
    assert pipeline_from_text(text, name="x").rules[1].between == (
        "2026-01-01",
        "2026-12-31T00:00:00Z",
    )


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "orders.yaml").write_text(YAML, encoding="utf-8-sig")
    assert read_pipeline(tmp_path / "orders.yaml").pipeline == "orders"


def test_a_file_that_is_no_utf8_says_so(tmp_path):
    (tmp_path / "orders.yaml").write_bytes(b"pipeline: K\xf6ln\n")
    with pytest.raises(SpecificationError, match=r"no UTF-8 text \(byte 12\)"):
        read_pipeline(tmp_path / "orders.yaml")


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SpecificationError, match="There is no pipeline file"):
        read_pipeline(tmp_path / "none.yaml")
    with pytest.raises(SpecificationError, match="can't be read"):
        read_contract(tmp_path)


def test_a_file_can_not_use_pythons_names():
    text = contract_to_text(CONTRACT).replace("from:", "from_:")
    with pytest.raises(SpecificationError, match=r"from_: unknown key\. Did you mean 'from'"):
        contract_from_text(text, name="c.yaml")


@pytest.mark.parametrize("name", ["orders.mapping.yaml", "orders.mapping.json"])
def test_a_contract_is_written_and_read_again(tmp_path, name):
    write_contract(CONTRACT, tmp_path / name)
    assert read_contract(tmp_path / name) == CONTRACT
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_written_contract_has_a_line_for_each_column():
    text = contract_to_text(CONTRACT)
    assert "  order_id: {from: id, convert: cast}\n" in text


def test_writing_into_a_folder_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_contract(CONTRACT, tmp_path / "none" / "c.yaml")
    assert list(tmp_path.iterdir()) == []


WORDS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
    st.text(alphabet=string.punctuation + " \t\n", min_size=1, max_size=8),
    st.sampled_from(
        [
            ":0",
            "null",
            "~",
            "true",
            "no",
            "1",
            "0123",
            "1e3",
            "2026-01-01",
            "<<",
            "=",
            "- a",
            "a: b",
            "\u2028",
            "\x85",
            "\ufeff",
            "😀",
        ]
    ),
).filter(lambda word: word.strip() and "\x00" not in word)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5, unique=True), WORDS, WORDS, st.booleans())
def test_whatever_the_names_a_written_contract_reads_back(names, field, value, as_json):
    contract = MappingContract(
        contract=field,
        target={"fields": dict.fromkeys(names, "string")},
        columns={
            name: {"from": field, "convert": {"nullif": value}, "evidence": [value]}
            for name in names
        },
    )
    text = contract_to_text(contract, json_text=as_json)
    again = contract_from_text(text, name="c.json" if as_json else "c.yaml")
    assert again == contract
    assert again.contract_hash() == contract.contract_hash()


def test_by_name_needs_no_contract():
    assert resolve_mapping(pipeline_from_text(YAML, name="x"), None) is None


def test_a_contract_file_is_found_beside_the_pipeline(tmp_path):
    write_contract(CONTRACT, tmp_path / "orders.mapping.yaml")
    pipeline = pipeline_from_text(YAML + "mapping: orders.mapping.yaml\n", name="x")
    assert resolve_mapping(pipeline, tmp_path) == CONTRACT
    with pytest.raises(SpecificationError, match="There is no contract file"):
        resolve_mapping(pipeline, tmp_path / "elsewhere")


def test_an_inline_contract_is_given_back():
    pipeline = pipeline_from_text(YAML, name="x").model_copy(update={"mapping": CONTRACT})
    assert resolve_mapping(pipeline, None) is CONTRACT


def test_a_proposed_contract_is_refused_for_a_run(tmp_path):
    proposed = CONTRACT.model_copy(update={"status": "proposed"})
    write_contract(proposed, tmp_path / "c.yaml")
    pipeline = pipeline_from_text(YAML + "mapping: c.yaml\n", name="x")
    with pytest.raises(SpecificationError, match="is proposed; only an approved contract runs"):
        resolve_mapping(pipeline, tmp_path)


def test_a_contract_without_the_columns_of_the_pipeline_is_refused(tmp_path):
    write_contract(CONTRACT, tmp_path / "c.yaml")
    text = YAML.replace("order_id", "orderid") + "mapping: c.yaml\n"
    with pytest.raises(SpecificationError) as error:
        resolve_mapping(pipeline_from_text(text, name="x"), tmp_path)
    assert "Pipeline 'orders' has 2 problems" in str(error.value)
    assert "target.key: found 'orderid'" in str(error.value)

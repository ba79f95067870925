"""Names that DuckDB answers with the clock or the session where no column has them."""

from __future__ import annotations

import re

import duckdb
import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.select import parse_select
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.relational.binding import bind_select
from airflow_etl_provider.engines.relational.value_names import VALUE_NAMES
from airflow_etl_provider.exceptions import SpecificationError

NUMBERS = Schema((Field("x", LogicalType("int64")), Field("s", LogicalType("string"))))
USERS = Schema((Field("id", LogicalType("int64")), Field("User", LogicalType("string"))))


def bound(sql: str) -> None:
    read = set(re.findall(r"(?:from|join|,) ([au])\b", sql))
    schemas = {name: schema for name, schema in (("a", NUMBERS), ("u", USERS)) if name in read}
    bind_select(parse_select(sql, inputs=schemas), schemas=schemas)


def test_all_names_are_known_that_duckdb_answers_itself() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE VIEW a AS SELECT 1 AS x")
    words = connection.execute(
        "SELECT function_name FROM duckdb_functions() UNION SELECT keyword_name FROM "
        "duckdb_keywords() UNION SELECT unnest(['current_timestamp', 'localtime', 'session_user', "
        "'localtimestamp', 'current_time', 'current_date', 'current_role', 'current_user', 'user', "
        "'current_catalog', 'current_schema', 'current_database', 'system_user', 'rowid'])"
    ).fetchall()
    answered = set()
    for (word,) in words:
        try:
            connection.execute('SELECT "{}" AS v FROM a'.format(word.replace('"', '""')))
        except duckdb.Error:
            continue
        answered.add(word)
    assert answered - {"*"} == VALUE_NAMES


@pytest.mark.parametrize("name", sorted(VALUE_NAMES))
@pytest.mark.parametrize("written", ["{}", '"{}"'])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_such_a_name_is_refused_where_no_column_has_it(name: str, written: str, case) -> None:
    word = written.format(case(name))
    with pytest.raises(SpecificationError):
        bound(f"select x, {word} as v from a")
    with pytest.raises(SpecificationError):
        bound(f"select x from a where cast({word} as varchar) > 'a'")


@pytest.mark.parametrize(
    "sql",
    [
        'select "user" as "user" from a',
        "select user from a",
        "select \"user\" || 'x' as v from a",
        'with b as (select "user" as y from a) select y from b',
        'select x, (select "user") as v from a',
        'select (select "user") as v, \'a\' as "user" from a',
        'select s as "user", count(*) as n from a group by all having "user" = \'duckdb\'',
        'select s as "user", row_number() over () as n from a qualify "user" = \'duckdb\'',
        'select x from a order by "user"',
        "select p.x from a p join a q on p.x = q.x and \"user\" = 'duckdb'",
        'select x from a union all select length("user") from a',
        'select * replace ("user" as s) from a',
        'select x, t.y from a, unnest(["user"]) as t(y)',
        'select x, b.y from a, (select "user" as y) b',
        'select x, t.y from a, (values ("user")) as t(y)',
        'select p.x, "user" as v from a p where x in (select id from u)',
        "select sum(x) filter (\"user\" = 'duckdb') as v from a",
        'select s as "user" from a order by row_number() over (order by "user")',
        'select x from a limit (select length("user"))',
        'select x from a union all select 1 order by length("user")',
    ],
)
def test_it_is_refused_in_every_place(sql: str) -> None:
    with pytest.raises(SpecificationError, match=r"(?i)user"):
        bound(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select user from u",
        'select "USER" as v from u where "user" = \'x\'',
        "select u.user from u join a on a.x = u.id",
        "select user from u join a on a.x = u.id",
        "select s, (select max(id) from u where user = a.s) as m from a",
        "select s, (select max(id) from u where s = user) as m from a",
        "select id, (select count(*) from a where s = user) as m from u",
        'with b as (select s as "user" from a) select user from b',
        "with b as (select * from u) select user, count(*) as n from b group by user order by user",
        'select s as "user" from a order by "user"',
        'select s as "user", length("user") as n from a',
        'select s as "user", count(*) as n from a group by "user"',
        'select s as "user" from a where "user" = \'x\'',
        'select x from a union all select x from a order by "x"',
        "select l.id, r.id as other from u l join u r using (user)",
        "select * exclude (user) from u",
        'select t."user" from a, unnest([x]) as t("user")',
        'select "user" from a, unnest([x]) as t("user")',
        'select "user" from (values (1)) as t("user"), a',
        "select user, row_number() over (partition by user order by id) as n from u",
        "select user from u union all select s from a order by user",
    ],
)
def test_a_column_or_alias_of_that_name_is_taken(sql: str) -> None:
    bound(sql)


def test_the_message_says_what_it_would_be_and_what_to_write() -> None:
    with pytest.raises(SpecificationError, match=r"'current_date'.*the clock"):
        bound('select x, "current_date" as v from a')
    with pytest.raises(SpecificationError, match=r"'user'.*the session"):
        bound('select x, "user" as v from a')

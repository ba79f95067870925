"""Foreign keys of a database, found by values and names alone, against those that it declares."""

from __future__ import annotations

from dataclasses import replace

import psycopg2
import pytest

from airflow_etl_provider.agents.discovery.relations import find_relations
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

# A shop that lends films: all its tables count from one, so that values alone prove nothing.
SCHEMA = """
CREATE TABLE language (language_id int PRIMARY KEY, name text);
CREATE TABLE country (country_code char(2) PRIMARY KEY, country text);
CREATE TABLE city (city_id int PRIMARY KEY, city text, country_code char(2) REFERENCES country);
CREATE TABLE address (address_id int PRIMARY KEY, street text, city_id int REFERENCES city);
CREATE TABLE store (store_id int PRIMARY KEY, address_id int REFERENCES address);
CREATE TABLE staff (staff_id int PRIMARY KEY, name text, store_id int REFERENCES store,
  manager_staff_id int REFERENCES staff);
CREATE TABLE customer (customer_id int PRIMARY KEY, store_id int REFERENCES store,
  email text, address_id int REFERENCES address, active int);
CREATE TABLE category (category_id int PRIMARY KEY, name text);
CREATE TABLE film (film_id int PRIMARY KEY, title text, length int, release_year int,
  language_id int REFERENCES language, original_language_id int REFERENCES language);
CREATE TABLE film_category (film_id int REFERENCES film, category_id int REFERENCES category,
  PRIMARY KEY (film_id, category_id));
CREATE TABLE actor (actor_id int PRIMARY KEY, last_name text);
CREATE TABLE film_actor (actor_id int REFERENCES actor, film_id int REFERENCES film,
  PRIMARY KEY (actor_id, film_id));
CREATE TABLE inventory (inventory_id int PRIMARY KEY, film_id int REFERENCES film,
  store_id int REFERENCES store);
CREATE TABLE rental (rental_id int PRIMARY KEY, rented_at timestamp,
  inventory_id int REFERENCES inventory, customer_id int REFERENCES customer,
  staff_id int REFERENCES staff);
CREATE TABLE payment (payment_id int PRIMARY KEY, customer_id int REFERENCES customer,
  staff_id int REFERENCES staff, rental_id int REFERENCES rental, amount numeric(7,2));
"""
ROWS = """
INSERT INTO language SELECT n, 'language ' || n FROM generate_series(1, 6) n;
INSERT INTO country SELECT chr(65 + n / 26) || chr(65 + n % 26), 'country ' || n
  FROM generate_series(0, 99) n;
INSERT INTO city SELECT n, 'city ' || n,
  chr(65 + (n % 90) / 26) || chr(65 + (n % 90) % 26) FROM generate_series(1, 600) n;
INSERT INTO address SELECT n, n || ' street', 1 + n % 600 FROM generate_series(1, 650) n;
INSERT INTO store SELECT n, n FROM generate_series(1, 4) n;
INSERT INTO staff SELECT n, 'clerk ' || n, 1 + n % 4, 1 + n % 3 FROM generate_series(1, 40) n;
INSERT INTO customer SELECT n, 1 + n % 4, 'c' || n || '@example.com', 1 + (n * 7) % 650, n % 2
  FROM generate_series(1, 500) n;
INSERT INTO category SELECT n, 'category ' || n FROM generate_series(1, 16) n;
INSERT INTO film SELECT n, 'film ' || n, 46 + n % 140, 1990 + n % 30, 1 + n % 6, 1 + n % 5
  FROM generate_series(1, 1000) n;
INSERT INTO film_category SELECT n, 1 + n % 16 FROM generate_series(1, 1000) n;
INSERT INTO actor SELECT n, 'Name' || n FROM generate_series(1, 200) n;
INSERT INTO film_actor SELECT 1 + n % 200, 1 + (n * 13) % 1000 FROM generate_series(1, 4000) n
  ON CONFLICT DO NOTHING;
INSERT INTO inventory SELECT n, 1 + n % 1000, 1 + n % 4 FROM generate_series(1, 4500) n;
INSERT INTO rental SELECT n, timestamp '2026-01-01' + n * interval '7 minutes',
  1 + (n * 31) % 4500, 1 + (n * 17) % 500, 1 + n % 40 FROM generate_series(1, 16000) n;
INSERT INTO payment SELECT n, 1 + (n * 17) % 500, 1 + n % 40, n, (n % 12) + 0.99
  FROM generate_series(1, 16000) n;
"""
DECLARED = """
SELECT c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text, k.attname
FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.contype = 'f'
"""


@pytest.fixture
def shop(postgres_server):
    with psycopg2.connect(postgres_server) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA + ROWS)
        cursor.execute(DECLARED)
        declared = {tuple(row) for row in cursor.fetchall()}
    return replace(parse_postgres_uri(postgres_server), name="shop"), declared


def relations(connection):
    found = find_relations(list(discover("shop", connections=lambda _name: connection)))
    bare = {
        (
            one.dataset.removeprefix("shop/"),
            one.columns[0],
            one.other.removeprefix("shop/"),
            one.key[0],
        )
        for one in found
    }
    assert len(bare) == len(found)
    return bare


def test_all_foreign_keys_are_found_and_no_other(shop):
    connection, declared = shop

    assert relations(connection) == declared
    assert len(declared) == 21


def test_orphans_do_not_hide_a_foreign_key(shop, postgres_server):
    connection, _ = shop
    with psycopg2.connect(postgres_server) as opened, opened.cursor() as cursor:
        cursor.execute("ALTER TABLE inventory DROP CONSTRAINT inventory_film_id_fkey")
        cursor.execute("UPDATE inventory SET film_id = film_id + 5000 WHERE inventory_id % 10 = 0")

    assert ("inventory", "film_id", "film", "film_id") in relations(connection)

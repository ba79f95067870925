"""The job that the benchmarks run: the shop's orders by a contract, with six rules."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["RULES", "TABLE", "UNIQUE", "etl_command"]

PIPELINE = """
pipeline: bench_orders
source: {{ location: {csv}, format: csv }}
target: {{ connection: warehouse, table: public.orders, {mode} }}
mapping: orders.mapping.yaml
max_rejected: none
quarantine: {quarantine}
rules:{rules}
"""

RULES = """
  - { column: order_id, not_null: true }
  - { column: quantity, between: [1, 1000] }
  - { column: amount, between: [0, 1000000] }
  - { column: status, in_set: [new, paid, packed, shipped, returned] }
  - { column: country, length: [2, 2] }
  - { rows: "tax <= amount + 1000" }
"""

CONTRACT = """
contract: bench_orders
status: approved
target:
  fields: { order_id: int64, customer_id: int64, ordered_at: timestamp, shipped_on: date,
            status: string, country: string, amount: "decimal(12,2)", tax: "decimal(12,2)",
            quantity: int64, email: string, comment: string, is_gift: bool }
columns:
  order_id: { from: order_id, convert: cast }
  customer_id: { from: customer_id, convert: cast }
  ordered_at: { from: ordered_at, convert: cast }
  shipped_on: { from: shipped_on, convert: { parse_date: { formats: ["%d.%m.%Y"] } } }
  status: { from: status }
  country: { from: country }
  amount: { from: amount, convert: cast }
  tax: { from: tax, convert: cast }
  quantity: { from: quantity, convert: cast }
  email: { from: email }
  comment: { from: comment }
  is_gift: { from: is_gift, convert: cast }
"""

TABLE = """
DROP TABLE IF EXISTS public.orders;
DROP TABLE IF EXISTS public._etl_loads;
CREATE TABLE public.orders (order_id bigint {key}, customer_id bigint, ordered_at timestamp,
  shipped_on date, status text, country text, amount numeric(12,2), tax numeric(12,2),
  quantity bigint, email text, comment text, is_gift boolean);
CHECKPOINT;
"""

UNIQUE = """
  - { column: order_id, unique: true }
"""


def etl_command(
    folder: Path, *, csv: Path, rules: str, mode: str = "mode: append", contract: str = CONTRACT
) -> list[str]:
    """Write the pipeline and its contract; returns the command that runs it.

    The connection `warehouse` is the caller's to give, in the environment.

    :param mode: keys of the target, as YAML: `mode: merge, key: [order_id]`.
    """
    (folder / "orders.mapping.yaml").write_text(contract)
    path = folder / "orders.yaml"
    text = PIPELINE.format(csv=csv, rules=rules, mode=mode, quarantine=folder / "quarantine")
    path.write_text(text)
    return [str(Path(sys.executable).with_name("airflow-etl")), "run", str(path), "--json"]

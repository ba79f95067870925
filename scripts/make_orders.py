"""Write the made-up shop export in `dags/data/orders`: small, and with every fault of real exports.

Run it again and the same bytes come out: the seed is fixed, and no clock is asked.
"""

from __future__ import annotations

import gzip
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOME = Path(__file__).resolve().parent.parent / "dags" / "data" / "orders"
SEED = 20261101
FIRST_DAY = datetime(2026, 10, 1, 8, 0)  # noqa: DTZ001 - a shop's wall clock

HEADER = [
    "Order No",
    "SKU",
    "Customer",
    "E-Mail",
    "Qty",
    "Unit Price",
    "Ordered At",
    "Status",
    "Note",
]
PRODUCTS = {
    "000123": ("Kettle", 34.9),
    "000207": ("Desk lamp", 59.0),
    "004410": ("Wool blanket", 89.5),
    "010010": ("Espresso machine", 1249.0),
    "000077": ("Notebook", 4.25),
}
NAMES = [
    "Ana Souza",
    "Bjørn Dahl",
    "Chloé Martin",
    "Dana Weiß",
    "Emre Yilmaz",
    "Fatima Zahra",
    "Goran Ilić",
    "Ines Núñez",
]
NOTES = [
    "",
    "",
    "",
    "gift wrap, please",
    'says "fragile"',
    "ring twice\nthen leave it at the door",
    "🎁 birthday",
    "  ",
]
STATUSES = ["paid", "Paid", "shipped", "SHIPPED", "open", "cancelled", "test"]


class Shop:
    """Makes orders, one after the other, from one seeded source of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - for variety, not for secrets

    def order(self, number: int) -> dict[str, object]:
        """Make a faultless order."""
        pick = self.chance.choice
        sku = pick(list(PRODUCTS))
        name = pick(NAMES)
        return {
            "number": number,
            "sku": sku,
            "customer": name,
            "email": f"{name.split()[0].lower()}.{number}@example.com".encode(
                "ascii", "ignore"
            ).decode(),
            "quantity": self.chance.randint(1, 6),
            "price": PRODUCTS[sku][1],
            "at": FIRST_DAY + timedelta(minutes=97 * number),
            "status": pick(STATUSES),
            "note": pick(NOTES),
        }

    def price(self, amount: float) -> str:
        """Write an amount the German way, as several clerks would."""
        plain = f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))
        return self.chance.choice(
            [plain, plain.replace(".", ""), f"{plain} €", f"€ {plain}", f" {plain} "]
        )

    def time(self, at: datetime) -> str:
        """Write a time in one of the ways that the export mixes."""
        return at.strftime(
            self.chance.choice(
                ["%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M"]
            )
        )


def quoted(value: object, *, delimiter: str) -> str:
    """Quote a field where RFC 4180 wants it."""
    text = str(value)
    if any(char in text for char in (delimiter, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


def line(values: list[object], *, delimiter: str = ";") -> str:
    """Write one record."""
    return delimiter.join(quoted(value, delimiter=delimiter) for value in values)


def export_rows(shop: Shop, count: int) -> Iterator[list[object]]:
    """Give the fields of each order as the shop's back office writes them."""
    for number in range(1, count + 1):
        order = shop.order(number)
        yield [
            f"{order['number']:06d}",
            order["sku"],
            order["customer"],
            order["email"],
            order["quantity"],
            shop.price(float(str(order["price"]))),
            shop.time(order["at"]),  # type: ignore[arg-type]
            order["status"],
            order["note"],
        ]


def set_field(at: int, value: str) -> Callable[[list[object]], str]:
    """Spoil one field of a record."""

    def spoil(row: list[object]) -> str:
        return line([*row[:at], value, *row[at + 1 :]])

    return spoil


FAULTS: dict[int, Callable[[list[object]], str]] = {
    20: set_field(4, "-2"),
    33: set_field(3, "not an address"),
    41: set_field(6, "31.02.2026 10:00"),
    48: set_field(5, "NULL"),
    55: set_field(2, "n/a"),
    62: lambda row: line(row[:5]),
    70: lambda row: line([*row, "surplus", "fields"]),
    77: set_field(4, "three"),
    84: lambda row: line(row) + "\r\n" + line(list(HEADER)),
    91: lambda row: line(row) + "\r\n",
    98: lambda row: line([row[0], row[1], f"  {row[2]}  ", *row[3:]]),
    105: lambda row: line(row[:8]) + ';"left open',
    120: set_field(3, "@example.com"),
    134: set_field(5, "1.2.3,00"),
    141: set_field(6, "tomorrow"),
    150: lambda row: line(row) + "\r\n" + line(row),
    163: lambda row: "\r\n" + line(row),
    170: set_field(4, "0"),
    177: set_field(4, "NULL"),
    184: set_field(0, ""),
    190: set_field(5, "-19,90"),
    201: set_field(8, "naïve café ☕ — “quotes” 😀"),
    212: lambda row: line([*row[:2], "", "", *row[4:]]),
    226: set_field(7, "???"),
}
"""What goes wrong with which order."""


def shop_export() -> bytes:
    """UTF-8 with a byte order mark, semicolons, CRLF, decimal commas, and every fault."""
    lines = [line(list(HEADER))]
    for number, row in enumerate(export_rows(Shop(SEED), 240), start=1):
        lines.append(FAULTS.get(number, line)(row))
    cut_off = line(["000241", "000123", "Ana Souza", "ana.241@exa"])[:-2]
    return b"\xef\xbb\xbf" + ("\r\n".join(lines) + "\r\n" + cut_off).encode()


def web_orders() -> bytes:
    """JSON lines of the web shop, with what a logger, a release and a crash did to them."""
    shop = Shop(SEED + 1)
    lines: list[str] = []
    for number in range(1, 121):
        order = shop.order(5000 + number)
        at = order["at"]
        assert isinstance(at, datetime)  # noqa: S101
        record: dict[str, object] = {
            "order_id": order["number"],
            "sku": order["sku"],
            "customer": {"name": order["customer"], "email": order["email"]},
            "quantity": order["quantity"],
            "unit_price": order["price"],
            "ordered_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tags": shop.chance.sample(
                ["gift", "express", "newsletter"], k=shop.chance.randint(0, 2)
            ),
        }
        lines += web_line(number, record)
    return "\n".join(lines).encode()


def web_line(number: int, record: dict[str, object]) -> list[str]:
    """Write one order of the web shop, or what became of it."""
    text = json.dumps(record, ensure_ascii=number % 2 == 0)
    spoiled: dict[int, list[str]] = {
        15: [text[: len(text) // 2]],
        28: [json.dumps(record | {"quantity": str(record["quantity"])})],
        36: [json.dumps({key: value for key, value in record.items() if key != "sku"})],
        44: [json.dumps(record | {"coupon": "WELCOME10"})],
        51: [json.dumps(record | {"quantity": "many"})],
        60: ["", text],
        67: [text, text],
        73: [f"2026-10-05 12:00:01 WARN retrying {number}"],
        80: [json.dumps(record | {"unit_price": None})],
        88: [json.dumps(record | {"ordered_at": "2026-13-45T99:00:00Z"})],
        95: ["[1, 2, 3]"],
        120: [text[:-9]],
    }
    return spoiled.get(number, [text])


def stores() -> dict[str, bytes]:
    """The same columns from four stores: each with an encoding and a dialect of its own."""
    columns = ["receipt", "sku", "quantity", "price", "sold_at", "clerk"]

    def table(seed: int, *, delimiter: str, first: int) -> str:
        shop = Shop(SEED + seed)
        lines = [delimiter.join(columns)]
        for number in range(first, first + 40):
            order = shop.order(number)
            values: list[object] = [
                number,
                order["sku"],
                order["quantity"],
                f"{order['price']:.2f}",
                f"{order['at']:%Y-%m-%d %H:%M:%S}",
                order["customer"],
            ]
            if number % 17 == 0:
                values[2] = "two"
            lines.append(line(values, delimiter=delimiter))
        return "\n".join(lines) + "\n"

    western = "replace"
    return {
        "berlin.csv": table(2, delimiter=";", first=1000).encode("cp1252", western),
        "lyon.tsv": table(3, delimiter="\t", first=2000).encode("utf-16"),
        "porto.csv": table(4, delimiter=",", first=3000).encode("utf-8-sig"),
        "zagreb.csv.gz": gzip.compress(table(5, delimiter="|", first=4000).encode(), mtime=0),
    }


def main() -> None:
    """Write all files."""
    (HOME / "stores").mkdir(parents=True, exist_ok=True)
    (HOME / "shop_export.csv").write_bytes(shop_export())
    (HOME / "web_orders.jsonl").write_bytes(web_orders())
    for name, content in stores().items():
        (HOME / "stores" / name).write_bytes(content)


if __name__ == "__main__":
    main()

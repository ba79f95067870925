from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.sources.delimited.encoding import detect_encoding

TEXTS = {
    "cp1251": "Имя;Город;Улица\nИван Петров;Москва;Тверская\nМария;Санкт-Петербург;Невский\n",
    "koi8_r": "Имя;Город;Улица\nИван Петров;Москва;Тверская\nМария;Санкт-Петербург;Невский\n",
    "cp932": "名前,住所\n田中太郎,東京都千代田区\nさとう,カタカナ\n",
    "gb18030": "姓名,地址\n张三,北京市朝阳区\n李四,上海市浦东新区\n",
    "big5": "姓名,地址\n張三,臺北市中山區\n李四,高雄市\n",
    "cp949": "이름,주소\n홍길동,서울특별시 강남구\n",
    "cp1253": "Όνομα,Διεύθυνση\nΓιώργος,Αθήνα\n",
    "cp1250": "Jméno;Město\nŘehoř;Plzeň\nŽofie;Ústí nad Labem\nżółw;Gdańsk\n",
    "cp1252": "Name;Straße\nMüller;Köln\nJosé – “quoted”;€5\n",
    "cp1254": "Ad;Şehir\nAyşe;İstanbul\nÇağrı;Muğla\n",
    "cp850": "Name;Straße\nMüller;Köln\nJosé;Málaga\n",
    "mac_roman": "Nom;Été\nCafé;déjà vu\nBjørn;Ærø\n",
    "utf-8": "naïve,日本語\n",
    "utf-16-le": "a,b\n1,2\n",
    "utf-16-be": "名前,住所\n田中太郎,東京都千代田区\nさとう,カタカナ\n",
}


@pytest.mark.parametrize("codec", TEXTS)
def test_a_text_is_read_as_it_was_written(codec: str) -> None:
    text = TEXTS[codec] * 4
    found = detect_encoding(text.encode(codec), whole=True)
    assert text.encode(codec).decode(found.codec) == text


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_decides(mark: bytes, codec: str) -> None:
    found = detect_encoding(mark + "a,b\n".encode(codec), whole=True)
    assert (found.codec, found.bom_length, found.confidence) == (codec, len(mark), 1.0)


@given(st.text(min_size=1), st.integers(1, 3))
def test_valid_utf8_cut_inside_a_character_is_utf8(text: str, cut: int) -> None:
    data = ("é" + text.replace("\0", "") + "日").encode(errors="ignore")
    assert detect_encoding(data[: len(data) - min(cut, 2)], whole=False).codec == "utf-8"


def test_latin_text_without_windows_characters_is_latin_1() -> None:
    assert detect_encoding("Müller;Köln\n".encode("latin-1"), whole=True).codec == "latin-1"


def test_a_currency_sign_alone_speaks_for_a_western_encoding() -> None:
    data = "Payments over £25,000\nJan,£30,000\n".encode("cp1252")
    assert detect_encoding(data, whole=False).codec == "cp1252"


def test_a_stray_byte_among_numbers_is_damage_and_no_letter() -> None:
    data = b"id,amount\n" + b"1,2\n" * 500 + b"3,\xff\n"
    assert detect_encoding(data, whole=True).codec == "utf-8"


def test_a_few_bad_bytes_do_not_make_utf8_something_else() -> None:
    data = "Zoë,Köln,Łódź\n".encode() * 50 + b"Zo\xeb,x,y\n"
    assert detect_encoding(data, whole=True).codec == "utf-8"


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_get_an_encoding_that_exists(data: bytes, whole: bool) -> None:
    found = detect_encoding(data, whole=whole)
    assert codecs.lookup(found.codec)
    assert 0 <= found.confidence <= 1

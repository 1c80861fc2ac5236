"""Bytes become the text they stand for, and anything else is refused with its place."""

import gzip

import pytest

from affectscope.data.encoding import decode
from affectscope.errors import EncodingError, UsageError

FRENCH = "texte,émotion\nIl a mangé mon goûter à la récré,colère\nMon frère est né,joie\n" * 5


def test_utf8_is_preferred_to_any_guess():
    # Valid UTF-8 is valid ISO-8859-1 as well, and would then read as "cafÃ©".
    decoded = decode("café,joy\n".encode(), source="x.csv")
    assert decoded.text == "café,joy\n"
    assert decoded.encoding == "utf-8"


@pytest.mark.parametrize(
    ("codec", "recorded"),
    [("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32")],
)
def test_byte_order_mark_decides_and_is_removed(codec, recorded):
    decoded = decode("text,café 😀\n".encode(codec), source="x.csv")
    assert decoded.text == "text,café 😀\n"
    assert decoded.encoding == recorded


def test_big_endian_mark_is_honoured():
    decoded = decode(b"\xfe\xff" + "joy".encode("utf-16-be"), source="x.csv")
    assert decoded.text == "joy"


def test_western_text_without_quotes_is_iso_8859_1():
    decoded = decode(FRENCH.encode("iso-8859-1"), source="x.csv")
    assert decoded.text == FRENCH
    assert decoded.encoding == "iso-8859-1"


def test_curly_quotes_mean_windows_1252():
    text = "text,label\nI didn’t go – “never”,anger\n" * 3
    decoded = decode(text.encode("cp1252"), source="x.csv")
    assert decoded.text == text
    assert decoded.encoding == "cp1252"


def test_byte_that_windows_1252_lacks_falls_back_to_iso_8859_1():
    raw = b"text,label\n" + b"plain words " * 20 + b"\x81,joy\n"
    assert decode(raw, source="x.csv").encoding == "iso-8859-1"


def test_mostly_non_ascii_text_is_guessed_by_its_letters():
    text = "текст,метка\n" + "Я сегодня очень устал и хочу домой,грусть\n" * 20
    decoded = decode(text.encode("cp1251"), source="x.csv")
    assert decoded.text == text
    assert decoded.encoding == "cp1251"


@pytest.mark.parametrize("name", ["latin1", "ISO-8859-1", "iso8859_1"])
def test_named_encoding_is_recorded_under_its_usual_name(name):
    decoded = decode("mangé".encode("iso-8859-1"), source="x.csv", encoding=name)
    assert decoded.text == "mangé"
    assert decoded.encoding == "iso-8859-1"


def test_named_encoding_wins_over_detection():
    assert decode("é".encode(), source="x.csv", encoding="iso-8859-1").text == "Ã©"


def test_named_encoding_that_fails_gives_byte_offset_and_line():
    raw = b"text,label\nall well,joy\nmang\xe9,joy\n"
    with pytest.raises(EncodingError) as caught:
        decode(raw, source="food.csv", encoding="utf-8")
    assert "food.csv is not utf-8" in caught.value.message
    assert f"byte 0xe9 at offset {raw.index(0xE9)} (line 3)" in caught.value.message
    assert "--encoding" in caught.value.remedy


def test_cut_off_utf16_is_refused():
    with pytest.raises(EncodingError, match="is not utf-16"):
        decode("text,label\n".encode("utf-16")[:-1], source="x.csv")


@pytest.mark.parametrize("name", ["utf-99", "rot13", "hex"])
def test_unknown_or_non_text_encoding_is_named(name):
    with pytest.raises(UsageError, match=f'no text encoding "{name}"') as caught:
        decode(b"text", source="x.csv", encoding=name)
    assert "iso-8859-1" in caught.value.expected


def test_nul_bytes_are_no_text():
    with pytest.raises(EncodingError, match=r"not a text file: it holds a NUL byte \(line 2\)"):
        decode(b"text,label\nI am \x00 here,joy\n", source="x.csv")


def test_utf16_without_mark_is_refused_with_the_way_out():
    raw = "text,label\n".encode("utf-16-le")
    with pytest.raises(EncodingError, match="NUL byte") as caught:
        decode(raw, source="x.csv")
    assert "utf-16-le" in caught.value.remedy
    assert decode(raw, source="x.csv", encoding="utf-16-le").text == "text,label\n"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"PK\x03\x04rest", "Excel workbook"),
        (gzip.compress(b"text,label\n", mtime=0), "gzip archive"),
        (b"PAR1rest", "Parquet file"),
    ],
)
def test_known_binary_formats_are_called_by_name(raw, what):
    with pytest.raises(EncodingError, match=what) as caught:
        decode(raw, source="x.csv", encoding="iso-8859-1")
    assert "CSV" in caught.value.remedy


def test_bytes_that_fit_no_encoding_ask_for_its_name():
    # Japanese to begin with, so that this is what is guessed; then a byte that it never has.
    text = "文章,感情\n" + "昨日は友達と映画を見に行ってとても楽しかった,喜び\n" * 6000
    with pytest.raises(EncodingError) as caught:
        decode(text.encode("euc-jp") + b"\xff\xff,x\n", source="x.csv")
    assert "could not be guessed" in caught.value.message
    assert "--encoding" in caught.value.remedy

"""From bytes to text: byte order marks, UTF-8, then a reasoned guess that is always reported."""

from __future__ import annotations

import codecs
import string
from dataclasses import dataclass

from charset_normalizer import from_bytes

from affectscope.errors import EncodingError, UsageError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with UTF-16's mark, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)

_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive, such as an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
)

_MOSTLY_ASCII = 0.25
"""Largest share of bytes above 127 among the letters of a Latin script; French has about 0.05.

Below it statistical guessing is unreliable (it takes crowd-enVENT for DOS code page 852).
"""

_ASCII_LETTERS = string.ascii_letters.encode()

_GUESS_BYTES = 200_000


@dataclass(frozen=True)
class Decoded:
    """A file's text and how it was read."""

    text: str
    encoding: str


def decode(raw: bytes, *, source: str, encoding: str | None = None) -> Decoded:
    """Turn a file's bytes into text.

    Without a named encoding: a byte order mark decides; else UTF-8 if every byte agrees; else, for
    text that is mostly ASCII, Windows-1252 when it holds that encoding's curly quotes and dashes
    and ISO-8859-1 when it does not; else the best statistical guess.

    Args:
        raw: The file's bytes.
        source: What the file is called in messages.
        encoding: A named encoding; nothing else is then tried.

    Raises:
        UsageError: There is no encoding of that name.
        EncodingError: The bytes are not text, or not in the named encoding.
    """
    for signature, what in _SIGNATURES:
        if raw.startswith(signature):
            raise EncodingError(
                f"{source} is {what}, not a text file",
                expected="a CSV, TSV, JSONL or Parquet file",
                remedy="save or export the table as CSV (UTF-8) and give that file",
            )
    decoded = _decode_as(raw, encoding, source) if encoding else _detect(raw, source)
    _refuse_nul(decoded.text, source)
    _refuse_half_characters(decoded, source)
    return Decoded(decoded.text.removeprefix("\ufeff"), decoded.encoding)


def _detect(raw: bytes, source: str) -> Decoded:
    for mark, name in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _decode_as(raw, name, source)
    # Bytes that no text has in UTF-8 or a single-byte encoding; asked first, as the message is
    # better than that of whatever decoding happens to fail.
    _refuse_nul(raw.decode("iso-8859-1"), source)
    try:
        return Decoded(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _decode_as(raw, _guess(raw, source), source)


def _guess(raw: bytes, source: str) -> str:
    high = raw.translate(None, delete=bytes(range(128)))
    ascii_letters = len(raw) - len(raw.translate(None, delete=_ASCII_LETTERS))
    if len(high) <= _MOSTLY_ASCII * (len(high) + ascii_letters):
        has_controls = any(byte < 0xA0 for byte in high)
        return "cp1252" if has_controls and _decodes(raw, "cp1252") else "iso-8859-1"
    best = from_bytes(raw[:_GUESS_BYTES]).best()
    if best is None or not _decodes(raw, best.encoding):
        raise EncodingError(
            f"{source} is not UTF-8, and its encoding could not be guessed",
            expected="a text file in UTF-8, or the name of its encoding",
            remedy='name the encoding with --encoding (in Python encoding="..."), or save the '
            "file as UTF-8",
        )
    return best.encoding


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decode_as(raw: bytes, encoding: str, source: str) -> Decoded:
    try:
        return Decoded(raw.decode(encoding), _usual_name(encoding))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise EncodingError(
            f"{source} is not {encoding}: byte 0x{raw[error.start]:02x} at offset "
            f"{error.start:,} (line {line:,}) cannot be read ({error.reason})",
            expected=f"text in {encoding} throughout",
            remedy="name the right encoding with --encoding, such as iso-8859-1 or cp1252, or "
            "leave it out to have it detected; if it is right, the file is damaged or cut off",
        ) from error
    except (LookupError, ValueError) as error:
        raise UsageError(
            f'there is no text encoding "{encoding}"',
            expected="an encoding that Python knows, such as utf-8, iso-8859-1, cp1252 or utf-16",
            remedy="correct the name, or leave it out to have the encoding detected",
        ) from error


def _usual_name(encoding: str) -> str:
    """The encoding's usual name: ``iso-8859-1`` for ``latin1`` and Python's ``iso8859-1``."""
    name = codecs.lookup(encoding).name.replace("iso8859-", "iso-8859-")
    return "utf-8" if name == "utf-8-sig" else name


def _refuse_nul(text: str, source: str) -> None:
    where = text.find("\0")
    if where >= 0:
        raise EncodingError(
            f"{source} is not a text file: it holds a NUL byte (line "
            f"{text.count(chr(10), 0, where) + 1:,})",
            expected="a CSV, TSV, JSONL or Parquet file",
            remedy="give the table as text; if it is UTF-16 without a byte order mark, name the "
            "encoding with --encoding utf-16-le or utf-16-be",
        )


def _refuse_half_characters(decoded: Decoded, source: str) -> None:
    """Refuse lone surrogates, which some encodings (UTF-7) let through and nothing can write."""
    try:
        decoded.text.encode()
    except UnicodeEncodeError as error:
        raise EncodingError(
            f"{source} holds half of a character when read as {decoded.encoding}",
            expected="text",
            remedy="name the right encoding with --encoding, or save the file as UTF-8",
        ) from error

"""Text in pictures, in the typeface that comes with Pillow."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Font:
    """Give the typeface at a size in pixels."""
    return ImageFont.load_default(size)


def plain(text: str) -> str:
    """Give a text in the letters that the typeface has: accents are dropped, and others become question marks.

    >>> plain("Größe 日本")
    'Grosse ??'
    """
    text = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l").replace("Ł", "L")
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def width_of(text: str, size: int) -> float:
    """Give the width of a text in pixels."""
    return float(font(size).getlength(text))


def shortened(text: str, size: int, room: float, *, keep_end: bool = False) -> str:
    """Cut a text so that it fits into `room` pixels, with dots for what is gone.

    Of a key the end tells more than the beginning: with `keep_end` most of it stays.

    >>> shortened("a/very/long/key/0001", 12, 60, keep_end=True)[-4:]
    '0001'
    """
    text = plain(text)
    if width_of(text, size) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the most letters that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(_cut(text, middle, keep_end), size) <= room else (low, middle - 1)
    return _cut(text, low, keep_end) if low else ""


def _cut(text: str, letters: int, keep_end: bool) -> str:
    if keep_end:
        head = letters // 4
        return f"{text[:head]}...{text[len(text) - (letters - head) :]}"
    return f"{text[:letters]}..."

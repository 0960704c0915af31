"""What the licence of a photo allows, as far as its name or address says: a table of the common ones.

The table says what the licences' own summaries say; it is no legal advice. Privacy and the right to one's own picture
are another matter, which no licence of a photo settles.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from segdata.dataset import Row  # for types alone: the command line reads its words here before it loads anything

LicenceUse = Literal["commercial", "derivatives", "permissive", "public-domain"]
"""``commercial``: may be used commercially. ``derivatives``: changed copies, such as crops and cut-outs, may be passed
on. ``permissive``: both, without the duty to pass them on under the same licence. ``public-domain``: without any
condition, even that of naming the author."""

LICENCE_USES: tuple[LicenceUse, ...] = get_args(LicenceUse)


class Licence(NamedTuple):
    """A licence: its `code` as people write it, and what it allows and asks for."""

    code: str
    commercial: bool = True
    derivatives: bool = True
    share_alike: bool = False
    attribution: bool = True

    def allows(self, use: LicenceUse) -> str:
        """Give the reason why a use is not allowed, or nothing where it is.

        >>> Licence("CC BY-NC 2.0", commercial=False).allows("commercial")
        'it allows no commercial use'
        """
        if use in ("commercial", "permissive") and not self.commercial:
            return "it allows no commercial use"
        if use in ("derivatives", "permissive") and not self.derivatives:
            return "it allows no derivatives"
        if use == "permissive" and self.share_alike:
            return "what is made of it must be shared alike"
        if use == "public-domain" and (self.attribution or not self.commercial or not self.derivatives):
            return "it sets conditions"
        return ""


NOT_STATED = "no licence is stated"


class Found(NamedTuple):
    """The licence that a row states, or in `reason` why it is not known."""

    licence: Licence | None
    reason: str = ""


_NO_KNOWN = Licence("no known copyright restrictions", attribution=False)
_GOVERNMENT = Licence("United States Government Work", attribution=False)
_CC0 = Licence("CC0 1.0", attribution=False)
_MARK = Licence("Public Domain Mark 1.0", attribution=False)
_RESERVED = Licence("all rights reserved", commercial=False, derivatives=False)

_BY_ADDRESS = (
    ("creativecommons.org/publicdomain/zero/", _CC0),
    ("creativecommons.org/publicdomain/mark/", _MARK),
    ("flickr.com/commons/usage", _NO_KNOWN),
    ("usa.gov/copyright", _GOVERNMENT),
    ("usa.gov/government-works", _GOVERNMENT),
    ("apache.org/licenses/license-2.0", Licence("Apache-2.0")),
    ("opensource.org/licenses/mit", Licence("MIT")),
    ("opensource.org/license/mit", Licence("MIT")),
    ("opendatacommons.org/licenses/pddl", Licence("PDDL-1.0", attribution=False)),
    ("opendatacommons.org/licenses/by", Licence("ODC-By-1.0")),
    ("opendatacommons.org/licenses/odbl", Licence("ODbL-1.0", share_alike=True)),
)
_BY_NAME = {
    "no known copyright restrictions": _NO_KNOWN,
    "united states government work": _GOVERNMENT,
    "public domain mark": _MARK,
    "public domain": Licence("public domain", attribution=False),
    "public domain dedication": _CC0,
    "cc0": _CC0,
    "zero": _CC0,
    "apache": Licence("Apache-2.0"),
    "apache license": Licence("Apache-2.0"),
    "mit": Licence("MIT"),
    "bsd 2 clause": Licence("BSD-2-Clause"),
    "bsd 3 clause": Licence("BSD-3-Clause"),
    "unlicense": Licence("Unlicense", attribution=False),
    "pddl": Licence("PDDL-1.0", attribution=False),
    "odc by": Licence("ODC-By-1.0"),
    "odbl": Licence("ODbL-1.0", share_alike=True),
    "gfdl": Licence("GFDL", share_alike=True),
    "gnu free documentation license": Licence("GFDL", share_alike=True),
    "all rights reserved": _RESERVED,
}
_CC_ADDRESS = re.compile(r"creativecommons\.org/licenses/([a-z-]+)(?:/(\d\.\d))?")
_WORDS = {
    "attribution": "by",
    "noncommercial": "nc",
    "non commercial": "nc",
    "sharealike": "sa",
    "share alike": "sa",
    "noderivatives": "nd",
    "noderivs": "nd",
    "no derivatives": "nd",
    "no derivs": "nd",
    "creative commons": "cc",
}
_NOISE = frozenset({"cc", "the", "licence", "license", "generic", "international", "universal", "unported", "v"})
_CC_PARTS = frozenset({"by", "nc", "sa", "nd"})
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)")
_LONGEST = 300


def licence_of(row: Row) -> Found:
    """Tell the licence of a row from `licence_url`, `licence_name` or, where it is text, `licence`.

    A number alone, as COCO files have it, means nothing without the name or address that the file gives for it. Where
    name and address contradict each other, the licence is not known.

    >>> licence_of({"licence": 4, "licence_url": "http://creativecommons.org/licenses/by/2.0/"}).licence.code
    'CC BY 2.0'
    >>> licence_of({"licence": "CC-BY-NC-4.0"}).licence.allows("commercial")
    'it allows no commercial use'
    >>> licence_of({"licence": 4}).reason
    'its licence 4 has neither a name nor an address'
    """
    texts = {name: _text(row.get(name)) for name in ("licence_url", "licence_name", "licence")}
    known = {name: licence for name, text in texts.items() if text and (licence := _read(text)) is not None}
    terms = {licence[1:] for licence in known.values()}
    if len(terms) > 1:
        stated = " and ".join(repr(texts[name]) for name in known)
        return Found(None, f"its licence is stated as {stated}, which differ")
    if known:
        return Found(next(iter(known.values())))
    stated = next((text for text in texts.values() if text), "")
    if stated:
        return Found(None, f"its licence {stated!r} is not in the table")
    number = row.get("licence")
    if isinstance(number, int | float) and not isinstance(number, bool):
        return Found(None, f"its licence {number} has neither a name nor an address")
    return Found(None, NOT_STATED)


def _text(value: object) -> str:
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _read(text: str) -> Licence | None:
    """Recognise an address, a name or an SPDX identifier."""
    lowered = text.lower()
    if address := _CC_ADDRESS.search(lowered):
        return _creative_commons(address[1].split("-"), address[2] or "")
    for part, licence in _BY_ADDRESS:
        if part in lowered:
            return licence
    for word, short in _WORDS.items():
        lowered = lowered.replace(word.replace(" ", "-"), short).replace(word, short)
    words = re.findall(r"[a-z0-9.]+", lowered)
    version = next((found[1] for word in words if (found := _VERSION.fullmatch(word))), "")
    plain = [word for word in words if not _VERSION.fullmatch(word)]
    parts = [word for word in plain if word not in _NOISE]
    if set(parts) <= _CC_PARTS and ("cc" in plain or "attribution" in text.lower()):
        return _creative_commons(parts, version)
    name = re.sub(r"\s+", " ", re.sub(r"[^a-z0-9]+", " ", text.lower())).strip()
    return _BY_NAME.get(name) or _BY_NAME.get(re.sub(r"( \d+)+$", "", name)) or _BY_NAME.get(" ".join(parts))


def _creative_commons(parts: list[str], version: str) -> Licence | None:
    """Give a licence of the parts by, nc, sa and nd; other combinations, such as sampling, are not known."""
    if "by" not in parts or not set(parts) <= _CC_PARTS or len(set(parts)) < len(parts) or {"sa", "nd"} <= set(parts):
        return None
    ordered = [part for part in ("by", "nc", "sa", "nd") if part in parts]
    code = f"CC {'-'.join(ordered).upper()} {version}".strip()
    return Licence(code, "nc" not in parts, "nd" not in parts, "sa" in parts)

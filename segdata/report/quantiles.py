"""How a data set's distributions are written, in a terminal and in a report alike: titles, units, quantiles."""

from __future__ import annotations

from segdata.quality.stats import QUANTILES, Distribution

TITLES = {
    "width": ("width, px", 1, 0),
    "height": ("height, px", 1, 0),
    "megapixels": ("megapixels", 1, 2),
    "aspect": ("width / height", 1, 2),
    "mask_share": ("mask, % of photo", 100, 1),
    "persons": ("persons a photo", 1, 0),
    "person_share": ("a person, % of photo", 100, 1),
    "keypoints": ("keypoints a person", 1, 0),
    "visible_keypoints": ("of them visible", 1, 0),
}
"""Title, factor and digits of each distribution of `Stats`, in the order they are shown."""

QUANTILES_HEAD = ("", "mean", *(name.replace("p", "", 1) + " %" if name[0] == "p" else name for name in QUANTILES))


def quantiles_row(name: str, spread: Distribution) -> tuple[str, ...]:
    """Give the row of a table under `QUANTILES_HEAD`.

    >>> from array import array
    >>> from segdata.quality.stats import distribution
    >>> quantiles_row("mask_share", distribution(array("d", [0.25, 0.75])))
    ('mask, % of photo', '50.0', '25.0', '27.5', '37.5', '50.0', '62.5', '72.5', '75.0')
    """
    title, scale, digits = TITLES[name]
    mean_digits = max(digits, 1) if name not in ("width", "height") else digits
    values = (f"{scale * getattr(spread, quantile):,.{digits}f}" for quantile in QUANTILES)
    return (title, f"{scale * spread.mean:,.{mean_digits}f}", *values)

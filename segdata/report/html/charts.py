"""Drawings of a report, by matplotlib: <svg> elements that take the colours of the page they stand in."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import numpy as np
import numpy.typing as npt

from segdata.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Of middle brightness, for light and dark ground alike, and told apart by people who see no red or green (after Okabe
# and Ito, "Color Universal Design", 2008).
COLOURS = ("#3a8fd6", "#e0802a", "#2a9d78", "#c46aa4", "#a08a1c", "#7d7f84", "#58b0d8", "#d0503c")
_INK, _PALE = "#010203", "#030201"  # stand for colours that the page gives
_MOST_POINTS = 1500  # of which each is a part of the drawing; more are one picture in it
_SIZE = (4.4, 2.7)
_LEGEND_LINE = 0.17  # inches
_SHORT_NAME = 22


class Values(NamedTuple):
    """Values under a name, such as the IoU of each sample under a model's."""

    name: str
    values: Sequence[float]


class Spread(NamedTuple):
    """Means of groups under a name, and the ends of their 95 % intervals; None where a group has no sample."""

    name: str
    means: Sequence[float | None]
    intervals: Sequence[tuple[float, float]]


def require_matplotlib() -> None:
    """Raise `InputError` where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise InputError("reports need matplotlib, which is not installed", "pip install 'segdata[report]'") from error


def _styled(draw: Callable[P, Figure]) -> Callable[P, str]:
    """Let a function that draws a figure give it as an <svg> element in the style of the page."""

    @wraps(draw)
    def styled(*arguments: P.args, **options: P.kwargs) -> str:
        import matplotlib as mpl  # noqa: PLC0415

        with mpl.rc_context(_STYLE):
            return _svg(draw(*arguments, **options))

    return styled


@_styled
def histogram(series: Sequence[Values], label: str) -> Figure:
    """Draw how many samples have which value, in 20 steps from 0 to 1; a line is the median."""
    figure, axes = _start()
    edges = np.linspace(0, 1, 21)
    for colour, each in zip(_colours(series), series, strict=True):
        counts, _ = np.histogram(each.values, edges)
        share = counts / max(counts.sum(), 1)
        if len(series) == 1:
            axes.bar(edges[:-1], share, width=0.05, align="edge", color=colour, edgecolor="none")
        else:
            axes.stairs(share, edges, color=colour, label=_labelled(each.name), linewidth=1.6)
        if len(each.values):
            axes.axvline(float(np.median(each.values)), color=colour if len(series) > 1 else _INK, linestyle="--")
    axes.set_xlim(0, 1)
    _percent(axes, x=True, y=True)
    axes.set_xlabel(label)
    axes.set_ylabel("share of samples")
    _legend(axes, series)
    return figure


@_styled
def counted(edges: Sequence[float], counts: Sequence[int], label: str, *, percent: bool = False) -> Figure:
    """Draw a histogram that was counted before."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure, axes = _start()
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLOURS[0], edgecolor="none")
    if percent:
        _percent(axes, x=True)
    elif all(edge % 1 == 0.5 for edge in edges):  # a bin for each whole number
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(label)
    axes.set_ylabel("number")
    return figure


@_styled
def spreads(groups: Sequence[str], series: Sequence[Spread], label: str) -> Figure:
    """Draw the mean of each group as a dot with its interval, groups from above to below."""
    figure, axes = _start(height=0.9 + 0.32 * max(len(groups), 2) * (1 + 0.35 * (len(series) - 1)))
    step = 0.7 / len(series)
    for number, (colour, each) in enumerate(zip(_colours(series), series, strict=True)):
        shown = [(place, mean) for place, mean in enumerate(each.means) if mean is not None]
        axes.errorbar(
            [mean for _, mean in shown],
            [place + (number - (len(series) - 1) / 2) * step for place, _ in shown],
            xerr=[
                [mean - each.intervals[place][0] for place, mean in shown],
                [each.intervals[place][1] - mean for place, mean in shown],
            ],
            fmt="o",
            color=colour,
            markersize=4,
            capsize=2,
            label=_labelled(each.name),
        )
    axes.set_yticks(range(len(groups)), [_short(name) for name in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    _percent(axes, x=True)
    axes.set_xlabel(label)
    _legend(axes, series)
    return figure


@_styled
def against_size(areas: Sequence[int], series: Sequence[Values], label: str) -> Figure:
    """Draw a value of each sample over the person's pixels, from few to many."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415

    figure, axes = _start()
    for colour, each in zip(_colours(series), series, strict=True):
        _points(axes, np.maximum(areas, 1), each.values, colour, each.name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(-0.02, 1.02)
    _percent(axes, y=True)
    axes.set_xlabel("pixels of the person (log)")
    axes.set_ylabel(label)
    _legend(axes, series)
    return figure


@_styled
def one_against_other(x: Values, y: Values) -> Figure:
    """Draw each sample by its value for two models; above the line it is higher for the second."""
    figure, axes = _start(height=3.6, width=3.9)
    axes.plot([0, 1], [0, 1], color=_PALE, linewidth=1)
    _points(axes, x.values, y.values, COLOURS[0], "")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    _percent(axes, x=True, y=True)
    axes.set_xlabel(_short(x.name, 40))
    axes.set_ylabel(_short(y.name, 40))
    return figure


@_styled
def curves(x: Sequence[float], series: Sequence[Values], xlabel: str, ylabel: str) -> Figure:
    """Draw lines, the highest point of each marked."""
    figure, axes = _start()
    for colour, each in zip(_colours(series), series, strict=True):
        best = int(np.argmax(each.values))
        axes.plot(x, each.values, color=colour, label=_labelled(each.name))
        axes.plot([x[best]], [each.values[best]], "o", color=colour)
    _percent(axes, y=True)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    _legend(axes, series)
    return figure


@_styled
def stacked(groups: Sequence[str], parts: Mapping[str, Sequence[float]], label: str) -> Figure:
    """Draw a bar for each group that is made of parts, shares in [0, 1], groups from above to below."""
    figure, axes = _start(height=1.0 + 0.3 * max(len(groups), 2) + 0.18 * (len(parts) + 2) // 3)
    left = np.zeros(len(groups))
    for number, (name, shares) in enumerate(parts.items()):
        axes.barh(
            range(len(groups)), shares, left=left, color=COLOURS[number % len(COLOURS)], label=_short(name), height=0.7
        )
        left += np.asarray(shares)
    axes.set_yticks(range(len(groups)), [_short(name) for name in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    _percent(axes, x=True)
    axes.set_xlabel(label)
    if len(parts) > 1:
        figure.legend(loc="outside upper left", ncols=3, handlelength=1)
    return figure


@_styled
def map_of(picture: npt.NDArray[np.uint8], label: str) -> Figure:
    """Draw a picture, uint8 (H, W, 3), that is a map from the left and top edge of photos to the right and bottom."""
    figure, axes = _start(height=3.2, width=3.4)
    axes.imshow(picture, extent=(0, 1, 1, 0), interpolation="nearest")
    _percent(axes, x=True, y=True)
    axes.grid(visible=False)
    axes.set_xlabel(label)
    return figure


def _start(height: float = _SIZE[1], width: float = _SIZE[0]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "text.parse_math": False,  # names are no formulas
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "segdata",  # the same figures give the same bytes
}


def _svg(figure: Figure) -> str:
    """Give the drawing as an element that can stand beside others in a page."""
    buffer = io.StringIO()
    with warnings.catch_warnings():  # the reader's own typeface has what matplotlib's lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", drawn, count=1)
    drawn = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", drawn, count=1)
    drawn = drawn.replace(_INK, "currentColor").replace(_PALE, "var(--line)")
    return re.sub(r"font: ([^;]*?) 'DejaVu Sans'[^;\"]*", r"font: \1 sans-serif", drawn)


def with_own_names(svg: str, name: str) -> str:
    """Give a drawing whose parts are named unlike those of any other drawing of the page, and which its caption labels.

    >>> with_own_names('<svg><a id="p1"/><b href="#p1" style="clip: url(#p1)"/></svg>', "c2")
    '<svg role="img" aria-labelledby="c2"><a id="c2-p1"/><b href="#c2-p1" style="clip: url(#c2-p1)"/></svg>'
    """
    own = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return own.replace("<svg", f'<svg role="img" aria-labelledby="{name}"', 1)


def _points(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, colour: str, name: str) -> None:
    many = np.size(np.asarray(x)) > _MOST_POINTS
    size = 5 if many else 9
    axes.scatter(x, y, s=size, color=colour, alpha=0.7, linewidths=0, label=name, rasterized=many)


def _percent(axes: Axes, *, x: bool = False, y: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g} %"))


def _legend(axes: Axes, series: Sequence[Any]) -> None:
    """Name the series above the drawing, which grows by their lines."""
    if len(series) > 1:
        figure: Any = axes.figure
        columns = 2 if max(len(each.name) for each in series) <= _SHORT_NAME else 1
        figure.set_figheight(figure.get_figheight() + _LEGEND_LINE * -(-len(series) // columns))
        figure.legend(loc="outside upper left", ncols=columns)


def _colours(series: Sequence[Any]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(series))]


def _labelled(name: str) -> str:
    """Give the name of a series in a legend, from which matplotlib leaves those that begin with an underscore."""
    return "\N{ZERO WIDTH SPACE}" * name.startswith("_") + _short(name, 48)


def _short(text: str, most: int = 28) -> str:
    """Shorten a name in its middle.

    >>> _short("a" * 20 + "b" * 20)
    'aaaaaaaaaaaaaa…bbbbbbbbbbbbb'
    """
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"

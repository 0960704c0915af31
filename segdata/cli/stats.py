"""segdata stats."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.quality.stats import Stats

_MOST_VALUES = 15
_BAR = 30
_MOST_FAILURES = 5


def stats(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    quick: Annotated[bool, typer.Option("--quick", help="Read metadata.jsonl alone, no masks.")] = False,
    heat_map: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also draw where persons are, as a .png picture.")
    ] = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Say what a data set holds.

    Sizes, shapes, persons and where they are, keypoints, domains, splits, licences.

    \b
    Examples:
      segdata stats data
      segdata stats data --heat-map where.png
      segdata stats data --quick --json
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.quality.stats import stats as twin

    progress = TerminalProgress()
    try:
        found = twin(
            data, quick=quick, heat_map=heat_map, engine=engine_of(engine, workers, scheduler), progress=progress
        )
    finally:
        progress.close()
    if as_json:
        print_json(found)
    else:
        _show(found)
    for failure in found.failures[:_MOST_FAILURES]:
        echo(f"failed: {failure.message}", err=True)
    if found.failed > _MOST_FAILURES:
        echo(f"... and {found.failed - _MOST_FAILURES:,} more", err=True)
    raise typer.Exit(1 if found.failed else 0)


def _show(found: Stats) -> None:
    from segdata.cli.output import show_table
    from segdata.report.quantiles import QUANTILES_HEAD, TITLES, quantiles_row

    empty = f" ({found.empty_masks:,} empty)" if found.empty_masks else ""
    crowds = f", {found.crowds:,} crowd regions" if found.crowds else ""
    echo(
        f"{found.data}: {found.samples:,} samples, {found.photos:,} photos, {found.masks:,} masks{empty}, "
        f"{found.persons:,} persons{crowds}"
    )
    show_table(
        QUANTILES_HEAD,
        [quantiles_row(name, found.distributions[name]) for name in TITLES if name in found.distributions],
    )
    for column, title in (("split", "split"), ("domain", "domain"), ("source", "source"), ("licence", "licence")):
        if column in found.counts:
            _show_counts(title, "photos", found.counts[column], found.samples)
    if len(found.counts.get("category", {})) > 1:
        _show_counts("category", "persons", found.counts["category"], found.persons)
    if len(found.domains_by_split) > 1:
        domains = list(dict.fromkeys(domain for each in found.domains_by_split.values() for domain in each))
        rows = [
            (split, *(f"{100 * each.get(domain, 0) / sum(each.values()):.1f}" for domain in domains))
            for split, each in found.domains_by_split.items()
        ]
        show_table(("% of a split's photos", *domains), rows)
    if found.keypoints:
        rows = [
            (name, f"{100 * seen.visible / total:.1f}", f"{100 * seen.hidden / total:.1f}")
            for name, seen in found.keypoints.items()
            if (total := seen.visible + seen.hidden + seen.unlabelled)
        ]
        show_table(("keypoint, % of persons", "visible", "hidden"), rows)
    if found.heat_map is not None:
        most = max(max(row) for row in found.heat_map)
        echo(f"where persons are, all photos stretched to one shape (darkest: in {100 * most:.0f} % of the masks)\n")
        for line in _drawn(found.heat_map):
            echo(f"  {line}")
        echo("")


def _show_counts(title: str, what: str, counts: dict[str, int], total: int) -> None:
    from segdata.cli.output import show_table

    shown = dict(list(counts.items())[:_MOST_VALUES])
    rest = len(counts) - len(shown)
    if rest:
        shown[f"({rest:,} more)"] = sum(counts.values()) - sum(shown.values())
    longest = max(map(len, shown))
    room = max(0, min(_BAR, shutil.get_terminal_size().columns - longest - 24))
    most = max(1, *shown.values())
    block = "\u2588" if _unicode() else "#"
    show_table(
        (title, what, "%", ""),
        [
            (name, f"{count:,}", f"{100 * count / max(total, 1):.1f}", block * round(room * count / most))
            for name, count in shown.items()
        ],
    )


def _drawn(heat_map: list[list[float]]) -> list[str]:
    """Draw a heat map in letters, two rows of it a line: letters are twice as high as wide."""
    shades = " \u2591\u2592\u2593\u2588" if _unicode() else " .:*#"
    most = max(max(row) for row in heat_map) or 1.0
    lines = []
    for upper, lower in zip(heat_map[::2], heat_map[1::2], strict=True):
        levels = ((a + b) / 2 / most for a, b in zip(upper, lower, strict=True))
        lines.append("|" + "".join(shades[min(int(level * len(shades)), len(shades) - 1)] for level in levels) + "|")
    return lines


def _unicode() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()

"""The sections of a report on a data set: what it holds, what to look at first, and examples."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from segdata.dataset import METADATA, Row, open_rows
from segdata.ops.expression import columns_of
from segdata.quality.stats import Distribution, Stats, heat_picture, stats
from segdata.quality.validate import Validation, validate
from segdata.report.choose import choose
from segdata.report.html import charts
from segdata.report.html.page import Card, Chart, Gallery, Page, Section, Table
from segdata.report.html.samples import BOXES, Drawing, DrawSample, draw_cards
from segdata.report.picture import Show, legend
from segdata.report.quantiles import QUANTILES_HEAD, TITLES, quantiles_row
from segdata.storage import as_path
from segdata.wording import amount

_SIZES = ("width", "height", "megapixels", "aspect", "mask_share")
_PERSONS = ("persons", "person_share", "keypoints", "visible_keypoints")
_LISTED = 50
_FINDINGS = 10
SUSPECT = (
    ("disagreement", "-disagreement", "A model contradicts these masks most: the likeliest label errors first."),
    ("uncertainty", "-uncertainty", "The model that made these masks was least sure of them."),
    ("confidence", "confidence", "The model that made these masks was least sure of them."),
)
_DECIDED = "review_decision"


def dataset_page(data: str, *, check: bool, drawing: Drawing) -> tuple[Page, dict[str, str]]:
    """Give the report on a data set or a folder of photos, and what could not be read, by key.

    `check` looks for all that `validate` finds too; that takes a data set.
    """
    faults = None
    if check:
        faults = validate(data, shown=_FINDINGS, engine=drawing.engine, progress=drawing.progress)
    found = stats(data, engine=drawing.engine, progress=drawing.progress)
    sections = [_holds(found)]
    if faults is not None:
        sections.append(_findings(faults))
    if drawing.most:
        sections.append(_suspects(data, found, drawing))
    sections += [
        section
        for section in (
            _distributions("Sizes and shapes", found, _SIZES),
            _persons(found),
            _places(found),
            _domains(found),
            _sources(found),
        )
        if section is not None
    ]
    if drawing.most:
        sections.append(Section("Examples", galleries=(_examples(data, drawing),)))
    if found.failed:
        rows = [(each.key, each.message) for each in found.failures[:_LISTED]]
        table = Table("Could not be read", ("sample", "why"), rows, found.failed - len(rows))
        sections.append(Section("Samples that could not be read", tables=(table,)))
    name = as_path(data).resolve().name or data
    text = f"{amount(found.samples, 'sample')}, {amount(found.masks, 'mask')}, {amount(found.persons, 'person')}."
    return Page(f"Data set {name}", text, sections), {each.key: each.message for each in found.failures}


def _holds(found: Stats) -> Section:
    rows = [
        (name, f"{number:,}")
        for name, number in (
            ("samples", found.samples),
            ("photos", found.photos),
            ("masks", found.masks),
            ("masks without a person", found.empty_masks),
            ("persons", found.persons),
            ("crowd regions", found.crowds),
            ("samples that could not be read", found.failed),
        )
    ]
    return Section("What it holds", tables=(Table("Counts", ("what", "number"), rows),))


def _findings(found: Validation) -> Section:
    text = f"Errors: {found.errors:,}. Warnings: {found.warnings:,}. Notes: {found.notes:,}. Found by segdata validate."
    kinds = Table(
        "Findings by kind",
        ("finding", "severity", "count", "samples", "what is wrong", "what to do"),
        [
            (kind.code, kind.severity, f"{kind.count:,}", f"{kind.samples:,}", kind.what, kind.remedy)
            for kind in found.kinds
        ],
    )
    first = [(finding.code, finding.message) for kind in found.kinds for finding in kind.first]
    rest = found.errors + found.warnings + found.notes - len(first)
    tables = (kinds, Table(f"The first {_FINDINGS} of each kind", ("finding", "where"), first, rest)) if first else ()
    return Section("Findings", text, tables=tables)


def _suspects(data: str, found: Stats, drawing: Drawing) -> Section:
    root, rows = open_rows(data, "file_name")
    known, place = columns_of(rows()), shlex.quote(data)
    then = f" What was decided on is left out. segdata review {place} opens them to decide and correct."
    for column, sort, said in SUSPECT:
        if known.get(column):
            ranked = partial(_ranked, rows, column)
            cards = _cards(root, choose(ranked, None, sort, None, drawing.most).rows, drawing, column)
            return Section("Look at these first", galleries=(_gallery(f"By {column}", said + then, cards),))
    if found.masks and (root / METADATA).is_file():
        text = (
            "Nothing says yet which masks are likely wrong. Let a model contradict them, and make this report again: "
            f"segdata annotate {place} --out preds --probabilities, then segdata rank-labels {place} preds."
        )
    else:
        text = f"There are no masks. segdata annotate {place} --out preds makes some, and the least certain come first."
    return Section("Look at these first", text)


def _ranked(rows: Callable[[], Iterator[Row]], column: str) -> Iterator[Row]:
    """Yield the rows that nobody has decided on and whose column holds a number."""
    for row in rows():
        value = row.get(column)
        if not row.get(_DECIDED) and isinstance(value, int | float) and not isinstance(value, bool):
            yield row


def _examples(data: str, drawing: Drawing) -> Gallery:
    root, rows = open_rows(data, "file_name")
    chosen = choose(rows, None, None, 0, drawing.most)
    title = f"{len(chosen.rows):,} of {amount(chosen.samples, 'sample')}, drawn at random"
    return _gallery(title, "", _cards(root, chosen.rows, drawing))


def _gallery(title: str, text: str, cards: list[Card]) -> Gallery:
    """Put cards under a heading, with a legend of what is drawn into any of them."""
    drawn = {picture.name for card in cards for picture in card.pictures}
    shown: tuple[Show, ...] = ("mask", "boxes", "keypoints") if BOXES in drawn else ("mask",)
    return Gallery(title, text, cards, tuple(legend(shown)) if drawn - {"photo"} else ())


def _cards(root: Path, rows: list[Row], drawing: Drawing, column: str | None = None) -> list[Card]:
    tasks = [(row, _facts(row, column)) for row in rows]
    images = None if drawing.images is None else str(drawing.images)
    return draw_cards(DrawSample(str(root), images), tasks, lambda task: str(task[0]["key"]), drawing)


def _facts(row: Row, column: str | None) -> str:
    facts = [] if column is None else [f"{column} {row[column]:.3g}"]
    if isinstance(row.get("width"), int) and isinstance(row.get("height"), int):
        facts.append(f"{row['width']:,} × {row['height']:,}")
    facts += [str(row[name]) for name in ("domain", "split") if row.get(name)]
    return ", ".join(facts)


def _distributions(title: str, found: Stats, names: tuple[str, ...]) -> Section | None:
    shown = {name: found.distributions[name] for name in names if name in found.distributions}
    if not shown:
        return None
    drawn = tuple(_chart(name, spread) for name, spread in shown.items())
    rows = [quantiles_row(name, spread) for name, spread in shown.items()]
    return Section(title, "", drawn, (Table("Mean and quantiles", QUANTILES_HEAD, rows),))


def _chart(name: str, spread: Distribution) -> Chart:
    title, scale, digits = TITLES[name]
    low, middle, high = (f"{scale * value:,.{digits}f}" for value in (spread.p5, spread.median, spread.p95))
    caption = f"{title.capitalize()}: median {middle}; nine of ten are from {low} to {high}."
    label = title.replace("% of the", "share of the")
    return Chart(charts.counted(spread.histogram.edges, spread.histogram.counts, label, percent=scale == 100), caption)


def _persons(found: Stats) -> Section | None:
    section = _distributions("Persons and keypoints", found, _PERSONS)
    if section is None or not found.keypoints:
        return section
    names = list(found.keypoints)
    totals = [max(1, seen.visible + seen.hidden + seen.unlabelled) for seen in found.keypoints.values()]
    parts = {
        part: [getattr(seen, field) / total for seen, total in zip(found.keypoints.values(), totals, strict=True)]
        for part, field in (("visible", "visible"), ("hidden", "hidden"), ("not labelled", "unlabelled"))
    }
    seen = Chart(
        charts.stacked(names, parts, "share of persons"),
        "How often each keypoint is visible, labelled though hidden, and not labelled.",
    )
    rows = [(name, *(f"{100 * parts[part][place]:.1f}" for part in parts)) for place, name in enumerate(names)]
    table = Table("Keypoints, % of persons", ("keypoint", *parts), rows)
    return section._replace(charts=(*section.charts, seen), tables=(*section.tables, table))


def _places(found: Stats) -> Section | None:
    if found.heat_map is None:
        return None
    most = max(max(row) for row in found.heat_map)
    caption = (
        f"All photos stretched to one square. The brightest place is person in {100 * most:.0f} % of the masks "
        "with anybody."
    )
    picture = charts.map_of(heat_picture(found.heat_map, 256), "from the left edge to the right")
    return Section("Where persons are", "", (Chart(picture, caption),))


def _domains(found: Stats) -> Section | None:
    tables = [
        _counts(f"Photos by {column}", column, found.counts[column], found.samples)
        for column in ("split", "domain")
        if column in found.counts
    ]
    if not tables:
        return None
    drawn = []
    if "domain" in found.counts and "split" in found.counts:
        splits, domains = list(found.domains_by_split), list(found.counts["domain"])
        totals = {split: sum(each.values()) for split, each in found.domains_by_split.items()}
        parts = {
            domain: [found.domains_by_split[split].get(domain, 0) / totals[split] for split in splits]
            for domain in domains
        }
        drawn.append(Chart(charts.stacked(splits, parts, "share of photos"), "Which domains the splits are made of."))
    else:
        column, counts = next((name, found.counts[name]) for name in ("domain", "split") if name in found.counts)
        shares = [count / found.samples for count in counts.values()]
        drawn.append(
            Chart(charts.stacked(list(counts), {"photos": shares}, "share of photos"), f"The photos by {column}.")
        )
    return Section("Domains and splits", "", tuple(drawn), tuple(tables))


def _sources(found: Stats) -> Section | None:
    tables = [
        _counts(f"Photos by {column}", column, found.counts[column], found.samples)
        for column in ("source", "licence")
        if column in found.counts
    ]
    if len(found.counts.get("category", {})) > 1:
        tables.append(_counts("Persons by category", "category", found.counts["category"], found.persons))
    return Section("Sources and licences", tables=tuple(tables)) if tables else None


def _counts(caption: str, column: str, counts: dict[str, int], total: int) -> Table:
    rows = [(name, f"{count:,}", f"{100 * count / max(total, 1):.1f}") for name, count in counts.items()]
    return Table(caption, (column, "number", "%"), rows[:_LISTED], max(0, len(rows) - _LISTED))

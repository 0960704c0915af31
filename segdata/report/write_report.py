"""A report on a data set or an evaluation: one page of HTML that opens offline."""

from __future__ import annotations

from pathlib import Path

import msgspec

from segdata.choices import RankBy
from segdata.engine import Engine, Inline
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.quality.evaluate import MEASURES, Comparison, Evaluation, Means
from segdata.quality.threshold import THRESHOLDS
from segdata.report.html.charts import require_matplotlib, with_own_names
from segdata.report.html.dataset import dataset_page
from segdata.report.html.evaluation import TITLES, evaluation_page
from segdata.report.html.page import Page, check_place, require_jinja, write_page
from segdata.report.html.samples import Drawing
from segdata.steps import Progress
from segdata.storage import as_path

MOST = 100


class ReportFile(msgspec.Struct, frozen=True):
    """A report that was written: of what, its file and size in bytes, and what could not be drawn, by key."""

    source: str
    report: str
    size: int
    problems: dict[str, str]


def write_report(
    source: str | Path,
    *,
    out: str | Path,
    images: str | Path | None = None,
    by: RankBy = "iou",
    count: int = 12,
    check: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ReportFile:
    """Write a report on a data set, or on what `evaluate` found.

    Parameters
    ----------
    source : a data set or a folder of photos; or the JSON of an `Evaluation` or a `Comparison`, as
        ``segdata evaluate --json`` prints it. The pictures in its report are of the masks that were scored, which must
        still be where they were.
    out : the page to write, .html. Of files that are there already, only a report is replaced.
    images : folder of the photos, where neither truth nor predictions have them.
    by : the score by which samples are the worst and the best, and by which models are compared.
    count : how many samples are shown of each kind, of the best and of those on which models differ half as many; 0 for
        a report without pictures, 100 at most.
    check : looks for everything that `validate` finds in a data set, too.

    Raises
    ------
    InputError
        For a source that is neither, masks that are not there any more, a place that cannot be, and where matplotlib or
        jinja2 is not installed.
    StorageError
        When the place takes no more.
    """
    require_matplotlib()
    require_jinja()
    place, path = as_path(out), as_path(source)
    check_place(place)
    if not 0 <= count <= MOST:
        raise InputError(f"--count {count} cannot be", f"give 0 to {MOST}")
    if by not in TITLES:
        raise InputError(f"there is no score {by!r}", f"choose {', '.join(TITLES)}")
    drawing = Drawing(count, None if images is None else as_path(images), engine or Inline(), progress)
    if path.is_file():
        if check:
            raise InputError(f"{path} is an evaluation", "--check is for data sets")
        page = evaluation_page(read_evaluation(path), by, drawing)
        problems: dict[str, str] = {}
    else:
        page, problems = dataset_page(str(source), check=check, drawing=drawing)
    page = _with_own_names(page)
    size = write_page(page, place)
    cards = [card for section in page.sections for gallery in section.galleries for card in gallery.cards]
    problems |= {card.key: "; ".join(card.problems) for card in cards if card.problems}
    return ReportFile(str(source), str(place), size, problems)


def read_evaluation(path: Path) -> Comparison:
    """Read what ``evaluate --json`` printed, of one predictor or several. Raises `InputError` that names the file."""
    try:
        data = read_file(path)
        several = "predictors" in msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        if several:
            found = msgspec.json.decode(data, type=Comparison)
        else:
            found = Comparison([msgspec.json.decode(data, type=Evaluation)], [])
    except SampleError as error:
        raise InputError(error.message, "check the path") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no evaluation ({error})", "give what segdata evaluate --json prints") from error
    if not found.predictors or not all(each.samples for each in found.predictors):
        raise InputError(f"{path} holds no scored sample", "give what segdata evaluate --json prints")
    for each in found.predictors:
        fault = _fault(each)
        if fault:
            raise InputError(f"{path} is no evaluation ({fault})", "give what segdata evaluate --json prints")
    return found


def _fault(evaluation: Evaluation) -> str:
    """Say what evaluate would not have written, if anything."""
    settings, measures = evaluation.settings, set(MEASURES)
    means: list[Evaluation | Means] = [evaluation, *evaluation.domains.values(), *evaluation.splits.values()]
    for each in means:
        if not (measures <= set(each.mean) and measures <= set(each.std) and "iou" in each.pooled and each.count > 0):
            return "its means are not those of all measures"
    if len({sample.key for sample in evaluation.samples}) != len(evaluation.samples):
        return "a sample stands there twice"
    for sample in evaluation.samples:
        if not all(0 <= getattr(sample, name) <= 1 for name in MEASURES) or min(sample.gt_area, sample.pred_area) < 0:
            return f"the scores of {sample.key} cannot be"
    if not settings.tolerance_pixels or (settings.height is not None and settings.height < 1):
        return "its settings cannot be"
    if evaluation.sweep is not None and (
        evaluation.best is None or list(evaluation.sweep) != [f"{threshold:.2f}" for threshold in THRESHOLDS]
    ):
        return "its sweep is not one of all thresholds"
    return ""


def _with_own_names(page: Page) -> Page:
    """Make the names in the drawings differ, which stand in one page."""
    sections = []
    for number, section in enumerate(page.sections):
        names = [f"c{number}-{place}" for place in range(len(section.charts))]
        drawn = tuple(
            chart._replace(svg=with_own_names(chart.svg, name), name=name)
            for chart, name in zip(section.charts, names, strict=True)
        )
        sections.append(section._replace(charts=drawn))
    return page._replace(sections=sections)

"""Look for everything that is wrong with a data set or a COCO file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from segdata.dataset import Dataset, write_lines
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError
from segdata.formats.coco import CocoFile
from segdata.quality.validate.across import AcrossImages, AcrossSamples
from segdata.quality.validate.coco_file import CheckImage, file_faults, image_tasks
from segdata.quality.validate.findings import KINDS, Fault, Finding, KindCount, Tally, finding_of
from segdata.quality.validate.fix_coco import fix_coco
from segdata.quality.validate.fix_dataset import fix_dataset
from segdata.quality.validate.rules import load_rules
from segdata.quality.validate.samples import CheckSample
from segdata.sample import encode
from segdata.steps import Progress
from segdata.storage import as_path, lies_in

STEP = "validate"
SHOWN = 5

T = TypeVar("T")
R = TypeVar("R")


class Validation(msgspec.Struct, frozen=True):
    """What was found.

    `of` is ``data set`` or ``COCO file``; `samples` counts its rows or images. `kinds` hold the counts and the first
    findings of each kind, the gravest kind first. `findings` is the file that holds all of them, `fixed` the data set
    or file in which what can be mended without judgement is mended; `mended` counts those, by code.
    """

    data: str
    of: str
    samples: int
    errors: int
    warnings: int
    notes: int
    kinds: tuple[KindCount, ...]
    findings: str | None = None
    fixed: str | None = None
    mended: dict[str, int] = {}

    @property
    def left(self) -> int:
        """How many errors and warnings there are, less those that were mended."""
        grave = [kind for kind in self.kinds if kind.severity != "note"]
        return sum(kind.count - (kind.mendable if self.fixed is not None else 0) for kind in grave)


def validate(
    data: str | Path,
    *,
    images: str | Path | None = None,
    groups: Sequence[str] = (),
    rules: str | Path | None = None,
    out: str | Path | None = None,
    fix: str | Path | None = None,
    shown: int = SHOWN,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Check a data set, or a COCO annotation file, and say what is wrong with it.

    Parameters
    ----------
    data : a folder with metadata.jsonl, or a COCO file.
    images : folder of the photos of a COCO file, which are then checked too.
    groups : columns of a data set whose values must not be in two splits, beside `duplicate_group` and `crop_of`.
    rules : a Python file with rules of one's own; see `segdata.quality.validate.rule`. It is run.
    out : file for all findings, a line of JSON each. Of files that are there already, only such a file is replaced.
    fix : a new folder, or for a COCO file a new file, in which what can be mended without judgement is mended: see
        `mend` in `segdata.quality.validate.KINDS`. No pixel of a photo or of a mask is ever changed.
    shown : how many findings of each kind the result holds; all of them are counted.

    Memory does not depend on the number of findings; a sample takes some 100 bytes, an annotation of a COCO file 12.

    Raises `InputError` for what is neither a data set nor a COCO file, and for options that do not fit.

    >>> import tempfile
    >>> from segdata.files import write_file
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_file(folder / "metadata.jsonl", b'{"key": "a", "file_name": "images/a.jpg"}')
    >>> [(kind.code, kind.count) for kind in validate(folder).kinds]
    [('missing-file', 1)]
    """
    path = as_path(data)
    place = None if out is None else as_path(out)
    if place is not None and not _may_replace(place):
        raise InputError(f"{place} is something else than findings", "choose another name for --out")
    rules_path = None if rules is None else str(rules)
    kinds = [*KINDS, *(rule.kind for rule in load_rules(rules_path))] if rules_path is not None else KINDS
    tally = Tally(shown, kinds)
    is_file = path.is_file()
    run: _DatasetRun | _CocoRun
    if is_file:
        if groups:
            raise InputError(f"{path} is a COCO file, which has no splits", "leave --group-by away")
        run = _CocoRun(path, images, rules_path)
    else:
        if images is not None:
            raise InputError(f"{path} is a data set, which has its own photos", "leave --images away")
        run = _DatasetRun(path, groups, rules_path)
    if fix is not None:
        run.check_target(as_path(fix))
    findings = tally.through(run.findings(engine, progress))
    if place is None:
        deque(findings, maxlen=0)
    else:
        write_lines(place, map(encode, findings))
    counts = tally.result()
    mended = {kind.code: kind.mendable for kind in counts if kind.mendable}
    if fix is not None:
        run.fix(as_path(fix), engine, progress)
    by_severity = {
        severity: sum(kind.count for kind in counts if kind.severity == severity)
        for severity in ("error", "warning", "note")
    }
    return Validation(
        data=str(path),
        of="COCO file" if is_file else "data set",
        samples=run.samples,
        errors=by_severity["error"],
        warnings=by_severity["warning"],
        notes=by_severity["note"],
        kinds=counts,
        findings=None if place is None else str(place),
        fixed=None if fix is None else str(fix),
        mended=mended if fix is not None else {},
    )


def _may_replace(path: Path) -> bool:
    if not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline()
    if not line:
        return True
    try:
        msgspec.json.decode(line, type=Finding)
    except msgspec.DecodeError:
        return False
    return True


class _DatasetRun:
    """The check of a data set."""

    def __init__(self, path: Path, groups: Sequence[str], rules: str | None) -> None:
        self.dataset = Dataset(path)
        self.metadata = str(self.dataset.metadata)
        self.work = CheckSample(str(self.dataset.root), self.metadata, rules)
        self.groups = groups
        self.samples = 0

    def findings(self, engine: Engine | None, progress: Progress | None) -> Iterator[Finding]:
        across = AcrossSamples(self.dataset.root, self.metadata, self.groups)
        waiting: deque[bytes] = deque()

        def tasks() -> Iterator[tuple[int, bytes]]:
            for number, line in self._numbered():
                waiting.append(line)
                yield number, line

        total = len(self.dataset)
        for task, checked in _run(self.work, tasks(), total, engine, progress):
            line = waiting.popleft()
            self.samples += 1
            if checked is None:
                yield _died(self.metadata, f"line {task[0] if task else '?'}")
                across.add(line, None)
                continue
            yield from checked.findings
            across.add(line, checked.facts)
        yield from across.findings(line for _, line in self._numbered())

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        with self.dataset.metadata.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")

    def check_target(self, out: Path) -> None:
        if out.is_file() or (out.exists() and lies_in(out, self.dataset.root) and lies_in(self.dataset.root, out)):
            raise InputError(f"{out} cannot take the mended data set", "give a folder that is new or empty with --fix")

    def fix(self, out: Path, engine: Engine | None, progress: Progress | None) -> None:
        fix_dataset(self.dataset, self.work, out, engine=engine, progress=progress)


class _CocoRun:
    """The check of a COCO file."""

    def __init__(self, path: Path, images: str | Path | None, rules: str | None) -> None:
        if images is not None and not as_path(images).is_dir():
            raise InputError(f"{images} is not a folder", "give the folder of the photos with --images")
        self.coco = CocoFile(path)
        folder = None if images is None else str(images)
        self.work = CheckImage(str(path), folder, self.coco.categories, rules)
        self.samples = len(self.coco)

    def findings(self, engine: Engine | None, progress: Progress | None) -> Iterator[Finding]:
        yield from file_faults(self.coco)
        across = AcrossImages(self.coco)
        for task, checked in _run(self.work, image_tasks(self.coco), len(self.coco), engine, progress):
            if checked is None:
                yield _died(self.work.path, f"image record {task.number if task else '?'}")
                across.add(None)
                continue
            yield from checked.findings
            across.add(checked.facts)
        yield from across.findings()

    def check_target(self, out: Path) -> None:
        if out.exists():
            raise InputError(f"{out} is there already", "give the name of a new file with --fix")

    def fix(self, out: Path, engine: Engine | None, progress: Progress | None) -> None:
        fix_coco(self.coco, out, engine=engine, progress=progress)


def _run(
    work: Callable[[T], R], tasks: Iterable[T], total: int, engine: Engine | None, progress: Progress | None
) -> Iterator[tuple[T | None, R | None]]:
    """Yield what came of each task, or the task and None where it ended its process."""
    chosen: Engine = engine or Inline()
    if progress is not None:
        progress.begin(STEP, total)
    with closing(chosen.map(work, tasks)) as results:
        for result in results:
            yield (result.task, None) if isinstance(result, Lost) else (None, result)
            if progress is not None:
                progress.advance()


def _died(file: str, subject: str) -> Finding:
    return finding_of(
        Fault("worker-died", "ended the process that checked it each time (out of memory?)"), file, subject
    )

"""What can be wrong with a data set or an annotation file: the table of kinds, single findings, and their count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Kind(NamedTuple):
    """A kind of finding.

    `code` is a stable word for programs. An ``error`` cannot be used, or is used wrongly without a word; a
    ``warning`` is probably wrong; a ``note`` is worth a look and often meant. `what` and `remedy` are for people;
    `mend` says what ``--fix`` does, and is empty where that would take judgement. `of` names what is looked at.
    """

    code: str
    severity: Severity
    of: Literal["both", "data set", "COCO file"]
    what: str
    remedy: str
    mend: str = ""


KINDS: tuple[Kind, ...] = (
    # Files
    Kind("missing-file", "error", "both", "a file that is named does not exist", "put it back, or drop the sample"),
    Kind("unreadable-file", "error", "both", "a file cannot be read", "check its permissions"),
    Kind("unreadable-image", "error", "both", "an image cannot be decoded to its end", "replace the file"),
    Kind("huge-image", "error", "both", "an image or its row claims more pixels than cameras take",
         "check where it is from"),
    Kind("unsafe-name", "error", "both", "a file name leads out of the folder", "rename it to a relative path"),
    Kind("case-collision", "warning", "both", "names differ only in case or in how an accent is written",
         "rename one: Windows and macOS hold them for one file"),
    Kind("unnamed-file", "note", "data set", "an image lies in a folder of the data set, and no row names it",
         "remove it, or add its row"),
    # Rows and records
    Kind("bad-row", "error", "data set", "a row, or one of its columns, is not what the format says",
         "mend that line of metadata.jsonl"),
    Kind("bad-person", "error", "data set", "a person of a row cannot be read", "mend that line of metadata.jsonl"),
    Kind("bad-image-record", "error", "COCO file", "an image record lacks id, file name or size, or holds other types",
         "mend the record"),
    Kind("bad-annotation", "error", "COCO file", "an annotation lacks an id, or holds other types", "mend the record"),
    Kind("duplicate-key", "error", "both", "two samples have one key: a path without suffix", "rename one of them"),
    Kind("duplicate-id", "error", "both", "an id is there twice", "give each its own id"),
    Kind("repeated-row", "warning", "data set", "a row stands in the file again, to the letter", "leave one of them",
         "the repetition is left out"),
    Kind("repeated-annotation", "warning", "COCO file", "an annotation of an image stands there again, to the letter",
         "leave one of them", "the repetition is left out"),
    Kind("unknown-image", "error", "COCO file", "an annotation belongs to an image that the file does not list",
         "add the image's record, or drop the annotation"),
    Kind("unknown-category", "error", "COCO file", "an annotation has a category that the file does not list",
         "add the category, or change the annotation"),
    Kind("crowd-flag", "error", "COCO file", "iscrowd is neither 0 nor 1", "write 1 for a crowd region, otherwise 0"),
    Kind("crowd-polygon", "note", "COCO file", "a crowd region is drawn as polygons, where COCO's are run lengths",
         "make sure that the flag is meant"),
    # Sizes
    Kind("size-mismatch", "error", "both", "a mask, a label or an annotation has another size than its photo",
         "give the files that belong together"),
    Kind("rotated-photo", "error", "both", "EXIF turns the photo, and its labels are for the pixels as stored",
         "merge-coco --drawn-on stored turns annotations; or save the photo with the rotation applied"),
    Kind("row-size", "warning", "data set", "width, height or exif_orientation of a row are not the photo's",
         "write the photo's into the row", "the photo's are taken where the mask has the photo's size"),
    # Masks
    Kind("not-binary", "error", "data set", "a mask holds more than two values, and not 0, 1 and 255",
         "threshold a probability map; store masks without loss, never as JPEG"),
    Kind("colour-mask", "error", "data set", "a mask is a colour image", "store masks with one channel",
         "black and one colour become 0 and 255"),
    Kind("empty-mask", "warning", "data set", "a mask has no person, and the row does not say that nobody is there",
         "draw it, or write an empty list of persons into the row"),
    Kind("nobody", "note", "data set", "a mask is empty, and the row says that nobody is there",
         "look whether somebody is"),
    Kind("full-mask", "warning", "data set", "a mask covers the whole photo", "look whether it is inverted"),
    Kind("mask-persons", "warning", "data set", "the mask is not the union of the row's persons",
         "find out which of the two is newer"),
    Kind("tile-cut", "warning", "data set", "a mask ends in a straight line where tiles end",
         "predict with overlapping tiles, or correct the mask"),
    Kind("speck", "note", "both", "a mask has a tiny stray part", "erase it, if it is none of the person"),
    Kind("pinhole", "note", "both", "a mask has a tiny hole", "fill it, if nothing shows through"),
    # Shapes
    Kind("no-segmentation", "error", "COCO file", "an annotation has no segmentation", "draw it, or drop it"),
    Kind("few-points", "error", "COCO file", "a polygon has fewer than three points", "remove it, or draw it again",
         "it is left out where other polygons remain: it covers nothing"),
    Kind("bad-polygon", "error", "COCO file", "a polygon has an odd number of coordinates, or ones that are no numbers",
         "draw it again"),
    Kind("counts-as-polygon", "error", "COCO file", "run lengths stand where polygons belong",
         "write an object with 'size' and 'counts'",
         "they become run lengths where they add up to the image's pixels"),
    Kind("bad-rle", "error", "both", "run lengths do not cover the image exactly, or cannot be decoded",
         "encode the mask again"),
    Kind("self-intersection", "warning", "COCO file", "a polygon crosses itself and encloses a loop",
         "draw it again: what lies in the loop depends on who draws it"),
    Kind("nested-ring", "warning", "COCO file", "a polygon lies in another of the same annotation: COCO fills it",
         "if it is a hole, store run lengths"),
    Kind("empty-person", "warning", "both", "the mask of a person has no pixel", "draw it again, or drop it"),
    # Persons
    Kind("bad-box", "error", "both", "a box is not four finite numbers with a width and a height", "write it again",
         "the mask's box is taken, where there is a mask"),
    Kind("box-outside", "warning", "both", "a box reaches out of the image", "clip it",
         "the mask's box is taken, where there is a mask"),
    Kind("box-mismatch", "warning", "both", "a box is not that of the mask", "take the mask's box",
         "the mask's box is taken"),
    Kind("box-elsewhere", "error", "both", "less than half of box and mask is in the same place",
         "find out which of the two belongs to this person"),
    Kind("area-mismatch", "warning", "both", "the area is not that of the mask", "count the mask's pixels",
         "the mask's pixels are counted"),
    Kind("bad-keypoints", "error", "both", "keypoints are not rows of x, y and a visibility of 0, 1 or 2",
         "write them again"),
    Kind("keypoint-outside", "warning", "both", "a labelled keypoint lies outside the image", "move it, or unlabel it"),
    Kind("keypoint-off-mask", "warning", "both", "a visible keypoint lies off the person's mask",
         "look whether mask and keypoints are of one person"),
    Kind("keypoint-count", "warning", "COCO file", "num_keypoints is not how many are labelled", "count them",
         "they are counted"),
    # Splits
    Kind("same-photo", "warning", "both", "two samples have the same photo, byte for byte",
         "leave one of them; segdata duplicates finds edited copies too"),
    Kind("two-splits", "error", "data set", "the same photo, or samples of one group, are in two splits",
         "segdata duplicates --write, then segdata split --group-by duplicate_group"),
    # The check itself
    Kind("worker-died", "error", "both", "a sample ended the process that checked it", "check its files' sizes"),
    Kind("rule-failed", "error", "both", "a rule of --rules raised an exception", "mend the rule"),
)  # fmt: skip

KIND = {kind.code: kind for kind in KINDS}


class Fault(NamedTuple):
    """What a check found: the code, what is wrong in words that follow the name of what it is about, and a remedy.

    `mendable` tells whether ``--fix`` mends this very one.
    """

    code: str
    message: str
    mendable: bool = False
    remedy: str = ""


class Finding(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that is wrong: a row of the file that ``--out`` writes.

    `file` is where it is, `key` the sample's, `id` the annotation's or person's, `person` the place of that in the
    row or image, from 0. `mendable` tells whether ``--fix`` mends it.
    """

    code: str
    severity: Severity
    file: str
    message: str
    remedy: str
    key: str | None = None
    id: int | None = None
    person: int | None = None
    mendable: bool = False


def finding_of(
    fault: Fault, file: str, subject: str, *, key: str | None = None, number: int | None = None, id: int | None = None  # noqa: A002
) -> Finding:  # fmt: skip
    """Give the finding of a fault of `subject`, such as ``person 3 of shoot/0001``.

    >>> finding_of(Fault("speck", "has a part of 3 pixels"), "a.json", "annotation 5").message
    'annotation 5 has a part of 3 pixels'
    """
    kind = KIND[fault.code]
    return Finding(
        code=fault.code,
        severity=kind.severity,
        file=file,
        message=f"{subject} {fault.message}" if subject else fault.message,
        remedy=fault.remedy or kind.remedy,
        key=key,
        id=id,
        person=number,
        mendable=fault.mendable,
    )


class KindCount(msgspec.Struct, frozen=True):
    """How often a kind was found, in how many samples, how many of them ``--fix`` mends, and the first ones."""

    code: str
    severity: Severity
    count: int
    samples: int
    mendable: int
    what: str
    remedy: str
    first: tuple[Finding, ...]


class Tally:
    """Counts findings and keeps the first of each kind: memory does not depend on how many there are."""

    def __init__(self, shown: int, kinds: Iterable[Kind] = KINDS) -> None:
        self.shown = shown
        self.kinds = {kind.code: kind for kind in kinds}
        self.counts: Counter[str] = Counter()
        self.mendable: Counter[str] = Counter()
        self.samples: Counter[str] = Counter()
        self._first: dict[str, list[Finding]] = {}
        self._last_key: dict[str, str | None] = {}

    def add(self, finding: Finding) -> None:
        """Count a finding. Those of one sample follow each other."""
        code = finding.code
        self.counts[code] += 1
        self.mendable[code] += finding.mendable
        if finding.key is None or self._last_key.get(code) != finding.key:
            self.samples[code] += 1
            self._last_key[code] = finding.key
        first = self._first.setdefault(code, [])
        if len(first) < self.shown:
            first.append(finding)

    def through(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Count findings on their way."""
        for finding in findings:
            self.add(finding)
            yield finding

    def result(self) -> tuple[KindCount, ...]:
        """Give the kinds that were found, the gravest first, then the most frequent."""
        order = sorted(
            self.counts, key=lambda code: (SEVERITIES.index(self.kinds[code].severity), -self.counts[code], code)
        )
        return tuple(
            KindCount(
                code,
                self.kinds[code].severity,
                self.counts[code],
                self.samples[code],
                self.mendable[code],
                self.kinds[code].what,
                self.kinds[code].remedy,
                tuple(self._first[code]),
            )
            for code in order
        )


def table_of_kinds() -> str:
    """Give the table of all kinds in Markdown, as the manual has it."""
    lines = ["| code | severity | of | what is wrong | remedy | `--fix` |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{kind.code}` | {kind.severity} | {kind.of} | {kind.what} | {kind.remedy} | {kind.mend or 'never'} |"
        for kind in KINDS
    ]
    return "\n".join(lines) + "\n"

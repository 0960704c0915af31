"""Rules of one's own: functions in a Python file that look at a sample and say what is wrong.

A rule is a function with the decorator `rule`. It takes a `RuleSample` and yields sentences, or pairs of a person's id
and a sentence::

    from segdata.quality.validate import rule

    @rule("small-person", severity="warning", remedy="leave such photos out")
    def small_person(sample):
        for person in sample.row["persons"]:
            if person["area"] < 500:
                yield person["id"], f"has only {person['area']} pixels"

The file is Python that is run with all the rights of who runs segdata: it is run because it was named, never because a
data set holds it.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.errors import InputError
from segdata.files import read_file
from segdata.masks import Mask
from segdata.pixels import decode_image
from segdata.quality.validate.findings import KIND, Finding, Kind, Severity
from segdata.sample import path_of
from segdata.storage import as_path, join_path

Said: TypeAlias = "str | tuple[int | None, str]"
_MARK = "segdata_rule"
_MOST_SAID = 100  # of one rule about one sample


class RuleSample(NamedTuple):
    """What a rule sees of a sample.

    `row` are its columns in metadata.jsonl; of a COCO file the image record with the `persons` of its annotations:
    id, category, box, area, crowd, keypoints. `mask` is bool (H, W), or None where there is none that can be read;
    `void`, bool (H, W), marks pixels to ignore. `root` is the folder that file names are relative to.
    """

    key: str
    row: Row
    mask: Mask | None
    void: Mask | None
    root: str | None

    def photo(self) -> npt.NDArray[np.uint8]:
        """Read the photo, uint8 (H, W, 3) RGB, upright. Raises `SampleError` where there is none."""
        name = path_of(str(self.row.get("file_name")))
        return decode_image(read_file(join_path(self.root, name)), name)


class Rule(NamedTuple):
    """A rule with what its findings say of themselves."""

    kind: Kind
    check: Callable[[RuleSample], Iterable[Said] | None]


def rule(
    code: str, *, severity: Severity = "warning", remedy: str = "look at it"
) -> Callable[[Callable[[RuleSample], Iterable[Said] | None]], Callable[[RuleSample], Iterable[Said] | None]]:
    """Make a rule of a function; its findings have `code`, `severity` and `remedy`.

    Raises `InputError` for a severity that there is not and for a code that segdata itself has.

    >>> @rule("no-licence", severity="note", remedy="ask the photographer")
    ... def no_licence(sample):
    ...     if not sample.row.get("licence"):
    ...         yield "has no licence"
    """
    if severity not in get_args(Severity):
        raise InputError(f"{severity!r} is no severity", f"use one of {', '.join(get_args(Severity))}")
    if not isinstance(code, str) or not code.strip() or code in KIND:
        raise InputError(f"a rule cannot have the code {code!r}", "give it a word of its own")

    def mark(check: Callable[[RuleSample], Iterable[Said] | None]) -> Callable[[RuleSample], Iterable[Said] | None]:
        what = (check.__doc__ or f"what the rule {check.__name__} says").strip().splitlines()[0].rstrip(".")
        setattr(check, _MARK, Rule(Kind(code, severity, "both", what, remedy), check))
        return check

    return mark


@lru_cache(maxsize=4)
def load_rules(path: str) -> tuple[Rule, ...]:
    """Run a file of rules, and give them in the order in which it defines them.

    Raises `InputError` that names the file, and the line where it fails.
    """
    file = as_path(path)
    if not file.is_file():
        raise InputError(f"{path} is not a file", "give a Python file with rules")
    spec = importlib.util.spec_from_file_location(f"segdata_rules_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file", "give one whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path}{_line(error, path)} cannot be run ({type(error).__name__}: {error})") from error
    rules = tuple(found for value in vars(module).values() if isinstance(found := getattr(value, _MARK, None), Rule))
    if not rules:
        raise InputError(f"{path} defines no rule", "decorate a function with segdata.quality.validate.rule")
    codes = [each.kind.code for each in rules]
    if len(set(codes)) != len(codes):
        raise InputError(f"two rules of {path} have the same code", "give each its own")
    return rules


def _line(error: BaseException, path: str) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno},"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f", line {lines[-1]}," if lines else ""


def run_rules(path: str, file: str, sample: RuleSample) -> Iterator[Finding]:
    """Yield what the rules of a file say of a sample; a rule that fails is a finding too."""
    for each in load_rules(path):
        kind = each.kind
        try:
            for number, said in enumerate(each.check(sample) or ()):
                if number == _MOST_SAID:
                    break
                id_, message = said if isinstance(said, tuple) else (None, said)
                known = id_ if isinstance(id_, int) else None
                subject = sample.key if known is None else f"person {known} of {sample.key}"
                yield Finding(kind.code, kind.severity, file, f"{subject} {message}", kind.remedy, sample.key, known)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            failed = KIND["rule-failed"]
            message = f"the rule {kind.code!r}{_line(error, path)} of {path} failed on {sample.key}"
            yield Finding(
                failed.code,
                failed.severity,
                path,
                f"{message} ({type(error).__name__}: {error})",
                failed.remedy,
                sample.key,
            )

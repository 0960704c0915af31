"""How many small faults in masks.py, ops/ and quality/ the tests notice: a random sample of cosmic-ray's mutants.

pip install cosmic-ray                                  # in a checkout of its own: files are changed in place
cosmic-ray init benchmarks/mutants.toml mutants.sqlite
python benchmarks/mutants.py sample mutants.sqlite --count 400 --seed 1
python benchmarks/mutants.py run mutants.sqlite         # can be interrupted and goes on
python benchmarks/mutants.py score mutants.sqlite       # and what survived

All thousands of mutants would take days. A sample is of places in the code, and of each place one mutant, because
cosmic-ray changes an operator into every other one, and most of these break the code altogether. Annotations are left
out, which nothing runs. Each mutant meets the tests named after its module, those of the same package that import it,
the examples in its docstrings and the test of its records; not the tests of whole commands.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.util
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Modules whose tests have another name.
ELSEWHERE = {
    "segdata/ops/knowledge.py": ["tests/ops/test_annotate.py", "tests/ops/test_benchmark_model.py"],
    "segdata/ops/package_probe.py": ["tests/ops/test_doctor.py", "tests/ops/test_requirements.py"],
    "segdata/ops/poses.py": [
        f"tests/ops/test_{name}.py" for name in ("faces", "saliency", "grade_domains", "crop", "merge_coco")
    ],
}
LIBRARIES = (
    *("cv2", "msgspec", "PIL.Image", "pycocotools.cocoeval", "scipy.ndimage", "scipy.stats"),
    *(
        "skimage.morphology",
        "skimage.segmentation",
        "sklearn.metrics",
        "torchmetrics.functional.classification",
        "typer",
    ),
)
# Modules that define public records, as tests/test_records.py finds them.
RECORD = re.compile(r"^class [A-Z]\w*\((msgspec\.Struct|NamedTuple)|^from dataclasses import", re.MULTILINE)
# Those of all measures come last, for they take longest.
ORDER = ("test_independent", "test_metamorphic")


def tests_of(module: str) -> list[str]:
    """List the test files of a module, those that bear its name first."""
    path = Path(module)
    if path.parent.name == "validate":
        return sorted(str(each.relative_to(ROOT)) for each in ROOT.glob("tests/quality/test_validate_*.py"))
    name = ".".join(path.with_suffix("").parts)
    named = {*ROOT.glob(f"tests/**/test_{path.stem}.py"), *ROOT.glob(f"tests/**/test_{path.stem}_*.py")}
    folder = ROOT / "tests" / Path(*path.parent.parts[1:])
    importing = {each for each in folder.glob("*.py") if f"from {name} import" in each.read_text()}
    if any(each.name == "independent.py" for each in importing):
        importing.add(folder / "test_independent.py")
    found = named | {each for each in importing if each.name.startswith("test_")}

    def rank(each: Path) -> tuple[bool, bool, bool, bool, str]:
        last = (each.name.startswith(name) for name in ORDER)
        return *last, each not in named, each.stem != f"test_{path.stem}", str(each)

    return ELSEWHERE.get(module, []) + [str(each.relative_to(ROOT)) for each in sorted(found, key=rank)]


def run(path: Path, limit: float) -> None:
    """Meet each mutant that has no result yet with its tests, up to the first that fails.

    Like `cosmic-ray exec`, but in a fork of this process, which has loaded the libraries that all tests need: to start
    Python anew for each mutant would take most of the time.
    """
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    path = path.resolve()
    os.chdir(ROOT)
    for name in LIBRARIES:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    sys.dont_write_bytecode = True  # of a mutant, which a later one might be taken for
    with use_db(path, WorkDB.Mode.open) as session:
        for item in list(session.pending_work_items):
            (mutation,) = item.mutations
            operator = get_operator(mutation.operator_name)(**mutation.operator_args)
            with ExitStack() as stack:
                try:
                    before, after = stack.enter_context(
                        use_mutation(mutation.module_path, operator, mutation.occurrence)
                    )
                except AttributeError:  # of an exception whose name has a dot, which cosmic-ray cannot replace
                    before = after = ""
                if not after or not is_python(after):  # nobody could write that by mistake
                    session.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))
                    continue
                noticed, output = tested(str(mutation.module_path), limit)
            change = "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), n=2))
            outcome = TestOutcome.KILLED if noticed else TestOutcome.SURVIVED
            session.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, output, outcome, change))
            print(outcome.value, mutation.module_path, flush=True)


def tested(module: str, limit: float) -> tuple[bool, str]:
    """Tell whether a test of a module fails or takes longer than the limit in seconds, and what it printed."""
    name = ".".join(Path(module).with_suffix("").parts)
    first = [f"tests/test_public_api.py::test_the_examples_of_docstrings_are_true[{name}]"]
    if RECORD.search((ROOT / module).read_text()):
        first.append(f"tests/test_records.py::test_a_record_cannot_be_changed[{name}]")
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.setsid()
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            ended = 99
            try:
                ended = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *first, *tests_of(module)]))
            finally:
                os._exit(ended)
        end = time.monotonic() + limit
        while not (status := os.waitpid(child, os.WNOHANG))[0]:
            time.sleep(0.05)
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return True, "timeout"
        output.seek(0)
        said = output.read().decode(errors="replace")
        ended = os.waitstatus_to_exitcode(status[1])
        if ended > 2:  # neither a test nor what it imports has failed, but pytest itself
            raise RuntimeError(f"the tests of {module} could not be run:\n{said}")
        return ended != 0, said


def is_python(source: str) -> bool:
    """Tell whether a mutant is Python at all: ``{**row}`` with another operator is not."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def annotated(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where the annotations of a module begin and end."""
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            each = getattr(node, name, None)
            if each is not None:
                yield (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)


def sample(path: Path, count: int, seed: int) -> None:
    """Keep one mutant each of `count` places of the code in a session."""
    from cosmic_ray.work_db import WorkDB, use_db

    with use_db(path, WorkDB.Mode.open) as session:
        items = list(session.work_items)
        places: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
        annotations = {
            module: list(annotated((ROOT / module).read_text()))
            for module in {item.mutations[0].module_path for item in items}
        }
        for item in items:
            (mutation,) = item.mutations
            if not any(a <= tuple(mutation.start_pos) < b for a, b in annotations[mutation.module_path]):
                kind = mutation.operator_name.partition("_")[0]
                places[str(mutation.module_path), tuple(mutation.start_pos), kind].append(item)
        draw = random.Random(seed)
        chosen = [draw.choice(places[place]) for place in draw.sample(sorted(places), min(count, len(places)))]
        session.clear()
        session.add_work_items(chosen)
    print(f"{len(chosen):,} mutants of {len(places):,} places, of {len(items):,} mutants in all")


def wilson(killed: int, count: int) -> tuple[float, float]:
    """Give the 95 % interval of a share."""
    z, share = 1.96, killed / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def score(path: Path) -> None:
    """Print the share of mutants that were noticed, by package, and the others as changes of lines."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome

    outcomes: dict[str, Counter[bool]] = defaultdict(Counter)
    timeouts = 0
    with use_db(path, WorkDB.Mode.open) as session:
        for item, result in session.completed_work_items:
            if result.worker_outcome != WorkerOutcome.NORMAL:
                continue
            module = str(item.mutations[0].module_path)
            part = "/".join(module.split("/")[1:-1]) or Path(module).name
            outcomes[part][result.is_killed] += 1
            outcomes["all"][result.is_killed] += 1
            timeouts += result.output == "timeout"
            if not result.is_killed:
                print(f"survived: {module}\n{result.diff}\n")
    for part, counts in sorted(outcomes.items()):
        low, high = wilson(counts[True], counts.total())
        print(
            f"{part}: {counts[True]} of {counts.total()} noticed, {100 * counts[True] / counts.total():.1f} % "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
        )
    print(f"{timeouts} of them by running longer than the limit")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["sample", "run", "score"])
    parser.add_argument("session", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=400, help="seconds that the tests of a mutant may take")
    options = parser.parse_args()
    if options.action == "sample":
        sample(options.session, options.count, options.seed)
    elif options.action == "run":
        run(options.session, options.limit)
    else:
        score(options.session)


if __name__ == "__main__":
    main()

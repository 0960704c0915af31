"""How many small faults in masks.py, ops/ and quality/ the tests notice: a random sample of cosmic-ray's mutants.

pip install cosmic-ray                                  # in a checkout of its own: files are changed in place
cosmic-ray init benchmarks/mutants.toml mutants.sqlite
python benchmarks/mutants.py sample mutants.sqlite --count 400 --seed 1
cosmic-ray exec benchmarks/mutants.toml mutants.sqlite
python benchmarks/mutants.py score mutants.sqlite       # and what survived

All thousands of mutants would take days. A sample is of places in the code, and of each place one mutant, because
cosmic-ray changes an operator into every other one, and most of these break the code altogether. Annotations are left
out, which nothing runs. Each mutant meets the tests named after its module, those of the same package that import it
and the examples in its docstrings; not the tests of whole commands.
"""

from __future__ import annotations

import argparse
import ast
import math
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Modules whose tests have another name.
ELSEWHERE = {
    "segdata/ops/knowledge.py": ["tests/ops/test_annotate.py", "tests/ops/test_benchmark_model.py"],
    "segdata/ops/package_probe.py": ["tests/ops/test_doctor.py", "tests/ops/test_requirements.py"],
    "segdata/ops/poses.py": [
        f"tests/ops/test_{name}.py" for name in ("faces", "saliency", "grade_domains", "crop", "merge_coco")
    ],
}
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


def test() -> int:
    """Run the tests of the module that differs from what is committed, up to the first that fails."""
    command = ["git", "diff", "--name-only", "--", "segdata"]
    modules = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not modules:
        sys.exit("no module is changed")
    names = [".".join(Path(module).with_suffix("").parts) for module in modules]
    examples = [f"tests/test_public_api.py::test_the_examples_of_docstrings_are_true[{name}]" for name in names]
    files = list(dict.fromkeys(each for module in modules for each in tests_of(module)))
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *examples, *files]
    return subprocess.run(pytest, check=False, cwd=ROOT).returncode


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

    outcomes: dict[str, Counter[bool]] = defaultdict(Counter)
    timeouts = 0
    with use_db(path, WorkDB.Mode.open) as session:
        for item, result in session.completed_work_items:
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


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["sample", "test", "score"])
    parser.add_argument("session", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.action == "test":
        return test()
    if options.session is None:
        parser.error("name the session")
    if options.action == "sample":
        sample(options.session, options.count, options.seed)
    else:
        score(options.session)
    return 0


if __name__ == "__main__":
    sys.exit(main())

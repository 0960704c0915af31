"""Feed a reader of segdata with inputs that a fuzzer makes, guided by coverage: python fuzz/run.py READER.

Ends with 1 at the first finding: an exception that is none of segdata.errors, a mask that is not what other means make
of the same input, more than two seconds, or more than a gigabyte of memory. The input is kept, and its path is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path

from inputs import flip

HERE = Path(__file__).resolve().parent
READERS = sorted(path.stem for path in (HERE / "readers").glob("*.py"))
SECONDS = 2
MEGABYTES = 1024


def find_reader(name: str):
    """Load a harness by name, with segdata made as strict as the tests are."""
    reader = import_module(f"readers.{name}").READER
    import_module("reading").lower_limit()
    warnings.simplefilter("error")
    return reader


def fuzz(name: str, flags: list[str], counts: Path) -> None:
    """Be the process that fuzzes; ends it."""
    import atheris

    with atheris.instrument_imports(include=["segdata", "tomllib", "yaml", "PIL"]):
        reader = find_reader(name)
    from segdata.errors import SegdataError

    seen = {"inputs": 0, "accepted": 0}

    def test(data: bytes) -> None:
        seen["inputs"] += 1
        if seen["inputs"] % 1000 == 0:
            counts.write_text(json.dumps(seen))
        try:
            seen["accepted"] += reader.check(data)
        except SegdataError:
            return

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        return reader.mutator(bytes(data), size, random.Random(seed), atheris.Mutate)

    atheris.Setup([sys.argv[0], *flags], test, custom_mutator=mutate)
    atheris.Fuzz()


def shortly(count: int, seed: int) -> int:
    """Give every reader so many inputs that nothing guides, in this process; atheris need not be there."""
    for name in READERS:
        reader = find_reader(name)
        from segdata.errors import SegdataError

        rng = random.Random(seed)
        seeds, accepted = list(reader.seeds()), 0
        for number in range(count):
            data = seeds[number] if number < len(seeds) else rng.choice(seeds)
            if number >= len(seeds):
                data = reader.mutator(data, reader.most_bytes, rng, partial(flip, rng=rng))
            try:
                accepted += reader.check(data)
            except SegdataError:
                continue
            except Exception:
                print(json.dumps({"reader": name, "finding": data.hex()}))
                raise
        print(json.dumps({"reader": name, "inputs": count, "accepted": accepted}))
    return 0


def _entry(word: bytes) -> str:
    """Write a word as a line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def main() -> int:
    """Prepare the seeds, run the process that fuzzes, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=[*READERS, "all"], help="all: each in turn, without atheris and unguided")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=0, help="end after so many minutes, however many inputs ran")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that are findings")
    parser.add_argument("--corpus", type=Path, help="folder of inputs to start from and to add to")
    options = parser.parse_args()
    if options.reader == "all":
        return shortly(options.inputs, options.seed)
    keep = options.keep / options.reader
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="segdata-fuzz-") as name:
        scratch = Path(name)
        corpus = options.corpus or scratch / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        reader = find_reader(options.reader)
        for number, seed in enumerate(reader.seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        words = scratch / "words"
        words.write_text("".join(map(_entry, reader.words)))
        flags = [
            *(f"-runs={options.inputs}", f"-seed={options.seed}", f"-max_len={reader.most_bytes}", "-len_control=0"),
            *(
                f"-timeout={SECONDS}",
                f"-rss_limit_mb={MEGABYTES}",
                f"-max_total_time={round(options.minutes * 60)}",
                *([f"-dict={words}"] if reader.words else []),
                f"-artifact_prefix={keep}/",
            ),
            *("-print_final_stats=1", "-report_slow_units=1", str(corpus)),
        ]
        counts = scratch / "counts.json"
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, __file__, "--fuzz", options.reader, str(counts), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            check=False,
        )
        seconds = time.monotonic() - begun
        log = done.stdout.decode(errors="replace")
        (keep / "log.txt").write_text(log)
        seen = json.loads(counts.read_text()) if counts.exists() else {}
    edges = re.findall(r"cov: (\d+)", log)
    peak = re.findall(r"rss: (\d+)Mb", log)
    statistics = dict(re.findall(r"stat::(\w+):\s+(\d+)", log))
    print(
        json.dumps(
            {
                "reader": options.reader,
                "inputs": int(statistics.get("number_of_executed_units", seen.get("inputs", 0))),
                "accepted": seen.get("accepted", 0),
                "seconds": round(seconds, 1),
                "edges": int(edges[-1]) if edges else 0,
                "peak_megabytes": max(map(int, [*peak, statistics.get("peak_rss_mb", 0)])),
                "findings": sorted(path.name for path in keep.iterdir() if path.name != "log.txt"),
            }
        )
    )
    if done.returncode:
        print(log[-4000:], file=sys.stderr)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fuzz"]:
        fuzz(sys.argv[2], sys.argv[4:], Path(sys.argv[3]))
    else:
        sys.exit(main())

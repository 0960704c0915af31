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
ROUND = 5_000
"""How many inputs a process takes: under atheris it grows, by up to 60 kB an input (JPEG), and alone it does not."""


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
    total = {"reader": options.reader, "inputs": 0, "accepted": 0, "seconds": 0.0, "edges": 0, "peak_megabytes": 0}
    begun = time.monotonic()
    found = False
    memory = "/dev/shm"  # where there is none, files are on the disk
    with tempfile.TemporaryDirectory(prefix="segdata-fuzz-", dir=memory if Path(memory).is_dir() else None) as name:
        scratch = Path(name)
        corpus = options.corpus or scratch / "corpus"
        flags = _flags(find_reader(options.reader), keep, corpus, scratch / "words")
        while not found and total["inputs"] < options.inputs:
            left = options.minutes * 60 - (time.monotonic() - begun) if options.minutes else 0
            if left < 0:
                break
            runs = min(ROUND, options.inputs - total["inputs"])
            seed = options.seed + total["inputs"]
            found = _round(
                total, [f"-runs={runs}", f"-seed={seed}", f"-max_total_time={left:.0f}", *flags], keep, scratch
            )
    total["seconds"] = round(time.monotonic() - begun, 1)
    total["findings"] = sorted(path.name for path in keep.iterdir() if path.name != "log.txt")
    print(json.dumps(total))
    if found:
        print((keep / "log.txt").read_text()[-4000:], file=sys.stderr)
    return int(found)


def _flags(reader, keep: Path, corpus: Path, words: Path) -> list[str]:
    """Write the seeds and words of a reader, and give what libFuzzer is told in every round."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words.write_text("".join(map(_entry, reader.words)))
    limits = [
        f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-max_len={reader.most_bytes}",
        "-len_control=0",
        "-mutate_depth=2",
    ]
    dictionary = [f"-dict={words}"] if reader.words else []
    return [*limits, *dictionary, f"-artifact_prefix={keep}/", "-print_final_stats=1", str(corpus)]


def _round(total: dict, flags: list[str], keep: Path, scratch: Path) -> bool:
    """Run one process that fuzzes and add up what it did; tell whether it found something."""
    counts = scratch / "counts.json"
    counts.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, __file__, "--fuzz", total["reader"], str(counts), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(scratch)},
        check=False,
    )
    log = done.stdout.decode(errors="replace")
    (keep / "log.txt").write_text(log)
    seen = json.loads(counts.read_text()) if counts.exists() else {}
    statistics = dict(re.findall(r"stat::(\w+):\s+(\d+)", log))
    edges = [int(number) for number in re.findall(r"cov: (\d+)", log)]
    peaks = [int(number) for number in [*re.findall(r"rss: (\d+)Mb", log), statistics.get("peak_rss_mb", 0)]]
    total["inputs"] += int(statistics.get("number_of_executed_units", seen.get("inputs", 0)))
    total["accepted"] += seen.get("accepted", 0)
    total["edges"] = max([total["edges"], *edges])
    total["peak_megabytes"] = max([total["peak_megabytes"], *peaks])
    return done.returncode != 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fuzz"]:
        fuzz(sys.argv[2], sys.argv[4:], Path(sys.argv[3]))
    else:
        sys.exit(main())

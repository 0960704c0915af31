"""Every reader takes what is wrong with an input as an error with one sentence, and reads no wrong mask from it."""

import json
import subprocess
import sys
from pathlib import Path

from running import ENV

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"


def test_no_reader_stumbles_over_a_few_hundred_inputs():
    command = [sys.executable, str(FUZZ / "run.py"), "all", "--inputs", "300", "--seed", "7"]

    done = subprocess.run(command, capture_output=True, text=True, env=ENV, check=False, timeout=300)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["reader"] for line in lines] == sorted(path.stem for path in (FUZZ / "readers").glob("*.py"))
    assert all(line["accepted"] >= 3 for line in lines), lines  # the seeds at least

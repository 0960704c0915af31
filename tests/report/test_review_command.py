"""`segdata review` as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import typer
from reviewing import block, make_dataset, read_rows
from typer.testing import CliRunner

from segdata.cli.review import review
from segdata.errors import InputError
from segdata.files import fingerprint, write_file
from segdata.masks import mask_to_rle
from segdata.pixels import encode_png
from segdata.report.review.store import Store

KEY = "shoot/0000"


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", 4)


def run(*arguments):
    app = typer.Typer()
    app.command()(review)
    return CliRunner().invoke(app, [str(each) for each in arguments])


def decide(data, key=KEY, verdict="accept", reviewer="Ann", **more):
    with Store(data) as store:
        store.save(key, reviewer, version=0, request="r", verdict=verdict, comment="", **more)


_COMMAND = """
import sys, typer
from segdata.cli.review import review
app = typer.Typer()
app.command()(review)
app()
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def address_of(process):
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S{40,}", line):
            return found.group()
    raise AssertionError("no address was printed")


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts with SIGINT")
def test_it_prints_an_address_and_ends_at_ctrl_c_with_how_far_one_is(data, tmp_path):
    pytest.importorskip("uvicorn")
    decide(data)
    write_file(tmp_path / "preds" / f"{KEY}.png", encode_png(block(22)))
    process = start(data, "--reviewer", "Ann", "--preds", tmp_path / "preds", "--workers", 1)
    address_of(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "review by Ann: 1 accept, 0 reject, 0 needs-work, 3 undecided of 4" in out
    assert f"segdata review {data} --apply" in out


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts with SIGINT")
def test_with_json_it_ends_with_one_object(data):
    pytest.importorskip("uvicorn")
    process = start(data, "--reviewer", "Bo", "--json")
    address_of(process)
    process.send_signal(signal.SIGINT)
    summary = json.loads(process.communicate(timeout=20)[0])
    assert (summary["reviewer"], summary["samples"], summary["counts"]["undecided"]) == ("Bo", 4, 4)


def test_apply_says_what_it_did(data):
    path = data / "masks" / f"{KEY}.png"
    decide(data, mask=mask_to_rle(block(30)), drawn_on=fingerprint(path.read_bytes()))
    decide(data, "shoot/0001", "reject", mask=mask_to_rle(block(30)))
    done = run(data, "--apply")
    assert done.exit_code == 0, done.output
    assert "review: 1 accept, 1 reject, 0 needs-work" in done.output
    assert "1 corrected masks written; those that were there lie in" in done.output
    assert "1 corrected masks not written: they are not accepted yet" in done.output
    assert read_rows(data)[0]["review_decision"] == "accept"


def test_apply_ends_with_status_1_where_reviewers_disagree_and_says_who(data):
    decide(data)
    decide(data, verdict="reject", reviewer="Bo")
    done = run(data, "--apply")
    assert done.exit_code == 1
    assert f"the reviewers of {KEY} disagree (Ann: accept; Bo: reject)" in done.output
    assert run(data, "--apply", "--prefer", "Bo").exit_code == 0
    assert read_rows(data)[0]["review_decision"] == "reject"


def test_apply_gives_one_json_object(data):
    decide(data)
    done = run(data, "--apply", "--json")
    assert json.loads(done.stdout)["decisions"] == {"accept": 1, "reject": 0, "needs-work": 0}


def test_wrong_use_is_one_sentence(data, tmp_path):
    for arguments in ((data, "--prefer", "Ann"), (tmp_path,), (data, "--apply"), (data, "--reviewer", " ")):
        error = run(*arguments).exception
        assert isinstance(error, InputError), arguments
        assert error.hint

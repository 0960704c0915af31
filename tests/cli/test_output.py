"""Progress goes to stderr, on long work alone: lines in a log, a bar on a terminal."""

import io
import json

import msgspec
import pytest

from segdata.cli import output


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(output.time, "monotonic", clock.monotonic)
    return clock


def advance(progress, clock, count, seconds):
    for _ in range(count):
        clock.now += seconds
        progress.advance()


def test_short_work_says_nothing(clock, capsys):
    progress = output.TerminalProgress()
    progress.begin("edges", 90)
    advance(progress, clock, 90, 0.1)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_plain_line_now_and_then(clock, capsys):
    progress = output.TerminalProgress()
    progress.begin("edges", 3000)
    advance(progress, clock, 2500, 1 / 64)
    told, error = capsys.readouterr()
    assert told == ""
    assert error.splitlines() == [
        "edges: 641 of 3,000 samples, 64/s, 37 s left",
        "edges: 1,282 of 3,000 samples, 64/s, 27 s left",
        "edges: 1,923 of 3,000 samples, 64/s, 17 s left",
    ]


def test_work_without_a_known_end_says_how_far_it_is(clock, capsys):
    progress = output.TerminalProgress()
    progress.begin("edges", None)
    advance(progress, clock, 11, 1)
    assert capsys.readouterr().err == "edges: 11 samples, 1/s\n"


def test_more_samples_than_foretold_leave_no_negative_time(clock, capsys):
    progress = output.TerminalProgress()
    progress.begin("edges", 5)
    advance(progress, clock, 11, 1)
    assert capsys.readouterr().err == "edges: 11 of 5 samples, 1/s, 0 s left\n"


def test_a_terminal_gets_a_bar_with_rate_and_time_left(clock, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    progress = output.TerminalProgress()
    progress.begin("edges", 400)
    advance(progress, clock, 50, 0.01)
    assert terminal.getvalue() == ""
    advance(progress, clock, 150, 0.01)
    progress.close()
    shown = terminal.getvalue()
    assert "edges" in shown
    assert "200/400" in shown
    assert "100/s" in shown
    assert capsys.readouterr().out == ""


def test_a_result_is_one_json_object(capsys):
    class Result(msgspec.Struct):
        key: str
        iou: float

    output.print_json(Result("é", 0.5))
    assert json.loads(capsys.readouterr().out) == {"key": "é", "iou": 0.5}


def test_a_table_keeps_long_names_whole(capsys):
    name = "a-very-long-name/" * 20
    output.show_table(("sample", "IoU %"), [(name, "50.00")])
    assert f"{name}  50.00" in capsys.readouterr().out


def test_a_table_shows_names_as_they_are(capsys):
    output.show_table(("name", "what"), [("x[/zz]", "[red]"), (":smile:", "[bold]a[/bold]")])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("x[/zz]", "[red]", ":smile:", "[bold]a[/bold]"))

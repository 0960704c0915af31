"""The manual is true: its links lead somewhere, its commands exist, and those that it asks a reader to type work."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from running import ENV, SEGDATA

from segdata.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    if not path.is_relative_to(DOCS / "reference")  # written from the code
)
LESSONS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [DOCS / "tutorial.md", *(DOCS / "howto").glob("*.md"), *(DOCS / "papers").glob("*.md")]
    if path.name != "index.md"
)
SHELL = {"sh", "console", ""}
COMMAND_LINE = typer.main.get_command(app)
CHECKOUT = ("segdata", "tests", "docs", "benchmarks", "pyproject.toml", "README.md")


class Block(NamedTuple):
    """A code block: its language, what it holds, and the paragraph right before it."""

    language: str
    text: str
    before: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    fence = re.compile(r"^(?P<mark>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=mark)$", re.MULTILINE | re.DOTALL)
    return [
        Block(each["language"].strip(), each["text"], text[: each.start()].rstrip().rpartition("\n\n")[2])
        for each in fence.finditer(text)
    ]


def calls_in(text: str) -> Iterator[list[str]]:
    """Give the arguments of each call of segdata in lines of a shell; where some have a prompt, others are output."""
    lines = text.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("&|;<>()") and word != "do":
                if command or not re.match(r"\w+=", word):
                    command.append(word)
                continue
            if command[:1] == ["segdata"] and command[1:] not in ([], ["--install-completion"], ["--show-completion"]):
                yield command[1:]
            command = []


def parse(call: list[str]) -> None:
    """Parse a call as the command line does, without running it."""
    group = COMMAND_LINE
    context = typer.Context(group, info_name="segdata")
    while hasattr(group, "resolve_command"):
        name, group, call = group.resolve_command(context, call)
        context = typer.Context(group, info_name=name, parent=context)
    group.make_context(group.name, [word for word in call if word != "--debug"], parent=context.parent)


@pytest.mark.parametrize("page", PAGES)
def test_every_call_of_segdata_that_a_page_shows_is_one_that_the_command_line_takes(page: str) -> None:
    calls = [call for block in blocks_of(page) if block.language in SHELL for call in calls_in(block.text)]
    wrong = []
    for call in calls:
        try:
            parse(call)
        except Exception as error:  # noqa: BLE001 - click's own, which typer hides
            wrong.append(f"segdata {shlex.join(call)}: {getattr(error, 'message', error)}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_that_a_page_names_exist(page: str) -> None:
    text = re.sub(r"^(`{3,}).*?^\1$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for code in re.findall(r"`segdata ([a-z][^`\n]*)`", text):
        words = code.split()
        command = COMMAND_LINE.commands.get(words[0])
        if command is not None and words[1:2] and words[1] in getattr(command, "commands", {}):
            command = command.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts} if command else set()
        if command is None or not {word.partition("=")[0] for word in words if word.startswith("--")} <= known:
            wrong.append(code)
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in PAGES if "/" not in page])
def test_links_of_pages_outside_of_the_site_lead_to_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as the README says, every warning an error: links, anchors, pages that nothing leads to."""
    pytest.importorskip("sphinx", reason="builds the site: pip install 'segdata[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "trees", DOCS, out / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENV, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_the_site_has_a_page_for_each_command_and_each_public_name(site: Path) -> None:
    import segdata

    commands = {path.stem for path in (site / "reference/commands").glob("*.html")} - {"index"}
    assert commands == set(COMMAND_LINE.commands)
    anchors = "".join(path.read_text(encoding="utf-8") for path in (site / "reference/api").glob("*.html"))
    assert [name for name in segdata.__all__ if f'id="segdata.{name}"' not in anchors] == []


def test_pages_of_the_site_load_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(https?:)?//|<link\b[^>]*\bhref=\"(https?:)?//")
    assert [page.name for page in site.rglob("*.html") if loads.search(page.read_text(encoding="utf-8"))] == []
    styles = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")
    assert [path.name for path in site.rglob("*.css") if styles.search(path.read_text(encoding="utf-8"))] == []


def test_pictures_are_small_and_each_is_shown() -> None:
    pictures = {path.name: path.stat().st_size for path in (DOCS / "pictures").iterdir()}
    assert max(pictures.values()) < 100_000
    assert sum(pictures.values()) < 1_500_000
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w.]+)\)", (ROOT / page).read_text("utf-8"))}
    assert shown == set(pictures)


@pytest.mark.slow
def test_the_pictures_can_be_drawn_again(tmp_path: Path) -> None:
    import numpy as np

    from segdata.pixels import decode_image

    done = subprocess.run([sys.executable, DOCS / "pictures.py", tmp_path], env=ENV, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (DOCS / "pictures").iterdir())
    for name in names:
        drawn, kept = (
            decode_image((folder / name).read_bytes()).astype(int) for folder in (tmp_path, DOCS / "pictures")
        )
        assert drawn.shape == kept.shape, name
        assert np.abs(drawn - kept).mean() < 3, name  # other builds of libraries round otherwise


def script_of(page: str) -> tuple[str, list[tuple[int, str]]]:
    """Give what a reader of a page types, as one script, and the outputs that the page shows by their block.

    Shell blocks are typed, Python blocks run. A block after a paragraph that ends with the name of a file is what the
    file is to hold, or, of the language diff, how it is to change. Text blocks are outputs of the block before.
    """
    lines, shown = [], []
    for number, (language, text, before) in enumerate(blocks_of(page)):
        lines.append(f"echo; echo '=== {number}'")
        end = f"END_{number}"
        named = re.search(r"`([\w./-]+)`[^`]*:$", before)
        if language == "diff":
            lines.append(f"patch --strip 1 --fuzz 0 --no-backup-if-mismatch <<'{end}'\n{text}{end}")
        elif language == "text":
            shown.append((number - 1, text))
        elif named and language not in {"sh", "console"}:
            lines.append(f"mkdir -p $(dirname {named[1]}); cat > {named[1]} <<'{end}'\n{text}{end}")
        elif language == "sh":
            lines += [line for line in text.splitlines() if not re.match(r"python3 -m venv|pip install ", line)]
        elif language == "python":
            lines.append(f"python - <<'{end}'\n{text}{end}")
    return "\n".join(lines), shown


def blurred(line: str) -> str:
    """Give a line of output without what depends on the machine: numbers, and how wide columns are."""
    return re.sub(r"\s+", " ", re.sub(r"[+-]?\d+(?:[.,]\d+)*(?:e-?\d+)?", "N", line)).strip()


PRELUDE = """
set -euo pipefail
segdata() {  # the review site waits for its reader, whom a program stands in for
  if [ "$1" = review ] && [[ "$*" != *--apply* ]]; then python "$READER" "$SEGDATA" "$@"; else "$SEGDATA" "$@"; fi
}
"""


@pytest.mark.parametrize("page", LESSONS)
@pytest.mark.slow
def test_what_a_page_asks_its_reader_to_type_works_and_says_what_it_shows(page: str, tmp_path: Path) -> None:
    script, shown = script_of(page)
    if "/add_" in page:  # in a checkout
        for name in CHECKOUT:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    search = [str(tmp_path if "/add_" in page else ROOT)]
    environment = {
        **ENV,
        "PATH": f"{Path(SEGDATA).parent}{os.pathsep}{ENV['PATH']}",
        "PYTHONPATH": os.pathsep.join([*search, *filter(None, [ENV.get("PYTHONPATH")])]),
        "SEGDATA": SEGDATA,
        "READER": str(Path(__file__).with_name("review_reader.py")),
    }
    with (tmp_path / ".output").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["bash", "-c", PRELUDE + script],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(1200)
        finally:  # what a page starts in the background
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        output.seek(0)
        said = output.read()
    assert status == 0, said[-3000:]
    parts = dict(zip(*[iter(re.split(r"^=== (\d+)$", said, flags=re.MULTILINE)[1:])] * 2, strict=True))
    missing = []
    for number, text in shown:
        lines = [blurred(line) for line in parts[str(number)].splitlines()]
        missing += [
            line for line in text.splitlines() if line.strip() not in {"", "..."} and blurred(line) not in lines
        ]
    assert missing == [], said

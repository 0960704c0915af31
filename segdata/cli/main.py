"""The `segdata` command: its sub-commands, and how errors are shown."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from segdata.cli.annotate import annotate
from segdata.cli.benchmark_model import benchmark_model
from segdata.cli.build import build
from segdata.cli.crop import crop
from segdata.cli.demo import demo
from segdata.cli.doctor import doctor
from segdata.cli.duplicates import duplicates
from segdata.cli.edges import edges
from segdata.cli.engine import engine
from segdata.cli.evaluate import evaluate
from segdata.cli.export import export
from segdata.cli.export_model import export_model
from segdata.cli.filter import filter as filter_
from segdata.cli.formats import formats
from segdata.cli.grade_domains import grade_domains
from segdata.cli.import_ import import_
from segdata.cli.instances import instances
from segdata.cli.merge_coco import merge_coco
from segdata.cli.merge_parts import merge_parts
from segdata.cli.models import models
from segdata.cli.rank_labels import rank_labels
from segdata.cli.report import report
from segdata.cli.review import review
from segdata.cli.saliency import saliency
from segdata.cli.split import split
from segdata.cli.stats import stats
from segdata.cli.terminal import echo
from segdata.cli.train import train
from segdata.cli.uncrop import uncrop
from segdata.cli.validate import validate
from segdata.cli.view import view
from segdata.errors import InputError, SegdataError

app = typer.Typer(
    name="segdata",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in plain text comes up in a third of the time
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

COMMANDS = (
    demo,
    merge_coco,
    merge_parts,
    import_,
    export,
    formats,
    crop,
    uncrop,
    edges,
    saliency,
    instances,
    grade_domains,
    split,
    train,
    export_model,
    annotate,
    evaluate,
    validate,
    duplicates,
    stats,
    view,
    filter_,
    rank_labels,
    report,
    review,
    models,
    benchmark_model,
    build,
    doctor,
)
for _command in COMMANDS:
    app.command(_command.__name__.rstrip("_").replace("_", "-"))(_command)
app.add_typer(engine, name="engine")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        echo(f"segdata {version('segdata')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Person-segmentation data sets: from photos and COCO annotations to masks, edges, splits and scores.

    \b
    Start with:
      segdata demo OUT
    """


def main() -> None:
    """Run the command line: status 0 done, 1 done with failures or findings, 2 wrong use, 130 interrupted."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)  # of schedulers of jobs, which kill a little later
    _speak_unicode()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
        logging.basicConfig(level=logging.INFO)
        logging.getLogger("segdata").setLevel(logging.DEBUG)
    try:
        app()
    except SegdataError as error:
        if debug:
            raise
        _end(str(error), 2 if isinstance(error, InputError) else 1)
    except _Interrupted:
        _end("interrupted; run the same command again to go on", 130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        from segdata.files import why

        _end(f"{error.filename or 'the output, or a file,'} cannot be used ({why(error)})", 1)
    except Exception as error:
        if debug:
            raise
        _end(f"{type(error).__name__}: {error}: this is a mistake in segdata; --debug shows where", 1)


def _speak_unicode() -> None:
    """Write UTF-8 into files and pipes, which on Windows are of an older code page that lacks most names.

    A terminal keeps its own, and shows what it lacks as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("_", "-") != "utf-8":
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


class _Interrupted(BaseException):
    """Ctrl-C, past the command line's parser, which would end without a word for KeyboardInterrupt."""


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # asked once is enough, and would only disturb the tidying up
    raise _Interrupted


def _end(message: str, status: int) -> None:
    echo(f"segdata: {message}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()

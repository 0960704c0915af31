"""Recipes: every one is read as steps, or refused in a sentence, before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from inputs import mutate_toml
from oracle import equal
from reading import Reader, folder

from segdata.demo.demo import RECIPE
from segdata.recipe import STEPS, _read

_FOLDER = folder()


def _seeds() -> Iterator[bytes]:
    yield RECIPE.encode()
    for step in RECIPE.split("\n\n"):
        yield step.encode()
    yield b'[[step]]\ncommand = "split"\ndata = "d"\nratios = [60, 20, 20]\nseed = 1\nlists = true\nkeep = false\n'
    yield b'[[step]]\ncommand = "train"\ndata = ["a:train", "b@2"]\nout = "run"\ninit = "bundled"\nepochs = 3\n'
    yield b'[[step]]\ncommand = "filter"\ndata = "d"\nwhere = "width > 3"\nout = "o"\n'
    yield b'[[step]]\ncommand = "annotate"\ndata = "d"\nmodel = "m.onnx"\nthreshold = 0.5\nout = "o"\n'
    yield b'step = [{command = "edges", data = "d", width = 1e3}, {command = "crop", data = "d", out = "x"}]'


def _check(data: bytes) -> bool:
    path = _FOLDER / "recipe.toml"
    path.write_bytes(data)
    steps = _read(path)
    wanted = tomllib.loads(data.decode().replace("\r\n", "\n"))["step"]
    equal([step.command for step in steps], [step["command"] for step in wanted], "the steps of a recipe")
    for step, table in zip(steps, wanted, strict=True):
        equal({"command", *step.arguments}, {*table}, "the arguments of a step")
    return True


_WORDS = (
    *STEPS,
    "[[step]]\n",
    "command = ",
    "data = ",
    "out = ",
    "true",
    "1e400",
    "nan",
    "1979-05-27",
    '"""',
    "[]",
    "{}",
)
READER = Reader("recipe", _seeds, mutate_toml, _check, tuple(map(str.encode, _WORDS)), most_bytes=1024)

"""The public API: every name is there, typed and loaded alike, with an example that runs."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import segdata

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(segdata.__path__, "segdata.") if ".cli" not in module.name
)


def test_every_public_name_can_be_loaded():
    for name in segdata.__all__:
        assert getattr(segdata, name) is not None


def test_type_checkers_and_the_interpreter_find_names_in_the_same_modules():
    tree = ast.parse(Path(segdata.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == segdata._HOME_OF
    assert sorted(typed) == sorted(segdata.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        segdata.no_such_thing  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_are_true(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("name", [name for name in segdata.__all__ if name[0].islower()])
def test_every_public_function_says_what_it_does(name):
    function = getattr(segdata, name)
    assert len(function.__doc__.splitlines()) > 1

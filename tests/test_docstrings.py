"""The examples in the docstrings of the public names run as they stand, on the shipped network."""

import doctest
import importlib

import pytest

import spiq

NAMES = [name for name in spiq.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_example_of_a_public_name_runs(name: str) -> None:
    public = getattr(spiq, name)
    module = importlib.import_module(public.__module__)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(public, name, module=module, globs={})
    assert example.examples, f"{name} has no example"
    printed: list[str] = []
    doctest.DocTestRunner().run(example, out=printed.append)
    assert not printed, "".join(printed)

"""Networks from outside of Python: programs in .pt2 files, and what a function builds.

A .pt2 file is read with PyTorch's weights-only loading forced; objects that it can only take out
of a pickle are refused before. A function is imported, and with that run, only where allowed.
"""

import importlib
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from spiq.errors import ConfigError, ModelError, SpiqError
from spiq.io.archives import described, is_program

_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_PICKLED = "custom_obj"


def load(path: Path) -> ExportedProgram:
    """Read a program that ``torch.export.save`` wrote.

    Raises:
        ModelError: The file cannot be read, is something else, or holds pickled objects.
    """
    where = repr(str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not is_program(names):
            raise ModelError(f"{where} is {described(path.read_bytes())}")
    except zipfile.BadZipFile as error:
        raise ModelError(f"{where} is no .pt2 file: save it with torch.export.save") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{where} cannot be read: {reason}: check the path") from error
    pickled = [name for name in names if _PICKLED in name]
    if pickled:
        raise ModelError(
            f"{where} holds a pickled object, {pickled[0]!r}, and to read it is to run what is in "
            "it: load it yourself with torch.export.load, and call spiq.torch.quantize"
        )
    try:
        with _weights_only():
            return torch.export.load(path)
    except Exception as error:  # whatever is wrong in it
        raise ModelError(
            f"{where} cannot be read by PyTorch {torch.__version__} ({_line(error)}): save it "
            "again with this version"
        ) from error


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def build(name: str, *, size: tuple[int, int]) -> tuple[nn.Module, Any]:
    """Call ``package.module:function``; return the module that it builds, and example inputs.

    Args:
        name: The function's name. It takes nothing, and returns a module in inference mode, or a
            pair of it and example inputs.
        size: Height and width of an RGB picture, the example where it returns none.

    Raises:
        ConfigError: There is no such function, it fails, or returns something else.
    """
    found = _call(name)
    module, example = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"{name}: the function returns {type(module).__name__}: it must return an nn.Module, "
            "or a pair of one and example inputs"
        )
    return module, torch.zeros(1, 3, *size) if example is None else example


def _call(name: str) -> Any:
    place, _, function = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # as `python -m` has it
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(place)
        for part in function.split("."):
            found = getattr(found, part)
        return found()
    except SpiqError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise ConfigError(f"{name} cannot be called ({_line(error)}): correct it") from error


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__

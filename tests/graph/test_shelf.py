"""Arrays that are put aside come back as they were, and stay in memory where there is no room."""

import gc
import tempfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from spiq.graph import shelf
from spiq.graph.lazy import Later
from spiq.graph.shelf import Shelf


def test_arrays_come_back_as_they_were() -> None:
    shelf = Shelf()
    given = [np.arange(n, dtype=np.int8).reshape(2, -1) for n in (6, 100, 8)]
    put = [shelf.put(array) for array in [*given, given[1].T]]
    for later, array in zip(put, [*given, given[1].T], strict=True):
        assert isinstance(later, Later)
        assert (later.shape, later.dtype) == (array.shape, array.dtype)
        tensor = later.tensor("w")
        assert tensor.nbytes == array.nbytes
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_the_file_stays_as_long_as_an_array_does() -> None:
    later = Shelf().put(np.ones(3, np.int8))
    gc.collect()
    assert isinstance(later, Later)
    assert isinstance(later.source, ir.LazyTensor)
    assert later.source.numpy().tolist() == [1, 1, 1]


def test_without_room_they_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    array = np.ones(3, np.int8)
    assert Shelf().put(array) is array


def test_what_is_put_aside_is_not_put_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that somebody named is taken whatever it is."""
    parts = [SimpleNamespace(mountpoint="/", fstype="ext4")]
    parts += [SimpleNamespace(mountpoint="/tmp", fstype="tmpfs")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: parts)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert shelf.folder() == "/var/tmp"
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert shelf.folder() == "/tmp"

    monkeypatch.delenv("TMPDIR")
    parts[1].fstype = "ext4"
    assert shelf.folder() == "/tmp"
    parts[0].fstype = parts[1].fstype = "tmpfs"
    assert shelf.folder() == "/tmp"

"""Weights in mapped files: pages stay while somebody looks, and go when many were left."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from spiq.graph import mapped

SIZE = 1 << 16


@pytest.fixture
def tensors(tmp_path: Path) -> list[ir.LazyTensor]:
    path = tmp_path / "weights"
    np.arange(4 * SIZE // 4, dtype=np.float32).tofile(path)
    places = (
        ir.ExternalTensor(
            "weights", n * SIZE, SIZE, ir.DataType.FLOAT, shape=ir.Shape([SIZE // 4]), name="w"
        )
        for n in range(4)
    )
    return [mapped.mapped_tensor(path, place, "w") for place in places]


def test_numbers_are_those_of_the_file(tensors: list[ir.LazyTensor]) -> None:
    found = [tensor.numpy() for tensor in tensors]
    assert [array[0] for array in found] == [n * SIZE // 4 for n in range(4)]


def test_only_what_nobody_looks_at_is_given_back(
    tensors: list[ir.LazyTensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(mapped, "_KEPT", SIZE)
    monkeypatch.setattr(mapped, "_give_back", lambda _, start, size: given_back.append(start))
    mapped._left.clear()
    held = tensors[0].numpy()[5:]  # a view holds it too
    for tensor in tensors[1:]:
        tensor.numpy()
    assert given_back == [SIZE, 2 * SIZE]
    del held
    assert given_back == [SIZE, 2 * SIZE, 3 * SIZE]


def test_looked_at_twice_it_is_left_once(
    tensors: list[ir.LazyTensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_KEPT", 0)
    mapped._left.clear()
    first, second = tensors[0].numpy(), tensors[0].numpy()
    del first
    assert not mapped._left
    del second
    assert len(mapped._left) == 1


def test_a_file_is_mapped_once(tensors: list[ir.LazyTensor], tmp_path: Path) -> None:
    number = (tmp_path / "weights").stat().st_ino
    assert [tensor.numpy()[1] for tensor in tensors]
    assert sum(key[1] == number for key in mapped._files) == 1

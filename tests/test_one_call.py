"""What is worked out beside the way through, and when."""

import threading

import numpy as np
import onnx
import pytest

from small_networks import build
from spiq import quantize
from spiq import run as module
from spiq.runtime.reference import Reference, reference


def network(size: int = 16) -> onnx.ModelProto:
    body = "[c1] c = Conv(x, w1) [r] r = Relu(c) [p] y = GlobalAveragePool(r)"
    return build(body, inputs=f"float[1,3,{size},{size}] x", w1=(4, 3, 3, 3))


@pytest.mark.parametrize(("size", "beside"), [(16, True), (1032, False)])
def test_float_network_runs_once_and_beside_planning_where_it_takes_little_memory(
    size: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, steps = list[threading.Thread](), list[str]()

    def watched(*args: object, **options: object) -> Reference:
        threads.append(threading.current_thread())
        if not beside:
            assert steps[-1] == "verify"
        return reference(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "reference", watched)
    result = quantize(network(size), progress=steps.append)
    assert [thread is threading.main_thread() for thread in threads] == [not beside]
    assert np.isfinite(result.report.snr_db["y"])


def test_its_thread_ends_with_the_call() -> None:
    quantize(network())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spiq")]

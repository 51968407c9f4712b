"""What is worked out beside the way through, and when."""

import threading

import numpy as np
import onnx
import pytest

from small_networks import bn, build, images_for, norm, optimized, run, whole
from spiq import pipeline, quantize
from spiq import run as module
from spiq.config import Config
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


def computes_a_bias() -> onnx.ModelProto:
    body = "z = CastLike(none, x) b = Expand(z, eight) c = Conv(x, w, b) " + bn("c", "n")
    arrays = norm("n", 8) | {"none": np.zeros(1), "eight": whole(8)}
    return build(body + " y = Relu(n)", w=(8, 3, 3, 3), **arrays)


def test_what_results_are_timed_beside_has_its_norms_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = list[bytes]()
    monkeypatch.setattr(pipeline, "no_slower", lambda network, *_: timed.append(network))
    quantize(computes_a_bias(), Config(timing=True))
    assert [optimized(network)["BatchNormalization"] for network in timed] == [0]


def test_a_float_network_that_computes_a_bias_is_timed_with_its_norm_folded() -> None:
    """As PyTorch's exporter writes it, it takes twice as long as it has to, and all looks fast."""
    model = computes_a_bias()
    with module.begun(model, lambda _: None) as call:
        call.learn(Config())
        assert isinstance(call.quickest, bytes)
        assert not optimized(call.quickest)["BatchNormalization"]
        feed = images_for(model)
        expected = run(model, feed)["y"]
        np.testing.assert_allclose(run(call.quickest, feed)["y"], expected, atol=1e-4)


def test_any_other_is_timed_as_it_is() -> None:
    model = build("c = Conv(x, w) " + bn("c", "n") + "y = Relu(n)", w=(8, 3, 3, 3), **norm("n", 8))
    with module.begun(model, lambda _: None) as call:
        call.learn(Config())
        assert call.quickest is call.original

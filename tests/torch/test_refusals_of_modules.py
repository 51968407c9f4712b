"""What is no trained float network in inference mode is refused in one line."""

import pytest

from small_modules import nn, plain, torch
from spiq.errors import ConfigError, ModelError, SpiqError, UnsupportedError
from spiq.torch.check import check, unwrapped


def refused(module: nn.Module, kind: type[SpiqError]) -> str:
    with pytest.raises(kind) as caught:
        check(module)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_trained_module_passes() -> None:
    check(plain())


def test_training_mode() -> None:
    assert "call eval()" in refused(plain().train(), ModelError)


def test_a_batchnorm_left_in_training_mode_is_named() -> None:
    module = plain()
    module[0][1].train()
    assert "BatchNorm2d '0.1' is in training mode" in refused(module, ModelError)


def test_a_container_in_training_mode_does_no_harm() -> None:
    module = plain()
    module[0].training = True
    check(module)


def test_a_lazy_layer_is_named() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()).eval()
    assert "LazyConv2d '0' has no weights yet" in refused(module, ModelError)


def test_a_module_without_values() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    assert "Conv2d '0' is on the device 'meta'" in refused(module, ModelError)


@pytest.mark.filterwarnings("ignore")
def test_quantized_modules_are_named() -> None:
    from torch.ao.nn.quantized import Conv2d
    from torch.ao.quantization import FakeQuantize

    for part in (Conv2d(3, 4, 3), FakeQuantize()):
        module = nn.Sequential(nn.ReLU(), part).eval()
        assert "'1' is quantized already" in refused(module, UnsupportedError)


def test_a_module_that_is_ready_to_be_quantized_is_float() -> None:
    from torch.ao.nn.quantized import FloatFunctional
    from torch.ao.quantization import DeQuantStub, QuantStub

    check(nn.Sequential(QuantStub(), FloatFunctional(), DeQuantStub()).eval())


@pytest.mark.parametrize("given", [{"weight": 1}, None, "model.pt"])
def test_no_module(given: object) -> None:
    with pytest.raises(ConfigError, match=r"is an nn\.Module"):
        unwrapped(given)


@pytest.mark.filterwarnings("ignore")
def test_torchscript() -> None:
    with pytest.raises(ConfigError, match="TorchScript"):
        unwrapped(torch.jit.script(plain()))


def test_wrappers_are_taken_off() -> None:
    module = plain()
    assert unwrapped(nn.DataParallel(module)) is module
    assert unwrapped(torch.compile(module)) is module

"""BatchNorm in the spellings of frameworks: what is known of it reaches the plan."""

import numpy as np
import onnx_ir as ir
import pytest

from small_modules import block, image, nn, plain, torch, trained
from spiq.io.read import read
from spiq.passes.prepare import Prepared, prepare
from spiq.torch.export import exported


def prepared(module: nn.Module, example: torch.Tensor | None = None) -> Prepared:
    return prepare(read(exported(module, image() if example is None else example)))


def left(result: Prepared) -> set[str]:
    return {node.op_type for node in result.model.graph}


def stated(result: Prepared) -> list[list[float]]:
    """Return the means that are stated, in order."""
    return [[*np.round(moments.mean, 4)] for moments in result.stated.values()]


def frozen(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """Put a frozen norm in the place of each BatchNorm2d."""
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm2d):
            norm = kind(part.num_features, part.eps)
            numbers = {k: v for k, v in part.state_dict().items() if "batches" not in k}
            norm.load_state_dict(numbers)
            setattr(module, name, norm.eval())
        else:
            frozen(part, kind)
    return module


def frozen_kinds() -> list[object]:
    return [
        pytest.param(("torchvision.ops", "FrozenBatchNorm2d"), id="torchvision"),
        pytest.param(("timm.layers", "FrozenBatchNormAct2d"), id="timm"),
    ]


@pytest.mark.parametrize("place", frozen_kinds())
def test_frozen_batchnorm_states_what_batchnorm_does(place: tuple[str, str]) -> None:
    kind = getattr(pytest.importorskip(place[0]), place[1])
    module = plain()
    wanted = prepared(module)
    found = prepared(frozen(module, kind))
    assert len(stated(wanted)) == 2
    np.testing.assert_allclose(stated(found), stated(wanted), atol=1e-3)
    assert left(found) == left(wanted)


def test_batchnorm1d_behind_a_linear_layer() -> None:
    head = nn.Sequential(nn.Linear(8, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU())
    module = trained(nn.Sequential(nn.Conv2d(3, 8, 16), nn.Flatten(), head, nn.Linear(6, 2)))
    result = prepared(module)
    np.testing.assert_allclose(stated(result), [module[2][1].bias.detach()], atol=1e-3)
    assert "BatchNormalization" not in left(result)


def test_batchnorm1d_of_sequences() -> None:
    layers = nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 2, 1)
    module = trained(nn.Sequential(*layers), torch.randn(8, 3, 32))
    result = prepared(module, torch.zeros(1, 3, 32))
    np.testing.assert_allclose(stated(result), [module[1].bias.detach()], atol=1e-3)


def test_synchronized_batchnorm() -> None:
    module = plain()
    wanted = stated(prepared(module))
    assert stated(prepared(nn.SyncBatchNorm.convert_sync_batchnorm(module))) == wanted


def test_timms_batchnorm_with_its_activation() -> None:
    kind = pytest.importorskip("timm.layers").BatchNormAct2d
    module = trained(nn.Sequential(nn.Conv2d(3, 8, 3), kind(8), nn.Conv2d(8, 4, 1)))
    result = prepared(module)
    np.testing.assert_allclose(stated(result), [module[1].bias.detach()], atol=1e-3)


class Standardized(nn.Conv2d):
    """As timm's ``StdConv2d``: BatchNorm in training mode, of the weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1)
        weight = nn.functional.batch_norm(rows, None, None, training=True, momentum=0.0, eps=1e-5)
        return self._conv_forward(x, weight.reshape_as(self.weight), self.bias)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    "conv",
    [
        pytest.param(Standardized, id="standardized"),
        pytest.param(lambda *size: torch.nn.utils.weight_norm(nn.Conv2d(*size)), id="weight-old"),
        pytest.param(
            lambda *size: torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(*size)),
            id="weight",
        ),
        pytest.param(
            lambda *size: torch.nn.utils.spectral_norm(nn.Conv2d(*size)), id="spectral-old"
        ),
        pytest.param(
            lambda *size: torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(*size)),
            id="spectral",
        ),
    ],
)
def test_a_weight_that_is_computed_becomes_a_constant(conv: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made = conv(3, 8, 3)
    module = trained(nn.Sequential(made, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)))
    before = {name: held.clone() for name, held in module.state_dict().items()}
    result = prepared(module)
    assert [node.op_type for node in result.model.graph] == ["Conv", "Relu", "Conv"]
    np.testing.assert_allclose(stated(result), [module[1].bias.detach()], atol=1e-3)
    assert all(torch.equal(held, before[name]) for name, held in module.state_dict().items())


def test_standardized_layers_of_timm() -> None:
    kind = pytest.importorskip("timm.layers").ScaledStdConv2d
    module = nn.Sequential(kind(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    assert [node.op_type for node in prepared(module).model.graph] == ["Conv", "Relu", "Conv"]


def test_splits_and_shuffles_are_plain() -> None:
    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = block(3, 8), block(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = self.a(x).chunk(2, dim=1)
            both = torch.cat([left, self.b(right)], 1)
            n, c, h, w = both.shape
            return both.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)

    result = prepared(trained(Shuffled()))
    assert left(result) == {"Conv", "Relu", "Split", "Concat", "Reshape", "Transpose"}
    assert [node.op_type for node in result.model.graph].count("Conv") == 2
    assert result.model.graph.inputs[0].dtype == ir.DataType.FLOAT

"""Export keeps BatchNorm and the function, names layers by modules, and leaves the module alone."""

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from small_modules import block, image, nn, plain, residual, torch, trained
from spiq.errors import ConfigError, ModelError, UnsupportedError
from spiq.graph.query import dims
from spiq.io.write import serialize
from spiq.runtime.session import session
from spiq.torch.export import NOTE, exported


def run(model: ir.Model, *inputs: torch.Tensor) -> list[np.ndarray]:
    opened = session(serialize(model))
    names = [value.name for value in opened.get_inputs()]
    return opened.run(None, dict(zip(names, map(np.asarray, inputs), strict=True)))


def same(model: ir.Model, module: nn.Module, *inputs: torch.Tensor) -> None:
    with torch.no_grad():
        wanted = module(*inputs)
    wanted = [wanted] if isinstance(wanted, torch.Tensor) else list(wanted)
    for found, expected in zip(run(model, *inputs), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def test_batchnorm_is_kept_and_the_batch_left_open() -> None:
    module = plain()
    model = exported(module, image())
    assert operators(model)["BatchNormalization"] == 2
    assert [str(size) for size in model.graph.inputs[0].shape] == ["batch", "3", "16", "16"]
    same(model, module, image(3))


def test_layers_have_the_names_of_their_modules() -> None:
    module = residual()
    model = exported(module, image())
    layers = {node.name for node in model.graph if node.op_type in ("Conv", "Gemm")}
    assert layers == {"stem.0", "body.0", "body.0_1", "head"}
    assert {"stem.1", "body.1", "body.1_1", "norm"} <= {node.name for node in model.graph}
    same(model, module, image(2))


def test_nothing_of_the_machine_is_left_in_the_file() -> None:
    assert b"site-packages" not in serialize(exported(plain(), image()))
    assert b".py" not in serialize(exported(plain(), image()))


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = block(3, 8), block(3, 8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(
        self, left: torch.Tensor, right: torch.Tensor, *, scale: float = 1.0
    ) -> dict[str, torch.Tensor]:
        both = self.a(left) + self.b(right) * scale
        return {"both": both, "head": self.head(both)}


def test_several_inputs_and_outputs_and_inputs_by_name() -> None:
    module = trained(Two(), image(8), image(8))
    model = exported(module, (image(),), kwargs={"right": image(), "scale": 2.0})
    assert [value.name for value in model.graph.inputs] == ["left", "right"]
    with torch.no_grad():
        wanted = module(image(2), right=image(2), scale=2.0)
    for found, name in zip(run(model, image(2), image(2)), ("both", "head"), strict=True):
        np.testing.assert_allclose(found, wanted[name], rtol=1e-4, atol=1e-4)


def test_sizes_may_be_left_open() -> None:
    size = torch.export.Dim("size", min=8, max=512)
    module = plain()
    model = exported(module, image(2), dynamic_shapes=({2: size, 3: size},))
    assert dims(model.graph.inputs[0]) == [2, 3, None, None]
    same(model, module, image(2, 32))


def test_a_network_for_one_size_of_batch_keeps_it() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).reshape(1, 4 * 14 * 14)

    module = One().eval()
    model = exported(module, image())
    assert dims(model.graph.inputs[0]) == [1, 3, 16, 16]
    same(model, module, image())


def states(module: nn.Module) -> dict[str, Any]:
    parts = dict(module.named_modules())
    return {
        "mode": {path: part.training for path, part in parts.items()},
        "hooks": {path: list(part._forward_hooks.values()) for path, part in parts.items()},
        "tensors": {
            name: (id(held), held.dtype, held.device, held.requires_grad, held.clone())
            for name, held in (*module.named_parameters(), *module.named_buffers())
        },
    }


def test_the_module_stays_as_it_was() -> None:
    module = residual().double()
    module.stem.training = True  # a container
    module.head.weight.requires_grad_(False)
    module(image().double()).sum().backward()
    calls = []
    module.stem.register_forward_hook(lambda *given: calls.append(given))
    before = states(module)
    gradient = module.head.bias.grad.clone()

    exported(module, image().double())

    after = states(module)
    for name, (*facts, numbers) in before["tensors"].items():
        assert after["tensors"][name][:-1] == tuple(facts)
        assert torch.equal(after["tensors"][name][-1], numbers)
    assert (after["mode"], after["hooks"]) == (before["mode"], before["hooks"])
    assert torch.equal(module.head.bias.grad, gradient)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_single_ones(kind: torch.dtype) -> None:
    model = exported(plain().to(kind), image().to(kind))
    assert {value.dtype for value in model.graph.inputs} == {ir.DataType.FLOAT}
    assert run(model, image())[0].dtype == np.float32


def test_programs() -> None:
    module = plain()
    program = torch.export.export(module, (image(),))
    model = exported(program)
    assert operators(model)["BatchNormalization"] == 2
    same(model, module, image())


def test_an_onnx_program_is_exported_again_under_its_names() -> None:
    module = plain()
    program = torch.onnx.export(
        module, (image(),), input_names=["in"], output_names=["out"], dynamo=True, verbose=False
    )
    assert operators(program.model)["BatchNormalization"] == 0
    model = exported(program)
    assert operators(model)["BatchNormalization"] == 2
    assert [model.graph.inputs[0].name, model.graph.outputs[0].name] == ["in", "out"]
    assert operators(program.model)["BatchNormalization"] == 0
    same(model, module, image())


def test_a_program_has_its_inputs_already() -> None:
    program = torch.export.export(plain(), (image(),))
    with pytest.raises(ConfigError, match="has its inputs"):
        exported(program, image())


def test_inputs_are_missing() -> None:
    with pytest.raises(ConfigError, match="example_inputs are missing"):
        exported(plain())


def test_training_mode_is_refused_before_any_work() -> None:
    with pytest.raises(ModelError, match="training mode"):
        exported(plain().train(), image())


def test_inputs_that_do_not_fit_end_in_one_line() -> None:
    with pytest.raises(
        UnsupportedError, match=r"Sequential: torch\.export cannot follow"
    ) as caught:
        exported(plain(), torch.zeros(1, 5, 16, 16))
    assert "\n" not in str(caught.value)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = block(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return y if x.sum() > 0 else -y


def test_what_torch_export_cannot_follow_is_traced_and_that_is_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    module = trained(Branch())
    model = exported(module, image().abs())
    assert "Branch is traced by PyTorch's older exporter" in model.meta[NOTE]
    assert "\n" not in model.meta[NOTE]
    assert [node.name for node in model.graph if node.op_type == "Conv"] == ["body.0"]
    assert operators(model)["BatchNormalization"] == 1
    same(model, module, image().abs())
    assert capfd.readouterr() == ("", "")


def test_sizes_that_are_to_be_open_are_not_traced() -> None:
    with pytest.raises(UnsupportedError, match=r"Branch: torch\.export cannot follow"):
        exported(trained(Branch()), image(2), dynamic_shapes=({0: torch.export.Dim.AUTO},))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (3, 5, 6)], ids=["five axes", "three axes"])
@pytest.mark.parametrize("mask", ["none", "causal", "bool", "float"])
def test_attention_of_any_rank(shape: tuple[int, ...], mask: str) -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            masks = {"bool": torch.ones(5, 5, dtype=torch.bool).tril(), "float": torch.eye(5)}
            return nn.functional.scaled_dot_product_attention(
                x, 2 * x, x + 1, attn_mask=masks.get(mask), is_causal=mask == "causal"
            )

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    model = exported(Attention().eval(), x)
    assert NOTE not in model.meta
    same(model, Attention(), x)


def test_older_weight_norm_can_be_copied() -> None:
    with pytest.warns(FutureWarning):
        conv = torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    module = nn.Sequential(conv, nn.ReLU()).eval()
    module(image()).sum()
    same(exported(module, image()), module, image(2))


def test_convolutions_of_three_dimensions_without_bias() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv3d(3, 4, 3, bias=False), nn.ReLU()).eval()
    x = torch.randn(2, 3, 6, 6, 6)
    model = exported(module, x)
    assert [node.op_type for node in model.graph] == ["Conv", "Relu"]
    same(model, module, x)


class _Permuted(nn.Module):
    """A global pool behind a permute, as Swin's."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.pool, self.head = (
            nn.LayerNorm(16),
            nn.AdaptiveAvgPool2d(1),
            nn.Linear(16, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.norm(x).permute(0, 3, 1, 2)).flatten(1))


def test_global_pools_behind_a_permute_are_means() -> None:
    """They were a Gather of all numbers in order, behind which no channel was known."""
    x = torch.randn(2, 6, 6, 16)
    module = _Permuted().eval()
    model = exported(module, x)
    assert "Gather" not in operators(model)
    same(model, module, torch.randn(3, 6, 6, 16))

"""The networks of coverage.py: torchvision's and timm's, weights as plausible as random ones are.

Nothing is downloaded. Weights are normal with rows of unequal norm, gammas spread by exp(0.3 z)
and, of LayerNorm and its like, one in 64 five times as large, as trained transformers have them;
betas, biases, tokens and tables of positions are normal, factors of residual branches neither 0
nor 1e-6. Then the statistics of every BatchNorm are made true: the network is shown dead leaves
with nothing but BatchNorm in training mode. A random network with BatchNorm in front of a ReLU is
chaotic, it multiplies errors by pi / (pi - 1) a layer (Yang et al., "A Mean Field Theory of Batch
Normalization", ICLR 2019), and trained ones are not: so betas lie around 0.6 and not 0. Even so,
ratios to the error tell two ways of quantizing apart, and not how good a trained network would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from spiq.runtime.pictures import leaves

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TRUE, CALIBRATION, MEASURED = 501, 502, 503
"""Seeds of the pictures that BatchNorm sees, that `quantize_static` sees, and that are measured."""

CONV_SIZE, DETECTOR_SIZE = 128, 192
CLIPS = {"mvit": (16, 224), "s3d": (16, 224), "": (8, 64)}
"""Frames and size of the clips that networks of video take, by how their names begin."""

MOVED = 4
"""Pixels by which the second picture of a pair is moved."""

SMALL = (
    "bat_resnext26ts", "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224",
    "coat_lite_tiny", "coatnet_pico_rw_224", "convit_tiny", "convmixer_1024_20_ks9_p14",
    "convnext_atto", "convnextv2_atto", "cpubone_nano", "crossvit_tiny_240", "cs3darknet_s",
    "csatv2", "cspnext_tiny", "davit_tiny", "deit3_small_patch16_224", "deit_tiny_patch16_224",
    "densenet121", "dla46_c", "dpn48b", "ecaresnet26t", "edgenext_xx_small",
    "efficientformer_l1", "efficientformerv2_s0", "efficientnet_b0", "efficientnet_lite0",
    "efficientvim_m1", "efficientvit_b0", "efficientvit_m0", "ese_vovnet19b_dw",
    "eva02_tiny_patch14_224", "fasternet_t0", "fastvit_t8", "fbnetc_100", "flexivit_small",
    "focalnet_tiny_srf", "gcresnext26ts", "gcvit_xxtiny", "gernet_s", "ghostnet_050",
    "ghostnetv2_100", "gmlp_ti16_224", "halonet26t", "hardcorenas_a", "hgnet_tiny",
    "hgnetv2_b0", "hiera_tiny_224", "hieradet_small", "hrnet_w18_small", "iformer_t",
    "inception_next_atto", "inception_resnet_v2", "inception_v3", "inception_v4",
    "lambda_resnet26t", "lcnet_035", "lcnetv2_small", "legacy_seresnet18", "legacy_xception",
    "levit_128s", "lowformer_b0", "mambaout_femto", "maxvit_rmlp_pico_rw_256",
    "maxxvit_rmlp_nano_rw_256", "mixer_s32_224", "mixnet_s", "mnasnet_small", "mobilenetv2_035",
    "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "mobileone_s0", "mobilevit_xxs",
    "mobilevitv2_050", "mvitv2_tiny", "nest_tiny",
    "nextvit_small", "nf_regnet_b0", "nf_resnet26", "nfnet_l0", "pit_ti_224",
    "poolformerv2_s12", "pvt_v2_b0", "rdnet_tiny", "regnetx_002",
    "regnety_002", "repghostnet_050", "repvgg_a0", "repvit_m0_9", "res2net50_14w_8s",
    "resmlp_12_224", "resnest14d", "resnet10t", "resnetv2_18", "resnetv2_50x1_bit",
    "rexnet_100", "selecsls42b", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050",
    "swiftformer_xs", "swin_s3_tiny_224", "swin_tiny_patch4_window7_224",
    "swinv2_cr_tiny_ns_224", "swinv2_tiny_window8_256", "tf_efficientnetv2_b0",
    "tf_mobilenetv3_small_minimal_100", "tiny_vit_5m_224", "tnt_s_legacy_patch16_224",
    "tresnet_m", "twins_pcpvt_small", "twins_svt_small", "vgg11_bn", "visformer_tiny",
    "vit_relpos_small_patch16_224", "vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224",
    "vitamin_small_224", "volo_d1_224", "xception41", "xcit_nano_12_p16_224",
)  # fmt: skip
"""Small members of timm's families."""

FULL = frozenset(
    {
        *("alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "densenet121"),
        *("efficientnet_b0", "efficientnet_v2_s", "fcn_resnet50", "googlenet", "inception_v3"),
        *("lraspp_mobilenet_v3_large", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "r3d_18"),
        *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "vgg11"),
        *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin3d_t", "swin_t"),
        *("swin_v2_t", "vgg11_bn", "vit_b_32", "wide_resnet50_2"),
    }
)
"""Members of torchvision's families that are measured every way; others by spiq.torch alone."""

LEFT_OUT = {
    "regnet_y_128gf": "645 million weights: its float file is larger than ONNX's 2 GB",
    "vit_h_14": "633 million weights: its float file is larger than ONNX's 2 GB",
    "quantized": "quantized already",
}


@dataclass(frozen=True)
class Network:
    """One network: where it comes from, and its name there."""

    source: str
    name: str

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.source}/{self.name}"

    @property
    def full(self) -> bool:
        """Whether it is measured every way."""
        return self.source == "timm" or self.name in FULL


@dataclass(frozen=True)
class Built:
    """A network in inference mode, and what it takes."""

    module: nn.Module
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    listed: bool = False
    """Whether it takes a list of pictures, as torchvision's detectors do."""

    def pictures(self, count: int, seed: int) -> Iterator[np.ndarray]:
        """Dead leaves, normalized, each (1, C, H, W), (1, 6, H, W) or (1, C, T, H, W) of clips."""
        rng = np.random.default_rng(seed)
        mean, std = (np.array(x, np.float32).reshape(-1, 1, 1) for x in (self.mean, self.std))
        clip, pair = len(self.shape) == 4, self.shape[0] == 6
        for _ in range(count):
            frames = [
                (np.clip(_leaves(rng, *self.shape[-2:]), 0, 1).astype(np.float32) - mean) / std
                for _ in range(self.shape[1] if clip else 1)
            ]
            if pair:
                frames = [np.concatenate([frames[0], np.roll(frames[0], MOVED, axis=(1, 2))])]
            yield (np.stack(frames, axis=1) if clip else frames[0])[None]

    def arguments(self, picture: np.ndarray) -> tuple[Any, ...]:
        """What the module is called with to see a batch of pictures."""
        tensor = torch.from_numpy(picture)
        return (list(tensor),) if self.listed else (tensor,)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """What pixels become in each channel; one range where that is the same for all."""
        pairs = zip(self.mean, self.std, strict=True)
        ranges = tuple(((0 - mean) / std, (1 - mean) / std) for mean, std in pairs)
        return ranges[:1] if len(set(ranges)) == 1 else ranges


def _leaves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    size, colour = rng.uniform(0.5, 1.5), rng.uniform(0.05, 0.15)
    return leaves(rng, 3, height, width, size=size, colour=colour)


def everything() -> list[Network]:
    """Every builder of torchvision, and small members of timm's families."""
    from torchvision import models

    names = models.list_models()
    kept = [name for name in names if not name.startswith(tuple(LEFT_OUT))]
    return [Network("torchvision", name) for name in kept] + [Network("timm", x) for x in SMALL]


def build(network: Network) -> Built:
    """Build a network with plausible weights and true BatchNorm statistics."""
    torch.manual_seed(0)
    made = _torchvision(network.name) if network.source == "torchvision" else _timm(network.name)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        _spread(made.module, generator)
        _make_true(made)
    return made


def _timm(name: str) -> Built:
    import timm

    module = timm.create_model(name, pretrained=False).eval()
    known = module.pretrained_cfg
    size = known["input_size"]
    if not known.get("fixed_input_size") and has_batchnorm(module):
        try:
            with torch.no_grad():
                module(torch.zeros(2, 3, CONV_SIZE, CONV_SIZE))
            size = (3, CONV_SIZE, CONV_SIZE)
        except Exception:  # its size is fixed, whatever it says
            module = timm.create_model(name, pretrained=False).eval()
    return Built(module, tuple(size), tuple(known["mean"]), tuple(known["std"]))


def _torchvision(name: str) -> Built:
    from torchvision import models

    builder = models.get_model_builder(name)
    room = builder.__module__
    if room.startswith("torchvision.models.detection"):
        return _detector(builder, name)
    options: dict[str, Any] = {"weights": None}
    if room.startswith("torchvision.models.segmentation"):
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False}
    module = builder(**options).eval()
    if room.startswith("torchvision.models.video"):
        frames, size = next(CLIPS[begin] for begin in CLIPS if name.startswith(begin))
        return Built(module, (3, frames, size, size), *IMAGENET)
    if room.startswith("torchvision.models.optical_flow"):
        return Built(_Pair(module).eval(), (6, CONV_SIZE, CONV_SIZE), (0.5,) * 3, (0.5,) * 3)
    fixed = any(part in name for part in ("vit", "swin", "alexnet", "squeezenet"))
    size = 224 if fixed else CONV_SIZE
    return Built(module, (3, size, size), *IMAGENET)


class _Pair(nn.Module):
    """A network of optical flow that takes both pictures as one, and gives its last flow."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        return self.module(pair[:, :3], pair[:, 3:], num_flow_updates=4)[-1]


def _detector(builder: Any, name: str) -> Built:
    fixed = name.startswith("ssd")
    sizes = {} if fixed else {"min_size": DETECTOR_SIZE, "max_size": DETECTOR_SIZE}
    module = builder(weights=None, weights_backbone=None, **sizes).eval()
    size = (300 if name.startswith("ssd300") else 320) if fixed else DETECTOR_SIZE
    return Built(module, (3, size, size), (0.0,) * 3, (1.0,) * 3, listed=True)


def has_batchnorm(module: nn.Module) -> bool:
    """Whether exporters have anything to fold."""
    return any(isinstance(x, nn.modules.batchnorm._BatchNorm) for x in module.modules())


_OF_TOKENS = ("Attention", "BottleneckAttn", "HaloAttn", "LambdaLayer", "LayerNorm",
              "LayerScale", "MetaFormer", "Mixer", "RmsNorm")  # fmt: skip
"""Parts of names of modules that only networks of tokens and their hybrids have."""


def kind(module: nn.Module) -> str:
    """Return ``convolutions``, or ``tokens`` of transformers, ConvNeXts, mixers and hybrids."""
    names = {type(part).__name__ for part in module.modules()}
    of_tokens = "Affine" in names or any(part in name for part in _OF_TOKENS for name in names)
    return "tokens" if of_tokens else "convolutions"


def _spread(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights as the module docstring tells."""

    def normal(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator)

    done = set[int]()
    for part in module.modules():
        own = {k: v for k, v in part.named_parameters(recurse=False)}
        weight, bias = own.get("weight"), own.get("bias")
        if weight is None or weight.ndim == 0:
            continue
        if "Norm" in type(part).__name__ and weight.ndim == 1:
            weight.copy_(torch.exp(0.3 * normal(weight)))
            if not isinstance(part, nn.modules.batchnorm._BatchNorm):
                weight[torch.randperm(len(weight), generator=generator)[: len(weight) // 64]] *= 5
            bias_spread = 0.3
            centre = 0.6 if isinstance(part, nn.modules.batchnorm._BatchNorm) else 0.0
        elif isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            taps = weight[0].numel()
            rows = torch.exp(0.2 * torch.randn(len(weight), generator=generator))
            gain = 2**0.5 if weight.ndim > 2 else 1.0
            rows = rows.reshape(-1, *[1] * (weight.ndim - 1))
            weight.copy_(gain / taps**0.5 * normal(weight) * rows)
            bias_spread, centre = 0.1, 0.0
        else:
            continue
        if bias is not None:
            bias.copy_(centre + bias_spread * normal(bias))
        done |= {id(x) for x in (weight, bias)}
    for name, other in module.named_parameters():
        if id(other) not in done:
            _enliven(name, other, normal(other))


def _enliven(name: str, tensor: torch.Tensor, drawn: torch.Tensor) -> None:
    """Give a parameter that starts next to nothing the size that training gives it."""
    if name.endswith("in_proj_weight"):
        tensor.copy_(drawn / tensor.shape[1] ** 0.5)
    elif float(tensor.abs().max()) > 0.1 or "anchor" in name:
        return
    elif tensor.ndim <= 1 or "gamma" in name or "scale" in name:
        tensor.copy_(0.3 * torch.exp(0.5 * drawn))
    else:
        tensor.copy_(0.3 * drawn)


def _make_true(built: Built) -> None:
    """Let BatchNorm, and nothing else, see pictures in training mode."""
    norms = [x for x in built.module.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    shown = list(built.pictures(24, TRUE))
    for start in (0, 12):
        built.module(*built.arguments(np.concatenate(shown[start : start + 12])))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum

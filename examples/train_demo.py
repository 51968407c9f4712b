"""Train the network that spiq ships as its example, and write everything in ``src/spiq/demo``.

    pip install 'spiq[train]'
    python examples/train_demo.py            # half a minute on one CPU core

A plain stack of six 3x3 convolutions, each with BatchNorm and ReLU, global average pooling and a
linear head learn scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels from the UCI
repository, enlarged once to 32x32 and repeated over three channels. The images keep their order,
in which people follow each other: the last 797 are the test images, so most of them were written
by people whom the network has never seen.

Channels that differ. After hundreds of epochs the channels of one layer are of very different
sizes. The spread of ln gamma within a layer is 0.2 to 0.8 in the median layer of the published
networks that spiq is measured on; in one layer of ten it is 1.3 or more in ESPNetv2, which loses
half of its accuracy to one scale per tensor. A network this small, trained for half a minute, has
nothing of it: all its channels stay as they began. So they begin different here, gamma being drawn
from a log-normal distribution with SPREAD for the deviation of its logarithm, and the convolution
behind begins with weights that undo that. Training is ordinary from then on, with neither a
penalty on gamma nor anything that holds it where it is. So the demo shows how quantization copes
with such channels; that published networks have them is in docs/experiments.md, that they lose
by them in docs/results.md.

The ONNX file keeps every BatchNorm as a node. Both of PyTorch's exporters fold it into the
convolution by default; the older one keeps it with ``TrainingMode.PRESERVE`` and without constant
folding.

Seeds and thread count are fixed, so one machine writes the same files twice; another CPU or
PyTorch version may round differently and end within a few images of the same accuracy.

Data: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998, CC BY 4.0.
"""

import argparse
import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

DEMO = Path(__file__).resolve().parents[1] / "src" / "spiq" / "demo"
SIZE = 32
TRAIN_IMAGES = 1000
MEAN, STD = 78.0, 96.0  # of the training pixels in 0..255, rounded
LAYERS = ((32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1))  # output channels, stride
SPREAD = 1.5  # deviation of ln gamma within a layer, before training

CARD = """\
name = "digits"
task = "classification"

[dataset]
name = "Optical Recognition of Handwritten Digits (UCI), the last {n} images, enlarged to 32x32"
dir = "."
images = "digits.npz"
n = {n}

[input]
width = {size}
height = {size}
channels = "RGB"
layout = "NCHW"
mean = [{mean}, {mean}, {mean}]
std = [{std}, {std}, {std}]
divide_after = 1.0

[preprocess]
steps = "stored arrays are already resized; (x - mean) / std per channel in 0..255 units"

[decode]
kind = "argmax"
classes = 10
outputs = 10
metric = "top-1, top-5"

[source]
repository = "this one"
path = "examples/train_demo.py"
licence = "Apache-2.0 (weights); CC BY 4.0 (images: E. Alpaydin and C. Kaynak, UCI, 1998)"

[float32]
top1 = {top1:.2f}
top5 = {top5:.2f}
images = {n}

[model]
sha256 = "{sha256}"
bytes = {bytes}
batchnorm_nodes = {batchnorms}
"""


class ConvBnAct(nn.Sequential):
    """Convolution, BatchNorm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU()


class Network(nn.Module):
    """Normalised images (N, 3, 32, 32) to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(width for width, _ in LAYERS)]
        layers = zip(widths, LAYERS, strict=False)
        self.layers = nn.Sequential(*(ConvBnAct(before, *layer) for before, layer in layers))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(self.pool(self.layers(x)).flatten(1))


@torch.no_grad()
def spread_channels(model: Network, seed: int) -> None:
    """Let channels begin different, and the convolutions behind undo it.

    ReLU(g y) = g ReLU(y), so that the network answers as before.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer, following in zip(model.layers, model.layers[1:], strict=False):
        gamma = torch.exp(SPREAD * torch.randn(layer.bn.weight.shape, generator=generator))
        layer.bn.weight.copy_(gamma)
        following.conv.weight.div_(gamma[:, None, None])


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """All digits as uint8 (1797, 32, 32, 3) and their labels as int64 (1797,)."""
    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    large = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    grey = large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.repeat(grey, 3, axis=3), digits.target.astype(np.int64)


def normalise(images: np.ndarray) -> Tensor:
    """Turn uint8 NHWC into what the network expects."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - MEAN) / STD


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate (15 degrees), scale (15 %), shift (10 %) and add noise, each image on its own."""
    n = len(x)
    u = torch.rand(4, n, generator=generator) * 2 - 1
    angle, scale = u[0] * 0.26, 1 + 0.15 * u[1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cos, -sin, 0.2 * u[2]], 1), torch.stack([sin, cos, 0.2 * u[3]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    noise = torch.randn(n, 1, SIZE, SIZE, generator=generator)
    return moved + 0.1 * noise


def train(model: nn.Module, x: Tensor, y: Tensor, *, epochs: int, seed: int) -> None:
    """Adam with a one-cycle schedule and no weight decay; leaves the model in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    batch, rate = 50, 2e-3
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=rate,
        total_steps=epochs * (len(x) // batch),
        pct_start=0.15,
        cycle_momentum=False,
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x), generator=generator).split(batch):
            loss = F.cross_entropy(model(augment(x[chosen], generator)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1:3d}/{epochs}  loss {total / len(x):.4f}", flush=True)
    model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Write ONNX (opset 17, batch dynamic) with every BatchNorm kept as a node."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's deprecation and training-mode notes
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(path),
            dynamo=False,
            opset_version=17,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def top_k(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return 100.0 * float((best == labels[:, None]).any(axis=1).mean())


def write_card(folder: Path, logits: np.ndarray, labels: np.ndarray) -> None:
    data = (folder / "model.onnx").read_bytes()
    nodes = onnx.load_model_from_string(data).graph.node
    card = CARD.format(
        n=len(labels),
        size=SIZE,
        mean=MEAN,
        std=STD,
        top1=top_k(logits, labels, 1),
        top5=top_k(logits, labels, 5),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        batchnorms=sum(node.op_type == "BatchNormalization" for node in nodes),
    )
    (folder / "card.toml").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEMO, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs must be at least 2: the first one warms up")
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = load_images()
    x, y = normalise(images), torch.from_numpy(labels)
    model = Network()
    spread_channels(model, args.seed + 1)
    train(model, x[:TRAIN_IMAGES], y[:TRAIN_IMAGES], epochs=args.epochs, seed=args.seed)

    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "model.onnx"
    export(model, path)
    test_x, test_labels = x[TRAIN_IMAGES:], labels[TRAIN_IMAGES:]
    with torch.no_grad():
        expected = model(test_x).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": test_x.numpy()})
    difference = float(np.abs(logits - expected).max())
    if difference > 1e-4:
        raise SystemExit(f"ONNX Runtime and PyTorch differ by {difference:.1e}")
    np.savez_compressed(args.out / "digits.npz", images=images[TRAIN_IMAGES:], labels=test_labels)
    write_card(args.out, logits, test_labels)
    print(f"top-1 {top_k(logits, test_labels, 1):.2f} % on {len(test_labels)} test images")
    print(f"ONNX Runtime - PyTorch: {difference:.1e}; {path.stat().st_size:,} bytes in {path}")


if __name__ == "__main__":
    main()

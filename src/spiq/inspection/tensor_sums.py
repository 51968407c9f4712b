"""How far a tensor is from its counterpart, by sums per channel that add up over images.

For reference tensor r and its counterpart q, over all images and positions,

    SNR = 10 log10(sum (r - mean r)^2 / sum (r - q)^2),    cosine = sum r q / sqrt(sum r^2 sum q^2).

A network that spiq quantized holds *folded* tensors, q = r / sigma with one sigma per channel.
There the gain of each channel that fits best, g = sum r q / sum q^2, is applied first; since it
absorbs one of the channel's n samples, the noise that remains is multiplied by n / (n - 1).
Where both are the same infinity, they agree, and count for nothing. Channels lie along axis 1, from
rank 5 on along all axes between the first and the last two; or along the last, as those of tokens
do: folded tensors are compared by whichever fits better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from spiq.runtime.snr import decibels
from spiq.stats.channel import Array


@dataclass(frozen=True, kw_only=True)
class TensorComparison:
    """One tensor of the quantized network beside the float network's."""

    name: str
    producer: str
    """Operator and node that write the tensor in the float network."""
    snr_db: float
    cosine: float


@dataclass(frozen=True)
class Sums:
    """Sums of r, r^2, r q, q^2 and (r - q)^2 per channel, over n samples each."""

    r: Array
    rr: Array
    rq: Array
    qq: Array
    noise: Array
    n: int

    @classmethod
    def of(cls, a: Array, b: Array) -> "Sums":
        """Return the sums over a tensor and its counterpart, both of shape (channels, samples)."""
        if (same := np.isinf(a) & (a == b)).any():
            a[same] = b[same] = 0
        return cls(
            a.sum(axis=1), _dot(a, a), _dot(a, b), _dot(b, b), _dot(a - b, a - b), a.shape[1]
        )

    def __add__(self, more: "Sums") -> "Sums":
        pairs = zip(vars(self).values(), vars(more).values(), strict=True)
        return Sums(*(own + other for own, other in pairs))

    def comparison(self, *, fitted: bool) -> tuple[float, float]:
        """Return SNR and cosine; ``fitted`` by the gain of each channel that fits best."""
        gain, noise = np.ones_like(self.rr), self.noise
        if fitted:
            gain = np.divide(self.rq, self.qq, out=np.zeros_like(self.rq), where=self.qq > 0)
            noise = np.maximum(self.rr - gain * self.rq, 0) * (self.n / max(self.n - 1, 1))
        signal, answer = float(self.rr.sum()), float((gain**2 * self.qq).sum())
        size = np.sqrt(signal * answer)
        same = signal == answer
        varying = signal - float(self.r.sum()) ** 2 / (self.n * len(self.r))
        cosine = float((gain * self.rq).sum() / size) if size > 0 else float(same)
        return decibels(varying, float(noise.sum())), cosine


class AllSums:
    """Sums of a tensor and its counterpart over images; ``fitted`` by each axis of channels."""

    def __init__(self, *, fitted: bool) -> None:
        self._fitted, self._found = fitted, tuple[Sums, ...]()

    def add(self, r: npt.NDArray[np.generic], q: npt.NDArray[np.generic]) -> None:
        """Add one image's, of the same shape."""
        pairs = list(zip(_by_channel(r), _by_channel(q), strict=True))
        added = tuple(Sums.of(a, b) for a, b in (pairs if self._fitted else pairs[:1]))
        known = zip(self._found, added, strict=True)
        self._found = tuple(own + more for own, more in known) if self._found else added

    def comparison(self, name: str, node: onnx.NodeProto) -> TensorComparison:
        """Return SNR and cosine; of a folded tensor, by the axis that fits better."""
        snr_db, cosine = max(sums.comparison(fitted=self._fitted) for sums in self._found)
        producer = f"{node.op_type} '{node.name or node.output[0]}'"
        return TensorComparison(name=name, producer=producer, snr_db=snr_db, cosine=cosine)


def _dot(a: Array, b: Array) -> Array:
    product: Array = np.einsum("cn,cn->c", a, b)
    return product


def _by_channel(tensor: npt.NDArray[np.generic]) -> list[Array]:
    """Reshape to (channels, samples), by each axis that channels may lie along."""
    exact = tensor.astype(np.float64)
    if exact.ndim < 2:
        return [exact.reshape(1, -1)]
    last = max(2, exact.ndim - 2)
    channels = int(np.prod(exact.shape[1:last]))
    rows = exact.reshape(exact.shape[0], channels, -1).swapaxes(0, 1)
    behind = [exact.reshape(-1, exact.shape[-1]).T] if exact.ndim > 2 else []
    return [rows.reshape(channels, -1), *behind]

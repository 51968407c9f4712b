"""Tasks: what a card asks for, measured on the images that it names."""

import importlib
import os
from collections.abc import Callable, Sequence

from spiq.errors import ConfigError
from spiq.evaluation.cards.read import TASKS, Card, read
from spiq.evaluation.results import ClassificationResult
from spiq.evaluation.tasks.detection.results import DetectionResult
from spiq.evaluation.tasks.segmentation_results import SegmentationResult

__all__ = ["TASKS", "Card", "Result", "evaluate", "read"]

Result = ClassificationResult | DetectionResult | SegmentationResult
"""What :func:`evaluate` returns, by the card's task."""


def evaluate(
    models: Sequence[str | os.PathLike[str] | bytes],
    card: Card | str | os.PathLike[str],
    *,
    limit: int | None = None,
    threads: int = 0,
    batch: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Measure ``models`` on the images of ``card``; the others are compared with the first.

    >>> import spiq
    >>> from spiq.demo import card_path, model_path
    >>> quantized = spiq.quantize(model_path())
    >>> result = spiq.evaluate([model_path(), quantized.model], card_path(), limit=20)
    >>> result.models[1].comparison.agreement > 80
    True

    Args:
        models: Paths or bytes of ONNX files.
        card: A card or its path.
        limit: Only that many images, from the first on.
        threads: Threads of the runtime; 0 lets it choose.
        batch: Images per call; a batch size that a network fixes takes its place. Use 1 where a
            network is quantized dynamically: its ranges are taken over the whole batch.
        progress: Called with images done and images in all.

    Raises:
        CardError: The card is wrong or does not fit a network.
        ModelError: A network cannot be loaded or run.
        ConfigError: An option makes no sense.
    """
    if isinstance(models, str | bytes | os.PathLike):
        raise ConfigError("models is a single network: give a list, [network]")
    card = card if isinstance(card, Card) else read(card)
    run = importlib.import_module(TASKS[card.task]).evaluate
    result: Result = run(models, card, limit=limit, threads=threads, batch=batch, progress=progress)
    return result

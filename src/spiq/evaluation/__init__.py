"""Tasks: what a card asks for, measured on the images that it names."""

from spiq.evaluation.cards.read import TASKS, Card, read
from spiq.evaluation.loop import Result, evaluate
from spiq.evaluation.shards import Division

__all__ = ["TASKS", "Card", "Division", "Result", "evaluate", "read"]

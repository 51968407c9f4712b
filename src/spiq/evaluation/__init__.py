"""Tasks: what a card asks for, measured on the images that it names."""

from spiq.evaluation.cards.read import TASKS, Card, read
from spiq.evaluation.loop import Result, evaluate

__all__ = ["TASKS", "Card", "Result", "evaluate", "read"]

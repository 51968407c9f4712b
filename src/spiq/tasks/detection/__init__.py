"""Detection: boxes from a network's outputs, and their mean average precision."""

from spiq.tasks.detection.decode import KINDS
from spiq.tasks.detection.disagreement import disagreement
from spiq.tasks.detection.evaluate import evaluate
from spiq.tasks.detection.view import View, detections

__all__ = ["KINDS", "View", "detections", "disagreement", "evaluate"]

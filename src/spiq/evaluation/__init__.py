"""Tasks: what a card asks for, measured on the images that it names.

cards, data, tasks                    what a card says, its images, and what is asked of networks
task                                  what a task is to all that follow
loop, gathering, estimates, shards    networks evaluated in one pass, by one process or several
runners                               networks that are ready to run on a card's images
latency, peers                        how long they take, and what other tools make of them
check                                 what is wrong with a card, found in seconds
guess                                 a card from a network and a folder
view, panels, drawing, gallery        pictures of what networks answer
files                                 text files that a card names
"""

from spiq.evaluation.cards.read import TASKS, Card, read
from spiq.evaluation.loop import Result, evaluate
from spiq.evaluation.shards import Division

__all__ = ["TASKS", "Card", "Division", "Result", "evaluate", "read"]

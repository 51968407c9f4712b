import json

import numpy as np
import pytest

from spiq.errors import CardError
from spiq.tasks import read
from spiq.tasks.detection import truth
from tests_detection import make_images, make_truth, write_card

from dlrun import errors as errors
from dlrun import models as models
from dlrun.api import Comparison as Comparison
from dlrun.api import Run as Run
from dlrun.api import Sweep as Sweep
from dlrun.api import build as build
from dlrun.api import compare as compare
from dlrun.api import load as load
from dlrun.api import load_model as load_model
from dlrun.api import sweep as sweep
from dlrun.api import train as train
from dlrun.run.answers import TrainedModel as TrainedModel

__version__: str

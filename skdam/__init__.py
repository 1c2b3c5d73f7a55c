"""Deep networks trained end to end for ROC AUC, as scikit-learn estimators."""

from skdam._version import __version__ as __version__
from skdam.data.sampling import StratifiedBatchSampler
from skdam.display import TrainingHistoryDisplay
from skdam.estimator.classifier import CompositionalAUCClassifier
from skdam.losses.compositional import CompositionalAUCLoss
from skdam.losses.margin import AUCMarginLoss
from skdam.networks.augmentation import RandomCropFlip
from skdam.networks.resnet import ResNet20
from skdam.networks.tabular import TabularMLP
from skdam.optim.pdsca import PDSCA
from skdam.persistence import SKOPS_TRUSTED_TYPES
from skdam.training.epoch import DivergenceError
from skdam.training.net import CompositionalAUCNet

__all__ = [
    "PDSCA",
    "SKOPS_TRUSTED_TYPES",
    "AUCMarginLoss",
    "CompositionalAUCClassifier",
    "CompositionalAUCLoss",
    "CompositionalAUCNet",
    "DivergenceError",
    "RandomCropFlip",
    "ResNet20",
    "StratifiedBatchSampler",
    "TabularMLP",
    "TrainingHistoryDisplay",
]

# one path to each public name, in pickles, trusted types and links, wherever its file lies
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__

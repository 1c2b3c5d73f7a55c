"""Deep networks trained end to end for ROC AUC, as scikit-learn estimators."""

from skdam.data.sampling import StratifiedBatchSampler
from skdam.display import TrainingHistoryDisplay
from skdam.estimator.classifier import CompositionalAUCClassifier
from skdam.losses.compositional import CompositionalAUCLoss
from skdam.losses.margin import AUCMarginLoss
from skdam.networks.augmentation import RandomCropFlip
from skdam.networks.resnet import ResNet20
from skdam.networks.tabular import TabularMLP
from skdam.optim.pdsca import PDSCA
from skdam.training.epoch import DivergenceError
from skdam.training.net import CompositionalAUCNet

__all__ = [
    "PDSCA",
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
__version__ = "0.1.0.dev0"

# one path to each public name, in pickles, trusted types and links, wherever its file lies
for _name in __all__:
    globals()[_name].__module__ = __name__

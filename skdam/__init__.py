"""Deep networks trained end to end for ROC AUC, as scikit-learn estimators."""

from skdam.augmentation import RandomCropFlip
from skdam.classifier import CompositionalAUCClassifier
from skdam.display import TrainingHistoryDisplay
from skdam.losses import AUCMarginLoss, CompositionalAUCLoss
from skdam.modules import ResNet20, TabularMLP
from skdam.net import CompositionalAUCNet, DivergenceError
from skdam.optim import PDSCA
from skdam.sampling import StratifiedBatchSampler

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

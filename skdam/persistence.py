"""What users need to load models, besides ``joblib``, ``pickle`` or ``skops``."""

from __future__ import annotations

from skdam._stamp import InconsistentVersionWarning

__all__ = ["SKOPS_TRUSTED_TYPES", "InconsistentVersionWarning"]

InconsistentVersionWarning.__module__ = __name__

# of models with any parameters, except modules, losses and callbacks that are not skdam's
SKOPS_TRUSTED_TYPES: list[str] = [
    "skdam.CompositionalAUCClassifier",
    "skdam.CompositionalAUCLoss",
    "skdam.CompositionalAUCNet",
    "skdam.PDSCA",
    "skdam.ResNet20",
    "skdam.TabularMLP",
    "skdam.callbacks.EarlyStoppingAUC",
    "skdam.callbacks.PrintLog",
    "skdam.callbacks.ProgressBar",
    "skdam.callbacks.StageSchedule",
    "skdam.data.memory.InMemoryDataset",
    "skdam.training.outofbag.OutOfBagScoring",
    "torch.utils.data.dataloader.DataLoader",
]

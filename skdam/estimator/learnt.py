"""The attributes that a fit learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from skdam.callbacks import EarlyStoppingAUC
from skdam.data.examples import has_folds, labels_of, sample_weights_of
from skdam.estimator.calibration import class_totals, learn_decision
from skdam.estimator.decision import Calibration
from skdam.training.net import CompositionalAUCNet
from skdam.training.outofbag import join

# each is there only after some fits: with early stopping, or with out-of-bag scores
NOT_ALWAYS_LEARNT = ("best_score_", "best_epoch_", "oob_decision_function_", "oob_score_")


def learnt_by(
    net: CompositionalAUCNet,
    dataset: Any,
    classes: np.ndarray,
    calibration: Calibration | None,
    class_weight: Mapping[Any, float] | str | None,
    earlier: np.ndarray | float = 0.0,
) -> dict[str, Any]:
    """Return the attributes of a fit that ends with a net as it is.

    Parameters
    ----------
    net : CompositionalAUCNet
        Trained. With folds, its parts learn how they vote.
    dataset : dataset
        The training data.
    classes : ndarray of shape (2,)
    calibration, class_weight
        As in :class:`~skdam.CompositionalAUCClassifier`.
    earlier : ndarray of shape (2, 2) or 0, default=0
        Totals by class of the data of earlier calls of ``partial_fit``.

    Raises
    ------
    DivergenceError
        If scores are not finite.
    """
    out_of_bag = join(net, dataset) if has_folds(dataset) else None
    sampler = net.sampler_
    sampling_rate = sampler.n_positive / (sampler.n_positive + sampler.n_negative)
    totals = class_totals(dataset) + earlier
    decision = learn_decision(
        dataset, totals, out_of_bag, sampling_rate, classes, calibration, class_weight
    )
    learnt: dict[str, Any] = {
        "net_": net,
        "_class_totals": totals,
        "_decision": decision,
        "offset_": decision.offset,
        "n_iter_": len(net.history),
    }
    if out_of_bag is not None:
        scores = decision.scores(out_of_bag)
        weights = sample_weights_of(dataset)
        learnt["oob_decision_function_"] = scores
        learnt["oob_score_"] = float(
            roc_auc_score(labels_of(dataset), scores, sample_weight=weights)
        )
    stop = dict(net.callbacks_).get("early_stopping")
    if isinstance(stop, EarlyStoppingAUC) and stop.best_epoch_:
        learnt["best_score_"] = float(stop.best_score_)
        learnt["best_epoch_"] = stop.best_epoch_
    return learnt

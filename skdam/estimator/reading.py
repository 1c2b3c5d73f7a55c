"""How the classifier reads its input: all checks of X, y, weights and groups, then a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.utils.data import Dataset, Subset

from skdam._device import resolve_device
from skdam._generators import forked_rng
from skdam.data.examples import ExampleDataset, labels_of
from skdam.data.memory import InMemoryDataset
from skdam.estimator.calibration import check_calibration
from skdam.estimator.decision import Calibration, odds_of_class_weight
from skdam.estimator.defaults import module_for
from skdam.estimator.folds import as_groups, assign_folds, fingerprint
from skdam.estimator.inputs import InputSpec, as_array_like, as_dataset, check_choice, validated
from skdam.estimator.labels import as_labels, dataset_labels, encode_labels, split_by_class
from skdam.estimator.parameters import check_module_parameters, ensemble_size
from skdam.estimator.prefixed import of_prefix
from skdam.estimator.validation import naming_validation_data, validation_data
from skdam.estimator.weights import present_rows, with_weights


class ReadingMixin:
    """Read training data, data to score and validation data.

    What ``fit`` learns of X and y is kept: ``_input_spec``, ``classes_``, ``n_features_in_``,
    ``feature_names_in_`` and ``_fingerprint``, that of the folds or None without them.
    """

    module: type[nn.Module] | nn.Module | None
    device: str
    calibration: Calibration | None
    class_weight: Mapping[Any, float] | Literal["balanced"] | None
    early_stopping: bool | Literal["auto"]
    validation_fraction: float

    classes_: np.ndarray
    n_features_in_: int
    _input_spec: InputSpec
    _fingerprint: str | None
    _rng: np.random.RandomState
    get_params: Any

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        *,
        reset: bool,
        classes: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        cross_fit: bool = False,
    ) -> tuple[type[nn.Module] | nn.Module, InMemoryDataset | ExampleDataset]:
        """Return the module and the dataset to train on, after all checks of X and y.

        With ``reset``, the spec of X and the classes are learnt; otherwise they have to match
        those of the previous fit. Then there are folds only if rows and folds are those
        of the previous training; otherwise a member has seen rows of its own fold.
        """
        parameters = self.get_params(deep=False)
        X = as_array_like(as_dataset(X))
        table = None if reset else self._input_spec.table
        rows, weights = present_rows(sample_weight, X)
        if groups is not None:
            names = as_groups(groups, X)
            groups = names if rows is None else names[rows]
        y = None if y is None else as_labels(y)
        if isinstance(X, Dataset):
            check_choice(self, is_allowed=False)
        else:
            X, y, table = validated(self, X, y, table, rows)
        with self._draws_undone(X):
            spec = InputSpec.of(X, table)
            module = module_for(self.module, spec.shape)
            check_module_parameters(parameters, module, spec.table.n_categories)
            if isinstance(X, Dataset):
                y = dataset_labels(X, y, **of_prefix(parameters, "iterator_train"))
        if not reset:
            self._input_spec.check(spec, is_dataset=isinstance(X, Dataset))
        elif isinstance(X, Dataset):
            # for arrays, validate_data has done this
            self.n_features_in_ = spec.shape[0]
            self.__dict__.pop("feature_names_in_", None)
        self._input_spec = spec
        if rows is not None:
            X = Subset(X, rows.tolist()) if isinstance(X, Dataset) else X[rows]
            y = y[rows]
        known = None if reset else self.classes_
        self.classes_, targets = encode_labels(y, classes=classes, known=known)
        can_cross_fit = cross_fit and hasattr(module, "out_of_bag") and not isinstance(X, Dataset)
        n_folds = ensemble_size(parameters, module) if can_cross_fit else 0
        folds, has_seen_folds = self._folds_of(X, targets, groups, n_folds, reset=reset)
        check_calibration(self.calibration, folds is not None, has_seen_folds)
        # raises if the weights of the classes are wrong
        odds_of_class_weight(self.class_weight, self.classes_, float(targets.mean()))
        dataset = spec.dataset(X, with_weights(targets, weights, folds, n_folds))
        if isinstance(dataset, ExampleDataset):
            dataset.numbers = rows
        return module, dataset

    def _folds_of(
        self,
        X: Any,
        targets: np.ndarray,
        groups: np.ndarray | None,
        n_folds: int,
        *,
        reset: bool,
    ) -> tuple[np.ndarray | None, bool]:
        """Return the fold of each row, and whether members have seen rows of these folds.

        There are no folds in that case, and with fewer than two.
        """
        folds = assign_folds(X, targets, n_folds, groups) if n_folds > 1 else None
        if groups is not None and folds is None:
            raise ValueError(
                "groups are for the folds of cross-fitting: data in memory, the default network "
                "for tables with two members or more, cross_fit=True, and two groups or more with "
                "examples of each class."
            )
        found = None if folds is None else fingerprint(X, folds)
        has_seen = not reset and found not in (None, getattr(self, "_fingerprint", None))
        self._fingerprint = None if has_seen else found
        return None if has_seen else folds, has_seen

    def _draws_undone(self, X: Any) -> AbstractContextManager[None]:
        """Return a context for reading X, of which global generators keep no trace.

        A Dataset may draw random numbers, and training reads it again.
        """
        is_dataset = isinstance(X, Dataset)
        return forked_rng(resolve_device(self.device)) if is_dataset else nullcontext()

    def _read_new(self, X: Any) -> InMemoryDataset | ExampleDataset:
        """Return data to score as a dataset, after checking it against fit."""
        check_is_fitted(self)
        X = as_array_like(as_dataset(X))
        if not isinstance(X, Dataset):
            X, _, _ = validated(self, X, "no_validation", self._input_spec.table)
        spec = InputSpec.of(X)
        self._input_spec.check(spec, is_dataset=isinstance(X, Dataset))
        return spec.dataset(X)

    def _read_validation(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> Any:
        """Return validation data as a dataset, after checking it against fit; None without X."""
        if X is None:
            for name, value in (("y_val", y), ("sample_weight_val", sample_weight)):
                if value is not None:
                    raise ValueError(f"{name} is given without X_val.")
            return None
        if isinstance(X, tuple) and len(X) == 2 and y is None:
            raise ValueError("X_val is a pair; pass its two parts as X_val and y_val.")
        X = as_dataset(X)
        if y is None and not isinstance(X, Dataset):
            raise ValueError("X_val is given without y_val, its labels.")
        with naming_validation_data(), self._draws_undone(X):
            dataset = self._read_new(X)
            if isinstance(X, Dataset):
                y = dataset_labels(X, y, **of_prefix(self.get_params(deep=False), "iterator_valid"))
            return validation_data(dataset, y, sample_weight, self.classes_)

    def _split(self, dataset: Any, given: Any) -> tuple[Any, Any]:
        """Return training and validation data: the given ones, or parts, or all data and None."""
        # "auto" sets nothing aside: it stops by given data, or by the out-of-bag scores
        if given is not None or self.early_stopping in (False, "auto"):
            return dataset, given
        train, valid = split_by_class(
            labels_of(dataset), self.validation_fraction, self.classes_, self._rng
        )
        return Subset(dataset, train.tolist()), Subset(dataset, valid.tolist())

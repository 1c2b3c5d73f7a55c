"""The scikit-learn face: CompositionalAUCClassifier."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import Callback, ProgressBar
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from skdam._device import forked_rng, resolve_device
from skdam.callbacks import EarlyStoppingAUC
from skdam.data.batches import inference_batch_size, sample_for_statistics
from skdam.data.examples import ExampleDataset, first_example, kind_of, labels_of, read_labels
from skdam.data.memory import InMemoryDataset
from skdam.estimator.inputs import (
    accepted_parameters,
    check_examples,
    refuse_dates,
    two_classes,
    unusable_columns,
)
from skdam.estimator.prefixed import PrefixedParametersMixin
from skdam.losses.compositional import INNER_LOSSES, CompositionalAUCLoss
from skdam.networks.defaults import default_module
from skdam.networks.tabular import TabularMLP
from skdam.optim.pdsca import HYPERGRADIENTS, PDSCA, VARIANTS, check_composition
from skdam.training.net import (
    PRECISIONS,
    STRATEGIES,
    CompositionalAUCNet,
    DivergenceError,
    probabilities,
)

_AUTO_BATCH_SIZES = (64, 1024, 128)  # the least, the most for tables, for other data
_BATCHES_OF_MUCH_DATA = 128
_LEAST_BATCHES = 300
_LEAST_EPOCHS = 20
_OFFSET_ROWS = 2_000
_SEED_BOUND = np.iinfo(np.int32).max
# what a module may want to know of its input, by the axes of an example
_SIZE_PARAMETERS = {1: "n_features", 3: "in_channels"}
_LOADER_RESERVED = {"dataset", "batch_sampler", "sampler", "shuffle", "drop_last", "generator"}

# what the parameters of a prefix go to, and those that the estimator has to set itself
_PREFIX_TARGETS: dict[str, tuple[Any, set[str]]] = {
    "criterion": (CompositionalAUCLoss, {"n_members"}),
    "optimizer": (PDSCA, {"params", "loss", "pretraining"}),
    "iterator_train": (DataLoader, _LOADER_RESERVED),
    "iterator_valid": (DataLoader, _LOADER_RESERVED),
    "compile": (torch.compile, {"model", "fullgraph", "disable"}),
}


class CompositionalAUCClassifier(PrefixedParametersMixin, ClassifierMixin, BaseEstimator):
    r"""Binary classifier that trains a network end to end for ROC AUC.

    Cross-entropy learns good features but does not optimise a ranking; an AUC loss
    optimises the ranking but, from scratch, learns poor features. Compositional
    training [1]_ minimises the AUC margin loss [2]_ at the point that one gradient step
    on the cross-entropy leads to,

    .. math:: \min_{w, a, b} \max_{\alpha \ge 0}
        F(w - \eta_0 \nabla L_{CE}(w), a, b, \alpha),

    with stochastic primal-dual steps (:class:`~skdam.PDSCA`) on batches that hold a
    fixed share of positives.

    Parameters
    ----------
    module : nn.Module subclass, nn.Module instance or None, default=None
        The network: takes a float32 batch of X, returns one logit for each example, of
        shape (n,) or (n, 1). None is :class:`~skdam.TabularMLP` for tables, 2-D X, and
        :class:`~skdam.ResNet20` for images, 4-D X. A class is built with the
        ``module__...`` parameters, and with ``n_features`` (of 2-D X) or ``in_channels``
        (of 4-D X) if it has a parameter of that name; an instance is copied, its weights
        included. A method ``fit_statistics(X, y)``, if there is one, is called once
        before the first training, with all of a table or a sample of other data.
        An ensemble has an attribute ``n_members`` above 1 and returns (n, n_members)
        logits, of which a method ``vote``, if there is one, makes (n,) scores; otherwise
        the score is the logit of the mean probability.
    strategy : {"compositional", "two-stage", "auc", "cross-entropy"}, default="compositional"
        What is minimised: the composition; the inner loss for half of the epochs and
        the AUC loss from there; the AUC loss from scratch; the inner loss. The last
        three ignore ``variant``, ``hypergradient`` and ``inner_steps``.
    variant : {"alternating", "lookahead"}, default="alternating"
        "alternating" gives each batch to one of the losses; "lookahead" evaluates both
        on each batch, at twice the cost.
    hypergradient : {"first-order", "exact"}, default="first-order"
        "exact" keeps the Hessian of the inner loss; for ``variant="lookahead"`` only.
    inner_loss : {"cross-entropy", "focal"} or callable, default="cross-entropy"
        A function takes ``(logits, targets)``, both tensors of shape (n,) or, of an
        ensemble, (n, n_members), and returns the loss of each element.
    margin : float, default=1.0
        Distance wanted between the mean scores of the classes, > 0.
    inner_steps : int, default=1
        Batches in a row for each of the losses, >= 1; 1 for "lookahead".
    lr : float, default=0.1
        Learning rate of the outer step, > 0.
    inner_lr : float or None, default=None
        Learning rate of the inner step, > 0. None takes ``lr``.
    betas : pair of float, default=(0.9, 0.9)
        Weights of the new value in the moving averages of inner points and of outer
        gradients, in (0, 1].
    weight_decay : float, default=1e-4
        L2 pull towards zero, >= 0.
    epoch_decay : float, default=2e-3
        L2 pull towards the average weights of the last stage, >= 0.
    clip_value : float, default=1.0
        Bound of each gradient element, > 0.
    milestones : sequence of float, default=(0.5, 0.75)
        Shares of the epochs, in (0, 1), at which both learning rates decay.
    lr_decay : float, default=0.1
        Factor of the learning rates at a milestone, in (0, 1].
    max_epochs : int or "auto", default="auto"
        Passes over the data, >= 1. "auto" is 20, and on little data as many as it takes
        for 300 batches.
    batch_size : int or "auto", default="auto"
        Examples in a batch, >= 2; at most all. "auto" is 64 or, where that is more, a 128th
        of the data, up to 1024 for tables and 128 for other data.
    sampling_rate : float or "auto", default=0.5
        Share of positives in a training batch, in (0, 1). "auto" is the share in the
        data, brought into [0.25, 0.75].
    n_members : int or None, default=None
        Members of the ensemble that the network is, >= 1, for a module with a parameter of
        that name. None leaves it to the module: 8 for :class:`~skdam.TabularMLP`, 1 for
        :class:`~skdam.ResNet20`, which has no such parameter.
    early_stopping : bool, default=False
        Whether to set aside a stratified part of the data, stop when its ROC AUC
        stalls, and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        The share set aside, in (0, 1); at least one example of each class.
    n_iter_no_change : int, default=10
        Epochs without an improvement of ``tol`` before an early stop, >= 1.
    tol : float, default=1e-4
        The improvement of the validation AUC that counts, >= 0.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights of the last fit, with the schedule of
        learning rates from its start.
    callbacks : list of skorch callbacks or None, default=None
        Called as in skorch, with the net as first argument. A saved model has them as
        they were given, without what they learnt.
    device : str, default="auto"
        "cpu", "cuda", "cuda:<index>" or "auto": CUDA when present, else the CPU.
    compile : bool, default=False
        Whether :func:`torch.compile` makes one function of a step or, where it can not, of its
        forward and backward pass. It takes seconds to a minute before the training, and pays
        where that is long. The model is the same but for rounding; dropout of other modules than
        the default network, or on CUDA, draws other random numbers. Where it does not work, as
        without a C++ compiler, a warning says so. Not for ``hypergradient="exact"``.
    precision : {"float32", "bfloat16"}, default="float32"
        In what matrix products and convolutions are done in training; "bfloat16" is faster on
        hardware that has it. Weights, losses and predictions are in float32.
    data_on_device : bool or "auto", default="auto"
        Whether training data in memory is copied to the device as a whole, and not batch by
        batch. "auto" does on CUDA if it takes at most half of the memory that is free.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches, dropout and the validation split. The same int
        gives the same model, bit for bit, on the same CPU with as many threads. None
        draws a fresh seed.
    verbose : int, default=0
        1 prints a line for each epoch, 2 shows a progress bar of batches as well.
    **prefixed
        Parameters of the parts: ``module__``, ``criterion__``, ``optimizer__``,
        ``iterator_train__``, ``iterator_valid__`` (of :class:`torch.utils.data.DataLoader`),
        ``compile__`` (of :func:`torch.compile`; ``compile__mode="reduce-overhead"`` for CUDA
        graphs) and ``callbacks__``, as in skorch.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; scores are larger for the second, the positive class.
    n_features_in_ : int
        Columns of X, its second axis if n-D (the channels of images).
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X had any.
    net_ : CompositionalAUCNet
        The trained skorch net; ``net_.module_`` is the network.
    history_ : dict of ndarray of shape (n_iter,)
        A value for each epoch: ``inner_loss``, ``outer_loss``, ``valid_roc_auc``, ``lr``,
        ``dur`` (seconds) and more, NaN where an epoch has none.
    n_iter_ : int
        Epochs trained.
    offset_ : float
        The logit midway between the mean scores of the classes in training, where
        :meth:`predict` cuts: a ranking loss leaves the cut open.
    best_score_ : float
        Validation ROC AUC of the weights kept, with ``early_stopping``.

    Notes
    -----
    Scores are trained to rank, not to be calibrated: wrap the classifier in
    :class:`~sklearn.calibration.CalibratedClassifierCV` where probabilities matter, or in
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV` where labels do.

    A pickle holds the parameters, and the state dicts of network, loss and optimizer;
    the network is built anew from its class when the pickle is loaded. What a custom
    module learns has to be a parameter or a buffer.

    References
    ----------
    .. [1] Z. Yuan, Z. Guo, N. Chawla, T. Yang, "Compositional Training for End-to-End
       Deep AUC Maximization", ICLR 2022, https://openreview.net/forum?id=gPvB4pdu_Z.
    .. [2] Z. Yuan, Y. Yan, M. Sonka, T. Yang, "Large-scale Robust Deep AUC Maximization:
       A New Surrogate Loss and Empirical Studies on Medical Image Classification",
       ICCV 2021, arXiv:2012.03173.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.metrics import roc_auc_score
    >>> from skdam import CompositionalAUCClassifier
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=20, random_state=0).fit(X[:400], y[:400])
    >>> bool(roc_auc_score(y[400:], clf.decision_function(X[400:])) > 0.85)
    True
    """

    _prefixes = (
        "module",
        "criterion",
        "optimizer",
        "iterator_train",
        "iterator_valid",
        "compile",
        "callbacks",
    )

    _example_shape: tuple[int, ...]
    _example_dtype: str

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "module": "no_validation",
        "strategy": [StrOptions(set(STRATEGIES))],
        "variant": [StrOptions(set(VARIANTS))],
        "hypergradient": [StrOptions(set(HYPERGRADIENTS))],
        "inner_loss": [StrOptions(set(INNER_LOSSES)), callable],
        "margin": [Interval(Real, 0, None, closed="neither")],
        "inner_steps": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "inner_lr": [None, Interval(Real, 0, None, closed="neither")],
        "betas": ["array-like"],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "epoch_decay": [Interval(Real, 0, None, closed="left")],
        "clip_value": [Interval(Real, 0, None, closed="neither")],
        "milestones": ["array-like"],
        "lr_decay": [Interval(Real, 0, 1, closed="right")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "sampling_rate": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
        "n_members": [None, Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [None, list],
        "device": [str],
        "compile": ["boolean"],
        "precision": [StrOptions(set(PRECISIONS))],
        "data_on_device": ["boolean", StrOptions({"auto"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | None = None,
        *,
        strategy: str = "compositional",
        variant: str = "alternating",
        hypergradient: str = "first-order",
        inner_loss: Any = "cross-entropy",
        margin: float = 1.0,
        inner_steps: int = 1,
        lr: float = 0.1,
        inner_lr: float | None = None,
        betas: Sequence[float] = (0.9, 0.9),
        weight_decay: float = 1e-4,
        epoch_decay: float = 2e-3,
        clip_value: float = 1.0,
        milestones: Sequence[float] = (0.5, 0.75),
        lr_decay: float = 0.1,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        sampling_rate: float | str = 0.5,
        n_members: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        device: str = "auto",
        compile: bool = False,
        precision: str = "float32",
        data_on_device: bool | str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **prefixed: Any,
    ) -> None:
        self.module = module
        self.strategy = strategy
        self.variant = variant
        self.hypergradient = hypergradient
        self.inner_loss = inner_loss
        self.margin = margin
        self.inner_steps = inner_steps
        self.lr = lr
        self.inner_lr = inner_lr
        self.betas = betas
        self.weight_decay = weight_decay
        self.epoch_decay = epoch_decay
        self.clip_value = clip_value
        self.milestones = milestones
        self.lr_decay = lr_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.sampling_rate = sampling_rate
        self.n_members = n_members
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.compile = compile
        self.precision = precision
        self.data_on_device = data_on_device
        self.random_state = random_state
        self.verbose = verbose
        self._store_prefixed(prefixed)

    def fit(self, X: ArrayLike | Dataset[Any], y: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or torch Dataset
            Finite numbers: a table, images of shape (n, channels, height, width), or
            whatever a custom module takes. They become float32; uint8 of more than two axes
            stays so in memory, and reaches the network, batch by batch, as x / 255. A Dataset
            has a length, and yields pairs (x, y) or, if y is passed, x; x as an array or
            a tensor, all of one shape and dtype.
        y : array-like of shape (n,), optional
            Labels of two classes; the second in sorted order is the positive one. Of a
            Dataset they are read before training, in one more pass, unless they are
            passed.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Before training, if a parameter or the data is not as documented.
        DivergenceError
            If a loss or a weight is not finite in training. After any error the
            estimator is as it was.
        """
        with self._all_or_nothing():
            self._check_parameters()
            previous = getattr(self, "net_", None) if self.warm_start else None
            dataset: Any = self._check_fit_data(X, y, reset=previous is None)
            self._rng = _new_rng(self.random_state)
            callbacks: list[Any] = []
            train_split = None
            if self.early_stopping:
                train, valid = self._split(labels_of(dataset))
                train_split = predefined_split(Subset(dataset, valid.tolist()))
                dataset = Subset(dataset, train.tolist())
                stop = EarlyStoppingAUC(self.n_iter_no_change, self.tol)
                callbacks.append(("early_stopping", stop))
            self._train(
                dataset, previous, restart=True, callbacks=callbacks, train_split=train_split
            )
            if self.early_stopping and stop.best_epoch_:
                self.best_score_ = float(stop.best_score_)
        return self

    def partial_fit(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch, at the learning rates that the parameters say.

        Optimizer state and random numbers go on from the last call; milestones and
        early stopping take no part. Feature statistics, bins and landmarks of the default
        network are those of the first call, which had better hold a fair sample: a column
        that is constant in it stays without effect.

        Parameters
        ----------
        X, y
            As in :meth:`fit`; both classes must be present.
        classes : array-like of shape (2,), optional
            The two labels; by default those of the first ``y``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in :meth:`fit`.
        """
        with self._all_or_nothing():
            self._check_parameters()
            previous = getattr(self, "net_", None)
            dataset = self._check_fit_data(X, y, reset=previous is None, classes=classes)
            self._rng = copy.deepcopy(self._rng) if previous else _new_rng(self.random_state)
            self._train(dataset, previous, epochs=1, milestones=())
        return self

    def decision_function(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the logits, less ``offset_``.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit
            The labels that a Dataset may yield are not looked at.

        Returns
        -------
        ndarray of shape (n,), float64
            Larger for ``classes_[1]``; :meth:`predict` cuts at 0.

        Raises
        ------
        ValueError
            If X is not as in fit, or so far out of its range that scores overflow.
        """
        dataset = self._check_new_data(X)
        scores = self.net_.decision_function(dataset)
        scores -= self.offset_
        if not np.isfinite(scores).all():
            rows = np.flatnonzero(~np.isfinite(scores))
            raise ValueError(
                f"the scores of {len(rows)} rows of X overflow, the first in row {rows[0]}: their "
                "values are too far out of the range seen in fit."
            )
        return scores

    def predict_proba(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the sigmoid of :meth:`decision_function` as class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n, 2), float64
            Columns as in ``classes_``; rows sum to 1. Not calibrated.
        """
        return probabilities(self.decision_function(X))

    def predict(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the label with the larger score.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n,)
        """
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]

    def embed(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the features that the network has learnt, the input of its last layer.

        For linear probes, plots and nearest neighbours. They are what the module's method
        ``embed(X)`` returns or, without one, the input of the :class:`torch.nn.Linear`
        that runs last.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n, d), float32

        Raises
        ------
        ValueError
            If X is not as in fit, or the module has neither.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skdam import CompositionalAUCClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CompositionalAUCClassifier(max_epochs=1, module__width=4, random_state=0)
        >>> clf.fit(X.reshape(-1, 1, 8, 8), y == 8).embed(X[:5].reshape(-1, 1, 8, 8)).shape
        (5, 16)
        """
        dataset = self._check_new_data(X)
        return self.net_.embed(dataset)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # what callbacks learn may be on a device, or refer to the optimizer
        return state | {"callbacks": clone(self.callbacks, safe=False)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.three_d_array = self.module is not None
        return tags

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _check_parameters(self) -> None:
        module = self.module
        is_class = isinstance(module, type) and issubclass(module, nn.Module)
        if not (module is None or is_class or isinstance(module, nn.Module)):
            raise TypeError(
                f"module must be an nn.Module subclass, an instance of one or None, got {module!r}."
            )
        self._validate_params()
        # here as well as in the optimizer, which strategies other than the composition set up
        check_composition(self.variant, self.inner_steps, self.hypergradient)
        if isinstance(module, nn.Module) and self._prefixed("module"):
            raise ValueError(
                f"module is an instance, so that {', '.join(self._prefixed('module'))} "
                "(prefixed with module__) cannot be set; pass the class instead."
            )
        for callback in self.callbacks or ():
            kind = callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback
            kind = kind if isinstance(kind, type) else type(kind)
            if not issubclass(kind, Callback):
                raise TypeError(
                    "callbacks must be a list of skorch callbacks, alone or in pairs of a name and "
                    f"a callback; got {callback!r}."
                )
        for prefix, (target, reserved) in _PREFIX_TARGETS.items():
            self._check_prefixed(prefix, target, reserved)

    def _check_prefixed(self, prefix: str, target: Any, reserved: set[str]) -> None:
        accepted = accepted_parameters(target)
        for name in self._prefixed(prefix):
            if name in reserved or (accepted is not None and name not in accepted):
                allowed = sorted((accepted or set()) - reserved)
                raise ValueError(
                    f"{prefix}__{name} is not a parameter of {target.__name__} that can be "
                    f"set; allowed are {', '.join(allowed) or 'none'}."
                )

    def _resolve_module(self, example_shape: tuple[int, ...]) -> type[nn.Module] | nn.Module:
        """Return the module for examples of a shape, and check the parameters for it."""
        module = self.module
        if module is None:
            module = default_module(example_shape)
        if isinstance(module, nn.Module):
            accepted: set[str] | None = set()
        else:
            accepted = accepted_parameters(module)
            reserved = set(_SIZE_PARAMETERS.values()) if self.module is None else set()
            self._check_prefixed("module", module, {"n_members"} | reserved)
        if self.n_members is not None and accepted is not None and "n_members" not in accepted:
            raise ValueError(
                f"n_members={self.n_members!r} needs a module class with a parameter of that "
                f"name, got {module!r}; leave it None."
            )
        return module

    def _check_callback_names(self, net: CompositionalAUCNet) -> None:
        # skorch passes over parameters of callbacks that it does not know
        names = {name for name, _ in net._uniquely_named_callbacks()}
        for parameter in self._prefixed("callbacks"):
            if parameter.partition("__")[0] not in names:
                raise ValueError(
                    f"callbacks__{parameter} names no callback; there are {sorted(names)}."
                )

    def _check_X(self, X: ArrayLike, y: Any = "no_validation", *, reset: bool = False) -> Any:
        if isinstance(X, Tensor):
            X = X.numpy(force=True)
        elif isinstance(X, list | tuple) and X and getattr(X[0], "ndim", 1) > 1:
            X = np.asarray(X)
        is_table = getattr(X, "ndim", 2) == 2
        options: dict[str, Any] = {
            # the first is what other numbers become
            "dtype": np.float32 if is_table else [np.float32, np.uint8],
            "order": "C",
            "allow_nd": True,
            "reset": reset,
        }
        refuse_dates(X)
        try:
            # a float64 too large for float32 becomes infinity, which is an error of its own
            with np.errstate(over="ignore"):
                return validate_data(self, X, y, **options)
        except (TypeError, ValueError) as error:
            columns = unusable_columns(X)
            if not columns:
                raise
            message = f"{error}\nColumns that are not finite numbers: {columns}."
            raise type(error)(message) from error

    def _check_fit_data(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None,
        *,
        reset: bool,
        classes: ArrayLike | None = None,
    ) -> InMemoryDataset | ExampleDataset:
        if isinstance(X, Dataset):
            # reading may be random, and is done again in training
            with forked_rng(resolve_device(self.device)):
                example: Any = first_example(X)
                self._resolve_module(tuple(example.shape))
                labels = self._labels_beside(X, y)
        else:
            data, labels = self._check_X(X, y, reset=reset)
            example = data[0]
            self._resolve_module(example.shape)
        self._check_example(example, reset=reset)
        named = {} if classes is None else {"classes": two_classes(classes)}
        named["y"] = two_classes(labels)
        if reset:
            self.classes_ = next(iter(named.values()))
        for name, values in named.items():
            unknown = set(values) - set(self.classes_)
            if unknown:
                raise ValueError(
                    f"{name} holds {np.sort(list(unknown)).tolist()}, the classes are "
                    f"{self.classes_.tolist()}."
                )
        targets = (labels == self.classes_[1]).astype(np.float32)
        if isinstance(X, Dataset):
            return ExampleDataset(X, targets, (self._example_shape, self._example_dtype))
        return InMemoryDataset(data, targets)

    def _check_new_data(self, X: ArrayLike | Dataset[Any]) -> InMemoryDataset | ExampleDataset:
        check_is_fitted(self)
        if isinstance(X, Dataset):
            example = first_example(X)
            self._check_example(example)
            nothing = np.zeros(len(X), dtype=np.float32)  # type: ignore[arg-type]
            return ExampleDataset(X, nothing, kind_of(example))
        data = self._check_X(X)
        self._check_example(data[0])
        return InMemoryDataset(data)

    def _check_example(self, example: np.ndarray | Tensor, *, reset: bool = False) -> None:
        """Check that examples are as in fit or, to reset, keep what they are like."""
        shape, dtype = kind_of(example)
        if not reset:
            check_examples(shape, dtype, self._example_shape, self._example_dtype)
            return
        self._example_shape, self._example_dtype = shape, dtype
        if isinstance(example, Tensor):
            # of a Dataset: an array has been through scikit-learn's checks, which set these
            self.n_features_in_ = shape[0]
            self.__dict__.pop("feature_names_in_", None)

    def _labels_beside(self, X: Dataset[Any], y: ArrayLike | None) -> np.ndarray:
        """Return the labels of a Dataset, reading it where they were not passed."""
        if y is None:
            return read_labels(X, **self._prefixed("iterator_train"))
        labels = column_or_1d(y)
        if len(labels) != len(X):  # type: ignore[arg-type]
            raise ValueError(
                f"y has {len(labels)} labels, the Dataset has {len(X)} examples."  # type: ignore[arg-type]
            )
        return labels

    def _split(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split indices class by class, so that both parts hold both classes."""
        train, valid = [], []
        for target, label in enumerate(self.classes_.tolist()):
            members = self._rng.permutation(np.flatnonzero(targets == target))
            if len(members) < 2:
                raise ValueError(
                    f"early_stopping needs at least 2 examples of each class, got {len(members)} "
                    f"of {label!r}."
                )
            n_valid = min(max(round(self.validation_fraction * len(members)), 1), len(members) - 1)
            valid.append(members[:n_valid])
            train.append(members[n_valid:])
        return np.sort(np.concatenate(train)), np.sort(np.concatenate(valid))

    def _make_net(
        self,
        dataset: Any,
        *,
        callbacks: Sequence[Any] = (),
        train_split: Any = None,
        milestones: Sequence[float] | None = None,
    ) -> CompositionalAUCNet:
        shape = self._example_shape
        module = self._resolve_module(shape)
        parameters: dict[str, Any] = {
            "criterion__margin": self.margin,
            "criterion__inner_loss": self.inner_loss,
            "iterator_valid__batch_size": inference_batch_size(shape),
            "optimizer__variant": self.variant,
            "optimizer__hypergradient": self.hypergradient,
            "optimizer__inner_steps": self.inner_steps,
            "optimizer__inner_lr": self.inner_lr,
            "optimizer__betas": tuple(self.betas),
            "optimizer__weight_decay": self.weight_decay,
            "optimizer__epoch_decay": self.epoch_decay,
            "optimizer__clip_value": self.clip_value,
        }
        if self.n_members is not None:
            parameters["module__n_members"] = int(self.n_members)
        accepted = accepted_parameters(module) if isinstance(module, type) else set()
        size = _SIZE_PARAMETERS.get(len(shape))
        if size is not None and accepted is not None and size in accepted:
            parameters[f"module__{size}"] = shape[0]
        for prefix in self._prefixes:
            parameters |= {f"{prefix}__{k}": v for k, v in self._prefixed(prefix).items()}
        batch_size, max_epochs = self._training_length(len(dataset))
        bar = [("progress_bar", ProgressBar())] if self.verbose > 1 else []
        return CompositionalAUCNet(
            copy.deepcopy(module),
            strategy=self.strategy,
            sampling_rate=self.sampling_rate,
            milestones=self.milestones if milestones is None else milestones,
            lr_decay=self.lr_decay,
            lr=self.lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            callbacks=[*(self.callbacks or []), *callbacks, *bar],
            train_split=train_split,
            device=resolve_device(self.device),
            compile=self.compile,
            precision=self.precision,
            data_on_device=self.data_on_device,
            verbose=int(self.verbose),
            random_state=int(self._rng.randint(_SEED_BOUND)),
            **parameters,
        )

    def _training_length(self, n: int) -> tuple[int, int]:
        """Return the batch size and the epochs for n examples."""
        batch_size, max_epochs = self.batch_size, self.max_epochs
        if isinstance(batch_size, str):
            least, most_of_table, most = _AUTO_BATCH_SIZES
            is_table = len(self._example_shape) == 1
            most = most_of_table if is_table else most
            batch_size = int(np.clip(n // _BATCHES_OF_MUCH_DATA, least, most))
        if isinstance(max_epochs, str):
            n_batches = -(-n // batch_size)
            max_epochs = max(_LEAST_EPOCHS, -(-_LEAST_BATCHES // n_batches))
        return batch_size, max_epochs

    def _train(
        self,
        dataset: Any,
        previous: CompositionalAUCNet | None,
        *,
        restart: bool = False,
        epochs: int | None = None,
        **parameters: Any,
    ) -> None:
        """Train a new net, from the weights of a previous one if there is one, and keep it."""
        net = self._make_net(dataset, **parameters)
        with forked_rng(net.device, seed=int(self._rng.randint(_SEED_BOUND))):
            net.initialize()
            self._check_callback_names(net)
            if previous is not None:
                net.continue_from(previous, restart=restart)
            elif hasattr(net.module_, "fit_statistics"):
                is_ours = type(net.module_) is TabularMLP
                sample = sample_for_statistics(dataset, copy=not is_ours)
                net.module_.fit_statistics(*sample)
            net.partial_fit(dataset, labels_of(dataset), epochs=epochs)
            offset = _middle_logit(net, dataset)
        net.train_split = None  # it holds the validation data
        self.__dict__.pop("best_score_", None)
        if not np.isfinite(offset):
            raise DivergenceError(
                "the scores of the training data overflow: X has values too large for float32."
            )
        self.offset_ = offset
        self.net_ = net
        self.n_iter_ = len(net.history)
        self.history_ = _history_arrays(net.history)


# scikit-learn sets every name of the signature, and "prefixed" is not a name to set
CompositionalAUCClassifier.__signature__ = inspect.signature(CompositionalAUCClassifier).replace(
    parameters=[
        parameter
        for parameter in inspect.signature(CompositionalAUCClassifier).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
)


def _new_rng(random_state: Any) -> np.random.RandomState:
    # check_random_state(None) is the global generator
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def _middle_logit(net: CompositionalAUCNet, dataset: Any) -> float:
    targets = labels_of(dataset)
    means = []
    for target in (0, 1):
        members = np.flatnonzero(targets == target)
        members = members[:: -(-len(members) // _OFFSET_ROWS)]
        means.append(expit(net.decision_function(Subset(dataset, members.tolist()))).mean())
    tiny = np.finfo(np.float64).eps
    return float(logit(np.clip(np.mean(means), tiny, 1 - tiny)))


def _history_arrays(history: Iterable[dict[str, Any]]) -> dict[str, np.ndarray]:
    rows = list(history)
    names = {name: None for row in rows for name, value in row.items() if np.isscalar(value)}
    return {
        name: np.array([row.get(name, np.nan) for row in rows])
        for name in names
        if not name.endswith(("_best", "_batch_count"))
    }

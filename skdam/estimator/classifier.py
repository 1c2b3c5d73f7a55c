"""The classifier: its parameters, ``fit`` as a straight line, and what predicts."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.utils.data import Dataset

from skdam._history import by_name
from skdam._stamp import checked, stamped
from skdam._threads import settle_torch_threads
from skdam.callbacks import ProgressBar
from skdam.data.batches import sample_for_statistics
from skdam.data.examples import labels_of
from skdam.data.memory import is_in_memory, rows_in_memory, to_array
from skdam.estimator.decision import (
    Calibration,
    Decision,
    labels_of_scores,
    log_probabilities,
)
from skdam.estimator.defaults import network_size, network_size_of, takes_gaps
from skdam.estimator.inputs import InputSpec, as_dataset
from skdam.estimator.interrupts import interrupts_raised
from skdam.estimator.labels import as_labels, dataset_labels, encode_labels
from skdam.estimator.learnt import NOT_ALWAYS_LEARNT, learnt_by
from skdam.estimator.parameters import (
    CONSTRAINTS,
    OTHER_NAMES,
    PREFIXES,
    check_callback_names,
    check_parameters,
    net_parameters,
    python_number,
)
from skdam.estimator.prefixed import PrefixedParametersMixin, of_prefix
from skdam.estimator.reading import ReadingMixin
from skdam.estimator.resources import generators_for, threads_for
from skdam.estimator.resuming import checkpoint_of, facts_of_data
from skdam.estimator.sklearn_callbacks import SklearnCallbacksMixin, with_callbacks
from skdam.estimator.stopping import stop_callbacks
from skdam.losses.inner import InnerLoss, InnerLossName
from skdam.optim.options import Hypergradient, Variant
from skdam.training.checkpoint import Checkpoint
from skdam.training.culprit import not_finite
from skdam.training.net import CompositionalAUCNet, Precision, Strategy
from skdam.training.scoring import probabilities

_SEED_BOUND = np.iinfo(np.int32).max


class CompositionalAUCClassifier(
    ReadingMixin, PrefixedParametersMixin, SklearnCallbacksMixin, ClassifierMixin, BaseEstimator
):
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
        The network. It takes a float32 batch of X and returns one logit for each example, of
        shape (n,) or (n, 1). None is :class:`~skdam.TabularMLP` for tables (2-D X) and
        :class:`~skdam.ResNet20` for images (4-D X). A class is built with the
        ``module__...`` parameters, and with ``n_features`` and ``n_categories`` (2-D X) or
        ``in_channels`` (4-D X) if it has a parameter of that name. An instance is copied,
        including its weights. If the module has a method ``fit_statistics(X, y)``, it is called
        once before the first training, with the whole table or with a sample of other data.
        An ensemble has an attribute ``n_members`` above 1 and returns logits of shape
        (n, n_members). Its method ``vote`` turns them into scores of shape (n,); without
        that method, the score is the logit of the mean probability.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns of a table are categories, for the default network. "from_dtype": the
        columns of a frame that hold categories, strings or booleans, and those of objects that
        are not all numbers. An array-like is a mask of shape (n_features,), or holds indices or
        names of columns; all other columns must then hold numbers. None means no column.
    strategy : {"compositional", "two-stage", "auc", "cross-entropy"}, default="compositional"
        What is minimised, in this order: the composition of both losses; the inner loss for half
        of the epochs, then the AUC loss; only the AUC loss; only the inner loss. The last three
        ignore ``variant``, ``hypergradient`` and ``inner_steps``.
    variant : {"alternating", "lookahead"}, default="alternating"
        "alternating" uses each batch for one of the two losses; "lookahead" evaluates both
        on each batch, at twice the cost.
    hypergradient : {"first-order", "exact"}, default="first-order"
        "first-order" leaves out the Hessian of the inner loss, "exact" keeps it; the latter is
        for ``variant="lookahead"`` only.
    inner_loss : {"cross-entropy", "focal"} or callable, default="cross-entropy"
        Loss of the inner step. A callable maps ``(logits, targets)``, two tensors of shape (n,) or,
        for an ensemble, (n, n_members), to the element-wise loss, of the same shape.
    margin : float, default=1.0
        Target distance between the mean scores of the classes, > 0.
    inner_steps : int, default=1
        Consecutive batches for each loss, >= 1; must be 1 for ``variant="lookahead"``.
    lr : float or "auto", default="auto"
        Learning rate of the outer step, > 0. "auto", here and below, depends on the network;
        see Notes.
    inner_lr : float or None, default=None
        Learning rate of all steps on the inner loss, > 0, also with ``strategy="two-stage"`` and
        "cross-entropy". None means ``lr``, except for :class:`~skdam.TabularMLP` with the
        lookahead variant of the composition, where it means 0.1.
    betas : pair of float or "auto", default="auto"
        Weight of the newest value in the moving averages of inner points and of outer
        gradients, in (0, 1].
    weight_decay : float or "auto", default="auto"
        Penalty on the weights, >= 0: L2 or, in AdamW-type steps, decoupled decay.
    epoch_decay : float or "auto", default="auto"
        L2 penalty on the distance to the average weights of the last stage, >= 0.
    clip_value : float or "auto", default="auto"
        Largest absolute value of an element of a gradient, > 0; larger ones are clipped. ``inf``
        means no clipping.
    milestones : sequence of float or "auto", default="auto"
        Fractions of ``max_epochs``, in (0, 1), after which both learning rates decay.
    lr_decay : float, default=0.1
        Factor of the learning rates at a milestone, in (0, 1].
    max_epochs : int or "auto", default="auto"
        Passes over the data, >= 1. Early stopping may end training sooner.
    batch_size : int or "auto", default="auto"
        Examples in a batch, >= 2. If it is larger than the data, a batch has as many examples as
        the data.
    sampling_rate : float or "auto", default="auto"
        Share of positives in a training batch, in (0, 1). "auto" is 1/2. For the default network
        for tables, with 20,000 rows or more, it is such that the share of the rarer class is
        sqrt(1/2 * its share in the data), which is less than 1/2, so that its rows are repeated
        less often. A model that is trained further keeps the share of its first training.
    n_members : int or None, default=None
        Members of the ensemble, >= 1, for a module class with a parameter of that name.
        None means the default of the module: 8 for :class:`~skdam.TabularMLP`;
        :class:`~skdam.ResNet20` is a single network and has no such parameter.
    cross_fit : bool, default=True
        Whether each member of :class:`~skdam.TabularMLP` leaves out a fold of the rows. Then each
        row has an out-of-bag score, by the member that was not trained on it. These scores decide
        when training stops, calibrate probabilities, and let a kernel machine join the vote. Equal
        rows share a fold, and so do rows of one group (``groups`` in :meth:`fit`). This needs an
        ensemble, data in memory, and two different rows or groups of each class; otherwise, and in
        :meth:`partial_fit`, members are trained on all rows.
    calibration : {"auto", "sigmoid", "isotonic"} or None, default="auto"
        How scores become probabilities; the ranking stays the same. "sigmoid" and "isotonic" are
        fitted to the out-of-bag scores, and need ``cross_fit``. "auto" is "sigmoid" if there are
        such scores, and None otherwise. None only corrects the logits for ``sampling_rate``.
    class_weight : dict, "balanced" or None, default=None
        Weights by which the odds of the classes are multiplied. Unlike in other estimators, they
        change only probabilities and labels, neither training nor the ranking and its ROC AUC. A
        dict maps labels to weights > 0; a label that is missing has weight 1. "balanced" weights
        classes inversely to their frequencies, so that :meth:`predict` aims at balanced accuracy.
    early_stopping : bool or "auto", default="auto"
        Whether to stop when a ROC AUC stalls, and keep the weights of the best epoch. "auto" uses
        ``X_val`` of :meth:`fit` or, without it, the out-of-bag scores, if there are any and each
        class has at least 10 examples; otherwise it trains for all epochs. True uses ``X_val`` or,
        without it, a stratified part of the data that is set aside. False trains for all epochs.
    validation_fraction : float, default=0.1
        Share of the data that ``early_stopping=True`` sets aside, in (0, 1); at least one example
        of each class.
    n_iter_no_change : int or "auto", default="auto"
        Checks without an improvement of ``tol`` before training stops, >= 1. "auto" is 10 for
        validation data and 4 for out-of-bag scores. A check comes at the end of an epoch, once 25
        batches have passed since the last one, and at the end of training; epochs in between are
        not scored. For out-of-bag scores, a tenth of the batches up to the last check must have
        passed as well, and a check takes the mean of the last three scores.
    tol : float, default=1e-4
        Smallest increase of the ROC AUC that counts as an improvement, >= 0.
    warm_start : bool, default=False
        Whether ``fit`` continues from the weights of the last fit. The schedule of learning
        rates starts again. Folds follow from the rows: with other rows, groups or labels than in
        the last fit, or after :meth:`partial_fit`, members have seen rows of their folds. In this
        case, and in each warm start after it, there is no cross-fitting.
    callbacks : list of skorch callbacks or None, default=None
        Called as in skorch, with the net as first argument. A saved model holds them as
        they were passed, without their fitted state. Callbacks of scikit-learn are set with
        ``set_callbacks`` instead.
    checkpoint : str, path-like or None, default=None
        File that keeps the state of :meth:`fit`. If the fit is stopped, even by a kill, the same
        call resumes from there and ends with the same model, bit for bit. The file is written at
        the start of each epoch and, for data in memory, each minute within long epochs; a fit that
        ends removes it. Other parameters or other data than those of the file are an error.
        ``verbose`` and ``n_jobs`` may differ, and so may ``max_epochs``, if that does not change
        the epochs that have been trained. A path that is a folder, or that ends with a separator,
        holds a file for each fit, as a search needs. Callbacks keep their state if they have
        ``state_dict`` and ``load_state_dict``. :meth:`partial_fit` ignores it.
    device : str, default="auto"
        "cpu", "cuda", "cuda:<index>" or "auto", which is CUDA if present and otherwise the CPU.
    compile : bool, default=False
        Whether to compile training with :func:`torch.compile`. This takes seconds to a minute
        before the first epoch, so it pays off for long training. The model is the same up to
        rounding, but dropout draws other random numbers in a custom module or on CUDA. If
        compilation fails, for example without a C++ compiler, a warning says so and training
        is not compiled; nor is it where examples have weights or members are cross-fitted. Not
        available for ``hypergradient="exact"``.
    precision : {"float32", "bfloat16"}, default="float32"
        Number format of matrix products and convolutions in training; "bfloat16" is faster on
        hardware that supports it. Weights, losses and predictions are float32.
    data_on_device : bool or "auto", default="auto"
        Whether training data in memory is copied to the device as a whole instead of batch by
        batch. "auto" does so on CUDA if the data takes at most half of the free memory.
    n_jobs : int or None, default=None
        Threads of torch on the CPU in ``fit`` and in prediction, >= 1, or -1 for as many as torch
        has. None estimates the work of a batch as ``batch_size`` times the parameters of the
        network and, for images, times an eighth of the pixels. It takes one thread for each 2**28
        of that, and at least one; with less work, threads would mostly wait for each other. The
        number is never more than ``torch.get_num_threads()``, which joblib lowers in its processes,
        and is restored at the end. It has no effect on CUDA.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches, dropout and the validation split. The same int
        gives the same model, bit for bit, on the same CPU with the same number of threads.
        None draws a fresh seed.
    verbose : int, default=0
        1 prints a line for each epoch and, at the end, why training ended and which weights early
        stopping keeps; 2 also shows one progress bar of the whole training. It does not change the
        model.
    **prefixed
        Parameters of the parts, as in skorch: ``module__``, ``criterion__``
        (:class:`~skdam.CompositionalAUCLoss`), ``optimizer__`` (:class:`~skdam.PDSCA`),
        ``iterator_train__`` and ``iterator_valid__``
        (:class:`torch.utils.data.DataLoader`), ``compile__`` (:func:`torch.compile`;
        ``compile__mode="reduce-overhead"`` for CUDA graphs) and ``callbacks__``.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels, sorted. The second is the positive class, with the larger scores.
    n_features_in_ : int
        Length of the second axis of X: columns of a table, channels of images.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X has names that are all strings.
    net_ : CompositionalAUCNet
        The trained skorch net; ``net_.module_`` is the network.
    history_ : dict of ndarray of shape (n_iter,)
        A value for each epoch: ``inner_loss``, ``outer_loss``, ``oob_roc_auc``,
        ``valid_roc_auc``, ``lr``, ``dur`` (seconds) and more; NaN in epochs without that value.
        Both ROC AUCs are of the perceptrons, as the kernel machine joins after training.
    n_iter_ : int
        Epochs trained.
    offset_ : float
        The logit of the network at which both classes have probability 1/2.
    best_score_ : float
        Validation or out-of-bag ROC AUC of the best epoch, if training could stop early. An
        out-of-bag one is a mean over three checks, and optimistic, as it is the best of many.
    best_epoch_ : int
        That epoch, counted from 1; its weights are kept.
    oob_decision_function_ : ndarray of shape (n,), float64
        Out-of-bag score of each training row, if members were cross-fitted, on the scale of
        :meth:`decision_function`. Rows of weight 0 and those set aside for validation are left out.
    oob_score_ : float
        ROC AUC of ``oob_decision_function_``, weighted by ``sample_weight``.

    Notes
    -----
    "auto" by network; ``n`` is the number of training examples:

    ================  ===========================  =================================
    parameter         TabularMLP                   other networks
    ================  ===========================  =================================
    steps             AdamW-type                   SGD-type
    ``lr``            1e-3 * sqrt(batch / 128)     0.1; ResNet20: 0.3, see below
    ``betas``         (1, 0.1)                     (0.9, 0.9)
    ``weight_decay``  0.03                         1e-4; ResNet20: 5e-4
    ``epoch_decay``   0                            2e-3; ResNet20: 0
    ``clip_value``    inf                          1
    ``milestones``    ()                           (0.5, 0.75)
    ``batch_size``    n / 96 in [128, 1024]        n / 128 in [64, 1024], or in
                                                   [64, 128] where X is no table
    ``max_epochs``    8, or more if these have     20, or more if these have
                      fewer than 3600 batches      fewer than 300 batches
    ================  ===========================  =================================

    ``lr`` and ``max_epochs`` follow from ``batch_size``, whether it is given or automatic, but not
    from ``iterator_train__batch_size``: with that, they are those of the automatic one. The 3600
    batches, 1200 from 20,000 rows on, are an upper limit: if nothing stops training early, they are
    400. Above 1,000 columns, where a step takes long, all of these numbers are multiplied by 1,000
    and divided by the number of columns, but are at least 300.

    For ResNet20 given as a class, ``lr`` is 0.3 for the alternating composition and 0.1 for all
    else. An instance may have learnt weights, and is trained as any other network.

    For TabularMLP other defaults of the parts differ as well: ``optimizer__adaptive=True``,
    ``criterion__saddle="batch"`` and, except for ``variant="lookahead"``,
    ``optimizer__averaging=0.98``. ``criterion__version="v1"`` or ``criterion__prior`` select the
    form of the loss that has them, ``criterion__saddle="running"``.

    The calibration is learnt from scores of single members, and new rows get those of all members;
    the difference is small. Without out-of-bag scores there is no calibration, and the scores are
    trained to rank only: wrap the classifier in
    :class:`~sklearn.calibration.CalibratedClassifierCV` if probabilities matter. For a metric of
    labels, wrap it in
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV`.

    A pickle holds the parameters and the state dicts of network, loss and optimizer. Loading
    it builds the network from its class. So a custom module has to keep all that it learns in
    parameters and persistent buffers. :meth:`trim_for_prediction` makes it several times smaller.

    Take care with whom you share a model of confidential data: the default network for tables holds
    up to 512 training rows, and values and categories that occur in the columns. The page
    on saving and loading models says what a file reveals. ``module__n_landmarks=0`` leaves the
    rows out.

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

    _prefixes = PREFIXES
    _other_names: ClassVar[dict[str, str]] = OTHER_NAMES
    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS

    _decision: Decision
    # of all data since the first call of partial_fit or since the last fit
    _class_totals: np.ndarray | float = 0.0
    # the "?" of the HTML representation
    _doc_link_module = "skdam"
    _doc_link_template = (
        "https://skdam.readthedocs.io/en/stable/generated/{estimator_module}.{estimator_name}.html"
    )

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | None = None,
        *,
        categorical_features: ArrayLike | Literal["from_dtype"] | None = "from_dtype",
        strategy: Strategy = "compositional",
        variant: Variant = "alternating",
        hypergradient: Hypergradient = "first-order",
        inner_loss: InnerLossName | InnerLoss = "cross-entropy",
        margin: float = 1.0,
        inner_steps: int = 1,
        lr: float | Literal["auto"] = "auto",
        inner_lr: float | None = None,
        betas: Sequence[float] | Literal["auto"] = "auto",
        weight_decay: float | Literal["auto"] = "auto",
        epoch_decay: float | Literal["auto"] = "auto",
        clip_value: float | Literal["auto"] = "auto",
        milestones: Sequence[float] | Literal["auto"] = "auto",
        lr_decay: float = 0.1,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        sampling_rate: float | Literal["auto"] = "auto",
        n_members: int | None = None,
        cross_fit: bool = True,
        calibration: Calibration | None = "auto",
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | Literal["auto"] = "auto",
        tol: float = 1e-4,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str = "auto",
        compile: bool = False,
        precision: Precision = "float32",
        data_on_device: bool | Literal["auto"] = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **prefixed: Any,
    ) -> None:
        self.module = module
        self.categorical_features = categorical_features
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
        self.cross_fit = cross_fit
        self.calibration = calibration
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device
        self.compile = compile
        self.precision = precision
        self.data_on_device = data_on_device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._store_prefixed(prefixed)

    @with_callbacks
    def fit(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | Dataset[Any] | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), DataFrame, or torch Dataset
            A table, images of shape (n, channels, height, width), or whatever a custom module
            takes. Numbers become float32; uint8 of more than two axes stays uint8 in memory, and
            reaches the network, batch by batch, as x / 255. A Dataset has a length, and yields
            pairs (x, y) or, if y is passed, only x. Each x is an array or a tensor, all of one
            shape and dtype.

            The default network takes frames of pandas, polars and pyarrow as they are, with
            numbers, categories, strings, booleans and missing values, or gaps (NaN, None, NA).
            ``categorical_features`` says what is a category. Later data must have the columns
            of fit, each with values of the same kind, in any dtype; a category that fit has not
            seen is a gap. Infinite values, dates, durations and nested values are refused. A
            custom module takes finite numbers only, unless it has an attribute
            ``takes_gaps = True``; then it gets NaN for gaps, and codes 0 to K - 1 for categories.
            Its parameter ``n_categories`` holds K for each column, 0 for numbers. For the default
            network and modules with ``takes_gaps``, columns of numbers that are close to one
            another and far from 0, such as times in seconds, are shifted before they become
            float32, so that they keep their digits. For other modules, and in a Dataset, subtract
            the minimum first.
        y : array-like of shape (n,), optional
            Labels of two classes; the second in sorted order is the positive one. Unless they are
            passed, the labels of a Dataset are read before training, in one more pass.
        sample_weight : array-like of shape (n,), optional
            Weights >= 0 of the examples; equal by default. They apply to both losses within each
            batch, to the statistics and the kernel machine of the default network, to the
            calibration and to the out-of-bag ROC AUC, but not to how often an example is drawn.
            Their scale has no effect. An example of weight 0, or of less than 1e-12 of the largest,
            counts as absent, once it has been read.
        groups : array-like of shape (n,), optional
            Which examples belong together, such as those of one patient. They share a fold of
            cross-fitting, so that out-of-bag scores are by a member that has not seen the group.
            Refused where there can be no cross-fitting; see ``cross_fit``.
        X_val : array-like of shape (n_val, n_features) or (n_val, ...), or Dataset, optional
            Validation data of the same form as X, which is not trained on. Its ``valid_roc_auc``
            and its ``valid_loss``, a mean over the batches of scoring, are in ``history_``, and
            ``early_stopping`` says whether it stops training. In a search such as
            :class:`~sklearn.model_selection.GridSearchCV`, scikit-learn splits an argument of
            ``fit`` like X if it is as long as X. So there X_val must not be as long as X. A
            Pipeline does not transform X_val, unless it is named in its ``transform_input``.
        y_val : array-like of shape (n_val,), optional
            Labels of X_val, of both classes. Those of a Dataset of pairs are read if it is
            missing.
        sample_weight_val : array-like of shape (n_val,), optional
            Weights >= 0 in the validation scores; equal by default. An example of weight 0
            counts as absent.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Before training, if a parameter or the data is not as documented.
        DivergenceError
            If a loss or a weight is not finite in training.
        OSError
            If the file of ``checkpoint`` cannot be written, for example because the disk is full.
            The last file stays.
        KeyboardInterrupt
            At Ctrl-C. After this or any other error the estimator is as it was before.
        """
        # a fit that fails goes back to here, and its callbacks are torn down by this context
        context = self._init_callback_context(max_subtasks=None)
        with self._all_or_nothing():
            self._check_parameters()
            previous = self._trained_net() if self.warm_start else None
            module, dataset = self._read(
                X, y, sample_weight, reset=previous is None, groups=groups, cross_fit=self.cross_fit
            )
            given = self._read_validation(X_val, y_val, sample_weight_val)
            checkpoint = self._checkpoint_of(dataset, given, previous)
            self._rng = _new_rng(self.random_state)
            if checkpoint is not None and self.random_state is None:
                self._rng = _new_rng(checkpoint.identity["seed"])
            train, valid = self._split(dataset, given)
            net = self._make_net(module, train, valid, previous=previous)
            with self._telling_callbacks(context, net, train, X, y, sample_weight):
                self._train(net, train, previous, valid=valid, restart=True, checkpoint=checkpoint)
            if checkpoint is not None:
                checkpoint.remove()
        return self

    def partial_fit(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch, at the learning rates of the parameters.

        Optimizer state and random numbers continue from the last call. Milestones and early
        stopping have no effect, and there is no cross-fitting. The default network learns feature
        statistics and bins in the first call, so the data of this call should be representative: a
        column that is constant there is ignored for good, and a category that is new later counts
        as a gap. Probabilities follow the shares of the classes in the data of all calls.

        Parameters
        ----------
        X, y
            As in :meth:`fit`. Both classes must be present in each call.
        classes : array-like of shape (2,), optional
            The two labels; by default those of the first ``y``.
        sample_weight : array-like of shape (n,), optional
            As in :meth:`fit`.

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
            previous = self._trained_net()
            module, dataset = self._read(
                X, y, sample_weight, reset=previous is None, classes=classes
            )
            self._rng = (
                copy.deepcopy(self._rng) if previous is not None else _new_rng(self.random_state)
            )
            net = self._make_net(module, dataset, previous=previous, milestones=())
            self._train(net, dataset, previous, epochs=1)
        return self

    @property
    def history_(self) -> dict[str, np.ndarray]:
        """What training recorded, an array for each name with a value for each epoch."""
        # made when asked for: each call of partial_fit would make all of it anew
        return by_name(self.net_.history.to_list())

    def decision_function(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the scores: the log-odds of ``classes_[1]``.

        They are an increasing function of the logits of the network, learnt as ``calibration``
        says, and 0 where the logit is ``offset_``.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit
            Labels that a Dataset yields are ignored.

        Returns
        -------
        ndarray of shape (n,), float64
            Positive where :meth:`predict` returns ``classes_[1]``.

        Raises
        ------
        ValueError
            If X differs from X in fit in its columns, their kinds, its shape or kind of numbers,
            if it is infinite or has gaps that the module does not take, in an example of a
            Dataset too, or if its values are so large that scores overflow.
        TypeError
            If X is a Dataset whose items hold no array or tensor of real numbers.
        NotFittedError
            Before :meth:`fit`; this is a ValueError too.
        """
        dataset = self._read_new(X)
        with self._threads(self.net_):
            logits = self.net_.decision_function(dataset)
        wrong = np.flatnonzero(~np.isfinite(logits))
        if len(wrong) and (culprit := not_finite(self.net_, dataset, int(wrong[0]))):
            raise ValueError(f"{culprit}.")
        return self._decision.scores(logits)

    def predict_proba(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return class probabilities, the sigmoid of :meth:`decision_function`.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n, 2), float64
            Columns as in ``classes_``; rows sum to 1. ``calibration`` says how they are
            calibrated, and ``class_weight`` moves them.

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As in :meth:`decision_function`.
        """
        return probabilities(self.decision_function(X))

    def predict_log_proba(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the log-probabilities, accurate even where the probabilities round to 0 or 1.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n, 2), float64
            Columns as in ``classes_``.

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As in :meth:`decision_function`.
        """
        return log_probabilities(self.decision_function(X))

    def predict(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the labels: ``classes_[1]`` where its probability is above 1/2.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n,), dtype of ``classes_``

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As in :meth:`decision_function`.
        """
        return labels_of_scores(self.decision_function(X), self.classes_)

    def score(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the ROC AUC of :meth:`decision_function`.

        A search over parameters without ``scoring`` maximises it.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit
        y : array-like of shape (n,), optional
            Labels, of both classes. Those of a Dataset of pairs are read if y is missing.
        sample_weight : array-like of shape (n,), optional
            Weights of the examples; equal by default.

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As in :meth:`decision_function`; a ValueError, too, if y does not hold both classes.
        """
        check_is_fitted(self)
        X = as_dataset(X)
        if isinstance(X, Dataset):
            y = dataset_labels(X, y, **of_prefix(self.get_params(deep=False), "iterator_valid"))
        elif y is None:
            raise ValueError("score needs y, the labels of X, unless X is a Dataset of pairs.")
        _, targets = encode_labels(column_or_1d(as_labels(y)), known=self.classes_)
        scores = self.decision_function(X)
        if isinstance(sample_weight, Tensor):
            sample_weight = to_array(sample_weight, "sample_weight")
        return float(roc_auc_score(targets, scores, sample_weight=sample_weight))

    def embed(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the learnt features, the input of the last layer of the network.

        Useful for linear probes, plots and nearest neighbours. They are what the module's
        method ``embed(X)`` returns or, without that method, the input of the
        :class:`torch.nn.Linear` that runs last.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, ...), or Dataset, as in fit

        Returns
        -------
        ndarray of shape (n, d), float32

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As in :meth:`decision_function`; a ValueError, too, if the module has neither.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skdam import CompositionalAUCClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CompositionalAUCClassifier(max_epochs=1, module__width=4, random_state=0)
        >>> clf.fit(X.reshape(-1, 1, 8, 8), y == 8).embed(X[:5].reshape(-1, 1, 8, 8)).shape
        (5, 16)
        """
        dataset = self._read_new(X)
        with self._threads(self.net_):
            return self.net_.embed(dataset)

    def trim_for_prediction(self) -> Self:
        """Drop what only training needs, which is most of a model.

        This is the state of the optimizer, which holds several numbers for each weight, and
        ``oob_decision_function_``, the scores of single training rows. All predictions,
        ``history_`` and ``oob_score_`` stay the same. This cannot be undone: to keep the model as
        it is, trim a ``copy.deepcopy``. skorch has a method of the same name.

        After this, :meth:`partial_fit`, and :meth:`fit` with ``warm_start``, raise a ValueError.
        :meth:`fit` without it trains a new model.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.

        Examples
        --------
        >>> import pickle
        >>> from sklearn.datasets import make_classification
        >>> from skdam import CompositionalAUCClassifier
        >>> X, y = make_classification(weights=[0.8], random_state=0)
        >>> clf = CompositionalAUCClassifier(max_epochs=2, random_state=0).fit(X, y)
        >>> size = len(pickle.dumps(clf))
        >>> len(pickle.dumps(clf.trim_for_prediction())) < size / 2
        True
        """
        check_is_fitted(self)
        self.net_.trim_for_prediction()
        for name in ("oob_decision_function_", "_fingerprint", "_rng"):
            self.__dict__.pop(name, None)
        return self

    def _trained_net(self) -> CompositionalAUCNet | None:
        """Return the net of the last fit, to train it further; None before the first fit."""
        net = getattr(self, "net_", None)
        if net is not None and net.optimizer_ is None:
            raise ValueError(
                "this model was trimmed for prediction, so partial_fit and warm_start cannot train "
                "it further. Use the model as it was before, or fit with warm_start=False."
            )
        return net

    @stamped
    def __getstate__(self) -> dict[str, Any]:
        # the fitted state of callbacks may be on a device, or refer to the optimizer
        state = super().__getstate__() | {"callbacks": clone(self.callbacks, safe=False)}
        # as plain values, skops does not have to trust these types
        for name in ("_input_spec", "_decision"):
            if name in state:
                state[name] = astuple(state[name])
        return state

    @checked
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_input_spec" in state:
            self._input_spec = InputSpec.restored(state["_input_spec"])
        if "_decision" in state:
            self._decision = Decision(*state["_decision"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.three_d_array = self.module is not None
        tags.input_tags.allow_nan = takes_gaps(self.module)
        return tags

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore the attributes if anything raises, an interrupt included.

        Gradients are on within, though the caller may have switched them off.
        """
        # before anything else of torch: another fit may have set its number for this thread too
        settle_torch_threads()
        before = dict(vars(self))
        seed = self.random_state
        generator = seed if isinstance(seed, np.random.RandomState) else None
        drawn = None if generator is None else generator.get_state()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        except BaseException:
            self.__dict__ = before
            if generator is not None and drawn is not None:
                generator.set_state(drawn)
            raise

    def _check_parameters(self) -> None:
        self._validate_params()
        check_parameters(self.get_params(deep=False))

    def _checkpoint_of(self, dataset: Any, given: Any, previous: Any) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        data = facts_of_data(self._input_spec, self.classes_, dataset, given)
        return checkpoint_of(self.get_params(deep=False), data, previous)

    def _make_net(
        self,
        module: type[nn.Module] | nn.Module,
        train: Any,
        valid: Any = None,
        *,
        previous: CompositionalAUCNet | None,
        **changes: Any,
    ) -> CompositionalAUCNet:
        """Return a net with the parameters of the estimator, updated with ``changes``.

        What the data chose of the network stays as in the previous net, if given.
        """
        given = {name: python_number(value) for name, value in self.get_params(deep=False).items()}
        parameters = given | changes
        patience = (parameters["n_iter_no_change"], parameters["tol"])
        scores, stops = stop_callbacks(train, valid, self.early_stopping, *patience)
        # those of the user may log the scores, also those of the epoch that is the last one
        callbacks = [*scores, *(self.callbacks or ()), *stops]
        if self.verbose > 1:
            callbacks.append(("progress_bar", ProgressBar()))
        spec = self._input_spec
        if previous is None:
            # only of tables: the rows of a Subset are copied
            is_table = len(spec.shape) == 1 and is_in_memory(train)
            X = rows_in_memory(train)[0].numpy() if is_table else None
            sizes = network_size(module, X, len(train), spec.shape[0])
        else:
            sizes = network_size_of(module, previous.get_params_for("module"))
            if parameters["sampling_rate"] == "auto":
                # another share would move the logits that have been learnt
                parameters["sampling_rate"] = previous.sampling_rate
        return CompositionalAUCNet(
            copy.deepcopy(module),
            callbacks=callbacks,
            train_split=None if valid is None else predefined_split(valid),
            random_state=int(self._rng.randint(_SEED_BOUND)),
            **net_parameters(
                parameters,
                module,
                spec.shape,
                labels_of(train),
                spec.table.n_categories,
                sizes,
                stops=bool(stops),
            ),
        )

    def _train(
        self,
        net: CompositionalAUCNet,
        dataset: Any,
        previous: CompositionalAUCNet | None,
        *,
        valid: Any = None,
        restart: bool = False,
        epochs: int | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Train the net, from the state of the previous one if given, and set the attributes."""
        seed = int(self._rng.randint(_SEED_BOUND))
        parameters = self.get_params(deep=False)
        with generators_for(net, (dataset, valid), parameters, seed):
            net.initialize()
            check_callback_names(parameters, net)
            with self._threads(net):
                net.checkpoint_ = checkpoint
                if checkpoint is not None and not checkpoint.is_new:
                    epochs = checkpoint.resume(net)
                elif previous is not None:
                    net.continue_from(previous, restart=restart)
                elif hasattr(net.module_, "fit_statistics"):
                    # the default network does not write to its input
                    sample = sample_for_statistics(dataset, copy=self.module is not None)
                    net.module_.fit_statistics(*sample)
                with interrupts_raised():
                    net.partial_fit(dataset, labels_of(dataset), epochs=epochs)
                learnt = self._learnt(net, dataset, 0.0 if restart else self._class_totals)
        net.train_split = None  # drops the validation data
        for name in NOT_ALWAYS_LEARNT:
            self.__dict__.pop(name, None)
        self.__dict__.update(learnt)

    def _learnt(
        self, net: CompositionalAUCNet, dataset: Any, earlier: np.ndarray | float = 0.0
    ) -> dict[str, Any]:
        return learnt_by(net, dataset, self.classes_, self.calibration, self.class_weight, earlier)

    def _threads(self, net: CompositionalAUCNet) -> AbstractContextManager[None]:
        return threads_for(net, self._input_spec.shape, self.n_jobs)


def fitted_parts(clf: CompositionalAUCClassifier) -> tuple[InputSpec, nn.Module, Decision]:
    """Return what an example passes in a prediction: reading, network and decision.

    Raises
    ------
    NotFittedError
        If there was no fit.
    """
    check_is_fitted(clf)
    return clf._input_spec, clf.net_.module_, clf._decision


def _new_rng(random_state: Any) -> np.random.RandomState:
    # check_random_state(None) is the global generator
    return np.random.RandomState() if random_state is None else check_random_state(random_state)

"""The skorch net that joins module, loss, optimizer and sampler."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import torch
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.dataset import get_len
from skorch.exceptions import SkorchTrainingImpossibleError
from skorch.hf import AccelerateMixin
from skorch.utils import to_numpy, to_tensor
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler

from skdam._device import present_device
from skdam._generators import own_generator, redirected_draws
from skdam._stamp import checked, stamped
from skdam.callbacks import EarlyStoppingAUC, PrintLog, StageSchedule, validation_is_due
from skdam.data.batches import CollatedExamples, consecutive_batches, keep_batch, scaled, take
from skdam.data.examples import LabelledDataset, labelled, labels_of, yields_batches
from skdam.data.memory import InMemoryDataset
from skdam.data.sampling import StratifiedBatchSampler
from skdam.losses.compositional import CompositionalAUCLoss
from skdam.optim.pdsca import PDSCA
from skdam.training import state
from skdam.training.checkpoint import Checkpoint
from skdam.training.contract import check_module
from skdam.training.epoch import ValidationScores, needs_no_loader, train_epoch
from skdam.training.gradients import choose
from skdam.training.observers import is_observed
from skdam.training.scoring import (
    decision_of,
    embedding_of,
    evaluate,
    n_members_of,
    padded,
    probabilities,
)
from skdam.training.step import Step

Strategy = Literal["compositional", "two-stage", "auc", "cross-entropy"]
Precision = Literal["float32", "bfloat16"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# parameters that the optimizer keeps in itself and not in its groups
_SHAPING = {
    "strategy",
    "optimizer__variant",
    "optimizer__inner_steps",
    "optimizer__hypergradient",
    "optimizer__adaptive",
    "optimizer__averaging",
    "optimizer__pretraining",
}


_RATES = {"lr", "optimizer__lr", "optimizer__inner_lr"}


class CompositionalAUCNet(ClassifierMixin, NeuralNet):
    """skorch net that trains a binary classifier for ROC AUC.

    For users of skorch; :class:`~skdam.CompositionalAUCClassifier` is the interface
    for users of scikit-learn. Everything that :class:`skorch.NeuralNet` accepts is
    accepted, including prefixed parameters (``optimizer__inner_lr=0.05``,
    ``criterion__version="v1"``, ``iterator_train__num_workers=2``). The history has a
    row for each epoch, with ``inner_loss`` and ``outer_loss`` where the strategy has them
    and, when ``train_split`` is set, ``valid_loss`` and ``valid_roc_auc``.

    Outside the batches of training the module holds the weights that predict (for
    ``optimizer__variant="lookahead"`` the inner point, with ``optimizer__averaging`` the
    average), so that callbacks score and save what the user will get. skorch's ``EpochScoring``
    scores the net at the end of the epoch; no outputs are kept, and ``use_caching`` is False.

    Parameters
    ----------
    module : nn.Module class or instance
        Returns logits of shape (n,) or (n, 1) or, if it has an attribute ``n_members``
        above 1, of shape (n, n_members): each column is a model of its own. The
        score is the logit of their mean probability or, if the module has a method
        ``vote``, what that makes of the columns.
    criterion : class, default=CompositionalAUCLoss
    optimizer : class, default=PDSCA
    strategy : {"compositional", "two-stage", "auc", "cross-entropy"}, default="compositional"
        "compositional" minimises the composition of both losses; "auc" the AUC margin
        loss from scratch; "cross-entropy" the inner loss; "two-stage" the inner
        loss for the first half of the epochs, and from there the AUC loss. The last
        three take the outer step of the optimizer for the loss in question, at the rate
        ``optimizer__inner_lr`` (None means ``lr``) for the inner loss.
    sampling_rate : float, default=0.5
        Share of positives in a batch, see :class:`~skdam.StratifiedBatchSampler`.
    milestones : iterable of float, default=(0.5, 0.75)
        Fractions of ``max_epochs`` after which a new stage starts.
    lr_decay : float, default=0.1
        Factor of both learning rates at a milestone.
    random_state : int or None, default=None
        Seed of the sampler. Weights and dropout come from torch's generator, as for
        any skorch net.
    precision : {"float32", "bfloat16"}, default="float32"
        Number format of matrix products and convolutions in training, by
        :class:`torch.autocast`. Weights, losses, steps and predictions stay in float32:
        scores of eight bits would tie.
    data_on_device : bool or "auto", default="auto"
        Whether training data in memory is copied to the device as a whole instead of batch by
        batch. "auto" does so on CUDA if the data takes at most half of the free memory.
    compile : bool, default=False
        Whether :func:`torch.compile` makes one function of the forward and the backward pass,
        see :class:`~skdam.CompositionalAUCClassifier`. Parameters for it may be given, as
        ``compile__mode="max-autotune"``. Where nothing can be compiled, as for a net with an
        ``infer`` or ``get_loss`` of its own, a warning says why, and training goes on without.
    lr, max_epochs, batch_size, dataset, train_split, **kwargs
        As in :class:`skorch.NeuralNet`.

    Attributes
    ----------
    sampler_ : StratifiedBatchSampler
        The sampler of the last fit.
    last_epoch_ : int
        The number of the epoch with which the last training ends, if nothing stops it.
    classes_ : ndarray
        [0, 1], for scikit-learn's scorers.
    gradients_ : object
        What computes the gradients of a batch; ``gradients_.name`` is "autograd" or "compiled".

    Raises
    ------
    DivergenceError
        While training, when a loss or a weight is not finite.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skdam import CompositionalAUCNet
    >>> X = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    >>> y = (X[:, 0] > 1).astype("float32")
    >>> net = CompositionalAUCNet(
    ...     torch.nn.Linear, module__in_features=3, module__out_features=1,
    ...     max_epochs=5, verbose=0,
    ... )
    >>> net.fit(X, y).decision_function(X).shape
    (200,)
    """

    def __init__(
        self,
        module: type[nn.Module] | nn.Module,
        criterion: Any = CompositionalAUCLoss,
        optimizer: Any = PDSCA,
        *,
        strategy: Strategy = "compositional",
        sampling_rate: float = 0.5,
        milestones: Iterable[float] = (0.5, 0.75),
        lr_decay: float = 0.1,
        random_state: int | None = None,
        precision: Precision = "float32",
        data_on_device: bool | Literal["auto"] = "auto",
        lr: float = 0.1,
        max_epochs: int = 50,
        batch_size: int = 128,
        dataset: Any = InMemoryDataset,
        train_split: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            dataset=dataset,
            train_split=train_split,
            **kwargs,
        )
        self.strategy = strategy
        self.sampling_rate = sampling_rate
        self.milestones = milestones
        self.lr_decay = lr_decay
        self.random_state = random_state
        self.precision = precision
        self.data_on_device = data_on_device

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        ours = {"print_log": PrintLog(), "stage_schedule": StageSchedule()}
        return list((dict(super()._default_callbacks) | ours).items())

    @property
    def classes_(self) -> np.ndarray:
        return np.array([0, 1])

    @property
    def use_caching(self) -> bool:
        """False: callbacks of skorch score the data, and not outputs kept from training.

        Those are of batches drawn by class, with dropout and before the last steps.
        """
        return False

    @use_caching.setter
    def use_caching(self, value: bool | Literal["auto"]) -> None:
        if value is True:
            raise ValueError("use_caching must be False or 'auto', which is False; got True.")

    def initialize(self) -> CompositionalAUCNet:
        self._check_schedule()
        self.first_epoch_ = 0
        self.checkpoint_: Checkpoint | None = None
        self._step_: Step | None = None
        self._resident_: tuple[Any, Any] | None = None
        with redirected_draws():
            return super().initialize()

    def set_params(self, **kwargs: Any) -> CompositionalAUCNet:
        """Set parameters; those that shape the optimizer make it anew."""
        shaping = {name: kwargs.pop(name) for name in list(kwargs) if name in _SHAPING}
        super().set_params(**kwargs)
        if self.initialized_ and not _RATES.isdisjoint(kwargs):
            self.optimizer_.keep_rates()
            self._set_initial_rates()
        for name, value in shaping.items():
            setattr(self, name, value)
        self._check_schedule()
        if shaping and self.initialized_:
            self._initialize_optimizer()
        return self

    def initialize_criterion(self) -> CompositionalAUCNet:
        kwargs = self.get_params_for("criterion")
        if n_members_of(self.module_) > 1:
            if isinstance(self.criterion, nn.Module):
                raise ValueError(
                    "criterion must be a class, with parameters such as criterion__margin, where "
                    f"the module has n_members={n_members_of(self.module_)}: the loss has "
                    "parameters for each member. Got an instance."
                )
            kwargs["n_members"] = n_members_of(self.module_)
        self.criterion_ = self.initialized_instance(self.criterion, kwargs)
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> CompositionalAUCNet:
        args, kwargs = self.get_params_for_optimizer("optimizer", self.module_.named_parameters())
        if self.strategy != "compositional":
            kwargs |= {"variant": "alternating", "inner_steps": 0, "hypergradient": "first-order"}
            kwargs["pretraining"] = self.strategy in ("two-stage", "cross-entropy")
        self.optimizer_ = self.optimizer(*args, loss=self.criterion_, **kwargs)
        self._set_initial_rates()
        if self.compile and self.optimizer_.hypergradient == "exact":
            # it evaluates the inner loss again, with the random numbers of before
            raise ValueError("compile=True needs hypergradient='first-order', got 'exact'.")
        self.gradients_ = choose(self, None)
        if self._step_ is not None:
            # a callback has set parameters in mid-epoch
            self._step_ = self._make_step(observed=True)
        return self

    def _set_initial_rates(self) -> None:
        # skorch builds schedulers for a training that goes on; they start from these rates
        for group in self.optimizer_.param_groups:
            group["initial_lr"] = group["lr"]

    def torch_compile(self, module: Any, name: str) -> Any:
        """Return the module as it is: the backward pass is compiled together with it."""
        return module

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        train, valid = super().get_split_datasets(X, y, **fit_params)
        return labelled(train), None if valid is None else labelled(valid)

    def get_iterator(self, dataset: Dataset[Any], training: bool = False) -> Any:
        given = dataset
        if isinstance(given, LabelledDataset):
            dataset = given.X
        kwargs = self.get_params_for("iterator_train" if training else "iterator_valid")
        # a loader without a generator of its own draws from the global one, to seed its workers
        generator = torch.Generator().manual_seed(int(self._sampler_seed().generate_state(1)[0]))
        kwargs.setdefault("generator", generator)
        if yields_batches(dataset):
            collate = kwargs.get("collate_fn")
            kwargs["collate_fn"] = keep_batch if collate is None else CollatedExamples(collate)
        batch_size = kwargs.pop("batch_size", self.batch_size)
        if batch_size == -1:
            batch_size = len(dataset)  # type: ignore[arg-type]
        if not training:
            return self.iterator_valid(dataset, batch_size=batch_size, **kwargs)
        self.sampler_ = StratifiedBatchSampler(
            labels_of(given),
            batch_size,
            sampling_rate=self.sampling_rate,
            random_state=self._sampler_seed(),
        )
        return self.iterator_train(dataset, batch_sampler=self.sampler_, **kwargs)

    def check_data(self, X: Any, y: Any = None) -> None:
        """Check, on two examples, that the module takes the data and returns logits."""
        if isinstance(X, np.ndarray | Tensor):
            X = InMemoryDataset(X)
        if not isinstance(X, Dataset) or "collate_fn" in self.get_params_for("iterator_train"):
            return
        batch = take(X, range(min(len(X), 2)))  # type: ignore[arg-type]
        if not isinstance(batch, tuple | list) or not isinstance(batch[0], Tensor):
            return
        some = batch[0].clone()  # a module may work in place
        self.get_iterator(InMemoryDataset(some))  # raises now if it would after the training
        self._set_training(False)
        check_module(self.module_, self.infer, some)

    def fit_loop(
        self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> CompositionalAUCNet:
        self._n_ended_ = len(self.history)
        self.last_epoch_ = self._n_ended_ + (self.max_epochs if epochs is None else epochs)
        return super().fit_loop(X, y, epochs=epochs, **fit_params)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        if iterator is None:
            return
        if self.checkpoint_ is not None:
            self.checkpoint_.use_loader(iterator, prefix)
        if not training and not validation_is_due(self):
            ValidationScores.record_none(self.history, prefix)
            return
        if not training:
            scores = ValidationScores(self, step_fn)
            super().run_single_epoch(iterator, training, prefix, scores.step, **fit_params)
            dataset = getattr(iterator, "dataset", None)
            scores.record(self.history, f"{prefix}_roc_auc", dataset)
            return
        observed = is_observed(self)
        self.optimizer_.train()
        # an interrupt may have come between the two phases of a batch
        self.optimizer_.drop_iteration()
        try:
            self.gradients_ = choose(self, self.gradients_)
            self._step_ = self._make_step(observed=observed)
            train_epoch(self, iterator, prefix, step_fn, observed=observed, **fit_params)
        except BaseException:
            self._resident_ = None
            raise
        finally:
            self._step_ = None
            self.optimizer_.eval()

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        self._n_ended_ = len(self.history)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._resident_ = None
        self.checkpoint_ = None
        # an interrupt leaves the row of an epoch that did not end
        if len(self.history) > self._n_ended_:
            self.history.pop()
        for _, callback in self.callbacks_:
            if isinstance(callback, EarlyStoppingAUC):
                callback.keep_best(self)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take the step or, if both phases see a batch, the two steps of a batch.

        Returns
        -------
        dict
            Of the last step ``loss`` and ``y_pred``, of all steps ``losses`` by name.
        """
        step = self._step_
        if step is None:
            # an interrupt may have come between the two phases of a batch
            self.optimizer_.drop_iteration()
            step = self._make_step(observed=True)
        return step(batch, **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Evaluate the loss of the phase, and add its gradient to what there is."""
        X, y = batch
        loss, output = self.gradients_(X, y, self.optimizer_.phase, **fit_params)
        return {"loss": loss, "y_pred": output}

    def _make_step(self, *, observed: bool) -> Step:
        """Return what takes the steps of a batch, by way of :meth:`train_step_single`."""

        def gradients(batch: Any, **fit_params: Any) -> dict[str, Any]:
            step = self.train_step_single(batch, **fit_params)
            if observed:
                parameters = list(self.get_all_learnable_params())
                told = {"named_parameters": parameters, "batch": batch, "training": True}
                self.notify("on_grad_computed", **told)
            return step

        def inner_loss(batch: Any, **fit_params: Any) -> Tensor:
            logits = self.forward_in_training(batch[0], **fit_params)
            return self.criterion_(logits, self._on_device(batch[1]), phase="inner")

        return Step(self.module_, self.optimizer_, gradients, inner_loss, self.device)

    def forward_in_training(self, X: Any, **fit_params: Any) -> Any:
        """Return the module's output in training, in single precision."""
        with self.autocast():
            output = self.infer(X, **fit_params)
        return output if self.precision == "float32" else output.float()

    def get_loss(
        self, y_pred: Tensor, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        optimizer = self.optimizer_
        phase = optimizer.phase if training or optimizer.pretraining else "outer"
        return self.criterion_(y_pred, self._on_device(y_true), phase=phase)

    def autocast(self) -> Any:
        """Return the context of a forward pass in training."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _on_device(self, values: Any) -> Any:
        if isinstance(values, Tensor):
            return values.to(self.device)
        return to_tensor(values, device=self.device)

    def _as_input(self, X: Any) -> Tensor:
        return scaled(self._on_device(X))

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the module's output; bytes reach it as numbers in [0, 1]."""
        if not isinstance(x, Tensor):
            return super().infer(x, **fit_params)
        return self.module_(self._as_input(x), **fit_params)

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        """Return the logits of a batch, computed on padded rows."""
        X, y = batch
        if training:
            return super().evaluation_step(batch, training=True)
        return super().evaluation_step((padded(X), y))[: get_len(X)]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits as float64 of shape (n,), larger for the positive class."""
        self.check_is_fitted()
        decide = decision_of(self.module_, self.infer, self._as_input)
        return self._evaluate(X, decide).double().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the sigmoid of the logits as probabilities of shape (n, 2)."""
        return probabilities(self.decision_function(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 where the logit is positive, else 0."""
        return (self.decision_function(X) > 0).astype(int)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the ROC AUC of the logits for targets 0 and 1, those of a Dataset if y is None."""
        targets = labels_of(self.get_dataset(X)) if y is None else to_numpy(y)
        scores = self.decision_function(X)
        return float(roc_auc_score(targets, scores, sample_weight=sample_weight))

    def embed(self, X: Any) -> np.ndarray:
        """Return the features that the last layer sees, as float32 of shape (n, d).

        They are what the module's method ``embed`` returns or, if it has none, the input
        of the :class:`torch.nn.Linear` that runs last.

        Raises
        ------
        ValueError
            If the module has neither.
        """
        self.check_is_fitted()
        embed = embedding_of(self.module_)
        return self._evaluate(X, lambda batch: embed(self._as_input(batch)).float()).numpy()

    def _evaluate(self, X: Any, function: Callable[[Any], Tensor]) -> Tensor:
        self.check_is_fitted()
        self._set_training(False)
        dataset = self.get_dataset(X)
        return evaluate(self.batches(dataset), function, len(dataset))

    def batches(self, dataset: Any) -> Iterable[Any]:
        """Return the batches in which a dataset is scored; each is valid until the next."""
        iterator = self.get_iterator(dataset)
        if (
            needs_no_loader(iterator)
            and type(iterator.sampler) is SequentialSampler
            and iterator.batch_size is not None
        ):
            return consecutive_batches(iterator.dataset, iterator.batch_size)
        return iterator

    def training_state(self) -> dict[str, Any]:
        """Return all that continuing the training needs, except the order of the data.

        The tensors are the live ones: copy them to keep them.
        """
        return state.training_state(self)

    def load_training_state(self, training_state: dict[str, Any]) -> None:
        """Return to a :meth:`training_state`."""
        state.load_training_state(self, training_state)

    def continue_from(self, other: CompositionalAUCNet, restart: bool = False) -> None:
        """Take over weights and history of another net, which is left as it is.

        The optimizer's state is taken over too, with this net's own learning rates. If
        ``restart`` is set, or if the strategy, the variant, ``inner_steps`` or the kind of loss
        differs, the schedule of stages starts anew instead.
        """
        state.continue_from(self, other, restart=restart)

    def trim_for_prediction(self) -> None:
        """Drop the optimizer and its state, which is most of a net; it still predicts.

        Unlike in skorch, the history and the parameters of the net stay.
        """
        self.check_is_fitted()
        self.optimizer_ = None
        # a compiled executor refers to the optimizer
        self.__dict__.pop("gradients_", None)

    def check_training_readiness(self) -> None:
        """Raise an error if the net cannot be trained: trimmed, or with accelerate."""
        if isinstance(self, AccelerateMixin):
            raise TypeError(
                "skorch.hf.AccelerateMixin does not work with CompositionalAUCNet: accelerate "
                "wraps the optimizer, and hides which loss the next step needs. For mixed "
                "precision set precision='bfloat16', for a GPU device='cuda'."
            )
        if self.initialized_ and self.optimizer_ is None:
            raise SkorchTrainingImpossibleError(
                "the net was trimmed for prediction, so it cannot be trained further."
            )

    def _check_schedule(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {STRATEGIES}, got {self.strategy!r}.")
        milestones = np.asarray(self.milestones, dtype=object)
        if milestones.ndim != 1 or not all(
            isinstance(m, Real) and 0 < float(m) < 1 for m in milestones
        ):
            raise ValueError(f"milestones must be numbers in (0, 1), got {self.milestones!r}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}.")
        if self.data_on_device not in (True, False, "auto"):
            raise ValueError(
                f"data_on_device must be a bool or 'auto', got {self.data_on_device!r}."
            )
        if not 0 < self.lr_decay <= 1:
            raise ValueError(f"lr_decay must be a number in (0, 1], got {self.lr_decay!r}.")

    def _sampler_seed(self) -> np.random.SeedSequence:
        # other batches for each call of partial_fit, as the sampler starts anew
        if self.random_state is None:
            return np.random.SeedSequence()
        return np.random.SeedSequence([self.random_state, len(self.history)])

    @stamped
    def __getstate__(self) -> dict[str, Any]:
        """Reduce the net to its parameters, its history and one block of tensors.

        The block holds state dicts only and is read back by torch's restricted
        unpickler; the module is built anew from ``module`` and its parameters.
        Callbacks are saved as they were given, without what they learnt.
        """
        names = {
            name
            for kind in (NeuralNet, CompositionalAUCNet)
            for name in inspect.signature(kind.__init__).parameters
        }
        reduced = {k: v for k, v in vars(self).items() if k in names or "__" in k.strip("_")}
        if isinstance(self.module, nn.Module):
            reduced["module"] = copy.deepcopy(self.module).cpu()
        reduced["callbacks"] = clone(self.callbacks, safe=False)
        # in one item: of a parameter that is missing, the default would be taken
        parts: dict[str, Any] = {"parameters": reduced}
        if self.initialized_:
            parts["fitted"] = state.pack(self)
        return parts

    @checked
    def __setstate__(self, parts: dict[str, Any]) -> None:
        reduced, fitted = dict(parts["parameters"]), parts.get("fitted")
        reduced["device"] = present_device(reduced["device"])
        self.__init__(**reduced)  # type: ignore[misc]
        if fitted is None:
            return
        # weights are drawn and then replaced: global generators must not notice
        with own_generator(0):
            self.initialize()
        state.unpack(self, fitted)

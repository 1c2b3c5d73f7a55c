"""The training loop: a skorch net that joins module, loss, optimizer and sampler."""

from __future__ import annotations

import copy
import inspect
import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler
from skorch.dataset import get_len
from skorch.history import History
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from skdam._device import forked_rng, get_rng_state, present_device
from skdam._hooks import is_autocast_on
from skdam.callbacks import StageSchedule
from skdam.data.batches import consecutive_batches, keep_batch, scaled, take, whole_batches
from skdam.data.examples import labels_of
from skdam.data.memory import InMemoryDataset, is_in_memory, resident
from skdam.data.sampling import StratifiedBatchSampler
from skdam.losses.compositional import CompositionalAUCLoss, PreparedTargets
from skdam.networks.members import mean_probability_logit
from skdam.optim.pdsca import PDSCA
from skdam.training.chain import ChainedModule
from skdam.training.compiled import CompiledGradients, CompiledStep

_LEAST_ROWS = 16
_MOST_LOSSES = 256

# parameters that the optimizer keeps in itself and not in its groups
_SHAPING = {
    "strategy",
    "optimizer__variant",
    "optimizer__inner_steps",
    "optimizer__hypergradient",
    "optimizer__adaptive",
    "optimizer__pretraining",
}

# methods that a user may put in place of ours
_STEPS = {"train_step_single", "infer", "get_loss"}

STRATEGIES = ("compositional", "two-stage", "auc", "cross-entropy")
PRECISIONS = ("float32", "bfloat16")


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of both classes, of shape (n, 2), for logits of shape (n,)."""
    both = np.empty((len(logits), 2))
    expit(logits, out=both[:, 1])
    expit(-logits, out=both[:, 0])
    return both


class DivergenceError(FloatingPointError, ValueError):
    """Training met a loss or a weight that is not finite."""


class CompositionalAUCNet(ClassifierMixin, NeuralNet):
    """skorch net that trains a binary classifier for ROC AUC.

    For users of skorch; :class:`~skdam.CompositionalAUCClassifier` is the interface
    for users of scikit-learn. Everything that :class:`skorch.NeuralNet` accepts is
    accepted, prefixed parameters included (``optimizer__inner_lr=0.05``,
    ``criterion__version="v1"``, ``iterator_train__num_workers=2``). The history has a
    row an epoch, with ``inner_loss`` and ``outer_loss`` where the strategy has them
    and, when ``train_split`` is set, ``valid_loss`` and ``valid_roc_auc``.

    Outside the batches of training the module holds the weights that predict (for
    ``optimizer__variant="lookahead"`` the inner point), so that callbacks score and
    save what the user will get.

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
        "compositional" alternates or composes both losses; "auc" minimises the AUC
        margin loss from scratch; "cross-entropy" the inner loss; "two-stage" the inner
        loss for the first half of the epochs, then the AUC loss from there. The last
        three take the outer step of the optimizer for the loss in question.
    sampling_rate : float or "auto", default=0.5
        Share of positives in a batch, see :class:`~skdam.StratifiedBatchSampler`.
    milestones : iterable of float, default=(0.5, 0.75)
        Shares of ``max_epochs`` after which a new stage starts.
    lr_decay : float, default=0.1
        Factor of both learning rates at a milestone.
    random_state : int or None, default=None
        Seed of the sampler. Weights and dropout come from torch's generator, as for
        any skorch net.
    precision : {"float32", "bfloat16"}, default="float32"
        In what matrix products and convolutions are done in training, by
        :class:`torch.autocast`. Weights, losses and steps stay in float32, as does all that
        predicts: scores of eight bits would tie.
    data_on_device : bool or "auto", default="auto"
        Whether training data in memory is copied to the device as a whole, and not batch by
        batch. "auto" does on CUDA if it takes at most half of the memory that is free.
    compile : bool, default=False
        Whether :func:`torch.compile` makes one function of a step or of its forward and
        backward pass, see :class:`~skdam.CompositionalAUCClassifier`. Parameters for it may be
        given, as ``compile__mode="max-autotune"``. What subclasses change about ``infer`` and
        ``get_loss`` is not seen, and steps that are compiled as a whole leave no ``grad``.
    lr, max_epochs, batch_size, dataset, train_split, **kwargs
        As in :class:`skorch.NeuralNet`.

    Attributes
    ----------
    sampler_ : StratifiedBatchSampler
        The sampler of the last fit.
    classes_ : ndarray
        [0, 1], for scikit-learn's scorers.

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
        strategy: str = "compositional",
        sampling_rate: float | str = 0.5,
        milestones: Iterable[float] = (0.5, 0.75),
        lr_decay: float = 0.1,
        random_state: int | None = None,
        precision: str = "float32",
        data_on_device: bool | str = "auto",
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
        return [*super()._default_callbacks, ("stage_schedule", StageSchedule())]

    @property
    def classes_(self) -> np.ndarray:
        return np.array([0, 1])

    def initialize(self) -> CompositionalAUCNet:
        self._check_schedule()
        self.first_epoch_ = 0
        self._watched_ = True
        self._places_of_buffers_: list[tuple[dict[str, Any], str]] | None = None
        self._copies_of_buffers_: list[Tensor] = []
        self._chained_: ChainedModule | None = None
        self._whole_step_: CompiledStep | None = None
        self._resident_: tuple[Any, Any] | None = None
        return super().initialize()

    def set_params(self, **kwargs: Any) -> CompositionalAUCNet:
        """Set parameters; those that shape the optimizer make it anew."""
        shaping = {name: kwargs.pop(name) for name in list(kwargs) if name in _SHAPING}
        super().set_params(**kwargs)
        for name, value in shaping.items():
            setattr(self, name, value)
        self._check_schedule()
        if shaping and self.initialized_:
            self._initialize_optimizer()
        return self

    def initialize_criterion(self) -> CompositionalAUCNet:
        kwargs = self.get_params_for("criterion")
        if self._n_members > 1:
            kwargs["n_members"] = self._n_members
        self.criterion_ = self.initialized_instance(self.criterion, kwargs)
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> CompositionalAUCNet:
        args, kwargs = self.get_params_for_optimizer("optimizer", self.module_.named_parameters())
        if self.strategy != "compositional":
            kwargs |= {"variant": "alternating", "inner_steps": 0, "hypergradient": "first-order"}
            kwargs["pretraining"] = self.strategy in ("two-stage", "cross-entropy")
        self.optimizer_ = self.optimizer(*args, loss=self.criterion_, **kwargs)
        self._compiled_ = self._compiled_step_ = None
        if self.compile:
            if self.optimizer_.hypergradient == "exact":
                # it evaluates the inner loss again, with the random numbers of before
                raise ValueError("compile=True needs hypergradient='first-order', got 'exact'.")
            options = self.get_params_for("compile")
            functions = (self.module_, self.criterion_, self._autocast, options)
            self._compiled_ = CompiledGradients(*functions)
            # a CUDA graph does not take what it changes
            if torch.device(self.device).type == "cpu" and type(self.optimizer_) is PDSCA:
                self._compiled_step_ = CompiledStep(*functions, self.optimizer_)
        return self

    def torch_compile(self, module: Any, name: str) -> Any:
        """Return the module as it is: what is compiled is the step, see :attr:`compile`."""
        return module

    def get_iterator(self, dataset: Dataset[Any], training: bool = False) -> Any:
        kwargs = self.get_params_for("iterator_train" if training else "iterator_valid")
        # a loader without a generator of its own draws from the global one, to seed its workers
        generator = torch.Generator().manual_seed(int(self._sampler_seed().generate_state(1)[0]))
        kwargs.setdefault("generator", generator)
        if is_in_memory(dataset):
            kwargs.setdefault("collate_fn", keep_batch)
        batch_size = kwargs.pop("batch_size", self.batch_size)
        if batch_size == -1:
            batch_size = len(dataset)  # type: ignore[arg-type]
        if not training:
            return self.iterator_valid(dataset, batch_size=batch_size, **kwargs)
        self.sampler_ = StratifiedBatchSampler(
            labels_of(dataset),
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
        name = type(self.module_).__name__
        self.get_iterator(InMemoryDataset(some))  # raises now if it would after the training
        self._set_training(False)
        try:
            output = self.infer(some)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"module {name} does not take a batch of shape {tuple(some.shape)} and dtype "
                f"{scaled(some).dtype}: {error}"
            ) from error
        if not isinstance(output, Tensor):
            raise TypeError(f"module {name} must return a Tensor, got {type(output).__name__}.")
        n, k = len(some), self._n_members
        if output.shape not in (((n,), (n, 1)) if k == 1 else ((n, k),)):
            wanted = "one logit for each example, of shape (n,) or (n, 1)"
            if k > 1:
                wanted = f"a logit of each of its n_members={k} members, of shape (n, {k})"
            raise ValueError(
                f"module {name} must return {wanted}; for input of shape {tuple(some.shape)} it "
                f"returned {tuple(output.shape)}."
            )
        votes = self._vote(output)
        if votes.shape != (n,):
            raise ValueError(
                f"the vote of module {name} must return one score for each example, of shape "
                f"({n},) here; it returned {tuple(votes.shape)}."
            )
        if not output.requires_grad:
            raise ValueError(
                f"module {name} has nothing to train: its output depends on no parameter with "
                "requires_grad=True."
            )

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        if iterator is None:
            return
        if training:
            self.optimizer_.train()
            self.optimizer_.drop_iteration()
            try:
                self._train_epoch(iterator, prefix, step_fn, **fit_params)
            finally:
                self._places_of_buffers_ = None
                self._chained_ = self._whole_step_ = None
                if self._compiled_step_ is not None:
                    self._compiled_step_.forget()
                self.optimizer_.eval()
        else:
            scores, targets = [], []

            def step_and_keep(batch: Any, **params: Any) -> dict[str, Any]:
                step = step_fn(batch, **params)
                scores.append(self._vote(step["y_pred"]).cpu())
                targets.append(batch[1])
                return step

            super().run_single_epoch(iterator, training, prefix, step_and_keep, **fit_params)
            auc = roc_auc_score(torch.cat(targets).numpy(), torch.cat(scores).numpy())
            name = f"{prefix}_roc_auc"
            earlier = [row[name] for row in list(self.history)[:-1] if name in row]
            self.history.record(name, float(auc))
            self.history.record(f"{name}_best", bool(auc > max(earlier, default=-math.inf)))

    def _train_epoch(self, iterator: Any, prefix: str, step_fn: Any, **fit_params: Any) -> None:
        """Do what skorch does, but call callbacks and read losses no more often than needed."""
        self._watched_ = _looks_at_batches(self, NeuralNet) or any(
            _looks_at_batches(callback, Callback) for _, callback in self.callbacks_
        )
        self._set_training(True)
        if self._is_alone:
            self._places_of_buffers_ = self._find_buffers()
            if self._can_be_chained:
                self._chained_ = ChainedModule(self.module_)
            if self._compiled_step_ is not None and self._compiled_step_.is_of_use:
                self._whole_step_ = self._compiled_step_
        log = _LossLog(prefix)
        for batch in self._training_batches(iterator):
            if self._watched_:
                self.notify("on_batch_begin", batch=batch, training=True)
                self._set_training(True)
            step = step_fn(batch, **fit_params)
            X = batch[0]
            losses = step.get("losses") or {f"{prefix}_loss": step["loss"].detach()}
            size = len(X) if isinstance(X, Tensor) else get_len(X)
            log.add(losses, size)
            if self._watched_:
                for name, loss in losses.items():
                    self.history.record_batch(name, loss.item())
                self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                self.history.record_batch(f"{prefix}_batch_size", size)
                self.notify("on_batch_end", batch=batch, training=True, **step)
        rows = log.rows()
        if not self._watched_:
            self.history[-1]["batches"].extend(rows)
        self.history.record(f"{prefix}_batch_count", len(rows))
        self._record_losses(rows)

    @property
    def _is_alone(self) -> bool:
        """Whether batches of an epoch are seen by module and criterion only."""
        is_ours = type(self) is CompositionalAUCNet and vars(self).keys().isdisjoint(_STEPS)
        return not self._watched_ and is_ours

    @property
    def _can_be_chained(self) -> bool:
        """Whether autograd would do nothing in training that a chain does not do."""
        return (
            self._is_loss_of_criterion
            and self.criterion_.is_private
            and self._compiled_ is None
            and self.precision == "float32"
            and not is_autocast_on(torch.device(self.device))
            and not torch.is_anomaly_enabled()
            and self.optimizer_.hypergradient == "first-order"
            and ChainedModule.suits(self.module_)
        )

    def _training_batches(self, iterator: Any) -> Iterator[Any]:
        """Yield the batches of an epoch, without the loader where nobody would miss it."""
        if (
            not self._needs_no_loader(iterator)
            or type(iterator.batch_sampler) is not StratifiedBatchSampler
        ):
            yield from iterator
            return
        device = torch.device(self.device)
        if self._resident_ is None or self._resident_[0] is not iterator:
            dataset = resident(iterator.dataset, device, self.data_on_device)
            self._resident_ = (iterator, dataset)
        criterion = self.criterion_
        is_private = self._is_alone and self._is_loss_of_criterion and criterion.is_private
        prepared = None
        for X, y in whole_batches(
            self._resident_[1], iterator.batch_sampler, device, share_targets=is_private
        ):
            if is_private and prepared is None:
                prepared = criterion.prepare(y)  # all batches have the same
            yield X, y if prepared is None else prepared

    def _scoring_batches(self, iterator: Any) -> Iterable[Any]:
        if (
            not self._needs_no_loader(iterator)
            or type(iterator.sampler) is not SequentialSampler
            or iterator.batch_size is None
        ):
            return iterator
        return consecutive_batches(iterator.dataset, iterator.batch_size)

    @staticmethod
    def _needs_no_loader(iterator: Any) -> bool:
        return (
            type(iterator) is DataLoader
            and iterator.collate_fn is keep_batch
            and not iterator.num_workers
        )

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._resident_ = None
        # an interrupt leaves the row of an epoch that did not end
        if self.history and "lr" not in self.history[-1]:
            self.history.pop()

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take the step or, if both phases see a batch, the two steps of a batch.

        Returns
        -------
        dict
            Of the last step ``loss`` and ``y_pred``, of all steps ``losses`` by name.
        """
        losses = {}
        for _ in range(self.optimizer_.phases_per_batch):
            name = f"{self.optimizer_.phase}_loss"
            step = self._phase_step(batch, **fit_params)
            losses[name] = step["loss"].detach()
        return {**step, "losses": losses}

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Evaluate the loss of the phase, and add its gradient to what there is."""
        X, y = batch
        if self._compiled_ is not None and self._whole_step_ is None and not fit_params:
            X, y = self._moved(batch)
            optimizer = self.optimizer_
            step = self._compiled_(X, y, optimizer.phase, optimizer.trained_parameters)
            if step is not None:
                return {"loss": step[0], "y_pred": step[1]}
            self._compiled_ = None
        if self._chained_ is not None and isinstance(X, Tensor) and not fit_params:
            X, y = self._moved(batch)
            logits = self._chained_(X)
            loss, slopes = self.criterion_.gradient(logits, y, phase=self.optimizer_.phase)
            self._chained_.backward(slopes, self.optimizer_.gradient_places)
            return {"loss": loss, "y_pred": logits}
        with self._autocast():
            logits = self.infer(X, **fit_params)
        if self.precision != "float32":
            logits = logits.float()
        if self._is_loss_of_criterion:
            phase = self.optimizer_.phase
            loss = self.criterion_.backward(logits, self._on_device(y), phase=phase)
        else:
            loss = self.get_loss(logits, y, X=X, training=True)
            loss.backward()
        return {"loss": loss, "y_pred": logits}

    @property
    def _is_loss_of_criterion(self) -> bool:
        """Whether the loss is that of our criterion, or of a kind of it, and nothing else."""
        return (
            isinstance(self.criterion_, CompositionalAUCLoss)
            and getattr(self.get_loss, "__func__", None) is CompositionalAUCNet.get_loss
        )

    def get_loss(
        self, y_pred: Tensor, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        optimizer = self.optimizer_
        phase = optimizer.phase if training or optimizer.pretraining else "outer"
        return self.criterion_(y_pred, self._on_device(y_true), phase=phase)

    def _autocast(self) -> Any:
        """Return the context of a forward pass in training."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _moved(self, batch: Any) -> tuple[Any, Any]:
        """Return a batch on the device, as the module and the criterion take it."""
        X, y = batch
        return scaled(self._on_device(X)), self._on_device(y)

    def _on_device(self, values: Any) -> Any:
        if isinstance(values, Tensor):
            return values.to(self.device)
        if isinstance(values, PreparedTargets):
            return values
        return to_tensor(values, device=self.device)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the module's output; bytes reach it as numbers in [0, 1]."""
        if not isinstance(x, Tensor):
            return super().infer(x, **fit_params)
        return self.module_(scaled(self._on_device(x)), **fit_params)

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        """Return the logits of a batch, padded where rows are few.

        Matrix products take another path for a handful of rows, with other rounding;
        padded, the score of an example does not depend on the batch that it came in.
        """
        X, y = batch
        if training:
            return super().evaluation_step(batch, training=True)
        return super().evaluation_step((_padded(X), y))[: len(X)]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits as float64 of shape (n,), larger for the positive class."""
        self.check_is_fitted()
        return self._evaluate(X, lambda batch: self._vote(self.infer(batch))).double().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the sigmoid of the logits as probabilities of shape (n, 2)."""
        return probabilities(self.decision_function(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 where the logit is positive, else 0."""
        return (self.decision_function(X) > 0).astype(int)

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
        embed = getattr(self.module_, "embed", None)
        if not inspect.ismethod(embed):  # it may be the first layer
            embed = partial(_last_linear_input, self.module_)
        return self._evaluate(
            X, lambda batch: embed(scaled(self._on_device(batch))).float()
        ).numpy()

    @torch.no_grad()
    def _evaluate(self, X: Any, function: Callable[[Any], Tensor]) -> Tensor:
        """Return what a function makes of all examples in evaluation, batch by batch."""
        self._set_training(False)
        dataset = self.get_dataset(X)
        outputs: Tensor | None = None
        start = 0
        for batch, _ in self._scoring_batches(self.get_iterator(dataset)):
            end = start + len(batch)
            output = function(_padded(batch))
            if outputs is None:
                # at once: parts, joined at the end, would leave gaps in memory
                outputs = output.new_empty((len(dataset), *output.shape[1:]), device="cpu")
            outputs[start:end] = output[: end - start]
            start = end
        if outputs is None:
            raise ValueError("there is nothing to score: the iterator has no batches.")
        # a loader may have been told to drop what is left of the last batch
        return outputs[:start]

    @property
    def _n_members(self) -> int:
        return getattr(self.module_, "n_members", 1)

    @torch.no_grad()
    def _vote(self, logits: Tensor) -> Tensor:
        """Return one logit of each example, of shape (n,), from those of the members."""
        logits = logits.detach()
        if self._n_members == 1:
            return logits.reshape(-1)
        return getattr(self.module_, "vote", mean_probability_logit)(logits)

    def training_state(self) -> dict[str, Any]:
        """Return all that continuing the training needs, the data's order aside.

        The tensors are the live ones: copy them to keep them.
        """
        return {
            "module": self.module_.state_dict(),
            "criterion": self.criterion_.state_dict(),
            "optimizer": self.optimizer_.state_dict(),
            "first_epoch": self.first_epoch_,
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Return to a :meth:`training_state`."""
        self.module_.load_state_dict(state["module"])
        self.criterion_.load_state_dict(state["criterion"])
        self.first_epoch_ = state["first_epoch"]
        self.optimizer_.load_state_dict(state["optimizer"])

    def continue_from(self, other: CompositionalAUCNet, restart: bool = False) -> None:
        """Take over weights and history of another net, which is left as it is.

        The optimizer's state is taken over too, at this net's own learning rates,
        unless ``restart`` asks for a schedule of stages from its start or the
        strategy is another one.
        """
        self._check_same_module(other)
        self.history_ = History(copy.deepcopy(list(other.history)))
        state = other.training_state()
        mine, others = self.optimizer_, other.optimizer_
        if restart or (self.strategy, mine.variant, mine.inner_steps) != (
            other.strategy,
            others.variant,
            others.inner_steps,
        ):
            self.module_.load_state_dict(state["module"])
            self.criterion_.load_state_dict(state["criterion"])
            self.first_epoch_ = len(self.history)
            return
        own_rates = self.optimizer_.state_dict()["param_groups"]
        state["optimizer"] = state["optimizer"] | {"param_groups": own_rates}
        self.load_training_state(state)

    def _check_same_module(self, other: CompositionalAUCNet) -> None:
        # a lazy parameter takes the shape of what is loaded into it
        lazy = {name for name, tensor in self.module_.named_parameters() if is_lazy(tensor)}
        shapes = [
            {
                name: tuple(tensor.shape)
                for name, tensor in net.module_.named_parameters()
                if name not in lazy
            }
            for net in (self, other)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "training cannot go on, the network is another one than in the last fit: its "
                f"parameters were {shapes[1]} and are {shapes[0]}."
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
        state = {k: v for k, v in vars(self).items() if k in names or "__" in k.strip("_")}
        if isinstance(self.module, nn.Module):
            state["module"] = copy.deepcopy(self.module).cpu()
        state["callbacks"] = clone(self.callbacks, safe=False)
        if self.initialized_:
            rows = [{k: v for k, v in row.items() if k != "batches"} for row in self.history]
            block = io.BytesIO()
            torch.save(_plain(self.training_state()), block)
            state["fitted"] = {"history": rows, "training_state": block.getvalue()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        fitted = state.pop("fitted", None)
        state["device"] = present_device(state["device"])
        self.__init__(**state)  # type: ignore[misc]
        if fitted is None:
            return
        with forked_rng(self.device):
            self.initialize()
        for row in fitted["history"]:
            self.history.append({**row, "batches": []})
        training_state = torch.load(
            io.BytesIO(fitted["training_state"]), map_location=self.device, weights_only=True
        )
        self.load_training_state(training_state)

    def _phase_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        optimizer = self.optimizer_
        phase = optimizer.phase
        exact = optimizer.hypergradient == "exact"
        if exact and phase == "inner":
            self._inner_rng_state_ = get_rng_state(self.device)
        if self._whole_step_ is not None and not fit_params:
            taken = self._whole_step_(*self._moved(batch))
            if taken is not None:
                return {"loss": taken[0], "y_pred": taken[1]}
            if not self._whole_step_.is_of_use:
                self._whole_step_ = None
        optimizer.zero_grad()
        # lookahead predicts at u: what the batch does to running statistics at w is undone
        passing = optimizer.phases_per_batch == 2 and phase == "inner"
        with self._buffers_kept() if passing else nullcontext():
            step = self.train_step_single(batch, **fit_params)
        if self._watched_:
            self.notify(
                "on_grad_computed",
                named_parameters=list(self.get_all_learnable_params()),
                batch=batch,
                training=True,
            )
        if exact and phase == "outer":
            with self._buffers_kept():
                optimizer.step(inner_loss=lambda: self._inner_loss_again(batch, **fit_params))
        else:
            optimizer.step()
        return step

    @contextmanager
    def _buffers_kept(self) -> Iterator[None]:
        """Undo what happens to the module's buffers."""
        places = self._places_of_buffers_
        if places is None:
            places = self._find_buffers()
        places = [(buffers, name) for buffers, name in places if buffers.get(name) is not None]
        before = [buffers[name] for buffers, name in places]
        copies = self._copies_of_buffers_
        if len(copies) == len(before) and all(map(_are_alike, copies, before)):
            if copies:
                torch._foreach_copy_(copies, before)
        else:
            copies = self._copies_of_buffers_ = [buffer.clone() for buffer in before]
        try:
            yield
        finally:
            if before:
                torch._foreach_copy_(before, copies)
            for (buffers, name), buffer in zip(places, before, strict=True):
                # the module may have put another tensor in its place
                buffers[name] = buffer

    def _find_buffers(self) -> list[tuple[dict[str, Any], str]]:
        modules = self.module_.modules()
        return [(module._buffers, name) for module in modules for name in module._buffers]

    def _inner_loss_again(self, batch: Any, **fit_params: Any) -> Tensor:
        # the Hessian must be that of the very function whose gradient led to u
        with forked_rng(self.device, state=self._inner_rng_state_), self._autocast():
            logits = self.infer(batch[0], **fit_params)
        return self.criterion_(logits, self._on_device(batch[1]), phase="inner")

    def _record_losses(self, rows: list[dict[str, float]]) -> None:
        for name in ("inner_loss", "outer_loss"):
            values = [row[name] for row in rows if name in row]
            for value in values:
                if not math.isfinite(value):
                    self._raise_diverged(f"the {name.replace('_', ' ')} is {value}")
            if values:
                self.history.record(name, float(np.mean(values)))
        self.history.record("lr", self.optimizer_.param_groups[0]["lr"])
        for name, tensor in self.module_.named_parameters():
            if not torch.isfinite(tensor).all():
                self._raise_diverged(f"{name} is not finite")

    def _raise_diverged(self, what: str) -> None:
        group = self.optimizer_.param_groups[0]
        rates = ", ".join(f"{k}={group[k]:g}" for k in ("lr", "inner_lr") if group[k] is not None)
        raise DivergenceError(
            f"training diverged in epoch {len(self.history)}: {what} with {rates}. Use a smaller "
            "lr, or features of a smaller range."
        )


class _LossLog:
    """The losses of an epoch, which stay on their device until its end.

    Parameters
    ----------
    prefix : str
        Of the names of the loss and of the size of a batch.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._steps: list[tuple[tuple[str, ...], int]] = []
        self._recent: list[Tensor] = []
        self._earlier: list[Tensor] = []

    def add(self, losses: dict[str, Tensor], batch_size: int) -> None:
        """Keep the losses of the steps of a batch."""
        self._steps.append((tuple(losses), batch_size))
        self._recent.extend(losses.values())
        # small tensors that stay, between large ones that go, would leave gaps in memory
        if len(self._recent) >= _MOST_LOSSES:
            self._join()

    def rows(self) -> list[dict[str, float]]:
        """Return a row for each batch; its loss is that of its last step."""
        self._join()
        values = iter(torch.cat(self._earlier).tolist() if self._earlier else ())
        rows = []
        for names, batch_size in self._steps:
            row = {name: next(values) for name in names}
            row[f"{self._prefix}_loss"] = row[names[-1]]
            row[f"{self._prefix}_batch_size"] = batch_size
            rows.append(row)
        return rows

    def _join(self) -> None:
        if self._recent:
            self._earlier.append(torch.stack(self._recent))
            self._recent.clear()


def _are_alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.device == other.device


def _looks_at_batches(listener: Any, base: type) -> bool:
    """Return whether a callback, or a net, does something of its own with batches of training."""
    if type(listener) is LRScheduler:
        return listener.step_every == "batch"
    if type(listener) in (EpochScoring, BatchScoring) and not listener.on_train:
        return False
    names = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return any(getattr(type(listener), name) is not getattr(base, name) for name in names)


def _padded(X: Any) -> Any:
    missing = _LEAST_ROWS - len(X)
    if missing <= 0:
        return X
    return torch.cat([X, X[:1].expand(missing, *X.shape[1:])])


def _last_linear_input(module: nn.Module, X: Tensor) -> Tensor:
    """Return what the linear layer that runs last gets when the module is called."""
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        seen[:] = [next(iter((*inputs, *named.values()))).flatten(1)]

    hooks = [
        layer.register_forward_pre_hook(keep, with_kwargs=True)
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        module(X)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError(
            f"module {type(module).__name__} runs no nn.Linear, the input of which would be its "
            "features; give it a method embed(X) that returns them."
        )
    return seen[0]


def _plain(state: Any) -> Any:
    """Turn NumPy's numbers, which callbacks may set, into Python's."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_plain(value) for value in state)
    return state.item() if isinstance(state, np.generic) else state

"""An ensemble of perceptrons and a kernel machine for tabular data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from skdam._numbers import as_number, check_ints, in_order
from skdam._targets import folds_of, rows_of, weights_of
from skdam.networks.columns import ColumnLayer, StandardColumns
from skdam.networks.dropout import Dropout
from skdam.networks.kernel import KernelMachine
from skdam.networks.members import MemberLinear
from skdam.networks.statistics import auc_of_each, deviation_of, draw_by_class

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
ENCODINGS = ("piecewise-linear",)

_STATISTICS_ROWS = 100_000
_KERNEL_ROWS = 20_000
_MAX_CATEGORIES = 400
_MAX_ROWS = 2**15
_CHUNK = 4096
_SHARES = np.linspace(0, 1, 5)
_TEMPERATURE = 0.003
_MIN_SHARE = 0.05


class TabularMLP(nn.Module):
    """Ensemble of multilayer perceptrons for numbers, categories and gaps, in one network.

    The perceptrons are independent of each other. If each is trained without a fold of the rows,
    as in :class:`~skdam.CompositionalAUCClassifier`, a kernel machine joins them, which
    :meth:`fit_statistics` solves in closed form. The perceptrons are smooth functions of the
    columns and the kernel machine is a local one, so their errors differ. The score is a weighted
    mean of both; the weights, or shares of the vote, follow from their ROC AUC on the rows that
    were left out.

    All that is learnt from the data is held in parameters and buffers, so it is part of the state
    dict, of every pickle and of every export.

    Parameters
    ----------
    n_features : int
        Columns of the input, >= 1.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer, >= 1. If empty, the model is additive.
    dropout : float, default=0.2
        Probability of zeroing a hidden unit in training, in [0, 1).
    activation : {"relu", "gelu", "silu", "tanh"}, default="relu"
        Activation of the hidden layers.
    encoding : {"piecewise-linear"} or None, default="piecewise-linear"
        What a perceptron sees in addition to the standardised columns, which include indicators of
        frequent categories and of gaps. "piecewise-linear" is an embedding of each column that is
        linear between quantiles [1]_, with a vector for each category and for a gap. None adds
        nothing.
    n_bins : int, default=32
        Bins of the encoding of a number, >= 1. A number with at most ``n_bins + 1`` distinct
        values has a vector for each.
    n_embedding : int, default=8
        Dimension of the embedding of a column, >= 1.
    n_members : int, default=8
        Perceptrons and columns of the output, >= 1.
    n_landmarks : int, default=512
        Training examples with which the kernel machine compares its input, >= 0; half of
        them positives if there are enough. 0 leaves out the kernel machine.
    n_categories : sequence of int or None, default=None
        Number of categories of each column, 0 for a column of numbers; a category is a code below
        that. At most 400 of a column have a vector of their own, and fewer if there are more than
        81 columns. None means that all columns are numbers.
    n_values : sequence of int or None, default=None
        For a column of numbers with more than ``n_bins + 1`` distinct values that shall have a
        vector for each: how many distinct values it has. 0 for every other column.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    To change parameters, load a state dict or write to them within :func:`torch.no_grad`. Torch
    does not count what is written through ``.data``, so predictions may not notice it.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in
       Tabular Deep Learning", NeurIPS 2022, arXiv:2203.05556, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from skdam import TabularMLP
    >>> X = torch.tensor([[1.0, 0.0], [2.0, 1.0], [torch.nan, 1.0]])
    >>> y = torch.tensor([0.0, 0.0, 1.0])
    >>> module = TabularMLP(2, hidden_layer_sizes=(8,), n_members=4, n_categories=(0, 2))
    >>> module.fit_statistics(X, y)
    >>> module(X).shape
    torch.Size([3, 4])
    >>> module.decision_function(X).shape
    torch.Size([3])
    """

    takes_gaps = True

    shares: Tensor
    n_members: int
    columns: StandardColumns
    linear: MemberLinear
    encoded: ColumnLayer | None
    layers: nn.Sequential
    kernel_machine: KernelMachine | None

    def __init__(
        self,
        n_features: int,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.2,
        activation: str = "relu",
        encoding: str | None = "piecewise-linear",
        n_bins: int = 32,
        n_embedding: int = 8,
        n_members: int = 8,
        n_landmarks: int = 512,
        n_categories: Sequence[int] | None = None,
        n_values: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        sizes = in_order("hidden_layer_sizes", hidden_layer_sizes)
        check_ints(
            1,
            n_features=n_features,
            n_bins=n_bins,
            n_embedding=n_embedding,
            n_members=n_members,
        )
        check_ints(1, **{f"hidden_layer_sizes[{i}]": size for i, size in enumerate(sizes)})
        check_ints(0, n_landmarks=n_landmarks)
        dropout = as_number("dropout", dropout)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}.")
        if activation not in tuple(ACTIVATIONS):
            raise ValueError(
                f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}."
            )
        if encoding is not None and encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {ENCODINGS} or None, got {encoding!r}.")
        categories = _of_each_column("n_categories", n_categories, n_features)
        values = _of_each_column("n_values", n_values, n_features)
        # NumPy's own would overflow
        n_members, n_bins, n_embedding = int(n_members), int(n_bins), int(n_embedding)
        self.n_members = n_members
        sizes = (*map(int, sizes), 1)
        self.columns = StandardColumns(categories)
        self.linear = MemberLinear(n_members, self.columns.n_out, sizes[0])
        self.encoded = None
        if encoding is not None:
            # the table of the encoding is computed for each batch
            most = max(min(_MAX_CATEGORIES, _MAX_ROWS // n_features), 1)
            n_nodes = [
                min(category, most) + 1 if category else max(value, n_bins + 1)
                for category, value in zip(categories, values, strict=True)
            ]
            self.encoded = ColumnLayer(
                n_nodes, categories, n_bins + 1, n_members, sizes[0], n_embedding
            )
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            # dropout layers even at rate 0, so that a state dict fits any rate
            layers += [ACTIVATIONS[activation](), Dropout(dropout)]
            layers += [MemberLinear(n_members, n_in, n_out)]
        self.layers = nn.Sequential(*layers)
        self.kernel_machine = None
        if n_members > 1 and n_landmarks > 0:
            self.kernel_machine = KernelMachine(self.columns.n_out, n_landmarks, n_members)
        # of the mean logit of the perceptrons, and of the score of the kernel machine
        self.register_buffer("shares", torch.tensor([1.0, 0.0]))
        # whatever torch's default is
        self.float()

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, y: Tensor) -> None:
        """Learn what the columns are like and, if ``y`` has folds, solve the kernel machine.

        To be called once, before training. Statistics are learnt from at most 100,000 evenly
        spaced rows, and the kernel machine from at most 20,000 rows, half of them positives if
        there are enough. These rows, and the landmarks, are drawn with the generator of the fit or,
        outside a fit, with torch's global generator.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Numbers and codes of categories; NaN for gaps.
        y : Tensor of shape (n,)
            Targets, 0 or 1. If they have weights, all that is learnt is weighted.
        """
        weights, folds = weights_of(y), folds_of(y)
        step = -(-len(X) // _STATISTICS_ROWS)
        some = self._on_device(X[::step])
        of_some = None if weights is None else self._on_device(weights[::step])
        self.columns.fit_statistics(some, of_some)
        if self.encoded is not None:
            self.encoded.fit_statistics(some, of_some)
        self.shares.copy_(torch.tensor([1.0, 0.0]))
        if self.kernel_machine is None or folds is None:
            return
        # weighed by the regression, so not in the draw
        rows = draw_by_class(y.as_subclass(Tensor), _KERNEL_ROWS)
        few = rows_of(y, rows)
        landmarks = draw_by_class(
            few.as_subclass(Tensor), len(self.kernel_machine.landmarks), weights_of(few)
        )
        of_few = weights_of(few)
        self.kernel_machine.fit(
            self.columns(self._on_device(X[rows])),
            self._on_device(few.as_subclass(Tensor)),
            self._on_device(folds[rows]),
            self._on_device(landmarks),
            None if of_few is None else self._on_device(of_few),
        )

    def _on_device(self, values: Tensor) -> Tensor:
        # the data may be on another device than the module
        return values.to(self.shares.device)

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits of the perceptrons.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n,) or, with several members, (n, n_members)
        """
        return self._logits(X, self.columns(X))

    def _first(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the first layer's output, of shape (n_members, n, n_out).

        Z is X as standardised columns.
        """
        units = self.linear(Z.expand(self.n_members, *Z.shape))
        return units if self.encoded is None else units + self.encoded(X)

    def _logits(self, X: Tensor, Z: Tensor) -> Tensor:
        logits = self.layers(self._first(X, Z)).squeeze(-1)
        return logits[0] if self.n_members == 1 else logits.T

    def embed(self, X: Tensor) -> Tensor:
        """Return the inputs of the last layer of each perceptron, concatenated.

        Without hidden layers they are the logits.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n, d)
        """
        return self.layers[:-1](self._first(X, self.columns(X))).transpose(0, 1).flatten(1)

    def vote(self, logits: Tensor) -> Tensor:
        """Return the mean of the perceptrons' logits, of shape (n,).

        Parameters
        ----------
        logits : Tensor of shape (n, n_members)
        """
        # in one order, whatever the batch: the mean of strided columns is rounded by position
        return logits.contiguous().mean(1)

    def decision_function(self, X: Tensor) -> Tensor:
        """Return the joint score of perceptrons and kernel machine.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n,)
        """
        Z = self.columns(X)
        logits = self._logits(X, Z)
        score = logits if self.n_members == 1 else self.vote(logits)
        if self.kernel_machine is None or not self.shares[1]:
            return score
        return self.shares[0] * score + self.shares[1] * self.kernel_machine(Z)

    @torch.no_grad()
    def out_of_bag(self, X: Tensor, folds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return scores of training rows by what was trained without them.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        folds : Tensor of shape (n,), int64
            The member that was trained without the row.

        Returns
        -------
        logits : Tensor of shape (n,)
            Of that member, as it is now.
        scores : Tensor of shape (n,) or None
            Of the kernel machine, if it has a vote.
        """
        logits = self.out_of_bag_logits(X, folds)
        if self.kernel_machine is None or not self.kernel_machine.is_fitted:
            return logits, None
        return logits, self._kernel_out_of_bag(X, folds)

    def _kernel_out_of_bag(self, X: Tensor, folds: Tensor) -> Tensor:
        assert self.kernel_machine is not None
        parts = zip(X.split(_CHUNK), folds.split(_CHUNK), strict=True)
        return torch.cat(
            [self.kernel_machine.out_of_bag(self.columns(some), fold) for some, fold in parts]
        )

    @torch.no_grad()
    def out_of_bag_decision(self, X: Tensor, folds: Tensor) -> Tensor:
        """Return :meth:`decision_function` of rows by what was trained without them."""
        logits = self.out_of_bag_logits(X, folds)
        if self.kernel_machine is None or not self.shares[1]:
            return logits
        return self.shares[0] * logits + self.shares[1] * self._kernel_out_of_bag(X, folds)

    @torch.no_grad()
    def out_of_bag_logits(self, X: Tensor, folds: Tensor) -> Tensor:
        """Return the logit of each row by the member that was trained without it, of shape (n,)."""
        table = None if self.encoded is None else self.encoded.table()
        logits = X.new_empty(len(X))
        for member in range(self.n_members):
            for rows in torch.nonzero(folds == member).squeeze(1).split(_CHUNK):
                some = X[rows]
                units = self.linear.of_member(self.columns(some), member)
                if self.encoded is not None and table is not None:
                    units += self.encoded.of_member(some, member, table)
                for layer in self.layers:
                    if isinstance(layer, MemberLinear):
                        units = layer.of_member(units, member)
                    else:
                        units = layer(units)
                logits[rows] = units.squeeze(1)
        return logits

    @torch.no_grad()
    def share_vote(
        self, logits: Tensor, scores: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> None:
        """Learn the shares of perceptrons and kernel machine in the joint score.

        Both are divided by the standard deviation of their scores. The kernel machine's share is
        the mean of 0, 1/4, 1/2, 3/4 and 1, weighted in proportion to exp(AUC / 0.003).

        Parameters
        ----------
        logits, scores : Tensor of shape (n,)
            Out of bag, see :meth:`out_of_bag`.
        y : Tensor of shape (n,)
            Targets, 0 or 1, both present.
        weights : Tensor of shape (n,) or None, default=None
            Weights of the examples; None for equal ones.
        """
        units = [float(deviation_of(values, weights)) or 1.0 for values in (logits, scores)]
        parts = [
            values.cpu().numpy() / unit
            for values, unit in zip((logits, scores), units, strict=True)
        ]
        joint = [(1 - t) * parts[0] + t * parts[1] for t in _SHARES]
        auc = auc_of_each(torch.from_numpy(np.array(joint)).double(), y, weights).numpy()
        votes = np.exp((auc - auc.max()) / _TEMPERATURE)
        share = float(votes @ _SHARES / votes.sum())
        # a part of no weight is not worth the time that it takes in predictions
        share = 0.0 if share < _MIN_SHARE else share
        self.shares.copy_(torch.tensor([(1 - share) / units[0], share / units[1]]))


def _of_each_column(name: str, sizes: Sequence[int] | None, n_features: int) -> tuple[int, ...]:
    if sizes is None:
        return (0,) * n_features
    sizes = in_order(name, sizes)
    if len(sizes) != n_features:
        raise ValueError(
            f"{name} must hold an int for each of the {n_features} columns, got {len(sizes)}."
        )
    check_ints(0, **{f"{name}[{j}]": size for j, size in enumerate(sizes)})
    return tuple(map(int, sizes))

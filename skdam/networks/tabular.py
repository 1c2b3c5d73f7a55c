"""An ensemble of perceptrons and a kernel machine for tabular data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor, nn

from skdam._targets import rows_of, weights_of
from skdam.networks.checks import check_ints
from skdam.networks.dropout import Dropout
from skdam.networks.encoding import PiecewiseLinearEncoding, Standardiser
from skdam.networks.landmarks import LandmarkKernelMachine, draw_by_class
from skdam.networks.members import MemberLinear, mean_probability_logit

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
ENCODINGS = ("piecewise-linear",)

_FEATURE_SHARE = 0.6
_QUANTILE_ROWS = 100_000
_RIDGE_ROWS = 20_000


class TabularMLP(nn.Module):
    """Ensemble of multilayer perceptrons for raw numerical features, in one network.

    Features are standardised and encoded with statistics that :meth:`fit_statistics`
    learns. They are buffers of the module, so they are part of its state dict, of every
    pickle and of every export.

    With several members, each perceptron sees a random 60 % of the features and has
    separate weights; the last member is a kernel machine, which sees all features. The
    perceptrons are smooth functions of the features and the kernel machine is a local one,
    so their errors differ. The kernel machine has two thirds of the vote.

    Parameters
    ----------
    n_features : int
        Columns of the input, >= 1.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer, >= 1. Empty for a linear model.
    dropout : float, default=0.1
        Probability of zeroing a hidden unit in training, in [0, 1).
    activation : {"relu", "gelu", "silu", "tanh"}, default="relu"
        Activation of the hidden layers.
    encoding : {"piecewise-linear"} or None, default="piecewise-linear"
        What the perceptrons see in addition to the standardised features: the position of
        each feature within each of its quantile bins [1]_, or nothing.
    n_bins : int, default=8
        Bins of the encoding, >= 1.
    n_members : int, default=8
        Columns of the output, >= 1. 1 is a single perceptron that sees all features.
    n_landmarks : int, default=512
        Training examples to which the kernel machine compares its input, >= 0; half of
        them positives if there are enough. All examples if there are fewer. 0 makes all
        members perceptrons.
    n_categories : sequence of int or None, default=None
        Categories of each column, 0 for a column of numbers. None stands for numbers only.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in
       Tabular Deep Learning", NeurIPS 2022, arXiv:2203.05556, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from skdam import TabularMLP
    >>> X = torch.tensor([[1.0, 500.0], [2.0, 500.0], [3.0, 500.0]])
    >>> y = torch.tensor([0.0, 0.0, 1.0])
    >>> module = TabularMLP(n_features=2, hidden_layer_sizes=(8,), n_members=4)
    >>> module.fit_statistics(X, y)
    >>> module.standardise.mean
    tensor([  2., 500.])
    >>> module(X).shape
    torch.Size([3, 4])
    >>> module.vote(module(X)).shape
    torch.Size([3])
    """

    takes_gaps = True

    features: Tensor
    n_members: int
    standardise: Standardiser
    encode: PiecewiseLinearEncoding | None
    kernel_machine: LandmarkKernelMachine | None
    layers: nn.Sequential

    def __init__(
        self,
        n_features: int,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.1,
        activation: str = "relu",
        encoding: str | None = "piecewise-linear",
        n_bins: int = 8,
        n_members: int = 8,
        n_landmarks: int = 512,
        n_categories: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        try:
            sizes = tuple(hidden_layer_sizes)
        except TypeError:
            raise ValueError(
                f"hidden_layer_sizes must be a sequence of ints, got {hidden_layer_sizes!r}."
            ) from None
        check_ints(1, n_features=n_features, n_bins=n_bins, n_members=n_members)
        check_ints(1, **{f"hidden_layer_sizes[{i}]": size for i, size in enumerate(sizes)})
        check_ints(0, n_landmarks=n_landmarks)
        if not isinstance(dropout, Real) or not 0 <= float(dropout) < 1:
            raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}.")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}."
            )
        if encoding is not None and encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {ENCODINGS} or None, got {encoding!r}.")
        self.n_members = int(n_members)
        has_kernel_machine = n_members > 1 and n_landmarks > 0
        n_perceptrons = n_members - has_kernel_machine
        self.standardise = Standardiser(n_features)
        self.encode = None if encoding is None else PiecewiseLinearEncoding(n_features, n_bins)
        self.kernel_machine = (
            LandmarkKernelMachine(n_features, n_landmarks) if has_kernel_machine else None
        )
        seen = [torch.arange(n_features)]
        if n_members > 1:
            n_seen = math.ceil(_FEATURE_SHARE * n_features)
            seen = [torch.randperm(n_features)[:n_seen] for _ in range(n_perceptrons)]
        self.register_buffer("features", torch.stack(seen))
        sizes = (len(seen[0]) * (1 if encoding is None else 1 + n_bins), *sizes)
        linear = nn.Linear if n_members == 1 else partial(MemberLinear, n_perceptrons)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            # dropout layers even at rate 0, so that a state dict fits any rate
            layers += [linear(n_in, n_out), ACTIVATIONS[activation](), Dropout(dropout)]
        self.layers = nn.Sequential(*layers, linear(sizes[-1], 1))

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, y: Tensor) -> None:
        """Learn means, deviations, bins and landmarks, and initialise the kernel machine.

        Bins are learnt from at most 100,000 evenly spaced rows. Landmarks are drawn with
        torch's generator.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        y : Tensor of shape (n,)
            Targets, 0 or 1. Weights that they have count in all that is learnt.
        """
        weights = weights_of(y)
        X = torch.where(X.isnan(), X.nanmean(0).nan_to_num(), X)
        self.standardise.fit_statistics(X, weights)
        if self.encode is not None:
            step = -(-len(X) // _QUANTILE_ROWS)
            self.encode.fit_statistics(X[::step], None if weights is None else weights[::step])
        if self.kernel_machine is not None:
            landmarks = X[draw_by_class(y, len(self.kernel_machine.landmarks), weights)]
            n_varying = int(self.standardise.scale.isfinite().sum())
            self.kernel_machine.fit_statistics(self._standardised(landmarks), n_varying)
            # weighed by the ridge regression, so not in the draw
            rows = draw_by_class(y, _RIDGE_ROWS)
            y = rows_of(y, rows).to(self.features.device)
            self.kernel_machine.start_from_ridge(
                self._standardised(X[rows]), y.as_subclass(Tensor), weights_of(y)
            )

    def _standardised(self, X: Tensor) -> Tensor:
        # the data may be on another device than the module
        return self.standardise(X.to(self.features.device))

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits of X.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n,) or, with several members, (n, n_members)
        """
        X = torch.where(X.isnan(), self.standardise.mean, X)
        Z = self.standardise(X)
        logits = self.layers(self._inputs(X, Z)).squeeze(-1)
        if self.n_members == 1:
            return logits
        if self.kernel_machine is not None:
            logits = torch.cat([logits, self.kernel_machine(Z).unsqueeze(0)])
        return logits.T

    def embed(self, X: Tensor) -> Tensor:
        """Return the inputs of the last layer of each member, concatenated.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n, d)
            The last hidden layer of each perceptron, then the features of the kernel machine.
        """
        X = torch.where(X.isnan(), self.standardise.mean, X)
        Z = self.standardise(X)
        hidden = self.layers[:-1](self._inputs(X, Z))
        if self.n_members == 1:
            return hidden
        hidden = hidden.transpose(0, 1).flatten(1)
        if self.kernel_machine is None:
            return hidden
        return torch.cat([hidden, self.kernel_machine.embed(Z)], 1)

    def _inputs(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the perceptrons' inputs, from X and from Z, which is X standardised.

        Their shape is (n_perceptrons, n, n_inputs) or, with one member, (n, n_inputs).
        """
        if self.n_members == 1 and self.encode is None:
            return Z
        columns = Z.T.unsqueeze(1)
        if self.encode is not None:
            # encode X, not Z: one far outlier would cost a standardised column its precision
            columns = torch.cat([columns, self.encode(X).permute(1, 2, 0)], 1)
        if self.n_members == 1:
            return columns.flatten(0, 1).T
        columns = columns.index_select(0, self.features.flatten())
        n_members = len(self.features)
        n_inputs = columns.shape[0] * columns.shape[1] // n_members
        return columns.reshape(n_members, n_inputs, len(X)).transpose(1, 2)

    def vote(self, logits: Tensor) -> Tensor:
        """Return the members' joint score.

        It is the logit of the perceptrons' mean probability or, with a kernel machine, the
        weighted mean of that logit (1/3) and the kernel machine's (2/3).

        Parameters
        ----------
        logits : Tensor of shape (n, n_members)

        Returns
        -------
        Tensor of shape (n,)
        """
        if self.kernel_machine is None:
            return mean_probability_logit(logits)
        return (mean_probability_logit(logits[:, :-1]) + 2 * logits[:, -1]) / 3

"""Default networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

_CHUNK = 65_536


class TabularMLP(nn.Module):
    """Multilayer perceptron for raw numerical features.

    Features are standardised with statistics that :meth:`fit_statistics` learns and
    that are buffers of the module: they travel with its state dict, with every
    pickle and with every export.

    Parameters
    ----------
    n_features : int
        Columns of the input, >= 1.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer, >= 1. Empty for a linear model.
    dropout : float, default=0.0
        Share of hidden units zeroed in training, in [0, 1).
    activation : {"relu", "gelu", "silu", "tanh"}, default="relu"

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> import torch
    >>> from skdam import TabularMLP
    >>> X = torch.tensor([[1.0, 500.0], [2.0, 500.0], [3.0, 500.0]])
    >>> module = TabularMLP(n_features=2, hidden_layer_sizes=(8,))
    >>> module.fit_statistics(X)
    >>> module.mean, module.scale
    (tensor([  2., 500.]), tensor([0.8165, 1.0000]))
    >>> module(X).shape
    torch.Size([3])
    """

    mean: Tensor
    scale: Tensor
    layers: nn.Sequential

    def __init__(
        self,
        n_features: int,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        try:
            sizes = (n_features, *hidden_layer_sizes)
        except TypeError:
            raise ValueError(
                f"hidden_layer_sizes must be a sequence of ints, got {hidden_layer_sizes!r}."
            ) from None
        if not all(isinstance(size, Integral) and size >= 1 for size in sizes):
            raise ValueError(
                f"n_features and hidden_layer_sizes must be ints >= 1, got {n_features!r} and "
                f"{hidden_layer_sizes!r}."
            )
        if not isinstance(dropout, Real) or not 0 <= float(dropout) < 1:
            raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}.")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}."
            )
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            # dropout also where it is 0, so that a state dict fits any rate
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    @torch.no_grad()
    def fit_statistics(self, X: Tensor) -> None:
        """Learn mean and standard deviation of each column; a constant one has scale 1.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        """
        # two passes in double precision, in chunks so that no double copy of X is made
        chunks = X.split(_CHUNK)
        mean = sum(chunk.double().sum(0) for chunk in chunks) / len(X)
        variance = sum((chunk.double() - mean).square().sum(0) for chunk in chunks) / len(X)
        deviation = variance.sqrt()
        constant = deviation <= torch.finfo(X.dtype).eps * mean.abs()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, 1.0, deviation))

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, of shape (n,), of X of shape (n, n_features)."""
        return self.layers((X - self.mean) / self.scale).squeeze(-1)

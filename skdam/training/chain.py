"""Networks that are chains of layers, trained without autograd's tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu
from torch.nn.modules.module import (
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_forward_hooks,
    _global_forward_pre_hooks,
)

from skdam._hooks import add_gradient, has_hooks, is_called_as_it_is
from skdam.networks.dropout import Dropout
from skdam.networks.members import MemberLinear
from skdam.networks.tabular import TabularMLP

Places = Mapping[int, Tensor]

_aten = torch.ops.aten

_GLOBAL_HOOKS = (
    _global_forward_pre_hooks,
    _global_forward_hooks,
    _global_backward_pre_hooks,
    _global_backward_hooks,
)


class Chain:
    """Linear layers, activations and dropout, one after another, with gradients in closed form.

    The operations are those of autograd, and so are the numbers. On small batches the bookkeeping
    around them takes as long as they do.

    Parameters
    ----------
    layers : nn.Sequential
        Of layers that :meth:`suits` accepts.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self._links = [_LINKS[type(layer)](layer) for layer in layers]
        for link, following in pairwise(self._links):
            following.follows_linear = link.is_linear
        self._first = next(link for link in self._links if link.is_linear)
        self._others = self._links[: self._links.index(self._first) : -1]

    @staticmethod
    def suits(layers: nn.Module) -> bool:
        """Return whether all layers are of a known kind, all are trained and none has hooks."""
        return (
            type(layers) is nn.Sequential
            and all(type(layer) in _LINKS for layer in layers)
            and any(isinstance(layer, nn.Linear | MemberLinear) for layer in layers)
            and all(is_called_as_it_is(layer) for layer in layers.modules())
            and all(map(_has_its_own_weights, layers))
            and all(p.requires_grad and not has_hooks(p) for p in layers.parameters())
        )

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, without a graph."""
        with torch.no_grad():
            for link in self._links:
                X = link.forward(X)
        return X

    def backward(self, slopes: Tensor, places: Places) -> None:
        """Give the layers their gradients, from that by the output of the last call.

        Parameters
        ----------
        slopes : Tensor
            Is overwritten.
        places : mapping of int to Tensor
            By the ``id`` of a parameter, where its gradient may be put.
        """
        with torch.no_grad():
            for link in self._others:
                link.give(slopes, places)
                slopes = link.backward(slopes)
            # nobody asks for the gradient by the chain's input
            self._first.give(slopes, places)


def _has_its_own_weights(layer: nn.Module) -> bool:
    weights = [getattr(layer, name, None) for name in ("weight", "bias")]
    return all(weight is None or isinstance(weight, nn.Parameter) for weight in weights)


class ChainedModule:
    """A module, all or most of which is a chain.

    Parameters
    ----------
    module : nn.Module
        One that :meth:`suits` accepts.
    """

    def __init__(self, module: nn.Module) -> None:
        if isinstance(module, TabularMLP):
            self._chain = Chain(module.layers)
            self._function: Callable[[Tensor], Tensor] = partial(module.through, self._run)
        else:
            assert isinstance(module, nn.Sequential)
            self._chain = Chain(module)
            self._function = self._run

    @staticmethod
    def suits(module: nn.Module) -> bool:
        """Return whether a call of the module is nothing but what its code here says."""
        if any(map(len, _GLOBAL_HOOKS)):
            return False
        if type(module) is not TabularMLP:
            return Chain.suits(module)
        # the chain's input has no gradient
        inputs = [part for part in (module.standardise, module.encode) if part is not None]
        return (
            is_called_as_it_is(module)
            and Chain.suits(module.layers)
            and not any(p.requires_grad for part in inputs for p in part.parameters())
        )

    def __call__(self, X: Tensor) -> Tensor:
        """Return the logits."""
        self._logits = self._function(X)
        return self._logits

    def _run(self, X: Tensor) -> Tensor:
        self._outputs = self._chain(X)
        return self._outputs

    def backward(self, slopes: Tensor, places: Places) -> None:
        """Give all parameters their gradients, from that by the last logits.

        The arguments are those of :meth:`Chain.backward`.
        """
        if self._logits.requires_grad:
            # a member that is not of the chain
            self._logits.backward(slopes)
        if self._outputs.ndim == 3:
            # members come first in the chain and last in the logits
            slopes = slopes.T[: len(self._outputs)]
        if slopes.ndim < self._outputs.ndim:
            slopes = slopes.unsqueeze(-1)
        self._chain.backward(slopes, places)


class _Link:
    """A layer's way forward and back."""

    is_linear = False
    follows_linear = False

    def forward(self, X: Tensor) -> Tensor:
        """Return the output, and keep what the way back needs."""
        raise NotImplementedError

    def give(self, slopes: Tensor, places: Places) -> None:
        """Give the parameters their gradients, from that by the output."""

    def backward(self, slopes: Tensor) -> Tensor:
        """Return the gradient by the input, from that by the output, which may be overwritten."""
        raise NotImplementedError


def _give(
    parameter: Tensor, places: Places, function: Callable[..., Tensor], *arguments: Any
) -> None:
    """Give a parameter the gradient that a function returns, in its place if that is free."""
    place = places.get(id(parameter))
    if place is None or parameter.grad is not None:
        add_gradient(parameter, function(*arguments))
    else:
        parameter.grad = function(*arguments, out=place)


class _Linear(_Link):
    is_linear = True

    def __init__(self, layer: nn.Linear) -> None:
        self._weight, self._bias = layer.weight, layer.bias

    def forward(self, X: Tensor) -> Tensor:
        self._input = X
        return torch.nn.functional.linear(X, self._weight, self._bias)

    def give(self, slopes: Tensor, places: Places) -> None:
        X, Y = self._input, slopes
        if X.ndim > 2:
            X, Y = X.flatten(0, -2), Y.flatten(0, -2)
        _give(self._weight, places, torch.mm, Y.T, X)
        if self._bias is not None:
            _give(self._bias, places, torch.sum, Y, 0)

    def backward(self, slopes: Tensor) -> Tensor:
        return slopes @ self._weight


class _MemberLinear(_Link):
    is_linear = True

    def __init__(self, layer: MemberLinear) -> None:
        self._weight, self._bias = layer.weight, layer.bias

    def forward(self, X: Tensor) -> Tensor:
        self._input = X
        return torch.baddbmm(self._bias, X, self._weight)

    def give(self, slopes: Tensor, places: Places) -> None:
        _give(self._weight, places, torch.bmm, self._input.mT, slopes)
        _give(self._bias, places, torch.sum, slopes, 1, True)

    def backward(self, slopes: Tensor) -> Tensor:
        return torch.bmm(slopes, self._weight.mT)


class _Activation(_Link):
    """An activation, the slope of which is a function of its input or of its output.

    Parameters
    ----------
    function : callable
    slope : callable
        Takes the gradient by the output and what is kept; ``grad_input`` is where to put the
        result.
    function_ : callable or None, default=None
        The function in place, if its slope is one of the output.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        slope: Callable[..., Tensor],
        function_: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._function = function
        self._slope = slope
        self._function_ = function_

    def forward(self, X: Tensor) -> Tensor:
        if self._function_ is None:
            self._kept = X
            return self._function(X)
        # what a linear layer puts out, it does not need again
        self._kept = (self._function_ if self.follows_linear else self._function)(X)
        return self._kept

    def backward(self, slopes: Tensor) -> Tensor:
        return self._slope(slopes, self._kept, grad_input=slopes)


class _Dropout(_Link):
    _mask: Tensor | None

    def __init__(self, layer: nn.Dropout) -> None:
        self._layer = layer

    def forward(self, X: Tensor) -> Tensor:
        self._mask = None
        if not self._layer.training or self._layer.p == 0:
            return X
        if isinstance(self._layer, Dropout):
            self._mask = self._layer.mask(X)
        else:
            self._mask = self._layer(torch.ones_like(X))
        return X * self._mask

    def backward(self, slopes: Tensor) -> Tensor:
        return slopes if self._mask is None else slopes.mul_(self._mask)


def _relu(layer: nn.ReLU) -> _Link:
    slope = partial(_aten.threshold_backward.grad_input, threshold=0)
    return _Activation(torch.relu, slope, torch.relu_)


def _tanh(layer: nn.Tanh) -> _Link:
    return _Activation(torch.tanh, _aten.tanh_backward.grad_input, torch.tanh_)


def _silu(layer: nn.SiLU) -> _Link:
    return _Activation(silu, _aten.silu_backward.grad_input)


def _gelu(layer: nn.GELU) -> _Link:
    form = layer.approximate
    slope = partial(_aten.gelu_backward.grad_input, approximate=form)
    return _Activation(partial(gelu, approximate=form), slope)


_LINKS: dict[type[nn.Module], Callable[..., _Link]] = {
    nn.Linear: _Linear,
    MemberLinear: _MemberLinear,
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.SiLU: _silu,
    nn.GELU: _gelu,
    nn.Dropout: _Dropout,
    Dropout: _Dropout,
}

"""What a step of an optimizer works on: one parameter, or many as one vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

State = dict[str, Any]

_ALIGNMENT = 64  # bytes, as torch's own allocations have


class Single:
    """A parameter and its state.

    Parameters
    ----------
    parameter : Tensor
    state : dict
    """

    def __init__(self, parameter: Tensor, state: State) -> None:
        self.value = parameter
        self.state = state

    def load(self) -> bool:
        """Return whether there is a gradient, and a dense one."""
        return self.value.grad is not None and not self.value.grad.is_sparse

    def gradient(self, bound: float) -> Tensor:
        """Return a copy of the gradient, clipped to [-bound, bound]."""
        assert self.value.grad is not None
        return self.value.grad.clamp(-bound, bound)

    def changed(self) -> None:
        """Say that the value has changed, which autograd knows here."""


class Pack:
    """Parameters as views of one vector, and their gradients and states likewise.

    There is one call where there was one for each parameter, which on small tensors costs
    more than the arithmetic, and memory for gradients is taken once.

    Parameters
    ----------
    parameters : list of Tensor
    states : list of dict
        The state of each. Their entries become the pack's, until :meth:`dissolve`. See
        :meth:`suits`.

    Attributes
    ----------
    value : Tensor
        The vector.
    state : dict
        What the states of the parameters held, joined.
    """

    def __init__(self, parameters: list[Tensor], states: list[State]) -> None:
        self._parameters = parameters
        self._states = states
        multiple = _ALIGNMENT // parameters[0].element_size()
        self._sizes = [-(-parameter.numel() // multiple) * multiple for parameter in parameters]
        self.value = self._joined(parameters)
        for parameter, part in zip(parameters, self._parts(self.value), strict=True):
            parameter.data = part
        self._places = _places(parameters)
        self._gradient = torch.zeros_like(self.value)
        self._parts_of_gradient = self._parts(self._gradient)
        self.state = dict(states[0])
        for key, value in self.state.items():
            if isinstance(value, Tensor):
                self.state[key] = self._joined([state[key] for state in states])
        for state in states:
            state.clear()

    @staticmethod
    def suits(parameters: list[Tensor], states: list[State]) -> bool:
        """Return whether parameters can be packed.

        They are of one dtype, on one device, contiguous, and their states have the same
        entries. They do not share memory: not with each other, as tied ones do, not with other
        tensors, as those of a recurrent layer on CUDA do, nor with other processes.
        """
        if not parameters or any(is_lazy(parameter) for parameter in parameters):
            return False
        first = parameters[0]
        numbers = [{k: v for k, v in s.items() if not isinstance(v, Tensor)} for s in states]
        return (
            all(p.dtype == first.dtype and p.device == first.device for p in parameters)
            and all(p.is_contiguous() for p in parameters)
            and all(0 < p.nbytes == p.untyped_storage().nbytes() for p in parameters)
            and len({p.data_ptr() for p in parameters}) == len(parameters)
            and not (first.device.type == "cpu" and any(p.is_shared() for p in parameters))
            and all(state.keys() == states[0].keys() for state in states)
            and all(number == numbers[0] for number in numbers)
        )

    def holds(self, parameters: list[Tensor], first_state: State) -> bool:
        """Return whether the pack is still of these parameters, where it put them, and states."""
        return first_state is self._states[0] and _places(parameters) == self._places

    def dissolve(self) -> None:
        """Give each parameter memory of its own again, and its state what the pack has for it."""
        for parameter, place in zip(self._parameters, self._places, strict=True):
            if _places([parameter]) == [place]:
                parameter.data = parameter.data.clone()
        for key, value in self.state.items():
            values = [value] * len(self._states)
            if isinstance(value, Tensor):
                values = [part.clone() for part in self._parts(value)]
            for state, own in zip(self._states, values, strict=True):
                state[key] = own

    def load(self) -> bool:
        """Take the gradients as they are now, if all parameters have one, and a dense one."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if len(gradients) < len(self._parameters) or any(g.is_sparse for g in gradients):
            return False
        torch._foreach_copy_(self._parts_of_gradient, gradients)
        return True

    def gradient(self, bound: float) -> Tensor:
        """Return the gradients, clipped to [-bound, bound]."""
        return self._gradient.clamp_(-bound, bound)

    def changed(self) -> None:
        """Say that the value has changed: the parameters do not count what the vector counts."""
        torch.autograd.graph.increment_version(self._parameters)

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        # zeros, as there are gaps between the parts
        vector = tensors[0].new_zeros(sum(self._sizes))
        torch._foreach_copy_(self._parts(vector), tensors)
        return vector

    def _parts(self, vector: Tensor) -> list[Tensor]:
        return [
            part[: parameter.numel()].view(parameter.shape)
            for part, parameter in zip(vector.split(self._sizes), self._parameters, strict=True)
        ]


def _places(parameters: list[Tensor]) -> list[tuple[int, int]]:
    return [(parameter.data_ptr(), parameter.numel()) for parameter in parameters]

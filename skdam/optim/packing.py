"""What a step of an optimizer works on: one parameter, or many as one vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = dict[str, Any]

_ALIGNMENT = 64  # bytes, as torch's own allocations have
_OF_NETWORK = {"inner_point", "inner_square", "inner_count"}


class Part:
    """Values that step together, and their state.

    Parameters
    ----------
    value : Tensor
    state : dict
    """

    network: Any  # the share of the network, a part, or None

    def __init__(self, value: Tensor, state: State) -> None:
        self.value = value
        self.state = state

    def load(self) -> bool:
        """Take the gradients as they are now; return whether all have one, and a dense one."""
        raise NotImplementedError

    def gradient(self, bound: float) -> Tensor:
        """Return the gradient, clipped to [-bound, bound], as a tensor that may be changed."""
        raise NotImplementedError

    def reference(self) -> Tensor:
        """Return the values that the stage started from."""
        if "reference" not in self.state:
            self.state["reference"] = self.value.clone()
        return self.state["reference"]

    def changed(self) -> None:
        """Tell autograd that the value has changed, where it does not know."""


class Single(Part):
    """A parameter and its state.

    Parameters
    ----------
    parameter : Tensor
    state : dict
    is_of_network : bool
        Whether it is of the network, not of the loss.
    """

    def __init__(self, parameter: Tensor, state: State, is_of_network: bool) -> None:
        super().__init__(parameter, state)
        self.network = self if is_of_network else None

    def load(self) -> bool:
        return self.value.grad is not None and not self.value.grad.is_sparse

    def gradient(self, bound: float) -> Tensor:
        assert self.value.grad is not None
        return self.value.grad.clamp(-bound, bound)


class Form(NamedTuple):
    """Shapes of tensors, and the sizes of their parts in a vector."""

    shapes: list[torch.Size]
    sizes: list[int]

    @classmethod
    def of(cls, tensors: list[Tensor]) -> Form:
        """Return that of tensors of one dtype."""
        multiple = _ALIGNMENT // tensors[0].element_size()
        sizes = [-(-tensor.numel() // multiple) * multiple for tensor in tensors]
        return cls([tensor.shape for tensor in tensors], sizes)

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Return the tensors, as views of the vector."""
        parts = vector.split(self.sizes)
        return [
            part[: shape.numel()].view(shape)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return tensors of these shapes as a vector, with zeros between them."""
        pieces = []
        for tensor, size in zip(tensors, self.sizes, strict=True):
            pieces += [tensor.flatten(), tensor.new_zeros(size - tensor.numel())]
        return torch.cat(pieces)

    def first(self, count: int) -> Form:
        """Return that of the first tensors."""
        return Form(self.shapes[:count], self.sizes[:count])


class Vector(Part):
    """Parameters as views of one vector, their gradients likewise, and a state of all.

    Parameters
    ----------
    parameters : list of Tensor
    form : Form
        That of the parameters.
    value : Tensor
    gradient, step : Tensor
        Vectors to be filled.
    """

    def __init__(
        self, parameters: list[Tensor], form: Form, value: Tensor, gradient: Tensor, step: Tensor
    ) -> None:
        super().__init__(value, {})
        self.parameters = parameters
        self.form = form
        self._gradient = gradient
        self._gradients = form.parts(gradient)
        self._step = step

    def load(self) -> bool:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if len(gradients) < len(self.parameters) or any(g.is_sparse for g in gradients):
            return False
        pairs = zip(self._gradients, gradients, strict=True)
        strays = [(place, gradient) for place, gradient in pairs if gradient is not place]
        if strays:
            places, gradients = map(list, zip(*strays, strict=True))
            torch._foreach_copy_(places, gradients)
        return True

    def places(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the ids of the parameters, each with the place of its gradient."""
        return zip(map(id, self.parameters), self._gradients, strict=True)

    def gradient(self, bound: float) -> Tensor:
        return torch.clamp(self._gradient, -bound, bound, out=self._step)

    def changed(self) -> None:
        # the parameters do not count what the vector counts
        torch.autograd.graph.increment_version(self.parameters)


class Pack(Vector):
    """Parameters as views of one vector, and their gradients and states likewise.

    There is one call where there was one for each parameter, which on small tensors costs
    more than the arithmetic, and memory for gradients is taken once.

    Parameters
    ----------
    parameters : list of Tensor
        Those of the network first, then those of the loss.
    states : list of dict
        The state of each. Their entries become the pack's, until :meth:`dissolve`. See
        :meth:`suits`.
    n_of_network : int
        How many are of the network.

    Attributes
    ----------
    value : Tensor
        The vector.
    state : dict
        What the states of all parameters held, joined.
    network : Vector or None
        The share of the network, with what only the states of its parameters held.
    """

    def __init__(self, parameters: list[Tensor], states: list[State], n_of_network: int) -> None:
        form = Form.of(parameters)
        value = form.joined(parameters)
        super().__init__(parameters, form, value, torch.zeros_like(value), torch.zeros_like(value))
        for parameter, part in zip(parameters, form.parts(value), strict=True):
            parameter.data = part
        self._places = _places(parameters)
        self._states = states
        self.network = None
        if n_of_network == len(parameters):
            self.network = self
        elif n_of_network:
            self.network = _Share(self, n_of_network)
        for key in states[0]:
            values = [state[key] for state in states if key in state]
            owner = self if len(values) == len(states) else self.network
            assert owner is not None
            is_tensor = isinstance(values[0], Tensor)
            owner.state[key] = owner.form.joined(values) if is_tensor else values[0]
        for state in states:
            state.clear()

    @staticmethod
    def suits(parameters: list[Tensor], states: list[State], n_of_network: int) -> bool:
        """Return whether parameters can be packed.

        They are of one dtype, on one device, contiguous, and their states have the same
        entries, but for what the inner phase keeps of the network. They do not share memory: not
        with each other, as tied ones do, not with other tensors, as those of a recurrent layer on
        CUDA do, nor with other processes.
        """
        if not parameters:
            return False
        first = parameters[0]
        shared = states[-1].keys()
        own = states[0].keys() - shared
        return (
            all(p.dtype == first.dtype and p.device == first.device for p in parameters)
            and all(p.is_contiguous() for p in parameters)
            and all(0 < p.nbytes == p.untyped_storage().nbytes() for p in parameters)
            and len({p.data_ptr() for p in parameters}) == len(parameters)
            and not (first.device.type == "cpu" and any(p.is_shared() for p in parameters))
            and own <= _OF_NETWORK
            and _agree(states, shared)
            and _agree(states[:n_of_network], own)
            and all(len(state) == len(shared) for state in states[n_of_network:])
            and all(len(state) == len(shared | own) for state in states[:n_of_network])
        )

    def dissolve(self) -> None:
        """Give each parameter memory of its own again, and its state what the pack has for it."""
        for parameter, place in zip(self.parameters, self._places, strict=True):
            if _places([parameter]) == [place]:
                parameter.data = parameter.data.clone()
        for share in {self, self.network or self}:
            n_states = len(share.parameters)
            for key, value in share.state.items():
                values = [value] * n_states
                if isinstance(value, Tensor):
                    values = [part.clone() for part in share.form.parts(value)]
                for state, own in zip(self._states[:n_states], values, strict=True):
                    state[key] = own


class _Share(Vector):
    """The first parameters of a pack."""

    def __init__(self, pack: Pack, count: int) -> None:
        self.network = self
        form = pack.form.first(count)
        vectors = (pack.value, pack._gradient, pack._step)
        super().__init__(
            pack.parameters[:count], form, *(vector[: sum(form.sizes)] for vector in vectors)
        )
        self._pack = pack

    def reference(self) -> Tensor:
        return self._pack.reference()[: len(self.value)]


def _places(parameters: list[Tensor]) -> list[tuple[int, int]]:
    return [(parameter.data_ptr(), parameter.numel()) for parameter in parameters]


def _agree(states: list[State], keys: Iterable[str]) -> bool:
    """Return whether all states have these entries, and those that are numbers are the same."""
    return all(
        key in state and (isinstance(state[key], Tensor) or state[key] == states[0][key])
        for key in keys
        for state in states
    )

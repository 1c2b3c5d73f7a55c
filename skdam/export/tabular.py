"""The network for tables, in operations that torch.export and ONNX have."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from skdam.networks.columns import ColumnLayer
from skdam.networks.kernel import KernelMachine, kernels_of
from skdam.networks.members import MemberLinear
from skdam.training.scoring import vote

# distances are summed over this many columns at a time, or over more in this many steps
_COLUMNS, _STEPS = 8, 64


class Table(nn.Module):
    """A :class:`TabularMLP`, in operations that ONNX has."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        machine, self.shares = network.kernel_machine, network.shares.tolist()
        self.kernels = _Kernels(machine) if machine is not None and self.shares[1] else None
        network.kernel_machine = None
        if network.encoded is not None:
            network.encoded = _Ramps(network.encoded)
        network.linear = _Linear(network.linear)
        layers = [_Linear(la) if isinstance(la, MemberLinear) else la for la in network.layers]
        network.layers = nn.Sequential(*layers)
        self.perceptrons = network

    def forward(self, X: Tensor) -> Tensor:
        """Return the score of ``decision_function``, of shape (n,)."""
        score = vote(self.perceptrons, self.perceptrons(X))
        if self.kernels is None:
            return score
        return self.shares[0] * score + self.shares[1] * self.kernels(self.perceptrons.columns(X))


class _Linear(nn.Module):
    """A :class:`MemberLinear`, without the operation that torch 2.6 cannot export."""

    def __init__(self, layer: MemberLinear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, X: Tensor) -> Tensor:
        return X @ self.weight + self.bias


class _Ramps(nn.Module):
    r"""A :class:`ColumnLayer` as one matrix product, without a search for nodes.

    With the nodes :math:`t_k` of a number, and their rows :math:`v_k` of the layer's table, the
    function of the column is :math:`v_0 + \sum_k r_k(x) (v_{k+1} - v_k)`. The ramp :math:`r_k`
    rises from 0 to 1 between two nodes. A category has an indicator for each of its nodes. A gap
    has an indicator too, and is filled with the first node or code.
    """

    ramps: Tensor
    categories: Tensor
    indicators: Tensor
    first_code: Tensor
    fill: Tensor
    at: Tensor
    slope: Tensor
    node_of_code: Tensor
    node: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ColumnLayer) -> None:
        super().__init__()
        nodes, first = layer.nodes, layer.first_row
        self._shape = layer.shape
        table = layer.table().detach().double()
        # there is a ramp below each node but the first
        number, k = nodes.nodes[:, 1:].isfinite().nonzero(as_tuple=True)
        numbers = torch.tensor(nodes.numbers, dtype=torch.int64)
        ramps = numbers[number]
        lower = first[ramps] + k
        # the position of an indicator's column among the categories, and its node
        sizes = [nodes.n_nodes[column] for column in nodes.categories]
        pairs = [(i, node) for i, size in enumerate(sizes) for node in range(size)]
        indicators, node = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).unbind(1)
        categories = torch.tensor(nodes.categories, dtype=torch.int64)
        fill, filled = torch.zeros(len(first)), first.clone()
        fill[numbers] = nodes.nodes[:, 0].nan_to_num(posinf=0.0)
        filled[categories] += nodes.node_of_code[nodes.first_code]
        weight = [
            table[layer.first_gap :] - table[filled],
            table[lower + 1] - table[lower],
            table[first[categories[indicators]] + node],
        ]
        self.register_buffer("ramps", ramps)
        self.register_buffer("categories", categories)
        self.register_buffer("indicators", indicators)
        self.register_buffer("first_code", nodes.first_code)
        self.register_buffer("fill", fill)
        self.register_buffer("at", nodes.nodes[number, k])
        self.register_buffer("slope", nodes.slope[number, k])
        self.register_buffer("node_of_code", nodes.node_of_code)
        self.register_buffer("node", node)
        self.register_buffer("weight", torch.cat(weight).float())
        self.register_buffer("bias", table[first[numbers]].sum(0).float())

    def forward(self, X: Tensor) -> Tensor:
        is_gap = X.isnan()
        X = torch.where(is_gap, self.fill, X)
        parts = [is_gap.float()]
        if len(self.ramps):
            distance = X.index_select(1, self.ramps) - self.at
            parts.append((distance * self.slope).clamp(0, 1))
        if len(self.categories):
            codes = X.index_select(1, self.categories).long() + self.first_code
            node = self.node_of_code[codes].index_select(1, self.indicators)
            parts.append((node == self.node).float())
        units = torch.addmm(self.bias, torch.cat(parts, 1), self.weight)
        return units.unflatten(1, self._shape).transpose(0, 1)


class _Kernels(nn.Module):
    """The scores of a :class:`KernelMachine`, with distances as sums over columns."""

    weights: Tensor
    columns: Tensor
    landmarks: Tensor

    def __init__(self, machine: KernelMachine) -> None:
        super().__init__()
        weights = machine.weights.mean(0)
        is_used = weights.any(0)
        self.register_buffer("weights", weights[:, is_used])
        columns = machine.varies.nonzero().squeeze(1)
        self.register_buffer("columns", columns)
        self.register_buffer("landmarks", machine.landmarks[is_used][:, columns].T.contiguous())
        # the differences of all columns at once would take too much memory
        size = max(_COLUMNS, math.ceil(len(columns) / _STEPS))
        self._steps = [slice(start, start + size) for start in range(0, len(columns), size)]

    def forward(self, Z: Tensor) -> Tensor:
        Z = Z.index_select(1, self.columns).unsqueeze(2)
        parts = ((Z[:, some] - self.landmarks[some]).abs().sum(1) for some in self._steps)
        distance: Any = sum(parts)
        kernels = kernels_of(distance, len(self.columns))
        return sum(kernel @ w for kernel, w in zip(kernels, self.weights, strict=True))

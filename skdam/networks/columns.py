"""Columns of a table, with gaps and categories, as inputs of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from skdam.networks.statistics import Standardiser, placeholder_of, quantiles, usual_range

_MIN_COUNT = 3
_MAX_ONE_HOT = 16
_CLIP = 3.0
# small: training starts from what is linear in the standardised columns
_GAIN = 0.15


class ColumnNodes(nn.Module):
    """The nodes of each column, between which a function of the column is linear.

    The nodes of a number are its quantiles or, where it has few distinct values, those values.
    The nodes of a category are the categories that occur, the frequent ones first; the last node
    is for those that are rare, which is in fewer than three rows, and for codes never seen.

    Parameters
    ----------
    n_nodes : sequence of int
        Nodes of each column, >= 2; a column may use fewer.
    n_categories : sequence of int
        Categories of each column, 0 for a number. A category is a code below that.
    n_quantiles : int
        Nodes of a number that has more distinct values than nodes, >= 2.

    Attributes
    ----------
    numbers, categories : list of int
        The columns that are numbers, and those that are categories.
    n_nodes : tuple of int
        Nodes of each column.
    nodes, slope : Tensor of shape (len(numbers), n)
        The nodes of each number, increasing and infinite at the end, and one over the distance of
        each to the next.
    node_of_code : Tensor of int64
        The node of each code of each category.
    first_code : Tensor of shape (len(categories),), int64
        Where in ``node_of_code`` the codes of each category begin.
    """

    nodes: Tensor
    slope: Tensor
    is_ordered: Tensor
    has_many_values: Tensor
    node_of_code: Tensor

    def __init__(
        self, n_nodes: Sequence[int], n_categories: Sequence[int], n_quantiles: int
    ) -> None:
        super().__init__()
        self.n_nodes = tuple(n_nodes)
        self._n_quantiles = n_quantiles
        self.numbers = [j for j, size in enumerate(n_categories) if not size]
        self.categories = [j for j, size in enumerate(n_categories) if size]
        most = max((self.n_nodes[j] for j in self.numbers), default=2)
        codes = torch.tensor([0, *(n_categories[j] for j in self.categories)]).cumsum(0)
        self._codes = list(pairwise(codes.tolist()))
        self.first_code = codes[:-1]
        n_numbers = len(self.numbers)
        self.register_buffer("nodes", torch.full((n_numbers, most), math.inf))
        self.register_buffer("slope", torch.zeros(n_numbers, most))
        self.register_buffer("is_ordered", torch.zeros(len(self.n_nodes), dtype=torch.bool))
        self.register_buffer("has_many_values", torch.zeros(len(self.n_nodes), dtype=torch.bool))
        self.register_buffer("node_of_code", torch.zeros(int(codes[-1]), dtype=torch.int64))

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, weights: Tensor | None = None) -> None:
        """Learn the nodes of each column.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Numbers and codes of categories; NaN for gaps.
        weights : Tensor of shape (n,) or None, default=None
            Weights of the examples; None for equal ones.
        """
        self.nodes.fill_(math.inf)
        self.slope.zero_()
        self.is_ordered.zero_()
        self.has_many_values.zero_()
        for row, column in enumerate(self.numbers):
            present = ~X[:, column].isnan()
            values = X[present, column].double()
            if not len(values):
                continue
            nodes = values.unique()
            if len(nodes) > self.n_nodes[column]:
                levels = torch.linspace(0, 1, self._n_quantiles, dtype=torch.float64)
                shares = None if weights is None else weights[present]
                # quantiles that occur as values: codes and counts have no values in between
                nodes = quantiles(values, levels.to(values.device), shares).unique()
                self.is_ordered[column] = True
            self.has_many_values[column] = len(nodes) > self._n_quantiles
            self.nodes[row, : len(nodes)] = nodes
            largest = torch.finfo(self.slope.dtype).max
            self.slope[row, : len(nodes) - 1] = (1 / nodes.diff()).clamp(max=largest)
        if weights is None:
            weights = torch.ones(len(X), device=X.device)
        for column, (start, end) in zip(self.categories, self._codes, strict=True):
            codes = X[:, column]
            present = ~codes.isnan()
            codes, shares = codes[present].long(), weights[present].double()
            counts = torch.bincount(codes, minlength=end - start)
            order = torch.bincount(codes, shares, minlength=end - start).argsort(
                descending=True, stable=True
            )
            rare = self.n_nodes[column] - 1
            node = torch.full_like(order, rare)
            node[order[:rare]] = torch.arange(min(rare, len(order)), device=order.device)
            node[counts < _MIN_COUNT] = rare
            self.node_of_code[start:end] = node

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return between which nodes the values lie.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        node : Tensor of shape (n, n_features), int64
            The node at or below the value, the first for a value below all; 0 for a gap.
        fraction : Tensor of shape (n, n_features)
            The position between that node and the next, in [0, 1].
        """
        if not self.categories:
            node, fraction = self._between(X.T.contiguous())
            return node.T, fraction.T
        node = X.new_empty(X.shape, dtype=torch.int64)
        fraction = torch.zeros_like(X)
        if self.numbers:
            below, part = self._between(X[:, self.numbers].T.contiguous())
            node[:, self.numbers], fraction[:, self.numbers] = below.T, part.T
        codes = X[:, self.categories].nan_to_num_(0).long()
        node[:, self.categories] = self.node_of_code[codes + self.first_code.to(codes.device)]
        return node, fraction

    def _between(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        # columns are rows here: that is what searchsorted takes
        last = self.nodes.shape[1] - 1
        node = torch.searchsorted(self.nodes, columns, right=True).sub_(1).clamp_(0, last)
        distance = columns - self.nodes.gather(1, node)
        fraction = distance.mul_(self.slope.gather(1, node)).nan_to_num_(0).clamp_(0, 1)
        # NaN is sorted behind all nodes
        return node.masked_fill_(columns.isnan(), 0), fraction


class ColumnLayer(nn.Module):
    r"""Units of an ensemble as sums of functions, one for each column and unit.

    A member turns a column into an embedding of a few numbers, and sums linear functions of all
    embeddings,

    .. math:: h = \sum_j W_j e_j(x_j) .

    The embedding :math:`e_j` of a number is continuous and linear between the nodes of the column
    [1]_. A category has a vector for each node, and a gap has one of its own. As all of this is
    linear in the vectors of the nodes, their products with :math:`W_j` are computed once for a
    batch, and a row is a weighted sum of two rows of that table for each column.

    Parameters
    ----------
    n_nodes, n_categories : sequence of int
        As in :class:`ColumnNodes`.
    n_quantiles : int
        As in :class:`ColumnNodes`.
    n_members : int
    n_out : int
        Units of each member.
    n_embedding : int
        Numbers of the embedding of a column, >= 1.

    Attributes
    ----------
    nodes : ColumnNodes
    shape : pair of int
        ``(n_members, n_out)``.
    first_row : Tensor of shape (n_features,), int64
        The row of the :meth:`table` for the first node of each column.
    first_gap : int
        The row of the table for the gap of the first column.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in
       Tabular Deep Learning", NeurIPS 2022, arXiv:2203.05556, section 3.2.
    """

    def __init__(
        self,
        n_nodes: Sequence[int],
        n_categories: Sequence[int],
        n_quantiles: int,
        n_members: int,
        n_out: int,
        n_embedding: int,
    ) -> None:
        super().__init__()
        n_features = len(n_nodes)
        self.nodes = ColumnNodes(n_nodes, n_categories, n_quantiles)
        self.shape = (n_members, n_out)
        # columns with as many nodes are computed together
        self._columns = [
            torch.tensor([j for j, other in enumerate(n_nodes) if other == size])
            for size in sorted(set(n_nodes))
        ]
        sizes = sorted(set(n_nodes))
        self.vectors = nn.ParameterList(
            torch.empty(len(columns), size, n_members, n_embedding).uniform_(-1, 1)
            for columns, size in zip(self._columns, sizes, strict=True)
        )
        self.gap = nn.Parameter(torch.empty(n_features, n_members, n_embedding).uniform_(-1, 1))
        bound = _GAIN / math.sqrt(n_features * n_embedding)
        shape = (n_features, n_members, n_embedding, n_out)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        first, row = torch.empty(n_features, dtype=torch.int64), 0
        for columns, size in zip(self._columns, sizes, strict=True):
            first[columns] = row + size * torch.arange(len(columns))
            row += size * len(columns)
        self.first_row = first
        self.first_gap = row
        self._kept: tuple[object, Tensor] | None = None

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, weights: Tensor | None = None) -> None:
        """Learn the nodes, and scale the initial vectors of ordered ones.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        weights : Tensor of shape (n,) or None, default=None
        """
        self.nodes.fit_statistics(X, weights)
        for columns, vectors in zip(self._columns, self.vectors, strict=True):
            # their sum over the nodes has the variance of a vector
            scaled = vectors[:, 1:] * math.sqrt(3 / vectors.shape[1])
            vectors[:, 1:] = torch.where(self._holds_increments(columns), scaled, vectors[:, 1:])

    def table(self) -> Tensor:
        """Return what each node, and then each gap, adds to the units.

        In prediction the last one is kept: it takes as long as all the rest for a single row.

        Returns
        -------
        Tensor of shape (n_rows, n_members * n_out)
        """
        if (
            self.training
            or torch.is_grad_enabled()
            or torch.is_autocast_enabled(self.gap.device.type)
            or torch.compiler.is_compiling()
            or self.gap.is_inference()
        ):
            self._kept = None
            return self._computed_table()
        # torch counts the changes of a tensor in place, except of those made in inference mode
        sources = (*self.parameters(), self.nodes.is_ordered, self.nodes.has_many_values)
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in sources)
        kept = self._kept
        if kept is None or kept[0] != state:
            kept = self._kept = (state, self._computed_table())
        return kept[1]

    def _computed_table(self) -> Tensor:
        parts = []
        for columns, vectors in zip(self._columns, self.vectors, strict=True):
            increments = self._holds_increments(columns)
            values = torch.where(increments, vectors.cumsum(1), vectors)
            on_device = columns.to(vectors.device)
            weight = self.weight if len(self._columns) == 1 else self.weight[on_device]
            parts.append(torch.einsum("crme,cmeh->crmh", values, weight).flatten(0, 1).flatten(1))
        parts.append(torch.einsum("cme,cmeh->cmh", self.gap, self.weight).flatten(1))
        return torch.cat(parts)

    def _holds_increments(self, columns: Tensor) -> Tensor:
        """Return where vectors are increments from node to node, of shape (columns, 1, members, 1).

        Neighbouring quantiles are alike, and learn from each other by increments. Values of a
        number may be alike or not, as days or postal codes: half of the members take them as the
        one, half as the other.
        """
        columns = columns.to(self.weight.device)
        is_even = torch.arange(self.shape[0], device=columns.device) % 2 == 0
        is_ordered = self.nodes.is_ordered[columns].unsqueeze(1)
        has_many = self.nodes.has_many_values[columns].unsqueeze(1)
        return (is_ordered | (has_many & is_even))[:, None, :, None]

    def rows(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows of the table each example sums, and their weights.

        Returns
        -------
        index : Tensor of shape (n, 2 * n_features), int64
        weights : Tensor of shape (n, 2 * n_features)
        """
        node, fraction = self.nodes(X)
        first = self.first_row.to(X.device)
        lower = node + first
        of_gaps = self.first_gap + torch.arange(X.shape[1], device=X.device)
        lower = torch.where(X.isnan(), of_gaps, lower)
        # the fraction is 0 where there is no next node
        upper = torch.where(fraction > 0, lower + 1, lower)
        return torch.cat([lower, upper], 1), torch.cat([1 - fraction, fraction], 1)

    def forward(self, X: Tensor) -> Tensor:
        """Return the units of all members.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n_members, n, n_out)
        """
        n_members, n_out = self.shape
        index, weights = self.rows(X)
        # autocast may have made the table of other numbers
        units = _weighted_sums(self.table().to(weights.dtype), index, weights)
        return units.view(len(X), n_members, n_out).transpose(0, 1)

    def of_member(self, X: Tensor, member: int, table: Tensor) -> Tensor:
        """Return the units of one member, of shape (n, n_out), from the :meth:`table`."""
        n_out = self.shape[1]
        index, weights = self.rows(X)
        part = table[:, member * n_out : (member + 1) * n_out].contiguous()
        return _weighted_sums(part, index, weights)


class StandardColumns(nn.Module):
    """Columns as numbers of mean 0 and variance 1, clipped to [-3, 3].

    A gap in a column of numbers becomes the mean, and an indicator column marks it; so does a
    placeholder for gaps, see :func:`placeholder_of`. A column of categories becomes an indicator
    column for each of its 16 most frequent categories. Columns that are constant in the training
    data are 0.

    Parameters
    ----------
    n_categories : sequence of int
        Categories of each column, 0 for a number.

    Attributes
    ----------
    n_out : int
        Columns of the output.
    """

    has_placeholder: Tensor
    placeholder: Tensor
    mean: Tensor
    frequent: Tensor

    def __init__(self, n_categories: Sequence[int]) -> None:
        super().__init__()
        self._numbers = [j for j, size in enumerate(n_categories) if not size]
        sizes = {j: min(size, _MAX_ONE_HOT) for j, size in enumerate(n_categories) if size}
        self._column_of_code = [j for j, size in sizes.items() for _ in range(size)]
        self._sizes = sizes
        self.n_out = 2 * len(self._numbers) + len(self._column_of_code)
        self.register_buffer("has_placeholder", torch.zeros(len(self._numbers), dtype=torch.bool))
        self.register_buffer("placeholder", torch.zeros(len(self._numbers)))
        self.register_buffer("mean", torch.zeros(len(self._numbers)))
        self.register_buffer("frequent", torch.zeros(len(self._column_of_code)))
        self.standardise = Standardiser(self.n_out)

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, weights: Tensor | None = None) -> None:
        """Learn placeholders, means, deviations and the frequent categories.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        weights : Tensor of shape (n,) or None, default=None
        """
        shares = torch.ones(len(X), device=X.device) if weights is None else weights
        X = X.clone()
        for i, column in enumerate(self._numbers):
            present = ~X[:, column].isnan()
            self.has_placeholder[i], self.placeholder[i], self.mean[i] = False, 0, 0
            if not present.any():
                continue
            values, share = X[present, column].double(), shares[present].double()
            if (placeholder := placeholder_of(values, share)) is not None:
                self.has_placeholder[i], self.placeholder[i] = True, placeholder
                present &= X[:, column] != self.placeholder[i]
                values, share = X[present, column].double(), shares[present].double()
            values = values.clamp(*usual_range(values, share))
            X[present, column] = values.to(X.dtype)
            self.mean[i] = share @ values / share.sum()
        start = 0
        for column, size in self._sizes.items():
            present = ~X[:, column].isnan()
            counts = torch.bincount(
                X[present, column].long(), shares[present].double(), minlength=size
            )
            most = counts.argsort(descending=True, stable=True)[:size]
            self.frequent[start : start + size] = most.to(self.frequent)
            start += size
        self.standardise.fit_statistics(self._expanded(X), weights)

    def forward(self, X: Tensor) -> Tensor:
        """Return the columns of X, of shape (n, n_out)."""
        return self.standardise(self._expanded(X)).clamp(-_CLIP, _CLIP)

    def _expanded(self, X: Tensor) -> Tensor:
        numbers = X if len(self._numbers) == X.shape[1] else X[:, self._numbers]
        gap = numbers.isnan() | (self.has_placeholder & (numbers == self.placeholder))
        parts = [torch.where(gap, self.mean, numbers), gap.to(X.dtype)]
        if self._column_of_code:
            parts.append((X[:, self._column_of_code] == self.frequent).to(X.dtype))
        return torch.cat(parts, 1)


def _weighted_sums(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Return weighted sums of rows of a table, of shape (n, width).

    Parameters
    ----------
    table : Tensor of shape (n_rows, width)
    index : Tensor of shape (n, n_summed), int64
    weights : Tensor of shape (n, n_summed)
    """
    # torch cannot differentiate its embedding_bag twice, as the exact hypergradient has to
    if table.requires_grad and not weights.requires_grad and not torch.compiler.is_compiling():
        return _Gather.apply(table, index, weights)
    return embedding_bag(index, table, per_sample_weights=weights, mode="sum")


class _Gather(torch.autograd.Function):
    """Weighted sums of rows of a table: a linear map, the gradient of which is its transpose.

    Where no second derivative is wanted, torch's own gradient is taken, which is the fastest.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(index, weights)
        ctx.n_rows = len(table)
        with torch.enable_grad():
            ctx.table = table.detach().requires_grad_()
            ctx.sums = embedding_bag(index, ctx.table, per_sample_weights=weights, mode="sum")
        return ctx.sums.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if not torch.is_grad_enabled():
            return torch.autograd.grad(ctx.sums, ctx.table, grad, retain_graph=True)[0], None, None
        return _Scatter.apply(grad, *ctx.saved_tensors, ctx.n_rows), None, None


class _Scatter(torch.autograd.Function):
    """The transpose of :class:`_Gather`."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, index: Tensor, weights: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(index, weights)
        with torch.enable_grad():
            table = grad.new_zeros(n_rows, grad.shape[1], requires_grad=True)
            sums = embedding_bag(index, table, per_sample_weights=weights, mode="sum")
        return torch.autograd.grad(sums, table, grad)[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _Gather.apply(grad, *ctx.saved_tensors), None, None, None

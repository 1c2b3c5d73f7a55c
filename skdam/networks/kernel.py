"""A kernel machine in closed form, the settings of which are weighted by out-of-bag scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from skdam.networks.statistics import auc_of_each, deviation_of

_DECAY = 0.25
_N_DECAYS = 5
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_JITTER = 1e-4
_ROUNDING = 3e-6
_TEMPERATURE = 0.01


class KernelMachine(nn.Module):
    r"""Laplacian kernel machine on landmarks, cross-fitted.

    With landmarks :math:`C` from the training data, the score of a row is

    .. math:: \sum_{d \in \{1/4, 1/2, 1, 2, 4\}} \sum_c w_{dc} \exp(-d \|x - c\|_1 / D)

    on the ``D`` columns that vary. The weights :math:`w` are those of ridge regressions of targets
    -1 and 1, with both classes weighted equally [1]_, on each :math:`d` with each of the penalties
    0.03, 0.1, 0.3, 1, 3, 10 and 30. For fixed spreads of the scores within the classes this
    maximises the distance of the class means: it minimises, in closed form, the AUC margin loss
    without its hinge.

    Each regression is solved once for each fold, without the rows of the fold and without the
    landmarks from it, so each row has out-of-bag scores. These tell how good a setting is: the
    settings, each divided by the standard deviation of its scores, are averaged with weights
    proportional to :math:`\exp(\mathrm{AUC} / 0.01)`, and scaled such that the out-of-bag scores
    have standard deviation 1. New rows get the mean over the folds. The kernel is local and rough,
    like a forest of randomised trees [2]_; a multilayer perceptron is smooth.

    Parameters
    ----------
    n_columns : int
        Columns of the standardised input.
    n_landmarks : int
        Landmarks to keep, >= 1. With fewer examples all are landmarks.
    n_folds : int
        Folds, >= 2.

    References
    ----------
    .. [1] R. Rifkin, G. Yeo, T. Poggio, "Regularized Least-Squares Classification", NATO Science
       Series 190, 2003.
    .. [2] B. Lakshminarayanan, D. Roy, Y. W. Teh, "The Mondrian Kernel", UAI 2016,
       arXiv:1606.05241.
    """

    landmarks: Tensor
    weights: Tensor
    varies: Tensor

    def __init__(self, n_columns: int, n_landmarks: int, n_folds: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_columns))
        self.register_buffer("weights", torch.zeros(n_folds, _N_DECAYS, n_landmarks))
        self.register_buffer("varies", torch.zeros(n_columns, dtype=torch.bool))

    @torch.no_grad()
    def fit(
        self,
        Z: Tensor,
        y: Tensor,
        folds: Tensor,
        landmarks: Tensor,
        weights: Tensor | None = None,
    ) -> None:
        """Solve the regressions, and weigh the settings.

        Parameters
        ----------
        Z : Tensor of shape (n, n_columns)
            Standardised.
        y : Tensor of shape (n,)
            Targets, 0 or 1, both present.
        folds : Tensor of shape (n,), int64
            The fold of each row, below ``n_folds``.
        landmarks : Tensor of shape (n_landmarks,), int64
            Which rows are landmarks; there may be fewer.
        weights : Tensor of shape (n,) or None, default=None
            Weights of the examples, the scale of which has no effect; None for equal ones.
        """
        n_folds, n_used = len(self.weights), len(landmarks)
        self.weights.zero_()
        self.landmarks.zero_()[:n_used] = Z[landmarks]
        self.varies.copy_(Z.ne(Z[0]).any(0))
        shares = torch.ones(len(y), device=Z.device) if weights is None else weights
        shares = _balanced(y, shares).to(Z)
        signs = torch.where(y == 1, 1.0, -1.0).to(Z)
        of_folds = [torch.nonzero(folds == fold).squeeze(1) for fold in range(n_folds)]
        solutions, scores = [], []
        for kernel in self._kernels(Z):
            kernel = kernel[:, :n_used]
            solved, out_of_bag = _cross_fitted(
                kernel, kernel[landmarks], signs, shares, of_folds, folds[landmarks]
            )
            solutions.append(solved)
            scores.append(out_of_bag)
        settings = torch.cat(scores).double()
        # a weight of each setting, over the deviation of its scores
        auc = auc_of_each(settings, y, weights)
        votes = torch.softmax((auc - auc.max()) / _TEMPERATURE, 0)
        deviations = deviation_of(settings, weights)
        votes = torch.where(deviations > 0, votes / deviations, 0)
        deviation = deviation_of(votes @ settings, weights)
        if deviation > 0:
            votes /= deviation
        votes = votes.view(_N_DECAYS, len(_RIDGES)).to(Z.dtype)
        for i, solved in enumerate(solutions):
            self.weights[:, i, :n_used] = torch.einsum("r,frl->fl", votes[i], solved)

    @property
    def is_fitted(self) -> bool:
        """Whether there are solutions."""
        return bool(self.weights.any())

    def forward(self, Z: Tensor) -> Tensor:
        """Return the scores of rows that are in no fold.

        Parameters
        ----------
        Z : Tensor of shape (n, n_columns)
            Standardised.

        Returns
        -------
        Tensor of shape (n,)
        """
        weights = self.weights.mean(0)
        # no matrix product: its rounding of a row depends on the rest of the batch
        return sum((k * w).sum(1) for k, w in zip(self._kernels(Z), weights, strict=True))

    def out_of_bag(self, Z: Tensor, folds: Tensor) -> Tensor:
        """Return the scores of training rows, each by the solution without its fold.

        Parameters
        ----------
        Z : Tensor of shape (n, n_columns)
        folds : Tensor of shape (n,), int64

        Returns
        -------
        Tensor of shape (n,)
        """
        scores = Z.new_zeros(len(Z))
        for i, kernel in enumerate(self._kernels(Z)):
            scores += (kernel @ self.weights[:, i].T).gather(1, folds.unsqueeze(1)).squeeze(1)
        return scores

    def _kernels(self, Z: Tensor) -> Iterator[Tensor]:
        """Yield the kernels with the landmarks, from wide to narrow."""
        # constant columns are all gaps that never occur: half of the columns, often
        columns = torch.nonzero(self.varies).squeeze(1)
        distance = torch.cdist(Z[:, columns], self.landmarks[:, columns], p=1.0)
        return kernels_of(distance, len(columns))


def kernels_of(distance: Tensor, n_columns: int) -> Iterator[Tensor]:
    """Yield the kernels of distances, from wide to narrow.

    Parameters
    ----------
    distance : Tensor
        Sums of absolute differences over ``n_columns`` columns. It is overwritten.
    n_columns : int
    """
    kernel = distance.mul_(-_DECAY / max(n_columns, 1)).exp_()
    yield kernel
    for _ in range(_N_DECAYS - 1):
        # twice the decay is the square
        kernel = kernel.square()
        yield kernel


def _balanced(y: Tensor, weights: Tensor) -> Tensor:
    """Return weights with the same sum for both classes, n in all."""
    positive = y == 1
    of_class = torch.where(positive, weights[positive].sum(), weights[~positive].sum())
    return len(y) / 2 * weights / of_class


def _cross_fitted(
    kernel: Tensor,
    of_landmarks: Tensor,
    signs: Tensor,
    weights: Tensor,
    of_folds: list[Tensor],
    fold_of_landmark: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solve the regressions on one kernel without each fold.

    Returns
    -------
    solutions : Tensor of shape (n_folds, n_ridges, n_landmarks)
    scores : Tensor of shape (n_ridges, n)
        Out of bag.
    """
    parts = [(kernel[rows], signs[rows], weights[rows]) for rows in of_folds]
    grams = [(k.T @ (k * w[:, None])).double() for k, _, w in parts]
    sides = [(k.T @ (w * s)).double() for k, s, w in parts]
    gram, side = sum(grams), sum(sides)
    solutions = kernel.new_zeros(len(of_folds), len(_RIDGES), kernel.shape[1])
    scores = kernel.new_zeros(len(_RIDGES), len(kernel))
    for fold, rows in enumerate(of_folds):
        kept = torch.nonzero(fold_of_landmark != fold).squeeze(1)
        if not len(kept):
            continue
        system = (gram - grams[fold])[kept][:, kept]
        wanted = (side - sides[fold])[kept].unsqueeze(1)
        penalty = of_landmarks[kept][:, kept].double()
        penalty.diagonal().add_(_JITTER)
        for i, ridge in enumerate(_RIDGES):
            lower = _factor(system + ridge * penalty)
            solutions[fold, i, kept] = torch.cholesky_solve(wanted, lower).squeeze(1).to(kernel)
        scores[:, rows] = solutions[fold] @ parts[fold][0].T
    return solutions, scores


def _factor(system: Tensor) -> Tensor:
    """Return the Cholesky factor of a system that rounding may have made indefinite."""
    lower, failed = torch.linalg.cholesky_ex(system)
    added = _ROUNDING * system.diagonal().max()
    # where rows are nearly equal, so are all products, and their errors add up
    while failed and added.isfinite():
        added *= 10
        system.diagonal().add_(added)
        lower, failed = torch.linalg.cholesky_ex(system)
    return lower

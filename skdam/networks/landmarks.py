"""A kernel machine as a network: distances to landmarks, and a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_CLIP = 3.0
_DECAY = 2.0
_GAIN = 3.0
_LEAST_EIGENVALUE = 1e-4
_RIDGE = 0.3


class LandmarkKernelMachine(nn.Module):
    r"""Logit of a Laplacian kernel machine on landmarks, trained like any other layer.

    With landmarks :math:`C` from the training data and the kernel
    :math:`k(x, c) = \exp(-2 \|x - c\|_1 / d)` on the ``d`` columns that vary,
    standardised and clipped to [-3, 3], the logit is

    .. math:: 3 \, k(x, C) \, K_{CC}^{-1/2} v + c_0 .

    The features :math:`k(x, C) K_{CC}^{-1/2}` are those of Nyström's method [1]_, so that
    gradient steps on ``v`` are gradient steps in the feature space of the kernel. Training
    starts from the ridge regression of targets -1 and 1, with both classes weighted
    equally. The kernel is local and rough, like a forest of randomised trees [2]_; a
    multilayer perceptron is smooth.

    Parameters
    ----------
    n_features : int
        Columns of the standardised input.
    n_landmarks : int
        Landmarks to keep, >= 1. With fewer examples all are landmarks.

    References
    ----------
    .. [1] C. Williams, M. Seeger, "Using the Nyström Method to Speed Up Kernel Machines",
       NIPS 2000.
    .. [2] B. Lakshminarayanan, D. Roy, Y. W. Teh, "The Mondrian Kernel", UAI 2016,
       arXiv:1606.05241.
    """

    landmarks: Tensor
    whitening: Tensor
    decay: Tensor

    def __init__(self, n_features: int, n_landmarks: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_features))
        self.register_buffer("whitening", torch.zeros(n_landmarks, n_landmarks))
        self.register_buffer("decay", torch.zeros(()))
        self.weight = nn.Parameter(torch.zeros(n_landmarks))
        self.bias = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def fit_statistics(self, landmarks: Tensor, n_varying: int) -> None:
        """Keep the landmarks and learn the whitening of the features.

        Parameters
        ----------
        landmarks : Tensor of shape (n, n_features)
            Standardised; at most ``n_landmarks``.
        n_varying : int
            Columns that are not constant.
        """
        n = len(landmarks)
        self.decay.fill_(_DECAY / max(n_varying, 1))
        self.landmarks.zero_()[:n] = landmarks.clamp(-_CLIP, _CLIP)
        values, vectors = torch.linalg.eigh(self._kernel(landmarks)[:, :n].double())
        root = vectors / values.clamp(min=_LEAST_EIGENVALUE).sqrt() @ vectors.T
        # rows of missing landmarks stay 0
        self.whitening.zero_()[:n, :n] = _GAIN * root

    @torch.no_grad()
    def start_from_ridge(self, X: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        """Set weight and bias to the solution of the balanced ridge regression.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Standardised.
        y : Tensor of shape (n,)
            Targets, 0 or 1, both present.
        weights : Tensor of shape (n,) or None, default=None
            Weights of the examples; None for equal ones.
        """
        features = self.embed(X).double()
        features /= _GAIN
        positive = y == 1
        shares = torch.ones_like(y) if weights is None else weights
        of_positives = shares[positive].sum()
        of_class = torch.where(positive, of_positives, shares.sum() - of_positives)
        weighted = features.T * (shares.sum() / 2 * shares / of_class).double()
        gram = weighted @ features + _RIDGE * torch.eye(features.shape[1]).to(features)
        signs = torch.where(positive, 1.0, -1.0).to(features)
        self.weight.copy_(torch.linalg.solve(gram, weighted @ signs))
        self.bias.zero_()

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits of X.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Standardised.

        Returns
        -------
        Tensor of shape (n,)
        """
        coefficients = self.whitening @ self.weight
        # no matrix product: its rounding of a row depends on the rest of the batch
        return (self._kernel(X) * coefficients).sum(1) + self.bias

    def embed(self, X: Tensor) -> Tensor:
        """Return the features of Nyström's method.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
            Standardised.

        Returns
        -------
        Tensor of shape (n, n_landmarks)
        """
        return self._kernel(X) @ self.whitening

    def _kernel(self, X: Tensor) -> Tensor:
        return torch.exp(-self.decay * torch.cdist(X.clamp(-_CLIP, _CLIP), self.landmarks, p=1.0))


def draw_by_class(y: Tensor, count: int, weights: Tensor | None = None) -> Tensor:
    """Draw the indices of rows with torch's generator, half of them positives if possible.

    If a class has fewer than half of ``count`` rows, all of them are drawn and the other
    class fills up the rest.

    Parameters
    ----------
    y : Tensor of shape (n,)
        Targets, 0 or 1.
    count : int
        Rows to draw; with fewer examples all are taken.
    weights : Tensor of shape (n,) or None, default=None
        Positive. An example of larger weight is drawn sooner; None for equal weights.

    Returns
    -------
    Tensor of shape (min(n, count),), int64
    """
    if len(y) <= count:
        return torch.arange(len(y), device=y.device)
    classes = [torch.nonzero(y == label).squeeze(1) for label in (1, 0)]
    n_positive = min(len(classes[0]), max(count // 2, count - len(classes[1])))
    return torch.cat(
        [
            members[_draw(n, len(members), None if weights is None else weights[members])]
            for members, n in zip(classes, (n_positive, count - n_positive), strict=True)
        ]
    )


def _draw(count: int, n: int, weights: Tensor | None) -> Tensor:
    """Draw ``count`` of n numbers without replacement."""
    if weights is None:
        return torch.randperm(n)[:count]
    # the first arrivals of n clocks, which tick at rates proportional to the weights
    return (torch.empty(n).exponential_() / weights.cpu()).argsort()[:count]

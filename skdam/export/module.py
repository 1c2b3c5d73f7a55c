"""A fitted classifier as one torch module."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from skdam.estimator.classifier import CompositionalAUCClassifier, fitted_parts
from skdam.estimator.decision import Decision
from skdam.estimator.inputs import InputSpec
from skdam.export.tabular import Table
from skdam.networks.tabular import TabularMLP
from skdam.training.scoring import decision_of


def to_module(clf: CompositionalAUCClassifier) -> nn.Module:
    """Return a fitted classifier as one torch module.

    It holds all that is needed for predictions: what is subtracted from columns, the network, the
    vote of its members and of the kernel machine, calibration and class weights. It is a copy on
    the CPU, in evaluation mode. With the networks of this package it has only operations that
    :func:`torch.export.export` takes, with a batch of any size.

    Parameters
    ----------
    clf : CompositionalAUCClassifier
        Fitted.

    Returns
    -------
    nn.Module
        It takes a Tensor of shape (n, ...) with examples as in fit, of the dtype
        ``module.dtype``. That is uint8 for images of bytes, float64 for a table with a column
        that float32 would round to a few values, such as times in seconds, and else float32. Gaps
        are NaN. Categories are codes: the item of ``module.categories`` for a column holds its
        categories in the order of their codes, or is None for numbers. The input
        is not checked.

        It returns two Tensors of dtype float32: the probabilities of ``predict_proba``, of shape
        (n, 2), and the scores of ``decision_function``, of shape (n,).

    Raises
    ------
    TypeError
        If ``clf`` is not a CompositionalAUCClassifier.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import make_classification
    >>> from skdam import CompositionalAUCClassifier
    >>> from skdam.export import to_module
    >>> X, y = make_classification(weights=[0.8], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> X = torch.tensor(X, dtype=torch.float32)
    >>> rows = {0: torch.export.Dim.DYNAMIC}
    >>> module = to_module(clf)
    >>> program = torch.export.export(module, (X,), dynamic_shapes=(rows,), strict=False)
    >>> probabilities, scores = program.module()(X[:3])
    >>> probabilities.shape
    torch.Size([3, 2])
    """
    if not isinstance(clf, CompositionalAUCClassifier):
        raise TypeError(
            f"clf must be a CompositionalAUCClassifier, got {type(clf).__name__}. Of a pipeline or "
            "a search, export the classifier in it, such as pipeline[-1] or best_estimator_; what "
            "comes before it has to be applied to X first."
        )
    return _Classifier(*fitted_parts(clf))


class _Classifier(nn.Module):
    """A fitted classifier: from numbers and codes to scores and probabilities."""

    offsets: Tensor

    def __init__(self, spec: InputSpec, network: nn.Module, decision: Decision) -> None:
        super().__init__()
        self.shape = spec.shape
        self.categories = spec.table.categories
        self.dtype = torch.float64 if spec.table.offsets else getattr(torch, spec.dtype)
        self.register_buffer("offsets", torch.tensor(spec.table.offsets, dtype=torch.float64))
        network = copy.deepcopy(network).cpu()
        if getattr(type(network), "decision_function", None) is TabularMLP.decision_function:
            network = Table(network)
        self.network = network
        self.decision = _Line(decision) if decision.knots is None else _Curve(decision)
        self.eval().requires_grad_(False)

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        if X.dtype == torch.uint8:
            X = X.float() / 255
        if len(self.offsets):
            X = (X - self.offsets).float()
        logits = decision_of(self.network, self.network)(X)
        # in double precision, as in the classifier: the steps of an isotonic curve are steep
        scores = self.decision(logits.double())
        probabilities = torch.stack([-scores, scores], 1).sigmoid()
        return probabilities.float(), scores.float()


class _Line(nn.Module):
    """Log-odds as a line."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.slope, self.offset = decision.slope, decision.offset

    def forward(self, logits: Tensor) -> Tensor:
        return self.slope * (logits - self.offset)


class _Curve(nn.Module):
    """Log-odds as lines between knots: the sum of what each line adds."""

    lower: Tensor
    upper: Tensor
    slopes: Tensor

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        assert decision.knots is not None
        at, odds = (torch.tensor(values, dtype=torch.float64) for values in decision.knots)
        self.slope, self.first = decision.slope, float(odds[0])
        self.ends = float(at[0]), float(at[-1])
        self.register_buffer("lower", at[:-1].clone())
        self.register_buffer("upper", at[1:].clone())
        self.register_buffer("slopes", odds.diff() / at.diff())

    def forward(self, logits: Tensor) -> Tensor:
        ways = logits.unsqueeze(1).clamp(self.lower, self.upper) - self.lower
        beyond = logits - logits.clamp(*self.ends)
        return self.first + ways @ self.slopes + self.slope * beyond

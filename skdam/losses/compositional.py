"""The AUC margin loss and its composition with a classification loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from skdam._hooks import add_gradient, has_hooks, is_autocast_on, is_called_as_it_is

Phase = Literal["inner", "outer"]
InnerLoss = Callable[[Tensor, Tensor], Tensor]

_FOCUS = 2.0


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _focal(logits: Tensor, targets: Tensor) -> Tensor:
    cross_entropy = _cross_entropy(logits, targets)
    # 1 - p_t, from the logit so that a confident example keeps its digits
    doubt = torch.sigmoid(torch.where(targets > 0.5, -logits, logits))
    return doubt**_FOCUS * cross_entropy


INNER_LOSSES: dict[str, InnerLoss] = {"cross-entropy": _cross_entropy, "focal": _focal}


class AUCMarginLoss(nn.Module):
    r"""AUC margin loss as a min-max problem over the scores' class means.

    With the score :math:`s = \mathrm{sigmoid}(h)` of a logit :math:`h`, margin
    :math:`m` and label :math:`y`, the prior-free form (``version="v2"``) is

    .. math::

        F = E[(s - a)^2 | y{=}1] + E[(s - b)^2 | y{=}0]
            + 2 \alpha (m + E[s | y{=}0] - E[s | y{=}1]) - \alpha^2 ,

    minimised over the network, ``a`` and ``b`` and maximised over ``alpha >= 0``.
    For fixed scores the saddle point is ``a = E[s | y=1]``, ``b = E[s | y=0]``,
    ``alpha = max(0, m + b - a)``: the loss pulls the class means ``m`` apart and
    makes each class compact. ``version="v1"`` is ``p (1 - p) F``, written per
    example, with ``p`` the rate of positives.

    The terms of a class that is absent from the batch are left out.

    Parameters
    ----------
    margin : float, default=1.0
        The distance ``m > 0`` wanted between the mean scores of the classes.
    version : {"v1", "v2"}, default="v2"
        With or without the class prior. "v2" needs no prior and suits batches
        that hold both classes; "v1" is defined on any batch.
    prior : float or None, default=None
        The rate ``p`` of positives in "v1", in (0, 1). None takes the rate of
        each batch.
    n_members : int or None, default=None
        None for logits of shape (batch,) or (batch, 1); ``k`` for logits of shape
        (batch, k), the columns of which are independent models with an ``a``,
        ``b`` and ``alpha`` each. The loss is their sum, so that each column gets
        the gradient that it would get alone.

    Attributes
    ----------
    a, b : torch.nn.Parameter of shape () or (n_members,)
        Running estimates of the mean score of positives and of negatives.
    alpha : Tensor of shape () or (n_members,)
        The dual variable, a buffer: the optimizer ascends it in closed form.

    References
    ----------
    Z. Yuan, Y. Yan, M. Sonka, T. Yang, "Large-scale Robust Deep AUC Maximization:
    A New Surrogate Loss and Empirical Studies on Medical Image Classification",
    ICCV 2021, arXiv:2012.03173, equations 4 and 6.

    Examples
    --------
    >>> import torch
    >>> from skdam import AUCMarginLoss
    >>> loss = AUCMarginLoss(margin=1.0)
    >>> logits = torch.tensor([2.0, -1.0, 0.5, -3.0], requires_grad=True)
    >>> round(loss(logits, torch.tensor([1, 0, 1, 0])).item(), 4)
    0.6189
    """

    alpha: Tensor

    def __init__(
        self,
        margin: float = 1.0,
        *,
        version: str = "v2",
        prior: float | None = None,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be a number > 0, got {margin!r}.")
        if version not in ("v1", "v2"):
            raise ValueError(f"version must be 'v1' or 'v2', got {version!r}.")
        if prior is not None and version == "v2":
            raise ValueError("prior is used by version='v1' only; 'v2' needs none.")
        if prior is not None and not 0 < prior < 1:
            raise ValueError(f"prior must be in (0, 1) or None, got {prior!r}.")
        if n_members is not None and n_members < 1:
            raise ValueError(f"n_members must be an int >= 1 or None, got {n_members!r}.")
        self.margin = margin
        self.version = version
        self.prior = prior
        self.n_members = n_members
        shape = () if n_members is None else (n_members,)
        self.a = nn.Parameter(torch.zeros(shape))
        self.b = nn.Parameter(torch.zeros(shape))
        self.register_buffer("alpha", torch.zeros(shape))

    def forward(self, logits: Tensor, targets: Tensor | PreparedTargets) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        logits : Tensor of shape (batch,), (batch, 1) or (batch, n_members)
            Raw outputs of the network; the sigmoid is applied here.
        targets : Tensor of shape (batch,) or (batch, 1), or PreparedTargets
            0 or 1, of any dtype, or what :meth:`prepare` made of them.

        Returns
        -------
        Tensor of shape ()

        Raises
        ------
        ValueError
            If the shapes do not fit each other or ``n_members``.
        """
        logits, targets = self._align(logits, targets)
        with _in_full_precision(logits):
            prepared = self._prepared(targets)
            return self._value(self._terms(logits, prepared), prepared)

    def backward(self, logits: Tensor, targets: Tensor | PreparedTargets) -> Tensor:
        """Do what ``self(logits, targets).backward()`` does, in less time.

        The gradient by the logits is in closed form; from there it is autograd's. A loss that
        has hooks, or that a subclass has changed, is evaluated as ever.

        Parameters
        ----------
        logits, targets
            As in :meth:`forward`.

        Returns
        -------
        Tensor of shape ()
            The loss, detached.

        Raises
        ------
        ValueError
            If the shapes do not fit each other or ``n_members``.
        """
        return self._backpropagate(logits, targets)

    def _backpropagate(
        self, logits: Tensor, targets: Tensor | PreparedTargets, **phase: Phase
    ) -> Tensor:
        """Propagate the loss of the phase, or of no phase, which is the margin loss."""
        if not self.is_private:
            loss = self(logits, targets, **phase)
            loss.backward()
            return loss.detach()
        loss, slopes = self.gradient(logits, targets, **phase)
        if logits.requires_grad:
            logits.backward(slopes)
        return loss

    def gradient(self, logits: Tensor, targets: Tensor | PreparedTargets) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient by the logits.

        What :meth:`backward` does before autograd goes on: ``a`` and ``b`` get their gradients,
        hooks are not called.

        Parameters
        ----------
        logits, targets
            As in :meth:`forward`.

        Returns
        -------
        loss : Tensor of shape ()
        gradient : Tensor of the shape and the dtype of ``logits``

        Raises
        ------
        ValueError
            If the shapes do not fit each other or ``n_members``.
        """
        given = logits
        with torch.no_grad(), _in_full_precision(logits):
            logits, targets = self._align(logits, targets)
            prepared = self._prepared(targets)
            terms = self._terms(logits, prepared)
            loss = self._value(terms, prepared)
            of_logits = torch.ops.aten.sigmoid_backward(terms.weighted, terms.scores)
            of_a_and_b = _plus_product(
                self.alpha * prepared.twice_totals, prepared.classes, terms.weighted, -1
            )
        for parameter, gradient in zip((self.a, self.b), of_a_and_b.unbind(), strict=True):
            if parameter.requires_grad:
                add_gradient(parameter, gradient.to(parameter.dtype))
        return loss, of_logits.view_as(given).to(given.dtype)

    def prepare(self, targets: Tensor) -> PreparedTargets:
        """Return targets with all that the loss derives from them.

        To be passed instead of them, to this loss, with batches that have the same, as those
        of :class:`~skdam.StratifiedBatchSampler` have: it puts the positives first.

        Parameters
        ----------
        targets : Tensor of shape (batch,) or (batch, 1)
            0 or 1, of any dtype.

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = targets.squeeze(1)
        if targets.ndim != 1:
            raise ValueError(f"targets must have shape (batch,), got {tuple(targets.shape)}.")
        with _in_full_precision(targets):
            return self._prepared(targets.to(self.a.dtype))

    @property
    def is_unchanged(self) -> bool:
        """Whether a call does what this module says, with no hooks and no code of others."""
        return (
            type(self).__module__ == "skdam"
            and is_called_as_it_is(self)
            and not has_hooks(self.a)
            and not has_hooks(self.b)
        )

    @property
    def is_private(self) -> bool:
        """Whether, moreover, the loss depends on nothing but logits, targets, a, b and alpha."""
        return self.is_unchanged

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        return f"margin={self.margin}, version={self.version!r}, n_members={self.n_members}"

    def _align(
        self, logits: Tensor, targets: Tensor | PreparedTargets
    ) -> tuple[Tensor, Tensor | PreparedTargets]:
        a = self.a
        if logits.ndim == 2 and logits.shape[1] == 1 and self.n_members is None:
            logits = logits.squeeze(1)
        if logits.ndim == 0 or logits.shape[1:] != a.shape:
            wanted = "(batch,)" if self.n_members is None else f"(batch, {self.n_members})"
            raise ValueError(f"logits must have shape {wanted}, got {tuple(logits.shape)}.")
        if logits.dtype != a.dtype:
            # half precision would lose the differences of a, b and alpha
            logits = logits.to(torch.promote_types(logits.dtype, a.dtype))
        bare = plain(targets)
        if bare.ndim == 2 and bare.shape[1] == 1:
            bare = bare.squeeze(1)
        if bare.shape != logits.shape[:1]:
            raise ValueError(
                f"targets must have shape ({logits.shape[0]},) as the logits' first axis, "
                f"got {tuple(bare.shape)}."
            )
        if isinstance(targets, PreparedTargets) and bare.dtype == logits.dtype:
            return logits, targets
        return logits, bare.to(logits.dtype)

    def _terms(self, logits: Tensor, prepared: PreparedTargets) -> _Terms:
        scores = torch.sigmoid(logits)
        dual = torch.stack((self.a, self.b, self.alpha, prepared.one)).to(scores.dtype)
        distances = _plus_product(scores, prepared.shifts, dual, -1)
        return _Terms(scores, dual, distances, prepared.twice * distances)

    def _value(self, terms: _Terms, prepared: PreparedTargets) -> Tensor:
        squares = torch.dot(terms.weighted.flatten(), terms.distances.flatten())
        rest = self.alpha * torch.matmul(prepared.rest, terms.dual)
        return torch.add(rest.sum() if rest.ndim else rest, squares, alpha=0.5)

    def _prepared(self, targets: Tensor | PreparedTargets) -> PreparedTargets:
        if isinstance(targets, PreparedTargets):
            return targets
        is_positive = targets > 0.5
        classes = torch.stack((is_positive, ~is_positive)).to(targets.dtype)
        counts = classes.sum(1)
        n = len(targets)
        scale: float | Tensor = 1.0
        if self.version == "v2":
            # an absent class weighs nothing
            twice = 2 / counts.clamp(min=1)
        else:
            p = counts[0] / n if self.prior is None else counts.new_tensor(self.prior)
            twice = torch.stack((1 - p, p)) * (2 / n)
            scale = p * (1 - p)
        # of a, b, alpha and 1; the first two make the shifts of the classes
        of_dual = classes.new_tensor(
            [[1, 0, 1, 0], [0, 1, -1, 0], [1, 1, 0.5, 0], [0, 0, -1, 2 * self.margin]]
        )
        shifts, halved, constant = of_dual[:2], of_dual[2], of_dual[3]
        twice_totals = twice * counts * -shifts[:, 2]
        rest = halved * (twice_totals @ shifts) + scale * constant
        twice = twice @ classes
        if self.a.ndim:
            twice, twice_totals = twice.unsqueeze(1), twice_totals.unsqueeze(1)
        return PreparedTargets(
            targets=targets,
            classes=classes,
            twice=twice,
            twice_totals=twice_totals,
            shifts=classes.T @ shifts,
            rest=rest,
            one=torch.ones_like(self.a),
        )


class PreparedTargets(NamedTuple):
    r"""Targets, and what the margin loss needs to know of them.

    With weights :math:`w` of examples that sum to :math:`W_+` and :math:`W_-`, and a shift of
    scores by :math:`a + \alpha` for positives and by :math:`b - \alpha` for negatives, the loss is

    .. math::

        F = \sum_i w_i d_i^2 + \alpha (2 W_- b - 2 W_+ a - (W_+ + W_- + c) \alpha + 2 c m) ,

    where :math:`d_i` are the shifted scores and :math:`c` is 1 or, in "v1", :math:`p (1 - p)`.
    This takes half of the operations of the definition, which on a batch count more than its
    size does.
    """

    targets: Tensor  # of shape (batch,)
    classes: Tensor  # of shape (2, batch), 1 where an example is of the class
    twice: Tensor  # 2 w, of shape (batch,) or (batch, 1)
    twice_totals: Tensor  # -2 W+ and 2 W-, of shape (2,) or (2, 1)
    shifts: Tensor  # of shape (batch, 4): the shift in a, b, alpha and 1
    rest: Tensor  # of shape (4,): the factor of alpha in a, b, alpha and 1
    one: Tensor  # of the shape of a


def plain(targets: Tensor | PreparedTargets) -> Tensor:
    """Return the targets without what was derived from them."""
    return targets.targets if isinstance(targets, PreparedTargets) else targets


class _Terms(NamedTuple):
    scores: Tensor
    dual: Tensor  # a, b, alpha and 1
    distances: Tensor
    weighted: Tensor  # distances times twice their weights


def _in_full_precision(tensor: Tensor) -> Any:
    """Return the context in which torch.autocast leaves products as they are."""
    if is_autocast_on(tensor.device):
        return torch.autocast(tensor.device.type, enabled=False)
    return nullcontext()


def _plus_product(x: Tensor, matrix: Tensor, y: Tensor, factor: float) -> Tensor:
    """Return ``x + factor * matrix @ y``."""
    return (torch.addmv if y.ndim == 1 else torch.addmm)(x, matrix, y, alpha=factor)


class CompositionalAUCLoss(AUCMarginLoss):
    r"""The two losses of compositional training, told apart by an explicit phase.

    The objective is the AUC margin loss :math:`F` taken at the point that one
    gradient step on a classification loss leads to,

    .. math:: \min_{w, a, b} \max_{\alpha \ge 0} F(w - \eta_0 \nabla L(w), a, b, \alpha).

    ``phase="inner"`` evaluates :math:`L`, ``phase="outer"`` evaluates :math:`F`.
    :class:`~skdam.PDSCA` says which phase comes next and composes the steps.

    Parameters
    ----------
    margin, version, prior, n_members
        As in :class:`~skdam.AUCMarginLoss`.
    inner_loss : {"cross-entropy", "focal"} or callable, default="cross-entropy"
        The classification loss. "focal" weights the cross-entropy of an example by
        ``(1 - p_t) ** 2``. A callable takes ``(logits, targets)``, both float
        tensors of shape (batch,) or (batch, n_members), and returns the loss of
        each element.

    References
    ----------
    Z. Yuan, Z. Guo, N. Chawla, T. Yang, "Compositional Training for End-to-End Deep
    AUC Maximization", ICLR 2022, https://openreview.net/forum?id=gPvB4pdu_Z.

    Examples
    --------
    >>> import torch
    >>> from skdam import CompositionalAUCLoss
    >>> loss = CompositionalAUCLoss()
    >>> logits, targets = torch.zeros(4), torch.tensor([1, 0, 1, 0])
    >>> round(loss(logits, targets, phase="inner").item(), 4)
    0.6931
    >>> loss(logits, targets, phase="outer").item()
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        version: str = "v2",
        prior: float | None = None,
        n_members: int | None = None,
        inner_loss: str | InnerLoss = "cross-entropy",
    ) -> None:
        super().__init__(margin, version=version, prior=prior, n_members=n_members)
        if isinstance(inner_loss, type) or (
            not callable(inner_loss) and inner_loss not in INNER_LOSSES
        ):
            raise ValueError(
                f"inner_loss must be one of {sorted(INNER_LOSSES)} or a function, "
                f"got {inner_loss!r}."
            )
        self.inner_loss = inner_loss

    def forward(self, logits: Tensor, targets: Tensor | PreparedTargets, phase: Phase) -> Tensor:  # type: ignore[override]
        """Return the loss of a batch in one of the two phases.

        Parameters
        ----------
        logits, targets
            As in :meth:`AUCMarginLoss.forward`.
        phase : {"inner", "outer"}
            "inner" for the classification loss (mean over the batch, summed over
            members), "outer" for the AUC margin loss.

        Returns
        -------
        Tensor of shape ()

        Raises
        ------
        ValueError
            If the shapes or the phase do not fit.
        """
        _check_phase(phase)
        if phase == "outer":
            return super().forward(logits, targets)
        logits, targets = self._align(logits, targets)
        return self._classification_loss(logits, plain(targets))

    def backward(self, logits: Tensor, targets: Tensor | PreparedTargets, phase: Phase) -> Tensor:  # type: ignore[override]
        """Do what ``self(logits, targets, phase).backward()`` does, in less time.

        Parameters
        ----------
        logits, targets, phase
            As in :meth:`forward`.

        Returns
        -------
        Tensor of shape ()
            The loss, detached.

        Raises
        ------
        ValueError
            If the shapes or the phase do not fit.
        """
        return self._backpropagate(logits, targets, phase=phase)

    def gradient(  # type: ignore[override]
        self, logits: Tensor, targets: Tensor | PreparedTargets, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient by the logits.

        What :meth:`backward` does before autograd goes on: in the outer phase ``a`` and ``b`` get
        their gradients, hooks are not called.

        Parameters
        ----------
        logits, targets, phase
            As in :meth:`forward`.

        Returns
        -------
        loss : Tensor of shape ()
        gradient : Tensor of the shape and the dtype of ``logits``

        Raises
        ------
        ValueError
            If the shapes or the phase do not fit.
        """
        _check_phase(phase)
        if phase == "outer":
            return super().gradient(logits, targets)
        if self.inner_loss != "cross-entropy":
            leaf = logits.detach().requires_grad_()
            # a function may work in place
            loss = self(leaf.clone(), targets, phase=phase)
            loss.backward()
            return loss.detach(), torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        with torch.no_grad():
            aligned, targets = self._align(logits, targets)
            wanted = plain(targets)
            loss = self._classification_loss(aligned, wanted)
            if aligned.ndim == 2:
                wanted = wanted.unsqueeze(1)
            slopes = torch.sigmoid(aligned).sub_(wanted).mul_(1 / len(aligned))
        return loss, slopes.view_as(logits).to(logits.dtype)

    @property
    def is_private(self) -> bool:
        """Whether, moreover, the loss depends on nothing but logits, targets, a, b and alpha."""
        return self.is_unchanged and isinstance(self.inner_loss, str)

    def _classification_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.ndim == 1 and self.inner_loss == "cross-entropy":
            return binary_cross_entropy_with_logits(logits, targets)
        if logits.ndim == 2:
            targets = targets.unsqueeze(1).expand_as(logits)
        if isinstance(self.inner_loss, str):
            losses = INNER_LOSSES[self.inner_loss](logits, targets)
        else:
            losses = self.inner_loss(logits, targets)
            _check_losses(losses, logits)
        return losses.mean() if losses.ndim == 1 else losses.mean(0).sum()


def _check_phase(phase: str) -> None:
    if phase not in ("inner", "outer"):
        raise ValueError(f"phase must be 'inner' or 'outer', got {phase!r}.")


def _check_losses(losses: object, logits: Tensor) -> None:
    if not isinstance(losses, Tensor) or losses.shape != logits.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            "inner_loss must return a Tensor with the loss of each element, of shape "
            f"{tuple(logits.shape)}, got {got}."
        )

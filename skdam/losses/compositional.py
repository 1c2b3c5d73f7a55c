"""The composition of a classification loss and the AUC margin loss."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from skdam.losses.inner import InnerLoss, InnerLossName, inner_loss_function, mean_loss
from skdam.losses.margin import AUCMarginLoss
from skdam.losses.saddle import AUCSaddleLoss

Phase = Literal["inner", "outer"]
Saddle = Literal["running", "batch"]


class CompositionalAUCLoss(nn.Module):
    r"""The two losses of compositional training, selected by an explicit phase.

    The objective is the AUC margin loss :math:`F` taken at the point that one
    gradient step on a classification loss leads to,

    .. math:: \min_{w, a, b} \max_{\alpha \ge 0} F(w - \eta_0 \nabla L(w), a, b, \alpha).

    ``phase="inner"`` evaluates :math:`L`, ``phase="outer"`` evaluates :math:`F`.
    :class:`~skdam.PDSCA` says which phase comes next and composes the steps.

    Parameters
    ----------
    margin, version, prior, n_members
        As in :class:`~skdam.AUCMarginLoss`; ``version="v1"`` and ``prior`` need
        ``saddle="running"``.
    inner_loss : {"cross-entropy", "focal"} or callable, default="cross-entropy"
        The classification loss. "focal" weights the cross-entropy of an example by
        ``(1 - p_t) ** 2``. A callable takes ``(logits, targets)``, both float
        tensors of shape (batch,) or (batch, n_members), and returns the loss of
        each element.
    saddle : {"running", "batch"}, default="running"
        Where :math:`a`, :math:`b` and :math:`\alpha` come from. "running": they are
        variables, which :class:`~skdam.PDSCA` updates from batch to batch. "batch": each
        batch has its own optimal ones, which are the class means of its scores and by how
        much their distance falls short of the margin :math:`m`. Then

        .. math::

            F = \mathrm{Var}[s | y{=}1] + \mathrm{Var}[s | y{=}0]
                + \max(0, m - E[s | y{=}1] + E[s | y{=}0])^2 .

    Attributes
    ----------
    outer : OuterLoss
        The loss :math:`F`; an :class:`~skdam.AUCMarginLoss` with ``saddle="running"``.
    a, b, alpha
        Those of ``outer``, with ``saddle="running"`` only.
    margin, version, prior, n_members
        Those of ``outer``.

    Raises
    ------
    ValueError
        If a parameter is out of range.

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

    outer: Any

    def __init__(
        self,
        margin: float = 1.0,
        *,
        version: Literal["v1", "v2"] = "v2",
        prior: float | None = None,
        n_members: int | None = None,
        inner_loss: InnerLossName | InnerLoss = "cross-entropy",
        saddle: Saddle = "running",
    ) -> None:
        super().__init__()
        if saddle not in ("running", "batch"):
            raise ValueError(f"saddle must be 'running' or 'batch', got {saddle!r}.")
        if saddle == "running":
            self.outer = AUCMarginLoss(margin, version=version, prior=prior, n_members=n_members)
        elif version != "v2" or prior is not None:
            raise ValueError(
                "saddle='batch' takes neither version nor prior, got "
                f"version={version!r} and prior={prior!r}; they need saddle='running'."
            )
        else:
            self.outer = AUCSaddleLoss(margin, n_members=n_members)
        inner_loss_function(inner_loss)  # raises now if it would later
        self.inner_loss = inner_loss

    def __getattr__(self, name: str) -> Any:
        # torch asks this where a property has found nothing
        if name in ("a", "b", "alpha") and isinstance(self.outer, AUCSaddleLoss):
            raise AttributeError(
                f"there is no {name!r} with saddle='batch': each batch has its own a, b and alpha."
            )
        return super().__getattr__(name)

    @property
    def saddle(self) -> Saddle:
        """Where ``a``, ``b`` and ``alpha`` come from."""
        return "batch" if isinstance(self.outer, AUCSaddleLoss) else "running"

    @property
    def margin(self) -> float:
        """Target distance between the mean scores of the classes."""
        return self.outer.margin

    @margin.setter
    def margin(self, margin: float) -> None:
        self.outer.margin = margin

    @property
    def version(self) -> str:
        """The form of the outer loss, "v1" or "v2"."""
        return self.outer.version

    @property
    def prior(self) -> float | None:
        """The rate of positives in "v1", None for that of each batch."""
        return self.outer.prior

    @property
    def n_members(self) -> int | None:
        """Columns of the logits, None for one."""
        return self.outer.n_members

    @property
    def a(self) -> nn.Parameter:
        """Running estimate of the mean score of positives."""
        return self.outer.a

    @property
    def b(self) -> nn.Parameter:
        """Running estimate of the mean score of negatives."""
        return self.outer.b

    @property
    def alpha(self) -> Tensor:
        """The dual variable."""
        return self.outer.alpha

    def forward(self, logits: Tensor, targets: Tensor, phase: Phase) -> Tensor:
        """Return the loss of a batch in one of the two phases.

        Parameters
        ----------
        logits, targets
            As in :meth:`~skdam.AUCMarginLoss.forward`.
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
        if phase == "outer":
            return self.outer(logits, targets)
        if phase != "inner":
            raise ValueError(f"phase must be 'inner' or 'outer', got {phase!r}.")
        logits, wanted = self.outer.aligned(logits, targets)
        value = mean_loss(inner_loss_function(self.inner_loss), logits, wanted)
        return value.sum() if value.ndim else value

    def ascend(self, lr: float) -> None:
        """Take the dual step of the outer loss at a learning rate."""
        self.outer.ascend(lr)

"""PDSCA: the primal-dual stochastic compositional adaptive optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from skdam.optim.options import (
    Hypergradient,
    Variant,
    check_composition,
    inner_lr_of,
    normalise_group,
    options_of,
)
from skdam.optim.updates import (
    Group,
    average_weights,
    restore,
    take_inner_step,
    take_lookahead,
    take_outer_step,
)


class PDSCA(torch.optim.Optimizer):
    r"""Primal-dual stochastic compositional adaptive method.

    For :math:`v = (w, a, b)` and the loss :math:`F` of
    :class:`~skdam.CompositionalAUCLoss`, one iteration is

    .. math::

        u &\leftarrow (1 - \beta_0) u + \beta_0 (w - \eta_0 \nabla L(w)) \\
        z &\leftarrow (1 - \beta_1) z + \beta_1 \nabla F(u, a, b, \alpha) \\
        v &\leftarrow v - \eta_1 (z + \lambda_0 (v - v_{ref}) + \lambda_1 v) \\
        \alpha &\leftarrow \max(0, \alpha + 2 \min(\eta_1, 1/2) (m + b - a - \alpha))

    (inner step, averaged outer gradient, primal step, dual step) with ``lr``
    :math:`\eta_1`, ``inner_lr`` :math:`\eta_0`, ``epoch_decay`` :math:`\lambda_0` and
    ``weight_decay`` :math:`\lambda_1`. Moving averages start at their first value,
    :math:`v_{ref}` at the initial weights.

    The *alternating* variant gives each minibatch to one phase: an inner step moves
    the weights to ``u``, an outer step starts from there; gradients are clipped
    elementwise in both phases, and the decay terms are part of the averaged gradient.
    The *lookahead* variant is the iteration as written: both phases see the same
    minibatch, ``w`` stays aside while the network holds ``u``, and the network that
    predicts is ``u`` (see :meth:`eval`); only gradients are clipped and averaged.

    With ``adaptive`` the primal step is that of AdamW. When alternating, so is the
    inner step, at its own rate :math:`\eta = \eta_0`, and both phases share the moments.
    With :math:`g` the clipped gradient of the phase,

    .. math::

        m &\leftarrow (1 - \beta_1) m + \beta_1 g \qquad
        s \leftarrow (1 - \beta_2) s + \beta_2 g^2 \\
        v &\leftarrow v - \eta \left( \hat m / (\sqrt{\hat s} + \epsilon)
            + \lambda_0 (v - v_{ref}) + \lambda_1 v \right)

    where :math:`m` and :math:`s` start at 0, and a hat corrects the bias of that by the
    number of steps that the parameter has taken. Inner points are averaged as above.

    Parameters
    ----------
    params : iterable of Tensor, of named Tensor, or of dict
        The network's parameters or parameter groups, as for any torch optimizer.
        A group may have its own ``lr``, ``inner_lr``, ``betas``, ``weight_decay``,
        ``epoch_decay``, ``clip_value``.
    loss : CompositionalAUCLoss or AUCMarginLoss
        The parameters of the loss or, if it has one, of its ``outer`` loss (``a`` and ``b``)
        are optimized too, in their own group, which may be empty. Its method ``ascend(lr)``
        takes the dual step.
    lr : float, default=0.1
        Learning rate of the outer and of the dual step, > 0.
    inner_lr : float or None, default=None
        Learning rate of the inner step and of pretraining, > 0. None means the current ``lr``.
    betas : pair of float, default=(0.9, 0.9)
        :math:`(\beta_0, \beta_1)`, the weights in (0, 1] of the *new* value in the
        averages of inner points and of outer gradients (1 switches averaging off).
    weight_decay : float, default=1e-4
        Pull towards zero, >= 0.
    epoch_decay : float, default=2e-3
        Pull towards :math:`v_{ref}`, the average weights of the last stage, >= 0.
    clip_value : float, default=1.0
        Bound > 0 of each element of a gradient; ``inf`` switches clipping off.
    variant : {"alternating", "lookahead"}, default="alternating"
        As described above.
    inner_steps : int, default=1
        Number of consecutive inner steps, each on a minibatch of its own, followed by as many
        outer ones; 0 for outer steps only, which is AUC training without composition. Must be
        1 for "lookahead".
    hypergradient : {"first-order", "exact"}, default="first-order"
        "exact" is for "lookahead" only. The gradient of ``F(w - inner_lr * grad L(w))`` with
        respect to ``w`` is ``(I - inner_lr * H) grad F(u)``, with ``H`` the Hessian of ``L``.
        "first-order" drops ``H``; "exact" multiplies by it with a second backward pass
        (through the clipping too) and never forms it.
    pretraining : bool, default=False
        Whether to begin with the inner loss only, in steps like the outer ones but at the rate
        ``inner_lr`` and without ``a``, ``b`` and ``alpha``, until :meth:`start_auc_stage` is
        called.
    adaptive : bool, default=False
        Whether steps are those of AdamW, as above. They need a smaller ``lr``, such as
        1e-3, and averages of gradients over more steps: ``betas=(1, 0.1)`` is usual for AdamW.
    beta2 : float, default=0.001
        :math:`\beta_2`, the weight in (0, 1] of the new value in the average of squared
        gradients.
    eps : float, default=1e-8
        Added to the square root, > 0.
    averaging : float or None, default=None
        For "alternating" only. A number in (0, 1), such as 0.99, makes the network predict with
        a moving average of its weights, see :meth:`eval`. After the t-th step, of either
        phase, the weight of the old value is ``min(averaging, 1 - 1 / (1 + t / 5))``. The
        average starts at its first value. Buffers, such as running statistics, are those
        of the weights that are trained. None means predictions with these weights.

    References
    ----------
    Z. Yuan, Z. Guo, N. Chawla, T. Yang, "Compositional Training for End-to-End Deep
    AUC Maximization", ICLR 2022, https://openreview.net/forum?id=gPvB4pdu_Z,
    algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from skdam import CompositionalAUCLoss, PDSCA
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(64, 2, generator=generator)
    >>> y = (x[:, 0] > 1).float()
    >>> network = torch.nn.Linear(2, 1)
    >>> loss = CompositionalAUCLoss()
    >>> optimizer = PDSCA(network.parameters(), loss, lr=0.5)
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     loss(network(x), y, phase=optimizer.phase).backward()
    ...     optimizer.step()
    >>> bool(loss.a > loss.b)
    True
    """

    def __init__(
        self,
        params: Iterable[Any],
        loss: Any,
        *,
        lr: float = 0.1,
        inner_lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.9),
        weight_decay: float = 1e-4,
        epoch_decay: float = 2e-3,
        clip_value: float = 1.0,
        variant: Variant = "alternating",
        inner_steps: int = 1,
        hypergradient: Hypergradient = "first-order",
        pretraining: bool = False,
        adaptive: bool = False,
        beta2: float = 1e-3,
        eps: float = 1e-8,
        averaging: float | None = None,
    ) -> None:
        check_composition(variant, inner_steps, hypergradient, averaging)
        for name, value in (("pretraining", pretraining), ("adaptive", adaptive)):
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name} must be a bool, got {value!r}.")
        self.loss = loss
        self.variant = variant
        self.inner_steps = int(inner_steps)
        self.hypergradient = hypergradient
        self.pretraining = bool(pretraining)
        self.adaptive = bool(adaptive)
        self.averaging = None if averaging is None else float(averaging)
        self._steps = 0
        # whether weights that predict have taken the place of those that are trained
        self._holds_prediction = False
        defaults = {
            "lr": lr,
            "inner_lr": inner_lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "epoch_decay": epoch_decay,
            "clip_value": clip_value,
            "beta2": beta2,
            "eps": eps,
            "auxiliary": False,
        }
        super().__init__(params, defaults)
        # those of an inner loss, if it has any, are left alone
        outer = getattr(loss, "outer", loss)
        auxiliary = [(f"loss.{name}", p) for name, p in outer.named_parameters()]
        group: dict[str, Any] = {"params": [p for _, p in auxiliary], "auxiliary": True}
        if "param_names" in self.param_groups[0]:
            group["param_names"] = [name for name, _ in auxiliary]
        self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, which joins at the current phase."""
        super().add_param_group(param_group)
        try:
            normalise_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the network and of the loss, as in torch."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        # torch's own, with an entry in its profiler, takes as long as half of the step
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @property
    def phase(self) -> Literal["inner", "outer"]:
        """The phase that the next :meth:`step` takes: "inner" or "outer"."""
        if self.pretraining:
            return "inner"
        if self.inner_steps == 0 or (self._steps // self.inner_steps) % 2:
            return "outer"
        return "inner"

    @property
    def trained_parameters(self) -> list[Tensor]:
        """All parameters that require gradients, those of the loss included."""
        return [p for group in self.param_groups for p in group["params"] if is_trained(p)]

    @property
    def phases_per_batch(self) -> int:
        """How many consecutive phases see the same minibatch: 1, or 2 for lookahead."""
        return 2 if self.variant == "lookahead" and not self.pretraining else 1

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        inner_loss: Callable[[], Tensor] | None = None,
    ) -> Any:
        """Take one step of the current :attr:`phase`, from gradients of that phase's loss.

        Parameters
        ----------
        closure : callable, optional
            As in torch: clears gradients, evaluates the loss, calls ``backward`` and
            returns the loss.
        inner_loss : callable, optional
            Needed by ``hypergradient="exact"`` in the outer phase: evaluates the inner
            loss of the same minibatch at the weights that the network then holds, and
            returns it without a call of ``backward``.

        Returns
        -------
        object
            What ``closure`` returned, else None.

        Raises
        ------
        RuntimeError
            If the optimizer is in eval mode.
        ValueError
            If a gradient is sparse, or if ``inner_loss`` is needed and missing.
        """
        # torch's wrapper, with an entry in its profiler, would take a tenth of a small step
        take_step = self._hooked_step if self._has_step_hooks else self._step
        return take_step(closure, inner_loss=inner_loss)

    # torch wraps the steps of all optimizers that do not say so
    step.hooked = True  # type: ignore[attr-defined]

    @property
    def _has_step_hooks(self) -> bool:
        return bool(
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or torch.autograd._profiler_enabled()
        )

    @torch.no_grad()
    def _step(
        self, closure: Callable[[], Any] | None, *, inner_loss: Callable[[], Tensor] | None
    ) -> Any:
        if self._holds_prediction:
            raise RuntimeError("the optimizer is in eval mode; call optimizer.train() first.")
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        if self.pretraining:
            self._averaged_step("network")
        elif self.phase == "outer":
            self._outer_step(inner_loss)
        elif self.variant == "lookahead":
            self._lookahead_inner_step()
        else:
            for group in self._groups("network", with_gradient=True):
                take_inner_step(group, self.adaptive)
        self._steps += 1
        if self.averaging is not None:
            groups = (group for group in self.param_groups if not group["auxiliary"])
            weights = [p for group in groups for p in group["params"] if is_trained(p)]
            states = [self.state[parameter] for parameter in weights]
            average_weights(Group(weights, states, {}), self.averaging, self._steps)
        return value

    _hooked_step = torch.optim.Optimizer.profile_hook_step(_step)

    def restart_stage(self, lr_decay: float = 0.1) -> None:
        """Start a new stage: decay all rates and move the reference point.

        Both rates of every group are multiplied by ``lr_decay``, the reference becomes
        the average of the weights after the outer steps of the stage that ends, and
        that average starts anew.
        """
        lr_decay = float(lr_decay)
        for group in self.param_groups:
            group["lr"] *= lr_decay
            if group["inner_lr"] is not None:
                group["inner_lr"] *= lr_decay
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if state.get("stage_steps", 0):
                    state["reference"].copy_(state["stage_average"])
                    state["stage_steps"] = 0

    def keep_rates(self) -> None:
        """Let :meth:`start_auc_stage` return to the rates of now."""
        for group in self.param_groups:
            group["first_lr"], group["first_inner_lr"] = group["lr"], group["inner_lr"]

    def start_auc_stage(self) -> None:
        """End the pretraining: averages start anew, rates return to their first values.

        Training continues from the weights that were trained. They also predict, until there is an
        average of new ones.
        """
        holds_prediction = self._holds_prediction
        self.train()
        self._holds_prediction = holds_prediction
        self.pretraining = False
        self._steps = 0
        self.state.clear()
        for group in self.param_groups:
            group["lr"] = group["first_lr"]
            group["inner_lr"] = group["first_inner_lr"]

    @torch.no_grad()
    def eval(self) -> None:
        """Give the network the weights that predict.

        They are ``u`` for lookahead, the average if there is ``averaging``, else those that are
        trained.
        """
        # between its two phases a lookahead network holds the inner point anyway
        at_rest = self.phases_per_batch == 2 and self.phase == "inner"
        if (at_rest or self.averaging is not None) and not self._holds_prediction:
            for parameter, state in self._trained_states():
                if self._prediction in state:
                    state["primal"] = parameter.clone()
                    parameter.copy_(state[self._prediction])
            self._holds_prediction = True

    @torch.no_grad()
    def train(self) -> None:
        """Give the network back the weights that the next step starts from.

        If weights were changed in eval mode, for example by loading others, training starts from
        all that the network holds.
        """
        if not self._holds_prediction:
            return
        kept = [(p, state) for p, state in self._trained_states() if "primal" in state]
        are_as_left = all(torch.equal(p, state[self._prediction]) for p, state in kept)
        for parameter, state in kept:
            primal = state.pop("primal")
            if are_as_left:
                parameter.copy_(primal)
            else:
                state[self._prediction].copy_(parameter)
        self._holds_prediction = False

    @property
    def _prediction(self) -> str:
        """The name of the state that holds the weights that predict."""
        return "inner_point" if self.variant == "lookahead" else "weight_average"

    @torch.no_grad()
    def drop_iteration(self) -> None:
        """Go back to the start of a lookahead iteration that stopped between its phases."""
        if self.variant == "lookahead" and self.phase == "outer":
            for group in self._groups():
                restore(group)
            self._steps -= 1

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, the phase included."""
        return super().state_dict() | {
            "schedule": {
                "variant": self.variant,
                "inner_steps": self.inner_steps,
                "pretraining": self.pretraining,
                "steps": self._steps,
                "holds_prediction": self._holds_prediction,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; the argument is neither changed nor shared.

        Raises
        ------
        ValueError
            If the state is of another optimizer or variant, or of other ``inner_steps``.
        """
        state_dict = copy.deepcopy(state_dict)
        if "schedule" not in state_dict:
            raise ValueError("the state dict is of another optimizer: it has no 'schedule'.")
        schedule = state_dict.pop("schedule")
        for name in ("variant", "inner_steps"):
            if schedule[name] != getattr(self, name):
                raise ValueError(
                    f"the state dict was made with {name}={schedule[name]!r}, this optimizer "
                    f"has {name}={getattr(self, name)!r}."
                )
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            if "step" in state:  # torch moves all of a state but this
                state["step"] = state["step"].to(parameter.device)
        self.pretraining = schedule["pretraining"]
        self._steps = schedule["steps"]
        self._holds_prediction = schedule["holds_prediction"]

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps its own entries alone
        own = ("loss", "variant", "inner_steps", "hypergradient", "pretraining", "adaptive")
        names = (*own, "averaging", "_steps", "_holds_prediction")
        return super().__getstate__() | {name: getattr(self, name) for name in names}

    def _outer_step(self, inner_loss: Callable[[], Tensor] | None) -> None:
        if self.hypergradient == "exact" and inner_loss is None:
            raise ValueError(
                "hypergradient='exact' needs step(inner_loss=...) in the outer phase: a callable "
                "that returns the inner loss of the minibatch."
            )
        if self.variant == "lookahead":
            for group in self._groups():
                restore(group)
        if self.hypergradient == "exact" and inner_loss is not None:
            self._apply_hessian(inner_loss)
        self._averaged_step()
        self.loss.ascend(next(group["lr"] for group in self.param_groups if group["auxiliary"]))

    def _lookahead_inner_step(self) -> None:
        for group in self._groups("network"):
            if self.hypergradient == "exact":
                for parameter, state in zip(group.parameters, group.states, strict=True):
                    if parameter.grad is not None:
                        state["unclipped"] = parameter.grad.abs() <= group.options["clip_value"]
            take_lookahead(group, group.gradients())
        # v goes aside as a whole, though the inner loss has no gradient for a and b
        for group in self._groups("loss"):
            take_lookahead(group, [torch.zeros_like(p) for p in group.parameters])

    def _averaged_step(self, of: str = "all") -> None:
        for group in self._groups(of, with_gradient=True):
            options = group.options
            rate = inner_lr_of(options) if self.pretraining else options["lr"]
            take_outer_step(group, rate, self.variant, self.adaptive)

    def _apply_hessian(self, inner_loss: Callable[[], Tensor]) -> None:
        """Turn the gradients at u into gradients of F(w - inner_lr * clip(grad L(w))).

        The network holds w again.
        """
        parameters, vectors = self.trained_parameters, {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and "unclipped" in self.state[parameter]:
                    unclipped = self.state[parameter].pop("unclipped")
                    vectors[parameter] = inner_lr_of(group) * unclipped * parameter.grad
        with torch.enable_grad():
            gradients = torch.autograd.grad(
                inner_loss(), parameters, create_graph=True, allow_unused=True
            )
            curved = [
                (gradient, vectors[parameter])
                for parameter, gradient in zip(parameters, gradients, strict=True)
                if parameter in vectors and gradient is not None and gradient.requires_grad
            ]
            products = torch.autograd.grad(
                [gradient for gradient, _ in curved],
                parameters,
                grad_outputs=[vector for _, vector in curved],
                allow_unused=True,
            )
        for parameter, product in zip(parameters, products, strict=True):
            if product is None:
                continue
            if parameter.grad is None:
                parameter.grad = -product
            else:
                parameter.grad.sub_(product)

    def _groups(self, of: str = "all", *, with_gradient: bool = False) -> Iterable[Group]:
        """Return what is trained; parameter groups with equal options are one, which spares calls.

        Parameters
        ----------
        of : {"all", "network", "loss"}, default="all"
        with_gradient : bool, default=False
            Whether to leave out parameters that have no gradient.
        """
        alike: dict[Any, Group] = {}
        for options in self.param_groups:
            if of not in ("all", "loss" if options["auxiliary"] else "network"):
                continue
            group = alike.setdefault(options_of(options), Group([], [], options))
            for parameter in options["params"]:
                gradient = parameter.grad
                if not parameter.requires_grad:
                    continue
                if gradient is None and (with_gradient or is_lazy(parameter)):
                    continue
                if gradient is not None and gradient.is_sparse:
                    raise ValueError("sparse gradients are not supported; use dense embeddings.")
                group.parameters.append(parameter)
                group.states.append(self.state[parameter])
        return [group for group in alike.values() if group.parameters]

    def _trained_states(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        return ((p, state) for p, state in self.state.items() if p.requires_grad)


def is_trained(parameter: Tensor) -> bool:
    """Return whether steps change a parameter: it requires gradients, and has values."""
    return parameter.requires_grad and not is_lazy(parameter)

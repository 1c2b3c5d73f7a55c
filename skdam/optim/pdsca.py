"""PDSCA: the primal-dual stochastic compositional adaptive optimizer."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from skdam.optim.packing import Pack, Part, Single, Vector

_options_of = operator.itemgetter(
    "lr", "inner_lr", "betas", "weight_decay", "epoch_decay", "clip_value", "beta2", "eps"
)
VARIANTS = ("alternating", "lookahead")
HYPERGRADIENTS = ("first-order", "exact")

Options = dict[str, Any]


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

    Parameters
    ----------
    params : iterable of Tensor, of named Tensor, or of dict
        The network's parameters or parameter groups, as for any torch optimizer.
        A group may have its own ``lr``, ``inner_lr``, ``betas``, ``weight_decay``,
        ``epoch_decay``, ``clip_value``.
    loss : CompositionalAUCLoss or AUCMarginLoss
        Holds ``margin`` and ``a``, ``b``, ``alpha``, which are optimized too.
    lr : float, default=0.1
        Rate of the outer and of the dual step.
    inner_lr : float or None, default=None
        Rate of the inner step. None takes ``lr``, whatever that is at the time.
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
    inner_steps : int, default=1
        Alternating: that many inner minibatches, then as many outer ones; 0 for outer
        steps alone, which is AUC training without composition. Lookahead: 1.
    hypergradient : {"first-order", "exact"}, default="first-order"
        Lookahead only. The gradient of ``F(w - inner_lr * grad L(w))`` with respect to
        ``w`` is ``(I - inner_lr * H) grad F(u)``, with ``H`` the Hessian of ``L``.
        "first-order" drops ``H``; "exact" multiplies by it with a second backward pass
        (through the clipping too) and never forms it.
    pretraining : bool, default=False
        Whether to begin with the inner loss alone, in steps like the outer ones but
        without ``a``, ``b`` and ``alpha``, until :meth:`start_auc_stage`.
    adaptive : bool, default=False
        Adam-type steps: divide by the root of a bias-corrected moving average of
        squared gradients, in the outer step and, when alternating, in the inner step
        with an average of its own. Needs a smaller ``lr``, such as 1e-3.
    beta2 : float, default=0.001
        Weight in (0, 1] of the new value in the average of squared gradients.
    eps : float, default=1e-8
        Added to the root, > 0.

    Notes
    -----
    From a step until :meth:`eval` or :meth:`state_dict` the parameters of all groups with the same
    options are views of one vector, and their entries of ``state`` are in it. A tensor that shared
    memory with a parameter before (``parameter.detach()``) does not follow it any more. Parameters
    that share memory with each other, or with other processes, stay as they are. A state dict of
    the network or of the loss that is saved in between holds the whole vector: save it after
    :meth:`eval`.

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
    ...     _ = loss.backward(network(x), y, phase=optimizer.phase)
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
        variant: str = "alternating",
        inner_steps: int = 1,
        hypergradient: str = "first-order",
        pretraining: bool = False,
        adaptive: bool = False,
        beta2: float = 1e-3,
        eps: float = 1e-8,
    ) -> None:
        check_composition(variant, inner_steps, hypergradient)
        self.loss = loss
        self.variant = variant
        self.inner_steps = int(inner_steps)
        self.hypergradient = hypergradient
        self.pretraining = pretraining
        self.adaptive = adaptive
        self._steps = 0
        self._at_inner_point = False
        self._parts: list[tuple[Options, Part]] = []
        self._places: dict[int, Tensor] = {}
        self._layout: _Layout | None = None
        self._can_pack = True
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
        auxiliary: list[Any] = [loss.a, loss.b]
        if "param_names" in self.param_groups[0]:
            auxiliary = [("loss.a", loss.a), ("loss.b", loss.b)]
        self.add_param_group({"params": auxiliary, "auxiliary": True})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, which joins at the current phase."""
        super().add_param_group(param_group)
        self._unpack()
        try:
            _normalise_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the network and of ``a`` and ``b``, as in torch."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        # without torch's entry in the profiler, which takes longer than the rest
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
    def n_steps(self) -> int:
        """How many steps were taken; :meth:`start_auc_stage` starts to count anew."""
        return self._steps

    @property
    def trained_parameters(self) -> list[Tensor]:
        """All parameters that require gradients, ``a`` and ``b`` included."""
        return [parameter for group in self.param_groups for parameter in _trained_in(group)]

    @property
    def gradient_places(self) -> Mapping[int, Tensor]:
        """By the ``id`` of a parameter, what its ``grad`` may be to spare :meth:`step` a copy."""
        return self._places

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
        """
        # torch's wrapper, with an entry in its profiler, would take as long as the step
        return (self._watched_step if self._is_watched else self._step)(
            closure, inner_loss=inner_loss
        )

    # what tells torch not to wrap it again
    step.hooked = True  # type: ignore[attr-defined]

    @property
    def _is_watched(self) -> bool:
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
        if self._at_inner_point:
            raise RuntimeError("the optimizer is in eval mode; call optimizer.train() first.")
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        self._lay_out()
        if self.pretraining:
            self._averaged_step()
        elif self.phase == "outer":
            self._outer_step(inner_loss)
        elif self.variant == "lookahead":
            self._lookahead_inner_step()
        else:
            self._alternating_inner_step()
        self._steps += 1
        return value

    _watched_step = torch.optim.Optimizer.profile_hook_step(_step)

    @torch.no_grad()
    def next_vector(self) -> tuple[Options, Vector] | None:
        """Return what the next step moves, with its options, if that is one vector.

        Its states all exist. So the step may be taken elsewhere, by the functions of this
        module; then :meth:`count_step` is to be told. None also where others see the steps.
        """
        is_seen = self._is_watched or "step" in vars(self)
        if self.variant != "alternating" or self.adaptive or is_seen:
            return None
        self._lay_out()
        if len(self._parts) != 1:
            return None
        options, pack = self._parts[0]
        # without a and b their rate, which is that of alpha, may be another
        if not isinstance(pack, Pack) or (pack.network is pack and not self.pretraining):
            return None
        needed = {"inner_point"}
        vector: Vector | None = pack.network
        if self.pretraining or self.phase == "outer":
            vector, needed = pack, {"gradient"}
        if options["epoch_decay"]:
            needed |= {"reference", "stage_average"}
        if vector is None or not needed <= pack.state.keys() | vector.state.keys():
            return None
        return options, vector

    def count_step(self, options: Options, part: Vector) -> None:
        """Take note of a step that was taken with :meth:`next_vector`."""
        if options["epoch_decay"] and "stage_steps" in part.state:
            part.state["stage_steps"] += 1
        part.changed()
        self._steps += 1

    def restart_stage(self, lr_decay: float = 0.1) -> None:
        """Start a new stage: decay all rates and move the reference point.

        Both rates of every group are multiplied by ``lr_decay``, the reference becomes
        the average of the weights after the outer steps of the stage that ends, and
        that average starts anew.
        """
        lr_decay = float(lr_decay)
        self._unpack()
        for group in self.param_groups:
            group["lr"] *= lr_decay
            if group["inner_lr"] is not None:
                group["inner_lr"] *= lr_decay
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if state.get("stage_steps", 0):
                    state["reference"].copy_(state["stage_average"])
                    state["stage_steps"] = 0

    def start_auc_stage(self) -> None:
        """End the pretraining: all averages start anew, the rates as they first were."""
        self.pretraining = False
        self._steps = 0
        self._unpack()
        self.state.clear()
        for group in self.param_groups:
            if group["inner_lr"] is not None:
                group["inner_lr"] *= group["initial_lr"] / group["lr"]
            group["lr"] = group["initial_lr"]

    @torch.no_grad()
    def eval(self) -> None:
        """Give the network the weights that predict: ``u`` if lookahead, else no change."""
        self._unpack()
        # between its two phases a lookahead network holds the inner point anyway
        at_rest = self.phases_per_batch == 2 and self.phase == "inner"
        if at_rest and not self._at_inner_point:
            for parameter, state in self._trained():
                if "inner_point" in state:
                    state["primal"] = parameter.clone()
                    parameter.copy_(state["inner_point"])
            self._at_inner_point = True

    @torch.no_grad()
    def train(self) -> None:
        """Give the network back the weights that the next step starts from.

        Weights that were changed in eval mode, by loading others say, are where it starts.
        """
        self._can_pack = True
        if self._at_inner_point:
            for parameter, state in self._trained():
                if "primal" not in state:
                    continue
                primal = state.pop("primal")
                if torch.equal(parameter, state["inner_point"]):
                    parameter.copy_(primal)
                else:
                    state["inner_point"].copy_(parameter)
            self._at_inner_point = False

    @torch.no_grad()
    def drop_iteration(self) -> None:
        """Go back to the start of a lookahead iteration that stopped between its phases."""
        if self.variant == "lookahead" and self.phase == "outer":
            self._unpack()
            for parameter, state in self._trained():
                _restore_primal(parameter, state)
            self._steps -= 1

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, the phase included."""
        self._unpack()
        return super().state_dict() | {
            "schedule": {
                "variant": self.variant,
                "inner_steps": self.inner_steps,
                "pretraining": self.pretraining,
                "steps": self._steps,
                "at_inner_point": self._at_inner_point,
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
        self._unpack()
        super().load_state_dict(state_dict)
        self.pretraining = schedule["pretraining"]
        self._steps = schedule["steps"]
        self._at_inner_point = schedule["at_inner_point"]

    def __getstate__(self) -> dict[str, Any]:
        names = ("loss", "variant", "inner_steps", "hypergradient", "pretraining", "adaptive")
        own = {name: getattr(self, name) for name in names}
        own |= {"_steps": self._steps, "_at_inner_point": self._at_inner_point}
        own |= {"_parts": [], "_places": {}, "_layout": None, "_can_pack": True}
        self._unpack()
        return super().__getstate__() | own

    def _outer_step(self, inner_loss: Callable[[], Tensor] | None) -> None:
        if self.hypergradient == "exact" and inner_loss is None:
            raise ValueError(
                "hypergradient='exact' needs step(inner_loss=...) in the outer phase: a callable "
                "that returns the inner loss of the minibatch."
            )
        if self.variant == "lookahead":
            for _, part in self._parts:
                _restore_primal(part.value, part.state)
        if self.hypergradient == "exact" and inner_loss is not None:
            self._apply_hessian(inner_loss)
        self._averaged_step()
        self._dual_step()

    def _alternating_inner_step(self) -> None:
        for options, part in self._moving_parts(of_network=True):
            move_to_inner_point(part, options, self.adaptive)
            part.changed()

    def _lookahead_inner_step(self) -> None:
        # also where the inner loss has no gradient, as for a and b: v goes aside as a whole
        for _, part in self._parts:
            part.state["primal"] = part.value.clone()
        for options, part in self._moving_parts(of_network=True):
            if self.hypergradient == "exact":
                assert part.value.grad is not None
                part.state["unclipped"] = part.value.grad.abs() <= options["clip_value"]
            part.value.add_(part.gradient(options["clip_value"]), alpha=-inner_lr_of(options))
        for options, part in self._parts:
            part.value.copy_(_average(part.state, "inner_point", part.value, options["betas"][0]))
            part.changed()

    def _averaged_step(self) -> None:
        for options, part in self._moving_parts():
            descend(part, options, self.variant, self.adaptive)
            part.changed()

    def _dual_step(self) -> None:
        loss = self.loss
        lr = next(group["lr"] for group in self.param_groups if group["auxiliary"])
        ascend(loss.alpha, loss.a, loss.b, loss.margin, lr)

    def _apply_hessian(self, inner_loss: Callable[[], Tensor]) -> None:
        """Turn the gradients at u into gradients of F(w - inner_lr * clip(grad L(w))).

        The network holds w again.
        """
        parameters, vectors = [], {}
        for group in self.param_groups:
            if group["auxiliary"]:
                continue
            parameters += _trained_in(group)
            for parameter in group["params"]:
                if parameter.grad is not None and "unclipped" in self.state[parameter]:
                    unclipped = self.state[parameter].pop("unclipped")
                    vectors[parameter] = inner_lr_of(group) * unclipped * parameter.grad
        with torch.enable_grad():
            slopes = torch.autograd.grad(
                inner_loss(), parameters, create_graph=True, allow_unused=True
            )
            curved = [
                (slope, vectors[parameter])
                for parameter, slope in zip(parameters, slopes, strict=True)
                if parameter in vectors and slope is not None and slope.requires_grad
            ]
            products = torch.autograd.grad(
                [slope for slope, _ in curved],
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

    def _moving_parts(self, *, of_network: bool = False) -> list[tuple[Options, Part]]:
        """Return what has a gradient, of all or of the network, each with its options."""
        parts = self._parts
        if of_network:
            parts = [(o, part.network) for o, part in parts if part.network is not None]
        has_gradient = [part.load() for _, part in parts]
        if all(has_gradient):
            return parts
        if self._can_pack:
            self._can_pack = False
            self._unpack()
            self._lay_out()
            return self._moving_parts(of_network=of_network)
        gradients = [part.value.grad for _, part in parts]
        if any(gradient is not None and gradient.is_sparse for gradient in gradients):
            raise ValueError("sparse gradients are not supported; use dense embeddings.")
        return [pair for pair, has in zip(parts, has_gradient, strict=True) if has]

    def _lay_out(self) -> None:
        """Set the parts to all that is trained, packed where that can be, each with its options."""
        if self._layout is None or not self._layout.holds(self):
            self._unpack()
            alike = self._alike_groups()
            self._parts = [part for groups in alike for part in self._parted(groups)]
            packs = [part for _, part in self._parts if isinstance(part, Pack)]
            self._places = dict(place for pack in packs for place in pack.places())
            self._layout = _Layout(self, alike)

    def _alike_groups(self) -> list[list[Options]]:
        """Return the groups that are trained, those of equal options together."""
        alike: list[list[Options]] = []
        for group in sorted(self.param_groups, key=lambda group: group["auxiliary"]):
            if self.pretraining and group["auxiliary"]:
                continue
            for others in alike:
                if _have_equal_options(group, others[0]):
                    others.append(group)
                    break
            else:
                alike.append([group])
        return alike

    def _parted(self, groups: list[Options]) -> list[tuple[Options, Part]]:
        parameters = [parameter for group in groups for parameter in _trained_in(group)]
        states = [self.state[parameter] for parameter in parameters]
        n_of_network = sum(len(_trained_in(g)) for g in groups if not g["auxiliary"])
        # the exact hypergradient looks at each parameter
        can_pack = self._can_pack and self.hypergradient == "first-order"
        if can_pack and Pack.suits(parameters, states, n_of_network):
            return [(groups[0], Pack(parameters, states, n_of_network))]
        if len(groups) > 1:
            return [pair for group in groups for pair in self._parted([group])]
        return [
            (groups[0], Single(parameter, state, n_of_network > 0))
            for parameter, state in zip(parameters, states, strict=True)
        ]

    def _unpack(self) -> None:
        """Give each parameter its state back; whoever looks at states or changes them does so."""
        for _, part in self._parts:
            if isinstance(part, Pack):
                part.dissolve()
        self._parts, self._places, self._layout = [], {}, None

    def _trained(self) -> Iterable[tuple[Tensor, dict[str, Any]]]:
        return ((p, state) for p, state in self.state.items() if p.requires_grad)


class _Layout:
    """What the parts of an optimizer depend on, looked at before each step.

    Parameters
    ----------
    optimizer : PDSCA
    alike : list of list of dict
        Groups that step together.
    """

    def __init__(self, optimizer: PDSCA, alike: list[list[Options]]) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._lazy = [parameter for parameter in parameters if is_lazy(parameter)]
        self._parameters = [parameter for parameter in parameters if not is_lazy(parameter)]
        self._places = self._places_now()
        self._states = dict(optimizer.state)
        self._pairs = [(first, other) for first, *others in alike for other in others]
        self._pretraining = optimizer.pretraining

    def holds(self, optimizer: PDSCA) -> bool:
        """Return whether parameters, states and equal options are where and as they were."""
        return (
            self._places_now() == self._places
            and all(_have_equal_options(*pair) for pair in self._pairs)
            and len(optimizer.state) == len(self._states)
            and all(map(operator.is_, optimizer.state.values(), self._states.values()))
            and not any(not is_lazy(parameter) for parameter in self._lazy)
            and optimizer.pretraining == self._pretraining
        )

    def _places_now(self) -> list[tuple[int, bool]]:
        return [(p.data_ptr(), p.requires_grad) for p in self._parameters]


def _have_equal_options(group: Options, other: Options) -> bool:
    return _options_of(group) == _options_of(other)


def _trained_in(group: dict[str, Any]) -> list[Tensor]:
    return [p for p in group["params"] if p.requires_grad and not is_lazy(p)]


def _restore_primal(value: Tensor, state: dict[str, Any]) -> None:
    if "primal" in state:
        value.copy_(state.pop("primal"))


def inner_lr_of(options: Options) -> float:
    """Return the rate of the inner step."""
    return options["lr"] if options["inner_lr"] is None else options["inner_lr"]


def _add(x: Tensor, y: Tensor, factor: float | Tensor) -> Tensor:
    """Add ``factor * y`` to x; a number would be a constant of what is compiled."""
    return x.add_(y * factor) if isinstance(factor, Tensor) else x.add_(y, alpha=factor)


def move_to_inner_point(part: Part, options: Options, adaptive: bool) -> None:
    """Take an inner step of the alternating variant.

    The options of this and of the next functions are numbers or tensors of shape ().
    """
    step = part.gradient(options["clip_value"])
    _add_decay(step, part, options)
    if adaptive:
        step = _over_root(step, step, part.state, "inner", options)
    _add(part.value, step, -inner_lr_of(options))
    part.value.copy_(_average(part.state, "inner_point", part.value, options["betas"][0]))


def descend(part: Part, options: Options, variant: str, adaptive: bool) -> None:
    """Take a step of the averaged gradient."""
    gradient = part.gradient(options["clip_value"])
    if variant == "alternating":
        _add_decay(gradient, part, options)
    step = _average(part.state, "gradient", gradient, options["betas"][1])
    if adaptive:
        step = _over_root(step, gradient, part.state, "outer", options)
    if variant == "lookahead":
        # the average has to stay as it is, the gradient has been used
        step = gradient.copy_(step)
        _add_decay(step, part, options)
    _add(part.value, step, -options["lr"])
    if _is_pulled_back(options):
        _extend_stage_average(part)


def ascend(alpha: Tensor, a: Tensor, b: Tensor, margin: float, lr: Any) -> None:
    """Take a dual step."""
    # a rate of 1/2 reaches the maximum, a larger one passes over it
    weight = (2 * lr).clamp(max=1) if isinstance(lr, Tensor) else min(2 * lr, 1.0)
    alpha.lerp_((b - a).add_(margin), weight).relu_()


def _add_decay(step: Tensor, part: Part, options: Options) -> None:
    """Add ``epoch_decay * (v - v_ref) + weight_decay * v``."""
    epoch_decay = options["epoch_decay"]
    _add(step, part.value, options["weight_decay"] + epoch_decay)
    if _is_pulled_back(options):
        _add(step, part.reference(), -epoch_decay)


def _is_pulled_back(options: Options) -> bool:
    epoch_decay = options["epoch_decay"]
    # what is compiled does not know the value of a tensor
    return isinstance(epoch_decay, Tensor) or epoch_decay > 0


def _average(state: dict[str, Any], key: str, value: Tensor, beta: float) -> Tensor:
    """Move the average ``state[key]``, which starts at its first value."""
    if key in state:
        state[key].lerp_(value, beta)
    else:
        state[key] = value.clone()
    return state[key]


def _over_root(
    step: Tensor, gradient: Tensor, state: dict[str, Any], phase: str, options: Options
) -> Tensor:
    """Divide by the root of the bias-corrected average of squared gradients."""
    square, count = f"{phase}_square", f"{phase}_count"
    keep = 1 - options["beta2"]
    if square not in state:
        state[square] = torch.zeros_like(gradient)
        state[count] = 0
    state[count] += 1
    state[square].mul_(keep).addcmul_(gradient, gradient, value=options["beta2"])
    root = (state[square] / (1 - keep ** state[count])).sqrt_().add_(options["eps"])
    return step / root


def _extend_stage_average(part: Part) -> None:
    state = part.state
    if "stage_average" not in state:
        state["stage_average"] = torch.zeros_like(part.value)
        state["stage_steps"] = 0
    state["stage_steps"] += 1
    state["stage_average"].lerp_(part.value, 1 / state["stage_steps"])


def check_composition(variant: str, inner_steps: int, hypergradient: str) -> None:
    """Raise unless these parameters of :class:`PDSCA` go together."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}.")
    if hypergradient not in HYPERGRADIENTS:
        raise ValueError(f"hypergradient must be one of {HYPERGRADIENTS}, got {hypergradient!r}.")
    if hypergradient == "exact" and variant != "lookahead":
        raise ValueError(
            "hypergradient='exact' needs variant='lookahead': the alternating variant moves the "
            "weights to the inner point and has no hypergradient."
        )
    if not isinstance(inner_steps, Integral) or inner_steps < 0:
        raise ValueError(f"inner_steps must be an int >= 0, got {inner_steps!r}.")
    if variant == "lookahead" and inner_steps != 1:
        raise ValueError(f"variant='lookahead' takes inner_steps=1, got {inner_steps!r}.")


def _normalise_group(group: dict[str, Any]) -> None:
    """Turn the numbers of a group into Python's own, which any file format takes, or raise."""
    for name in ("lr", "inner_lr", "clip_value", "eps", "weight_decay", "epoch_decay", "beta2"):
        if group[name] is not None or name != "inner_lr":
            group[name] = _number(name, group[name])
    for name in ("lr", "inner_lr", "clip_value", "eps"):
        if group[name] is not None and not group[name] > 0:
            raise ValueError(f"{name} must be a number > 0, got {group[name]!r}.")
    for name in ("weight_decay", "epoch_decay"):
        if not group[name] >= 0:
            raise ValueError(f"{name} must be a number >= 0, got {group[name]!r}.")
    try:
        betas = [_number("betas", beta) for beta in group["betas"]]
    except TypeError:
        betas = []
    if len(betas) != 2 or not all(0 < beta <= 1 for beta in betas):
        raise ValueError(f"betas must be a pair of numbers in (0, 1], got {group['betas']!r}.")
    group["betas"] = tuple(betas)
    if not 0 < group["beta2"] <= 1:
        raise ValueError(f"beta2 must be a number in (0, 1], got {group['beta2']!r}.")
    # where torch's schedulers look for the rate that they started from
    group.setdefault("initial_lr", group["lr"])


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except TypeError:
        raise ValueError(f"{name} must hold numbers, got {value!r}.") from None

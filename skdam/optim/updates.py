"""The lines of the algorithm, each for all parameters that step alike."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from skdam.optim.options import Options, inner_lr_of

State = dict[str, Any]

# where torch has one kernel for a whole step
_FUSED = ("cpu", "cuda")


class Group(NamedTuple):
    """Parameters that step alike, and their states in the same order."""

    parameters: list[Tensor]
    states: list[State]
    options: Options

    def gradients(self, *, new: bool = True) -> list[Tensor]:
        """Return the gradients, clipped elementwise; a missing one is zero.

        Parameters
        ----------
        new : bool, default=True
            Whether they may be changed in place.
        """
        bound = self.options["clip_value"]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        if bound == math.inf and not new:
            return gradients
        clipped = torch._foreach_clamp_max(gradients, bound)
        torch._foreach_clamp_min_(clipped, -bound)
        return list(clipped)

    def steps(self) -> list[Tensor]:
        """Return the counts of adaptive steps, as torch's own optimizers keep them."""
        for parameter, state in zip(self.parameters, self.states, strict=True):
            if "step" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return [state["step"] for state in self.states]

    def state(self, key: str, first: list[Tensor] | None = None) -> list[Tensor]:
        """Return the states of a name; those that are missing become copies of ``first``, or 0."""
        for i, state in enumerate(self.states):
            if key not in state:
                state[key] = (
                    torch.zeros_like(self.parameters[i]) if first is None else first[i].clone()
                )
        return [state[key] for state in self.states]


def take_inner_step(group: Group, adaptive: bool) -> None:
    """Move the weights to the averaged inner point, in the alternating variant."""
    rate = inner_lr_of(group.options)
    if adaptive:
        _take_adaptive_step(group, rate)
    else:
        step = group.gradients()
        _add_decay(step, group)
        torch._foreach_add_(group.parameters, step, alpha=-rate)
    # the average of one point is that point
    if group.options["betas"][0] != 1:
        _move_to_averaged_point(group)


def take_lookahead(group: Group, gradients: list[Tensor]) -> None:
    """Set the values aside, and move to the averaged inner point, in the lookahead variant."""
    for parameter, state in zip(group.parameters, group.states, strict=True):
        state["primal"] = parameter.clone()
    torch._foreach_add_(group.parameters, gradients, alpha=-inner_lr_of(group.options))
    _move_to_averaged_point(group)


def restore(group: Group) -> None:
    """Give the parameters back the values that were set aside."""
    for parameter, state in zip(group.parameters, group.states, strict=True):
        if "primal" in state:
            parameter.copy_(state.pop("primal"))


def take_outer_step(group: Group, rate: float, variant: str, adaptive: bool) -> None:
    """Take a step of the averaged gradient."""
    if adaptive:
        _take_adaptive_step(group, rate)
    else:
        _take_averaged_step(group, rate, variant)
    if group.options["epoch_decay"]:
        averages, counts = group.state("stage_average"), _count(group, "stage_steps")
        for count in set(counts):  # usually one: parameters that joined later count less
            of_count = [i for i, other in enumerate(counts) if other == count]
            torch._foreach_lerp_(
                [averages[i] for i in of_count],
                [group.parameters[i] for i in of_count],
                1 / count,
            )


def average_weights(group: Group, averaging: float, count: int) -> None:
    """Move the averages of the weights after a step; ``count`` is 1 for the first."""
    # a new average forgets the first steps soon
    _average(group, "weight_average", group.parameters, max(1 - averaging, 1 / (1 + count / 5)))


def _take_averaged_step(group: Group, rate: float, variant: str) -> None:
    step = group.gradients()
    if variant == "alternating":
        _add_decay(step, group)
    step = _average(group, "gradient", step, group.options["betas"][1])
    if variant == "lookahead":
        # the average has to stay as it is
        step = [one.clone() for one in step]
        _add_decay(step, group)
    torch._foreach_add_(group.parameters, step, alpha=-rate)


def _take_adaptive_step(group: Group, rate: float) -> None:
    """Take a step of AdamW at a rate.

    The phases share the moments. On a table of 50,000 rows, one pair of moments for both phases
    reached an AUC of 0.9765, a pair for each phase 0.9644.
    """
    options, parameters = group.options, group.parameters
    epoch_decay = options["epoch_decay"]
    # taken before the step, as the first reference is the initial value
    references = group.state("reference", parameters) if epoch_decay else []
    gradients, steps = group.gradients(new=False), group.steps()
    first, second = group.state("first_moment"), group.state("second_moment")
    # fused it takes a quarter of the time, but reads memory as it lies
    fused = all(
        p.device.type in _FUSED
        and p.is_floating_point()
        and p.is_contiguous()
        and m.is_contiguous()
        and s.is_contiguous()
        for p, m, s in zip(parameters, first, second, strict=True)
    )
    if fused:
        gradients = [gradient.contiguous() for gradient in gradients]
    adamw(
        parameters,
        gradients,
        first,
        second,
        [],
        steps,
        fused=fused,
        foreach=not fused,
        amsgrad=False,
        maximize=False,
        lr=rate,
        beta1=1 - options["betas"][1],
        beta2=1 - options["beta2"],
        eps=options["eps"],
        weight_decay=options["weight_decay"] + epoch_decay,
    )
    if epoch_decay:
        torch._foreach_add_(parameters, references, alpha=rate * epoch_decay)


def _move_to_averaged_point(group: Group) -> None:
    point = _average(group, "inner_point", group.parameters, group.options["betas"][0])
    torch._foreach_copy_(group.parameters, point)


def _add_decay(step: list[Tensor], group: Group) -> None:
    """Add ``epoch_decay * (v - v_ref) + weight_decay * v``."""
    epoch_decay = group.options["epoch_decay"]
    torch._foreach_add_(step, group.parameters, alpha=group.options["weight_decay"] + epoch_decay)
    if epoch_decay:
        reference = group.state("reference", group.parameters)
        torch._foreach_add_(step, reference, alpha=-epoch_decay)


def _average(group: Group, key: str, values: list[Tensor], beta: float) -> list[Tensor]:
    """Move a moving average, which starts at its first value."""
    averages = group.state(key, values)
    torch._foreach_lerp_(averages, values, beta)
    return averages


def _count(group: Group, key: str) -> list[int]:
    """Add one to the counts of a name, and return them."""
    for state in group.states:
        state[key] = state.get(key, 0) + 1
    return [state[key] for state in group.states]

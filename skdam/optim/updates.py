"""The lines of the algorithm, each for all parameters that step alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from skdam.optim.options import Options, inner_lr_of

State = dict[str, Any]


class Group(NamedTuple):
    """Parameters that step alike, and their states in the same order."""

    parameters: list[Tensor]
    states: list[State]
    options: Options

    def gradients(self) -> list[Tensor]:
        """Return the gradients, clipped elementwise, as new tensors; a missing one is zero."""
        bound = self.options["clip_value"]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        clipped = torch._foreach_clamp_max(gradients, bound)
        torch._foreach_clamp_min_(clipped, -bound)
        return list(clipped)

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
    step = group.gradients()
    _add_decay(step, group)
    if adaptive:
        step = _over_root(step, step, group, "inner")
    _move_to_inner_point(group, step)


def take_lookahead(group: Group, gradients: list[Tensor]) -> None:
    """Set the values aside, and move to the averaged inner point, in the lookahead variant."""
    for parameter, state in zip(group.parameters, group.states, strict=True):
        state["primal"] = parameter.clone()
    _move_to_inner_point(group, gradients)


def restore(group: Group) -> None:
    """Give the parameters back the values that were set aside."""
    for parameter, state in zip(group.parameters, group.states, strict=True):
        if "primal" in state:
            parameter.copy_(state.pop("primal"))


def take_outer_step(group: Group, variant: str, adaptive: bool) -> None:
    """Take a step of the averaged gradient."""
    gradients = group.gradients()
    if variant == "alternating":
        _add_decay(gradients, group)
    step = _average(group, "gradient", gradients, group.options["betas"][1])
    if adaptive:
        step = _over_root(step, gradients, group, "outer")
    if variant == "lookahead":
        # the average has to stay as it is
        step = [one.clone() for one in step]
        _add_decay(step, group)
    torch._foreach_add_(group.parameters, step, alpha=-group.options["lr"])
    if group.options["epoch_decay"]:
        averages, counts = group.state("stage_average"), _count(group, "stage_steps")
        for count in set(counts):  # usually one: parameters that joined later count less
            of_count = [i for i, other in enumerate(counts) if other == count]
            torch._foreach_lerp_(
                [averages[i] for i in of_count],
                [group.parameters[i] for i in of_count],
                1 / count,
            )


def _move_to_inner_point(group: Group, step: list[Tensor]) -> None:
    torch._foreach_add_(group.parameters, step, alpha=-inner_lr_of(group.options))
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


def _over_root(
    step: list[Tensor], gradients: list[Tensor], group: Group, phase: str
) -> list[Tensor]:
    """Divide by the root of the bias-corrected average of squared gradients."""
    keep = 1 - group.options["beta2"]
    squares = group.state(f"{phase}_square")
    torch._foreach_mul_(squares, keep)
    torch._foreach_addcmul_(squares, gradients, gradients, value=group.options["beta2"])
    counts = _count(group, f"{phase}_count")
    roots = torch._foreach_div(squares, [1 - keep**count for count in counts])
    torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, group.options["eps"])
    return list(torch._foreach_div(step, roots))


def _count(group: Group, key: str) -> list[int]:
    """Add one to the counts of a name, and return them."""
    for state in group.states:
        state[key] = state.get(key, 0) + 1
    return [state[key] for state in group.states]

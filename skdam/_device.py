"""Devices, and the states of torch's random generators on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

RngState = tuple[Tensor, list[Tensor]]


def resolve_device(device: str) -> str:
    """Return the name of an available device.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda" or "cuda:<index>". "auto" is CUDA if present, else the CPU.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the device is unknown or not available.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r}.")
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} is not there: torch sees {torch.cuda.device_count()} CUDA "
            "devices. Use 'auto' or 'cpu'."
        )
    return device


def present_device(device: str) -> str:
    """Return the device or, if it is a CUDA device that is not available, a replacement.

    The replacement is another CUDA device or, without one, the CPU.
    """
    parsed = torch.device(device)
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def get_rng_state(device: str) -> RngState:
    """Return the states of torch's generators that computations on a device draw from."""
    return torch.get_rng_state(), [torch.cuda.get_rng_state(i) for i in _cuda_indices(device)]


def set_rng_state(device: str, state: RngState) -> None:
    """Return to the states of :func:`get_rng_state`."""
    torch.set_rng_state(state[0])
    for index, cuda_state in zip(_cuda_indices(device), state[1], strict=True):
        torch.cuda.set_rng_state(cuda_state, index)


@contextmanager
def forked_rng(
    device: str, *, seed: int | None = None, state: RngState | None = None
) -> Iterator[None]:
    """Restore the states of torch's generators at the end of the context.

    Parameters
    ----------
    device : str
        Device whose generators are restored, in addition to those of the CPU.
    seed : int or None, default=None
        Seed to begin with.
    state : tuple or None, default=None
        State to begin with, from :func:`get_rng_state`.
    """
    indices = _cuda_indices(device)
    with torch.random.fork_rng(devices=indices):
        if seed is not None:
            # torch.manual_seed would also seed CUDA devices that are not in use
            torch.default_generator.manual_seed(seed)
            for index in indices:
                torch.cuda.default_generators[index].manual_seed(seed)
        if state is not None:
            set_rng_state(device, state)
        yield


def _cuda_indices(device: str) -> list[int]:
    parsed = torch.device(device)
    if parsed.type != "cuda":
        return []
    return [torch.cuda.current_device() if parsed.index is None else parsed.index]

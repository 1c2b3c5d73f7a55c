"""Devices: which are there."""

from __future__ import annotations

import torch


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

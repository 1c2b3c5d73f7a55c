"""The precision of rivals' training, by the names that our nets have for it."""

from __future__ import annotations

import torch


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context of a forward pass in "float32" or "bfloat16"."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")

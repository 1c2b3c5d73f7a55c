"""Logits and targets for the losses."""

import pytest
import torch


@pytest.fixture
def logits_and_targets():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(64, generator=generator, dtype=torch.float64)
    return logits, (torch.arange(64) % 4 == 0).double()

"""The default network for data of a given shape."""

from __future__ import annotations

from torch import nn

from skdam.networks.resnet import ResNet20
from skdam.networks.tabular import TabularMLP

_MIN_PIXELS = 8


def default_module(example_shape: tuple[int, ...]) -> type[nn.Module]:
    """Return the class of the default network for examples of a shape.

    Parameters
    ----------
    example_shape : tuple of int
        (n_features,) or (channels, height, width).

    Returns
    -------
    type
        :class:`~skdam.TabularMLP` or :class:`~skdam.ResNet20`.

    Raises
    ------
    ValueError
        If no default network takes this shape.
    """
    if len(example_shape) == 1:
        return TabularMLP
    if len(example_shape) == 3 and min(example_shape[1:]) >= _MIN_PIXELS:
        return ResNet20
    hint = {
        2: "For grey images add the axis of channels: X[:, None].",
        3: "For channels last, move them: X.transpose(0, 3, 1, 2).",
    }
    dimensions = ", ".join(map(str, example_shape))
    raise ValueError(
        "the default networks take X of shape (n, n_features) or (n, channels, height, width) "
        f"with images of at least {_MIN_PIXELS} x {_MIN_PIXELS} pixels, got (n, {dimensions}). "
        f"{hint.get(len(example_shape), '')} For other shapes pass module=..., an nn.Module that "
        "takes them."
    )

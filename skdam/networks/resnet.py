"""A residual network for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from skdam._numbers import check_ints
from skdam.networks.augmentation import AUGMENTATIONS, RandomCropFlip
from skdam.networks.statistics import Standardiser


class ResNet20(nn.Module):
    """Residual network of 20 layers for small images, with one logit.

    The architecture for CIFAR in [1]_: a 3 x 3 convolution, three stages of three blocks of
    two convolutions each, shortcuts without parameters, global average pooling and a linear
    layer. The second and the third stage each halve the resolution and double the channels.
    With 3 input channels it has 0.27 million weights. Channels are standardised with
    statistics that :meth:`fit_statistics` learns and that are buffers of the module.

    Parameters
    ----------
    in_channels : int
        Channels of an image, >= 1.
    width : int, default=16
        Channels of the first stage, >= 1. Time and memory grow at least linearly with it.
    augmentation : {"crop-flip", "crop"} or None, default="crop-flip"
        Augmentation of training images: :class:`~skdam.RandomCropFlip` with mirroring, without
        mirroring, or none.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image
       Recognition", CVPR 2016, arXiv:1512.03385, section 4.2.

    Examples
    --------
    >>> import torch
    >>> from skdam import ResNet20
    >>> module = ResNet20(in_channels=3)
    >>> module(torch.rand(5, 3, 32, 32)).shape
    torch.Size([5])
    >>> module.embed(torch.rand(5, 3, 32, 32)).shape
    torch.Size([5, 64])
    """

    def __init__(
        self, in_channels: int, width: int = 16, augmentation: str | None = "crop-flip"
    ) -> None:
        super().__init__()
        check_ints(1, in_channels=in_channels, width=width)
        if augmentation is not None and augmentation not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation must be one of {AUGMENTATIONS} or None, got {augmentation!r}."
            )
        self.standardise = Standardiser(in_channels)
        self.augment = (
            nn.Identity() if augmentation is None else RandomCropFlip(augmentation == "crop-flip")
        )
        blocks = []
        n_in = width
        for n_out in (width, 2 * width, 4 * width):
            for _ in range(3):
                blocks.append(_ResidualBlock(n_in, n_out))
                n_in = n_out
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.last = nn.Linear(4 * width, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        # whatever torch's default is
        self.float()

    def fit_statistics(self, X: Tensor, y: Tensor) -> None:
        """Learn mean and standard deviation of each channel.

        Parameters
        ----------
        X : Tensor of shape (n, in_channels, height, width)
        y : Tensor of shape (n,)
            Not used.
        """
        self.standardise.fit_statistics(X)

    def embed(self, X: Tensor) -> Tensor:
        """Return the inputs of the last layer.

        Parameters
        ----------
        X : Tensor of shape (n, in_channels, height, width)

        Returns
        -------
        Tensor of shape (n, 4 * width)
        """
        X = self.augment(self.standardise(X))
        if X.device.type == "cpu":
            # a sixth faster on the CPU; the convolutions keep the memory format
            X = X.contiguous(memory_format=torch.channels_last)
        return self.features(X)

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits of X.

        Parameters
        ----------
        X : Tensor of shape (n, in_channels, height, width)

        Returns
        -------
        Tensor of shape (n,)
        """
        return self.last(self.embed(X)).squeeze(1)


class _ResidualBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.stride = 1 if n_in == n_out else 2
        self.n_new = n_out - n_in
        self.residual = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, self.stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )

    def forward(self, X: Tensor) -> Tensor:
        shortcut = X[:, :, :: self.stride, :: self.stride]
        if self.n_new:
            shortcut = pad(shortcut, (0, 0, 0, 0, 0, self.n_new))
        return self.residual(X).add_(shortcut).relu_()

"""Random transformations of training images that preserve their class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from skdam._generators import generator_in_use

AUGMENTATIONS = ("crop", "crop-flip")

_CROP = 30 / 32


class RandomCropFlip(nn.Module):
    """Crop each image of a batch at random, resize it to its old size, and maybe mirror it.

    The window has 30/32 of each side, as in the experiments of [1]_ (there 30 x 30 of
    32 x 32 pixels), begins at a whole pixel and is resized by bilinear interpolation. Each
    image is cropped independently; the whole batch is one operation on its device. In
    evaluation mode images pass unchanged. Random numbers come from the generator of the
    fit or, outside a fit, from torch's global generator.

    Parameters
    ----------
    flip : bool, default=True
        Whether each image is mirrored, left to right, with probability 1/2.

    References
    ----------
    .. [1] Z. Yuan, Z. Guo, N. Chawla, T. Yang, "Compositional Training for End-to-End
       Deep AUC Maximization", ICLR 2022, https://openreview.net/forum?id=gPvB4pdu_Z.
    """

    def __init__(self, flip: bool = True) -> None:
        super().__init__()
        self.flip = flip

    def forward(self, X: Tensor) -> Tensor:
        """Return X, in training mode randomly transformed.

        Parameters
        ----------
        X : Tensor of shape (n, channels, height, width)

        Returns
        -------
        Tensor of shape (n, channels, height, width)
        """
        if not self.training:
            return X
        # coordinates (x, y) in units of half an image, with the origin at its centre
        sides = torch.tensor(X.shape[:1:-1], dtype=X.dtype, device=X.device)
        windows = (_CROP * sides).round()
        free = sides - windows
        generator = generator_in_use()
        draws = torch.rand(len(X), 2, device=X.device, dtype=X.dtype, generator=generator)
        offsets = (draws * (free + 1)).floor()
        scales = (windows / sides).repeat(len(X), 1)
        if self.flip:
            scales[:, 0] *= 1 - 2 * torch.randint(
                2, (len(X),), device=X.device, generator=generator
            )
        theta = torch.cat([scales.diag_embed(), ((2 * offsets - free) / sides).unsqueeze(2)], 2)
        grid = affine_grid(theta, list(X.shape), align_corners=False)
        # the outermost samples lie up to half a pixel outside the image
        return grid_sample(X, grid, padding_mode="border", align_corners=False)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        return f"flip={self.flip}"

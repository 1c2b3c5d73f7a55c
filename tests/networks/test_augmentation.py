import pytest
import torch
from torch.nn.functional import interpolate

from skdam import RandomCropFlip

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(400, 3, 32, 48, generator=generator)


def windows(image):
    """All crops of 30 x 45 of an image of 32 x 48 pixels, enlarged."""
    return {
        (top, left): interpolate(
            image[None, :, top : top + 30, left : left + 45], (32, 48), mode="bilinear"
        )[0]
        for top in range(3)
        for left in range(4)
    }


@pytest.mark.parametrize("flip", [True, False])
def test_each_image_is_cropped_and_mirrored_independently(images, flip):
    augmented = RandomCropFlip(flip=flip)(images)
    seen = []
    for image, got in zip(images, augmented, strict=True):
        candidates = {
            (*corner, mirrored): window.flip(-1) if mirrored else window
            for corner, window in windows(image).items()
            for mirrored in (False, True)
        }
        # at the border of a window the pixels around it have an influence
        inner = (slice(None), slice(1, -1), slice(1, -1))
        matches = [
            key
            for key, candidate in candidates.items()
            if torch.allclose(got[inner], candidate[inner], atol=1e-4)
        ]
        assert len(matches) == 1
        seen += matches
    # all windows occur, mirrored and not
    assert len(set(seen)) == (24 if flip else 12)
    assert {mirrored for *_, mirrored in seen} == ({True, False} if flip else {False})


def test_images_are_unchanged_in_evaluation(images):
    assert RandomCropFlip().eval()(images) is images


def test_a_constant_image_is_unchanged():
    image = torch.full((5, 1, 9, 9), 7.0)
    torch.testing.assert_close(RandomCropFlip()(image), image)


def test_random_numbers_come_from_torchs_generator(images):
    first = RandomCropFlip()(images)
    assert not torch.equal(RandomCropFlip()(images), first)
    torch.manual_seed(0)
    assert torch.equal(RandomCropFlip()(images), first)


def test_small_images_are_mirrored_but_not_cropped():
    images = torch.rand(50, 1, 8, 8)
    for image, got in zip(images, RandomCropFlip()(images), strict=True):
        assert torch.allclose(got, image, atol=1e-5) or torch.allclose(
            got, image.flip(-1), atol=1e-5
        )

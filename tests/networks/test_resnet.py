import pytest
import torch
from torch import nn

from skdam import ResNet20

pytestmark = pytest.mark.usefixtures("seeded")


def test_it_has_twenty_layers_and_as_many_weights_as_in_its_paper():
    module = ResNet20(in_channels=3)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    # 0.27 million in table 6 of the paper, for ten classes
    assert sum(p.numel() for p in module.parameters()) + 9 * 65 == pytest.approx(0.27e6, rel=5e-3)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (4, 33, 47), (2, 8, 8)])
def test_images_of_any_size(shape):
    module = ResNet20(shape[0], width=2)
    assert module(torch.rand(5, *shape)).shape == (5,)
    assert module.embed(torch.rand(5, *shape)).shape == (5, 8)


def test_stages_halve_the_image_and_double_the_channels():
    shapes = []
    module = ResNet20(3)
    for block in module.features[3:-2]:
        block.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    module(torch.rand(1, 3, 32, 32))
    stages = [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    assert shapes == [stage for stage in stages for _ in range(3)]


def test_a_block_with_zero_residual_is_its_shortcut():
    block = ResNet20(3, width=4).features[6].eval()  # the first of the second stage
    nn.init.zeros_(block.residual[-1].weight)
    X = torch.rand(2, 4, 10, 10)
    output = block(X)
    assert torch.equal(output[:, :4], X[:, :, ::2, ::2])
    assert not output[:, 4:].any()


def test_channels_are_standardised():
    X = torch.rand(50, 3, 9, 7) * torch.tensor([1e-3, 100.0, 0.0]).view(3, 1, 1) + 5
    module = ResNet20(3)
    module.fit_statistics(X, None)
    Z = module.standardise(X)
    torch.testing.assert_close(Z[:, :2].mean((0, 2, 3)), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        Z[:, :2].std((0, 2, 3), correction=0), torch.ones(2), atol=1e-3, rtol=0
    )
    assert not module.standardise(X + 1)[:, 2].any()


@pytest.mark.parametrize(
    ("augmentation", "flip"), [("crop-flip", True), ("crop", False), (None, None)]
)
def test_images_are_augmented_in_training_only(augmentation, flip):
    module = ResNet20(1, width=2, augmentation=augmentation)
    assert getattr(module.augment, "flip", None) is flip
    module.load_state_dict(ResNet20(1, width=2).state_dict())
    X = torch.rand(8, 1, 16, 16)
    varies = not torch.equal(module.augment(X), X)
    assert varies == (augmentation is not None)
    module.eval()
    assert torch.equal(module.augment(X), X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"in_channels": 0}, "in_channels must be an int >= 1, got 0"),
        ({"width": 1.5}, r"width must be an int >= 1, got 1\.5"),
        ({"augmentation": "flip"}, r"augmentation must be one of \('crop', 'crop-flip'\)"),
    ],
)
def test_bad_parameters_of_the_resnet_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ResNet20(**{"in_channels": 1} | parameters)

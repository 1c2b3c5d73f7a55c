import pytest

from skdam import ResNet20, TabularMLP
from skdam.networks.defaults import default_module


def test_tables_and_images_have_a_default_network():
    assert default_module((5,)) is TabularMLP
    assert default_module((3, 8, 8)) is ResNet20


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((32, 32, 3), r"got \(n, 32, 32, 3\).*X\.transpose\(0, 3, 1, 2\).*module="),
        ((28, 28), r"got \(n, 28, 28\).*X\[:, None\]"),
        ((1, 3, 3), "at least 8 x 8 pixels"),
        ((1, 16, 16, 16), "For other shapes pass module="),
    ],
)
def test_shapes_without_a_default_network_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        default_module(shape)

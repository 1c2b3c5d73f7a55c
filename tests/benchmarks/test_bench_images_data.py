"""The sets of the benchmark on images."""

import io

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from image_runs import part  # noqa: E402

from benchmarks.images import data  # noqa: E402


class TestData:
    @pytest.fixture
    def files(self, tmp_path):
        """Ten training images and two test images of each class, each of one colour."""
        arrays = {}
        for name, count in (("train", 10), ("test", 2)):
            labels = np.repeat(np.arange(10), count)
            pictures = []
            for label in labels:
                file = io.BytesIO()
                Image.new("RGB", (32, 32), (20 * label, 100, 0)).save(file, "JPEG", quality=95)
                pictures.append(file.getvalue())
            arrays[f"{name}_jpeg"] = np.frombuffer(b"".join(pictures), dtype=np.uint8)
            arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, pictures)])
            arrays[f"{name}_labels"] = labels.astype(np.uint8)
        np.savez(tmp_path / data.CIFAR10_FILE, **arrays)
        arrays = {}
        for index, name in enumerate(("train", "val", "test")):
            arrays[f"{name}_images"] = np.full((6, 28, 28), index, dtype=np.uint8)
            arrays[f"{name}_labels"] = np.array([[1], [1], [0], [1], [1], [1]], dtype=np.uint8)
        np.savez(tmp_path / data.XRAY_FILE, **arrays)
        return tmp_path

    def test_positives_are_thinned_in_training_and_not_in_the_test(self, files):
        split = data.load("cifar10-30", 0, files)
        assert [len(part.y) for part in split] == [63, 8, 20]
        assert split.train.y.sum() + split.valid.y.sum() == 21
        assert split.test.y.sum() == 10
        assert split.train.X.shape == (63, 3, 32, 32)
        for X, y in split:
            # the red channel encodes the class; classes 5 to 9 are positive
            np.testing.assert_array_equal(X[:, 0].mean((1, 2)) > 90, y == 1)
            np.testing.assert_allclose(X[:, 1:].mean((2, 3)), [[100, 0]] * len(X), atol=3)

    def test_the_seed_draws_the_positives(self, files):
        first, again, other = (data.load("cifar10-30", s, files) for s in (0, 0, 1))
        np.testing.assert_array_equal(first.train.X, again.train.X)
        assert not np.array_equal(first.train.X, other.train.X)

    def test_the_rare_normal_chest_is_positive(self, files):
        split = data.load("chest-xray", 0, files)
        for index, (X, y) in enumerate(split):
            assert X.shape == (6, 1, 28, 28)
            assert np.unique(X) == index
            assert y.tolist() == [0, 0, 1, 0, 0, 0]

    def test_thinning_keeps_the_share(self):
        thinned = data.thin(part(100, 0), 40, 0)
        assert len(thinned.y) == 40
        assert thinned.y.sum() == 12

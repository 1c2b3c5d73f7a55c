"""Imbalanced sets of real images."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split

CIFAR10_FILE = "cifar10_jpeg.npz"
XRAY_FILE = "pneumonia_xray.npz"
PERCENTAGES = (1, 5, 10, 30)
NAMES = (*(f"cifar10-{percentage}" for percentage in PERCENTAGES), "chest-xray")

_VALIDATION_SHARE = 0.1


class Part(NamedTuple):
    """Images, uint8 of shape (n, channels, height, width), and whether each is positive."""

    X: np.ndarray
    y: np.ndarray


class Split(NamedTuple):
    """The training, validation and test images of a set."""

    train: Part
    valid: Part
    test: Part


def load(name: str, seed: int, data: Path | None) -> Split:
    """Return an imbalanced set.

    Parameters
    ----------
    name : str
        "cifar10-<percentage>": classes 0 to 4 are negative, classes 5 to 9 positive. Positive
        training images are dropped until they make up the percentage; a tenth of the images
        kept is for validation; the test images stay balanced.
        "chest-xray": normal is positive, the rare class; the official parts are unchanged.
    seed : int
        Draws the images that are kept, and those for validation.
    data : Path or None
        The directory of the files. None downloads the originals.
    """
    if name == "chest-xray":
        return _chest_xray(data)
    percentage = int(name.removeprefix("cifar10-"))
    train, test = _cifar10(data)
    rng = np.random.default_rng(seed)
    negatives, positives = (np.flatnonzero(train.y == label) for label in (0, 1))
    count = round(len(negatives) * percentage / (100 - percentage))
    kept = np.concatenate([negatives, rng.permutation(positives)[:count]])
    fitted, valid = train_test_split(
        kept, test_size=_VALIDATION_SHARE, stratify=train.y[kept], random_state=seed
    )
    return Split(Part(train.X[fitted], train.y[fitted]), Part(train.X[valid], train.y[valid]), test)


def thin(part: Part, count: int, seed: int) -> Part:
    """Return at most ``count`` images, with the same share of positives."""
    if len(part.y) <= count:
        return part
    rows, _ = train_test_split(
        np.arange(len(part.y)), train_size=count, stratify=part.y, random_state=seed
    )
    return Part(part.X[rows], part.y[rows])


@cache
def _cifar10(data: Path | None) -> tuple[Part, Part]:
    if data is None:
        images, labels = _fetch_cifar10()
        bounds = (slice(0, 50_000), slice(50_000, None))
        parts = [(images[rows], labels[rows]) for rows in bounds]
    else:
        with np.load(data / CIFAR10_FILE) as file:
            parts = [
                (_decode(file[f"{part}_jpeg"], file[f"{part}_offsets"]), file[f"{part}_labels"])
                for part in ("train", "test")
            ]
    train, test = (Part(images, (labels >= 5).astype(int)) for images, labels in parts)
    return train, test


def _decode(jpeg: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    images = []
    for start, stop in pairwise(offsets):
        with Image.open(io.BytesIO(jpeg[start:stop].tobytes())) as image:
            images.append(np.asarray(image))
    return np.stack(images).transpose(0, 3, 1, 2).copy()


def _fetch_cifar10() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import fetch_openml

    bunch = fetch_openml("CIFAR_10", version=1, as_frame=False)
    return bunch.data.astype(np.uint8).reshape(-1, 3, 32, 32), bunch.target.astype(int)


@cache
def _chest_xray(data: Path | None) -> Split:
    read = _fetch_xray if data is None else _read_xray(data)
    parts = [read(part) for part in ("train", "val", "test")]
    # label 1 is pneumonia
    return Split(*(Part(images[:, None], (labels == 0).astype(int)) for images, labels in parts))


def _read_xray(data: Path) -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
    with np.load(data / XRAY_FILE) as file:
        arrays = {name: file[name] for name in file.files}
    return lambda part: (arrays[f"{part}_images"], arrays[f"{part}_labels"].ravel())


def _fetch_xray(part: str) -> tuple[np.ndarray, np.ndarray]:
    from medmnist import PneumoniaMNIST

    dataset = PneumoniaMNIST(split=part, download=True)
    return dataset.imgs, dataset.labels.ravel()

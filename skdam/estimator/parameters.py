"""Which part takes which parameter, and the checks of parameters."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from skdam._device import resolve_device
from skdam._numbers import as_number, in_order
from skdam.data.batches import inference_batch_size
from skdam.estimator.decision import CALIBRATIONS
from skdam.estimator.defaults import recipe
from skdam.estimator.prefixed import of_prefix
from skdam.losses.compositional import CompositionalAUCLoss
from skdam.losses.inner import INNER_LOSSES
from skdam.networks.resnet import ResNet20
from skdam.networks.tabular import TabularMLP
from skdam.optim.options import HYPERGRADIENTS, VARIANTS, check_composition
from skdam.optim.pdsca import PDSCA
from skdam.training.net import PRECISIONS, STRATEGIES, CompositionalAUCNet


class Number(Interval):
    """An interval of numbers; a boolean is none, and a float is one that single precision holds."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether a value is in the interval."""
        if isinstance(val, bool | np.bool_) or not isinstance(val, self.type):
            return False
        if self.type is Integral:
            return super().is_satisfied_by(val)
        try:
            return super().is_satisfied_by(as_number("", val))
        except ValueError:
            return False

    def __str__(self) -> str:
        return super().__str__() + (" that single precision holds" if self.type is Real else "")


CONSTRAINTS: dict[str, Any] = {
    "module": "no_validation",
    "categorical_features": [None, StrOptions({"from_dtype"}), "array-like"],
    "strategy": [StrOptions(set(STRATEGIES))],
    "variant": [StrOptions(set(VARIANTS))],
    "hypergradient": [StrOptions(set(HYPERGRADIENTS))],
    "inner_loss": [StrOptions(set(INNER_LOSSES)), callable],
    "margin": [Number(Real, 0, None, closed="neither")],
    "inner_steps": [Number(Integral, 1, None, closed="left")],
    "lr": [StrOptions({"auto"}), Number(Real, 0, None, closed="neither")],
    "inner_lr": [None, Number(Real, 0, None, closed="neither")],
    "betas": [StrOptions({"auto"}), "array-like"],
    "weight_decay": [StrOptions({"auto"}), Number(Real, 0, None, closed="left")],
    "epoch_decay": [StrOptions({"auto"}), Number(Real, 0, None, closed="left")],
    "clip_value": [StrOptions({"auto"}), Number(Real, 0, None, closed="right")],
    "milestones": [StrOptions({"auto"}), "array-like"],
    "lr_decay": [Number(Real, 0, 1, closed="right")],
    "max_epochs": [StrOptions({"auto"}), Number(Integral, 1, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Number(Integral, 2, None, closed="left")],
    "sampling_rate": [StrOptions({"auto"}), Number(Real, 0, 1, closed="neither")],
    "n_members": [None, Number(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean", StrOptions({"auto"})],
    "cross_fit": ["boolean"],
    "calibration": [None, StrOptions(set(CALIBRATIONS))],
    "class_weight": [None, StrOptions({"balanced"}), Mapping],
    "validation_fraction": [Number(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [StrOptions({"auto"}), Number(Integral, 1, None, closed="left")],
    "tol": [Number(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "callbacks": [None, list],
    "checkpoint": [None, str, os.PathLike],
    "device": [str],
    "compile": ["boolean"],
    "precision": [StrOptions(set(PRECISIONS))],
    "data_on_device": ["boolean", StrOptions({"auto"})],
    "n_jobs": [None, Options(Integral, {-1}), Number(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

_OF_LOADERS = {
    "batch_size": [Options(Integral, {-1}), Number(Integral, 1, None, closed="left")],
    "num_workers": [Number(Integral, 0, None, closed="left")],
    "timeout": [Number(Real, 0, None, closed="left")],
    "prefetch_factor": [None, Number(Integral, 1, None, closed="left")],
    "collate_fn": [callable],
    "worker_init_fn": [None, callable],
    "pin_memory": ["boolean"],
    "persistent_workers": ["boolean"],
    "in_order": ["boolean"],
}
# of the parts, which do not check these themselves
_PREFIXED_CONSTRAINTS: dict[str, Any] = {
    f"{prefix}__{name}": constraints
    for prefix in ("iterator_train", "iterator_valid")
    for name, constraints in _OF_LOADERS.items()
} | {"optimizer__adaptive": ["boolean"], "compile__dynamic": [None, "boolean"]}

PREFIXES = (
    "module",
    "criterion",
    "optimizer",
    "iterator_train",
    "iterator_valid",
    "compile",
    "callbacks",
)

# what the parameters are called elsewhere
OTHER_NAMES = {
    "batch": "batch_size",
    "dropout": "module__dropout",
    "epochs": "max_epochs",
    "eta": "lr",
    "hidden_layer_sizes": "module__hidden_layer_sizes",
    "iterations": "max_epochs",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "loss": "inner_loss",
    "max_iter": "max_epochs",
    "n_epochs": "max_epochs",
    "n_estimators": "n_members",
    "n_threads": "n_jobs",
    "num_epochs": "max_epochs",
    "num_threads": "n_jobs",
    "patience": "n_iter_no_change",
    "random_seed": "random_state",
    "scale_pos_weight": "sampling_rate",
    "seed": "random_state",
    "thread_count": "n_jobs",
    "train_split": "early_stopping",
    "verbosity": "verbose",
}

# parameters that the net takes as they are, and those that it hands to a part
_OF_THE_NET = (
    "strategy",
    "sampling_rate",
    "milestones",
    "lr_decay",
    "lr",
    "compile",
    "precision",
    "data_on_device",
)
_OF_THE_CRITERION = ("margin", "inner_loss")
_OF_THE_OPTIMIZER = (
    "variant",
    "hypergradient",
    "inner_steps",
    "inner_lr",
    "weight_decay",
    "epoch_decay",
    "clip_value",
)

# what takes the parameters of a prefix, and those that the estimator sets itself
_RESERVED_BY_LOADERS = {
    "dataset",
    "batch_sampler",
    "sampler",
    "shuffle",
    "drop_last",
    "generator",
}
_PARTS: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "criterion": (CompositionalAUCLoss, {"n_members"}),
    "optimizer": (PDSCA, {"params", "loss", "pretraining"}),
    "iterator_train": (DataLoader, _RESERVED_BY_LOADERS),
    "iterator_valid": (DataLoader, _RESERVED_BY_LOADERS),
    "compile": (torch.compile, {"model", "fullgraph", "disable"}),
}

# how a module class names the size of its input, by the axes of an example
_SIZE_NAMES = {1: "n_features", 3: "in_channels"}
_OF_THE_DATA = {*_SIZE_NAMES.values(), "n_categories"}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Check what can be checked without data and goes beyond :data:`CONSTRAINTS`.

    Parameters
    ----------
    parameters : dict
        All parameters of the estimator by name, the prefixed ones included. Each one
        satisfies its constraint.

    Raises
    ------
    ValueError, TypeError
        If the module is no module, if parameters of the composition contradict each other,
        if a callback is none, or if a part does not take a prefixed parameter.
    """
    module = parameters["module"]
    is_class = isinstance(module, type) and issubclass(module, nn.Module)
    if not (module is None or is_class or isinstance(module, nn.Module)):
        raise TypeError(
            f"module must be an nn.Module subclass, an instance of one or None, got {module!r}."
        )
    # the optimizer checks this too, but not with every strategy
    check_composition(parameters["variant"], parameters["inner_steps"], parameters["hypergradient"])
    if isinstance(module, nn.Module) and (of_module := of_prefix(parameters, "module")):
        raise ValueError(
            f"module is an instance, so that {', '.join(of_module)} "
            "(prefixed with module__) cannot be set; pass the class instead."
        )
    for callback in parameters["callbacks"] or ():
        _check_callback(callback)
    for name, value in of_prefix(parameters, "callbacks").items():
        if "__" not in name and not (value is None or _is_callback(value)):
            raise TypeError(
                f"callbacks__{name} must be a skorch callback in place of the one of that name, or "
                f"None to leave it out, got {value!r}."
            )
    for prefix, (part, reserved) in _PARTS.items():
        _check_prefixed(parameters, prefix, part, reserved)
    validate_parameter_constraints(_PREFIXED_CONSTRAINTS, parameters, "CompositionalAUCClassifier")


def runs_our_code_only(parameters: dict[str, Any], module: type[nn.Module] | nn.Module) -> bool:
    """Return whether no parameter of the estimator brings code of the user's into training.

    The package's own code draws from the generator of the fit, unless it is compiled.

    Parameters
    ----------
    parameters : dict
        All parameters of the estimator by name.
    module : nn.Module class or instance
        The module in use.
    """
    elsewhere = {"module", "random_state"}
    values = [value for name, value in parameters.items() if name not in elsewhere]
    is_default = module in (TabularMLP, ResNet20)
    return is_default and not parameters["compile"] and all(map(_is_plain, values))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | Real | np.generic | np.ndarray)


def check_module_parameters(
    parameters: dict[str, Any],
    module: type[nn.Module] | nn.Module,
    n_categories: tuple[int, ...] | None = None,
) -> None:
    """Check the parameters of the module, which the shape of X may have chosen.

    Parameters
    ----------
    parameters : dict
        All parameters of the estimator by name.
    module : nn.Module class or instance
        The module in use.
    n_categories : tuple of int or None, default=None
        Of each column of a table, 0 for numbers; None if all are numbers.

    Raises
    ------
    ValueError
        If the module does not take ``n_members``, a ``module__...`` parameter, or categories.
    """
    if isinstance(module, nn.Module):
        accepted: set[str] | None = set()
    else:
        accepted = parameter_names(module)
        is_default = parameters["module"] is None
        reserved = {"n_members", *(_OF_THE_DATA if is_default else ())}
        _check_prefixed(parameters, "module", module, reserved)
    n_members = parameters["n_members"]
    if n_members is not None and accepted is not None and "n_members" not in accepted:
        raise ValueError(
            f"n_members={n_members!r} needs a module class with a parameter of that "
            f"name, got {module!r}; leave it None."
        )
    is_class = isinstance(module, type)
    if n_categories and is_class and accepted is not None and "n_categories" not in accepted:
        columns = [number for number, size in enumerate(n_categories) if size]
        raise ValueError(
            f"columns {columns} of X hold categories, which need a module class with a parameter "
            f"n_categories, got {module!r}; encode them first."
        )


def check_callback_names(parameters: dict[str, Any], net: CompositionalAUCNet) -> None:
    """Raise ValueError if a ``callbacks__...`` parameter names no callback of the net.

    skorch ignores those that it does not know.
    """
    names = {name for name, _ in net._uniquely_named_callbacks()}
    for parameter in of_prefix(parameters, "callbacks"):
        if parameter.partition("__")[0] not in names:
            raise ValueError(
                f"callbacks__{parameter} names no callback; there are {sorted(names)}."
            )


def net_parameters(
    parameters: dict[str, Any],
    module: type[nn.Module] | nn.Module,
    example_shape: tuple[int, ...],
    y: np.ndarray,
    n_categories: tuple[int, ...] | None = None,
    sizes: Mapping[str, Any] | None = None,
    *,
    stops: bool = True,
) -> dict[str, Any]:
    """Return the keyword parameters of the net, those of its parts with their prefix.

    Parameters
    ----------
    parameters : dict
        All parameters of the estimator by name.
    module : nn.Module class or instance
        The module in use.
    example_shape : tuple of int
    y : ndarray of shape (n,)
        Targets to train on, 0 or 1.
    n_categories : tuple of int or None, default=None
        Of each column of a table, 0 for numbers; None if all are numbers.
    sizes : mapping or None, default=None
        Parameters of the module that follow from the data.
    stops : bool, default=True
        Whether training may stop early.

    Returns
    -------
    dict
        A prefixed parameter of the user overrides what is derived from the others.

    Raises
    ------
    ValueError
        If the device is unknown or absent.
    """
    batch_size = None
    # in the loader, iterator_train__batch_size overrides batch_size
    if not (_is_open(parameters, "batch_size") or "iterator_train__batch_size" in parameters):
        batch_size = int(parameters["batch_size"])
    variant, strategy = parameters["variant"], parameters["strategy"]
    chosen = recipe(module, variant, y, example_shape, batch_size, strategy=strategy, stops=stops)
    version, prior = (parameters.get(f"criterion__{name}") for name in ("version", "prior"))
    if version not in (None, "v2") or prior is not None:
        # the loss at the saddle point of a batch takes neither
        chosen.pop("criterion__saddle", None)
    parameters = parameters | {
        name: value for name, value in chosen.items() if _is_open(parameters, name)
    }
    derived = {name: parameters[name] for name in _OF_THE_NET}
    derived |= {f"criterion__{name}": parameters[name] for name in _OF_THE_CRITERION}
    derived |= {f"optimizer__{name}": parameters[name] for name in _OF_THE_OPTIMIZER}
    derived |= {
        "optimizer__betas": in_order("betas", parameters["betas"]),
        "iterator_valid__batch_size": inference_batch_size(example_shape),
        "max_epochs": parameters["max_epochs"],
        "batch_size": parameters["batch_size"],
        "device": resolve_device(parameters["device"]),
        "verbose": int(parameters["verbose"]),
    }
    if parameters["n_members"] is not None:
        derived["module__n_members"] = int(parameters["n_members"])
    accepted = parameter_names(module) if isinstance(module, type) else set()
    size = _SIZE_NAMES.get(len(example_shape))
    if size is not None and accepted is not None and size in accepted:
        derived[f"module__{size}"] = example_shape[0]
    if n_categories is not None and accepted is not None and "n_categories" in accepted:
        derived["module__n_categories"] = n_categories
    derived |= {f"module__{name}": value for name, value in (sizes or {}).items()}
    for prefix in PREFIXES:
        derived |= {f"{prefix}__{k}": v for k, v in of_prefix(parameters, prefix).items()}
    return derived


def python_number(value: Any) -> Any:
    """Return a number as Python's own, with which no product overflows; else what is given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _is_open(parameters: dict[str, Any], name: str) -> bool:
    """Return whether the user left a parameter open; a prefixed one is open if it is absent."""
    if name not in parameters or "__" in name:
        return name not in parameters
    value = parameters[name]
    return value is None or (isinstance(value, str) and value == "auto")


def ensemble_size(parameters: dict[str, Any], module: type[nn.Module] | nn.Module) -> int:
    """Return the members of the module in use: as set, or its default, or 1."""
    if isinstance(module, nn.Module):
        return int(getattr(module, "n_members", 1))
    if parameters["n_members"] is not None:
        return int(parameters["n_members"])
    default = inspect.signature(module).parameters.get("n_members")
    return default.default if default is not None and isinstance(default.default, int) else 1


def parameter_names(function: Callable[..., Any]) -> set[str] | None:
    """Return the names of the parameters of a function, None if it takes any keyword."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def _check_callback(callback: Any) -> None:
    if not _is_callback(callback[1] if _is_pair(callback) else callback):
        raise TypeError(
            "callbacks must be a list of skorch callbacks or of pairs (name, callback), "
            f"got {callback!r}."
        )


def _is_pair(callback: Any) -> bool:
    return isinstance(callback, tuple) and len(callback) == 2


def _is_callback(value: Any) -> bool:
    return issubclass(value if isinstance(value, type) else type(value), Callback)


def _check_prefixed(
    parameters: dict[str, Any], prefix: str, part: Callable[..., Any], reserved: set[str]
) -> None:
    accepted = parameter_names(part)
    for name in of_prefix(parameters, prefix):
        if name in reserved or (accepted is not None and name not in accepted):
            allowed = sorted((accepted or set()) - reserved)
            raise ValueError(
                f"{prefix}__{name} is not a parameter of {part.__name__} that can be "
                f"set; allowed are {', '.join(allowed) or 'none'}."
            )

"""Models for tables, by name."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness.commands import comma_list
from benchmarks.harness.packages import can_run, is_installed
from benchmarks.models.strategies import PLAIN_NETWORK, PLAIN_PERCEPTRON, STRATEGIES


@dataclass(frozen=True)
class Model:
    """How to make a model; its package is imported only then.

    Parameters
    ----------
    path : str
        "module:name" of an estimator class, or of a function that returns an estimator.
    parameters : mapping
        The arguments besides ``random_state``.
    scaled : bool, default=False
        Whether features are standardised.
    package : str, default=""
        The package that the model needs. By default that of ``path``.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scaled: bool = False
    package: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the package is installed."""
        return is_installed(self.needs)

    @property
    def needs(self) -> str:
        """The package that must be installed."""
        return self.package or self.path.partition(".")[0].partition(":")[0]

    def __call__(self, seed: int) -> BaseEstimator:
        """Return a new estimator."""
        module, _, name = self.path.partition(":")
        estimator = getattr(import_module(module), name)(random_state=seed, **self.parameters)
        return make_pipeline(StandardScaler(), estimator) if self.scaled else estimator


def _skdam(**parameters: Any) -> Model:
    return Model("skdam:CompositionalAUCClassifier", parameters)


_OURS = (
    {"skdam": _skdam()}
    | {f"skdam-{name}": _skdam(**changes) for name, changes in STRATEGIES.items()}
    | {"mlp-compositional": _skdam(**PLAIN_PERCEPTRON)}
    | {f"mlp-{name}": _skdam(**PLAIN_PERCEPTRON, **c) for name, c in STRATEGIES.items()}
)

# the default with one change each
ABLATION: dict[str, dict[str, Any]] = {
    "one-member": {"n_members": 1},
    "no-encoding": {"module__encoding": None},
    "no-landmarks": {"module__n_landmarks": 0},
    "no-dropout": {"module__dropout": 0.0},
    "batches-of-128": {"batch_size": 128},
    "sampling-by-share": {"sampling_rate": "auto"},
}

RIVALS = {
    "extra-trees": Model("sklearn.ensemble:ExtraTreesClassifier", {"n_estimators": 300}),
    "random-forest": Model("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 300}),
    "balanced-random-forest": Model(
        "imblearn.ensemble:BalancedRandomForestClassifier", {"n_estimators": 300}
    ),
    "hist-gradient-boosting": Model("sklearn.ensemble:HistGradientBoostingClassifier"),
    "lightgbm": Model("lightgbm:LGBMClassifier", {"n_jobs": 1, "verbosity": -1}),
    "xgboost": Model("xgboost:XGBClassifier", {"n_jobs": 1}),
    "catboost": Model(
        "catboost:CatBoostClassifier",
        {"thread_count": 1, "verbose": False, "allow_writing_files": False},
    ),
    "svc": Model("sklearn.svm:SVC", {"class_weight": "balanced"}, scaled=True),
    "logistic-regression": Model(
        "sklearn.linear_model:LogisticRegression",
        {"class_weight": "balanced", "max_iter": 1000},
        scaled=True,
    ),
    "mlp-sklearn": Model("sklearn.neural_network:MLPClassifier", scaled=True),
    "skorch-bce": Model("benchmarks.models.skorch_bce:SkorchBCE", scaled=True),
    "realmlp": Model("pytabkit:RealMLP_TD_S_Classifier", {"device": "cpu", "n_threads": 1}),
}

_LIBAUC = {
    f"libauc-{state}": Model(
        "benchmarks.models.libauc_training:LibAUCClassifier",
        {"repaired": state == "repaired", "module_parameters": PLAIN_NETWORK},
        package="libauc",
    )
    for state in ("shipped", "repaired")
}

_TUNED = {
    f"tuned-{base}": Model(
        "benchmarks.models.tuned:tuned",
        {"base": base},
        package=(_OURS | RIVALS)[base].needs,
    )
    for base in ("skdam", "extra-trees", "random-forest", "lightgbm", "hist-gradient-boosting")
}

GROUPS: dict[str, dict[str, Model]] = {
    "strategies": _OURS,
    "ablation": {f"ablation-{name}": _skdam(**changes) for name, changes in ABLATION.items()},
    "rivals": RIVALS,
    "libauc": _LIBAUC,
    "tuned": _TUNED,
}
MODELS = {name: model for group in GROUPS.values() for name, model in group.items()}
GROUPS["all"] = MODELS


def expand(names: Iterable[str]) -> list[str]:
    """Return the models of these names and groups, each once.

    Raises
    ------
    ValueError
        If a name is neither a model nor a group.
    """
    expanded: dict[str, None] = {}
    for name in names:
        if name not in GROUPS and name not in MODELS:
            raise ValueError(
                f"{name!r} is no model and no group; there are {', '.join([*GROUPS, *MODELS])}."
            )
        expanded |= dict.fromkeys(GROUPS.get(name, [name]))
    return list(expanded)


def available(names: Iterable[str]) -> list[str]:
    """Return the models of these names and groups whose packages are installed.

    The others are printed as left out.
    """
    return [name for name in expand(names) if can_run(name, MODELS[name].needs)]


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--models``."""
    parser.add_argument(
        "--models",
        type=comma_list,
        required=True,
        help=f"comma list of models and groups ({', '.join(GROUPS)})",
    )


def create(name: str, seed: int) -> BaseEstimator:
    """Return a new estimator of a model."""
    return MODELS[name](seed)

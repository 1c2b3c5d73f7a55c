"""The models that take part, by name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.runner import comma_list


@dataclass(frozen=True)
class Model:
    """How a model is made; what it needs is imported when it is.

    Parameters
    ----------
    path : str
        "module:name" of an estimator class, or of a function that returns an estimator.
    parameters : mapping
        What it is called with besides ``random_state``.
    scaled : bool, default=False
        Whether it gets standardised features.
    package : str, default=""
        The package that it needs. Empty for the one that it is from.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scaled: bool = False
    package: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.needs) is not None

    @property
    def needs(self) -> str:
        """The package that has to be installed."""
        return self.package or self.path.partition(".")[0].partition(":")[0]

    def __call__(self, seed: int) -> BaseEstimator:
        """Return a new estimator."""
        module, _, name = self.path.partition(":")
        estimator = getattr(import_module(module), name)(random_state=seed, **self.parameters)
        return make_pipeline(StandardScaler(), estimator) if self.scaled else estimator


def _skdam(**parameters: Any) -> Model:
    return Model("skdam:CompositionalAUCClassifier", parameters)


PLAIN_NETWORK: Mapping[str, Any] = {"encoding": None, "dropout": 0.0}

_STRATEGIES: dict[str, dict[str, Any]] = {
    "auc": {"strategy": "auc"},
    "cross-entropy": {"strategy": "cross-entropy"},
    "two-stage": {"strategy": "two-stage"},
    "lookahead": {"variant": "lookahead"},
}
_PLAIN_MLP = {"n_members": 1} | {f"module__{name}": value for name, value in PLAIN_NETWORK.items()}

STRATEGIES = (
    {"skdam": _skdam()}
    | {f"skdam-{name}": _skdam(**changes) for name, changes in _STRATEGIES.items()}
    | {"mlp-compositional": _skdam(**_PLAIN_MLP)}
    | {f"mlp-{name}": _skdam(**_PLAIN_MLP, **changes) for name, changes in _STRATEGIES.items()}
)

# what each change to the default costs or brings
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
    "skorch-bce": Model("benchmarks.skorch_models:SkorchBCE", scaled=True),
    "realmlp": Model("pytabkit:RealMLP_TD_S_Classifier", {"device": "cpu", "n_threads": 1}),
}

_LIBAUC = {
    f"libauc-{state}": Model(
        "benchmarks.libauc_models:LibAUCClassifier",
        {"repaired": state == "repaired", "module_parameters": PLAIN_NETWORK},
        package="libauc",
    )
    for state in ("shipped", "repaired")
}

_TUNED = {
    f"tuned-{base}": Model(
        "benchmarks.tuned:tuned",
        {"base": base},
        package=(STRATEGIES | RIVALS)[base].needs,
    )
    for base in ("skdam", "extra-trees", "random-forest", "lightgbm", "hist-gradient-boosting")
}

GROUPS: dict[str, dict[str, Model]] = {
    "strategies": STRATEGIES,
    "ablation": {f"ablation-{name}": _skdam(**changes) for name, changes in ABLATION.items()},
    "rivals": RIVALS,
    "libauc": _LIBAUC,
    "tuned": _TUNED,
}
MODELS = {name: model for group in GROUPS.values() for name, model in group.items()}
GROUPS["all"] = MODELS


def expand(names: Iterable[str]) -> list[str]:
    """Return the models that names of models and of groups stand for, each once.

    Raises
    ------
    ValueError
        If a name is of neither.
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
    """Return the models of these names and groups with packages installed; say which have not."""
    kept = []
    for name in expand(names):
        if MODELS[name].is_available:
            kept.append(name)
        else:
            print(
                f"{name} is left out: it needs the package {MODELS[name].needs}; "
                "see benchmarks/README.md.",
                file=sys.stderr,
            )
    return kept


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names models."""
    parser.add_argument(
        "--models",
        type=comma_list,
        required=True,
        help=f"comma list of models and groups ({', '.join(GROUPS)})",
    )


def create(name: str, seed: int) -> BaseEstimator:
    """Return a new estimator of a model."""
    return MODELS[name](seed)

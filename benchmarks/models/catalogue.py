"""Models for tables, by name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
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
    encoder : callable or None, default=None
        Makes the transformer of the features in front of the estimator. None has none.
    package : str, default=""
        The package that the model needs. By default that of ``path``.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    encoder: Callable[[], TransformerMixin] | None = None
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
        return make_pipeline(self.encoder(), estimator) if self.encoder else estimator


def _skdam(**parameters: Any) -> Model:
    return Model("skdam:CompositionalAUCClassifier", parameters)


_OURS = (
    {"skdam": _skdam()}
    | {f"skdam-{name}": _skdam(**changes) for name, changes in STRATEGIES.items()}
    | {"mlp-compositional": _skdam(**PLAIN_PERCEPTRON)}
    | {f"mlp-{name}": _skdam(**PLAIN_PERCEPTRON, **c) for name, c in STRATEGIES.items()}
    | {
        "skdam-natural-cross-entropy": Model(
            "benchmarks.models.strategies:NaturalRateClassifier",
            STRATEGIES["cross-entropy"],
            package="skdam",
        )
    }
)

# the default with one change each
ABLATION: dict[str, dict[str, Any]] = {
    "one-member": {"n_members": 1},
    "no-cross-fitting": {"cross_fit": False},
    "no-encoding": {"module__encoding": None},
    "no-landmarks": {"module__n_landmarks": 0},
    "no-dropout": {"module__dropout": 0.0},
    "no-averaging": {"optimizer__averaging": None},
    "batches-of-128": {"batch_size": 128},
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
    "svc": Model("sklearn.svm:SVC", {"class_weight": "balanced"}, encoder=StandardScaler),
    "logistic-regression": Model(
        "sklearn.linear_model:LogisticRegression",
        {"class_weight": "balanced", "max_iter": 1000},
        encoder=StandardScaler,
    ),
    "mlp-sklearn": Model("sklearn.neural_network:MLPClassifier", encoder=StandardScaler),
    "skorch-bce": Model("benchmarks.models.skorch_bce:SkorchBCE", encoder=StandardScaler),
    "realmlp-td": Model(
        "pytabkit:RealMLP_TD_Classifier",
        {
            "device": "cpu",
            "n_threads": 1,
            # what its authors recommend for AUC: chosen by AUC, labels not smoothed
            "val_metric_name": "1-auc_ovr",
            "use_ls": False,
        },
    ),
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

Groups = Mapping[str, Mapping[str, Model]]

GROUPS: dict[str, dict[str, Model]] = {
    "strategies": _OURS,
    "ablation": {f"ablation-{name}": _skdam(**changes) for name, changes in ABLATION.items()},
    "rivals": RIVALS,
    "libauc": _LIBAUC,
    "tuned": _TUNED,
}
MODELS = {name: model for group in GROUPS.values() for name, model in group.items()}
GROUPS["all"] = MODELS


def expand(names: Iterable[str], groups: Groups = GROUPS) -> list[str]:
    """Return the models of these names and groups, each once.

    Parameters
    ----------
    names : iterable of str
    groups : mapping
        The models of each group; "all" has every model.

    Raises
    ------
    ValueError
        If a name is neither a model nor a group.
    """
    models = groups["all"]
    expanded: dict[str, None] = {}
    for name in names:
        if name not in groups and name not in models:
            raise ValueError(
                f"{name!r} is no model and no group; there are {', '.join([*groups, *models])}."
            )
        expanded |= dict.fromkeys(groups.get(name, [name]))
    return list(expanded)


def available(names: Iterable[str], groups: Groups = GROUPS) -> list[str]:
    """Return the models of these names and groups whose packages are installed.

    The others are printed as left out.
    """
    return [name for name in expand(names, groups) if can_run(name, groups["all"][name].needs)]


def add_models_option(parser: argparse.ArgumentParser, groups: Groups = GROUPS) -> None:
    """Add the option ``--models``."""
    parser.add_argument(
        "--models",
        type=comma_list,
        required=True,
        help=f"comma list of models and groups ({', '.join(groups)})",
    )


def create(name: str, seed: int) -> BaseEstimator:
    """Return a new estimator of a model."""
    return MODELS[name](seed)

"""Prefixed parameters, as in skorch, for a clean scikit-learn estimator."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator


def of_prefix(parameters: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the parameters that have a prefix, by their names without it.

    Examples
    --------
    >>> of_prefix({"lr": 0.1, "module__dropout": 0.2}, "module")
    {'dropout': 0.2}
    """
    start = f"{prefix}__"
    return {
        name.removeprefix(start): value
        for name, value in parameters.items()
        if name.startswith(start)
    }


class PrefixedParametersMixin:
    """Accept keyword parameters such as ``module__dropout`` in addition to the named ones.

    A prefixed parameter is an attribute of that name. ``get_params``, ``set_params``,
    ``clone`` and ``repr`` know it, and so do searches over parameters. List this class before
    :class:`sklearn.base.BaseEstimator` among the bases, name the prefixes in ``_prefixes``, and
    pass what ``__init__`` collects in ``**prefixed`` to :meth:`_store_prefixed`.
    """

    _prefixes: ClassVar[tuple[str, ...]]
    _other_names: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave ``**prefixed`` out of the signature: to scikit-learn all in it is a parameter."""
        super().__init_subclass__(**kwargs)
        signature = inspect.signature(cls.__init__)
        cls.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                parameter
                for name, parameter in signature.parameters.items()
                if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
            ],
            return_annotation=signature.empty,
        )

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters, for scikit-learn.

        A subclass that passes on keywords, as is usual with skorch, also has those of its base.
        """
        names = set(super()._get_param_names())  # type: ignore[misc]
        arguments = inspect.signature(cls.__init__).parameters.values()
        if any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
            for base in cls.__bases__:
                if issubclass(base, PrefixedParametersMixin) and issubclass(base, BaseEstimator):
                    names.update(base._get_param_names())
        return sorted(names)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, the prefixed ones included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include parameters of parameters that are estimators.

        Returns
        -------
        dict
        """
        params = super().get_params(deep=deep)  # type: ignore[misc]
        return params | {name: vars(self)[name] for name in vars(self) if self._is_prefixed(name)}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, prefixed ones included.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a name is neither a parameter nor has a known prefix; the message suggests one.
        """
        prefixed = {name: params.pop(name) for name in list(params) if self._is_prefixed(name)}
        names = self.get_params(deep=False)
        for name in params:
            of, separator, _ = name.partition("__")
            if of not in names or (separator and not hasattr(names[of], "set_params")):
                raise ValueError(self._unknown(name))
        super().set_params(**params)  # type: ignore[misc]
        vars(self).update(prefixed)
        return self

    def _store_prefixed(self, prefixed: dict[str, Any]) -> None:
        """Keep the prefixed parameters; raise TypeError for a name without a known prefix."""
        for name in prefixed:
            if not self._is_prefixed(name):
                raise TypeError(self._unknown(name))
        vars(self).update(prefixed)

    def _unknown(self, name: str) -> str:
        """Return the message about a name that is no parameter."""
        names = [known for known in self.get_params(deep=False) if not self._is_prefixed(known)]
        similar = get_close_matches(name, names, n=1)
        hint = self._other_names.get(name) or next(iter(similar), None)
        prefixes = ", ".join(f"{prefix}__" for prefix in self._prefixes)
        return (
            f"Invalid parameter {name!r}: {type(self).__name__} has no parameter {name!r}"
            + (f"; did you mean {hint!r}? " if hint else f"; it has {', '.join(names)}. ")
            + f"It also takes parameters prefixed with {prefixes}."
        )

    def _is_prefixed(self, name: str) -> bool:
        prefix, separator, rest = name.partition("__")
        return bool(separator and rest) and prefix in self._prefixes

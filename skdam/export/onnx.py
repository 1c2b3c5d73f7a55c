"""A fitted classifier as one ONNX file."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from skdam._version import __version__
from skdam.estimator.classifier import CompositionalAUCClassifier
from skdam.export.graph import OUTPUTS, append_outputs, input_names, onnx_labels, prepend_inputs
from skdam.export.module import to_module

if TYPE_CHECKING:
    import onnx

_OPSET, _ML_OPSET = 18, 4


def to_onnx(clf: CompositionalAUCClassifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier to one ONNX file, which runs without torch or Python.

    The file holds all that is needed for predictions: the categories of columns, the network, the
    vote of its members and of the kernel machine, calibration and class weights. It takes a batch
    of any size. Its operators are those of ONNX (opset 18) and of ``ai.onnx.ml`` (opset 4). This
    function needs onnx and onnxscript, which ``pip install 'skdam[onnx]'`` installs together with
    onnxruntime.

    Parameters
    ----------
    clf : CompositionalAUCClassifier
        Fitted.
    path : str or path-like
        The file; an old one is overwritten.

    Raises
    ------
    TypeError
        If ``clf`` is not a CompositionalAUCClassifier.
    NotFittedError
        If it is not fitted.
    ValueError
        If a custom module has operations that ONNX lacks, or fixes the number of rows; or if a
        column, its name or the classes cannot be represented in ONNX.
    ImportError
        If onnx or onnxscript is not installed.

    Notes
    -----
    *Inputs.* Images, and tables without columns of strings, are one input ``X`` of shape (n, ...).
    A table with columns of strings has an input of shape (n, 1) for each column: it has the name
    of the column, or ``x0``, ``x1``, ... if columns have no names. The type is

    - ``string`` for categories that are strings;
    - ``float`` for other columns: numbers, booleans, and categories that are numbers. It is
      ``double`` for all of them if ``float`` would round one of them too much, such as times in
      seconds;
    - ``uint8`` for images of bytes, ``float`` for other images.

    A missing value is NaN. A category that was not there in fit counts as missing, so in a column
    of strings any such string, for example the empty one, stands for a missing value.

    *Outputs.* ``label``, of shape (n,), is :meth:`~skdam.CompositionalAUCClassifier.predict`;
    ``probabilities``, of shape (n, 2), is ``predict_proba``; and ``decision_function``, of shape
    (n,), is the method of that name. The last two are ``float``.

    *Metadata*, as JSON: ``classes``; ``feature_names``, empty without names; ``categories``, with
    null for numbers, empty if all columns are numbers; and the plain text ``skdam_version``.

    The input is not checked: where the classifier raises an error, as for infinite values, the
    file may return NaN. In a prediction, a row of a table takes 50 to 150 kB of memory, so feed
    many rows in parts of a thousand or so.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import onnxruntime
    >>> from sklearn.datasets import make_classification
    >>> from skdam import CompositionalAUCClassifier
    >>> from skdam.export import to_onnx
    >>> X, y = make_classification(weights=[0.8], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    >>> to_onnx(clf, path)
    >>> session = onnxruntime.InferenceSession(path)
    >>> label, probabilities = session.run(["label", "probabilities"], {"X": X.astype("float32")})
    >>> probabilities.shape
    (100, 2)
    """
    try:
        import onnx
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        raise ImportError("to_onnx needs onnx and onnxscript: pip install 'skdam[onnx]'") from error

    module: Any = to_module(clf)
    feature_names = getattr(clf, "feature_names_in_", np.array([])).tolist()
    names = input_names(module.categories, feature_names)
    classes = onnx_labels(clf.classes_)
    model = _converted(module)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", _ML_OPSET))
    prepend_inputs(model.graph, module.categories, names, module.dtype)
    append_outputs(model.graph, classes)
    values = {
        "classes": classes.tolist(),
        "feature_names": feature_names,
        "categories": module.categories,
    }
    metadata = {name: json.dumps(value) for name, value in values.items()}
    onnx.helper.set_model_props(model, metadata | {"skdam_version": __version__})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _converted(module: Any) -> onnx.ModelProto:
    """Return a module as an ONNX model, in which all names begin with "network/"."""
    import onnx

    rows = {0: torch.export.Dim.DYNAMIC}
    example = torch.zeros(2, *module.shape, dtype=module.dtype)
    with _quiet():
        try:
            exported = torch.export.export(module, (example,), dynamic_shapes=(rows,), strict=False)
            program: Any = torch.onnx.export(
                exported,
                input_names=["X"],
                output_names=list(OUTPUTS[1:]),
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
        # of the first function, all that the module and torch raise
        except Exception as error:
            cause = str(error.__cause__ or error).partition("\n")[0]
            raise ValueError(
                "torch cannot export the module. Its operations must have an ONNX form and may not "
                "depend on values of X, and it must take any number of rows; X.shape[0] is that "
                f"number, and len(X) becomes a constant. torch said: {cause}"
            ) from error
    model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    # these tell where the code lies on this machine
    for node in (*model.graph.node, *(n for f in model.functions for n in f.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:], model.graph.value_info[:], model.metadata_props[:]
    return onnx.compose.add_prefix(model, "network/")


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore what torch's exporter says of itself and of packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""A fitted classifier as one torch module, and as one ONNX file."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skdam.estimator.classifier import CompositionalAUCClassifier
from skdam.estimator.decision import Decision
from skdam.estimator.inputs import InputSpec
from skdam.networks.columns import ColumnLayer
from skdam.networks.kernel import _DECAY, KernelMachine
from skdam.networks.members import MemberLinear
from skdam.networks.tabular import TabularMLP
from skdam.training.scoring import decision_of, vote

if TYPE_CHECKING:
    import onnx

_OPSET, _ML_OPSET = 18, 4
_OUTPUTS = ("label", "probabilities", "decision_function")
# distances are summed over this many columns at a time, or over more in this many steps
_COLUMNS, _STEPS = 8, 64


def to_module(clf: CompositionalAUCClassifier) -> nn.Module:
    """Return a fitted classifier as one torch module.

    It holds all that predicts: what is subtracted from columns, the network, the vote of its
    members and of the kernel machine, calibration and class weights. It is a copy on the CPU, in
    evaluation mode. Of the networks of this package it has only operations that
    :func:`torch.export.export` takes, with a batch of any size.

    Parameters
    ----------
    clf : CompositionalAUCClassifier
        Fitted.

    Returns
    -------
    nn.Module
        It takes a Tensor of shape (n, ...) with examples as in fit, of the dtype
        ``module.dtype``. That is uint8 for images of bytes, float64 for a table with a column
        that float32 would round to a few values, such as times in seconds, and else float32. Gaps
        are NaN. Categories are codes: the item of ``module.categories`` for a column holds its
        categories in the order of their codes, or is None for numbers. Nothing is checked.

        It returns two Tensors of dtype float32: the probabilities of ``predict_proba``, of shape
        (n, 2), and the scores of ``decision_function``, of shape (n,).

    Raises
    ------
    TypeError
        If ``clf`` is another estimator.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import make_classification
    >>> from skdam import CompositionalAUCClassifier
    >>> from skdam.export import to_module
    >>> X, y = make_classification(weights=[0.8], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> X = torch.tensor(X, dtype=torch.float32)
    >>> rows = {0: torch.export.Dim.DYNAMIC}
    >>> module = to_module(clf)
    >>> program = torch.export.export(module, (X,), dynamic_shapes=(rows,), strict=False)
    >>> probabilities, scores = program.module()(X[:3])
    >>> probabilities.shape
    torch.Size([3, 2])
    """
    if not isinstance(clf, CompositionalAUCClassifier):
        raise TypeError(
            f"clf must be a CompositionalAUCClassifier, got {type(clf).__name__}. Of a pipeline or "
            "a search, export the classifier in it, such as pipeline[-1] or best_estimator_; what "
            "comes before it has to be applied to X first."
        )
    check_is_fitted(clf)
    return _Classifier(clf.net_.module_, clf._decision, clf._input_spec)


def to_onnx(clf: CompositionalAUCClassifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier to one ONNX file, which runs without torch or Python.

    The file holds all that predicts: the categories of columns, the network, the vote of its
    members and of the kernel machine, calibration and class weights. It takes a batch of any size.
    Its operators are those of ONNX (opset 18) and of ``ai.onnx.ml`` (opset 4). Needs onnx and
    onnxscript, which ``pip install 'skdam[onnx]'`` installs together with onnxruntime.

    Parameters
    ----------
    clf : CompositionalAUCClassifier
        Fitted.
    path : str or path-like
        The file; an old one is overwritten.

    Raises
    ------
    TypeError
        If ``clf`` is another estimator.
    NotFittedError
        If it is not fitted.
    ValueError
        If a custom module has operations that ONNX lacks, or fixes the number of rows; or if a
        column, its name or the classes cannot be had in ONNX.
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

    A gap is NaN. A category that was not there in fit is a gap. So any such string, the empty one
    for example, stands for a gap.

    *Outputs.* ``label``, of shape (n,), is :meth:`~skdam.CompositionalAUCClassifier.predict`;
    ``probabilities``, of shape (n, 2), is ``predict_proba``; and ``decision_function``, of shape
    (n,), is the method of that name. The last two are ``float``.

    *Metadata*, as JSON: ``classes``; ``feature_names``, empty without names; ``categories``, with
    null for numbers, empty if all columns are numbers; and the plain text ``skdam_version``.

    Nothing is checked: where the classifier raises an error, as for infinite values, the file may
    return NaN. While it is computed, a row of a table takes 50 to 150 kB of memory, so feed many
    rows in parts of a thousand or so.

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
    names = _input_names(module.categories, feature_names)
    classes = _plain(clf.classes_)
    model = _converted(module, clf._input_spec.shape)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", _ML_OPSET))
    _prepend_inputs(model.graph, module.categories, names, module.dtype)
    _append_outputs(model.graph, classes)
    values = {
        "classes": classes.tolist(),
        "feature_names": feature_names,
        "categories": module.categories,
    }
    metadata = {name: json.dumps(value) for name, value in values.items()}
    onnx.helper.set_model_props(model, metadata | {"skdam_version": version("skdam")})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


class _Classifier(nn.Module):
    """A fitted classifier: from numbers and codes to scores and probabilities."""

    offsets: Tensor

    def __init__(self, network: nn.Module, decision: Decision, spec: InputSpec) -> None:
        super().__init__()
        self.categories = spec.table.categories
        self.dtype = torch.float64 if spec.table.offsets else getattr(torch, spec.dtype)
        self.register_buffer("offsets", torch.tensor(spec.table.offsets, dtype=torch.float64))
        network = copy.deepcopy(network).cpu()
        if getattr(type(network), "decision_function", None) is TabularMLP.decision_function:
            network = _Table(network)
        self.network = network
        self.decision = _Line(decision) if decision.knots is None else _Curve(decision)
        self.eval().requires_grad_(False)

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        if X.dtype == torch.uint8:
            X = X.float() / 255
        if len(self.offsets):
            X = (X - self.offsets).float()
        logits = decision_of(self.network, self.network)(X)
        # in double precision, as in the classifier: the steps of an isotonic curve are steep
        scores = self.decision(logits.double())
        probabilities = torch.stack([-scores, scores], 1).sigmoid()
        return probabilities.float(), scores.float()


class _Line(nn.Module):
    """Log-odds as a line."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.slope, self.offset = decision.slope, decision.offset

    def forward(self, logits: Tensor) -> Tensor:
        return self.slope * (logits - self.offset)


class _Curve(nn.Module):
    """Log-odds as lines between knots: the sum of what each line adds."""

    lower: Tensor
    upper: Tensor
    slopes: Tensor

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        assert decision.knots is not None
        at, odds = (torch.tensor(values, dtype=torch.float64) for values in decision.knots)
        self.slope, self.first = decision.slope, float(odds[0])
        self.ends = float(at[0]), float(at[-1])
        self.register_buffer("lower", at[:-1].clone())
        self.register_buffer("upper", at[1:].clone())
        self.register_buffer("slopes", odds.diff() / at.diff())

    def forward(self, logits: Tensor) -> Tensor:
        ways = logits.unsqueeze(1).clamp(self.lower, self.upper) - self.lower
        beyond = logits - logits.clamp(*self.ends)
        return self.first + ways @ self.slopes + self.slope * beyond


class _Table(nn.Module):
    """A :class:`TabularMLP`, in operations that ONNX has."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        machine, self.shares = network.kernel_machine, network.shares.tolist()
        self.kernels = _Kernels(machine) if machine is not None and self.shares[1] else None
        network.kernel_machine = None
        if network.encoded is not None:
            network.encoded = _Ramps(network.encoded)
        network.linear = _Linear(network.linear)
        layers = [_Linear(la) if isinstance(la, MemberLinear) else la for la in network.layers]
        network.layers = nn.Sequential(*layers)
        self.perceptrons = network

    def forward(self, X: Tensor) -> Tensor:
        score = vote(self.perceptrons, self.perceptrons(X))
        if self.kernels is None:
            return score
        return self.shares[0] * score + self.shares[1] * self.kernels(self.perceptrons.columns(X))


class _Linear(nn.Module):
    """A :class:`MemberLinear`, without the operation that torch 2.6 cannot export."""

    def __init__(self, layer: MemberLinear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, X: Tensor) -> Tensor:
        return X @ self.weight + self.bias


class _Ramps(nn.Module):
    r"""A :class:`ColumnLayer` as one matrix product, without a search for nodes.

    With the nodes :math:`t_k` of a number, and their rows :math:`v_k` of the layer's table, the
    function of the column is :math:`v_0 + \sum_k r_k(x) (v_{k+1} - v_k)`. The ramp :math:`r_k`
    rises from 0 to 1 between two nodes. A category has an indicator for each of its nodes. A gap
    has an indicator too, and is filled with the first node or code.
    """

    ramps: Tensor
    categories: Tensor
    indicators: Tensor
    first_code: Tensor
    fill: Tensor
    at: Tensor
    slope: Tensor
    node_of_code: Tensor
    node: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ColumnLayer) -> None:
        super().__init__()
        nodes, first = layer.nodes, layer._first_row
        self._shape = layer._shape
        table = layer.table().detach().double()
        # there is a ramp below each node but the first
        number, k = nodes.nodes[:, 1:].isfinite().nonzero(as_tuple=True)
        numbers = torch.tensor(nodes._numbers, dtype=torch.int64)
        ramps = numbers[number]
        lower = first[ramps] + k
        # the position of an indicator's column among the categories, and its node
        sizes = [nodes._n_nodes[column] for column in nodes._categories]
        pairs = [(i, node) for i, size in enumerate(sizes) for node in range(size)]
        indicators, node = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).unbind(1)
        categories = torch.tensor(nodes._categories, dtype=torch.int64)
        fill, filled = torch.zeros(len(first)), first.clone()
        fill[numbers] = nodes.nodes[:, 0].nan_to_num(posinf=0.0)
        filled[categories] += nodes.node_of_code[nodes._first_code]
        weight = [
            table[layer._first_gap :] - table[filled],
            table[lower + 1] - table[lower],
            table[first[categories[indicators]] + node],
        ]
        self.register_buffer("ramps", ramps)
        self.register_buffer("categories", categories)
        self.register_buffer("indicators", indicators)
        self.register_buffer("first_code", nodes._first_code)
        self.register_buffer("fill", fill)
        self.register_buffer("at", nodes.nodes[number, k])
        self.register_buffer("slope", nodes.slope[number, k])
        self.register_buffer("node_of_code", nodes.node_of_code)
        self.register_buffer("node", node)
        self.register_buffer("weight", torch.cat(weight).float())
        self.register_buffer("bias", table[first[numbers]].sum(0).float())

    def forward(self, X: Tensor) -> Tensor:
        is_gap = X.isnan()
        X = torch.where(is_gap, self.fill, X)
        parts = [is_gap.float()]
        if len(self.ramps):
            distance = X.index_select(1, self.ramps) - self.at
            parts.append((distance * self.slope).clamp(0, 1))
        if len(self.categories):
            codes = X.index_select(1, self.categories).long() + self.first_code
            node = self.node_of_code[codes].index_select(1, self.indicators)
            parts.append((node == self.node).float())
        units = torch.addmm(self.bias, torch.cat(parts, 1), self.weight)
        return units.unflatten(1, self._shape).transpose(0, 1)


class _Kernels(nn.Module):
    """The scores of a :class:`KernelMachine`, with distances as sums over columns."""

    weights: Tensor
    columns: Tensor
    landmarks: Tensor

    def __init__(self, machine: KernelMachine) -> None:
        super().__init__()
        weights = machine.weights.mean(0)
        is_used = weights.any(0)
        self.register_buffer("weights", weights[:, is_used])
        columns = machine.varies.nonzero().squeeze(1)
        self.register_buffer("columns", columns)
        self.register_buffer("landmarks", machine.landmarks[is_used][:, columns].T.contiguous())
        # the differences of all columns at once would take too much memory
        size = max(_COLUMNS, math.ceil(len(columns) / _STEPS))
        self._steps = [slice(start, start + size) for start in range(0, len(columns), size)]
        self._decay = -_DECAY / len(columns)

    def forward(self, Z: Tensor) -> Tensor:
        Z = Z.index_select(1, self.columns).unsqueeze(2)
        parts = ((Z[:, some] - self.landmarks[some]).abs().sum(1) for some in self._steps)
        distance: Any = sum(parts)
        kernel = (self._decay * distance).exp()
        score = kernel @ self.weights[0]
        for weights in self.weights[1:]:
            # twice the decay is the square
            kernel = kernel.square()
            score = score + kernel @ weights
        return score


def _input_names(categories: Sequence[Any], feature_names: list[str]) -> list[str]:
    """Return a name for the input of each column; none if all are one input."""
    kinds = [set(map(type, known or ())) for known in categories]
    if not any(str in kind for kind in kinds):
        return []
    names = feature_names or [f"x{number}" for number in range(len(kinds))]
    for name, kind in zip(names, kinds, strict=True):
        if len(kind) > 1:
            raise ValueError(
                f"column {name!r} has both numbers and strings as categories, and an input of ONNX "
                "takes one of them; fit with strings only, for example with "
                f"X[{name!r}].astype(str)."
            )
        if not name or name in _OUTPUTS:
            raise ValueError(
                f"a column is called {name!r}, which cannot be the name of an input of an ONNX "
                f"file with the outputs {', '.join(_OUTPUTS)}; rename it before fit."
            )
    if len(set(names)) < len(names):
        raise ValueError("several columns have the same name; inputs of ONNX need different ones.")
    return names


def _plain(classes: np.ndarray) -> np.ndarray:
    """Return labels in a dtype that ONNX has."""
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind in "bf":
        return classes
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise ValueError(f"labels in ONNX are numbers or strings, got classes {classes.tolist()}.")


def _converted(module: Any, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return a module as an ONNX model, in which all names begin with "network/"."""
    import onnx

    rows = {0: torch.export.Dim.DYNAMIC}
    example = torch.zeros(2, *shape, dtype=module.dtype)
    with _quiet():
        try:
            exported = torch.export.export(module, (example,), dynamic_shapes=(rows,), strict=False)
            program: Any = torch.onnx.export(
                exported,
                input_names=["X"],
                output_names=list(_OUTPUTS[1:]),
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


def _prepend_inputs(
    graph: onnx.GraphProto,
    categories: Sequence[tuple[Any, ...] | None],
    names: list[str],
    dtype: torch.dtype,
) -> None:
    """Make raw columns the input, and codes of their categories.

    They have these names or, without names, are one matrix.
    """
    from onnx import TensorProto, helper, numpy_helper

    network = graph.input.pop()
    of_network = network.type.tensor_type
    n, *shape = (dim.dim_param or dim.dim_value for dim in of_network.shape.dim)
    numbers = [c for known in categories for c in known or () if not isinstance(c, str)]
    number_type = of_network.elem_type
    if any(float(np.float32(c)) != c for c in numbers):
        number_type = TensorProto.DOUBLE
    kind = helper.tensor_dtype_to_np_dtype(number_type)
    nodes = []
    if names:
        for name, known in zip(names, categories, strict=True):
            is_string = isinstance(next(iter(known or ()), None), str)
            of_column = TensorProto.STRING if is_string else number_type
            graph.input.append(helper.make_tensor_value_info(name, of_column, [n, 1]))
    else:
        graph.input.append(helper.make_tensor_value_info("X", number_type, [n, *shape]))
    if not categories:
        nodes.append(helper.make_node("Identity", ["X"], [network.name]))
    elif not names:
        names = [f"columns/{number}" for number in range(len(categories))]
        nodes.append(helper.make_node("Split", ["X"], names, axis=1, num_outputs=len(names)))
    codes = []
    for number, (name, known) in enumerate(zip(names, categories, strict=True)):
        code = f"codes/{number}"
        if known:
            table: dict[str, Any]
            if isinstance(known[0], str):
                table = {
                    "keys_strings": known,
                    "values_floats": np.arange(len(known), dtype=np.float32),
                    "default_float": np.nan,
                }
            else:
                arrays = {"keys": known, "values": range(len(known)), "default": [np.nan]}
                table = {
                    f"{part}_tensor": numpy_helper.from_array(np.array(array, dtype=kind))
                    for part, array in arrays.items()
                }
            nodes.append(
                helper.make_node("LabelEncoder", [name], [code], domain="ai.onnx.ml", **table)
            )
        elif known is not None:
            # there were only gaps in fit, so each value is an unknown category
            gap = numpy_helper.from_array(np.array(np.nan, dtype=kind), f"gaps/{number}")
            graph.initializer.append(gap)
            nodes.append(helper.make_node("Mul", [name, gap.name], [code]))
        else:
            code = name
        codes.append(f"network/{number}")
        nodes.append(helper.make_node("Cast", [code], codes[-1:], to=of_network.elem_type))
    if codes:
        nodes.append(helper.make_node("Concat", codes, [network.name], axis=1))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _append_outputs(graph: onnx.GraphProto, classes: np.ndarray) -> None:
    """Add the output of labels to those of the network."""
    from onnx import TensorProto, helper, numpy_helper

    of_networks = list(graph.output)
    del graph.output[:]
    n = of_networks[0].type.tensor_type.shape.dim[0].dim_param
    of_label = helper.np_dtype_to_tensor_dtype(classes.dtype)
    graph.output.append(helper.make_tensor_value_info("label", of_label, [n]))
    for output in of_networks:
        name = output.name.removeprefix("network/")
        graph.node.append(helper.make_node("Identity", [output.name], [name]))
        output.name = name
        graph.output.append(output)
    graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.float32), "label/zero"))
    graph.initializer.append(numpy_helper.from_array(classes, "label/classes"))
    graph.node.extend(
        [
            helper.make_node("Greater", ["decision_function", "label/zero"], ["label/second"]),
            helper.make_node("Cast", ["label/second"], ["label/index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["label/classes", "label/index"], ["label"]),
        ]
    )

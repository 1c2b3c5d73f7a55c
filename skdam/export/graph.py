"""What an ONNX file has around the network: columns as inputs, and labels as an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("label", "probabilities", "decision_function")
# how names of values within the file begin
_INTERNAL = ("codes/", "columns/", "gaps/", "label/", "network/")


def input_names(categories: Sequence[Any], feature_names: list[str]) -> list[str]:
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
        if not name or name in OUTPUTS or name.startswith(_INTERNAL):
            raise ValueError(
                f"a column is called {name!r}, which cannot be the name of an input of an ONNX "
                f"file: {', '.join(OUTPUTS)} and names that begin with {', '.join(_INTERNAL)} are "
                "taken. Rename it before fit."
            )
    if len(set(names)) < len(names):
        raise ValueError("several columns have the same name; inputs of ONNX need different ones.")
    return names


def onnx_labels(classes: np.ndarray) -> np.ndarray:
    """Return labels in a dtype that ONNX has."""
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind in "bf":
        return classes
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise ValueError(f"labels in ONNX are numbers or strings, got classes {classes.tolist()}.")


def prepend_inputs(
    graph: onnx.GraphProto,
    categories: Sequence[tuple[Any, ...] | None],
    names: list[str],
    dtype: torch.dtype,
) -> None:
    """Make raw columns the input of the graph, and turn categories into codes.

    With ``names`` each column is an input of its own, without them all are one matrix ``X``.
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


def append_outputs(graph: onnx.GraphProto, classes: np.ndarray) -> None:
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

"""Without the extra ``onnx``, what documents the export is not collected for doctests."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("onnxruntime") else ["skdam/export/onnx.py", "docs/export.rst"]

"""A fitted classifier as one torch module, and as one ONNX file."""

from skdam.export.module import to_module
from skdam.export.onnx import to_onnx

__all__ = ["to_module", "to_onnx"]

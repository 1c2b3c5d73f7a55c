"""Sphinx configuration."""

import skdam

project = "skdam"
author = "the skdam developers"
version = release = skdam.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
autosummary_generate = True
numpydoc_show_class_members = False
sphinx_gallery_conf = {"examples_dirs": "examples", "gallery_dirs": "auto_examples"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples"]
suppress_warnings = ["ref.ref"]  # docstrings inherited from scikit-learn refer to its own pages
html_theme = "pydata_sphinx_theme"

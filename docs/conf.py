"""Sphinx configuration. The build needs no network; see ``INTERSPHINX`` below."""

import os
import zlib
from pathlib import Path

import matplotlib
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  for the gallery

import skdam

matplotlib.use("Agg")
HERE = Path(__file__).parent

project = "skdam"
author = "the skdam developers"
version = release = skdam.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",  # MathJax comes with the pages, not from a CDN
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "_inventories", "examples", "sg_execution_times.rst"]
suppress_warnings = ["ref.ref"]  # docstrings inherited from scikit-learn refer to its own pages

autosummary_generate = True
autodoc_typehints = "none"  # docstrings say the types, with shapes
toc_object_entries = False
numpydoc_show_class_members = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
myst_heading_anchors = 3

# %% Links to other projects
# INTERSPHINX=1 reads their complete inventories. Without it, a build needs no network: the few
# names that these pages refer to are in _inventories.
ADDRESSES = {
    "python": "https://docs.python.org/3/",
    "sklearn": "https://scikit-learn.org/stable/",
    "skorch": "https://skorch.readthedocs.io/en/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}


def local_inventory(name):
    """Write the names of ``_inventories/<name>.txt`` as an inventory; return its path."""
    lines = (HERE / "_inventories" / f"{name}.txt").read_text().split("\n")
    rows = [line.split() for line in lines if line]
    body = "".join(f"{object_} {role} 1 {address} -\n" for role, object_, address in rows)
    path = HERE / "_build" / "inventories" / f"{name}.inv"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    path.write_bytes(header.encode() + zlib.compress(body.encode()))
    return str(path)


online = bool(os.environ.get("INTERSPHINX") or os.environ.get("READTHEDOCS"))
intersphinx_mapping = {
    name: (address, None if online else local_inventory(name))
    for name, address in ADDRESSES.items()
}

# %% The gallery
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"__init__\.py|newcomer",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skdam",),
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_", "__repr__"),
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "nested_sections": False,
}

# %% The theme
html_theme = "pydata_sphinx_theme"
html_title = "skdam"  # "skdam 0.1.0 documentation" overlaps the menu of the header
html_short_title = "skdam"
html_static_path = ["_static"]
html_css_files = ["skdam.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "icon_links": [
        {
            "name": "GitHub",
            "url": "https://github.com/skdam/skdam",
            "icon": "fa-brands fa-github",
        }
    ],
    "header_links_before_dropdown": 5,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_prev_next": True,
    "show_nav_level": 1,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {
    "index": [],
    "getting_started": [],
    "faq": [],
    "benchmarks": [],
    "changelog": [],
    "contributing": [],
}

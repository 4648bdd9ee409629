"""Sphinx's settings: Markdown pages, a reference from docstrings, formulas as MathML, nothing from the network."""

import sys
from pathlib import Path

from minigan import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project, author, copyright = "minigan", "The minigan developers", "The minigan developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "formulas", "minigan_names"]
exclude_patterns = ["_build", "decisions/README.md"]
nitpicky = True
# a name that is not in the reference is code, and no link
nitpick_ignore_regex = [("py:obj", ".*"), ("py:exc", r"\w+Error")]

html_theme = "furo"
html_title = "minigan"
html_static_path = ["_static"]
html_css_files = ["minigan.css"]
html_show_sphinx = html_copy_source = html_show_sourcelink = False
html_math_renderer = "mathml"
highlight_language = "text"
pygments_style, pygments_dark_style = "friendly", "github-dark"

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # arrays have no type that says their shape; docstrings do
autodoc_class_signature = "mixed"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar, napoleon_attr_annotations = True, False

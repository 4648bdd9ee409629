"""Sphinx's settings: Markdown pages, a reference from docstrings, formulas as MathML, nothing from the network.

The lessons are scripts that are run; what they print and draw becomes docs/learn/.
"""

import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

from minigan import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project, author, copyright = "minigan", "The minigan developers", "The minigan developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
extensions += ["formulas", "gallery", "minigan_names", "op_cards"]
exclude_patterns = ["_build", "lessons", "decisions/README.md"]
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

LESSONS = {
    "engine": ["first_gradient", "how_the_engine_works", "one_rule_three_uses", "adam_by_hand"],
    "layers": ["batch_norm_gradient", "convolution_arithmetic", "dcgan_layer_by_layer"],
    "gans": [
        "what_a_gan_is",
        "fooling_a_network",
        "what_d_tells_g",
        "loss_at_the_logit",
        "to_detach_or_not",
        "gradient_penalties",
    ],
}
sphinx_gallery_conf = {
    "examples_dirs": [f"lessons/{part}" for part in LESSONS],
    "gallery_dirs": [f"learn/{part}" for part in LESSONS],
    "within_subsection_order": ExplicitOrder([f"{name}.py" for part in LESSONS.values() for name in part]),
    "filename_pattern": r"\.py$",  # every script is run
    "reset_modules": ("gallery.reset",),
    "capture_repr": ("_repr_html_",),
    "css": ("sg_gallery",),
    "run_stale_examples": True,  # minigan may have changed
    "min_reported_time": 60,
    "write_computation_times": False,
    "notebook_extensions": set(),
    "download_all_examples": False,
    "show_signature": False,
    "jupyterlite": None,
}

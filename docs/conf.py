"""How `make docs` builds the site.

The source folder is the root of the checkout: pages are the Markdown that GitHub renders, with its
links as they are, CONTRIBUTING.md and the benchmarks' pages among them.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import cropmap_jax  # noqa: E402

project = "cropmap_jax"
author = "The cropmap_jax authors"
copyright = f"{author}, Apache License 2.0"
version = release = cropmap_jax.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "reference_pages",
]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/*.md"]
# Not walked through: a virtual environment holds a hundred thousand files.
exclude_patterns = [".*", "build", "demo", "data", "try", "runs", "cropmap_jax", "tests", "docs/_*"]
nitpicky = True
# Types: the indices of other libraries lie on the network, and not all rooms have a page.
nitpick_ignore_regex = [(r"py:.*", r".*")]
# Attributes of two classes may have one name.
suppress_warnings = ["ref.python"]
# "--flag" is not a dash.
smartquotes = False

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "cropmap_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "cropmap_jax"},
    "navbar_align": "left",
    "show_nav_level": 1,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
}
html_sidebars = {"docs/index": []}
copybutton_exclude = ".linenos, .gp"

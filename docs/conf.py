"""How Sphinx builds the site: `sphinx-build -W -b html docs docs/_build`. Nothing is fetched."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_ext"), str(HERE.parent)]

project = "dlrun"
extensions = ["myst_parser", "pages"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["attrs_block", "attrs_inline"]
myst_heading_anchors = 3
highlight_language = "text"
html_theme = "furo"
html_title = "dlrun"
html_css_files = ["tables.css"]
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

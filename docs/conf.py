"""Sphinx: MyST pages and the furo theme. Warnings are errors (`tox -e docs`)."""

import bleepstore

project = "BleepStore"
author = "The BleepStore authors"
copyright = "The BleepStore authors, Apache-2.0"
release = version = bleepstore.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "BleepStore"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
nitpicky = False

"""How Sphinx builds the site: `sphinx-build -W docs build/docs`."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

from sphinx.application import Sphinx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # reference.py, and this checkout's segdata

from reference import fields_of, write_reference  # noqa: E402

project = "segdata"
author = copyright = "The segdata developers"  # noqa: A001 - Sphinx's name for it
version = release = installed("segdata")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_static"]
myst_heading_anchors = 3  # links to headings are spelt as on code hosts
smartquotes = False  # commands in prose can be copied
default_role = "code"  # docstrings have single backticks round code
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_title = "segdata"
html_static_path = ["_static"]
html_css_files = ["segdata.css"]
html_sidebars = {"tutorial": []}
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # summaries are fetched, which browsers refuse for pages opened from a disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}


# Files outside of this folder that pages link to, and the pages that hold them here.
_PAGE_OF = {"segdata/models/weights/alisnet.md": "model_card.md"}


def setup(app: Sphinx) -> None:
    """Write the reference before pages are read, and turn sections of docstrings into fields."""
    app.connect("builder-inited", lambda app: write_reference(Path(app.srcdir) / "reference"))
    app.connect("source-read", lambda _, __, text: lead_to_pages(text))
    app.connect("autodoc-process-docstring", lambda *event: fields_of(event[-1]))


def lead_to_pages(text: list[str]) -> None:
    """Let links to files outside of the site lead to the pages that hold them, in place."""
    for name, page in _PAGE_OF.items():
        text[0] = text[0].replace(f"../{name}", page)

"""HTML: the page of what was found. Its templates stand in `templates`, those of a notebook's fragment, too."""

from biogpt.documents.html.page import Heading, PageWriter, render_page

__all__ = ["Heading", "PageWriter", "render_page"]

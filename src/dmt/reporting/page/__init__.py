"""What a run shows and tells -> ``report.html``: one file that is read anywhere, without a network."""

from dmt.reporting.page.notebook import edit_html
from dmt.reporting.page.page import FILE, page_of, where_to_look, write_page
from dmt.reporting.page.sweep_page import sweep_page, write_sweep_page

__all__ = ["FILE", "edit_html", "page_of", "sweep_page", "where_to_look", "write_page", "write_sweep_page"]

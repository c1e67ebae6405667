"""An edit -> what a notebook shows of it."""

from dmt.editing.editor import Edit
from dmt.editing.table_editor import TableEdit
from dmt.reporting.page.content import shown_images, shown_rows
from dmt.reporting.page.display import displays
from dmt.reporting.page.templates import environment
from dmt.reporting.page.words import with_signs

MOST = 24  # pictures, or rows, that are shown
MOST_BYTES = 3_000_000  # of their pictures: notebooks keep what they show


def edit_html(edit: Edit | TableEdit) -> str:
    """Each picture with a wipe between before and after, and its verdict; or each plan for a row.

    The HTML stands alone, and several of them in one notebook do not get into each other's way.
    """
    shown = shown_images(edit.images) if isinstance(edit, Edit) else []
    rows = shown_rows(edit) if isinstance(edit, TableEdit) else []
    left_out = max(len(shown), len(rows)) - MOST
    shown = shown[:MOST]
    found = iter(displays([picture for one in shown for picture in (one.before, one.last.picture)], MOST_BYTES))
    pictures = [{"one": one, "before": next(found), "after": next(found), "words": one.last.words} for one in shown]
    return (
        environment()
        .get_template("notebook.html.jinja")
        .render(
            title=with_signs(edit.title.replace("\n", ", ")),
            pictures=pictures,
            rows=rows[:MOST],
            left_out=f"{left_out} more are in edit.table." if left_out > 0 else "",
        )
    )

"""A table of texts, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from wim_fast.report.markup import Markup, element


@dataclass(frozen=True)
class Column:
    """How a column is headed.

    Attributes:
        group: what stands above it and its neighbours of the same group.
        is_text: set to the left; else to the right, as numbers are.
    """

    heading: str
    group: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, a column each; the first cell of a row names it.

    Attributes:
        swatches: markup before the name of each row.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    swatches: Sequence[Markup] = ()

    def without_empty_columns(self) -> Table:
        """Only the columns of which any cell says something."""
        kept = [k for k in range(len(self.columns)) if k == 0 or any(row[k] for row in self.rows)]
        rows = [[row[k] for k in kept] for row in self.rows]
        return Table(self.caption, [self.columns[k] for k in kept], rows, self.swatches)

    def html(self) -> Markup:
        """In a box that scrolls where the page is too narrow."""
        swatches = self.swatches or [Markup()] * len(self.rows)
        body = element("tbody", *map(self._row, self.rows, swatches))
        caption = element("caption", self.caption)
        table = element("table", caption, element("thead", *self._heads()), body)
        return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=self.caption)

    def _heads(self) -> Iterable[Markup]:
        """A row of headings, below one of groups if there are any."""
        if any(column.group for column in self.columns):
            spans = [(name, len(list(of))) for name, of in groupby(column.group for column in self.columns)]
            yield element(
                "tr",
                *(
                    element("th", name, colspan=count, scope="colgroup", class_="group")
                    if name
                    else element("td", colspan=count)
                    for name, count in spans
                ),
            )
        yield element(
            "tr",
            *(element("th", c.heading, scope="col", class_=css_class(c)) for c in self.columns),
        )

    def _row(self, row: Sequence[str], swatch: Markup) -> Markup:
        first, *rest = row
        cells = (
            element("td", cell or "–", class_=css_class(column))
            for column, cell in zip(self.columns[1:], rest, strict=True)
        )
        return element("tr", element("th", swatch, first, scope="row"), *cells)

    def markdown(self) -> str:
        """With the caption above it."""
        headings = [f"{c.heading}, {c.group}" if c.group else c.heading for c in self.columns]
        rule = [":--" if k == 0 or c.is_text else "--:" for k, c in enumerate(self.columns)]
        rows = [headings, rule, *self.rows]
        lines = ["| " + " | ".join(markdown_text(cell) or " " for cell in row) + " |" for row in rows]
        return "\n".join([f"**{markdown_text(self.caption)}**", "", *lines, ""])


def css_class(column: Column) -> str | None:
    return "text" if column.is_text else None


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in "\\`|<[*" else c for c in printable)

"""HTML by construction: text is escaped, whatever file it comes from, unless an element was made of it here."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is HTML already."""


def joined(*content: str) -> Markup:
    """One after another; what is no markup is escaped."""
    return Markup("".join(c if isinstance(c, Markup) else html.escape(c) for c in content))


def element(name: str, *content: str, **attributes: str | float | None) -> Markup:
    """An element with its end tag. `class_` is class, `aria_label` aria-label; attributes that are None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")

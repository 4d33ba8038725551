"""HTML from text that anyone may have written: whatever is not :class:`Markup` is escaped.

What comes out is well-formed as XML too: every element is closed, every attribute quoted.
"""

from __future__ import annotations

from html import escape

from lakeopt.figures import visible

_VOID = {"meta", "link", "br", "rect", "circle", "line", "path"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(content: str) -> Markup:
    """Text as HTML; control characters, and those that turn the direction of writing, are written out.

    >>> text("<b>\\x1b")
    '&lt;b&gt;\\\\x1b'
    """
    return Markup(escape(visible(content)))


def tag(element: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """An element. Attributes that are None are left out; ``class_`` is class, and ``_`` in names stands for ``-``.

    >>> tag("p", "a < b", tag("br"), class_="note", aria_label='"', id=None)
    '<p class="note" aria-label="&quot;">a &lt; b<br/></p>'
    """
    given = {key.rstrip("_").replace("_", "-"): item for key, item in attributes.items() if item is not None}
    written = "".join(f' {key}="{text(str(item))}"' for key, item in given.items())
    if element in _VOID:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(children)}</{element}>")


def join(parts: tuple[str | None, ...] | list[Markup]) -> Markup:
    """Pieces one after the other; text among them is escaped, None is nothing."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part))


def section(name: str, title: str, *children: str | None) -> Markup:
    """A landmark with its heading; ``name`` is the id that the table of contents leads to."""
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def note(content: str) -> Markup:
    """A sentence on what the figures mean."""
    return tag("p", content, class_="note")


def absent(reason: str) -> Markup:
    """Stands where a part is missing, and says why."""
    return tag("p", tag("strong", "Not here: "), reason, class_="absent")

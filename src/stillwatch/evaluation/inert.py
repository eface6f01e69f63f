"""Text from outside, made harmless for the place where it is shown.

Names, categories and values belong to whoever wrote the data. HTML is escaped by Jinja2; what remains is done
here: control characters for terminals, punctuation for Markdown, and length for everybody.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 120

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Emphasis, code, links, HTML, tables; a scheme or www that would become a link by itself; a mark that would
# begin a list or underline a heading.
_MARKUP = re.compile(r"[\\`*_{}\[\]()#!|~$<>&@]|:(?=//)|(?<=www)\.|^[-+=]", re.IGNORECASE)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "`": "&#96;"}


def plain(text: object, limit: int = LONGEST) -> str:
    r"""Keep what can be seen, on one line, cut to a length.

    Parameters
    ----------
    text
        Anything; its `str` is shown.
    limit
        Most characters to keep; a cut is marked by an ellipsis.

    Examples
    --------
    >>> plain("a\x1b[31mred\nline")
    'a[31mred line'
    >>> plain("abcdef", 4)
    'abc…'
    """
    # The slice bounds the work on hostile lengths; what is dropped below can only shorten the text further.
    seen = "".join(
        " " if sign.isspace() else sign
        for sign in str(text)[: 8 * limit]
        if sign.isspace() or unicodedata.category(sign) not in _UNSEEN
    )
    seen = " ".join(seen.split())
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def markdown(text: object, limit: int = LONGEST) -> str:
    r"""Text that Markdown shows as it is: no link, no markup, no HTML, no new table cell.

    Examples
    --------
    >>> markdown("a|b <b> *c*")
    'a&#124;b &lt;b&gt; \\*c\\*'
    """
    return _MARKUP.sub(lambda sign: _ENTITIES.get(sign[0], f"\\{sign[0]}"), plain(text, limit))

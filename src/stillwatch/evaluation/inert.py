"""Text from outside, made harmless for the place where it is shown.

Names, categories and values belong to whoever wrote the data. HTML is escaped by Jinja2; what remains is done
here: control characters for terminals, punctuation for Markdown, and length for everybody.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
import numpy as np

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


def inert_json(value: Any) -> bytes:
    r"""Write a value as JSON that is inert wherever it is pasted or printed.

    Signs that mean something to HTML or to a terminal leave escaped: any JSON reader gets the same text back.

    Examples
    --------
    >>> inert_json({"city": "<b>"})
    b'{\n "city": "\\u003cb\\u003e"\n}\n'
    """
    text = msgspec.json.encode(_whole(msgspec.to_builtins(value, enc_hook=_plain_value))).decode()
    return _ACTIVE.sub(_escaped, msgspec.json.format(text, indent=1)).encode() + b"\n"


# In JSON these stand inside strings only. Delete and C1 controls reach terminals, bidirectional overrides
# turn text around, line separators end a line of JavaScript.
_ACTIVE = re.compile("[<>&\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which a file name may bring along and UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value


def _plain_value(value: Any) -> Any:
    """Turn what a recipe may hold into JSON: a NumPy number into a number, anything foreign into its text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

"""Text that came from outside, made safe to show."""

from __future__ import annotations


def quote(text: object, limit: int = 60) -> str:
    r"""Quote a name from an untrusted file: ASCII only, escaped and cut.

    A terminal, a log line or a page may show it: control characters and escapes stay inert.

    >>> quote("amount")
    "'amount'"
    >>> quote("\x1b[31m" + "a" * 80)
    "'\\x1b[31maaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'..."
    """
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return ascii(shown[:limit]) + ("..." if len(shown) > limit else "")

"""Links of the pages that lead out of the folder work where the repository is read; on the site they become a path."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)[^)]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs for every page."""
    folder = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        return (
            f"{link[1]} (`{target.lstrip('./')}` in the repository)" if target.startswith("..") else link[0]
        )

    return _LINK.sub(shown, markdown)

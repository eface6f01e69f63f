"""`DIGEST`: a line for each file that the manifest does not vouch for, as `sha256sum -c DIGEST` reads them.

The first line is the manifest's. Its SHA-256 names the whole model, since the manifest holds the digests of the
graph and of the card; the same data, seed and machine give the same. The reports hold times and a date, so they
have lines of their own: damage to them is found, but the model's digest says nothing about them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from stillwatch.artifact.manifest import DIGEST, MANIFEST, SEALED
from stillwatch.artifact.quote import quote
from stillwatch.errors import DigestError


def seal(files: Mapping[str, bytes]) -> bytes:
    """Write the content of `DIGEST`, given the bytes of at least the `SEALED` files."""
    return "".join(f"{_sha256(files[name])}  {name}\n" for name in SEALED).encode()


def check_digest(files: Mapping[str, bytes], expect: str | None = None) -> str:
    """Return the digest of the manifest, which must be the stored one and, where given, the expected one.

    Raises
    ------
    DigestError
        `DIGEST` is not what `seal` would write for these files, or the model is not the expected one.
    """
    stored, actual = files[DIGEST].splitlines(keepends=True), seal(files).splitlines(keepends=True)
    for name, line in zip(SEALED, actual, strict=True):
        # Compared one by one, so that the message can name the file.
        if not stored or not hmac.compare_digest(stored.pop(0), line):
            raise DigestError(
                f"{DIGEST} does not match {name}: one of them was changed. Fetch the model again"
            )
    if stored:
        raise DigestError(f"{DIGEST} holds more than {len(SEALED)} lines. Fetch the model again")
    digest = _sha256(files[MANIFEST])
    if expect is not None and not hmac.compare_digest(digest.encode(), expect.strip().lower().encode()):
        raise DigestError(
            f"the model is {digest}, expected {quote(expect.strip(), 64)}: this is another model"
        )
    return digest


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Who may ask, and where the service may listen."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.table.values import shown

TOKEN_VARIABLE = "STILLWATCH_TOKEN"  # noqa: S105 - a name, not a token
_SHORTEST = 16
_BEARER = re.compile(rb"bearer +([\x21-\x7e]+) *", re.IGNORECASE)


class Token:
    """A secret that clients send as `Authorization: Bearer ...`."""

    def __init__(self, secret: str) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()

    def opens(self, authorization: bytes | None) -> bool:
        """Whether the header holds the token; takes as long for a wrong one of any length."""
        found = _BEARER.fullmatch(authorization or b"")
        given = hashlib.sha256(found[1] if found else b"").digest()
        return hmac.compare_digest(given, self._digest) and found is not None


def of_another_site(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser sends a request in the name of another site's page.

    Source: "Cross-Origin Resource Forgery" defence by Fetch metadata, as in Go's `http.CrossOriginProtection`; what is no
    browser sends neither header.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in {b"same-origin", b"none"}
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


def read_token(file: Path | None, environment: Mapping[str, str]) -> Token | None:
    """The token from a file, or from the environment; never from the command line, which others can read.

    Raises
    ------
    InputError
        the file cannot be read, or the token is too short or holds white space.
    """
    if file is None:
        secret, where = environment.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        if not secret:
            return None
    else:
        where = shown(str(file), 200)
        try:
            secret = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(
                f"the token file {where} cannot be read. Name a file that holds the token alone."
            ) from exc
    if len(secret) < _SHORTEST or not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise InputError(
            f"{where} holds no token: expected {_SHORTEST} or more printable characters without spaces. "
            "`openssl rand -hex 32` makes one."
        )
    return Token(secret)


def open_socket(host: str, port: int, *, guarded: bool) -> socket.socket:
    """Listen at an address.

    Parameters
    ----------
    guarded
        whether others may reach the service: a token is set, or its absence was insisted on.

    Raises
    ------
    InputError
        the address is public and not guarded, unknown, or taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as exc:
        raise InputError(f"the address {shown(host)} is unknown. Name an address of this machine.") from exc
    if not guarded and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise InputError(
            f"{shown(host)} can be reached from other machines, and no token is set. Set {TOKEN_VARIABLE} or "
            "--token-file; or pass --insecure where something else guards the door."
        )
    try:
        return socket.create_server((str(address[0]), port), family=family, backlog=1024)
    except OSError as exc:
        raise InputError(
            f"cannot listen on {host}:{port}: {os.strerror(exc.errno or 0)}. Choose another --port."
        ) from exc

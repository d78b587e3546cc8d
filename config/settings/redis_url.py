"""``REDIS_URL``, as hosting platforms hand it out, read as what it says of the fields of ``redis``."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

REDIS_URL_FORM = "redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS, without a database number"
# What a url means that leaves a part out.
REDIS_DEFAULTS = {"host": "localhost", "port": "6379", "username": None, "password": None, "ssl": "false"}


def redis_parts(url: str) -> dict[str, str | SecretStr] | str:
    """Return what ``url`` says of each field by name, or in words why it cannot be used; never a part of it.

    Parameters
    ----------
    url : str
        ``redis://`` or ``rediss://`` with host; user, password, port and database 0 may be there.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"is not valid, expected {REDIS_URL_FORM}"
    if parts.scheme not in ("redis", "rediss") or not host:
        return f"is not valid, expected {REDIS_URL_FORM}"
    if "@" in parts.path:
        return "has a / before the @: write one in a user name or password as %2F"
    if parts.path.strip("/") not in ("", "0"):
        return "names a database other than 0: Nautilus' cache knows no database number and would use 0"
    if parts.query or parts.fragment:
        return f"has options behind the address, which nothing reads; expected {REDIS_URL_FORM}"
    said: dict[str, str | SecretStr | None] = {
        "host": host,
        "port": str(port) if port is not None else None,
        "username": unquote(parts.username) if parts.username else None,
        "password": SecretStr(unquote(parts.password)) if parts.password else None,
        "ssl": "true" if parts.scheme == "rediss" else "false",
    }
    return {name: value for name, value in said.items() if value is not None}

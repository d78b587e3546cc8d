"""What of a value may be shown: nothing that is, or might be, a secret."""

from __future__ import annotations

import re

from config.settings.spelling import visible

# A key pasted into the wrong variable: exchanges' keys have 18 letters and digits or more in a row.
LOOKS_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+=]{18,}|-----BEGIN")


NAME = re.compile(r"[A-Za-z0-9]{0,17}(?:_[A-Za-z0-9]{1,17}(?![A-Za-z0-9]))*")


def might_be_secret(text: str) -> bool:
    """Return whether ``text`` looks like a key, or like a url with a password before the @ or a token behind the ?."""
    return not {"@", "?"}.isdisjoint(text) or LOOKS_LIKE_A_KEY.search(text) is not None


def found(key: str, text: str) -> str:
    """Return what was found at ``key`` as the beginning of a sentence; the value only if it can be no secret."""
    return f"{key} is not valid" if might_be_secret(text) else f"{key} is '{visible(text)}'"


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~")) and "\n" not in text and "@" not in text


def text_shown(text: str) -> str:
    """Return a value of a setting that is no secret; it may stand in the wrong place."""
    return visible(text) if _is_path(text) or not might_be_secret(text) else "*** (not shown: it might be a secret)"


def name_shown(name: str) -> str:
    """Return the name of a variable that nothing reads. Of ``NAME: value`` all is a name, up to the next equals sign."""
    if ":" not in name and not might_be_secret(name):
        return visible(name)
    return f"{NAME.match(name)[0]}…"  # type: ignore[index]  # it matches the empty text too


def path_shown(path: str) -> str:
    """Return a path for a message. Somebody may have written the secret itself where its file belongs."""
    return visible(path, 200) if _is_path(path) or not might_be_secret(path) else "something that is no path"

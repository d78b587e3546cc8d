"""What a name or a value looks like when it is nearly right."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

# As pydantic reads a bool.
BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}
# Each with its family: a text that begins with one and ends with another of the same family stands in quotes.
QUOTES: Mapping[str, str] = {
    **dict.fromkeys('"\uff02\u201c\u201d\u201e\u201f\u00ab\u00bb', "double"),
    **dict.fromkeys("'\uff07\u2018\u2019\u201a\u201b\u2039\u203a", "single"),
    "`": "back",
}
# Letters of other alphabets that look like Latin ones and that NFKC leaves alone: Cyrillic and Greek.
LOOKALIKES: Mapping[str, str] = {
    **dict(zip("АВЕЅІЈКМНОРСТУХ", "ABESIJKMHOPCTYX", strict=True)),  # noqa: RUF001  that is the point
    **dict(zip("аеѕіјорсух", "aesijopcyx", strict=True)),  # noqa: RUF001  that is the point
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),  # noqa: RUF001  that is the point
}
HYPHENS = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d")
# Unicode counts these as letters, marks and symbols; they show as nothing, or as a blank.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
WHITE_SPACE = " \t\n\v\f\r"
BYTE_ORDER_MARK = "\ufeff"
# A byte that is not UTF-8 reaches Python as one of these (PEP 383).
UNDECODABLE = range(0xDC80, 0xDD00)

_PLAIN_NAME = re.compile(r"[A-Z0-9_]*")
_BITS: Mapping[str, int] = {letter: 1 << place for place, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")}
_LETTERS = frozenset(_BITS)


def as_bool(text: str) -> bool | None:
    """Return what ``text`` says of yes or no in any of the usual spellings, None if it says neither."""
    return BOOLEANS.get(text.strip().lower())


def nearest(name: str, names: Collection[str], most: int = 2) -> str | None:
    """Return the one of ``names`` that ``name`` is most likely a slip of, None if there is none.

    Parameters
    ----------
    name : str
        What was written.
    names : collection of str
        What is known; a frozenset is indexed once.
    most : int
        How many slips are allowed: a character too many, too few or another one, or two neighbours swapped.
        The fewest win, of equals the first in the alphabet.

    """
    return _nearest(name, frozenset(names), most)


@lru_cache(maxsize=1024)
def _nearest(name: str, names: frozenset[str], most: int) -> str | None:
    if name in names:
        return name
    index, letters = _index(names), _letters(name)
    found = []
    for length in range(len(name) - most, len(name) + most + 1):
        for candidate, others in index.get(length, ()):
            # One slip brings in at most one new letter, and loses at most one.
            if (letters & ~others).bit_count() <= most and (others & ~letters).bit_count() <= most:
                distance = _distance(name, candidate, most)
                if distance <= most:
                    found.append((distance, candidate))
    return min(found)[1] if found else None


@lru_cache(maxsize=8)
def _index(names: frozenset[str]) -> Mapping[int, list[tuple[str, int]]]:
    """Return the names by length, each with the letters in it."""
    index: dict[int, list[tuple[str, int]]] = {}
    for name in names:
        index.setdefault(len(name), []).append((name, _letters(name)))
    return index


def _letters(name: str) -> int:
    return sum(map(_BITS.__getitem__, _LETTERS.intersection(name)))


def _distance(left: str, right: str, most: int) -> int:
    """Return the optimal string alignment distance, or something above ``most`` if it is above that."""
    start, shorter = 0, min(len(left), len(right))
    while start < shorter and left[start] == right[start]:
        start += 1
    end = 0
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    left, right = left[start : len(left) - end], right[start : len(right) - end]

    far = most + 1
    before: list[int] = []
    row: list[int] = list(range(len(right) + 1))
    for i, letter in enumerate(left, 1):
        # Further from the diagonal than `most` everything is too far.
        low, high = max(1, i - most), min(len(right), i + most)
        current = [far] * (len(right) + 1)
        if i <= most:
            current[0] = i
        for j in range(low, high + 1):
            other = right[j - 1]
            cost = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            current[j] = cost
        if min(current) > most:
            return far
        before, row = row, current
    return row[-1]


def recognised(name: str, names: Collection[str]) -> tuple[str, str] | None:
    """Return the known name that ``name`` is but for how it is written, and in words what is wrong; None if it is none.

    Parameters
    ----------
    name : str
        What was written. A known name is not recognised: nothing is wrong with it.
    names : collection of str
        What is known, in capitals, digits and underscores.

    Returns
    -------
    tuple of str and str, optional
        Such as ``("REDIS_PORT", "it is in lower case")``. Of several things that are wrong, the one hardest to see is told.

    """
    if name in names or _PLAIN_NAME.fullmatch(name):
        return None
    wrong, text = [], name
    for mend in _MENDERS:
        mended, how = mend(text)
        if mended != text:
            wrong.append(how)
            text = mended
    return (text, wrong[0]) if text in names else None


def _without_invisible(name: str) -> tuple[str, str]:
    if name.isascii() and name.isprintable():
        return name, ""
    odd = next((char for char in name if char not in WHITE_SPACE and _is_invisible(char)), None)
    if odd is None:
        return name, ""
    how = "begins with" if name[0] == BYTE_ORDER_MARK else "holds"
    return "".join(char for char in name if char in WHITE_SPACE or not _is_invisible(char)), f"it {how} {_called(odd)}"


def _without_white_space(name: str) -> tuple[str, str]:
    kept = name.strip()
    around = name.replace(kept, "", 1)
    odd = next((char for char in around if char not in WHITE_SPACE), None)
    return kept, "it has white space around it" if odd is None else f"it has {_called(odd)}, beside it"


def _without_quotes(name: str) -> tuple[str, str]:
    both = name[:1] in QUOTES and name[-1:] in QUOTES
    return name.strip("".join(QUOTES)).strip(), "it stands in quotes" if both else "it has a quote beside it"


def _without_lookalikes(name: str) -> tuple[str, str]:
    meant = {char: latin for char in name if not char.isascii() and (latin := _latin(char)) is not None}
    words = next((f"it holds a character that only looks like {meant[char]}, {_code(char)}" for char in meant), "")
    return "".join(meant.get(char, char) for char in name), words


def _latin(char: str) -> str | None:
    """Return the Latin letter, digit or underscore that ``char`` looks like."""
    folded = unicodedata.normalize("NFKC", LOOKALIKES.get(char, char))
    return folded if folded.isascii() and (folded.isalnum() or folded == "_") else None


def _with_underscores(name: str) -> tuple[str, str]:
    kinds = {char: kind for char in name if (kind := _separator(char)) is not None}
    mended = "".join("_" if char in kinds else char for char in name)
    return mended, next((f"it has {kind} instead of underscores" for kind in kinds.values()), "")


def _separator(char: str) -> str | None:
    if char in HYPHENS:
        return "hyphens"
    if char == ".":
        return "dots"
    return "spaces" if unicodedata.category(char) == "Zs" else None


def _in_capitals(name: str) -> tuple[str, str]:
    return name.upper(), "it is in lower case" if name.islower() else "it is partly in lower case"


# What is hardest to see comes first.
_MENDERS: tuple[Callable[[str], tuple[str, str]], ...] = (
    _without_invisible,
    _without_white_space,
    _without_quotes,
    _without_lookalikes,
    _with_underscores,
    _in_capitals,
)


def odd_value(text: str, *, random: bool = False) -> str | None:
    """Return in words why a value is not what somebody meant to write, None if nothing is odd about it.

    Parameters
    ----------
    text : str
        The value without ASCII white space around it. Newlines and tabs in it are not odd.
    random : bool
        Whether any character may stand anywhere, as in a password: then a single quote at one end is nothing odd.

    """
    if not (text.isascii() and text.isprintable()):
        odd = next((char for char in text if _is_odd(char)), None)
        if odd is not None:
            return f"it holds {_called(odd)}"
    match _stray_quotes(text):
        case True, True:
            return "it still stands in quotes"
        case True, False if not random:
            return "it begins with a quote that is never closed"
        case False, True if not random:
            return "it ends with a quote that was never opened"
    return None


def cleaned(text: str) -> str:
    """Return a value without what :func:`odd_value` finds in it: what was probably meant."""
    text = "".join(" " if _is_space(char) else char for char in text if _is_space(char) or not _is_odd(char)).strip()
    while any(sides := _stray_quotes(text)):
        begin, end = sides
        text = text[begin : len(text) - end].strip()
    return text


def _stray_quotes(text: str) -> tuple[bool, bool]:
    """Return whether a quote that is not part of the value stands at the beginning, and at the end."""
    first, last = QUOTES.get(text[:1]), QUOTES.get(text[-1:])
    if first is not None and first == last and len(text) > 1:
        return True, True
    if first is not None and all(QUOTES.get(char) != first for char in text[1:]):
        return True, False
    return False, last is not None and all(QUOTES.get(char) != last for char in text[:-1])


def visible(text: str, most: int = 80) -> str:
    r"""Return ``text`` fit for one line of a terminal: what would act on it or not show is escaped, as ``\n`` or ``\u200b``.

    Parameters
    ----------
    text : str
        Anything, of any length.
    most : int
        How many characters to show at most; of a longer text the beginning, ``…`` and how long it is.

    """
    if len(text) <= most and text.isascii() and text.isprintable():
        return text
    shown, room = [], most
    for char in text[:most]:
        hidden = not char.isprintable() or char in BLANKS
        piece = char.encode("unicode_escape").decode() if hidden else char
        room -= len(piece)
        if room < 0:
            break
        shown.append(piece)
    whole = "".join(shown)
    return whole if len(shown) == len(text) else f"{whole}… ({len(text):,} characters)"


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs"} or char in BLANKS


def _is_space(char: str) -> bool:
    """Return whether ``char`` is a space or a line end that is not of ASCII."""
    return not char.isascii() and unicodedata.category(char) in {"Zs", "Zl", "Zp"}


def _is_odd(char: str) -> bool:
    return char not in "\n\r\t" and (_is_invisible(char) or _is_space(char))


def _called(char: str) -> str:
    """Return what to call a character that does not show."""
    if char == BYTE_ORDER_MARK:
        return f"a byte order mark, {_code(char)}"
    if ord(char) in UNDECODABLE:
        return f"a byte that is not UTF-8, 0x{ord(char) & 0xFF:02X}"
    if unicodedata.category(char) == "Zs":
        name = unicodedata.name(char).lower()
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}, {_code(char)}"
    return f"an invisible character, {_code(char)}"


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"

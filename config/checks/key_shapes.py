"""What keys and secrets of each exchange look like, after the exchanges' own documents, and what is wrong with others."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Oddity:
    """One thing that is odd about a key. Neither text repeats any part of the key.

    Parameters
    ----------
    broken : bool
        Whether the key can never work, as it stands and with Nautilus. Otherwise it only looks unlike the documented ones: an
        exchange may change the shape of its keys whenever it likes.
    reason : str
        What was found, to be read after the name of the variable: "it has a line break in it".
    fix : str
        What to do about it.

    """

    broken: bool
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A documented shape: that many letters and digits of ASCII.

    Parameters
    ----------
    name : str
        Whose keys these are, in the plural.
    length : int
        In characters.

    """

    name: str
    length: int


SHAPES: Mapping[tuple[str, str], Shape] = MappingProxyType(
    {
        # Binance Spot API Docs, "REST API", "SIGNED Endpoint Examples for POST /api/v3/order": `apiKey` and `secretKey` of 64
        # letters and digits. "WebSocket API", "Log in with API key (SIGNED)": the API key that goes with an Ed25519 key is no
        # different. USDⓈ-M Futures, "General Info", "SIGNED Endpoint Examples for POST /fapi/v1/order": 64 hexadecimal digits
        # each. "Demo Mode for SPOT Trading" and the "F.A.Q." of the Spot Test Network name other pages to get keys from, but no
        # other shape.
        ("binance", "api_key"): Shape("Binance's API keys", 64),
        # The same; and Binance Spot API Docs, "API Key Types": "Sample HMAC key".
        ("binance", "api_secret"): Shape("Binance's HMAC secrets", 64),
        # Bybit API Documentation V5, "Get API Key Information", "Response Example": an `apiKey` of 18 letters and digits.
        ("bybit", "api_key"): Shape("Bybit's API keys", 18),
        # Bybit's repository api-usage-examples, V5_demo/api_demo/Encryption_HMAC.cs: an `ApiKey` of 18 with an `ApiSecret` of 36.
        ("bybit", "api_secret"): Shape("Bybit's HMAC secrets", 36),
    }
)
VENUE_NAMES: Mapping[str, str] = MappingProxyType({"binance": "Binance", "bybit": "Bybit"})

# RFC 8410 section 7: what stands before the 32 bytes of the private key in a PKCS#8 file as `openssl genpkey -algorithm ed25519`
# writes it (Spot Test Network, "F.A.Q.", "How can I use Ed25519 API keys?"). Nautilus takes the last 32 bytes for the private key
# (adapters/binance/common/credentials.py), so nothing may follow them.
_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
_ED25519_LENGTH = 48
# As much of it as is whole characters in base64: how a key without its BEGIN and END lines begins, which Nautilus takes as well.
_ED25519_BASE64 = base64.b64encode(_ED25519[:15]).decode()
_SEED_LENGTH = 32
# RFC 8410 section 4: what stands before the 32 bytes of a public key.
_ED25519_PUBLIC = bytes.fromhex("302a300506032b6570032100")
# RFC 8410 section 3, RFC 8017 appendix A.1, RFC 5480 section 2.1.1: the algorithms, as DER spells them.
_OID_ED25519 = bytes.fromhex("06032b6570")
_OID_RSA = bytes.fromhex("06092a864886f70d010101")
_OID_EC = bytes.fromhex("06072a8648ce3d0201")

_NEW_ED25519 = (
    "make a system-generated (HMAC) pair at Binance; or an Ed25519 one: `openssl genpkey -algorithm ed25519 -out key.pem`, give "
    "Binance what `openssl pkey -in key.pem -pubout` prints, and name key.pem in the variable of the secret that ends in _FILE"
)
_ALONE = "leave the key or secret itself there and nothing else"
_AS_A_FILE = (
    "put the private key into a file as it is, and name the file in the variable of the same name that ends in _FILE"
)
_PLAIN = "copy it again as plain text"


def _broken(reason: str, fix: str) -> Oddity:
    return Oddity(broken=True, reason=reason, fix=fix)


_RSA = _broken("it is an RSA key, and Nautilus signs for Binance with HMAC or Ed25519 keys only", _NEW_ED25519)
_EC = _broken("it is an EC (ECDSA) key, which Binance does not take", _NEW_ED25519)
_PUBLIC = _broken(
    "it is the public half of a key, which cannot sign",
    "put the private key there: the file that begins with BEGIN PRIVATE KEY",
)
_CUT_OFF = _broken(
    "it is a private key of which a part is missing or changed",
    "copy the whole file again, from the BEGIN line to the END line",
)
_OTHER_KEY = _broken(
    "it is no Ed25519 private key, the only kind of key file that Nautilus takes for Binance", _NEW_ED25519
)
_NO_LINES = _broken("it is a private key whose line breaks were lost", _AS_A_FILE)

# What was pasted around a key or instead of it, the first that is found.
_PASTED: tuple[tuple[re.Pattern[str], Oddity], ...] = (
    (
        re.compile(r"-----BEGIN OPENSSH|\A\s*ssh-\w+ |\A\s*PuTTY-User-Key-File"),
        _broken("it is a key of an SSH program, which Nautilus cannot read", _NEW_ED25519),
    ),
    (re.compile(r"\A\s*(?:\{\s*\"|\[\s*[\"{])"), _broken("it is a whole JSON text", _ALONE)),
    (re.compile(r"\A\s*[A-Za-z][A-Za-z0-9+.-]*://"), _broken("it is an address (URL)", _ALONE)),
    (
        re.compile(
            r"\A(?:(?:~|\.{1,2})[/\\]|[A-Za-z]:[/\\]|/(?:run|etc|home|root|var|opt|mnt|tmp|app|Users)/)"
            r"|\A[^\n:=]*\.(?:pem|key|der|p8|txt)\Z"
        ),
        _broken(
            "it is the path of a file, not what is in the file",
            "name the file in the variable of the same name that ends in _FILE",
        ),
    ),
    (
        re.compile(r"\A\s*(?:export\s|(?:(?:set|setx|declare|ENV)\s+|\$env:)?[A-Za-z_][\w-]*\s*[:=]\s*[^\s=])"),
        _broken(
            "it begins with a name and an equals sign or a colon: a whole line was pasted, not the value alone", _ALONE
        ),
    ),
    (
        re.compile("[\"'`\u2018-\u201f\u00ab\u00bb]"),
        _broken("it has quotation marks in it, which count as part of it", "take the quotation marks away"),
    ),
)
# Characters that no key has, the first that is found.
_CHARACTERS: tuple[tuple[re.Pattern[str], Oddity], ...] = (
    (
        re.compile("[\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]"),
        _broken(
            "it has a character in it that cannot be seen, such as a zero-width space or a byte order mark", _PLAIN
        ),
    ),
    (re.compile(r"[^\x00-\x7f]"), _broken("it has a character in it that is not ASCII", _PLAIN)),
    (re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), _broken("it has a control character in it", _PLAIN)),
)
# Nor these, but between the lines of a key file.
_BLANKS: tuple[tuple[re.Pattern[str], Oddity], ...] = (
    (re.compile(r"[\r\n]"), _broken("it has a line break in it", "write it on one line")),
    (re.compile(r"[ \t]"), _broken("it has a space in it", "take the space away, and whatever else is no part of it")),
)
# What is wrong with a key file as a whole, the first that is found.
_KEY_FILES: tuple[tuple[re.Pattern[str], Oddity], ...] = (
    (
        re.compile(r"(?s)(?:RSA|EC|DSA) PRIVATE KEY.*ENCRYPTED"),
        _broken("it is an encrypted key, and of a kind that Nautilus does not take for Binance", _NEW_ED25519),
    ),
    (
        re.compile("ENCRYPTED"),
        _broken(
            "it is a private key that is encrypted with a passphrase, which Nautilus cannot open",
            "decrypt it with `openssl pkey -in encrypted.pem -out key.pem` and use the new file",
        ),
    ),
    (
        re.compile(r"\\[rn]"),
        _broken(r"it is a private key whose line breaks are written as the two characters \n", _AS_A_FILE),
    ),
    (re.compile("RSA PRIVATE KEY"), _RSA),
    (re.compile("EC PRIVATE KEY|EC PARAMETERS"), _EC),
    (
        re.compile(r"(?s)-----BEGIN .*-----BEGIN "),
        _broken(
            "it holds more than one key or certificate",
            "leave the private key there alone, from its BEGIN line to its END line",
        ),
    ),
    (re.compile("PUBLIC KEY"), _PUBLIC),
    (
        re.compile(r"(?s)\A(?!.*-----BEGIN [A-Z0-9 ]*-----)"),
        _broken("it is a private key without its BEGIN line", _CUT_OFF.fix),
    ),
    (
        re.compile(r"(?s)\A(?!.*-----END [A-Z0-9 ]*-----)"),
        _broken("it is a private key without its END line", _CUT_OFF.fix),
    ),
    (re.compile(r"[^-\s]-----(?:BEGIN|END) |-----(?:BEGIN|END) [A-Z0-9 ]*-----[ \t]*[^-\s]"), _NO_LINES),
)
_KEY_FILE = re.compile(r"-----(?:BEGIN|END)|(?:BEGIN|END) [A-Z0-9 ]*(?:PRIVATE|PUBLIC) KEY")


def oddities(venue: str, part: str, text: str) -> Iterator[Oddity]:
    """Yield what is odd about one key or secret: nothing, one thing that is broken, or one thing that is only unusual.

    Whether a text still waits to be replaced by a key is the question of :func:`config.checks.placeholders.is_placeholder`.

    Parameters
    ----------
    venue : {'binance', 'bybit'}
        Whose key it is said to be.
    part : {'api_key', 'api_secret'}
        Which half of the pair.
    text : str
        The key or secret, whole.

    """
    shape = SHAPES[venue, part]
    if len(text) == shape.length and text.isascii() and text.isalnum() and not _is_misplaced(part, text):
        return
    if (found := _oddity(venue, part, text)) is not None:
        yield found


def _is_misplaced(part: str, text: str) -> bool:
    """Return whether ``text`` is a private key in the place of an API key: without its borders it has 64 characters as well."""
    return part == "api_key" and text.startswith(_ED25519_BASE64)


def _oddity(venue: str, part: str, text: str) -> Oddity | None:
    if (pasted := _first(_PASTED, text)) is not None:
        return pasted
    is_file = _KEY_FILE.search(text) is not None
    if not is_file and not text.startswith(_ED25519_BASE64) and not _has_algorithm(_decoded(text)):
        return _first(_CHARACTERS, text) or _first(_BLANKS, text) or _unusual(venue, part, text)
    name, shape = VENUE_NAMES[venue], SHAPES[venue, part]
    if part == "api_key":
        reason = "it is a key file or what is in one, not an API key"
        return _broken(reason, f"put the API key there that {name} shows, {shape.length} letters and digits")
    if venue == "bybit":
        reason = "it is a key file of a self-generated pair, and Nautilus signs for Bybit with HMAC secrets only"
        return _broken(reason, "make a system-generated pair at Bybit, and use its API key and its secret")
    return _first(_CHARACTERS, text) or (_first(_KEY_FILES, text) if is_file else None) or _key_oddity(text)


def _first(rules: tuple[tuple[re.Pattern[str], Oddity], ...], text: str) -> Oddity | None:
    return next((oddity for pattern, oddity in rules if pattern.search(text)), None)


def _key_lines(text: str) -> str:
    """Return what Nautilus decodes: every line that does not begin with five dashes, without the line breaks."""
    return "".join(line for line in text.splitlines() if not line.startswith("-----"))


def _decoded(text: str) -> bytes:
    """Return the bytes of a key in base64, none if it is not base64."""
    try:
        return base64.b64decode(_key_lines(text), validate=True)
    except ValueError:
        return b""


def _has_algorithm(der: bytes) -> bool:
    return any(oid in der for oid in (_OID_ED25519, _OID_RSA, _OID_EC))


def _key_oddity(text: str) -> Oddity | None:
    """Return what keeps Nautilus from signing with the key in ``text``, borders or not."""
    if re.search(r"\s", _key_lines(text)):
        return _broken("it is a private key with spaces, or with other lines before or after it", _AS_A_FILE)
    der = _decoded(text)
    if _OID_RSA in der:
        return _RSA
    if _OID_EC in der:
        return _EC
    if der.startswith(_ED25519_PUBLIC):
        return _PUBLIC
    if der.startswith(_ED25519) and len(der) == _ED25519_LENGTH:
        return None
    if len(der) < _ED25519_LENGTH and der.startswith(_ED25519[: len(der)]):
        return _CUT_OFF
    if _OID_ED25519 in der:
        reason = f"it is an Ed25519 key of {len(der)} bytes, and Nautilus takes only those of {_ED25519_LENGTH}"
        return _broken(f"{reason}, which hold nothing but the private key", _NEW_ED25519)
    return _OTHER_KEY


def _unusual(venue: str, part: str, text: str) -> Oddity:
    """Return how a plain text differs from the documented shape."""
    shape, name, length = SHAPES[venue, part], VENUE_NAMES[venue], len(text)
    if (venue, part) == ("binance", "api_secret") and text.endswith("=") and len(_decoded(text)) == _SEED_LENGTH:
        reason = "it looks like the bare bytes of an Ed25519 key, which Nautilus would take for an HMAC secret"
        return Oddity(broken=False, reason=reason, fix="put the whole private key there, as the file key.pem has it")
    plain = text.isascii() and text.isalnum()
    if length == shape.length:
        reason = f"it has characters other than letters and digits, {shape.name} have none"
    else:
        found = f"it has {length} character{'' if length == 1 else 's'}{'' if plain else ', not all of them letters or digits'}"
        reason = f"{found}, {shape.name} have {shape.length}: {_length_hint(part, shape, text)}"
    once = " or, as it is shown only once, make a new pair" if part == "api_secret" else ""
    return Oddity(
        broken=False, reason=reason, fix=f"copy it again from {name}{once}; if that is how {name} shows it, leave it"
    )


def _length_hint(part: str, shape: Shape, text: str) -> str:
    length = len(text)
    like = [(other_part != part, other.name) for (_, other_part), other in SHAPES.items() if other.length == length]
    if like:
        return f"that is the length of {min(like)[1]}"
    if length < shape.length:
        return "it may have been cut off when it was copied"
    if length == 2 * shape.length and text[: shape.length] == text[shape.length :]:
        return "it was pasted twice"
    return "something may have been copied along with it"

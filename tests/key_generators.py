"""Random keys in the shapes that the exchanges document, written down apart from the rules that they are to test."""

from __future__ import annotations

import base64
from random import Random

ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# Every byte to a character: far quicker than choosing them one by one, and near enough to even.
_BYTE_TO_CHARACTER = bytes(ALPHANUMERIC[byte % len(ALPHANUMERIC)] for byte in range(256))


def alphanumeric(random: Random, length: int) -> str:
    return random.randbytes(length).translate(_BYTE_TO_CHARACTER).decode()


def binance_hmac_pair(random: Random) -> tuple[str, str]:
    # Binance Spot API Docs, "REST API", "SIGNED Endpoint Examples for POST /api/v3/order": `apiKey` begins vmPUZE6mv9SD5VNH and
    # `secretKey` begins NhqPtmdSJYdKjVHj, 64 characters each. The Spot testnet and the demo document no other.
    return alphanumeric(random, 64), alphanumeric(random, 64)


def binance_hexadecimal_pair(random: Random) -> tuple[str, str]:
    # Binance USDⓈ-M Futures, "General Info", "SIGNED Endpoint Examples for POST /fapi/v1/order": `apiKey` begins dbefbc809e3e83c2
    # and `secretKey` begins 2b5eb11e18796d12, 64 hexadecimal digits each.
    return random.randbytes(32).hex(), random.randbytes(32).hex()


def binance_ed25519_pair(random: Random) -> tuple[str, str]:
    # Binance Spot API Docs, "WebSocket API", "Log in with API key (SIGNED)": an API key of 64 characters. Spot Test Network,
    # "F.A.Q.", "How can I use Ed25519 API keys?": the file that `openssl genpkey -algorithm ed25519` writes: PKCS#8, RFC 8410.
    return alphanumeric(random, 64), ed25519_pem(random.randbytes(32))


def bybit_hmac_pair(random: Random) -> tuple[str, str]:
    # Bybit API Documentation V5, "Get API Key Information", "Response Example": `apiKey` begins opjSlSOzqI, 18 characters.
    # Bybit's repository api-usage-examples, V5_demo/api_demo/Encryption_HMAC.cs: such an `ApiKey` with an `ApiSecret` of 36
    # characters.
    return alphanumeric(random, 18), alphanumeric(random, 36)


def der(tag: int, *contents: bytes) -> bytes:
    """Return one element of DER, of at most 65535 bytes."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        length = bytes([size])
    elif size < 0x100:
        length = bytes([0x81, size])
    else:
        length = bytes([0x82]) + size.to_bytes(2)
    return bytes([tag]) + length + content


SEQUENCE, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x30, 0x02, 0x03, 0x04, 0x05, 0x06
ED25519 = der(SEQUENCE, der(OID, bytes([0x2B, 0x65, 0x70])))


def pkcs8(algorithm: bytes, key: bytes) -> bytes:
    return der(SEQUENCE, der(INTEGER, b"\0"), algorithm, der(OCTET_STRING, key))


def pem(label: str, content: bytes) -> str:
    text = base64.b64encode(content).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def ed25519_pem(seed: bytes) -> str:
    return pem("PRIVATE KEY", pkcs8(ED25519, der(OCTET_STRING, seed)))

"""Names and values that are nearly right: the nearest name, how it is miswritten, what is odd, what is shown of it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import unicodedata

import pytest

from config.settings.spelling import as_bool, cleaned, nearest, odd_value, recognised, visible
from config.settings.variables import known_names

NAMES = frozenset({"REDIS_HOST", "REDIS_PORT", "BINANCE_API_KEY", "BYBIT_API_KEY", "NAUTILUS_TRADER_ID"})


def plain_distance(left: str, right: str) -> int:
    """Optimal string alignment as the textbooks write it: the whole table, no short cuts."""
    table = [[i + j if 0 in (i, j) else 0 for j in range(len(right) + 1)] for i in range(len(left) + 1)]
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (left[i - 1] != right[j - 1])
            )
            if i > 1 and j > 1 and left[i - 1] == right[j - 2] and left[i - 2] == right[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


def plain_nearest(name: str, names: frozenset[str], most: int) -> str | None:
    """The definition; a difference in length alone takes as many slips, so names too long or short need no table."""
    near = [candidate for candidate in names if abs(len(candidate) - len(name)) <= most]
    distance, best = min(((plain_distance(name, candidate), candidate) for candidate in near), default=(most + 1, ""))
    return best if distance <= most else None


def with_slip(name: str, chance: random.Random) -> str:
    letter, at = chance.choice("ABEIKRSTUX_0a-é"), chance.randrange(len(name) + 1)
    match chance.choice(("insert", "delete", "substitute", "transpose")):
        case "insert":
            return name[:at] + letter + name[at:]
        case "delete":
            return name[:at] + name[at + 1 :]
        case "substitute":
            return name[:at] + letter + name[at + 1 :]
        case _:
            return name[:at] + name[at + 1 : at + 2] + name[at : at + 1] + name[at + 2 :]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("REDIS_PORT", "REDIS_PORT"),
        ("REDIS_PORTS", "REDIS_PORT"),
        ("REDIS_PRT", "REDIS_PORT"),
        ("REDIS_PART", "REDIS_PORT"),
        ("REDIS_PROT", "REDIS_PORT"),
        ("ERDIS_PROT", "REDIS_PORT"),
        ("NAUTLUS_TRADERID", "NAUTILUS_TRADER_ID"),
        ("BINANCE_API_KEY ", "BINANCE_API_KEY"),
        ("BINANCE_APIKEYS_", None),
        ("REDIS_USER", None),
        ("PATH", None),
        ("", None),
    ],
)
def test_nearest_finds_a_name_with_up_to_two_slips(name: str, expected: str | None) -> None:
    assert expected == nearest(name, NAMES)


def test_of_names_equally_near_the_first_in_the_alphabet_is_taken() -> None:
    assert "REDIS_HOST" == nearest("REDIS_POST", frozenset({"REDIS_PORT", "REDIS_HOST"}))
    assert "AAX" == nearest("AA", frozenset({"AAY", "AAX", "BAA"}))


def test_fewer_slips_win_over_the_alphabet() -> None:
    assert "ABCD" == nearest("ABCDE", frozenset({"ABC", "ABCD"}))


@pytest.mark.parametrize("most, expected", [(0, None), (1, None), (2, None), (3, "REDIS_PORT")])
def test_no_more_slips_than_asked_for_are_allowed(most: int, expected: str | None) -> None:
    assert expected == nearest("REDIS_PXYZ", NAMES, most)


def test_two_neighbours_swapped_and_then_parted_count_as_optimal_string_alignment_has_it() -> None:
    assert 3 == plain_distance("CA", "ABC")
    assert nearest("CA", frozenset({"ABC"})) is None
    assert "ABC" == nearest("CA", frozenset({"ABC"}), 3)


def test_nearest_takes_any_collection() -> None:
    assert "REDIS_PORT" == nearest("REDIS_PROT", ["REDIS_PORT", "REDIS_HOST"])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_nearest_agrees_with_the_plain_distance_on_random_slips(most: int) -> None:
    chance = random.Random(most)
    names = known_names()
    ordered = sorted(names)
    found = 0
    for _ in range(80):
        name = chance.choice(ordered)
        for _ in range(chance.randint(1, most + 1)):
            name = with_slip(name, chance)
        expected = plain_nearest(name, names, most)
        found += expected is not None
        assert expected == nearest(name, names, most), name
    assert 40 < found < 80


def test_nearest_agrees_with_the_plain_distance_on_short_texts_of_few_letters() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        name = "".join(chance.choices("AB", k=chance.randrange(7)))
        names = frozenset("".join(chance.choices("ABC", k=chance.randrange(1, 7))) for _ in range(3))
        expected = plain_nearest(name, names, 2)
        assert expected == nearest(name, names), (name, names)


def test_a_hundred_new_names_are_compared_within_milliseconds() -> None:
    names = frozenset([*known_names(), "REDIS_NEVER_SEEN_BEFORE"])
    environment = [
        f"{prefix}_{number}" for prefix in ("PATH", "HTTP_PROXY", "POD_NAMESPACE", "AWS") for number in range(25)
    ]
    start = time.perf_counter()
    found = {nearest(name, names) for name in environment}
    taken = time.perf_counter() - start
    assert {None} == found
    # About 0.7 ms where nothing else runs; comparing each with each costs 300 ms.
    assert 0.05 > taken


@pytest.mark.parametrize(
    "name, known, how",
    [
        ("redis_port", "REDIS_PORT", "it is in lower case"),
        ("Redis_Port", "REDIS_PORT", "it is partly in lower case"),
        ("REDIS_PORt", "REDIS_PORT", "it is partly in lower case"),
        (" REDIS_PORT", "REDIS_PORT", "it has white space around it"),
        ("REDIS_PORT\t\r\n", "REDIS_PORT", "it has white space around it"),
        ("REDIS_PORT\u00a0", "REDIS_PORT", "it has a no-break space, U+00A0, beside it"),
        ("\u3000REDIS_PORT ", "REDIS_PORT", "it has an ideographic space, U+3000, beside it"),
        ("\ufeffREDIS_PORT", "REDIS_PORT", "it begins with a byte order mark, U+FEFF"),
        ("REDIS_\ufeffPORT", "REDIS_PORT", "it holds a byte order mark, U+FEFF"),
        ("REDIS\u200b_PORT", "REDIS_PORT", "it holds an invisible character, U+200B"),
        ("\u202eREDIS_PORT", "REDIS_PORT", "it holds an invisible character, U+202E"),
        ("REDIS_PORT\x07", "REDIS_PORT", "it holds an invisible character, U+0007"),
        ("REDIS_\u3164PORT", "REDIS_PORT", "it holds an invisible character, U+3164"),
        ("\udca0REDIS_PORT", "REDIS_PORT", "it holds a byte that is not UTF-8, 0xA0"),
        ('"REDIS_PORT"', "REDIS_PORT", "it stands in quotes"),
        ("'REDIS_PORT'", "REDIS_PORT", "it stands in quotes"),
        ("\u201cREDIS_PORT\u201d", "REDIS_PORT", "it stands in quotes"),
        ("`REDIS_PORT`", "REDIS_PORT", "it stands in quotes"),
        ("'REDIS_PORT", "REDIS_PORT", "it has a quote beside it"),
        ("REDIS-PORT", "REDIS_PORT", "it has hyphens instead of underscores"),
        ("REDIS\u2013PORT", "REDIS_PORT", "it has hyphens instead of underscores"),
        ("REDIS.PORT", "REDIS_PORT", "it has dots instead of underscores"),
        ("REDIS PORT", "REDIS_PORT", "it has spaces instead of underscores"),
        ("REDIS\u00a0PORT", "REDIS_PORT", "it has spaces instead of underscores"),
        ("\uff32EDIS_PORT", "REDIS_PORT", "it holds a character that only looks like R, U+FF32"),
        ("REDIS\uff3fPORT", "REDIS_PORT", "it holds a character that only looks like _, U+FF3F"),
        ("REDIS_P\u041eRT", "REDIS_PORT", "it holds a character that only looks like O, U+041E"),
        ("redis_p\u043ert", "REDIS_PORT", "it holds a character that only looks like o, U+043E"),
        ("REDIS_P\u039fRT", "REDIS_PORT", "it holds a character that only looks like O, U+039F"),
        ("\U0001d411EDIS_PORT", "REDIS_PORT", "it holds a character that only looks like R, U+1D411"),
        ("redis-port", "REDIS_PORT", "it has hyphens instead of underscores"),
        (" 'redis.port' ", "REDIS_PORT", "it has white space around it"),
        ("'redis port\u200b'", "REDIS_PORT", "it holds an invisible character, U+200B"),
        ("nautilus.trader-id", "NAUTILUS_TRADER_ID", "it has dots instead of underscores"),
        ("byb\u0131t_ap\u0131_key", "BYBIT_API_KEY", "it is in lower case"),
    ],
)
def test_a_known_name_is_recognised_and_told_how_it_is_miswritten(name: str, known: str, how: str) -> None:
    assert (known, how) == recognised(name, NAMES)


@pytest.mark.parametrize(
    "name",
    [
        "REDIS_PORT",
        "REDIS_PORTS",
        "redis_ports",
        "REDISPORT",
        "REDIS--PORT",
        "REDIS\nPORT",
        "PATH",
        "path",
        "_",
        "",
        " ",
        "\u200b",
        "''",
        "BASH_FUNC_x%%",
        "REDIS_PÖRT",
    ],
)
def test_what_is_a_known_name_or_none_at_all_is_not_recognised(name: str) -> None:
    assert recognised(name, NAMES) is None


@pytest.mark.parametrize("name", sorted(known_names()))
def test_every_name_of_ours_is_recognised_in_lower_case_and_not_as_it_is(name: str) -> None:
    assert (name, "it is in lower case") == recognised(name.lower(), known_names())
    assert recognised(name, known_names()) is None


@pytest.mark.parametrize(
    "text, expected",
    [
        ('"6379"', "it still stands in quotes"),
        ("'6379'", "it still stands in quotes"),
        ("`6379`", "it still stands in quotes"),
        ("\u201c6379\u201d", "it still stands in quotes"),
        ("\u201e6379\u201c", "it still stands in quotes"),
        ("\u2018x\u2019", "it still stands in quotes"),
        ("«x»", "it still stands in quotes"),
        ('"6379\u201d', "it still stands in quotes"),
        ('""', "it still stands in quotes"),
        ('"6379', "it begins with a quote that is never closed"),
        ("\u201c6379", "it begins with a quote that is never closed"),
        ('"', "it begins with a quote that is never closed"),
        ("\"6379'", "it begins with a quote that is never closed"),
        ("6379'", "it ends with a quote that was never opened"),
        ("6379\u2019", "it ends with a quote that was never opened"),
        ("63\u200b79", "it holds an invisible character, U+200B"),
        ("6379\u2060", "it holds an invisible character, U+2060"),
        ("6379\u00ad", "it holds an invisible character, U+00AD"),
        ("6379\u202e", "it holds an invisible character, U+202E"),
        ("63\x0079", "it holds an invisible character, U+0000"),
        ("\x1b[31m", "it holds an invisible character, U+001B"),
        ("63\x7f79", "it holds an invisible character, U+007F"),
        ("63\x8579", "it holds an invisible character, U+0085"),
        ("a\u2028b", "it holds an invisible character, U+2028"),
        ("a\U000e0041b", "it holds an invisible character, U+E0041"),
        ("a\u3164b", "it holds an invisible character, U+3164"),
        ("\ufeff6379", "it holds a byte order mark, U+FEFF"),
        ("63\u00a079", "it holds a no-break space, U+00A0"),
        ("a\u202fb", "it holds a narrow no-break space, U+202F"),
        ("a\u2003b", "it holds an em space, U+2003"),
        ("caf\udce9", "it holds a byte that is not UTF-8, 0xE9"),
        ("'a\u200b'", "it holds an invisible character, U+200B"),
    ],
)
def test_an_odd_value_is_told_in_words(text: str, expected: str) -> None:
    assert expected == odd_value(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6379",
        "redis.internal",
        "a b",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQ\tx\r\n-----END PRIVATE KEY-----",
        "pässwörd",
        "日本",
        "\U0001f511",
        "it's",
        "a 'b' c",
        "say 'yes'",
        "'a' or b",
        "BTCUSDT=5,ETHUSDT=3",
        "\ue000",
    ],
)
def test_an_ordinary_value_is_not_odd(text: str) -> None:
    assert odd_value(text) is None


def test_every_format_and_control_character_but_line_ends_and_tab_is_odd() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        hidden = category in {"Cc", "Cf", "Cs", "Zl", "Zp"} or (category == "Zs" and char != " ")
        if hidden and char not in "\n\r\t":
            assert odd_value(f"a{char}b") is not None, hex(code)


@pytest.mark.parametrize(
    "text, expected",
    [
        ('"6379"', "6379"),
        ("' 6379 '", "6379"),
        ("\"'6379'\"", "6379"),
        ('"6379', "6379"),
        ("6379'", "6379"),
        ("\"6379'", "6379"),
        ('"', ""),
        ('""', ""),
        ("63\u200b79\ufeff", "6379"),
        ("\u00a06379", "6379"),
        ("a\u00a0b", "a b"),
        ("caf\udce9", "caf"),
        ("'a\u200b'", "a"),
        ("a\nb\tc", "a\nb\tc"),
        ("say 'yes'", "say 'yes'"),
    ],
)
def test_cleaning_leaves_what_was_meant(text: str, expected: str) -> None:
    assert expected == cleaned(text)


def test_what_is_cleaned_is_never_odd_and_stays_as_it_is() -> None:
    chance = random.Random(11)
    letters = "ab \"'`\u201c\u201d\u2018\u2019\u00a0\u200b\ufeff\udce9\x1b\n\u2028\u3164"
    odd = 0
    for _ in range(5_000):
        text = "".join(chance.choices(letters, k=chance.randrange(9)))
        odd += odd_value(text.strip(" \t\n\r\v\f")) is not None
        once = cleaned(text)
        assert odd_value(once) is None, ascii(text)
        assert once == cleaned(once)
    assert 1_000 < odd


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ""),
        ("redis.internal", "redis.internal"),
        ("pässwörd 日本", "pässwörd 日本"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00\x7f\x85\xa0", "a\\x00\\x7f\\x85\\xa0"),
        ("a\u200b\u202e\u2066\u2028", "a\\u200b\\u202e\\u2066\\u2028"),
        ("\ufeffa", "\\ufeffa"),
        ("a\u3164", "a\\u3164"),
        ("caf\udce9", "caf\\udce9"),
        ("\U000e0001", "\\U000e0001"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_what_does_not_show_or_acts_on_a_terminal_is_escaped(text: str, expected: str) -> None:
    assert expected == visible(text)


@pytest.mark.parametrize(
    "text, most, expected",
    [
        ("a" * 80, 80, "a" * 80),
        ("a" * 81, 80, "a" * 80 + "… (81 characters)"),
        ("a" * 1_000_000, 4, "aaaa… (1,000,000 characters)"),
        ("ab\ncd", 4, "ab\\n… (5 characters)"),
        ("ab\ncd", 3, "ab… (5 characters)"),
        ("ab\u200b", 7, "ab… (3 characters)"),
        ("ab\u200b", 8, "ab\\u200b"),
        ("é" * 5, 5, "é" * 5),
        ("é" * 6, 5, "é" * 5 + "… (6 characters)"),
    ],
)
def test_a_long_text_is_cut_between_characters_and_its_length_told(text: str, most: int, expected: str) -> None:
    assert expected == visible(text, most)


def test_a_huge_text_costs_no_more_than_what_is_shown_of_it() -> None:
    huge = "\u200b" * 20_000_000
    start = time.perf_counter()
    shown = visible(huge)
    taken = time.perf_counter() - start
    assert shown.endswith("… (20,000,000 characters)")
    # Looking at each character once would take a second.
    assert 0.05 > taken


def test_nothing_of_unicode_gets_through_that_acts_on_a_terminal() -> None:
    chance = random.Random(3)
    harmful = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    escaped = 0
    for _ in range(5_000):
        codes = (
            chance.choice((chance.randrange(0x110000), chance.randrange(0x3000), chance.randrange(0xD800, 0xE000)))
            for _ in range(chance.randrange(1, 30))
        )
        text = "".join(map(chr, codes))
        shown = visible(text, 60)
        escaped += "\\" in shown
        assert not [char for char in shown if unicodedata.category(char) in harmful], ascii(text)
        assert not [char for char in shown if unicodedata.category(char) == "Zs" and char != " "], ascii(text)
        assert 60 + len("… (29 characters)") >= len(shown)
        shown.encode()
    assert 4_000 < escaped


@pytest.mark.parametrize("text", ["1", "true", "True", "TRUE", "t", "yes", "YES", "y", "Y", "on", "On", " on "])
def test_every_spelling_of_yes_is_read(text: str) -> None:
    assert as_bool(text) is True


@pytest.mark.parametrize("text", ["0", "false", "False", "FALSE", "f", "F", "no", "n", "N", "off", "Off", "OFF"])
def test_every_spelling_of_no_is_read(text: str) -> None:
    assert as_bool(text) is False


@pytest.mark.parametrize("text", ["", "2", "tru", "maybe", "enabled", "none", "'true'"])
def test_what_is_neither_yes_nor_no_is_neither(text: str) -> None:
    assert as_bool(text) is None


@pytest.mark.parametrize("module", ["config.settings.spelling", "config.settings.foreign"])
def test_importing_loads_neither_pydantic_nor_nautilus(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'pydantic', 'nautilus_trader', 'dotenv'}} & set(sys.modules)), 'loaded')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded" == done.stdout.strip()


@pytest.mark.parametrize("text", ['"p4ss', "p4ss'", "`", "p'4'ss"])
def test_a_single_quote_at_one_end_of_a_password_is_nothing_odd(text: str) -> None:
    assert odd_value(text, random=True) is None


def test_a_password_in_quotes_is_odd() -> None:
    assert "it still stands in quotes" == odd_value('"p4ss"', random=True)

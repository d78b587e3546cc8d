"""Problems and exit codes: one shape, one order, and the gravest code."""

from __future__ import annotations

import json
import pickle

import pytest

from config.problems import (
    GRAVITY,
    ConfigError,
    ExitCode,
    Origin,
    Problem,
    as_json,
    exit_code_of,
    in_order,
    raise_errors,
)

ORIGIN = Origin(".env", "BINANCE_ACCOUNT_TYPE", 12, 8)
PROBLEM = Problem(
    "TN401",
    "BINANCE_ACCOUNT_TYPE",
    "BINANCE_ACCOUNT_TYPE is 'USDT_FUTURE', expected one of SPOT, USDT_FUTURES, COIN_FUTURES",
    "did you mean USDT_FUTURES?",
    ("SPOT", "USDT_FUTURES", "COIN_FUTURES"),
    ORIGIN,
    Origin("preset testnet", "binance.account_type"),
)
WARNING = Problem("TN301", "NAUTILUS_RECONCILIATION_LOOKBACK_MINS", "older orders are orphaned", "remove it")
NOTE = Problem("TN001", "BINANCE_BASE_URL_HTTP", "127.0.0.1:8900 is not the exchange's own host", "")


def of_code(code: int) -> Problem:
    return Problem(f"TN{code}01", "KEY", "message", "fix")


def test_a_problem_is_told_in_the_shape_that_the_design_fixes() -> None:
    expected = (
        "error: BINANCE_ACCOUNT_TYPE is 'USDT_FUTURE', expected one of SPOT, USDT_FUTURES, COIN_FUTURES\n"
        "   at: .env line 12 (overrides preset testnet)\n"
        "  fix: did you mean USDT_FUTURES?"
    )
    assert expected == str(PROBLEM)


def test_a_problem_without_an_origin_has_no_line_for_it() -> None:
    assert "warning: older orders are orphaned\n  fix: remove it" == str(WARNING)


def test_a_note_asks_for_nothing() -> None:
    assert "note: 127.0.0.1:8900 is not the exchange's own host" == str(NOTE)


def test_an_origin_without_a_line_names_its_source_alone() -> None:
    origin = Origin("process environment", "REDIS_PORT")
    assert ("process environment", None) == (str(origin), origin.file)
    assert (".env line 12", ".env") == (str(ORIGIN), ORIGIN.file)


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 6, 7, 8, 9])
def test_the_first_digit_of_the_code_is_the_exit_code_and_the_severity(code: int) -> None:
    severity = {0: "note", 3: "warning"}.get(code, "error")
    assert (code, severity) == (of_code(code).exit_code, of_code(code).severity)
    assert (severity == "warning", severity == "error") == (of_code(code).is_warning, of_code(code).is_error)
    assert str(of_code(code)).startswith(f"{severity}: message")


@pytest.mark.parametrize(
    "codes, gravest",
    [
        ((), 0),
        ((0,), 0),
        ((3,), 3),
        ((0, 3), 3),
        ((1, 0), 1),
        ((4, 3), 4),
        ((4, 5), 5),
        ((5, 4, 8), 8),
        ((8, 5, 4), 8),
        ((3, 2), 2),
        ((6, 2), 2),
        ((6, 4), 4),
        ((7, 6), 6),
        ((9, 7), 7),
    ],
)
def test_the_gravest_problem_decides_the_exit_code(codes: tuple[int, ...], gravest: int) -> None:
    problems = [of_code(code) for code in codes]
    assert gravest == exit_code_of(problems)
    assert gravest == exit_code_of(problems[::-1])


def test_every_failure_has_its_place_in_the_order_of_gravity() -> None:
    assert sorted(set(ExitCode) - {ExitCode.CHANGES}) == sorted(GRAVITY)


def test_the_documented_exit_codes() -> None:
    assert {
        "OK": 0,
        "INTERNAL": 1,
        "USAGE": 2,
        "WARNINGS": 3,
        "SETTINGS": 4,
        "CREDENTIALS": 5,
        "DEPENDENCY": 6,
        "NOT_READY": 7,
        "REFUSED": 8,
        "NODE_FAILED": 9,
        "CHANGES": 10,
    } == {code.name: int(code) for code in ExitCode}


def test_a_config_error_holds_and_tells_all_its_problems() -> None:
    error = ConfigError([PROBLEM, WARNING])
    assert (PROBLEM, WARNING) == error.problems
    assert f"{PROBLEM}\n{WARNING}" == str(error)
    assert ExitCode.SETTINGS == error.exit_code


def test_a_config_error_survives_the_way_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(ConfigError([PROBLEM])))  # noqa: S301  what was written a moment ago
    assert (PROBLEM,) == copy.problems


def test_warnings_and_notes_alone_are_returned_and_one_error_raises_all() -> None:
    assert (WARNING, NOTE) == raise_errors([WARNING, NOTE])
    with pytest.raises(ConfigError) as caught:
        raise_errors(iter([WARNING, NOTE, PROBLEM]))
    assert (WARNING, NOTE, PROBLEM) == caught.value.problems


def test_problems_are_told_once_each_as_they_stand_in_the_sources() -> None:
    """By source, line and column; what stands nowhere comes last, in the order in which it was found."""

    def at(message: str, source: str, line: int | None = None, column: int | None = None) -> Problem:
        return Problem("TN401", "KEY", message, "fix", origin=Origin(source, "KEY", line, column))

    ordered = (
        at("first", "a.env", 2, 1),
        at("same line", "a.env", 2, 20),
        at("tenth line", "a.env", 10, 1),
        at("second file", "b.env", 1, 1),
        at("environment", "process environment"),
        at("preset", "preset testnet"),
        WARNING,
        NOTE,
    )
    sources = ("a.env", "b.env", "process environment")
    assert ordered == in_order(ordered, sources)
    assert ordered == in_order([*ordered[4::-1], *ordered[5:], *ordered], sources)


def test_json_is_one_object_with_every_part_of_a_problem() -> None:
    assert {
        "ok": False,
        "problems": [
            {
                "code": "TN401",
                "key": "BINANCE_ACCOUNT_TYPE",
                "severity": "error",
                "message": PROBLEM.message,
                "accepted": ["SPOT", "USDT_FUTURES", "COIN_FUTURES"],
                "fix": "did you mean USDT_FUTURES?",
                "origin": {
                    "source": ".env",
                    "key": "BINANCE_ACCOUNT_TYPE",
                    "file": ".env",
                    "line": 12,
                    "column": 8,
                },
                "overrides": {
                    "source": "preset testnet",
                    "key": "binance.account_type",
                    "file": None,
                    "line": None,
                    "column": None,
                },
            },
            {
                "code": "TN301",
                "key": "NAUTILUS_RECONCILIATION_LOOKBACK_MINS",
                "severity": "warning",
                "message": "older orders are orphaned",
                "accepted": [],
                "fix": "remove it",
                "origin": None,
                "overrides": None,
            },
            {
                "code": "TN001",
                "key": "BINANCE_BASE_URL_HTTP",
                "severity": "note",
                "message": "127.0.0.1:8900 is not the exchange's own host",
                "accepted": [],
                "fix": "",
                "origin": None,
                "overrides": None,
            },
        ],
    } == json.loads(as_json([PROBLEM, WARNING, NOTE], ok=False))

"""Problems and exit codes: one shape, and the gravest code."""

from __future__ import annotations

import json
import pickle

import pytest

from config.problems import GRAVITY, ConfigError, ExitCode, Origin, Problem, as_json, exit_code_of, raise_errors

ORIGIN = Origin(".env", "BINANCE_ACCOUNT_TYPE", 12)
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


def test_an_origin_without_a_line_names_its_source_alone() -> None:
    assert "process environment" == str(Origin("process environment", "REDIS_PORT"))


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 7, 8, 9])
def test_the_first_digit_of_the_code_is_the_exit_code(code: int) -> None:
    assert code == of_code(code).exit_code
    assert (code == 3) == of_code(code).is_warning


@pytest.mark.parametrize(
    "codes, gravest",
    [
        ((), 0),
        ((3,), 3),
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
    assert set(ExitCode) - {ExitCode.OK, ExitCode.CHANGES} == set(GRAVITY)


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


def test_warnings_alone_are_returned_and_one_error_raises_all() -> None:
    assert (WARNING,) == raise_errors([WARNING])
    with pytest.raises(ConfigError) as caught:
        raise_errors(iter([WARNING, PROBLEM]))
    assert (WARNING, PROBLEM) == caught.value.problems


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
                "origin": {"source": ".env", "key": "BINANCE_ACCOUNT_TYPE", "line": 12},
            },
            {
                "code": "TN301",
                "key": "NAUTILUS_RECONCILIATION_LOOKBACK_MINS",
                "severity": "warning",
                "message": "older orders are orphaned",
                "accepted": [],
                "fix": "remove it",
                "origin": None,
            },
        ],
    } == json.loads(as_json([PROBLEM, WARNING], ok=False))

"""What a preflight step found, in one shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from config.problems import Problem

type State = Literal["ok", "warning", "error", "unknown", "skipped"]
# What a step says: a problem, or how it stands and why in a few words.
type Verdict = tuple[State, str] | Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Parameters
    ----------
    step : str
        Stable name of the step, such as ``redis.version``.
    state : {'ok', 'warning', 'error', 'unknown', 'skipped'}
        ``unknown``: the other side does not tell; ``skipped``: an earlier step left nothing to look at.
    detail : str
        One line, also for what is well. Never holds a secret.
    problem : Problem or None
        With ``warning`` and ``error`` only. Two steps that meet the same cause have the same problem.
    seconds : float
        What the step took, 0 where it judged what an earlier one had fetched.

    """

    step: str
    state: State
    detail: str
    problem: Problem | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON primitives."""
        return {
            "step": self.step,
            "state": self.state,
            "detail": self.detail,
            "problem": None if self.problem is None else self.problem.to_dict(),
            "seconds": round(self.seconds, 6),
        }


def finding(step: str, verdict: Verdict, seconds: float = 0.0) -> Finding:
    """Return the finding of ``step``; a problem's state is its severity, and a note's is ``ok``."""
    if isinstance(verdict, Problem):
        state: State = "error" if verdict.is_error else "warning" if verdict.is_warning else "ok"
        return Finding(step, state, verdict.message, verdict, seconds)
    state, detail = verdict
    return Finding(step, state, detail, None, seconds)


def unforeseen(step: str, error: Exception) -> Finding:
    """Return the finding for an error that no step foresaw. Its text may hold anything, so its kind and place alone are told."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
    message = f"internal error in {step}, {type(error).__name__}{place}"
    return finding(step, Problem("TN101", "tradingnode", message, "report it with this line"))

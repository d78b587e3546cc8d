"""Measuring: interleaved, so that whatever else the machine does hits all sides alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds of all runs of one side."""

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def as_json(self) -> dict[str, float]:
        return {"median": self.median, "min": min(self.times), "max": max(self.times)}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured: ours, beside something to compare with, or alone."""

    name: str
    ours: Sample
    other: Sample | None = None
    against: str = "by hand"

    @property
    def ratio(self) -> float | None:
        """Median of ours over the median of the other."""
        return None if self.other is None else self.ours.median / self.other.median


@dataclass(frozen=True, slots=True)
class Target:
    """What was aimed at, and whether it was reached; a missed one fails nothing."""

    name: str
    found: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the benchmarks found."""

    name: str
    title: str
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()


def at_most(name: str, sample: Sample, limit_ms: float) -> Target:
    return Target(f"{name}: at most {limit_ms:g} ms", f"{sample.median:.2f} ms", sample.median <= limit_ms)


def order[T](sides: Sequence[T], number: int) -> Sequence[T]:
    """Return the sides in the order of a round: A B, then B A, so that none is always the first."""
    return sides[::-1] if number % 2 else sides


def in_turn(sides: Sequence[Callable[[], float]], rounds: int) -> list[Sample]:
    """Call each side once a round, A B B A, and return what they say they took, in milliseconds."""
    times: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for side, found in order([*zip(sides, times, strict=True)], number):
            found.append(side())
    return [Sample(tuple(found)) for found in times]


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Return a function that calls ``call`` and returns the milliseconds that it took."""

    def side() -> float:
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) * 1e3

    return side


def warm(sides: Sequence[Callable[[], object]], rounds: int) -> list[Sample]:
    """Return the samples of calls that have been made often before."""
    in_turn([timed(side) for side in sides], max(rounds // 4, 3))
    return in_turn([timed(side) for side in sides], rounds)


def process(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, *, expected: int = 0
) -> Callable[[], float]:
    """Return a function that runs a whole process and returns the milliseconds from its start to its end."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}

    def side() -> float:
        began = time.perf_counter()
        done = subprocess.run(
            command,
            env={**kept, "HOME": str(folder), **environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        took = (time.perf_counter() - began) * 1e3
        if done.returncode != expected:
            raise RuntimeError(f"exit {done.returncode} instead of {expected}: {done.stderr[-2000:]}")
        return took

    return side

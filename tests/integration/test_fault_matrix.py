"""One fault after the other, in every phase of a run: the exit code, what is said, and what is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.integration.fault_rows import PHASES, ROWS, Row
from tests.integration.fault_stage import Outcome, Stage, Venues

# More than there are cores: most of what a row takes is waiting.
AT_A_TIME = 6
SOAK = bool(os.environ.get("SOAK"))
# Each row has its own bound; this one is for those before it.
pytestmark = pytest.mark.timeout(600)


def _played(row: Row, folder: Path, venues: Venues) -> Outcome:
    with venues.one() as venue:
        stage = Stage(row.name, folder, venue)
        try:
            for step in row.fault:
                step(stage)
            return stage.outcome(row.seconds)
        finally:
            stage.close()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Outcome]]]:
    """Play the rows that were chosen, some at a time, in the order in which they are asked for."""
    callspecs = (getattr(item, "callspec", None) for item in request.session.items)
    chosen = [callspec.params.get("row") for callspec in callspecs if callspec is not None]
    rows = [row for row in chosen if isinstance(row, Row) and (SOAK or not row.slow)]
    forkserver.ensure_running()
    pool = ThreadPoolExecutor(AT_A_TIME)
    with Venues(AT_A_TIME) as venues:
        try:
            yield {row.name: pool.submit(_played, row, tmp_path_factory.mktemp("row"), venues) for row in rows}
        finally:
            pool.shutdown(cancel_futures=True)


def _param(row: Row) -> object:
    marks = [pytest.mark.skipif(not SOAK, reason="waits for long: set SOAK=1")] if row.slow else []
    if row.defect:
        marks.append(pytest.mark.xfail(reason=row.defect, strict=True))
    return pytest.param(row, id=f"{row.phase}-{row.name}", marks=marks)


@pytest.mark.parametrize("row", [_param(row) for row in ROWS])
def test_row(row: Row, outcomes: Mapping[str, Future[Outcome]]) -> None:
    outcome = outcomes[row.name].result()
    assert row.code == outcome.code, outcome.told
    assert outcome.seconds < row.seconds
    for sentence in row.told:
        assert sentence in outcome.told, outcome.told
    assert [] == outcome.noise, outcome.stderr
    assert not outcome.ready
    assert row.lease in ("any", outcome.lease)
    assert () == outcome.leaks


def test_matrix_has_every_phase_and_tells_its_rows_apart() -> None:
    assert set(PHASES) == {row.phase for row in ROWS}
    assert len(ROWS) == len({row.name for row in ROWS})
    assert len([row for row in ROWS if not row.slow]) >= 40

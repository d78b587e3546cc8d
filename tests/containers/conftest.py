"""What container tests share. Without an engine there is nothing to test: one line says what to install, and the code is 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.containers.stack import NO_ENGINE, OFFLINE, Stack, engine

type Make = Callable[..., Stack]

HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests to who names them (`make docker-test`): the others need no engine."""
    named = (Path(arg.partition("::")[0]).resolve() for arg in config.args)
    return None if any(HERE in (path, *path.parents) for path in named) else True


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Build the images of this checkout, for these tests alone; what did not change comes from the cache."""
    if engine() is None:
        pytest.exit(NO_ENGINE, returncode=2)
    stack = Stack(tmp_path_factory.mktemp("build"), OFFLINE)
    stack.compose("build")
    yield
    stack.forget_images()


@pytest.fixture
def stack(built: None, tmp_path: Path) -> Iterator[Make]:  # noqa: ARG001  the images have to be there
    """Make stacks, which are removed with all that they kept; nothing is started yet."""
    with ExitStack() as after:

        def make(*args: Any, folder: str = "stack", **options: Any) -> Stack:
            (tmp_path / folder).mkdir()
            return after.enter_context(Stack(tmp_path / folder, *args, **options))

        yield make

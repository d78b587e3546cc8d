"""The broken inputs of ``tests/data`` and what ``tradingnode check`` says of each.

``NAME.bad.env`` is a ``.env``; a folder ``NAME.bad`` holds several sources: ``env`` (a ``.env``), ``environ`` (the process
environment, one NAME=value a line) and ``run_secrets`` (the secrets directory ``secrets``). ``NAME.bad.txt`` is what is
said, to the letter.

``python -m tests.bad_inputs`` writes what is said now; read the difference before committing it.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from config.problems import Problem, exit_code_of
from config.settings.loading import validate_all
from config.show.report import tally

DATA = Path(__file__).parent / "data"


def names() -> list[str]:
    return sorted(path.name.partition(".bad")[0] for path in [*DATA.glob("*.bad.env"), *DATA.glob("*.bad")])


def laid_out(name: str, folder: Path) -> dict[str, str]:
    """Copy an input into ``folder``, files for their owner only, and return the process environment that belongs to it."""
    given = DATA / f"{name}.bad"
    single = DATA / f"{name}.bad.env"
    if single.exists():
        shutil.copyfile(single, folder / ".env")
    elif (given / "env").exists():
        shutil.copyfile(given / "env", folder / ".env")
    if (given / "run_secrets").exists():  # a folder called `secrets` would never be committed
        shutil.copytree(given / "run_secrets", folder / "secrets")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    lines = (given / "environ").read_text().splitlines() if (given / "environ").exists() else []
    return {"HOME": "/nonexistent", **dict(line.split("=", 1) for line in lines)}


def problems_of(name: str, folder: Path, preset: str | None = None) -> tuple[Problem, ...]:
    """Return the problems of an input; the working directory must be ``folder``."""
    return validate_all(environ=laid_out(name, folder), preset=preset)


def said(problems: tuple[Problem, ...]) -> str:
    errors = [problem for problem in problems if problem.is_error]
    return "\n".join([*map(str, problems), tally(problems, exit_code_of(errors))]) + "\n"


def main() -> None:
    for name in names():
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            (DATA / f"{name}.bad.txt").write_text(said(problems_of(name, Path(folder))))


if __name__ == "__main__":
    main()

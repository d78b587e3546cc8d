"""The command line. A command is arguments, one call, an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from config.problems import ConfigError, ExitCode, Problem, as_json, exit_code_of

PRESET_NAMES = ("production", "testnet", "sandbox")


class _StopAsked(BaseException):
    """A signal before there is a node: the stop that was asked for is complete."""


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all commands which read settings have in common."""

    @click.option("-p", "--preset", metavar="NAME", help="production, testnet or sandbox (or NAUTILUS_PRESET).")
    @click.option(
        "--env-file", multiple=True, metavar="FILE", help="Repeatable, later wins. Default: .env here, if it is there."
    )
    @click.option("--json", "as_json", is_flag=True, help="One object on stdout, problems included.")
    @click.option("--strict", is_flag=True, help="Warnings count (exit 3).")
    @wraps(command)
    def with_options(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    return with_options


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradingnode-config", prog_name="tradingnode")
def cli() -> None:
    """From the environment to a NautilusTrader TradingNode that tells the truth about itself."""


def _load(preset: str | None, env_file: tuple[str, ...], *, needs_preset: bool = False, **defaults: Any) -> Any:
    from config.loading import load
    from config.models import TradingNodeSettings

    return load(
        TradingNodeSettings, env_file=env_file or ..., preset=preset, defaults=defaults, needs_preset=needs_preset
    )


def _tell(problems: Iterable[Problem]) -> None:
    """Print problems on stderr, in colour on a terminal."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for problem in problems:
        head, _, rest = str(problem).partition(": ")
        painted = click.style(head, fg="yellow" if problem.is_warning else "red", bold=True) if colour else head
        click.echo(f"{painted}: {rest}", err=True, color=colour)


def _say(line: str) -> None:
    """Write a line to stderr; a reader that has gone must not break a node."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def _finish(problems: Iterable[Problem], *, json_on_stdout: bool, strict: bool, **fields: Any) -> NoReturn:
    """Tell the problems, once, and exit with the code of the gravest; warnings count under ``--strict``."""
    found = tuple(problems)
    code = exit_code_of(found if strict else [problem for problem in found if not problem.is_warning])
    if json_on_stdout:
        click.echo(as_json(found, ok=code is ExitCode.OK, exit_code=int(code), **fields))
    else:
        _tell(found)
        errors = sum(not problem.is_warning for problem in found)
        if errors > 1:
            click.echo(f"{errors} errors, exit {int(code)}", err=True)
    sys.exit(code)


@cli.command()
@_settings_options
def check(preset: str | None, env_file: tuple[str, ...], as_json: bool, strict: bool) -> None:
    """Tell every problem, or in one line what would run. Opens no socket."""
    try:
        settings = _load(preset, env_file)
        if strict and settings.warnings:
            _finish(settings.warnings, json_on_stdout=as_json, strict=strict)
        from config.factory import TradingNodeConfigFactory

        TradingNodeConfigFactory.from_settings(settings)
    except ConfigError as error:
        _finish(error.problems, json_on_stdout=as_json, strict=strict)
    if not as_json:
        click.echo(summary(settings))
    _finish(settings.warnings, json_on_stdout=as_json, strict=strict, summary=summary(settings))


def summary(settings: Any) -> str:
    """Return in one line what would run."""
    venues = ", ".join(
        f"{name} {section.environment}{'' if section.has_key or settings.execution == 'SIMULATED' else ' (data only)'}"
        for name in settings.active_venues
        for section in (settings.credentials(name),)
    )
    redis = "no Redis" if settings.redis is None else f"Redis {settings.redis.host}:{settings.redis.port}"
    simulated = ", simulated execution" if settings.execution == "SIMULATED" else ""
    return f"ok: {settings.trader_id}, preset {settings.preset or 'none'}: {venues or 'no venue'}{simulated}, {redis}"


@cli.command()
@_settings_options
def show(preset: str | None, env_file: tuple[str, ...], as_json: bool, strict: bool) -> None:
    """Show the settings that apply, each with where it came from; a secret as ***."""
    try:
        settings = _load(preset, env_file)
    except ConfigError as error:
        _finish(error.problems, json_on_stdout=as_json, strict=strict)
    from config.record import rows

    found = list(rows(settings))
    if as_json:
        listed = {
            row.variable.name: {
                "path": row.variable.path,
                "value": row.value,
                "tier": row.variable.tier,
                "origin": None
                if row.origin is None
                else {"source": row.origin.source, "key": row.origin.key, "line": row.origin.line},
            }
            for row in found
        }
        _finish(settings.warnings, json_on_stdout=True, strict=strict, preset=settings.preset, settings=listed)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for row in found:
        spelled = "" if row.origin is None or row.origin.key == row.variable.name else f" as {row.origin.key}"
        style = "dim" if row.origin is None else ""
        table.add_row(*(Text(cell, style=style) for cell in (row.variable.name, row.value, row.where + spelled)))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for line in _other_hosts(settings):
        console.print(Text(line))
    _finish(settings.warnings, json_on_stdout=False, strict=strict)


@cli.command()
@click.option("--strategy", metavar="PATH:CLASS", help="A .py file or a dotted module, and the class in it.")
@click.option("--strategy-config", metavar="FILE", help="Its configuration, JSON or TOML.")
@click.option("--strategy-config-class", metavar="CLASS", help="Class of the configuration. Default: CLASSConfig.")
@_settings_options
def run(
    preset: str | None,
    env_file: tuple[str, ...],
    as_json: bool,
    strict: bool,
    strategy: str | None,
    strategy_config: str | None,
    strategy_config_class: str | None,
) -> None:
    """Run a node: preflight, start, ready, watch, stop."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, _stop_asked)
    settings = None
    try:
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        settings = _load(preset, env_file, needs_preset=True, logging={"log_colors": colours})
        if strict and settings.warnings:
            raise ConfigError(settings.warnings)
        _tell(settings.warnings)
        _preflight(settings)
        _run(settings, strategy, strategy_config, strategy_config_class)
    except ConfigError as error:
        problems = error.problems if settings is None else [_redacted(problem, settings) for problem in error.problems]
        _finish(problems, json_on_stdout=as_json, strict=strict)
    except _StopAsked:
        _say("stopped before the node was started")


def _stop_asked(*_: object) -> None:
    raise _StopAsked


def _preflight(settings: Any) -> None:
    from config.problems import raise_errors
    from config.record import write_record

    if settings.redis is not None:
        from config.preflight import check_redis

        raise_errors(check_redis(settings.redis, settings))
    try:
        write_record(settings)
    except OSError as error:
        message = f"the state directory {settings.state_directory} cannot be written: {error.strerror}"
        fix = "make it writable for this user, or set NAUTILUS_STATE_DIR to one that is"
        raise ConfigError([Problem("TN604", "NAUTILUS_STATE_DIR", message, fix)]) from None
    problems = [
        Problem(
            "TN605",
            key,
            f"{directory} cannot be written, which {key} needs",
            f"make it writable, or set {key}",
        )
        for key, directory in (
            ("NAUTILUS_LOG_DIRECTORY", settings.log_directory if settings.logging.log_level_file != "OFF" else None),
            ("NAUTILUS_CATALOG_PATH", settings.catalog_path if settings.streaming is not None else None),
        )
        if directory is not None and not _is_writable(directory)
    ]
    raise_errors(problems)


def _is_writable(directory: Path) -> bool:
    """Return whether files can be made in ``directory``, which is made if it is not there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)


def _run(settings: Any, strategy: str | None, strategy_config: str | None, strategy_config_class: str | None) -> None:
    _say(f"starting {summary(settings).removeprefix('ok: ')}")
    for line in _other_hosts(settings):
        _say(line)

    from config.factory import TradingNodeConfigFactory
    from config.runner import Deadlines, run_node
    from config.strategies import load_strategy

    strategies = [] if strategy is None else [load_strategy(strategy, strategy_config, strategy_config_class)]
    config = TradingNodeConfigFactory.from_settings(settings, strategies)

    def ready(_node: Any, seconds: float) -> None:
        venues = ",".join(settings.active_venues)
        _say(f"ready {settings.trader_id} {settings.preset} {venues} after {seconds:.2f} s")

    run_node(config, Deadlines(settings.seconds_to_ready, settings.stop_timeout), on_ready=ready)
    _say(f"stopped {settings.trader_id}")


def _redacted(problem: Problem, settings: Any) -> Problem:
    from config.record import redacted

    return replace(problem, message=redacted(problem.message, settings))


def _other_hosts(settings: Any) -> Iterable[str]:
    from config.record import other_endpoints

    for host, names in other_endpoints(settings).items():
        yield f"note: {host} is not the exchange's own host ({', '.join(names)})"


@cli.command()
@click.option("--format", "form", type=click.Choice(["env", "md", "json"]), default="env", help="Default: env.")
@click.option("-p", "--preset", type=click.Choice(PRESET_NAMES), help="For which preset the .env is.")
def schema(form: str, preset: str | None) -> None:
    """Print the reference of all settings, generated from the models."""
    from config.reference import as_env, as_json_schema, as_markdown

    click.echo({"env": lambda: as_env(preset), "md": as_markdown, "json": as_json_schema}[form](), nl=False)


def main() -> None:
    """Run ``tradingnode``; ends with the documented exit codes and never with a traceback."""
    try:
        cli()
    except _StopAsked:
        sys.exit(ExitCode.OK)
    except Exception as error:
        # A defect of ours. Its text may hold anything, a secret too, so only its kind and its place are told.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        click.echo(
            f"error: internal error, {type(error).__name__} at {place}\n  fix: report it with this line", err=True
        )
        sys.exit(ExitCode.INTERNAL)

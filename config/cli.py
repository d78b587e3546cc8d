"""The command line. A command is arguments, one call, an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from config.problems import GRAVITY, ConfigError, ExitCode, Problem, exit_code_of, raise_errors
from config.show.report import (
    finish_json,
    print_explanation,
    print_findings,
    print_kind,
    print_settings,
    print_stored,
    say,
    settings_as_json,
    tally,
    tell,
    versions,
    write,
)
from config.signals import hear

PRESET_NAMES = ("production", "testnet", "sandbox")
ROLE_NAMES = ("trader", "recorder")
INTERRUPTED = 130


class _StopAsked(KeyboardInterrupt):
    """A signal before there is a node: the stop that was asked for is complete.

    An event loop swallows every other exception that a signal handler raises.
    """


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all commands which read settings have in common, given to the command as one ``Asked``."""

    @click.option("-p", "--preset", metavar="NAME", help="production, testnet or sandbox (or NAUTILUS_PRESET).")
    @click.option("--role", type=click.Choice(ROLE_NAMES), help="What the process is for (or NAUTILUS_ROLE).")
    @click.option(
        "--env-file", multiple=True, metavar="FILE", help="Repeatable, later wins. Default: .env here, if it is there."
    )
    @click.option("--json", "as_json", is_flag=True, help="One object on stdout, problems included.")
    @click.option("--strict", is_flag=True, help="Warnings count (exit 3).")
    @wraps(command)
    def with_options(
        preset: str | None, role: str | None, env_file: tuple[str, ...], as_json: bool, strict: bool, **others: Any
    ) -> None:
        command(Asked(preset, role, env_file, as_json, strict), **others)

    return with_options


@dataclass(frozen=True, slots=True)
class Asked:
    """What the common options say."""

    preset: str | None
    role: str | None
    env_file: tuple[str, ...]
    as_json: bool
    strict: bool

    @property
    def layers(self) -> dict[str, Any]:
        """The same as arguments of :func:`config.settings.gathering.gather`."""
        values = {"role": self.role} if self.role is not None else {}
        return {"env_file": self.env_file or ..., "preset": self.preset, "values": values}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradingnode-config", prog_name="tradingnode")
def cli() -> None:
    """From the environment to a NautilusTrader TradingNode that tells the truth about itself."""


def _load(asked: Asked, **more: Any) -> Any:
    from config.models import TradingNodeSettings
    from config.settings.loading import load

    return load(TradingNodeSettings, **asked.layers | more)


def _told(settings: Any) -> tuple[Problem, ...]:
    return (*settings.warnings, *settings.notes)


WOULD_NOT = "would not start"


def _finish(
    problems: Iterable[Problem], asked: Asked, if_well: str = "", otherwise: str = "", /, **fields: Any
) -> NoReturn:
    """Tell the problems, once, and exit with the code of the gravest; warnings count under ``--strict``.

    With a verdict the worst is told last, where the eye is then, and the last line begins with the one that is true; ``{}`` in
    it is what the worst says.
    """
    found = tuple(problems)
    if otherwise:
        found = tuple(sorted(found, key=lambda problem: GRAVITY.index(problem.exit_code), reverse=True))
    code = exit_code_of(found if asked.strict else [problem for problem in found if problem.is_error])
    if asked.as_json:
        finish_json(found, code, **fields)
    else:
        tell(found)
        verdict = if_well if code is ExitCode.OK else otherwise.format(found[-1].message)
        if line := ": ".join(filter(None, (verdict, tally(found, code)))):
            say(line)
    sys.exit(code)


@cli.command()
@click.option("--fix", is_flag=True, help="Rewrite former names in the .env files; a backup stays beside each.")
@_settings_options
def check(asked: Asked, fix: bool) -> None:
    """Tell every problem, or in one line what would run. Opens no socket."""
    if fix:
        _rewrite(asked)
    told: tuple[Problem, ...] = ()
    try:
        settings = _load(asked)
        told = _told(settings)
        if asked.strict and settings.warnings:
            _finish(told, asked)
        from config.factory import TradingNodeConfigFactory

        TradingNodeConfigFactory.from_settings(settings)
    except ConfigError as error:
        _finish((*error.problems, *told), asked)
    if not asked.as_json:
        write(summary(settings))
    _finish(told, asked, summary=summary(settings))


def _rewrite(asked: Asked) -> None:
    from config.settings.sources import env_files
    from config.settings.variables import former_names, secret_names
    from config.show.rewrite import rewrite

    former = dict(former_names())
    names = former | {f"{old}_FILE": f"{new}_FILE" for old, new in former.items() if old in secret_names()}
    for path in (path for path, must_exist in env_files(asked.env_file or ...) if must_exist or path.exists()):
        try:
            done = rewrite(path, names)
        except FileNotFoundError:
            continue  # which the check itself tells
        except OSError as error:
            message = f"{path} cannot be rewritten: {error.strerror}"
            fix = "mend that, or rename by hand; the file is as it was"
            _finish([Problem("TN404", str(path), message, fix)], asked)
        for change in done.changes if done is not None else ():
            became = f"renamed to {change.new}" if change.new is not None else f"removed: {change.why}"
            say(f"{path} line {change.line}: {change.old} {became}")
        if done is not None:
            say(f"{path} as it was: {done.backup}")


def summary(settings: Any) -> str:
    """Return in one line what would run."""
    keyless = settings.execution != "VENUE"
    venues = ", ".join(
        f"{name} {section.environment}{'' if section.has_key or keyless else ' (data only)'}"
        for name in settings.active_venues
        for section in (settings.credentials(name),)
    )
    redis = "no Redis" if settings.redis is None else f"Redis {settings.redis.host}:{settings.redis.port}"
    execution = EXECUTIONS[settings.execution]
    role = f", {settings.role}" if settings.role != "trader" else ""
    return f"ok: {settings.trader_id}{role}, preset {settings.preset or 'none'}: {venues or 'no venue'}{execution}, {redis}"


EXECUTIONS = {"VENUE": "", "SIMULATED": ", simulated execution", "NONE": ", no execution"}


@cli.command()
@_settings_options
def show(asked: Asked) -> None:
    """Show the settings that apply, each with where it came from; a secret as ***."""
    try:
        settings = _load(asked)
    except ConfigError as error:
        _finish(error.problems, asked)
    if asked.as_json:
        _finish(_told(settings), asked, preset=settings.preset, role=settings.role, settings=settings_as_json(settings))
    print_settings(settings)
    _finish(_told(settings), asked)


@cli.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@_settings_options
def explain(asked: Asked, keys: tuple[str, ...]) -> None:
    """Explain settings (redis.port, REDIS_PORT) with every layer that speaks of them, or kinds of problems (TN401)."""
    from config.kinds import kinds, unknown_code

    problems: list[Problem] = []
    explained: dict[str, Any] = {}
    settings = [key for key in keys if not CODE.fullmatch(key)]
    for code in (f"TN{match[1]}" for key in keys if (match := CODE.fullmatch(key))):
        if code not in kinds():
            problems.append(unknown_code(code))
        elif asked.as_json:
            explained[code] = kinds()[code].to_dict()
        else:
            print_kind(kinds()[code])
    if settings:
        from config.settings.gathering import gather
        from config.show.explain import explain as explain_setting

        try:
            gathered = gather(**asked.layers)
        except ConfigError as error:
            _finish(error.problems, asked)
        # Explained is what holds under the preset that was meant.
        problems += [problem for problem in gathered.problems if problem.code == "TN201"]
        for key in settings:
            found = explain_setting(key, gathered)
            if isinstance(found, Problem):
                problems.append(found)
            elif asked.as_json:
                explained[found.variable.name] = {
                    **found.to_dict(),
                    "problems": [one.to_dict() for one in found.problems],
                }
            else:
                print_explanation(found)
                tell(found.problems)
    _finish(problems, asked, **({"explained": explained} if asked.as_json else {}))


CODE = re.compile(r"(?:[Tt][Nn])?([0-9]{3})")


@cli.command()
@click.option("--strategy", metavar="PATH:CLASS", help="A .py file or a dotted module, and the class in it.")
@click.option("--strategy-config", metavar="FILE", help="Its configuration, JSON or TOML.")
@click.option("--strategy-config-class", metavar="CLASS", help="Class of the configuration. Default: CLASSConfig.")
@_settings_options
def run(
    asked: Asked,
    strategy: str | None,
    strategy_config: str | None,
    strategy_config_class: str | None,
) -> None:
    """Run a node: preflight, start, ready, watch, stop."""
    hear(_stop_asked)
    settings = None
    try:
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        # Nautilus' log goes to stdout too, where the one object is to stand alone; its file has all of it.
        quiet = {"logging": {"log_level": "OFF"}} if asked.as_json else {}
        values = asked.layers["values"] | quiet
        settings = _load(asked, needs_preset=True, defaults={"logging": {"log_colors": colours}}, values=values)
        if asked.strict and settings.warnings:
            raise ConfigError(_told(settings))
        tell(_told(settings))
        _forget_secrets()
        from config.preflight.steps import BEFORE_NAUTILUS, THROUGH_NAUTILUS
        from config.show.record import write_record

        _preflight(settings, asked, BEFORE_NAUTILUS)
        write_record(settings)
        say(f"starting {summary(settings).removeprefix('ok: ')}")
        # Before the venues, which may be away for longer than a misspelt name should go untold.
        strategies = _strategies(strategy, strategy_config, strategy_config_class)
        _preflight(settings, asked, THROUGH_NAUTILUS)
        _run(settings, strategies)
    except ConfigError as error:
        problems = error.problems if settings is None else [_redacted(problem, settings) for problem in error.problems]
        _finish(problems, asked, "", "failed ({})")
    except _StopAsked:
        say("stopped before the node was started")
    if asked.as_json:
        _finish(() if settings is None else _told(settings), replace(asked, strict=False))


def _forget_secrets() -> None:
    """Take every secret out of the environment: a strategy that prints it, or raises with it, prints none."""
    from config.settings.variables import secret_names

    for name in [name for name in os.environ if name.upper() in secret_names()]:
        del os.environ[name]


def _stop_asked(*_: object) -> None:
    raise _StopAsked


def _preflight(settings: Any, asked: Asked, steps: Sequence[str]) -> None:
    """Take the steps, tell what they warn of and what was left out, and raise what keeps a node from running."""
    from config.preflight.steps import preflight, problems_of

    found = preflight(settings, steps)
    problems = problems_of(found)
    if asked.strict and problems:
        raise ConfigError(problems)
    tell(raise_errors(problems))
    for step in (one.step for one in found if one.state == "skipped" and one.step in steps):
        say(f"preflight: {step} was left out (NAUTILUS_PREFLIGHT_SKIP)")


def _strategies(strategy: str | None, strategy_config: str | None, strategy_config_class: str | None) -> list[Any]:
    from config.live.strategies import load_strategy

    return [] if strategy is None else [load_strategy(strategy, strategy_config, strategy_config_class)]


def _run(settings: Any, strategies: Sequence[Any]) -> None:
    from config.live.session import Session

    Session(settings, say).run(strategies)


def _redacted(problem: Problem, settings: Any) -> Problem:
    from config.show.record import redacted

    return replace(problem, message=redacted(problem.message, settings))


@cli.command()
@_settings_options
def doctor(asked: Asked) -> None:
    """Take every step that run takes before it starts, and start nothing: Redis, disks, clock, venues, keys."""
    try:
        settings = _load(asked)
    except ConfigError as error:
        _finish(error.problems, asked, "", WOULD_NOT)
    from config.preflight.steps import STEPS, preflight, problems_of

    found = preflight(settings, tuple(STEPS), claim=False)
    problems = (*_told(settings), *problems_of(found))
    if asked.as_json:
        _finish(problems, asked, versions=versions(), findings=[one.to_dict() for one in found])
    print_findings(found)
    _finish(problems, asked, "would start" if settings.preset else "would start under a preset (-p)", WOULD_NOT)


@cli.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def health(args: tuple[str, ...]) -> None:
    """Tell whether the running node is ready: exit 0, else 7; `health --help` tells more."""
    from config.health.command import main as judge_health

    sys.exit(judge_health(args, os.environ))


@dataclass(frozen=True, slots=True)
class Hands:
    """Which running node is meant, by its state directory, and how many seconds to wait for it."""

    folder: str
    timeout: float | None


def _node_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which running node is meant; the command is given its state directory."""

    @click.option("--trader-id", metavar="ID", help="Which node, where there are several (or NAUTILUS_TRADER_ID).")
    @click.option("--state-dir", metavar="DIR", help="Its state directory (or NAUTILUS_STATE_DIR).")
    @click.option("--timeout", type=click.FloatRange(0.1, 600), help="Seconds to wait. Default: 10, flatten 40.")
    @click.option("--json", "as_json", is_flag=True, help="One object on stdout, problems included.")
    @wraps(command)
    def with_options(
        trader_id: str | None, state_dir: str | None, timeout: float | None, as_json: bool, **others: Any
    ) -> None:
        from config.state_dir import TRADER, NoStateDir
        from config.state_dir import state_dir as find

        asked = Asked(None, None, (), as_json, strict=False)
        try:
            # A recorder has no orders to lay hands on.
            folder = find(os.environ, directory=state_dir, trader_id=trader_id, role=TRADER)
        except NoStateDir as error:
            _finish([Problem("TN205" if error.is_usage else "TN702", "--state-dir", error.message, error.fix)], asked)
        command(asked, Hands(folder, timeout), **others)

    return with_options


@cli.command()
@click.option("-m", "--message", default="", metavar="TEXT", help="Why; told with every denied order.")
@_node_options
def halt(asked: Asked, hands: Hands, message: str) -> None:
    """Take no new risk: orders that open or enlarge a position are denied, reducing ones and cancels pass.

    It lasts over restarts, until `resume`. Without a running node the next one starts halted.
    """
    _lay_hands(asked, hands, "halt", message)


@cli.command()
@_node_options
def resume(asked: Asked, hands: Hands) -> None:
    """Take back what `halt` or `flatten` did; other reasons to take no new risk stay."""
    _lay_hands(asked, hands, "resume", "")


@cli.command()
@click.option("-m", "--message", default="", metavar="TEXT", help="Why; told with every denied order.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_node_options
def flatten(asked: Asked, hands: Hands, message: str, yes: bool) -> None:
    """Cancel every order, close every position at market, and stay halted."""
    if not yes:
        if not sys.stdin.isatty():
            problem = Problem("TN204", "--yes", "there is no terminal to ask at, and nothing was done", "give --yes")
            _finish([problem], asked)
        click.confirm(
            f"Cancel every order and close every position of the node of {hands.folder} at market?",
            abort=True,
            err=True,
        )
    _lay_hands(asked, hands, "flatten", message)


def _lay_hands(asked: Asked, hands: Hands, command: str, message: str) -> None:
    from config.live.hands import done

    problems, answer, line = done(hands.folder, command, message, hands.timeout)
    if not asked.as_json and line:
        write(line)
    _finish(problems, asked, **({"answer": answer} if asked.as_json else {}))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_settings_options
def reset(asked: Asked, yes: bool) -> None:
    """Delete what this trader has stored in Redis, and nothing else; refused while its node runs."""
    try:
        settings = _load(asked)
        if asked.strict and settings.warnings:
            raise ConfigError(_told(settings))
        if settings.redis is None:
            say(f"nothing to delete: no Redis is set (REDIS_HOST), so {settings.trader_id} keeps its books in memory")
            _finish(_told(settings), asked, deleted=None)
        from config.store.reset import delete, refuse_if_held, stored

        found = stored(settings.redis, settings.trader_id)
        refuse_if_held(settings.redis, settings.trader_id)
        if not asked.as_json:
            print_stored(found)
        if found.total and not yes:
            question = f"delete {'this key' if found.total == 1 else f'these {found.total:,} keys'}? type the trader id"
            if click.prompt(question, default="", show_default=False, err=True) != settings.trader_id:
                raise click.Abort
        if found.total:
            found = delete(settings.redis, settings.trader_id, on_progress=_deleted, on_wait=say)
            say(f"deleted {found.total:,} of {settings.trader_id}'s keys from Redis at {found.where}")
    except ConfigError as error:
        _finish(error.problems, asked)
    _finish(_told(settings), asked, deleted=found.to_dict())


def _deleted(done: int, total: int) -> None:
    if sys.stderr.isatty():
        write(f"\rdeleted {done:,} of {total:,} keys", err=True, nl=done == total)


@cli.command()
@click.option(
    "--format", "form", type=click.Choice(["env", "md", "json", "problems"]), default="env", help="Default: env."
)
@click.option("-p", "--preset", type=click.Choice(PRESET_NAMES), help="For which preset the .env is.")
def schema(form: str, preset: str | None) -> None:
    """Print the reference of all settings, generated from the models, or of all problems."""
    from config.kinds import all_pages
    from config.show.reference import as_env, as_json_schema, as_markdown

    forms = {"env": lambda: as_env(preset), "md": as_markdown, "json": as_json_schema, "problems": all_pages}
    write(forms[form](), nl=False)


def main() -> None:
    """Run ``tradingnode``; ends with the documented exit codes and never with a traceback."""
    try:
        cli(standalone_mode=False)
    except click.UsageError as error:
        _finish_usage(error)
    except _StopAsked:
        sys.exit(ExitCode.OK)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except Exception as error:
        # A defect of ours. Its text may hold anything, a secret too, so only its kind and its place are told.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"internal error, {type(error).__name__} at {place}"
        tell([Problem("TN101", "tradingnode", message, "report it with this line")])
        sys.exit(ExitCode.INTERNAL)


def _finish_usage(error: click.UsageError) -> NoReturn:
    """Tell a usage error in the one shape. What was given may be anything, a key too, so of that only options are repeated."""
    command = error.ctx.command_path if error.ctx is not None else "tradingnode"
    words = "that is not how the command is called"
    if isinstance(error, click.NoSuchOption | click.MissingParameter):
        words = error.format_message().rstrip(".")
    elif isinstance(error, click.BadParameter) and error.param is not None:
        words = f"{error.param.opts[-1]} has a value that it does not take"
    problem = Problem("TN204", command, words, f"`{command} --help` tells how")
    _finish([problem], Asked(None, None, (), "--json" in sys.argv[1:], strict=False))

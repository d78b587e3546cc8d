"""From ``--strategy PATH:CLASS`` and its configuration file to Nautilus' ImportableStrategyConfig."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from nautilus_trader.common.config import msgspec_encoding_hook
from nautilus_trader.config import ImportableStrategyConfig, StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from config.problems import ConfigError, Problem

PARSERS = {".json": json.loads, ".toml": tomllib.loads}


def load_strategy(
    spec: str, config_file: str | None = None, config_class: str | None = None
) -> ImportableStrategyConfig:
    """Return the importable strategy that ``spec`` names, its configuration checked.

    Parameters
    ----------
    spec : str
        ``PATH:CLASS``, where PATH is a ``.py`` file or a dotted module.
    config_file : str, optional
        JSON or TOML with the fields of the configuration.
    config_class : str, optional
        Its class in the same module; by default ``CLASSConfig``.

    Raises
    ------
    ConfigError
        ``exit_code`` 2 for what cannot be found or imported, 4 for a configuration that does not fit.

    """
    path, sign, name = spec.rpartition(":")
    if not (sign and path and name):
        raise _usage(
            "--strategy",
            f"--strategy is '{spec}', expected PATH:CLASS",
            "write strategies/ema.py:EMACross, for example",
        )
    module = _import_file(Path(path)) if path.endswith(".py") else _import_module(path)
    _class(module, name, Strategy, "--strategy")
    config_name = config_class or f"{name}Config"
    kind = _class(module, config_name, StrategyConfig, "--strategy-config-class")
    values = {} if config_file is None else _read(Path(config_file))
    try:
        kind.parse(msgspec.json.encode(values, enc_hook=msgspec_encoding_hook))
    except Exception as error:  # a decoding hook may raise anything
        message = f"the configuration of {name} does not fit {config_name}: {error}"
        own = [name for name in kind.__struct_fields__ if name not in StrategyConfig.__struct_fields__]
        fix = f"give its fields in a JSON or TOML file with --strategy-config: {', '.join(own) or 'it has none'}"
        raise ConfigError([Problem("TN410", "--strategy-config", message, fix)]) from None
    return ImportableStrategyConfig(
        strategy_path=f"{module.__name__}:{name}", config_path=f"{module.__name__}:{config_name}", config=values
    )


def _usage(key: str, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem("TN203", key, message, fix)])


def _import_file(path: Path) -> ModuleType:
    """Return the module in ``path``; its folder is appended to ``sys.path``, so that it can shadow nothing."""
    if not path.is_file():
        raise _usage("--strategy", f"{path} does not exist", "give the path of a .py file")
    name, full = path.stem, path.resolve()
    there = sys.modules.get(name)
    if there is not None and getattr(there, "__file__", None) == str(full):
        return there
    found = importlib.util.find_spec(name) if there is None else there.__spec__
    # Where its folder is on the path already, as the working directory is under `python -m`, the file itself is found.
    if there is not None or (found is not None and found.origin != str(full)):
        raise _usage("--strategy", f"{path} has the name of another module, {name}", "rename the file")
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise _usage("--strategy", f"{path} is not a Python file", "give the path of a .py file")
    if str(full.parent) not in sys.path:
        sys.path.append(str(full.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _usage(
            "--strategy", f"{path} cannot be imported: {type(error).__name__}: {error}", "mend the file"
        ) from error
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = f"module {name} cannot be imported: {type(error).__name__}: {error}"
        raise _usage("--strategy", message, "give a dotted module that can be imported here, or a .py file") from error


def _class(module: ModuleType, name: str, base: type, key: str) -> Any:
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        there = ", ".join(
            sorted(n for n, item in vars(module).items() if isinstance(item, type) and issubclass(item, base))
        )
        raise _usage(
            key, f"{module.__name__} has no {base.__name__} called {name}", f"choose one of: {there or 'there is none'}"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    parse = PARSERS.get(path.suffix)
    if parse is None:
        raise _usage("--strategy-config", f"{path} is neither .json nor .toml", "give a JSON or TOML file")
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _usage(
            "--strategy-config", f"{path} cannot be read: {error.strerror}", "give a file that can be read"
        ) from None
    except ValueError as error:
        raise ConfigError(
            [Problem("TN410", "--strategy-config", f"{path} is not valid: {error}", "mend the file")]
        ) from None
    if not isinstance(values, Mapping):
        raise ConfigError(
            [Problem("TN410", "--strategy-config", f"{path} holds no table of fields", 'write {"field": value}')]
        )
    return dict(values)

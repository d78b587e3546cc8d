"""From settings to Nautilus' TradingNodeConfig: the list of parts, and the guarantees checked on what was built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from nautilus_trader.common import Environment
from nautilus_trader.config import ImportableActorConfig, ImportableStrategyConfig, TradingNodeConfig

from config.cache import build_cache_config
from config.checks.guarantees import broken_guarantees
from config.checks.order_ids import long_order_ids
from config.clients import VENUES
from config.clients.sandbox import build_sandbox_exec_client_config
from config.data import build_data_engine_config
from config.execution import build_exec_engine_config
from config.logging_config import build_logging_config
from config.masking import MaskedTradingNodeConfig
from config.models import LoggingSettings, StreamingSettings, TradingNodeSettings
from config.problems import Problem, raise_errors
from config.recorder import build_recorder_config
from config.risk import build_risk_engine_config
from config.roles import RECORDER, TRADER
from config.settings.judging import flaws, with_preset
from config.streaming import build_streaming_config

# Shares of `stop_timeout`: Nautilus waits the whole of the first after strategies stopped, at most the second for the clients to
# disconnect, at most the third for tasks to end. What is left is for strategies' own `on_stop` and the disposal.
POST_STOP_SHARE = 1 / 10
DISCONNECTION_SHARE = 1 / 3
SHUTDOWN_SHARE = 1 / 6


class TradingNodeConfigFactory:
    """Builds a complete ``TradingNodeConfig`` from settings.

    Every method raises :class:`config.problems.ConfigError` and nothing else for what is wrong with the settings.
    """

    @staticmethod
    def from_settings(
        settings: TradingNodeSettings, strategies: Sequence[ImportableStrategyConfig] | None = None
    ) -> TradingNodeConfig:
        """Return the configuration that ``settings`` describe.

        Parameters
        ----------
        settings : TradingNodeSettings
            If they were loaded under a preset, its guarantees are checked on the result.
        strategies : sequence of ImportableStrategyConfig, optional
            What Nautilus imports and makes itself; Strategy instances go to ``build_node``.

        Raises
        ------
        ConfigError
            With every problem at once.

        """
        raise_errors(flaws(settings))
        given = _several(strategies)
        raise_errors([*_instances(given), *_untradable(settings, given), *long_order_ids(settings.trader_id, given)])
        config = _build(settings, _claimed(settings, given))
        raise_errors(broken_guarantees(config, settings))
        return config

    @staticmethod
    def create_production(
        strategies: Sequence[ImportableStrategyConfig] | None = None, *, settings: TradingNodeSettings | None = None
    ) -> TradingNodeConfig:
        """Return a configuration for real money: LIVE said out loud, venues and Redis named, live keys and hosts only.

        Parameters
        ----------
        strategies : sequence of ImportableStrategyConfig, optional
            See :meth:`from_settings`.
        settings : TradingNodeSettings, optional
            Used as they stand; from the environment unless given.

        Raises
        ------
        ConfigError
            ``exit_code`` 8 if a guarantee does not hold, 5 for keys, 4 for settings.

        """
        return _create("production", strategies, settings)

    @staticmethod
    def create_testnet(
        strategies: Sequence[ImportableStrategyConfig] | None = None, *, settings: TradingNodeSettings | None = None
    ) -> TradingNodeConfig:
        """Return a configuration whose clients are all on testnet or demo, with keys meant for it.

        Parameters
        ----------
        strategies : sequence of ImportableStrategyConfig, optional
            See :meth:`from_settings`.
        settings : TradingNodeSettings, optional
            Used as they stand; from the environment unless given.

        Raises
        ------
        ConfigError
            ``exit_code`` 8 if a guarantee does not hold, 5 for keys (a live key among them), 4 for settings.

        """
        return _create("testnet", strategies, settings)

    @staticmethod
    def create_sandbox(
        strategies: Sequence[ImportableStrategyConfig] | None = None, *, settings: TradingNodeSettings | None = None
    ) -> TradingNodeConfig:
        """Return a configuration for paper trading: live public data, simulated execution, no key needed.

        Parameters
        ----------
        strategies : sequence of ImportableStrategyConfig, optional
            See :meth:`from_settings`.
        settings : TradingNodeSettings, optional
            Used as they stand; from the environment unless given.

        Raises
        ------
        ConfigError
            ``exit_code`` 8 if a guarantee does not hold, 4 for settings.

        """
        return _create("sandbox", strategies, settings)


def _create(
    preset: str, strategies: Sequence[ImportableStrategyConfig] | None, settings: TradingNodeSettings | None
) -> TradingNodeConfig:
    loaded = TradingNodeSettings.from_env(preset=preset) if settings is None else with_preset(settings, preset)
    return TradingNodeConfigFactory.from_settings(loaded, strategies)


def _build(settings: TradingNodeSettings, strategies: Sequence[ImportableStrategyConfig]) -> TradingNodeConfig:
    return MaskedTradingNodeConfig(
        environment=Environment[settings.environment.value],
        trader_id=settings.trader_id,
        cache=build_cache_config(settings.redis),
        data_engine=build_data_engine_config(),
        risk_engine=build_risk_engine_config(settings),
        exec_engine=build_exec_engine_config(settings),
        logging=build_logging_config(_logging(settings)),
        streaming=build_streaming_config(_streaming(settings)),
        data_clients={name: VENUES[name].build_data(settings.credentials(name)) for name in settings.active_venues},
        exec_clients=EXEC_CLIENTS[settings.execution](settings),
        strategies=list(strategies),
        actors=ACTORS[settings.role](settings),
        load_state=settings.loads_state,
        save_state=settings.saves_state,
        timeout_connection=settings.connection_timeout,
        timeout_reconciliation=settings.reconciliation_timeout,
        timeout_post_stop=settings.stop_timeout * POST_STOP_SHARE,
        timeout_disconnection=settings.stop_timeout * DISCONNECTION_SHARE,
        timeout_shutdown=settings.stop_timeout * SHUTDOWN_SHARE,
    )


def _venue_clients(settings: TradingNodeSettings) -> dict[str, Any]:
    """Return the execution clients of the venues that have a key; the others are data only."""
    sections = {name: settings.credentials(name) for name in settings.active_venues}
    return {name: VENUES[name].build_exec(section) for name, section in sections.items() if section.has_key}


def _simulated_clients(settings: TradingNodeSettings) -> dict[str, Any]:
    balances = settings.sandbox_starting_balances
    return {
        name: build_sandbox_exec_client_config(name, settings.credentials(name), balances)
        for name in settings.active_venues
    }


def _no_clients(_: TradingNodeSettings) -> dict[str, Any]:
    return {}


def _recorders(settings: TradingNodeSettings) -> list[ImportableActorConfig]:
    """Return what subscribes to the instruments that are named: Nautilus streams nothing else."""
    return [
        build_recorder_config(
            [name for venue in settings.active_venues for name in settings.credentials(venue).instrument_ids]
        )
    ]


def _no_actors(_: TradingNodeSettings) -> list[ImportableActorConfig]:
    return []


EXEC_CLIENTS = {"VENUE": _venue_clients, "SIMULATED": _simulated_clients, "NONE": _no_clients}
ACTORS = {TRADER: _no_actors, RECORDER: _recorders}


def _logging(settings: TradingNodeSettings) -> LoggingSettings:
    return settings.logging.model_copy(update={"log_directory": settings.log_directory})


def _streaming(settings: TradingNodeSettings) -> StreamingSettings | None:
    return settings.streaming and settings.streaming.model_copy(update={"catalog_path": settings.catalog_path})


def _instances(strategies: Iterable[object]) -> list[Problem]:
    """Return the problem of each strategy that Nautilus could not put into a frozen configuration."""
    return [
        Problem(
            "TN407",
            "strategies",
            f"strategies holds {type(strategy).__name__}; the factory takes Nautilus' ImportableStrategyConfig only",
            "give Strategy instances to build_node(config, strategies=[...]), which loads their state if state is kept",
            ("ImportableStrategyConfig",),
        )
        for strategy in strategies
        if not isinstance(strategy, ImportableStrategyConfig)
    ]


def _several(strategies: object) -> tuple[Any, ...]:
    """Return what was given as strategies; what is no sequence is taken for one that is no strategy."""
    several = isinstance(strategies, Iterable) and not isinstance(strategies, str)
    return () if strategies is None else tuple(cast("Any", strategies)) if several else (strategies,)


def _untradable(settings: TradingNodeSettings, strategies: Sequence[object]) -> list[Problem]:
    if not strategies or settings.role == TRADER:
        return []
    message = f"a {settings.role} runs no strategies: it has no execution client"
    return [Problem("TN407", "strategies", message, "leave them out, or set NAUTILUS_ROLE=trader")]


def _claimed(
    settings: TradingNodeSettings, strategies: tuple[ImportableStrategyConfig, ...]
) -> tuple[ImportableStrategyConfig, ...]:
    """Return the strategies, the one among them claiming ``external_order_claims`` unless it says what it claims itself."""
    claims = settings.external_order_claims
    if not claims or not strategies:
        return strategies
    if len(strategies) > 1:
        key = "NAUTILUS_EXTERNAL_ORDER_CLAIMS"
        message = f"{key} is set, but there are {len(strategies)} strategies that could claim"
        fix = "set external_order_claims in the configuration of the strategy that shall claim"
        raise_errors([Problem("TN406", key, message, fix, (), settings.origins.get("external_order_claims"))])
    (strategy,) = strategies
    config: Mapping[str, Any] = {"external_order_claims": list(claims), **strategy.config}
    return (msgspec.structs.replace(strategy, config=config),)

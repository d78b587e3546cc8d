"""The actor that subscribes to market data so that it is recorded: Nautilus streams only what something asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from nautilus_trader.common.actor import Actor
from nautilus_trader.config import ActorConfig, ImportableActorConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Instrument


class RecorderConfig(ActorConfig, frozen=True):
    """What a :class:`Recorder` records.

    Parameters
    ----------
    instrument_ids : tuple of InstrumentId
        At least one; the data client of its venue serves each.

    """

    instrument_ids: Annotated[tuple[InstrumentId, ...], msgspec.Meta(min_length=1)]


class Recorder(Actor):
    """Subscribes to instruments, their quotes and their trades, and does nothing with them.

    The streaming writer takes everything from the message bus. It drops what belongs to an instrument that is not in the cache,
    so such an instrument is told in the log, and its quotes and trades are asked for once its venue has sent it.

    Parameters
    ----------
    config : RecorderConfig
        What to record.

    """

    def __init__(self, config: RecorderConfig) -> None:
        super().__init__(config)
        self._recorded: set[InstrumentId] = set()

    def on_start(self) -> None:
        """Subscribe to each instrument."""
        for instrument_id in self.config.instrument_ids:
            self.subscribe_instrument(instrument_id)
            if self.cache.instrument(instrument_id) is not None:
                self._record(instrument_id)
            else:
                self.log.error(f"{instrument_id} is not in the cache: it is not recorded until its venue sends it")

    def on_instrument(self, instrument: Instrument) -> None:
        """Subscribe to the quotes and trades of an instrument that was missing at the start."""
        self._record(instrument.id)

    def on_stop(self) -> None:
        """Unsubscribe from everything."""
        for instrument_id in self.config.instrument_ids:
            self.unsubscribe_instrument(instrument_id)
        for instrument_id in sorted(self._recorded):
            self.unsubscribe_quote_ticks(instrument_id)
            self.unsubscribe_trade_ticks(instrument_id)
        self._recorded.clear()

    def _record(self, instrument_id: InstrumentId) -> None:
        # Venues send every instrument again from time to time.
        if instrument_id in self._recorded:
            return
        self._recorded.add(instrument_id)
        self.subscribe_quote_ticks(instrument_id)
        self.subscribe_trade_ticks(instrument_id)


def build_recorder_config(instrument_ids: Sequence[str]) -> ImportableActorConfig:
    """Return the recorder as ``TradingNodeConfig.actors`` takes it.

    Parameters
    ----------
    instrument_ids : sequence of str
        As Nautilus writes them, such as ``BTCUSDT-PERP.BINANCE``; at least one. One that is there twice counts once.

    Raises
    ------
    msgspec.ValidationError
        If there is none, or one is no instrument id; the message names it.

    """
    config = {"instrument_ids": list(dict.fromkeys(instrument_ids))}
    # Nautilus would find out only while it builds the node.
    RecorderConfig.parse(msgspec.json.encode(config))
    return ImportableActorConfig(
        actor_path=f"{Recorder.__module__}:{Recorder.__qualname__}",
        config_path=f"{RecorderConfig.__module__}:{RecorderConfig.__qualname__}",
        config=config,
    )

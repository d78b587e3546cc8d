"""Spot positions: a spot exchange has balances and no positions, so the node's own books are their only record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GeneratePositionStatusReports
from nautilus_trader.execution.reports import PositionStatusReport
from nautilus_trader.model.enums import PositionSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity


class KeepsSpotPositions:
    """Answers for positions from the cache.

    Nautilus' own spot clients answer nothing, or flat, for want of anything to ask. The execution engine takes that for a closed
    position and invents the order that closes it: at every restart, and at every check of positions while running.
    """

    async def generate_position_status_reports(
        self: Any, command: GeneratePositionStatusReports
    ) -> list[PositionStatusReport]:
        """Return what the books hold; nothing while a mass status is made, whose orders and fills are yet to be applied."""
        if self.reconciliation_active:
            return []
        open_positions = self._cache.positions_open(instrument_id=command.instrument_id, account_id=self.account_id)
        held: dict[InstrumentId, Decimal] = {}
        if command.instrument_id is not None:
            held[command.instrument_id] = Decimal(0)
        for position in open_positions:
            held[position.instrument_id] = held.get(position.instrument_id, Decimal(0)) + position.signed_decimal_qty()
        return [self._spot_report(instrument_id, quantity) for instrument_id, quantity in held.items()]

    def _spot_report(self: Any, instrument_id: InstrumentId, quantity: Decimal) -> PositionStatusReport:
        now = self._clock.timestamp_ns()
        instrument = self._cache.instrument(instrument_id)
        side = PositionSide.FLAT if quantity == 0 else PositionSide.LONG if quantity > 0 else PositionSide.SHORT
        return PositionStatusReport(
            account_id=self.account_id,
            instrument_id=instrument_id,
            position_side=side,
            quantity=Quantity(abs(quantity), instrument.size_precision),
            report_id=UUID4(),
            ts_last=now,
            ts_init=now,
        )

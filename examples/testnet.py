"""A testnet node in five lines: keys and addresses come from the environment and from ``.env``."""

from nautilus_trader.config import ImportableStrategyConfig

from config import TradingNodeConfigFactory, build_node

strategy = ImportableStrategyConfig(
    strategy_path="examples.strategies.round_trip:RoundTrip",
    config_path="examples.strategies.round_trip:RoundTripConfig",
    config={"instrument_id": "BTCUSDT-PERP.BINANCE", "quantity": "0.01"},
)

if __name__ == "__main__":
    node = build_node(TradingNodeConfigFactory.create_testnet(strategies=[strategy]))
    try:
        node.run(raise_exception=True)
    finally:
        node.dispose()

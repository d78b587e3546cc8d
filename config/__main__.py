"""``python -m config`` is ``tradingnode``."""

from config.cli import main

main()

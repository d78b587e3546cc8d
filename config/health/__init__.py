"""How a node says what it is doing: readiness file, systemd, HTTP, `tradingnode health`."""

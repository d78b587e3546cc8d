"""An exchange on loopback that speaks Binance USD-M futures, Binance spot and Bybit v5.

It exists so that the stock Nautilus clients can be run for real, without a network, an account or money.
`handle.Venue` starts one and steers it; `python -m tests.venue` runs one by hand.

Layers, each importing only those above it: `market` (instruments, prices) and `faults`, `books` (accounts, orders,
fills, positions), `wire` (what a request and a refusal are), `binance`, `binance_futures`, `binance_spot`, `bybit`
(shapes and routes), `server` (sockets and clock). Nothing above `server` does I/O or reads the clock.
"""

"""The fault matrix: what goes wrong, when, and how a node ends."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tests.integration.fault_stage import Lease
from tests.integration.fault_steps import (
    HUP,
    INT,
    MISFIT,
    TERM,
    Step,
    asked,
    asleep,
    behaves,
    below_a_file,
    ended,
    flat_at,
    forgets_orders,
    given,
    gone,
    hand,
    holding,
    holds_a_position,
    http_port_taken,
    insisted,
    killed,
    knows_other_keys,
    lease_elsewhere,
    lease_elsewhere_ends,
    misbehaves,
    misfit,
    moved_to_a_closed_port,
    never_ready,
    on,
    open_at,
    other_node,
    other_trader,
    paused,
    quotes_go_on,
    raising,
    raising_secrets,
    ready,
    redis_back,
    redis_closed,
    redis_demoted,
    redis_disk_fails,
    redis_drops_clients,
    redis_full,
    redis_holds,
    redis_killed,
    redis_loading,
    redis_log_on_full_disk,
    redis_old,
    redis_paused,
    redis_silent,
    redis_silent_asked,
    redis_taken,
    redis_under_tls,
    redis_user,
    redis_with,
    says,
    sent,
    settled,
    signalled_while_built,
    socket_in_the_way,
    standing,
    start,
    start_by_command,
    state_directory_gone,
    stopped,
    strategy,
    taken_over,
    unhealthy,
    unknown_instrument,
    without_venue_preflight,
)

type Phase = Literal["preflight", "lease", "connecting", "reconciling", "running", "stopping"]
PHASES: tuple[Phase, ...] = ("preflight", "lease", "connecting", "reconciling", "running", "stopping")


class Row(NamedTuple):
    """One row.

    Parameters
    ----------
    name : str
        What goes wrong.
    fault : tuple of Step
        How that comes about, in order; the node that is started last counts.
    phase : str
        What the node is doing then.
    code : int
        Exit code.
    seconds : float
        In which it ends, from its start or the signal that is to end it: a bound for hangs, not a measure.
    told : tuple of str
        What is said on stderr or in the log.
    lease : {'released', 'dead', 'untold', 'any'}
        How its lease stands then. A process that was killed, or ended itself at once, leaves the name of a dead one behind, which
        is no obstacle on this host; so does one whose Redis refuses to write. Untold where Redis is gone.
    slow : bool
        Waits for the time to live of a lease or the like: played with ``SOAK=1`` only.
    defect : str
        Why the row fails today; empty where it does not.

    """

    name: str
    fault: tuple[Step, ...]
    phase: Phase
    code: int
    seconds: float
    told: tuple[str, ...]
    lease: Lease = "released"
    slow: bool = False
    defect: str = ""


SIGNALS = (TERM, INT, HUP)
BOTH = ("BINANCE", "BYBIT")
# What is asked for at reconciliation only.
ORDERS = {"BINANCE": "/fapi/v1/openOrders", "BYBIT": "/v5/order/realtime"}
PRIVATE = {"BINANCE": "/ws", "BYBIT": "/v5/private"}
# What follows is the trader id, and why.
STOPPED = "stopped M"
UNASKED = "stopped before the node was started"
TRACE = ("Traceback (most recent call last)", "raise ValueError(self.config.text)", "error: the running node failed")
NO_REDIS_STEP, NO_VENUE_STEP = given(NAUTILUS_PREFLIGHT_SKIP="redis"), given(NAUTILUS_PREFLIGHT_SKIP="venues")
UNKNOWN = strategy(MISFIT, does="trades", instrument_id="NOPE-PERP.BINANCE")
# Nautilus' Bybit client loses, by chance, a refusal that comes within a millisecond: such an order is SUBMITTED for a minute.
NOT_AT_ONCE = misbehaves("slow", path="/v5/trade", ms=50)
HALTS = given(NAUTILUS_HALT_ON_SHUTDOWN="true")
CANCELS = given(NAUTILUS_CANCEL_ON_STOP="true")

OPENED_AGAIN = "a socket that opens and carries nothing is up: found out as the sixth drop, after 4 minutes"

# A table: each row in as few lines as there is room for.
# fmt: off
ROWS: tuple[Row, ...] = (
    # -- Redis before the start
    Row("redis: closed port", (redis_closed, start), "preflight", 6, 30, ("cannot be reached: connection refused",)),
    Row("redis: closed port, by command", (redis_closed, start_by_command), "preflight", 6, 30, ("connection refused",)),
    Row("redis: wrong password", (given(REDIS_PASSWORD="wrong"), start), "preflight", 6, 30, ("invalid username-password",)),
    Row("redis: user lacks a right", (redis_user("~* &* +@all -rpush"), start), "preflight", 6, 30, ("may not run RPUSH",)),
    Row("redis: TLS asked of a plain port", (given(REDIS_SSL="true"), start), "preflight", 6, 30, ("speaks no TLS",)),
    Row("redis: TLS not asked of a TLS port", (redis_under_tls, start), "preflight", 6, 30, ("speaks TLS, and REDIS_SSL",)),
    Row("redis: private certificate", (redis_under_tls, given(REDIS_SSL="true"), start), "preflight", 6, 30,
        ("comes from no public authority",)),
    Row("redis: never answers", (redis_silent, given(REDIS_TIMEOUT="1"), start), "preflight", 6, 30, ("no answer within 1 s",)),
    Row("redis: too old", (redis_old, start), "preflight", 6, 30, ("is version 5.0.7; Nautilus needs 6.2 or newer",)),
    Row("redis: replica", (redis_with("replicaof 127.0.0.1 1"), start), "preflight", 6, 30, ("is a read-only replica of",)),
    Row("redis: loading", (redis_loading, start), "preflight", 6, 30, ("is still loading its data",), lease="untold"),
    Row("redis: full", (redis_full, start), "preflight", 6, 30, ("is out of memory and refuses writes",)),
    Row("redis: append-only file fails", (redis_log_on_full_disk, start), "preflight", 6, 30,
        ("could not write the append-only file to its own disk",)),
    Row("redis: snapshot fails", (redis_disk_fails, start), "preflight", 6, 30, ("could not write the last snapshot",)),
    Row("redis: takes no more clients", (redis_with("maxclients 1"), redis_taken, start), "preflight", 6, 30,
        ("max number of clients reached",), lease="untold"),
    Row("redis: books of the live exchange", (redis_holds("HSET", "tradingnode:books:{trader_id}", "BINANCE", "LIVE"), start),
        "preflight", 8, 30, ("on BINANCE LIVE; this node would run on TESTNET",)),
    # -- disks before the start
    *(Row(f"disk: {name} below a file", (below_a_file(name), start), "preflight", 6, 30, ("cannot be written", name))
      for name in ("NAUTILUS_STATE_DIR", "NAUTILUS_LOG_DIRECTORY", "NAUTILUS_CATALOG_PATH")),
    # -- venues before the start
    Row("BINANCE: live key only", (given(BINANCE_FUTURES_TESTNET_API_KEY="", BINANCE_FUTURES_TESTNET_API_SECRET="",
        BINANCE_API_KEY="x" * 64, BINANCE_API_SECRET="y" * 64), start), "preflight", 5, 30, ("BINANCE_API_KEY is a LIVE key",)),
    *(Row(f"{venue}: {name}", (on(venue), step, start), "preflight", code, 30, (told,))
      for name, step, code, *told_by in (
          ("bad key", misbehaves("bad_key"), 5, "(-2015)", "(10003)"),
          ("key of another environment", knows_other_keys, 5, "for another environment", "for another environment"),
          ("500", misbehaves("http_500"), 6, "BINANCE fails to answer (HTTP 500)", "BYBIT fails to answer (HTTP 500)"),
          ("too many requests", misbehaves("rate_limit"), 6, "too many requests from here (-1003)", "requests from here (10006)"),
          ("banned", misbehaves("rate_limit", banned=True), 6, "has banned this address", "too many requests"),
          ("no answer", misbehaves("hang"), 6, "does not answer in time", "does not answer in time"),
          ("closed port", moved_to_a_closed_port, 6, "cannot be reached", "cannot be reached"),
          ("clock skew", misbehaves("clock_skew"), 6, "behind BINANCE's", "behind BYBIT's"),
          ("may not trade", misbehaves("no_trading"), 5, "canTrade", "readOnly"),
      )
      for venue, told in zip(BOTH, told_by, strict=True)),
    Row("BINANCE: hedge mode", (misbehaves("hedge_mode"), start), "preflight", 5, 30, ("(hedge mode,",)),
    Row("BYBIT: hedge mode", (on("BYBIT"), given(BYBIT_INSTRUMENT_IDS="BTCUSDT-LINEAR.BYBIT"), misbehaves("hedge_mode"), start),
        "preflight", 5, 30, ("(hedge mode,",)),
    Row("BYBIT: classic account", (on("BYBIT"), misbehaves("other_account"), start), "preflight", 5, 30, ("does not fit the",)),
    *(Row(f"{venue}: slow", (on(venue), misbehaves("slow", ms=200), start, ready, sent(TERM)), "preflight", 0, 30, (STOPPED,))
      for venue in BOTH),
    # -- signals before there is a node
    *(Row(f"{number.name} while Redis is asked", (redis_silent_asked, sent(number)), "preflight", 0, 10, (UNASKED,))
      for number in SIGNALS),
    Row("SIGTERM while the venue is asked", (misbehaves("hang"), start, asked("GET"), sent(TERM)), "preflight", 0, 10,
        (UNASKED,)),
    Row("SIGTERM while Nautilus is imported, by command", (start_by_command, says("starting "), sent(TERM)), "preflight", 0, 10,
        (UNASKED,)),
    # -- the lease, and what is done between the preflight and the node
    Row("lease: user may not watch keys", (NO_REDIS_STEP, redis_user("~* &* +@all -watch"), start), "lease", 6, 30,
        ("keeps no lease",)),
    Row("lease: Redis closed, unasked before", (NO_REDIS_STEP, redis_closed, start), "lease", 6, 30,
        ("cannot be reached to take the lease",)),
    Row("lease: Redis killed while it is awaited", (lease_elsewhere, start, says("lease: waiting"), redis_killed), "lease", 6, 30,
        ("cannot be reached to take the lease",), lease="untold"),
    *(Row(f"{number.name} while the lease is awaited", (lease_elsewhere, start, says("lease: waiting"), sent(number)), "lease",
          0, 10, ("is held by another node: trader OTHER-001", UNASKED)) for number in SIGNALS),
    Row("lease: held by a live node", (other_node, start), "lease", 6, 60, ("is held by another node: trader OTHER-001",),
        slow=True),
    Row("lease: held, and not wanted", (other_node, given(NAUTILUS_LEASE="false"), start, ready, sent(TERM)), "lease", 0, 30,
        (STOPPED,)),
    Row("lease: of a dead process", (start, ready, killed, start, ready, sent(TERM)), "lease", 0, 30, (STOPPED,)),
    Row("lease: of a dead host", (lease_elsewhere, start, says("lease: waiting"), lease_elsewhere_ends, ready, sent(TERM)),
        "lease", 0, 30, ("process ", "on elsewhere")),
    Row("node: HTTP port taken", (http_port_taken, start), "lease", 6, 30, ("NAUTILUS_HTTP_PORT",)),
    Row("node: halted before", (hand("halt", "the next one starts halted"), start, standing("restricted", "operator: by the"),
        sent(TERM)), "lease", 0, 30, ("restricted (operator): by the matrix",)),
    # -- connecting: what the preflight has not seen, or left out
    Row("redis: closed, unasked before, no lease", (NO_REDIS_STEP, given(NAUTILUS_LEASE="false"), redis_closed, start),
        "connecting", 6, 30, ("cannot be used",)),
    Row("redis: foreign key among the orders", (redis_holds("SET", "trader-{trader_id}:orders:O-1", "x"), start), "connecting",
        6, 30, ("cannot be used",)),
    *(Row(f"redis: killed while connecting, {policy}",
          (NO_VENUE_STEP, given(NAUTILUS_ON_REDIS_LOSS=policy, NAUTILUS_READY_TIMEOUT="5"), misbehaves("hang"), start,
           says("Awaiting engine connections"), redis_killed), "connecting", code, 30, (told,), lease="untold")
      for policy, code, told in (("halt", 7, "not ready within 5 s"), ("stop", 9, "the connection to Redis at"))),
    *(Row(f"{venue}: {name}, unasked before", (on(venue), without_venue_preflight, step, start), "connecting", code, 30,
          (f"execution client {venue} ", told))
      for name, step, code, *told_by in (
          ("bad key", misbehaves("bad_key"), 5, "-2015", "10003"),
          ("500", misbehaves("http_500"), 7, "Internal Server Error", "connect"),
          ("no answer", misbehaves("hang"), 7, "is not connected", "is not connected"),
          ("closed port", moved_to_a_closed_port, 7, "connect", "connect"),
          ("clock skew", misbehaves("clock_skew"), 7, "-1021", "10002"),
      )
      for venue, told in zip(BOTH, told_by, strict=True)),
    Row("BINANCE: banned, unasked before", (without_venue_preflight, misbehaves("rate_limit", banned=True), start), "connecting",
        7, 30, ("-1003",)),
    Row("BINANCE: hedge mode, unasked before", (without_venue_preflight, misbehaves("hedge_mode"), start), "connecting", 7, 30,
        ("cannot connect: ValueError: Cannot use `reduce_only` with Binance Hedge Mode",)),
    *(Row(f"{venue}: private stream fails", (on(venue), without_venue_preflight, misbehaves("http_500", path=path), start),
          "connecting", 7, 30, (f"execution client {venue} ",)) for venue, path in PRIVATE.items()),
    Row("BYBIT: half-open sockets", (on("BYBIT"), without_venue_preflight, misbehaves("half_open"), start, never_ready),
        "connecting", 7, 30, ("its socket private is not logged on to",)),
    Row("BINANCE answers, BYBIT does not", (on(*BOTH), without_venue_preflight, misbehaves("hang", venue="BYBIT"), start),
        "connecting", 7, 30, ("execution client BYBIT is not connected",)),
    Row("BINANCE: unknown instrument", (unknown_instrument("BINANCE"), start, never_ready), "connecting", 7, 30,
        ("NOPE-PERP.BINANCE",)),
    Row("BYBIT: unknown instrument", (unknown_instrument("BYBIT"), start, never_ready), "connecting", 7, 30,
        ("NOPE-LINEAR.BYBIT",)),
    Row("BINANCE: strategy names an unknown instrument", (UNKNOWN, without_venue_preflight, start, never_ready), "connecting",
        7, 30, ("NOPE-PERP.BINANCE",)),
    *(Row(f"{number.name} while the node is built", (signalled_while_built(number), start, never_ready), "connecting", 0, 30,
          ("stopped ",)) for number in SIGNALS),
    *(Row(f"{number.name} while connecting", (NO_VENUE_STEP, misbehaves("hang"), start, says("Awaiting engine connections"),
          sent(number)), "connecting", 0, 20, (STOPPED,)) for number in SIGNALS),
    # -- reconciling
    *(Row(f"{number.name} while reconciling", (misbehaves("hang", path=ORDERS["BINANCE"]), start,
          asked(f"GET {ORDERS['BINANCE']}"), sent(number)), "reconciling", 0, 20, (STOPPED,)) for number in SIGNALS),
    Row("BYBIT: SIGTERM while reconciling", (on("BYBIT"), misbehaves("hang", path=ORDERS["BYBIT"]), start,
        asked(f"GET {ORDERS['BYBIT']}"), sent(TERM)), "reconciling", 0, 20, (STOPPED,)),
    *(Row(f"{venue}: {name} of the orders", (on(venue), given(NAUTILUS_RECONCILIATION_TIMEOUT="2", NAUTILUS_READY_TIMEOUT="4"),
          misbehaves(fault, path=path), start), "reconciling", 7, 30, ("error: not ready", f"reconciliation of {venue}"))
      for venue, path in ORDERS.items() for name, fault in (("no answer", "hang"), ("500", "http_500"))),
    *(Row(f"{venue}: position that is not in the books", (holding(venue, rest=False), start, holds_a_position, stopped,
          other_trader(venue, other), start, never_ready), "reconciling", 7, 30, (" in the books, 0.01",))
      for venue, other in (("BINANCE", "ETHUSDT-PERP.BINANCE"), ("BYBIT", "ETHUSDT-LINEAR.BYBIT"))),
    # -- running: Redis
    Row("redis: frozen for 4 s", (start, ready, redis_paused(4), says("lifted (redis)"), sent(TERM)), "running", 0, 30,
        ("restricted (redis): Redis at", "has not answered for")),
    Row("redis: frozen for 10 s", (start, ready, redis_paused(10), says("lifted (redis)"), says("lifted (lease)"),
        standing("ready"), sent(TERM)), "running", 0, 30, ("restricted (lease): the lease was not renewed",), slow=True),
    *(Row(f"redis: killed, {policy}", (given(NAUTILUS_ON_REDIS_LOSS=policy), start, ready, redis_killed, *steps), "running",
          code, 30, ("the connection to Redis at", told), lease="untold")
      for policy, steps, code, told in (
          ("warn", (says("the connection to Redis at"), sent(TERM)), 0, "stopped "),
          ("halt", (standing("restricted", "redis: the connection"), sent(TERM)), 0, "restricted (redis)"),
          ("stop", (), 9, "NAUTILUS_ON_REDIS_LOSS=halt would go on without new risk"),
      )),
    Row("redis: killed and back", (start, ready, redis_killed, says("restricted (redis)"), redis_back, asleep(3),
        standing("restricted", "redis: "), sent(TERM)), "running", 0, 30, ("restart the node: it reconciles from the venue",)),
    Row("redis: killed and back, restarted", (start, ready, redis_killed, says("restricted (redis)"), redis_back, asleep(2),
        stopped, start, ready, standing("ready"), sent(TERM)), "running", 0, 30, (STOPPED,)),
    *(Row(f"redis: {name} meanwhile", (start, ready, step, standing("restricted", "refuses to write"), sent(TERM)), "running", 0,
          30, ("restricted (redis): Redis at", "the lease could not be given back"), lease="dead")
      for name, step in (("disk fails", redis_disk_fails), ("demoted", redis_demoted))),
    # A full Redis refuses to delete, where a full Valkey does.
    Row("redis: full meanwhile", (start, ready, redis_full, standing("restricted", "refuses to write"), sent(TERM)), "running", 0,
        30, ("restricted (redis): Redis at",), lease="any"),
    Row("redis: full meanwhile, stop", (given(NAUTILUS_ON_REDIS_LOSS="stop"), start, ready, redis_full), "running", 9, 30,
        ("refuses to write",), lease="any"),
    Row("redis: connections dropped", (start, ready, redis_drops_clients, standing("restricted", "redis: "), sent(TERM)),
        "running", 0, 30, ("restricted (redis): the connection to Redis at",)),
    # -- running: venues
    *(Row(f"{venue}: {name} meanwhile", (holding(venue), start, settled, step, asleep(1), behaves, quotes_go_on, sent(TERM)),
          "running", 0, 30, (STOPPED,))
      for venue in BOTH
      for name, step in (("disconnect", misbehaves("disconnect")), ("500", misbehaves("http_500")),
                         ("no answer", misbehaves("hang")))),
    *(Row(f"{venue}: gone meanwhile", (holding(venue), given(NAUTILUS_VENUE_OUTAGE_SECS="1"), start, settled, gone,
          standing("restricted", f"no connection to {venue}"), sent(TERM)), "running", 0, 30, (f"restricted (venue {venue})",))
      for venue in BOTH),
    *(Row(f"{venue}: gone and back", (holding(venue), given(NAUTILUS_VENUE_OUTAGE_SECS="1"), start, settled, gone,
          standing("restricted", f"no connection to {venue}"), behaves, standing("ready", timeout=90), quotes_go_on, sent(TERM)),
          "running", 0, 30, (f"lifted (venue {venue})",), slow=True) for venue in BOTH),
    *(Row(f"{venue}: half-open sockets meanwhile", (holding(venue), given(NAUTILUS_VENUE_OUTAGE_SECS="5"), start, settled,
          misbehaves("half_open"), standing("restricted", f"no connection to {venue}", timeout=120), sent(TERM)), "running", 0,
          60, (f"restricted (venue {venue})",), slow=True, defect=defect)
      for venue, defect in (("BINANCE", OPENED_AGAIN), ("BYBIT", ""))),
    *(Row(f"{venue}: disconnect every 30 s", (holding(venue), start, settled, *(misbehaves("disconnect"), quotes_go_on,
          asleep(30)) * 3, quotes_go_on, sent(TERM)), "running", 0, 30, (STOPPED,), slow=True) for venue in BOTH),
    *(Row(f"{venue}: disconnect again and again", (holding(venue), start, settled, *(misbehaves("disconnect"), quotes_go_on) * 6,
          standing("restricted", "drops again and again"), sent(TERM)), "running", 0, 30, (f"restricted (venue {venue})",),
          slow=True)
      for venue in BOTH),
    *(Row(f"{venue}: order forgotten", (holding(venue), start, settled, forgets_orders(venue),
          standing("restricted", f"orders {venue}", timeout=90), sent(TERM)), "running", 0, 30,
          (f"restricted (orders {venue})",), slow=True)
      for venue in BOTH),
    *(Row(f"{venue}: wrong precision", (on(venue), misfit("too_precise", venue), start,
          says("was refused, and the strategy goes on"), sent(TERM)), "running", 0, 30, (STOPPED,)) for venue in BOTH),
    *(Row(f"{venue}: orders refused", (on(venue), misbehaves("reject_orders"), NOT_AT_ONCE, misfit("trades", venue), start,
          says("was refused, and the strategy goes on"), sent(TERM)), "running", 0, 30, (STOPPED,)) for venue in BOTH),
    # -- running: strategies
    *(Row(f"strategy raises in {where}", (raising(where), start), "running", 9, 30, TRACE)
      for where in ("on_start", "on_quote_tick")),
    *(Row(f"strategy raises a secret in {where}", (raising_secrets(where), start), "running", 9, 30,
          (*TRACE, "leaked ***, as the")) for where in ("on_start", "on_quote_tick")),
    Row("strategy leaves with sys.exit", (misfit("exits"), start), "running", 9, 30, ("SystemExit",)),
    Row("strategy asks for the end", (misfit("asks_for_the_end"), start), "running", 0, 30, (STOPPED,)),
    Row("strategy asks for the end, and the node is started again", (misfit("asks_for_the_end"), HALTS, start, ended(0), start,
        says("restricted (operator): Misfit-000 asked for the end: the strategy is done")), "running", 0, 30,
        ("halted by Misfit-000: the next start takes no new risk until `tradingnode resume`",)),
    Row("strategy stops itself", (misfit("stops"), start, ready, asleep(2.5), sent(TERM)), "running", 0, 30,
        ("nobody tends its orders",)),
    Row("strategy holds the loop for 4 s", (misfit("pauses"), start, says("the event loop turns again"), sent(TERM)), "running",
        0, 30, ("the event loop has stood still for", " pauses")),
    Row("strategy blocks the loop", (misfit("blocks"), given(NAUTILUS_STOP_TIMEOUT="5"), start, says("has stood still for"),
        unhealthy("its event loop is stuck", "--max-age", "2"), sent(TERM)), "running", 9, 30,
        (" blocks", "the node did not stop within 5 s and was ended"), lease="dead"),
    Row("strategy blocks the loop for long", (misfit("blocks"), given(NAUTILUS_STOP_TIMEOUT="5"), start,
        unhealthy("its event loop is stuck"), sent(TERM)), "running", 9, 30, (" blocks",), lease="dead", slow=True),
    # -- running: the process, its files, signals, hands
    Row("node: killed", (start, ready, killed, unhealthy("has ended without removing its readiness file")), "running", -9, 30,
        ("ready ",), lease="dead"),
    Row("node: suspended for 9 s", (start, ready, paused(9), says("lifted (lease)"), sent(TERM)), "running", 0, 30,
        ("restricted (lease): the lease was not renewed",), slow=True),
    Row("node: suspended, and replaced", (start, ready, taken_over), "running", 9, 90, ("is held by another node",), slow=True),
    Row("disk: something in the control socket's place", (socket_in_the_way, start, ready, standing("restricted", "watch"),
        sent(TERM)), "running", 0, 30, ("what watches this node failed",)),
    Row("disk: state directory removed", (start, ready, state_directory_gone, asleep(2), sent(TERM)), "running", 0, 30,
        (STOPPED,)),
    *(Row(f"{number.name} while running", (start, ready, sent(number)), "running", 0, 30,
          (f"({number.name})",)) for number in SIGNALS),
    Row("SIGTERM while running, by command", (start_by_command, ready, sent(TERM)), "running", 0, 30, (STOPPED,)),
    Row("node: halted and resumed", (start, ready, hand("halt", "halted"), standing("restricted", "operator"),
        hand("resume", "resumed"), standing("ready"), sent(TERM)), "running", 0, 30,
        ("restricted (operator): by the matrix", "lifted (operator)")),
    *(Row(f"{venue}: flattened", (holding(venue), start, settled, hand("flatten", "flat after"), flat_at(venue),
          open_at(venue, 0), sent(TERM)), "running", 0, 30, ("restricted (operator): by the matrix",)) for venue in BOTH),
    # -- stopping
    *(Row(f"strategy raises in {where}", (raising(where), start, ready, sent(TERM)), "stopping", 9, 30, TRACE)
      for where in ("on_stop", "on_save")),
    Row("strategy raises a secret in on_stop", (raising_secrets("on_stop"), start, ready, sent(TERM)), "stopping", 9, 30,
        (*TRACE, "leaked ***, as the")),
    *(Row(f"{first.name}, then {second.name}", (holding("BINANCE"), CANCELS, given(NAUTILUS_STOP_TIMEOUT="40"), start, settled,
          misbehaves("hang"), sent(first), standing("stopping"), sent(second)), "stopping", 128 + second, 10, (), lease="dead")
      for first, second in ((TERM, TERM), (TERM, INT), (HUP, TERM))),
    Row("SIGTERM again while the loop is blocked", (misfit("blocks"), given(NAUTILUS_STOP_TIMEOUT="40"), start,
        says("blocks from now"), insisted(TERM)), "stopping", 143, 10, (), lease="dead"),
    *(Row(f"{venue}: no answer at the stop", (on(venue), start, ready, misbehaves("hang"), sent(TERM)), "stopping", 0, 30,
          (STOPPED,)) for venue in BOTH),
    *(Row(f"{venue}: orders stay", (holding(venue), start, settled, sent(TERM), ended(0), open_at(venue, 1)), "stopping", 0, 30,
          (STOPPED,)) for venue in BOTH),
    *(Row(f"{venue}: cancels refused at the stop", (holding(venue, cancel=True), start, settled, misbehaves("refuse_cancels"),
          sent(TERM)), "stopping", 9, 30, (f"is still open at {venue}",)) for venue in BOTH),
    *(Row(f"{venue}: cancel on stop", (holding(venue), CANCELS, start, settled, sent(TERM), ended(0), open_at(venue, 0)),
          "stopping", 0, 30, (STOPPED,)) for venue in BOTH),
    *(Row(f"{venue}: cancel on stop, {name}", (holding(venue), CANCELS, given(NAUTILUS_STOP_TIMEOUT="5"), start, settled,
          misbehaves(fault), sent(TERM)), "stopping", 9, 30, (f"is still open at {venue}",))
      for venue, name, fault in (("BINANCE", "refused", "refuse_cancels"), ("BINANCE", "500", "http_500"),
                                 ("BINANCE", "no answer", "hang"), ("BYBIT", "refused", "refuse_cancels"),
                                 ("BYBIT", "no answer", "hang"))),
)
# fmt: on

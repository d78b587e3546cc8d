"""`tradingnode reset` against a real Redis: one trader's keys go and nothing else does, never under a running node."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from config.models import RedisConfig
from config.problems import ConfigError, Problem
from config.show.report import print_stored
from config.store.lease import COMMANDS, Holder, Lease, account_name, trader_name
from config.store.reset import BATCH, KINDS, PAGE, delete, refuse_if_held, stored
from tests.conftest import CANARIES, Start
from tests.integration.books import config_of, holder, persisted, reported, settled
from tests.integration.markets import USD_M
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

# What a node needs anyway, as preflight tries it, beside the lease's own.
RIGHTS = {"scan", "get", "smembers", "hgetall", "del", *COMMANDS}


def fill(client: Any, trader_id: str) -> None:
    """Write a key of each kind, as Nautilus names them, and two with names that nobody expects."""
    begin = f"trader-{trader_id}:"
    for name in ("orders:O-1", "orders:O-2", "positions:P-1", "accounts:A-1", "snapshots:positions:P-1"):
        client.rpush(f"{begin}{name}", b"\xde\x00\x1b")
    for name in ("instruments:I-1", "currencies:BTC", "strategies:S-000:state", "actors:A-000:state", "general:x"):
        client.set(f"{begin}{name}", b"\x00\xff")
    for name, members in (
        ("orders", ["O-1", "O-2", "O-3", "O-4"]),
        ("orders_open", ["O-1", "O-2"]),
        ("orders_inflight", ["O-2", "O-3"]),
        ("positions_open", ["P-1"]),
    ):
        client.sadd(f"{begin}index:{name}", *members)
    client.xadd(f"{begin}stream:events.order", {"payload": "x"})
    client.xadd(f"{begin}stream", {"payload": "x"})
    client.set(f"{begin}".encode() + b"\xff\xfe: new\nline", "x")
    client.set(begin, "x")
    client.hset(f"tradingnode:books:{trader_id}", "environments", "BINANCE TESTNET")


COUNTS = {
    "indexes": 4,
    "orders": 2,
    "positions": 1,
    "accounts": 1,
    "states": 2,
    "snapshots": 1,
    "streams": 2,
    "instruments": 1,
    "currencies": 1,
    "others": 3,
    "marks": 1,
}


def everything(client: Any) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter("*", count=PAGE)}


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(ConfigError) as raised:
        call()
    (problem,) = raised.value.problems
    assert 6 == raised.value.exit_code
    return problem


def test_all_of_a_trader_is_counted_by_kind_and_deleted(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    before = everything(client)
    found = stored(config, "T-1")
    assert before == everything(client)
    assert COUNTS == found.counts
    assert list(KINDS) == list(found.counts)
    assert (len(before), 3, 1) == (found.total, found.orders_open, found.positions_open)
    assert found == delete(config, "T-1")
    assert {b"tradingnode:lease:last:trader:T-1"} == set(everything(client))
    assert 0 == stored(config, "T-1").total == delete(config, "T-1").total


TRADERS = (
    "T-1", "T-10", "T-1X", "T-1-1", "AT-1", "t-1", "T-2", "T_1", "Tx-1", "T*-1", "T?-1", "T[xy]-1", "T\\-1", "T^-1",
    "T[^z]-1", "T\\x-1", "T\\\\-1", "**-1", "-",
)  # fmt: skip


def test_nothing_but_the_traders_own_is_deleted(config: RedisConfig, client: Any) -> None:
    """Ids with characters that patterns know are refused by the settings; even those would match nobody else."""
    for trader_id in TRADERS:
        fill(client, trader_id)
        for key in ("xtrader-{}:orders:O-1", "trader-{}", "trader-{};orders", "{}:orders", "tradingnode:halted:{}"):
            client.set(key.format(trader_id), "x")
    for key in ("orders:O-1", "tradingnode:lease:trader:OTHER-1", account_name("BYBIT", "TESTNET", "k")):
        client.set(key, "x")
    for trader_id in TRADERS:
        before = everything(client)
        prefix, mark = f"trader-{trader_id}:".encode(), f"tradingnode:books:{trader_id}".encode()
        expected = {key: value for key, value in before.items() if not key.startswith(prefix) and key != mark}
        assert sum(COUNTS.values()) == len(before) - len(expected) == delete(config, trader_id).total
        after = everything(client)
        del after[f"tradingnode:lease:last:trader:{trader_id}".encode()]
        assert expected == after


def test_more_keys_than_fit_into_a_page_go_in_batches_with_the_mark_at_the_end(
    config: RedisConfig, client: Any
) -> None:
    number = PAGE + BATCH + 1
    for trader_id in ("T-1", "T-10"):
        client.mset({f"trader-{trader_id}:general:{each}": "x" for each in range(number)})
    client.hset("tradingnode:books:T-1", "environments", "BINANCE TESTNET")
    progress: list[tuple[int, int]] = []
    marked: list[int] = []

    def told(done: int, total: int) -> None:
        progress.append((done, total))
        marked.append(client.exists("tradingnode:books:T-1"))

    assert number + 1 == delete(config, "T-1", on_progress=told).total
    assert [(min(BATCH * each, number + 1), number + 1) for each in range(1, 8)] == progress
    assert [1, 1, 1, 1, 1, 1, 0] == marked
    assert number == stored(config, "T-10").total


def test_what_is_cut_short_leaves_nothing_that_refers_to_what_is_gone(config: RedisConfig, client: Any) -> None:
    """Nautilus does not start with `index:order_position` and not its orders, and may stay flat without the positions."""

    class StopError(Exception):
        pass

    def stop(_done: int, _total: int) -> None:
        raise StopError

    fill(client, "T-1")
    for number in range(2 * BATCH):
        client.rpush(f"trader-T-1:orders:O-1-{number}", "x")
    with pytest.raises(StopError):
        delete(config, "T-1", on_progress=stop)
    left = BATCH + COUNTS["indexes"] + COUNTS["orders"]
    assert {**COUNTS, "indexes": 0, "orders": left} == (found := stored(config, "T-1").counts)
    assert not client.exists(trader_name("T-1"))
    assert sum(found.values()) == delete(config, "T-1").total


def test_command_needs_no_right_that_a_node_does_not_need(config: RedisConfig, client: Any) -> None:
    """So it cannot be KEYS, nor FLUSHDB, nor SCRIPT; UNLINK is not among them, and DEL takes its place."""
    fill(client, "T-1")
    rights = [f"+{name}" for name in sorted(RIGHTS)]
    client.execute_command(
        "ACL", "SETUSER", "u", "reset", "on", ">pw", "~trader-T-1:*", "~tradingnode:*", "-@all", *rights
    )
    limited = config.model_copy(update={"username": "u", "password": SecretStr("pw")})
    assert COUNTS == stored(limited, "T-1").counts
    assert COUNTS == delete(limited, "T-1").counts
    assert 0 == stored(config, "T-1").total
    refused = {entry[b"object"] for entry in map(as_mapping, client.execute_command("ACL", "LOG"))}
    assert refused <= {b"unlink", b"client|setinfo"}  # what redis-py says of itself is no loss


def as_mapping(entry: Any) -> Mapping[bytes, Any]:
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


@pytest.mark.parametrize("missing", sorted(RIGHTS - {"unwatch"}))
def test_right_that_is_missing_is_told_and_leaves_all_as_it_was(missing: str, config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    rights = [f"+{name}" for name in sorted(RIGHTS - {missing})]
    client.execute_command("ACL", "SETUSER", "u", "reset", "on", ">pw", "~*", "-@all", *rights)
    limited = config.model_copy(update={"username": "u", "password": SecretStr("pw")})
    problem = problem_of(lambda: delete(limited, "T-1"))
    assert "TN603" == problem.code
    assert missing in problem.fix
    assert COUNTS == stored(config, "T-1").counts


def test_running_node_is_named_and_nothing_is_deleted(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    with Lease(config, [trader_name("T-1")], "T-1"):
        before = everything(client)
        for call in (delete, refuse_if_held):
            began = time.monotonic()
            problem = problem_of(lambda call=call: call(config, "T-1"))  # type: ignore[misc]  # bound at once
            assert time.monotonic() - began < 5  # it does not wait for the lease's 15 s
            assert ("TN614", "NAUTILUS_TRADER_ID") == (problem.code, problem.key)
            holder = Holder.of_this_process("T-1")
            assert f"trader T-1, process {holder.pid} on {holder.host}, since " in problem.message
            assert f"stop it (kill {holder.pid})" in problem.fix
        without_life = {key for key in before if key != b"tradingnode:lease:trader:T-1"}
        assert without_life == set(everything(client)) - {b"tradingnode:lease:trader:T-1"}
        assert COUNTS == stored(config, "T-1").counts
        assert 0 == delete(config, "T-2").total
    refuse_if_held(config, "T-1")


def test_holder_elsewhere_and_what_no_node_wrote_are_in_the_way(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    name, here = trader_name("T-1"), Holder.of_this_process("T-1")
    for text, words in (
        (replace(here, host="far-away", host_id="0" * 16).text, "stop it on far-away and reset again"),
        ("held", f"delete {name}"),
        ("", f"delete {name}"),
    ):
        client.set(name, text)
        problem = problem_of(lambda: delete(config, "T-1"))
        assert "TN614" == problem.code
        assert words in problem.fix
        assert text.encode() == client.get(name)
        assert COUNTS == stored(config, "T-1").counts


def test_node_that_died_on_this_host_is_in_nobodys_way(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    here = Holder.of_this_process("T-1")
    assert here.process_start is not None
    client.set(trader_name("T-1"), replace(here, process_start=here.process_start - 1).text, px=60_000)
    assert COUNTS == delete(config, "T-1").counts
    assert not client.exists(trader_name("T-1"))


def test_no_node_can_start_while_keys_are_deleted(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    refused: list[Problem] = []

    def try_to_start(_done: int, _total: int) -> None:
        node = Lease(config, [trader_name("T-1")], "T-1", time_to_live=0.2)
        refused.append(problem_of(node.acquire))

    delete(config, "T-1", on_progress=try_to_start)
    assert ["TN614"] == [problem.code for problem in refused]
    Lease(config, [trader_name("T-1")], "T-1").acquire().release()


def test_node_that_took_the_lease_over_meanwhile_keeps_what_is_left(config: RedisConfig, client: Any) -> None:
    """As after a suspension of this process for longer than its lease lives."""
    client.mset({f"trader-T-1:general:{each}": "x" for each in range(3 * BATCH)})

    def overtaken(done: int, _total: int) -> None:
        assert BATCH == done
        client.set(trader_name("T-1"), replace(Holder.of_this_process("T-1"), host_id="0" * 16).text)
        time.sleep(0.6)

    problem = problem_of(lambda: delete(config, "T-1", on_progress=overtaken, time_to_live=0.6))
    assert "TN614" == problem.code
    assert f"of {3 * BATCH:,} keys {BATCH:,} are certainly deleted" in problem.message
    assert 2 * BATCH == stored(config, "T-1").total


def test_node_without_a_lease_is_found_by_what_it_writes(config: RedisConfig, client: Any) -> None:
    fill(client, "T-1")
    problem = problem_of(
        lambda: delete(config, "T-1", on_progress=lambda *_: client.rpush("trader-T-1:orders:O-9", b"x"))
    )
    assert "TN614" == problem.code
    assert "1 key of trader T-1 came while" in problem.message
    assert 1 == client.exists("trader-T-1:orders:O-9")


def test_redis_that_goes_away_meanwhile_is_told_with_how_far_it_got() -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        with Redis(port=server.port, password=CANARIES["REDIS_PASSWORD"]) as client:
            client.mset({f"trader-T-1:general:{each}": "x" for each in range(2 * BATCH)})
        problem = problem_of(lambda: delete(config_of(server), "T-1", on_progress=lambda *_: server.kill()))
    assert "TN601" == problem.code
    assert f"of {2 * BATCH:,} keys {BATCH:,} are certainly deleted" in problem.message
    assert "then reset again" in problem.fix


def test_redis_that_cannot_be_used_is_told_without_a_password(config: RedisConfig) -> None:
    wrong = config.model_copy(update={"password": SecretStr("canary-wrong-password")})
    none = config.model_copy(update={"password": None})
    stranger = config.model_copy(update={"username": "stranger"})
    with RedisServer() as gone:
        down = config.model_copy(update={"port": gone.port})
    for redis, code in ((wrong, "TN602"), (none, "TN602"), (stranger, "TN602"), (down, "TN601")):
        for call in (stored, refuse_if_held, delete):
            problem = problem_of(lambda call=call, redis=redis: call(redis, "T-1"))  # type: ignore[misc]  # bound at once
            assert code == problem.code
            assert f"127.0.0.1:{redis.port}" in problem.message
            assert not [secret for secret in (CANARIES["REDIS_PASSWORD"], "canary-wrong") if secret in str(problem)]


def test_server_that_repeats_what_it_does_not_know_makes_no_password_seen(config: RedisConfig) -> None:
    """As Redis does: "unknown command `AUTH`, with args beginning with: `...`"."""

    class Repeating(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline()).startswith(b"*"):
                words = [(self.rfile.readline(), self.rfile.readline().strip())[1] for _ in range(int(line[1:]))]
                self.wfile.write(b"-ERR unknown command, with args beginning with: %s\r\n" % b" ".join(words))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Repeating) as repeating:
        threading.Thread(target=repeating.serve_forever, daemon=True).start()
        odd = config.model_copy(update={"port": repeating.server_address[1]})
        problem = problem_of(lambda: stored(odd, "T-1"))
        repeating.shutdown()
    assert "***" in problem.message
    assert CANARIES["REDIS_PASSWORD"] not in str(problem)


def test_frozen_redis_is_told_in_time(server: RedisServer, config: RedisConfig) -> None:
    server.pause()
    waking = threading.Timer(20, server.resume)
    waking.start()
    try:
        assert "TN601" == problem_of(lambda: delete(config, "T-1")).code
        assert waking.is_alive()
    finally:
        waking.cancel()
        server.resume()


def test_table_tells_kinds_numbers_and_consequences(
    config: RedisConfig, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    print_stored(stored(config, "T-1"))
    assert f"T-1 has nothing in Redis at 127.0.0.1:{config.port}" == capsys.readouterr().out.strip()
    fill(client, "T-1")
    found = stored(config, "T-1")
    print_stored(found)
    text = capsys.readouterr().out
    assert f"T-1 has 19 keys in Redis at 127.0.0.1:{config.port}" in text
    assert [["orders", "2"]] == [line.split()[:2] for line in text.splitlines() if line.startswith("orders ")]
    assert "3 orders and 1 position are open in these books" in text
    assert "EXTERNAL" in text
    assert "begin anew" in text
    assert {"trader_id": "T-1", "keys": 19, "orders_open": 3, "positions_open": 1} == {
        key: value for key, value in json.loads(json.dumps(found.to_dict())).items() if key not in ("kinds", "redis")
    }
    client.delete("trader-T-1:index:orders_open", "trader-T-1:index:positions_open")
    client.srem("trader-T-1:index:orders_inflight", "O-2")
    assert stored(config, "T-1").consequences[0].startswith("1 order is open in these books. ")


def test_books_of_a_real_node_are_deleted_and_the_next_start_finds_what_is_open_as_external(
    start: Start, testnet: dict[str, str], venue: Venue, redis: RedisServer, tmp_path: Path
) -> None:
    environ = USD_M.environ(testnet, venue)
    trader_id = environ["NAUTILUS_TRADER_ID"]
    config = config_of(redis)
    strategy = holder(tmp_path, USD_M.instrument_id, rest=True)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    before = first.wait_for(reported(tmp_path, settled))
    first.wait_for(persisted(redis, trader_id, USD_M.order_events))
    assert 0 == first.stop()
    (tmp_path / "report.json").unlink()

    found = delete(config, trader_id)
    assert (2, 1, 1, 1) == (found.counts["orders"], found.counts["positions"], found.orders_open, found.positions_open)
    assert 0 == found.counts["others"]
    assert 0 < found.counts["states"]
    assert 0 == stored(config, trader_id).total

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    second.wait_for("ready ")
    after = second.wait_for(reported(tmp_path, lambda books: books["quotes"] > 3 and books["positions"]))
    assert ["Holder-000"] == sorted({row[0] for row in before["orders"]})
    assert ["EXTERNAL", "LIMIT", "ACCEPTED"] in after["orders"]
    assert [["EXTERNAL", "LONG"]] == [row[:2] for row in after["positions"]]
    assert 0 == second.stop()

"""How soon a backend hears that the client has left: five points, a hundred clients each, every transport.

Between the client's close and the line of the backend's journal, both on the monotonic clock.
MAASGATE_CANCELS=N makes it another number than a hundred.
"""
import os
import socket
import time

import pytest
from fault_backend import TRANSPORTS, scripted
from gate import SLOW, wait_until
from reconcile import rid_of

CANCELS = int(os.environ.get("MAASGATE_CANCELS", 100 if SLOW == 1 else 20))
BOUND_MS = 50  # what is promised
NOISE = 4      # and how much more a machine that others use may take for the slowest in a hundred,
TRIES = 5      # in the quietest of so many times

POINTS = {  # what the backend does, events that the client reads before it leaves
    "dispatch": (["hang"], None),  # it leaves with its last byte
    "prefill": (["hang"], None),
    "whole": (["hang"], None),     # prefill of an answer that is no stream
    "middle": ([{"tokens": 10000, "every": 1}], 5),
    "tail": ([{"tokens": 3}, "finish", "usage_event", "hang"], 4),  # all is said but the end
}


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def leave(g, key, b, point, n):
    """(canary, moment of leaving) of one client."""
    steps, reads = POINTS[point]
    name = f"canary-{point}-{n}"
    s = g.stream(key, scripted(name, *steps), stream=point != "whole", max_tokens=20000)
    if reads:
        s.read(reads)
    elif point != "dispatch":
        wait_until(lambda: name in b.journal.read_text(), what="the call")
    if n % 2:
        s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    left = time.monotonic_ns()
    s.file.close()
    s.socket.close()
    return name, left


def all_leave(g, key, b, point, first):
    """({name: its request, of those that reached the backend}, how long each took to be heard of, in ms)."""
    left = dict(leave(g, key, b, point, n) for n in range(first, first + CANCELS))
    wait_until(lambda: g.running_requests() == 0 and g.open_holds() == 0, what="the last cancel")
    starts = {r["echo"]: r["rid"] for r in b.rows("start") if r["echo"] in left}
    wait_until(lambda: set(starts.values()) <= {r["rid"] for r in b.rows("cancel")}, what="the news of it")
    heard = {r["rid"]: r["t"] for r in b.rows("cancel")}
    return starts, [(heard[rid] - left[name]) / 1e6 for name, rid in starts.items()]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_backend_hears_in_time(fault_gate, transport):
    g, key, b = fault_gate(transport, loop_threads=1)
    print()
    for point in POINTS:
        for n in range(TRIES):
            starts, ms = all_leave(g, key, b, point, n * CANCELS)
            assert point == "dispatch" or len(ms) == CANCELS
            if ms:
                print(f"cancel {transport:5} {point:9} {len(ms):4} calls: p50 {percentile(ms, .5):6.2f} ms"
                      f"  p90 {percentile(ms, .9):6.2f}  p99 {percentile(ms, .99):6.2f}  max {max(ms):6.2f}")
            if not ms or percentile(ms, .99) <= BOUND_MS * NOISE * SLOW:
                break
        else:
            raise AssertionError(f"never within {BOUND_MS * NOISE * SLOW} ms")
        outcomes = {r["rid"]: (r["outcome"], r["amount_atoms"]) for r in g.settlements()}
        paid = {outcomes[rid] for rid in starts.values()}
        if point in ("dispatch", "prefill", "whole"):
            assert paid <= {("client_gone_0", 0)}
        else:
            assert {outcome for outcome, _ in paid} == {"client_gone"} and all(atoms > 0 for _, atoms in paid)
    # Who never reached the backend was held, at most, and paid nothing.
    heard = {r["rid"] for r in b.rows("cancel")}
    assert all(r["amount_atoms"] == 0 for r in g.settlements() if r["rid"] not in heard)


@pytest.mark.parametrize("transport", ["shm", "http"])
def test_who_waits_in_a_queue_never_reaches_the_backend(fault_gate, transport):
    """One call holds the only place; a hundred wait, leave, and cost nothing.  Then the place is free."""
    g, key, b = fault_gate(transport, {"rules": [{"when": {"has": "first"}, "do": ["hang"]}, {"do": [{"tokens": 1}, "final"]}]},
                           concurrency=1)
    first = g.stream(key, "first")
    b.wait_row("start")
    waiting = [g.stream(key, f"waits {n}") for n in range(CANCELS)]
    wait_until(lambda: g.open_holds() == CANCELS + 1, what="a hundred holds")
    for n, s in enumerate(waiting):
        s.close(reset=n % 2)
    left = time.monotonic()
    wait_until(lambda: g.open_holds() == 1, what="their settlements")
    print(f"\nqueued {transport}: {CANCELS} settled {1000 * (time.monotonic() - left):.0f} ms after the last had left")
    assert {(r["outcome"], r["amount_atoms"]) for r in g.settlements()} == {("client_gone_0", 0)}
    assert len(b.rows("start")) == 1
    first.close()
    assert g.chat(key, "next").status == 200 and len(b.rows("start")) == 2


def in_close_wait(port):
    """Sockets of that port whose peer has closed and whose owner has not."""
    count = 0
    for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]:
        _, local, _, state = line.split()[:4]
        count += state == "08" and int(local.split(":")[1], 16) == port
    return count


def test_nobody_is_left_waiting_for_a_body(gate, key):
    """It leaves with its last byte, in the middle of its request: the end comes with the bytes, or before
    the gateway knows that there is a request."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nContent-Length: 50\r\n\r\n"
    before = len(gate.settlements())
    for n in range(300):
        with socket.create_connection(("127.0.0.1", gate.port)) as s:
            s.sendall((head + "{" * 49)[:len(head) - 30 + n % 79].encode())
    wait_until(lambda: in_close_wait(gate.port) == 0, what="the end of the last connection")
    assert before == len(gate.settlements()) and gate.open_holds() == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_gone_between_the_final_and_done(fault_gate, transport):
    """The backend has finished, the bill is under way: nothing to cancel, and one settlement, of all or of
    what was sent."""
    g, key, b = fault_gate(transport, {"do": [{"tokens": 3}, "final"]})
    ids = []
    for n in range(CANCELS):
        s = g.stream(key, f"x{n}")
        s.read(3)
        ids.append(s.request_id)
        s.close(reset=n % 2)
    rows = [g.settlement(i) for i in ids]
    assert {r["outcome"] for r in rows} <= {"ok", "client_gone"}
    assert {r["lines"][4][0] for r in rows} == {3}
    assert len(b.rows("final")) == CANCELS and len(g.settlements()) == CANCELS
    assert {rid_of(i) for i in ids} == {r["rid"] for r in b.rows("final")}

"""64 clients at once ask for more than there is: exactly so many are served, and what is there is used up.

MAASGATE_HOLDS=1000 requests of each client is the long form.  Each costs just what is held for it, so
that the number of answers is the number of holds; and the same with kill -9 and restarts in between.
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import socket
import threading
import time

import pytest
from gate import SLOW, atoms
from load import Journal
from test_kill9 import reconcile

HOLDS = max(6, int(os.environ.get("MAASGATE_HOLDS", 40)) // SLOW)
SEED = int(os.environ.get("MAASGATE_SEED", random.randrange(10**6)))
CLIENTS, PRICE = 64, "0.0005"
BODY = json.dumps({"inputs": [{"name": n, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))}
                              for n in ("INPUT0", "INPUT1")]}).encode()


def money(count):
    return f"{count * 5 / 10000:.4f}"


def budget(g, k):
    g.project("k", money(k), "total")


def credit(g, k):
    g.project("k")
    g.cli("contract", "set", "k", "--credit", money(k))


def prepaid(g, k):
    """Three top-ups, and nothing beside."""
    g.project("k")
    g.cli("contract", "set", "k", "--credit", "0")
    for part in (k // 2, k // 3, k - k // 2 - k // 3):
        g.cli("fund", "add", "k", "prepaid", money(part))


def resold(g, k, payer):
    """Who buys from a reseller: both purses must cover a request, and here one of them ends."""
    g.cli("org", "create", "seller")
    g.cli("org", "create", "buyer", "--reseller", "seller")
    g.cli("project", "create", "k", "--org", "buyer", "--budget", "1000")
    if payer:
        g.cli("contract", "set", payer, "--credit", "0")
        for part in (k // 2, k - k // 2):
            g.cli("fund", "add", payer, "prepaid", money(part))


def buyers_funds(g, k):
    resold(g, k, "buyer")


def resellers_funds(g, k):
    resold(g, k, "seller")


def buyers_budget(g, k):
    resold(g, k, None)
    g.cli("project", "budget", "k", money(k), "--budget-period", "total")


LIMITS = [budget, credit, prepaid, buyers_funds, resellers_funds, buyers_budget]


class Client(threading.Thread):
    """Asks so many times over one connection, made again when it breaks."""

    def __init__(self, gate, key, journal, count):
        super().__init__(daemon=True)
        self.gate, self.journal, self.count = gate, journal, count
        self.head = (f"POST /v2/models/base/simple/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n").encode() + BODY
        self.statuses, self.file = collections.Counter(), None

    def connect(self):
        """The daemon may be away for a while."""
        end = time.monotonic() + 60 * SLOW
        while True:
            try:
                s = socket.create_connection(("127.0.0.1", self.gate.port), 60 * SLOW)
                return s.makefile("rwb")
            except OSError:
                assert time.monotonic() < end, "the daemon did not come back"
                time.sleep(0.02)

    def answer(self):
        """(status, request id, whether all of it came)"""
        words = self.file.readline().split()
        status, fields = int(words[1]) if len(words) > 1 else 0, {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, value = line.decode().rstrip().split(": ", 1)
            fields[name.lower()] = value
        length = int(fields.get("content-length", 0))
        whole = bool(status and line) and len(self.file.read(length)) == length
        return status, fields.get("x-request-id"), whole

    def run(self):
        for _ in range(self.count):
            status, request_id, whole = 0, None, False
            with contextlib.suppress(OSError, ValueError, IndexError):
                self.file = self.file or self.connect()
                self.file.write(self.head)
                self.file.flush()
                status, request_id, whole = self.answer()
            if not whole:
                self.file = None
            self.statuses[status if whole else 0] += 1
            self.journal.add(request_id=request_id, status=status, complete=whole, usage=None, stream=False)


def ask(g, key, journal, count):
    """All clients; what they saw, counted.  `while they ask` the caller may do things."""
    clients = [Client(g, key, journal, count) for _ in range(CLIENTS)]
    for c in clients:
        c.start()
    yield
    for c in clients:
        c.join(600 * SLOW)
        assert not c.is_alive(), "a client hangs"
    yield sum((c.statuses for c in clients), collections.Counter())


def served(g):
    """How many were paid for, and that it is just what there was."""
    with g.ledger() as db:
        db.execute("BEGIN")  # all of it at one instant: they may still be asking
        rows = db.execute("SELECT amount_atoms, count(*) FROM settlement s JOIN project p ON p.id = s.project"
                          " WHERE p.slug IN ('k', 'seller:k') AND amount_atoms > 0 GROUP BY 1").fetchall()
        twice = db.execute("SELECT count(*), sum(amount_atoms > 0) FROM resale").fetchone()
        assert twice[0] == db.execute("SELECT count(*) FROM settlement s JOIN project p ON p.id = s.project"
                                      " WHERE p.slug = 'seller:k'").fetchone()[0]
        assert not twice[0] or twice[1] == rows[0][1], "both pay or neither"
    assert [row[0] for row in rows] == [atoms(PRICE)]
    return rows[0][1]


@pytest.mark.timeout(900 * SLOW + HOLDS)
@pytest.mark.parametrize("limit", LIMITS, ids=lambda f: f.__name__)
def test_exactly_k(make_gate, limit):
    g, k = make_gate(), CLIENTS * HOLDS // 3
    limit(g, k)
    path = g.dir / "client.journal"
    asking = ask(g, g.key("k"), Journal(path), HOLDS)
    next(asking)
    statuses = next(asking)
    print(f"{limit.__name__}: {CLIENTS} x {HOLDS} for {k}: {dict(statuses)}")
    assert statuses == {200: k, 429: CLIENTS * HOLDS - k}
    assert served(g) == k
    reconcile(g, path)


@pytest.mark.timeout(900 * SLOW + HOLDS)
@pytest.mark.parametrize("limit", LIMITS, ids=lambda f: f.__name__)
def test_exactly_k_with_kills_between(make_gate, limit):
    """What a kill leaves open is given back; in the end all of it is used, and not one more."""
    g, dice = make_gate(), random.Random(SEED)
    k = CLIENTS * HOLDS // 3
    limit(g, k)
    key, path = g.key("k"), pathlib.Path(g.dir / "client.journal")
    journal = Journal(path)
    asking = ask(g, key, journal, HOLDS)
    next(asking)
    kills, recovered = 0, 0
    while kills < 5:
        time.sleep(dice.uniform(0.02, 0.25) * SLOW)
        g.kill_daemon()
        g.start_daemon()
        kills, recovered = kills + 1, recovered + g.status()["ledger"]["recovered"]
        g.wait_backend()
        assert served(g) <= k, f"seed {SEED}"
    statuses = next(asking)
    last = Client(g, key, journal, CLIENTS * HOLDS)
    last.count = k - served(g) + 2
    last.run()
    print(f"{limit.__name__}: {CLIENTS} x {HOLDS} for {k}, {kills} kills, {recovered} recovered: {dict(statuses)}")
    assert served(g) == k, f"seed {SEED}"
    assert last.statuses[429] >= 2
    assert statuses[200] + last.statuses[200] <= k
    reconcile(g, path)

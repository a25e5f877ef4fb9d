"""kill -9 at random moments under load: nothing lost, nothing doubled, every time.

MAASGATE_KILL_ROUNDS=2000 is the long form; MAASGATE_SEED repeats a run.
"""
import contextlib
import os
import random
import time

import pytest
from gate import SLOW, Gate, atoms, wait_until
from load import Journal, Load

ROUNDS = int(os.environ.get("MAASGATE_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("MAASGATE_SEED", random.randrange(10**6)))
CAP = "0.5"
STORE_ROUNDS = 50


def reconcile(gate, journal):
    """The ledger, the worker's journal and (None: there is none) the clients' agree."""
    clients = ["--client-journal", journal] if journal else []
    print(f"seed {SEED}")  # beside a failure
    return gate.reconcile("--fixed-budgets", "--worker-journal", gate.dir / "worker.journal", *clients)


def check(gate, path):
    """After each start: recovery has settled all of it, and three parties agree."""
    assert gate.open_holds() == 0
    audit = gate.cli("audit", check=False)
    assert audit.returncode == 0, f"seed {SEED}\n{audit.stdout}{audit.stderr}"
    reconcile(gate, path)
    capped = round(float(gate.usage("capped")[1]) * 10**10)
    assert capped <= atoms(CAP), f"seed {SEED}: a budget of {CAP} was overdrawn"
    return gate.status()["ledger"]["recovered"]


@contextlib.contextmanager
def new_gate():
    with Gate() as g:
        yield g.start()


class Tally:
    rounds = rows = whole = recovered = 0

    def __str__(self):
        return f"round {self.rounds}: {self.rows} requests, {self.whole} whole, {self.recovered} recovered"


def kill_rounds(g, dice, rounds, tally):
    """On one store, which grows."""
    g.project("capped", CAP, "total")
    keys = [g.key("free"), g.key("free"), g.key("capped")]
    path = g.dir / "client.journal"
    journal = Journal(path)
    for n in range(rounds):
        load = Load(g, keys, journal, dice.randrange(10**9))
        time.sleep(dice.uniform(0.05, 0.6) * SLOW)
        if n == rounds - 1:
            wait_until(lambda: journal.whole > 10 * rounds, what="enough answers, on a slow machine")
        if n % 5 == 4:
            g.workers[-1].kill()
            time.sleep(dice.uniform(0, 0.02))
        g.kill_daemon()
        load.stop()
        if n % 5 == 4:
            g.start_worker()
        g.start_daemon()
        g.wait_backend()
        tally.recovered += check(g, path)
        tally.rounds += 1
    tally.rows += journal.rows
    tally.whole += journal.whole
    print(tally, flush=True)


@pytest.mark.timeout(900 + ROUNDS * 12 * SLOW)
def test_kill_9_under_load():
    """A new store every STORE_ROUNDS: what is looked at after each start is all of it."""
    dice, tally = random.Random(SEED), Tally()
    print(f"seed {SEED}")
    while tally.rounds < ROUNDS:
        with new_gate() as g:
            kill_rounds(g, dice, min(STORE_ROUNDS, ROUNDS - tally.rounds), tally)
    assert tally.whole > 10 * ROUNDS, "hardly anything was asked"
    assert tally.recovered > ROUNDS / 4, "hardly any request was under way when it was killed"


@pytest.mark.short
def test_orderly_restarts_under_load(make_gate):
    """The same with SIGTERM: then nothing is left to recover at all."""
    g = make_gate(settings={"drain_timeout_ms": "10s"})
    g.project("capped", CAP, "total")
    keys, path = [g.key("free"), g.key("capped")], g.dir / "client.journal"
    journal = Journal(path)
    for n in range(3):
        load = Load(g, keys, journal, SEED + n)
        time.sleep(0.4 * SLOW)
        wait_until(lambda n=n: journal.whole > 7 * (n + 1), what="some answers")
        g.terminate()
        load.stop()
        g.start_daemon()
        g.wait_backend()
        assert check(g, path) == 0
    assert journal.whole > 20

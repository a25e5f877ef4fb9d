"""kill -9 at random moments under load: nothing lost, nothing doubled, every time.

MAASGATE_KILL_ROUNDS=300 is the long form; MAASGATE_SEED repeats a run.
"""
import os
import random
import subprocess
import sys
import time

import pytest
from gate import ROOT, SLOW, atoms
from load import Journal, Load

ROUNDS = int(os.environ.get("MAASGATE_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("MAASGATE_SEED", random.randrange(10**6)))
CAP = "0.5"


def reconcile(gate, journal):
    done = subprocess.run(
        [sys.executable, ROOT / "tests/flow/reconcile.py", "--db", gate.state / "ledger.db",
         "--client-journal", journal, "--worker-journal", gate.dir / "worker.journal"],
        capture_output=True, text=True, timeout=120 * SLOW)
    assert done.returncode == 0, f"seed {SEED}\n{done.stdout[-4000:]}{done.stderr}"
    return done.stdout


def check(gate, path):
    """After each start: recovery has settled all of it, and three parties agree."""
    assert gate.open_holds() == 0
    audit = gate.cli("audit", check=False)
    assert audit.returncode == 0, f"seed {SEED}\n{audit.stdout}{audit.stderr}"
    reconcile(gate, path)
    capped = round(float(gate.usage("capped")[1]) * 10**10)
    assert capped <= atoms(CAP), f"seed {SEED}: a budget of {CAP} was overdrawn"
    return gate.status()["ledger"]["recovered"]


@pytest.mark.timeout(60 + ROUNDS * 12 * SLOW)
def test_kill_9_under_load(make_gate):
    dice = random.Random(SEED)
    g = make_gate()
    g.project("capped", CAP, "total")
    keys = [g.key("free"), g.key("free"), g.key("capped")]
    path = g.dir / "client.journal"
    journal, recovered = Journal(path), 0
    for n in range(ROUNDS):
        load = Load(g, keys, journal, SEED + n)
        time.sleep(dice.uniform(0.05, 0.6) * SLOW)
        if n % 5 == 4:
            g.workers[-1].kill()
            time.sleep(dice.uniform(0, 0.02))
        g.kill_daemon()
        load.stop()
        if n % 5 == 4:
            g.start_worker()
        g.start_daemon()
        g.wait_backend()
        recovered += check(g, path)
        if n % 20 == 19 or n + 1 == ROUNDS:
            print(f"round {n + 1}: {journal.rows} requests, {journal.whole} whole, {recovered} recovered")
    assert journal.whole > 10 * ROUNDS, "hardly anything was asked"
    assert recovered > ROUNDS / 4, "hardly any request was under way when it was killed"


@pytest.mark.short
@pytest.mark.timeout(60 * SLOW + 60)
def test_orderly_restarts_under_load(make_gate):
    """The same with SIGTERM: then nothing is left to recover at all."""
    g = make_gate(settings={"drain_timeout_ms": "10s"})
    g.project("capped", CAP, "total")
    keys, path = [g.key("free"), g.key("capped")], g.dir / "client.journal"
    journal = Journal(path)
    for n in range(3):
        load = Load(g, keys, journal, SEED + n)
        time.sleep(0.4 * SLOW)
        g.terminate()
        load.stop()
        g.start_daemon()
        g.wait_backend()
        assert check(g, path) == 0
    assert journal.whole > 20

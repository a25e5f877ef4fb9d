#!/usr/bin/env python3
"""soak.py SECONDS: mixed load on one daemon; its memory and descriptors must stay flat.

Prints a row every few seconds and `N passed, N failed` at the end.
"""
import os
import statistics
import sys
import time

from gate import Gate
from load import Journal, Load
from test_kill9 import reconcile

ROOM_KB = 6 * 1024  # what the later half may have more than the earlier one
# A growing ledger fills the writer's page cache (64 MiB, base/db_open.c) and no more: until it is
# full the daemon may grow by what the ledger grows.
CACHE_KB = 64 * 1024


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def descriptors(pid):
    """None: the daemon is not dumpable, only root may look."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


def cached_kb(gate):
    return min(CACHE_KB, (gate.state / "ledger.db").stat().st_size // 1024)


def halves(rows, column):
    """Medians of the second and of the last quarter: the first one is for warming up."""
    values = [r[column] for r in rows]
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])


def sample(gate, seconds, journal):
    rows, began = [], time.monotonic()
    step = max(0.5, min(5.0, seconds / 60))
    while (now := time.monotonic() - began) < seconds:
        assert gate.daemon.running(), f"the daemon ended\n{gate.daemon.tail()}"
        row = (resident_kb(gate.daemon.pid), descriptors(gate.daemon.pid) or 0,
               resident_kb(gate.workers[0].pid), cached_kb(gate))
        rows.append(row)
        print(f"soak: {now:6.0f} s  {journal.rows:8} requests  daemon {row[0] // 1024} MiB {row[1]} fds"
              f" (cache up to {row[3] // 1024})  worker {row[2] // 1024} MiB", flush=True)
        time.sleep(step)
    return rows


def main(seconds):
    gate, passed, failed = Gate(), 0, 0
    try:
        gate.start()
        journal = Journal(gate.dir / "client.journal")
        load = Load(gate, [gate.key("soak"), gate.key("soak")], journal, seed=1)
        rows = sample(gate, seconds, journal)
        load.stop()
        time.sleep(1)
        idle = descriptors(gate.daemon.pid)
        checks = []
        for name, column in (("memory of the daemon, KiB", 0), ("memory of the worker, KiB", 2)):
            early, late = halves(rows, column)
            before, after = halves(rows, 3) if column == 0 else (0, 0)
            checks.append((name, early, late, late - early <= ROOM_KB + after - before))
        if idle is not None:
            checks.append(("descriptors when idle", rows[0][1], idle, idle <= rows[0][1] + 4))
        for name, early, late, good in checks:
            print(f"soak: {name}: {early:.0f} -> {late:.0f} {'flat' if good else 'GROWS'}")
            passed, failed = passed + good, failed + (not good)
        print(f"soak: {journal.rows} requests, {journal.whole} whole")
        print(reconcile(gate, gate.dir / "client.journal"), end="")
        gate.stop()
        passed += 1
    except AssertionError as e:
        print(f"soak: {e}")
        failed += 1
    finally:
        gate.abandon()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

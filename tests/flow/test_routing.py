"""Which backend works for whom: backends that die under load, refuse, come back."""
import contextlib
import itertools
import threading
import time

import pytest
from gate import CATALOG, SLOW, Worker, wait_until

PRICE = "price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}"
TWO = """
backends:
  a: {{transport: shm, address: {dir}/a.sock}}
  b: {{transport: shm, address: {dir}/b.sock}}
models:
  base/chat:
    capabilities: [chat]
    default_output_tokens: 256
    """ + PRICE + """
    routes: [{{backend: a, model: ngram-general}}, {{backend: b, model: ngram-general}}]
"""


def two_workers(make_gate, catalog=TWO, **options):
    g = make_gate(start=False, catalog=catalog, worker=False, **options)
    workers = [Worker(g.dir, f"shm:{g.dir}/{name}.sock") for name in "ab"]
    g.workers += workers
    g.start()
    g.wait_backend("a")
    g.wait_backend("b")
    return g, workers


class Clients:
    """Threads that ask without rest; `rows` holds (outcome, milliseconds) of every request.  An
    outcome is "ok", "cut" (some bytes came, then an end that is none) or "failed" (no byte came)."""

    def __init__(self, gate, keys, threads=8, prompt="#tokens=20 #delay=1 x"):
        self.gate, self.prompt, self.over, self.rows = gate, prompt, threading.Event(), []
        self.threads = [threading.Thread(target=self.work, args=(key, n), daemon=True)
                        for n, key in zip(range(threads), itertools.cycle(keys))]
        for t in self.threads:
            t.start()

    def whole(self, key):
        a = self.gate.chat(key, self.prompt)
        return "ok" if a.status == 200 else f"failed {a}"

    def stream(self, key):
        s = self.gate.stream(key, self.prompt)
        if s.head().status != 200:
            return f"failed {s.status} {s.body()}"
        events = s.rest()
        if events and events[-1] == "[DONE]":
            return "ok"
        return "cut" if any(e.get("choices") for e in events) else f"failed {events}"

    def work(self, key, n):
        for ask in itertools.cycle([self.whole, self.stream] if n % 2 else [self.stream, self.whole]):
            if self.over.is_set():
                return
            began = time.monotonic()
            outcome = "failed: no answer"
            with contextlib.suppress(OSError, AssertionError):
                outcome = ask(key)
            self.rows.append((outcome, 1000 * (time.monotonic() - began)))

    def wait(self, count):
        wait_until(lambda: len(self.rows) >= count, 60, f"{count} answers")
        return len(self.rows)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(60 * SLOW)
            assert not t.is_alive(), "a client hangs"
        return self.rows


def report(what, rows):
    times = sorted(ms for outcome, ms in rows if outcome == "ok")
    failed = [outcome for outcome, _ in rows if outcome.startswith("failed")]
    cut = sum(outcome == "cut" for outcome, _ in rows)
    print(f"{what}: {len(rows)} requests, {len(failed)} failed with no byte delivered, {cut} cut later, "
          f"p50 {times[len(times) // 2]:.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms")
    return failed


def calls(gate, name):
    return next(b["started"] for b in gate.status()["backends"] if b["name"] == name)


@pytest.mark.short
def test_one_of_two_workers_killed_under_load(make_gate):
    """kill -9: whoever has seen no byte yet notices nothing; the worker's return is used at once."""
    g, workers = two_workers(make_gate)
    clients = Clients(g, [g.key("one"), g.key("two")])
    for round in range(3):
        name = "ab"[round % 2]
        so_far = clients.wait(len(clients.rows) + 100)
        workers[round % 2].kill()
        clients.wait(so_far + 150)
        workers[round % 2] = Worker(g.dir, f"shm:{g.dir}/{name}.sock")
        g.workers.append(workers[round % 2])
        before = calls(g, name)
        g.wait_backend(name)
        wait_until(lambda: calls(g, name) > before, what=f"the return of {name}")
    rows = clients.stop()
    assert report("shm worker killed 3 times", rows) == []
    assert g.metric("maasgate_repeats_total") > 0
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM settlement").fetchone()[0] == len(rows), "one bill each"

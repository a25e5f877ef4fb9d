"""Workers that die, at four points, again and again, and workers that are stopped: over both carriers.

MAASGATE_DEATHS=50 for each point and carrier (3 otherwise); MAASGATE_STOPS="1 10 60" seconds (2 otherwise).
"""
import json
import os
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_backend import FaultBackend
from gate import BUILD, OUTPUT, SLOW, Gate, Process, Worker, text_of, wait_until

DEATHS = int(os.environ.get("MAASGATE_DEATHS", 3))
STOPS = [float(s) for s in os.environ.get("MAASGATE_STOPS", "2").split()]
TRIES = 3    # what takes too long may be the machine's, and is not each time
WORKERS = 8  # die at the same time: what a loop does for one must not wait for another
HALF_AN_EVENT = {"frame": {"type": 6, "flags": 16, "zeros": 16, "text": '{"half":'}}

# What the worker does before it dies, and how the request may end: what was said before still counts.
POINTS = {
    "idle": None,
    "prefill": (["kill"], {"502"}),
    "mid-token": (["role", {"tokens": 2}, {"wait": 5}, HALF_AN_EVENT, {"wait": 5}, "kill"], {"cut"}),
    "after-final": (["role", {"tokens": 2}, "final", {"wait": 20}, "kill"], {"ok"}),
    "with-final": (["role", {"tokens": 2}, "final", "kill"], {"ok", "cut", "502"}),
    "orphaned": (["role", {"tokens": 2}, {"wait": 5}, "orphan"], {"cut"}),
}

CATALOG = """
backends:
  healthy:
    transport: shm
    address: {dir}/healthy.sock
%s
models:
%s
"""
BACKEND = "  %s:\n    transport: %s\n    address: %s\n    repeat_unanswered: false\n"
MODEL = """  base/%s:
    capabilities: [chat]
    max_output_tokens: 4096
    price:
      requests: 0.001
      input_uncached_tokens: 0.10/1M
      output_text_tokens: 0.40/1M
    routes:
      - backend: %s
        model: ngram-general
"""


def address(carrier, name):
    return ("shm", f"{{dir}}/{name}.sock") if carrier == "shm" else ("socket", f"unix:{{dir}}/{name}.sock")


def catalog(carrier, names):
    backends = "".join(BACKEND % (n, *address(carrier, n)) for n in names)
    return CATALOG % (backends, "".join(MODEL % (n, n) for n in ("healthy", *names)))


class Mortal:
    """One worker that dies and is started again at the same address."""

    def __init__(self, gate, carrier, name):
        self.gate, self.carrier, self.name = gate, carrier, name
        self.worker = None

    def live(self):
        self.worker = FaultBackend(self.gate.dir, f"{self.carrier}:{self.gate.dir}/{self.name}.sock")
        wait_until(lambda: self.up() == 1, 20, "the new worker")

    def up(self):
        return backend(self.gate, self.name)["up"]

    def died_at(self):
        self.worker.popen.wait(20 * SLOW)
        return self.worker.rows("process")[-1]["t"]


def backend(gate, name):
    return next(b for b in gate.status()["backends"] if b["name"] == name)


def one_death(mortal, key, point):
    """(how the request ended, milliseconds from the death to that end)."""
    mortal.live()
    if POINTS[point] is None:
        began = time.monotonic_ns()
        mortal.worker.kill()
        wait_until(lambda: mortal.up() == 0, what="the loss")
        return "idle", (time.monotonic_ns() - began) / 1e6
    script = json.dumps({"do": POINTS[point][0]})
    s = mortal.gate.stream(key, "x #script=" + script, f"base/{mortal.name}", max_tokens=50)
    s.head()
    events = s.rest() if s.status == 200 else None
    ended = time.monotonic_ns()
    if events is None:
        s.body()
    how = "502" if events is None else "ok" if events[-1] == "[DONE]" else "cut"
    assert s.status in (200, 502)
    bill = mortal.gate.settlement(s.request_id)
    tokens = bill["lines"].get(OUTPUT, (0, 0))[0]
    if how == "502":
        assert (bill["outcome"], bill["amount_atoms"]) == ("failed_pre", 0)
    elif how == "ok":
        assert (bill["outcome"], tokens, text_of(events)) == ("ok", 2, "tok tok ")
    else:
        assert events[-1]["error"]["code"] == "upstream_cut" and "half" not in events[-2]
        assert (bill["outcome"], tokens) == ("upstream_cut", len(text_of(events).split()))
    return how, (ended - mortal.died_at()) / 1e6


@pytest.fixture(scope="module", params=["shm", "unix"])
def mortals(request):
    names = [f"mortal{i}" for i in range(WORKERS)]
    with Gate(catalog=catalog(request.param, names), worker=False, settings={"loop_threads": 1}) as g:
        g.write_conf()
        g.workers.append(Worker(g.dir, f"shm:{g.dir}/healthy.sock"))
        g.start()
        g.wait_backend("healthy")
        yield g, g.key(), [Mortal(g, request.param, n) for n in names]


@pytest.mark.short
@pytest.mark.parametrize("point", POINTS)
def test_deaths(mortals, point, record_property):
    gate, key, all_mortals = mortals

    def life(m, rounds):
        return [one_death(m, key, point) for _ in range(rounds)]
    for _ in range(TRIES):
        with ThreadPoolExecutor(WORKERS) as pool:
            share = [DEATHS // WORKERS + (i < DEATHS % WORKERS) for i in range(WORKERS)]
            done = [d for lives in pool.map(life, all_mortals, share) for d in lives]
        ends = {how for how, _ in done}
        assert ends <= (POINTS[point][1] if POINTS[point] else {"idle"}), done
        took = sorted(max(ms, 0) for _, ms in done)
        p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
        line = (f"deaths: {all_mortals[0].carrier} {point}: {len(took)} deaths, slots back after p50 "
                f"{statistics.median(took):.1f} ms, p99 {p99:.1f} ms, most {took[-1]:.1f} ms; ends {sorted(ends)}")
        print(line)
        if p99 < 2000 * SLOW:
            break
    record_property("figures", line)
    assert p99 < 2000 * SLOW
    assert all(b["running"] == 0 for b in gate.status()["backends"])
    assert gate.open_holds() == 0
    assert gate.stream(key, "#tokens=5 x", "base/healthy", max_tokens=5).rest()[-1] == "[DONE]"


class Watchdog:
    """What systemd would hear: WATCHDOG=1 comes from the main thread when every loop has turned."""

    def __init__(self, directory):
        self.path = str(directory / "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.times, self.thread = [], threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            if b"WATCHDOG=1" in self.socket.recv(4096):
                self.times.append(time.monotonic())

    def env(self):
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(600_000 * SLOW)}


@pytest.mark.parametrize("carrier", ["shm", "unix"])
@pytest.mark.parametrize("seconds", STOPS)
def test_a_stopped_worker(make_gate, carrier, seconds):
    """No late frame reaches anybody, no loop stands still, the others' requests are answered meanwhile."""
    g = make_gate(start=False, catalog=catalog(carrier, ["stops"]), worker=False, settings={"loop_threads": 1})
    g.write_conf()
    dog = Watchdog(g.dir)
    g.workers.append(Worker(g.dir, f"shm:{g.dir}/healthy.sock"))
    stops = FaultBackend(g.dir, f"{carrier}:{g.dir}/stops.sock")
    g.workers.append(stops)
    g.daemon = Process([BUILD / "maasgated", "--config", g.conf], g.dir, "maasgated", dog.env())
    wait_until(g.is_ready, what="the daemon")
    g.wait_backend("stops")
    g.wait_backend("healthy")
    key = g.key()
    # Each says only its own canary; when the worker goes on, it says the rest of them at once.
    streams = [g.stream(key, f"canary-old{i} #tokens=4000 #delay=5", "base/stops", max_tokens=4000,
                        headers={"x-request-timeout-ms": 2500 * SLOW}) for i in range(8)]
    for s in streams:
        s.read(3)
    stops.signal(signal.SIGSTOP)
    began = time.monotonic()
    for i, s in enumerate(streams):
        events = s.rest()
        assert "[DONE]" not in events and events[-1]["error"]["code"] == "deadline_exceeded"
        assert set(text_of(events).split()) <= {f"canary-old{i}"}
        assert g.settlement(s.request_id)["outcome"] == "upstream_cut"
    answered = 0
    while not answered or time.monotonic() - began < seconds * SLOW:
        assert g.stream(key, "#tokens=5 x", "base/healthy", max_tokens=5).rest()[-1] == "[DONE]"
        answered += 1
    heard = [t for t in dog.times if t > began]
    stops.signal(signal.SIGCONT)
    wait_until(lambda: g.stream(key, "canary-wake #tokens=1", "base/stops", max_tokens=9).head().status == 200, 40,
               "the worker's return")
    new = [g.stream(key, f"canary-new{i} #tokens=50 #delay=1", "base/stops", max_tokens=500) for i in range(16)]
    stale = 0
    for i, s in enumerate(new):
        events = s.rest()
        assert events[-1] == "[DONE]"
        words = text_of(events).split()
        stale += sum(w != f"canary-new{i}" for w in words)
        assert len(words) == 50
    gap = max(b - a for a, b in zip([began, *heard], heard))
    print(f"stop: {carrier} for {seconds * SLOW:.0f} s: {stale} stale frames delivered, {answered} requests of another "
          f"worker answered meanwhile, {len(heard)} watchdog ticks, at most {gap * 1000:.0f} ms apart")
    assert stale == 0 and answered > 0
    assert gap < 0.6 * SLOW * 3, "a loop stood still"


@pytest.mark.short
@pytest.mark.parametrize("carrier", ["shm", "unix"])
def test_the_gateway_dies(make_gate, carrier):
    """Its workers stop at once, and the next gateway begins with fresh memory, slots and generations."""
    g = make_gate(start=False, catalog=catalog(carrier, ["one"]).replace("healthy.sock", "unused.sock"), worker=False,
                  settings={"stream_checkpoint_ms": "0"})
    g.write_conf()
    worker = FaultBackend(g.dir, f"{carrier}:{g.dir}/one.sock")
    g.workers.append(worker)
    g.start()
    g.wait_backend("one")
    key = g.key()
    took = []
    for _ in range(TRIES):
        before = len(worker.rows("cancel"))
        streams = [g.stream(key, "canary-old #tokens=4000 #delay=5", "base/one", max_tokens=4000) for _ in range(8)]
        for s in streams:
            s.read(3)
        killed = time.monotonic_ns()
        g.kill_daemon()
        wait_until(lambda before=before: len(worker.rows("cancel")) == before + 8, what="the end of the work")
        took.append(max(r["t"] - killed for r in worker.rows("cancel")[-8:]))
        g.start_daemon()
        g.wait_backend("one")
        s = g.stream(key, "canary-new #tokens=20", "base/one", max_tokens=50)
        assert set(text_of(s.rest()).split()) == {"canary-new"}
    print(f"gateway: {carrier} killed 3 times with 8 streams: their work ended after at most {max(took) / 1e6:.1f} ms")
    assert min(took) < 1e9 * SLOW
    assert [r["outcome"] for r in g.settlements()].count("orphan_0") == 24

"""Which backend works for whom: backends that die under load, refuse, come back."""
import contextlib
import itertools
import os
import threading
import time

import pytest
import upstream
from gate import SLOW, Worker, wait_until
from upstream import SILENT, Upstream, whole

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
    for round in itertools.count():
        if round >= 3 and g.metric("maasgate_repeats_total") > 0:
            break
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
    assert report(f"shm worker killed {round} times", rows) == []
    wait_until(lambda: g.open_holds() == 0, what="the bills of those that were cut")
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM settlement").fetchone()[0] == len(rows), "one bill each"


# ---- limits and queues ----

def one_backend(options, model=""):
    return """
backends:
  w: {{transport: shm, address: {dir}/worker.sock, """ + options + """}}
models:
  base/chat:
    capabilities: [chat]
    default_output_tokens: 64
    """ + PRICE + """
    routes: [{{backend: w, model: ngram-general}}]
    """ + model + "\n"


def backend(gate, name="w"):
    return next(b for b in gate.status()["backends"] if b["name"] == name)


def started(make_gate, catalog, **options):
    g = make_gate(start=False, catalog=catalog, **options)
    g.start_worker()
    g.with_worker = False
    g.start()
    g.wait_backend("w")
    return g


def in_threads(asks):
    """Runs all at once; the results in the order of their ends as (index, result)."""
    ends = []
    threads = [threading.Thread(target=lambda i=i, ask=ask: ends.append((i, ask()))) for i, ask in enumerate(asks)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * SLOW)
    assert len(ends) == len(asks)
    return ends


class Hold:
    """Streams that occupy `count` places until released."""

    def __init__(self, gate, key, count):
        self.streams = [gate.stream(key, "#tokens=5000 #delay=50 x", max_tokens=8000) for _ in range(count)]
        for s in self.streams:
            s.read(1)

    def release(self):
        for s in self.streams:
            s.close()


@pytest.mark.short
def test_concurrency_of_all_threads_and_the_queue(make_gate):
    """No more than `concurrency` at once over all loops, as the backend sees it; the others wait and are served."""
    now, most, lock, go = [0], [0], threading.Lock(), threading.Event()

    def counted(request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        go.wait(60 * SLOW)
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return upstream.good(request)
    up = Upstream(counted)
    g = make_gate(catalog=upstream.CATALOG, worker=False,
                  fields={"port": up.port, "options": "concurrency: 3\n    queue_timeout_ms: 10m"})
    g.wait_backend("up")
    key = g.key()

    def let_go():
        wait_until(lambda: backend(g, "up")["queue"] == 21, what="all that wait")
        go.set()
    ends = in_threads([let_go, *[lambda: g.chat(key, "x") for _ in range(24)]])
    ends = [(i, a) for i, a in ends if i > 0]
    assert [a.status for _, a in ends] == [200] * 24
    assert most[0] == 3 and g.metric("maasgate_requests_queued_total") > 0
    assert backend(g, "up")["queue"] == 0
    up.stop()


def test_who_waits_too_long_is_told_and_not_billed(make_gate):
    g = started(make_gate, one_backend("concurrency: 1, queue_timeout_ms: 3s"))
    key = g.key()
    hold = Hold(g, key, 1)
    began = time.monotonic()
    a = g.chat(key, "x")
    assert time.monotonic() - began >= 2.9
    assert (a.status, a.code) == (503, "server_is_overloaded") and int(a.headers["retry-after"]) >= 1
    row = g.settlement(a.headers["x-request-id"])
    assert (row["outcome"], row["amount_atoms"], row["backend"]) == ("failed_pre", 0, 0)
    late = g.post("/v1/chat/completions", {"model": "base/chat", "messages": [{"role": "user", "content": "x"}]},
                  key, {"x-request-timeout-ms": "1500"})
    assert (late.status, late.code) == (504, "deadline_exceeded")
    assert g.metric("maasgate_requests_queue_expired_total") == 2
    hold.release()
    wait_until(lambda: backend(g)["running"] == 0, what="the free place")
    assert g.chat(key, "#tokens=1 x").status == 200


def test_the_queue_is_bounded_and_who_leaves_frees_its_place(make_gate):
    g = started(make_gate, one_backend("concurrency: 1, queue_max: 2, queue_timeout_ms: 30s"))
    key = g.key()
    hold = Hold(g, key, 1)
    waiting = [g.stream(key, "#tokens=1 x") for _ in range(2)]
    wait_until(lambda: backend(g)["queue"] == 2, what="two that wait")
    a = g.chat(key, "x")
    assert (a.status, a.code) == (503, "server_is_overloaded")
    assert g.metric("maasgate_requests_queue_refused_total") == 1
    waiting[0].close()
    wait_until(lambda: backend(g)["queue"] == 1, what="the place of who left")
    row, = wait_until(g.settlements, what="the settlement of who left")
    assert (row["outcome"], row["amount_atoms"]) == ("client_gone_0", 0)
    hold.release()
    assert waiting[1].rest()[-1] == "[DONE]"
    wait_until(lambda: backend(g)["running"] == 0)


def test_the_queue_is_fair_to_projects(make_gate):
    """Twenty of one project are before it; another's one request is served second at the latest."""
    g = started(make_gate, one_backend("concurrency: 1, queue_timeout_ms: 60s"))
    many, few = g.key("many"), g.key("few")
    hold = Hold(g, many, 1)
    threads = []

    def ask(key):
        assert g.chat(key, "#tokens=4 #delay=10 x").status == 200
    for key, count in ((many, 20), (few, 1)):
        for _ in range(count):
            threads.append(threading.Thread(target=ask, args=(key,)))
            threads[-1].start()
        wait_until(lambda: backend(g)["queue"] == len(threads), what="all that wait")
    hold.release()
    for t in threads:
        t.join(60 * SLOW)
    with g.ledger() as db:
        order = [r[0] for r in db.execute("SELECT p.slug FROM settlement s JOIN project p ON p.id = s.project"
                                          " WHERE s.outcome = 'ok' ORDER BY s.settled_us, s.rid")]
    assert len(order) == 21 and order.index("few") <= 3, order


def test_a_full_queue_gives_way_to_who_waits_with_less(make_gate):
    g = started(make_gate, one_backend("concurrency: 1, queue_max: 4, queue_timeout_ms: 60s"))
    many, few = g.key("many"), g.key("few")
    hold = Hold(g, many, 1)
    waiting = [g.stream(many, "#tokens=1 x") for _ in range(4)]
    wait_until(lambda: backend(g)["queue"] == 4, what="a full queue")
    other = g.stream(few, "#tokens=1 x")
    loser = wait_until(lambda: next((s for s in waiting if s.answered()), None), what="who gives way")
    assert loser.head().status == 503
    assert g.settlement(loser.request_id)["amount_atoms"] == 0
    hold.release()
    assert other.rest()[-1] == "[DONE]"
    assert sum(s.head().status == 200 for s in waiting) == 3


def test_requests_per_minute_of_a_backend(make_gate):
    """Exactly a minute's worth at once, over all threads; then as the rate allows."""
    g = started(make_gate, one_backend("requests_per_minute: 60, queue_timeout_ms: 300ms"))
    key, began = g.key(), time.monotonic()
    ends = in_threads([lambda: g.chat(key, "#tokens=1 x") for _ in range(70)])
    served = sum(a.status == 200 for _, a in ends)
    assert 60 <= served <= 60 + (time.monotonic() - began) and served < 70, served  # a second is worth one more
    refused = next(a for _, a in ends if a.status != 200)
    assert (refused.status, refused.code) == (503, "server_is_overloaded")
    g.write_conf(one_backend("requests_per_minute: 600"))
    g.cli("reload")
    g.wait_backend("w")
    ends = in_threads([lambda: g.chat(key, "#tokens=1 x") for _ in range(70)])
    assert all(a.status == 200 for _, a in ends)


def test_tokens_per_minute_of_a_backend(make_gate):
    """Taken by an estimate, put right by what was used; what is larger than a minute's worth passes
    when the whole of that is there."""
    g = started(make_gate, one_backend("tokens_per_minute: 1000, queue_timeout_ms: 200ms"))
    key = g.key()
    assert g.chat(key, "#tokens=500 x", max_tokens=5000).status == 200  # about 500 are left
    a = g.chat(key, "#tokens=2 x", max_tokens=900)
    assert (a.status, a.code) == (503, "server_is_overloaded") and int(a.headers["retry-after"]) > 5
    for _ in range(10):  # each may be of 300 and is of a few
        assert g.chat(key, "#tokens=2 x", max_tokens=300).status == 200


# ---- for whom a route is ----

CONDITIONS = """
backends:
  a: {{transport: shm, address: {dir}/a.sock}}
  b: {{transport: shm, address: {dir}/b.sock}}
models:
  base/chat:
    capabilities: [chat]
    context_length: 65536
    max_output_tokens: 32768
    default_output_tokens: 100
    """ + PRICE + """
    routes:
      - {{backend: a, model: ngram-general, context_max: 1000}}
      - {{backend: b, model: ngram-general, context_min: 1001, context_max: 3000, cost_max: 0.01}}
"""


def test_conditions(make_gate):
    g, _ = two_workers(make_gate, CONDITIONS)
    key = g.key()

    def by(**ask):
        before = calls(g, "a"), calls(g, "b")
        a = g.chat(key, **ask)
        assert a.status == 200, a
        return "ab"[calls(g, "b") > before[1]]
    assert by(content="#tokens=1 x") == "a"
    assert by(content="#tokens=1 x", max_tokens=1500) == "b"
    assert by(content="#tokens=1 " + "word " * 1000) == "b"
    held = g.usage("acme")[0]
    a = g.chat(key, "#tokens=1 x", max_tokens=20000)
    assert (a.status, a.code) == (400, "context_length_exceeded")
    a = g.chat(key, "#tokens=1 x", max_tokens=2500, n=100)
    assert (a.status, a.code) == (400, "request_too_large_for_limit")
    with g.ledger() as db:
        assert db.execute("SELECT count(*) FROM request_open").fetchone()[0] == held == 3, "nothing was held"


# ---- the same conversation to the same backend ----

def test_prefix_affinity(make_gate):
    g, workers = two_workers(make_gate, TWO.replace("    routes:", "    affinity: prefix\n    routes:"))
    keys = [g.key("one"), g.key("two")]

    def turns(key, first, count=4):
        """Who served each turn of a conversation."""
        messages, servers = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": first}], []
        for turn in range(count):
            before = calls(g, "a")
            a = g.post("/v1/chat/completions", {"model": "base/chat", "messages": messages, "max_tokens": 8}, key)
            assert a.status == 200, a
            servers.append("ab"[calls(g, "a") == before])
            messages += [{"role": "assistant", "content": a.json()["choices"][0]["message"]["content"]},
                         {"role": "user", "content": f"and {turn}?"}]
        return servers
    homes = {}
    for n in range(12):
        for key in keys:
            servers = turns(key, f"#tokens=2 conversation {n}")
            assert len(set(servers)) == 1, servers
            homes[n, key] = servers[0]
    assert set(homes.values()) == {"a", "b"}, "all at one backend"
    assert any(homes[n, keys[0]] != homes[n, keys[1]] for n in range(12)), "projects share no home"
    hits = sum(b["affinity_hits"] for b in g.status()["backends"])
    misses = sum(b["affinity_misses"] for b in g.status()["backends"])
    assert (hits, misses) == (96, 0)
    before = hits
    in_threads([lambda n=n: turns(keys[n % 2], f"#tokens=4 #delay=2 busy {n}", 6) for n in range(16)])
    rows = g.status()["backends"]
    hits, misses = sum(b["affinity_hits"] for b in rows) - before, sum(b["affinity_misses"] for b in rows)
    print(f"prefix affinity: 16 conversations at once of 6 turns, {hits} of {hits + misses} turns at home")
    assert hits + misses == 96 and hits > 86
    workers[0].kill()
    g.wait_backend("a", up=0)
    assert set(turns(keys[0], "#tokens=2 conversation 0")) == {"b"}


# ---- the operator at run time ----

def state(gate, name):
    return next(b["state"] for b in gate.ask("backend", "list")["backends"] if b["name"] == name)


def on_both(gate, key, content, **fields):
    """Four streams that have begun, or as many as it takes until each of the two backends has one."""
    streams = []
    while len(streams) < 4 or len({s.headers["x-maas-backend"] for s in streams}) < 2:
        streams.append(gate.stream(key, content, **fields))
        streams[-1].read(1)
    return streams


@pytest.mark.short
def test_drain_and_enable_without_dropping_a_stream(make_gate):
    g, _ = two_workers(make_gate, settings={"backend_header": "shown"})
    key = g.key()
    streams = on_both(g, key, "#tokens=60 #delay=20 x")
    lasting = on_both(g, key, "#tokens=4000 #delay=100 x", max_tokens=4000)
    done = g.cli("backend", "drain", "a")
    assert done.stdout == "backend a is drained (it was enabled)\n"
    assert state(g, "a") == "draining" and state(g, "b") == "up"
    assert {g.chat(key, "#tokens=1 x").headers["x-maas-backend"] for _ in range(10)} == {"b"}
    g.cli("reload")
    assert state(g, "a") == "draining", "a reload keeps the operator's word"
    assert all(s.rest()[-1] == "[DONE]" for s in streams), "no stream was dropped"
    assert all(len(s.read(2)) == 2 for s in lasting), "no stream was dropped"
    assert state(g, "a") == "draining"
    for s in lasting:
        s.close()
    wait_until(lambda: state(g, "a") == "drained")
    assert 'maasgate_backend_enabled{backend="a"} 0' in g.metrics()[2]
    g.cli("backend", "drain", "b")
    a = g.chat(key, "x")
    assert (a.status, a.code) == (503, "backend_unavailable")
    ready = g.get("/readyz")
    assert ready.status == 200 and ready.json()["models"] == 1
    wait_until(lambda: g.get("/readyz").json()["models_without_backend"] == 1)  # counted twice a second
    assert g.status()["models_without_backend"] == 1
    g.cli("backend", "enable", "a")
    assert g.chat(key, "#tokens=1 x").headers["x-maas-backend"] == "a"
    g.daemon.wait_line(f"backend_drained backend=a before=enabled by_uid={os.getuid()} by_pid=")
    g.daemon.wait_line("backend_enabled backend=a before=drained")


def test_disable_survives_reload_and_restart(make_gate):
    g, _ = two_workers(make_gate, settings={"backend_header": "shown"})
    key = g.key()
    g.cli("backend", "disable", "a")
    g.cli("backend", "drain", "b")
    g.cli("reload")
    assert (state(g, "a"), state(g, "b")) == ("disabled", "drained")
    g.terminate()
    g.start_daemon()
    g.wait_backend("b")
    assert (state(g, "a"), state(g, "b")) == ("disabled", "up"), "only what was disabled is remembered"
    assert g.chat(key, "#tokens=1 x").headers["x-maas-backend"] == "b"
    # limits that a reload changes make a new standing: the word goes over to it
    g.write_conf(TWO.replace("a.sock}}", "a.sock, concurrency: 7}}"))
    g.cli("reload")
    assert state(g, "a") == "disabled"
    g.cli("backend", "enable", "a")
    g.kill_daemon()
    g.start_daemon()
    wait_until(lambda: state(g, "a") == "up")
    done = g.cli("backend", "drain", "nobody", check=False)
    assert done.returncode == 1 and "there is no backend 'nobody'" in done.stderr
    listed = g.cli("backend", "list").stdout.splitlines()
    assert listed[0].split()[:3] == ["BACKEND", "STATE", "VIA"] and listed[1].split()[:3] == ["a", "up", "shm"]


def test_a_queue_moves_on_when_its_backend_is_drained(make_gate):
    """Who waits for a backend that is taken away waits for another, or is told at once."""
    g, _ = two_workers(make_gate, TWO.replace("a.sock}}", "a.sock, concurrency: 1, queue_timeout_ms: 60s}}")
                       .replace("b.sock}}", "b.sock, concurrency: 1, queue_timeout_ms: 60s}}"))
    key = g.key()
    hold = Hold(g, key, 2)
    waiting = [g.stream(key, "#tokens=1 x") for _ in range(3)]
    wait_until(lambda: backend(g, "a")["queue"] == 3 and backend(g, "b")["queue"] == 3)
    g.cli("backend", "drain", "a")
    hold.release()
    assert all(s.rest()[-1] == "[DONE]" for s in waiting)
    assert calls(g, "a") == 1, "only what had begun before"
    hold = Hold(g, key, 1)
    late = g.stream(key, "#tokens=1 x")
    wait_until(lambda: backend(g, "b")["queue"] == 1)
    g.cli("backend", "disable", "b")
    assert late.head().status == 503
    hold.release()


# ---- refusals, budgets, panic ----

HTTP_TWO = """
backends:
  a: {{transport: http, address: "http://127.0.0.1:{port}/v1", {options}}}
  b: {{transport: http, address: "http://127.0.0.1:{port2}/v1", {options}}}
models:
  base/chat:
    capabilities: [chat]
    default_output_tokens: 256
    """ + PRICE + """
    routes: [{{backend: a, model: m}}, {{backend: b, model: m}}]
"""


@pytest.fixture
def http_two(make_gate):
    """(gate, two upstreams) with a script each."""
    servers = []

    def make(first=None, second=None, options="concurrency: 64", **settings):
        servers.extend([Upstream(first), Upstream(second)])
        g = make_gate(catalog=HTTP_TWO, worker=False, settings=settings,
                      fields={"port": servers[-2].port, "port2": servers[-1].port, "options": options})
        g.wait_backend("a")
        g.wait_backend("b")
        return g, g.key(), servers[-2], servers[-1]
    yield make
    for server in servers:
        server.stop()


def refusal(status, **headers):
    return lambda request: whole({"error": {"message": "no"}}, status, **headers)


def test_retry_after_is_respected(http_two):
    """The one that said 429 gets nothing until then, from no thread; the other does all the work."""
    g, key, a, b = http_two(refusal(429, **{"Retry-After": "300"}), upstream.good)
    began = time.monotonic()
    assert [g.chat(key, "x").status for _ in range(20)] == [200] * 20
    assert len(a.seen) == 1 and len(b.seen) == 20
    row, waited = backend(g, "a"), 1000 * (time.monotonic() - began)
    assert row["state"] == "limited" and 299000 - waited < row["limited_for_ms"] <= 300000
    by = {kind: {row[kind]: row for row in g.ask("usage", "--by", kind)["data"]} for kind in ("model", "served", "backend")}
    assert set(by["backend"]) == {"b"} and set(by["served"]) == set(by["model"]) == {"base/chat"}
    assert by["backend"]["b"]["amount"] == by["served"]["base/chat"]["amount"] == by["model"]["base/chat"]["amount"]
    assert by["backend"]["b"]["usage"] == by["model"]["base/chat"]["usage"] and by["backend"]["b"]["requests"] == 20
    b.script = refusal(503, **{"Retry-After": "200"})
    failed = g.chat(key, "x")
    assert failed.status == 502 and 150 <= int(failed.headers["retry-after"]) <= 200
    last = g.chat(key, "x")
    assert (last.status, last.code) == (503, "server_is_overloaded") and 150 <= int(last.headers["retry-after"]) <= 200


def test_the_retry_budget(http_two):
    """What two overloaded backends refuse is not asked of each other without end."""
    firsts, retries, numbers, arrived = threading.Event(), threading.Event(), itertools.count(), []

    def slow_refusal(request):
        number = next(numbers)
        arrived.append(number)
        (firsts if number < 40 else retries).wait(120 * SLOW)
        return whole({"error": {"message": "no"}}, 429)
    g, key, a, b = http_two(slow_refusal, slow_refusal, loop_threads=1)
    threads = [threading.Thread(target=g.chat, args=(key, "x")) for _ in range(40)]
    for t in threads:
        t.start()
    wait_until(lambda: len(arrived) == 40, what="forty calls")
    firsts.set()
    wait_until(lambda: len(arrived) + g.metric("maasgate_retries_refused_total") == 80,
               what="that each of forty is asked again or may not be")
    assert 40 + 3 <= len(arrived) <= 40 + 8, "three, or a fifth of those that run"
    retries.set()
    for t in threads:
        t.join(60 * SLOW)


def test_ejection_and_probe(http_two):
    """One of two is ejected after its failures and comes back by a probe."""
    g, key, a, b = http_two(refusal(500), upstream.good, options="eject_after: 3, ejection_ms: 4s", loop_threads=1)
    outcomes = []
    while len(a.seen) < 3:
        third = time.monotonic()
        outcomes.append(g.chat(key, "x").status)
    assert outcomes.count(502) == 3
    row = backend(g, "a")
    asked = [g.chat(key, "x").status for _ in range(9)], len(a.seen)
    if time.monotonic() - third < 4:  # all of it was within its time
        assert row["state"] == "ejected" and row["ejected_for_ms"] > 0 and asked == ([200] * 9, 3)
    g.daemon.wait_line("backend_ejected backend=a loop=0 for_ms=4000")
    a.script = upstream.good
    wait_until(lambda: g.chat(key, "x").status == 200 and len(a.seen) > 4, what="the way back")
    assert backend(g, "a")["state"] == "up"
    g.daemon.wait_line("backend_restored backend=a")


def test_the_last_one_is_used(http_two):
    """Two backends that fail cannot both be ejected."""
    g, key, a, b = http_two(refusal(500), refusal(500), options="eject_after: 3, ejection_ms: 1h", loop_threads=1)
    for _ in range(20):
        assert g.chat(key, "x").status == 502
    assert [backend(g, name)["state"] for name in "ab"].count("ejected") == 1
    seen = len(a.seen) + len(b.seen)
    assert g.chat(key, "x").status == 502 and len(a.seen) + len(b.seen) == seen + 1, "the last one is never ejected"


def test_who_begins_earlier_gets_more(http_two):
    """Time to first token: the slow one is spared, is seen in the status, and is not starved."""
    def slow(request):
        status, headers, pieces = upstream.good(request)
        return status, headers, [0.3, *pieces]
    g, key, a, b = http_two(slow, upstream.good, loop_threads=1)
    for _ in range(60):
        assert g.stream(key, "x").rest()[-1] == "[DONE]"
    assert 1 <= len(a.seen) <= 25 and len(b.seen) >= 35, (len(a.seen), len(b.seen))
    assert backend(g, "a")["ttft_ms"] >= 295 and backend(g, "b")["ttft_ms"] < backend(g, "a")["ttft_ms"]


@pytest.mark.parametrize("repeat", ["true", "false"])
def test_unanswered_over_http(http_two, repeat):
    """A connection that dies after the request: repeated only where the operator says that it may be."""
    g, key, a, b = http_two(lambda request: SILENT, upstream.good,
                            options=f"repeat_unanswered: {repeat}, eject_after: 1000", loop_threads=1)
    outcomes = [g.chat(key, "x").status for _ in range(20)]
    assert len(a.seen) > 0 and set(outcomes) == ({200} if repeat == "true" else {200, 502})
    assert outcomes.count(502) == (0 if repeat == "true" else len(a.seen))
    with g.ledger() as db:
        bills = [tuple(r) for r in db.execute("SELECT outcome, count(*) FROM settlement GROUP BY outcome")]
    assert sum(count for _, count in bills) == 20, "one bill each"


def test_one_of_two_gateways_killed_under_load(make_gate):
    """The same as with workers, over HTTP, where repeat_unanswered is set."""
    backs = [make_gate(settings={"loop_threads": 1}) for _ in range(2)]
    secrets = []
    for g in backs:
        secret = g.dir / "secret"
        secret.touch(0o600)
        secret.write_text(g.key("upstream") + "\n")
        secrets.append(secret)
    catalog = HTTP_TWO.replace("model: m", "model: base/chat")
    for letter, secret in zip("ab", secrets):
        catalog = catalog.replace(f"  {letter}: {{{{", f"  {letter}: {{{{secret_file: {secret}, ")
    front = make_gate(catalog=catalog, worker=False, fields={
        "port": backs[0].port, "port2": backs[1].port,
        "options": "concurrency: 64, repeat_unanswered: true, ejection_ms: 300ms"})
    front.wait_backend("a")
    front.wait_backend("b")
    clients = Clients(front, [front.key("one"), front.key("two")])
    for round in range(2):
        name, back = "ab"[round], backs[round]
        so_far = clients.wait(len(clients.rows) + 60)
        back.kill_daemon()
        clients.wait(so_far + 150)
        back.start_daemon()
        back.wait_backend()
        before = calls(front, name)
        wait_until(lambda: calls(front, name) > before + 5, what=f"the return of {name}")
    rows = clients.stop()
    assert report("http backend killed twice", rows) == []


def test_a_backend_whose_limit_is_used_up_comes_last(make_gate):
    """0 remaining is no refusal: others are asked first until it comes back, but it is better than none."""
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10m0s"}
    ups = [Upstream(lambda r: whole(upstream.WHOLE, **used_up)), Upstream()]
    catalog = """
backends:
  a: {{transport: http, address: "http://127.0.0.1:{a}/v1"}}
  b: {{transport: http, address: "http://127.0.0.1:{b}/v1"}}
models:
  base/chat:
    capabilities: [chat]
    """ + PRICE + """
    routes: [{{backend: a, model: m, weight: 1000}}, {{backend: b, model: m}}]
  base/first:
    capabilities: [chat]
    """ + PRICE + """
    routes: [{{backend: a, model: m}}]
"""
    g = make_gate(catalog=catalog, worker=False, settings={"loop_threads": 1},
                  fields={"a": ups[0].port, "b": ups[1].port})
    key = g.key()
    try:
        assert g.chat(key, "x", model="base/first").status == 200
        assert 500_000 < backend(g, "a")["used_up_for_ms"] <= 600_000 and not backend(g, "b")["used_up_for_ms"]
        for _ in range(20):
            assert g.chat(key, "x").status == 200
        assert len(ups[0].seen) == 1, "its weight alone would have made it likely"
        assert g.chat(key, "x", model="base/first").status == 200, "it is asked when there is no other"
    finally:
        for up in ups:
            up.stop()

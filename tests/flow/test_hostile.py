"""Workers that break the protocol, their rings or their word, over both carriers, one row each.

Whatever the row: the request it was done to has an answer and a bill by the rule, the stream of a healthy
worker on the same loop is the same byte for byte, and the next request to the same worker is served.
"""
import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_backend import FaultBackend
from gate import OUTPUT, SLOW, Gate, Worker, text_of, wait_until

TWO = ["role", {"tokens": 2}]
DATA, FINAL, PONG = 6, 7, 11
MORE = 16
HARMS = ("tail-back", "tail-odd", "tail-far", "tail-wild", "head-far", "head-back", "head-odd", "head-wild",
         "len-huge", "len-past", "len-frame", "pad", "zero", "truncate", "punch", "scribble")


def frame(times=1, **fields):
    return {"frame": fields, "times": times}


def row(do, end="cut", tokens=2, broken=True, **more):
    """do: the steps.  end: cut (two tokens, then an error), ok, or the status of an error.
    tokens: billed; None: only bounded by the hold.  broken: whether the session ends for it."""
    return {"do": do, "end": end, "tokens": tokens if not isinstance(end, int) else 0, "broken": broken,
            "stream": True, "shm": False, **more}


def ring(*do, **more):
    """The two tokens are read first, if the machine is not very busy: else one or none is delivered."""
    return row([*TWO, {"wait": 30}, *do, "hang"], end="cut-or-502", shm=True, **more)


ROWS = {
    # frames of nobody
    "slot-free": row([*TWO, frame(type=DATA, slot="+1", zeros=16, text='{"no":1}'), "hang"]),
    "slot-far": row([*TWO, frame(type=DATA, slot=2**32 - 1, zeros=16, text='{"no":1}'), "hang"]),
    "generation-to-come": row([*TWO, frame(type=DATA, gen="+1", zeros=16, text='{"no":1}'), "hang"]),
    "generation-long-gone": row([*TWO, frame(type=DATA, gen="-1", zeros=16, text='{"no":1}'), "final"], "ok",
                                broken=False),
    "final-long-gone": row([*TWO, frame(type=FINAL, gen="-1", zeros=136), "final"], "ok", broken=False),
    "generations-long-gone": row([*TWO, frame(5000, type=DATA, gen="-1", zeros=16, text='{"no":1}'), "hang"]),
    # frames that are none
    "type-unknown": row([*TWO, frame(type=99), "hang"]),
    "type-ignorable": row([*TWO, frame(type=0x8001, zeros=100), "final"], "ok", broken=False),
    "type-of-the-gateway": row([*TWO, frame(type=4, zeros=64), "hang"]),
    "hello-again": row([*TWO, frame(type=1, zeros=64), "hang"]),
    "pad-outside-a-ring": row([*TWO, frame(type=0, zeros=16), "hang"]),
    "data-without-counters": row([*TWO, frame(type=DATA, zeros=15), "hang"]),
    "final-too-short": row([*TWO, frame(type=FINAL, zeros=135), "hang"]),
    "final-too-long": row([*TWO, frame(type=FINAL, zeros=337), "hang"]),
    "flood-of-ignorables": row([*TWO, frame(20000, type=0x8001), "hang"]),
    "flood-of-pongs": row([*TWO, frame(20000, type=PONG, gen=777), "hang"]),
    "flood-of-counters": row([*TWO, {"usage": {"out": 2}}, frame(20000, type=DATA, zeros=16), "done"], "ok",
                             broken=False),
    "longer-than-a-frame": row([*TWO, frame(type=DATA, len=40000), "hang"], shm=None),
    "garbage": row([*TWO, {"bytes": "\x7f" * 4096}, "hang"], shm=None),
    # ends
    "two-finals": row([*TWO, "final", "done"], "ok"),
    "tokens-after-the-end": row([*TWO, "final", frame(type=DATA, zeros=16, text='{"no":1}')], "ok"),
    "silence": row(["hang"], 504, broken=False, timeout=500),
    "silence-in-the-middle": row([*TWO, "hang"], broken=False, timeout=2000),
    "endless-tokens": row([*TWO, {"tokens": 10**9, "every": 1}], tokens=None, broken=False, timeout=2000,
                          cancelled="deaf"),
    "endless-event": row([*TWO, frame(60, type=DATA, flags=MORE, zeros=30000), "hang"]),
    "endless-body": row([frame(200, type=DATA, zeros=16, text="x" * 30000), "hang"], 502, broken=None,
                        stream=False),
    "half-an-event": row([*TWO, frame(type=DATA, flags=MORE, zeros=16, text='{"a":'), "done"]),
    # usage
    "usage-huge": row([*TWO, {"usage": {"out": 2**62}}, "done"], "ok", tokens=None, broken=False),
    "usage-negative": row([*TWO, {"usage": {"out": -5}}, "done"]),
    "usage-decreasing": row([*TWO, {"usage": {"out": 1}}, {"tokens": 1}, "hang"]),
    "usage-less-at-the-end": row([*TWO, {"usage": {"out": 1}}, "done"]),
    "usage-absent": row([{"usage": "absent"}, *TWO, "finish", "done"], "ok", tokens=0, broken=False,
                        outcome="ok_nousage"),
    "usage-absent-whole": row([{"usage": "absent"}, *TWO, "final"], "ok", tokens=0, broken=False, stream=False,
                              outcome="ok_nousage"),
    "usage-huge-whole": row([*TWO, {"usage": {"in": 2**62, "out": 2**62}}, "final"], "ok", tokens=None,
                            broken=False, stream=False),
    # answers that are none
    "event-not-json": row([{"say": "hello"}, "hang"], 502, broken=False),
    "event-done": row([{"say": "[DONE]"}, "hang"], 502, broken=False),
    "event-not-json-later": row([*TWO, {"say": "hello"}, "hang"], broken=False),
    "event-of-many-lines": row([*TWO, {"say": '{"choices":\n\n[]\r\n}'}, "final"], "ok", broken=False),
    "nothing-whole": row(["done"], 502, broken=False, stream=False),
    "half-a-body": row([{"body": '{"a":'}, "done"], 502, broken=False, stream=False),
    "text-for-a-body": row([{"body": "it worked"}, "done"], 502, broken=False, stream=False),
    # the ring itself, while it is in use
    **{name: ring({"harm": name}) for name in HARMS
       if name not in ("head-back", "scribble", "truncate", "punch")},
    "truncate": row([*TWO, {"harm": "truncate"}, "final"], "ok", broken=False, shm=True),  # the seals refuse it
    "punch": ring({"harm": "punch"}, broken=None, timeout=800),
    "head-back": ring({"harm": "head-back"}, broken=None, timeout=800),  # it may be as far as was known
    "pad-flood": ring({"harm": "pad-flood", "n": 500}),
    "bells": ring({"harm": "bells", "n": 20000}),
    **{f"scribble-{seed}": ring({"harm": "scribble", "n": seed}) for seed in range(1, 5)},
    # slow, or gone
    "starve": row([*TWO, {"harm": "starve"}], broken=False, timeout=2000, recovers=False),
    "fin": row([*TWO, {"wait": 30}, "fin"], "cut-or-502", broken=False),
    "cut-in-a-frame": row([*TWO, {"wait": 30}, {"cut": 40, "how": "fin"}, {"tokens": 5}], "cut-or-502", broken=False,
                          shm=None),
}

BACKEND = """
  {name}:
    transport: {transport}
    address: {address}"""
MODEL = """
  base/{name}:
    capabilities: [chat]
    context_length: 65536
    max_output_tokens: 4096
    default_output_tokens: 256
    price:
      requests: 0.001
      input_uncached_tokens: 0.10/1M
      output_text_tokens: 0.40/1M
    routes:
      - backend: {name}
        model: {model}"""


def rows_of(carrier):
    return {n: r for n, r in ROWS.items() if r["shm"] is False or r["shm"] is (carrier == "shm")
            or (r["shm"] is None and carrier == "unix")}


def catalog(carrier):
    transport, prefix = ("shm", "") if carrier == "shm" else ("socket", "unix:")
    text = "backends:" + BACKEND.format(name="healthy", transport="shm", address="{dir}/healthy.sock")
    for name in rows_of(carrier):
        text += BACKEND.format(name=name, transport=transport, address=f"{prefix}{{dir}}/{name}.sock")
    text += "\nmodels:" + MODEL.format(name="healthy", model="ngram-general")
    return text + "".join(MODEL.format(name=name, model="m") for name in rows_of(carrier)) + "\n"


class Hostile:
    """One daemon with one loop: a healthy worker, and a backend for each row that one process plays."""

    def __init__(self, gate, carrier):
        self.gate, self.carrier = gate, carrier
        gate.write_conf()
        gate.workers.append(Worker(gate.dir, f"shm:{gate.dir}/healthy.sock"))
        self.backend = FaultBackend(gate.dir, *(f"{carrier}:{gate.dir}/{name}.sock" for name in rows_of(carrier)))
        gate.workers.append(self.backend)
        gate.start()
        for name in ("healthy", *rows_of(carrier)):
            gate.wait_backend(name)
        self.key = gate.key()
        self.reference = self.healthy_stream()

    def healthy_stream(self):
        s = self.gate.stream(self.key, "#tokens=60 #delay=5 steady", "base/healthy", max_tokens=60,
                             stream_options={"include_usage": True})
        return [{k: v for k, v in e.items() if k not in ("id", "created")} if e != "[DONE]" else e
                for e in s.rest()]

    def errors(self):
        return {b["name"]: b["protocol_errors"] for b in self.gate.status()["backends"]}

    def do(self, name, r, raw=False):
        """(status, events or answer, settlement) of the row's own request; 503 is none: nothing began."""
        script = json.dumps({"do": r["do"], "cancelled": r.get("cancelled", "final")})
        patience = {"x-request-timeout-ms": str(r.get("timeout", 20000) * SLOW)}
        if r["stream"]:
            s = self.gate.stream(self.key, "x #script=" + script, f"base/{name}", max_tokens=100, headers=patience)
            s.head()
            what = json.loads(s.body()) if s.status != 200 else list(s.raw_chunks()) if raw else s.rest()
            return s.status, what, s.status != 503 and self.gate.settlement(s.request_id)
        a = self.gate.post("/v1/chat/completions", {
            "model": f"base/{name}", "max_tokens": 100, "messages": [{"role": "user", "content": "x #script=" + script}],
        }, self.key, patience)
        return a.status, a.body if raw else a.json(), a.status != 503 and self.gate.settlement(a.headers["x-request-id"])

    def serves(self, name):
        s = self.gate.stream(self.key, "#tokens=2 x", f"base/{name}", max_tokens=100)
        return s.head().status == 200 and s.rest()[-1] == "[DONE]"


@pytest.fixture(scope="module", params=["shm", "unix"])
def hostile(request):
    with Gate(catalog=catalog(request.param), worker=False,
              settings={"loop_threads": 1, "answer_bytes_max": "1M"}) as g:
        yield Hostile(g, request.param)


def check_end(r, status, what, bill):
    if r["end"] == "cut-or-502":  # what was read before the harm is delivered, and just that is billed
        read = text_of(what).count("tok ") if status == 200 else 0
        assert read <= r["tokens"] and (read or status != 200)
        r = {**r, "end": "cut" if read else 502, "tokens": read}
    if r["end"] == "ok":
        assert status == 200
        if r["stream"]:
            assert what[-1] == "[DONE]" and what.count("[DONE]") == 1 and text_of(what) == "tok tok "
        else:
            assert what["choices"][0]["message"]["content"] == "tok tok "
        assert bill["outcome"] == r.get("outcome", "ok")
    elif r["end"] == "cut":
        assert status == 200 and "[DONE]" not in what
        assert what[-1]["error"]["code"] in ("upstream_cut", "deadline_exceeded")
        assert text_of(what).startswith("tok " * (r["tokens"] or 2)) and "no" not in what[-2]
        assert bill["outcome"] == "upstream_cut"
    else:
        assert status == r["end"] and set(what["error"]) == {"message", "type", "param", "code"}
        assert (bill["outcome"], bill["amount_atoms"]) == ("failed_pre", 0)
    tokens = bill["lines"].get(OUTPUT, (0, 0))[0]
    assert tokens == r["tokens"] if r["tokens"] is not None else 2 <= tokens <= 100


def play(hostile, name):
    """The row's request, then one that is served."""
    r, before = rows_of(hostile.carrier)[name], hostile.errors()[name]
    status, what, bill = hostile.do(name, r)
    check_end(r, status, what, bill)
    if r["broken"]:
        wait_until(lambda: hostile.errors()[name] > before, what="the end of the session")
    if r["broken"] is not None:
        assert hostile.errors()[name] - before == r["broken"]
    if r.get("recovers", True):
        wait_until(lambda: hostile.serves(name), 20, "the worker's next answer")


@pytest.mark.parametrize("name", ROWS)
def test_a_worker_harms_its_own_requests_alone(hostile, name):
    if name not in rows_of(hostile.carrier):
        return  # of the other carrier
    before, beside = hostile.errors(), []
    t = threading.Thread(target=lambda: beside.append(hostile.healthy_stream()))
    t.start()
    play(hostile, name)
    t.join()
    assert beside == [hostile.reference], "the healthy stream was disturbed"
    assert {**hostile.errors(), name: 0} == {**before, name: 0}


@pytest.mark.short
def test_all_of_them_at_once(hostile):
    with ThreadPoolExecutor(16) as pool:
        beside = [pool.submit(hostile.healthy_stream) for _ in range(4)]
        rows = {name: pool.submit(play, hostile, name) for name in rows_of(hostile.carrier) if name != "starve"}
        beside += [pool.submit(hostile.healthy_stream) for _ in range(4)]
        failed = {name: row.exception() for name, row in rows.items() if row.exception()}
        assert not failed, failed
        assert all(b.result() == hostile.reference for b in beside), "a healthy stream was disturbed"


def random_steps(dice, shm):
    """An answer that begins well, into which something random falls."""
    steps = ["role", {"tokens": dice.randrange(4)}]
    for _ in range(dice.randrange(1, 5)):
        what = dice.randrange(6)
        if what == 0 and shm:
            steps.append({"harm": dice.choice(HARMS), "n": dice.randrange(1, 1000)})
        elif what == 1 and not shm:
            steps.append({"bytes": "".join(chr(dice.randrange(1, 127)) for _ in range(dice.randrange(1, 200)))})
        elif what == 2:
            steps.append({"tokens": dice.randrange(3)})
        elif what == 3:
            steps.append({"usage": {"out": dice.choice([0, 1, 5, 2**31, 2**40, 2**63 - 1, -1])}})
        else:
            near = [f"{n:+d}" for n in (-2, -1, 0, 0, 0, 0, 1)]
            steps.append({"frame": {"type": dice.choice([DATA, DATA, FINAL, PONG, dice.randrange(16), 0x8000]),
                                    "flags": dice.randrange(64), "slot": dice.choice(near), "gen": dice.choice(near),
                                    "zeros": dice.choice([0, 8, 15, 16, 24, 136, dice.randrange(400)]),
                                    "text": dice.choice(["", '{"a":1}', "x" * 300])},
                          "times": dice.choice([1, 1, 1, 2, 50])})
    return steps + [dice.choice(["final", "final", "done", "hang", "fin"])]


@pytest.mark.short
def test_random_harm(hostile):
    """The outcome is anybody's guess; that there is one, and for nobody else, is not."""
    count = int(os.environ.get("MAASGATE_MUTATIONS", 120))
    dice = random.Random(f"{hostile.carrier} 1")
    names = [n for n in rows_of(hostile.carrier) if n != "starve"]

    def one(name, steps, stream):
        r = row(steps, timeout=300, stream=stream)
        status, _, bill = wait_until(lambda: (done := hostile.do(name, r, raw=True))[0] != 503 and done, 30, "a worker")
        assert status in (200, 400, 413, 502, 504), (status, steps)
        assert status == 200 or bill["amount_atoms"] == 0, (bill, steps)

    with ThreadPoolExecutor(16) as pool:
        beside = [pool.submit(hostile.healthy_stream) for _ in range(2)]
        work = [pool.submit(one, dice.choice(names), random_steps(dice, hostile.carrier == "shm"),
                            dice.randrange(4) > 0)
                for _ in range(count)]
        while not all(w.done() for w in work):
            assert hostile.healthy_stream() == hostile.reference, "the healthy stream was disturbed"
        for w in work:
            w.result()
        assert all(b.result() == hostile.reference for b in beside)
    for name in names:
        wait_until(lambda name=name: hostile.serves(name), 20, f"{name}'s next answer")


# How a worker may greet, and what `maasgate status` then says of it.
GREETINGS = {
    "says-nothing": ([{"wait": 60000}], ""),
    "hangs-up": (["fin"], "hung up"),
    "another-frame": ([{"frame": {"type": DATA, "zeros": 64}}], "did not begin with HELLO"),
    "short-hello": ([{"frame": {"type": 1, "zeros": 63}}], "did not begin with HELLO"),
    "another-magic": ([{"frame": {"type": 1, "zeros": 64}}], "another version"),
    "garbage": ([{"bytes": "\x7f" * 300}], ""),
    "ready-first": ([{"frame": {"type": 3}}], "did not begin with HELLO"),
}


@pytest.mark.short
@pytest.mark.parametrize("carrier", ["shm", "unix"])
def test_greetings(make_gate, carrier):
    """Whoever cannot greet is down, says why, takes no descriptor and harms nobody."""
    names = list(GREETINGS)
    transport, prefix = ("shm", "") if carrier == "shm" else ("socket", "unix:")
    text = "backends:" + BACKEND.format(name="healthy", transport="shm", address="{dir}/healthy.sock")
    for name in names:
        text += BACKEND.format(name=name, transport=transport, address=f"{prefix}{{dir}}/{name}.sock")
    text += "\nmodels:" + MODEL.format(name="healthy", model="ngram-general")
    text += "".join(MODEL.format(name=name, model="m") for name in names) + "\n"
    g = make_gate(start=False, catalog=text, worker=False, settings={"loop_threads": 1, "connect_timeout_ms": "1s" if SLOW == 1 else "3s"})
    g.write_conf()
    g.workers.append(Worker(g.dir, f"shm:{g.dir}/healthy.sock"))
    for name in names:
        g.workers.append(FaultBackend(g.dir, f"{carrier}:{g.dir}/{name}.sock",
                                      script={"connections": [{"do": GREETINGS[name][0]}], "do": ["final"]}))
    g.start()
    g.wait_backend("healthy")
    key = g.key()

    def known():
        return {b["name"]: b for b in g.status()["backends"]}

    def descriptors():
        return len(os.listdir(f"/proc/{g.daemon.pid}/fd"))

    for name in names:
        wait_until(lambda name=name: known()[name]["trouble"] and GREETINGS[name][1] in known()[name]["trouble"], 20,
                   f"the trouble of {name}: {known()[name]}")
    before = descriptors()
    end = time.monotonic() + 3
    while time.monotonic() < end:  # back-offs go by: each dials again and again
        s = g.stream(key, "#tokens=5 x", "base/healthy", max_tokens=5)
        assert s.rest()[-1] == "[DONE]"
    assert descriptors() <= before + 2 * len(names) + 8
    for name in names:
        assert known()[name]["up"] == 0
        a = g.chat(key, "x", f"base/{name}")
        assert (a.status, a.code) == (503, "backend_unavailable")
    assert known()["healthy"]["connects"] == 1

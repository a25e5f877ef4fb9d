"""The Python binding of libmaasworker (bindings/python), through the gateway, over each carrier."""
import concurrent.futures
import ctypes
import dataclasses
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time

import pytest
from gate import BUILD, CATALOG, INPUT, OUTPUT, ROOT, Process, text_of, wait_until

HERE = pathlib.Path(__file__).parent
BINDING = ROOT / "bindings" / "python"
HEADER = (ROOT / "backends" / "worker" / "maasworker.h").read_text()
IMAGES = 6  # base/usage.h


def library():
    """That of the build under test; sanitized builds have none that Python could load."""
    found = [p for p in (BUILD / "libmaasworker.so", ROOT / "build/release/libmaasworker.so") if p.exists()]
    assert found, "there is no libmaasworker.so; run make"
    return found[0]


class PythonWorker(Process):
    def __init__(self, gate, threads=4):
        super().__init__([sys.executable, HERE / "python_worker.py", gate.worker_listen(), threads], gate.dir,
                         "python", {"MAASWORKER_LIBRARY": str(library()), "PYTHONDONTWRITEBYTECODE": "1"})
        wait_until(lambda: self.running() and "ready" in self.notes(), what="the Python worker")

    def notes(self):
        return self.out.read_text().splitlines()

    def wait_note(self, word):
        return wait_until(lambda: [n for n in self.notes() if n.startswith(word)], what=f"'{word}'")[0]

    def stop(self):
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.tail()
        assert self.notes()[-1] == "ended"


@pytest.fixture
def start(make_gate):
    def start(transport="shm", catalog=CATALOG, **options):
        g = make_gate(transport=transport, worker=False, catalog=catalog)
        g.workers.append(PythonWorker(g, **options))
        g.wait_backend()
        return g, g.workers[0], g.key()
    return start


@pytest.fixture(scope="module")
def python():
    """The binding in this process."""
    os.environ["MAASWORKER_LIBRARY"] = str(library())
    sys.path.insert(0, str(BINDING))
    import maasworker
    return maasworker


def bill(g, request_id):
    row = g.settlement(request_id)
    return row["outcome"], row["lines"].get(INPUT, (0,))[0], row["lines"].get(OUTPUT, (0,))[0]


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_answers(start, transport):
    g, worker, key = start(transport)
    s = g.stream(key, "count 300", max_tokens=300, stream_options={"include_usage": True})
    events = s.rest()
    assert text_of(events) == "".join(f"{n} " for n in range(300))
    assert events[-1] == "[DONE]" and events[-2]["usage"]["completion_tokens"] == 300
    assert events[-3]["choices"][0]["finish_reason"] == "stop"
    assert events[-2]["usage"]["prompt_tokens"] == 4
    assert bill(g, s.request_id) == ("ok", 4, 300)

    a = g.chat(key, "count 12")  # the same handler, not streamed
    assert a.json()["choices"][0]["message"]["content"] == "".join(f"{n} " for n in range(12))
    assert a.json()["usage"]["completion_tokens"] == 12 and a.json()["model"] == "base/chat"

    assert text_of(g.stream(key, "raw").rest()) == "ab"
    a = g.post("/v1/embeddings", {"model": "base/embed", "input": "x"}, key)
    assert a.json()["data"][0]["embedding"] == [0.5, -0.25]
    assert bill(g, a.headers["x-request-id"])[:2] == ("ok", 2)


@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_large_answers(start, transport):
    g, worker, key = start(transport)
    a = g.post("/v1/images/generations", {"model": "base/image", "prompt": "x"}, key)
    assert a.json()["data"][0]["b64_json"] == "AAAA" * 1_000_000
    assert g.settlement(a.headers["x-request-id"])["lines"][IMAGES][0] == 1
    text = g.chat(key, "whole 3000000").json()["choices"][0]["message"]["content"]
    assert text == "x" * 3_000_000
    # One piece of text that no event could hold, and characters that are cut by every limit on the way.
    assert text_of(g.stream(key, "whole 400000 \u4e2d").rest()) == "\u4e2d" * 400_000


def test_errors_keep_the_worker(start):
    g, worker, key = start()
    a = g.chat(key, "refuse 400 there is no such voice")
    assert a.status == 400 and a.json()["error"]["message"].endswith("there is no such voice ??")
    assert g.chat(key, "refuse 413 long").status == 400  # context_length_exceeded
    assert g.chat(key, "refuse 429 busy").status in (429, 503)

    a = g.chat(key, "broken")
    assert a.status == 502 and "secret" not in a.body.decode()
    assert bill(g, a.headers["x-request-id"])[0] == "failed_pre"
    s = g.stream(key, "broken")
    events = s.rest()
    assert text_of(events) == "half " and events[-1]["error"]["code"] == "upstream_cut"
    assert bill(g, s.request_id) == ("upstream_cut", 3, 1)

    for text in ("leaves", "wrong", "no-such-function", "whole not-a-number"):
        assert g.chat(key, text).status == 502, text
    assert g.post("/v1/embeddings", {"model": "base/embed", "input": "None"}, key).status == 502
    a = g.chat(key, "nothing")
    assert a.status == 200 and a.json()["choices"][0]["message"]["content"] == ""

    for told in ("a secret of the engine", "the engine wants to end",  # for its author
                 "is -4; expected a whole number", "sent nothing and returned None"):
        worker.wait_line(told)
    assert worker.running() and g.chat(key, "count 1").status == 200


@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_tensors_json_and_binary(start, transport):
    g, worker, key = start(transport)
    path, meta = "/v2/models/base%2Fsimple/infer", {"datatype": "INT32", "shape": [1, 16]}
    a = g.post(path, {"inputs": [{"name": n, **meta, "data": list(range(16))} for n in ("INPUT0", "INPUT1")]}, key)
    assert a.json()["outputs"][0]["data"] == [2 * n for n in range(16)]
    head = json.dumps({"inputs": [{"name": n, **meta, "parameters": {"binary_data_size": 64}}
                                  for n in ("INPUT0", "INPUT1")]}).encode()
    a = g.post(path, head + struct.pack("<32i", *range(32)), key,
               {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"})
    assert a.status == 200, a
    size = int(a.headers["inference-header-content-length"])
    assert json.loads(a.body[:size])["outputs"][0]["parameters"]["binary_data_size"] == 64
    assert struct.unpack("<16i", a.body[size:]) == tuple(2 * n + 16 for n in range(16))


def test_no_handler(start):
    model = """
  base/words:
    capabilities: [moderation]
    price: {{requests: 0}}
    routes: [{{backend: worker, model: words}}]
"""
    g, worker, key = start(catalog=CATALOG.rstrip("\n") + model)
    a = g.post("/v1/moderations", {"model": "base/words", "input": "x"}, key)
    assert a.status == 400 and "no handler for moderation" in a.body.decode()


def test_cancel_closes_a_generator(start):
    g, worker, key = start()
    s = g.stream(key, "count 1000 0.02")
    s.read(5)
    s.close()
    tokens = int(worker.wait_note("closed after").split()[-1])
    outcome, _, billed = bill(g, s.request_id)
    assert outcome == "client_gone" and 4 <= billed <= tokens < 1000


@pytest.mark.parametrize("threads", [1, 4])
def test_cancel_of_slow_code(start, threads):
    """The loop answers while a handler computes; the call ends when the handler looks up."""
    g, worker, key = start(threads=threads)
    polls = g.stream(key, "polls")
    worker.wait_note("begun")
    polls.close()
    worker.wait_note("saw the cancel")
    slow = g.stream(key, "slow 1.5")
    wait_until(lambda: worker.notes().count("begun") == 2, what="the slow handler")
    waits = g.stream(key, "count 3")  # with one thread: behind the slow one
    if threads > 1:
        assert text_of(waits.rest()) == "0 1 2 "
    slow.close()
    if threads == 1:
        waits.close()  # cancelled before it began
    worker.wait_note("cancelled True")
    wait_until(lambda: g.open_holds() == 0, what="the settlements")
    assert {r["outcome"] for r in g.settlements()} <= {"ok", "client_gone_0"}  # no text had been sent
    assert "Traceback" not in worker.text()
    assert g.chat(key, "count 2").status == 200
    assert g.status()["backends"][0]["up"] == 2  # never taken for dead


def test_a_slow_reader_holds_up_its_own_handler_only(start):
    g, worker, key = start(threads=2)
    stuck = g.stream(key, "count 100000", receive_buffer=4096)
    stuck.head()
    for _ in range(20):
        assert g.chat(key, "count 5").status == 200
    stuck.close()
    worker.wait_note("closed after")


def test_many_at_once(start):
    g, worker, key = start(threads=8)

    def one(n):
        text = text_of(g.stream(key, f"count {n}").rest())
        return text == "".join(f"{i} " for i in range(n))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert all(pool.map(one, [n % 50 for n in range(200)]))


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_a_forked_child_does_not_stand_for_the_worker(start, transport):
    g, worker, key = start(transport)
    assert g.chat(key, "forks").json()["choices"][0]["message"]["content"] == str(worker.pid)
    child = int(worker.wait_note("child").split()[-1])
    try:
        assert g.chat(key, "count 1").status == 200  # the parent goes on
        began = time.monotonic()
        worker.kill()
        wait_until(lambda: g.status()["backends"][0]["up"] == 0, what="the loss of the worker")
        assert time.monotonic() - began < 8  # seen at once, not by ten seconds of silence
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, signal.SIGKILL)


def test_stop_cuts_what_runs(start):
    g, worker, key = start()
    s = g.stream(key, "count 100000 0.01")
    s.read(3)
    worker.stop()
    assert s.rest()[-1]["error"]["code"] == "upstream_cut"
    assert not (g.dir / "worker.sock").exists()


# ---- in this process ----

def test_bad_use(python, tmp_path):
    sock = f"unix:{tmp_path}/w.sock"
    w = python.Worker(sock, "tcp:127.0.0.1:0", threads=1)
    assert w.port > 0
    for wrong in (lambda: w.on("chess"), lambda: python.Worker(), lambda: python.Worker(sock, threads=0),
                  lambda: python.Fail(200, "fine")):
        with pytest.raises(ValueError):
            wrong()
    for address in (sock, "ftp:x", f"unix:{tmp_path}/no/such/folder/s", "tcp:127.0.0.1"):
        with pytest.raises(OSError):
            python.Worker(address)
    w.close()
    w.close()
    w.stop()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError):
        w.run()


def test_library_that_is_not_there():
    env = {**os.environ, "MAASWORKER_LIBRARY": "/nonexistent.so", "PYTHONPATH": str(BINDING),
           "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", "import maasworker"], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "set MAASWORKER_LIBRARY" in done.stderr


def members(text):
    """Names of a C struct's members, in order; a function pointer's is in parentheses."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    names = []
    for statement in text.split(";"):
        pointer = re.search(r"\(\*(\w+)\)", statement)
        if pointer:
            names.append(pointer[1])
        else:
            names += [re.findall(r"\w+", part)[-1] for part in statement.split(",") if part.strip()]
    return names


def test_mirrors_the_header(python):
    from maasworker import _c
    for name, mirror in (("request", _c.Request), ("usage", _c.Usage), ("handler", _c.Handler),
                         ("options", _c.Options)):
        body = re.search(rf"struct maas_{name} {{(.*?)\n}};", HEADER, re.S)[1]
        assert members(body) == [field for field, _ in mirror._fields_], name
    values = dict(re.findall(r"MAAS_([A-Z_]+) = (-?\d+)", HEADER))
    for name, number in _c.CAPABILITIES.items():
        assert int(values.pop(name.upper())) == number
    for name in ("OK", "AGAIN", "GONE", "INVALID"):
        assert int(values.pop(name)) == getattr(_c, name)
    assert not _c._fits(*[8 + ctypes.sizeof(t) for t in (_c.Request, _c.Usage, _c.Handler, _c.Options)])
    assert not values, "new in maasworker.h: give it to bindings/python/maasworker/_c.py, too"
    assert [f.name for f in dataclasses.fields(python.Usage)] == [n for n, _ in _c.Usage._fields_]

"""Clients that never rest, and what they saw: the journal that reconcile.py reads."""
import contextlib
import http.client
import json
import random
import threading

from gate import SLOW


class Journal:
    """One JSON line a request, written after the fact by the client itself."""

    def __init__(self, path):
        self.file, self.lock = open(path, "a", buffering=1), threading.Lock()
        self.rows = self.whole = 0

    def add(self, **row):
        with self.lock:
            self.file.write(json.dumps(row) + "\n")
            self.rows += 1
            self.whole += bool(row["complete"] and row["status"] == 200)


def whole_request(gate, key, dice):
    """(path, body) of something small."""
    kind = dice.randrange(6)
    if kind == 0:
        return "/v1/embeddings", {"model": "base/embed", "input": "a few words"}
    if kind == 1:
        return "/v2/models/base/simple/infer", {"inputs": [
            {"name": n, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))} for n in ("INPUT0", "INPUT1")]}
    model = dice.choice(["base/chat", "domain/code/review", "industry/finance/risk"])
    delay = dice.choice(["", "", "#delay=2 "])
    return "/v1/chat/completions", {"model": model, "messages": [
        {"role": "user", "content": f"{delay}#tokens={dice.randrange(1, 40)} x"}]}


def ask_whole(gate, key, dice, journal):
    path, body = whole_request(gate, key, dice)
    request_id, status, complete, usage = None, 0, False, None
    c = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60 * SLOW)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError), contextlib.closing(c):
        c.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {key}"})
        r = c.getresponse()
        status, request_id = r.status, r.getheader("x-request-id")
        answer = json.loads(r.read())
        complete = True
        usage = answer.get("usage") if status == 200 else None
    journal.add(request_id=request_id, status=status, complete=complete, usage=usage, stream=False)


def ask_stream(gate, key, dice, journal, leave=0.2):
    """Now and then the client leaves in the middle."""
    stop_after = dice.randrange(1, 6) if dice.random() < leave else 10**9
    delay = dice.choice(["", "#delay=2 ", "#delay=5 "])
    request_id, status, complete, usage, s = None, 0, False, None, None
    with contextlib.suppress(OSError, AssertionError, ValueError, IndexError):
        s = gate.stream(key, f"{delay}#tokens={dice.randrange(1, 60)} x", stream_options={"include_usage": True})
        status, request_id = s.head().status, s.request_id
        if status != 200:
            s.body()
            complete = True
        else:
            for count, event in enumerate(s.events()):
                if event == "[DONE]":
                    complete = True
                else:
                    usage = event.get("usage") or usage
                if count == stop_after:
                    break
    if s:
        with contextlib.suppress(OSError):
            s.close(reset=dice.random() < 0.5)
    journal.add(request_id=request_id, status=status, complete=complete, usage=usage, stream=True)


class Load:
    """Threads of clients until stop()."""

    def __init__(self, gate, keys, journal, seed, threads=8):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True,
                                         args=(gate, keys, journal, random.Random(seed * 1000 + i)))
                        for i in range(threads)]
        for t in self.threads:
            t.start()

    def work(self, gate, keys, journal, dice):
        while not self.over.is_set():
            ask = ask_stream if dice.random() < 0.5 else ask_whole
            ask(gate, dice.choice(keys), dice, journal)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(90 * SLOW)
            assert not t.is_alive(), "a client hangs"

"""maasgate worker-test: right workers pass every check, and each wrong one fails the check that is about it."""
import subprocess

import pytest
from fault_backend import FaultBackend
from gate import BUILD, SLOW, Process, Worker, free_port, wait_until

REFWORKER = "chat=ngram-general,completions=ngram-general,embeddings=hash-embed,images=pattern-image,infer=simple"


def exam(address, ask="chat=x", patience=5000, only=""):
    """({check: passed}, {check: the whole line}, exit code)"""
    done = subprocess.run([BUILD / "maasgate", "worker-test", address, "--ask", ask, "--patience-ms",
                           str(patience * SLOW), "--only", only], capture_output=True, text=True, timeout=100 * SLOW)
    lines = done.stdout.splitlines()
    rows = {line.split()[1]: line for line in lines[:-1]}
    passed = {name: line.startswith("ok ") for name, line in rows.items()}
    assert all(line.startswith(("ok  ", "FAIL")) for line in rows.values()), done.stdout + done.stderr
    assert lines[-1] == f"{sum(passed.values())} passed, {len(passed) - sum(passed.values())} failed"
    assert done.returncode == (0 if all(passed.values()) else 1)
    return passed, rows, done.returncode


def places(directory):
    """(what to listen at, what to test) of each carrier."""
    port = free_port()
    return {"shm": (f"shm:{directory}/w.sock", f"{directory}/w.sock"),
            "unix": (f"unix:{directory}/w.sock", f"unix:{directory}/w.sock"),
            "tcp": (f"tcp:127.0.0.1:{port}", f"127.0.0.1:{port}")}


@pytest.mark.parametrize("carrier", ["shm", "unix", "tcp"])
def test_the_reference_worker_passes(tmp_path, carrier):
    listen, address = places(tmp_path)[carrier]
    worker = Worker(tmp_path, listen)
    passed, rows, code = exam(address, REFWORKER)
    assert code == 0 and len(passed) >= 33, [line for line in rows.values() if line.startswith("FAIL")]
    worker.stop()


def listens(path):
    """The file is there a moment before somebody can connect to it."""
    with open("/proc/net/unix", encoding="ascii") as lines:
        return any(words[-1] == str(path) and words[3] == "00010000" for words in map(str.split, lines))


@pytest.mark.short
@pytest.mark.parametrize("carrier", ["shm", "unix"])
def test_the_smallest_worker_passes(tmp_path, carrier):
    listen, address = places(tmp_path)[carrier]
    worker = Process([BUILD / "worker-echo", listen], tmp_path, "echo")
    wait_until(lambda: listens(tmp_path / "w.sock"), what="the worker")
    passed, rows, code = exam(address)
    assert code == 0 and len(passed) >= 32, [line for line in rows.values() if line.startswith("FAIL")]
    worker.signal(15)
    assert worker.wait() == 0


WELL = [{"wait": "asked"}, "role", {"tokens": 5}, "final"]


def script(*do, **more):
    return {"rules": [{"do": list(do), **{k: v for k, v in more.items() if k == "cancelled"}}],
            **{k: v for k, v in more.items() if k != "cancelled"}}


DATA = {"type": 6, "zeros": 16, "text": '{"a":"' + "1" * 500 + '"}'}

# What is wrong: the script, the check that must fail, and words of its line.
WRONG = {
    "says nothing": (script(*WELL, connections=[{"do": [{"wait": 60000}]}]), "hello", "no HELLO"),
    "another magic": (script(*WELL, connections=[{"do": [{"frame": {"type": 1, "zeros": 64}}, "hang"]}]),
                      "hello", "magic"),
    "no pong": (script(*WELL, pong=False), "ping", "no PONG"),
    "two ends": (script(*WELL[:-1], "final", "done"), "stream", "after its FINAL"),
    "no end": (script(*WELL[:-1], "hang"), "whole", "nothing came"),
    "no usage": (script({"usage": "absent"}, *WELL), "stream", "USAGE_EVENT"),
    "counts backwards": (script("role", {"usage": "falling"}, {"tokens": 3}, "final"), "stream", "decreases"),
    "ends with less": (script("role", {"tokens": 5}, {"usage": {"out": 2}}, "done"), "stream", "the last DATA said"),
    "more than was asked": (script("role", {"tokens": 9}, "final"), "max-out", "max_out was 5"),
    "not JSON": (script({"say": "hello"}, "done"), "stream", "not a JSON object"),
    "no credit needed": (script("role", {"frame": DATA, "times": 400}, "final"), "credit", "of credit were left"),
    "another generation": (script("role", {"frame": {**DATA, "gen": "-1"}}, "final"), "stream", "with generation"),
    "another slot": (script("role", {"frame": {**DATA, "slot": "+1"}}, "final"), "stream", "which has no request"),
    "unknown frame": (script("role", {"frame": {"type": 77}}, "final"), "stream", "type 77"),
    "deaf to cancel": (script("role", {"tokens": 5, "every": 300}, "hang", cancelled="silent"), "cancel-middle",
                       "nothing came"),
    "frames too long": (script("role", {"frame": {"type": 6, "zeros": 9000}}, "final"), "frame-max", "frame_max"),
}


@pytest.fixture(scope="module", params=["shm", "unix"])
def baseline(request, tmp_path_factory):
    """The carrier, and what the fault backend fails when it plays well: it is no real worker."""
    directory = tmp_path_factory.mktemp("well")
    listen, address = places(directory)[request.param]
    worker = FaultBackend(directory, listen, script=script(*WELL))
    passed, _, _ = exam(address, patience=3000)
    worker.stop()
    return request.param, passed


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_worker_fails_the_right_check(tmp_path, baseline, what):
    carrier, well = baseline
    steps, check, words = WRONG[what]
    assert well[check], f"{check} fails without anything being wrong"
    listen, address = places(tmp_path)[carrier]
    worker = FaultBackend(tmp_path, listen, script=steps)
    passed, rows, code = exam(address, patience=2000, only=check)
    assert code == 1 and not passed[check], rows[check]
    assert words in rows[check], rows[check]
    worker.stop()


@pytest.mark.short
def test_orders_that_make_no_sense(tmp_path):
    for words in (["--ask", "chat"], ["--ask", "cooking=x"], ["--ask", "speech=x"], ["--body", "/nowhere"],
                  ["--only", "hello,nonsense"]):
        done = subprocess.run([BUILD / "maasgate", "worker-test", f"{tmp_path}/none", *words], capture_output=True,
                              text=True, timeout=60 * SLOW)
        assert done.returncode == 2 and done.stderr.startswith("maasgate: "), (words, done)
    done = subprocess.run([BUILD / "maasgate", "worker-test", f"{tmp_path}/none", "--patience-ms", "100"],
                          capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and "nobody listens" in done.stdout.splitlines()[0]

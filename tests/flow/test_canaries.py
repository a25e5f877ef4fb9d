"""Clients that leave at random and look for one another's words: no byte of one reaches another.

MAASGATE_CANARIES=100000 is the whole of it (make canaries); 5,000 leave by default.
"""
import os
import subprocess

import pytest
from certs import Authority
from fault_backend import FaultBackend
from gate import BUILD, SLOW, Process, free_port, wait_until
from nginx import Nginx
from test_cancel import in_close_wait

LEAVERS = int(os.environ.get("MAASGATE_CANARIES", 5000 if SLOW == 1 else 1000))
MODELS = ["shm", "unix", "tcp", "http", "h2", "sdk"]
CATALOG = """
backends:
  shm: {{transport: shm, address: {place}/a-shm}}
  unix: {{transport: socket, address: 'unix:{place}/a-unix'}}
  tcp: {{transport: socket, address: '127.0.0.1:{tcp}'}}
  http: {{transport: http, address: 'http://127.0.0.1:{http}/v1', eject_after: 1000}}
  h2: {{transport: http, address: 'https://127.0.0.1:{h2}/v1', ca_file: {ca}, eject_after: 1000}}
  sdk: {{transport: shm, address: {place}/c-shm}}
models:
""" + "".join(f"""  base/{m}:
    capabilities: [chat]
    price: {{{{requests: 0.0001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}}}
    routes: [{{{{backend: {m}, model: m}}}}]
""" for m in MODELS)


class Backends:
    """Three processes; one after the other is killed and started again at the same places."""

    def __init__(self, directory):
        self.dir, self.old = directory, []
        self.a = FaultBackend(directory, f"shm:{directory}/a-shm", f"unix:{directory}/a-unix")
        self.b = FaultBackend(directory, f"tcp:{free_port()}", f"http:{free_port()}")  # to which it must come back
        self.c = self.sdk()
        self.tcp, self.http = self.b.ports

    def sdk(self):
        process = Process([BUILD / "fault-sdk", f"shm:{self.dir}/c-shm"], self.dir, "sdk")
        wait_until(lambda: "ready" in process.out.read_text(), what="the worker on the library")
        return process

    def kill(self, which):
        dead = getattr(self, which)
        dead.kill()
        dead.assert_no_report()
        self.old.append(dead)
        fresh = (FaultBackend(self.dir, *self.a.listen) if which == "a" else
                 FaultBackend(self.dir, f"tcp:{self.tcp}", f"http:{self.http}") if which == "b" else self.sdk())
        setattr(self, which, fresh)

    def journals(self):
        return [p.journal for p in [*self.old, self.a, self.b] if isinstance(p, FaultBackend)]

    def stop(self):
        for process in (self.a, self.b, self.c):
            if process.running():
                process.signal(15)
                process.wait()
                process.assert_no_report()


@pytest.mark.short
@pytest.mark.timeout(3600)
def test_no_byte_of_one_reaches_another(make_gate, tmp_path):
    backends = Backends(tmp_path)
    authority = Authority(tmp_path / "pki")
    front = Nginx(tmp_path, authority, backends.http)  # speaks HTTP/2 and stays when what is behind it is killed
    g = make_gate(catalog=CATALOG, worker=False,
                  fields={"tcp": backends.tcp, "http": backends.http, "h2": front.port, "ca": authority.ca,
                          "place": tmp_path})
    for m in MODELS:
        g.wait_backend(m)
    keys = tmp_path / "keys"
    keys.write_text("".join(g.key(f"tenant{n // 2}") + "\n" for n in range(16)))
    load = subprocess.Popen([BUILD / "fault-canaries", "--port", str(g.port), "--keys", keys, "--models",
                             ",".join(f"base/{m}" for m in MODELS), "--cancels", str(LEAVERS), "--seed", "7",
                             "--connections", "64"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    kills = 0
    while True:
        try:
            out, err = load.communicate(timeout=1.5)
            break
        except subprocess.TimeoutExpired:
            backends.kill("abc"[kills % 3])
            kills += 1
    print(f"\ncanaries: {out.strip()} kills={kills}")
    assert load.returncode == 0, out + err[-4000:]
    seen = dict(pair.split("=") for pair in out.split())
    assert int(seen["leaks"]) == 0 and int(seen["cancels"]) >= LEAVERS
    assert int(seen["whole"]) > LEAVERS / 10 and int(seen["canaries"]) > LEAVERS
    mixed = [line for journal in backends.journals() for line in journal.read_text().splitlines() if '"mixed"' in line]
    assert not mixed, mixed[0]
    wait_until(lambda: g.open_holds() == 0, 30, "the last settlement")
    wait_until(lambda: in_close_wait(g.port) == 0, what="the end of the last connection")
    assert {line[0] for line in front.served()} == {"HTTP/2.0"}
    front.stop()
    backends.stop()

"""The daemon, its workers and its ledger, as a test holds them.

A Gate is one maasgated with a directory of its own: configuration, state, admin
socket, logs.  It is stopped by SIGTERM and must then have left exit code 0, a clean
audit, no open hold and no report of a sanitizer.
"""
import contextlib
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from reconcile import rid_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("MAASGATE_BUILD", "build/release")).resolve()
CORPUS = ROOT / "backends" / "refworker" / "corpus"
SLOW = 6 if any(kind in BUILD.name for kind in ("asan", "tsan", "ubsan")) else 1
SANITIZER_WORDS = ("Sanitizer", "runtime error:", "Assertion", "assertion failed")
BIG = 10**6  # a limit that no test reaches

# One of everything, cheap and generous; a test that needs another catalog says so.
CATALOG = """
backends:
  worker:
    transport: {transport}
    address: {address}
models:
  base/chat:
    description: general text
    capabilities: [chat]
    context_length: 65536
    max_output_tokens: 32768
    default_output_tokens: 256
    default: true
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: worker, model: ngram-general}}]
  base/embed:
    capabilities: [embeddings]
    price: {{requests: 0.0001, input_uncached_tokens: 0.02/1M}}
    routes: [{{backend: worker, model: hash-embed}}]
  base/image:
    capabilities: [images]
    price: {{images: 0.01}}
    routes: [{{backend: worker, model: pattern-image}}]
  base/simple:
    capabilities: [infer]
    price: {{requests: 0.0005}}
    routes: [{{backend: worker, model: simple}}]
    tensor:
      inputs:
        - {{name: INPUT0, datatype: INT32, shape: [-1, 16]}}
        - {{name: INPUT1, datatype: INT32, shape: [-1, 16]}}
      outputs:
        - {{name: OUTPUT0, datatype: INT32, shape: [-1, 16]}}
        - {{name: OUTPUT1, datatype: INT32, shape: [-1, 16]}}
  domain/code/review:
    capabilities: [chat]
    default_output_tokens: 256
    price: {{requests: 0.002, input_uncached_tokens: 0.20/1M, output_text_tokens: 0.80/1M}}
    routes: [{{backend: worker, model: ngram-code}}]
  industry/finance/risk:
    parent: base/chat
    fallback_to_parent: true
    recipe:
      system: You are a careful risk analyst.
      params: {{temperature: 0.2}}
    price: {{requests: 0.003, input_uncached_tokens: 0.30/1M, output_text_tokens: 1.20/1M}}
    routes: [{{backend: worker, model: ngram-finance}}]
  industry/mining/safety:
    parent: base/chat
    recipe: {{system: You answer questions about mine safety.}}
  industry/mining/safety/gas-warning:
    parent: industry/mining/safety
    recipe: {{system: You rate methane readings.}}
    price: {{requests: 0.004, input_uncached_tokens: 0.40/1M, output_text_tokens: 1.60/1M}}
"""


DICE = random.SystemRandom()
ports_given = set()  # none twice
ports_claimed = open(pathlib.Path(tempfile.gettempdir()) / f"maasgate-test-ports.{os.getuid()}", "ab")


def free_port():
    """Below those that the kernel gives to clients: one of them could take it before its server does.  Nor does
    another run: a byte of a file is locked for each that was given, for as long as this process lives."""
    first_of_clients = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = DICE.randrange(10000, max(first_of_clients, 20000))
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            if port not in ports_given:
                fcntl.lockf(ports_claimed, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
                ports_given.add(port)
                return port


def this_month():
    """As command lines have it; conftest.py sees to it that it does not end in the middle of a test."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")


def wait_until(check, seconds=30, what="it"):
    """The limit is for what never comes; a slow machine has time."""
    end = time.monotonic() + seconds * SLOW
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < end, f"{what} did not come within {seconds * SLOW} s"
        time.sleep(0.01)


class Leaving:
    """A client goes while its worker runs; `with` holds from there to the bill.  The worker's own count comes, or the
    gateway has waited for it so long (backends/session.h): only then, on a machine that is very busy, is it absent."""

    GRACE = 0.25

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *exception):
        self.in_time = time.monotonic() - self.began < self.GRACE


class Process:
    """A program of ours with its output in files; ended by pid, never by name."""

    def __init__(self, argv, directory, name, env=None):
        self.name = name
        self.log = directory / f"{name}.log"
        self.out = directory / f"{name}.out"
        with open(self.log, "ab") as err, open(self.out, "wb") as out:
            self.popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=err, env={**os.environ, **(env or {})})
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, seconds=20):
        try:
            return self.popen.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {seconds * SLOW} s\n{self.tail()}")

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.popen.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_line(self, part, times=1):
        """The daemon's log has a thread of its own: a line may come after the answer that it is about."""
        def lines():
            text = self.text()
            return text[:text.rfind("\n") + 1]  # without one that is being written
        wait_until(lambda: lines().count(part) >= times, what=f"'{part}' in the log of {self.name}")

    def tail(self):
        return "\n".join(self.text().splitlines()[-40:])

    def assert_no_report(self):
        text = self.text()
        found = [word for word in SANITIZER_WORDS if word in text]
        assert not found, f"{self.name}: {found}\n{text[-8000:]}"


class Worker(Process):
    """maasgate-refworker.  `listen` as its option has it: shm:PATH, unix:PATH, tcp:HOST:PORT."""

    numbers = itertools.count()

    def __init__(self, directory, listen, *options):
        self.listen = listen
        self.journal = directory / "worker.journal"
        super().__init__(
            [BUILD / "maasgate-refworker", "--listen", listen, "--corpus", CORPUS, *options],
            directory, f"worker{next(self.numbers)}", {"MAASWORKER_JOURNAL": str(self.journal)})
        wait_until(self.is_ready, what=f"worker on {listen}")

    def is_ready(self):
        assert self.running(), f"the worker did not start\n{self.tail()}"
        return "ready" in self.out.read_text(errors="replace")

    def stop(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = self.wait()
        self.assert_no_report()
        return code


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Gate:
    def __init__(self, catalog=CATALOG, transport="shm", worker=True, settings=None, fields=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mg-"))
        self.state = self.dir / "state"
        self.socket = self.dir / "admin.sock"
        self.conf = self.dir / "maasgate.yaml"
        self.port, self.metrics_port = free_port(), free_port()
        self.transport, self.catalog = transport, catalog
        self.settings, self.fields = settings or {}, fields or {}
        self.with_worker = worker
        self.workers, self.daemon = [], None
        self.env = {}  # of the daemon
        self.clean = True  # False: killed; the next start recovers
        self.allow_open = False
        self._clients = []

    # ---- life ----

    def worker_listen(self):
        if self.transport == "shm":
            return f"shm:{self.dir}/worker.sock"
        if self.transport == "unix":
            return f"unix:{self.dir}/worker.sock"
        self.worker_port = getattr(self, "worker_port", None) or free_port()
        return f"tcp:127.0.0.1:{self.worker_port}"

    def backend_address(self):
        if self.transport == "shm":
            return "shm", f"{self.dir}/worker.sock"
        if self.transport == "unix":
            return "socket", f"unix:{self.dir}/worker.sock"
        return "socket", f"127.0.0.1:{self.worker_port}"

    def write_conf(self, catalog=None, **settings):
        self.worker_listen()
        kind, address = self.backend_address()
        values = {
            "listen": f"127.0.0.1:{self.port}",
            "metrics_listen": f"127.0.0.1:{self.metrics_port}",
            "admin_socket": self.socket,
            "state_dir": self.state,
            "loop_threads": 2,
            "seller_name": "Test Seller",
            **self.settings,
            **settings,
        }
        text = "".join(f"{key}: {value}\n" for key, value in values.items())
        text += (catalog or self.catalog).format(transport=kind, address=address, dir=self.dir,
                                                 **self.fields)
        self.conf.write_text(text)

    def start_worker(self, *options):
        worker = Worker(self.dir, self.worker_listen(), *options)
        self.workers.append(worker)
        return worker

    def start(self, *worker_options):
        if not self.conf.exists():
            self.write_conf()
        if self.with_worker:
            self.start_worker(*worker_options)
        self.start_daemon()
        if self.with_worker:
            self.wait_backend()
        return self

    def start_daemon(self, ready=True):
        self.daemon = Process([BUILD / "maasgated", "--config", self.conf], self.dir, "maasgated", self.env)
        if ready:
            wait_until(self.is_ready, what="the daemon")

    def is_ready(self):
        assert self.daemon.running(), f"the daemon did not start\n{self.daemon.tail()}"
        with contextlib.suppress(OSError):
            return self.get("/readyz").status == 200
        return False

    def wait_backend(self, name="worker", up=None):
        """Until every loop (or `up` of them) can reach the backend."""
        def check():
            for b in self.status()["backends"]:
                if b["name"] == name:
                    return b["up"] == (b["loops"] if up is None else up)
            return False
        wait_until(check, what=f"backend {name}")

    def kill_daemon(self):
        self.daemon.kill()
        self.clean = False

    def terminate(self):
        self.daemon.signal(signal.SIGTERM)
        code = self.daemon.wait(40)
        assert code == 0, f"the daemon ended with {code}\n{self.daemon.tail()}"
        self.clean = True

    def stop(self):
        """Ends everything and checks what every test owes."""
        try:
            if self.daemon and self.daemon.running():
                wait_until(lambda: not self.running_requests(), what="the end of the last request")
                audit = self.cli("audit", check=False)
                assert audit.returncode == 0, f"audit:\n{audit.stdout}{audit.stderr}"
                self.terminate()
                assert self.allow_open or self.open_holds() == 0
            if self.daemon:
                self.daemon.assert_no_report()
            for worker in self.workers:
                if worker.running():
                    worker.stop()
        except BaseException:
            self.report()
            raise
        finally:
            self.abandon()
            shutil.rmtree(self.dir, ignore_errors=True)

    def report(self):
        if self.daemon:
            print(f"---- {self.daemon.log}\n{self.daemon.tail()}")

    def abandon(self):
        for process in [self.daemon, *self.workers]:
            if process and process.running():
                process.kill()

    def __enter__(self):
        return self

    def __exit__(self, problem, *_):
        try:
            if not problem:
                self.stop()
        finally:
            self.abandon()

    # ---- the command line ----

    def cli(self, *words, check=True):
        done = subprocess.run([BUILD / "maasgate", *map(str, words), "--socket", self.socket],
                              capture_output=True, text=True, timeout=60 * SLOW)
        if check:
            assert done.returncode == 0, f"maasgate {words}: {done.stdout}{done.stderr}"
        return done

    def ask(self, *words):
        return json.loads(self.cli(*words, "--json").stdout)

    def reconcile(self, *words):
        """What reconcile.py says of the ledger, and of the journals that it is given: no violation."""
        done = subprocess.run([sys.executable, ROOT / "tests/flow/reconcile.py", "--db", self.state / "ledger.db", *words],
                              capture_output=True, text=True, timeout=120 * SLOW, check=False)
        assert done.returncode == 0 and done.stdout.endswith("violations: 0\n"), done.stdout[-4000:] + done.stderr
        return done.stdout

    def project(self, slug, budget="1000.00", period="month"):
        self.cli("project", "create", slug, "--budget", budget, "--budget-period", period)
        return slug

    def key(self, project="acme", rpm=BIG, tpm=10**9, concurrency=1000, **options):
        if project not in [p["slug"] for p in self.ask("project", "list")["projects"]]:
            self.project(project)
        words = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
        done = self.cli("key", "create", project, f"--rpm={rpm}", f"--tpm={tpm}",
                        f"--concurrency={concurrency}", *words)
        return done.stdout.strip()

    def status(self):
        return self.ask("status")

    def running_requests(self):
        return sum(b["running"] for b in self.status()["backends"])

    def usage(self, project):
        """(requests, total) of the project so far."""
        report = self.ask("usage", "--project", project)
        return report["requests"], report["total"]

    # ---- HTTP ----

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, key=None, headers=None, method="GET"):
        return self.request(method, path, None, key, headers)

    def post(self, path, body, key=None, headers=None):
        return self.request("POST", path, body, key, headers)

    def request(self, method, path, body=None, key=None, headers=None, timeout=60):
        import http.client
        sent = dict(headers or {})
        if key:
            sent.setdefault("Authorization", f"Bearer {key}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            c.request(method, path, body, sent)
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def chat(self, key, content="hello", model="base/chat", path="/v1/chat/completions", **fields):
        body = {"messages": [{"role": "user", "content": content}], **fields}
        if model:
            body["model"] = model
        return self.post(path, body, key)

    def stream(self, key, content="hello", model="base/chat", path="/v1/chat/completions",
               receive_buffer=None, headers=None, **fields):
        body = {"model": model, "stream": True,
                "messages": [{"role": "user", "content": content}], **fields}
        return Stream(self.port, path, body, key, receive_buffer, headers=headers)

    def metrics(self):
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10 * SLOW)
        c.request("GET", "/metrics")
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r.getheader("content-type"), text

    def metric(self, name):
        for line in self.metrics()[2].splitlines():
            if line.startswith(name + " "):
                return json.loads(line.split()[1])
        raise AssertionError(f"there is no metric {name}")

    def wait_metric(self, name, value):
        """Of what no answer waits for: it is counted a moment after it can be seen."""
        wait_until(lambda: self.metric(name) == value, what=f"{name} of {value}")

    def wait_still(self, name, looks=30):
        """Until it has counted something and goes on no more: so many looks, one after the other, see the same."""
        seen = []

        def still():
            seen.append(self.metric(name))
            return seen[-1] > 0 and seen[-looks:] == [seen[-1]] * looks
        wait_until(still, 180, f"the end of what {name} counts")

    # ---- the ledger, read by other code than wrote it ----

    @contextlib.contextmanager
    def ledger(self):
        running = self.daemon is not None and self.daemon.running()
        mode = "mode=ro" if running or (self.state / "ledger.db-wal").exists() else "immutable=1"
        db = sqlite3.connect(f"file:{self.state}/ledger.db?{mode}", uri=True, timeout=30)
        db.row_factory = sqlite3.Row
        try:
            yield db
        finally:
            db.close()

    def open_holds(self):
        with self.ledger() as db:
            return db.execute("SELECT count(*) FROM request_open WHERE rid NOT IN"
                              " (SELECT rid FROM settlement)").fetchone()[0]

    def settlement(self, request_id, seconds=30):
        """The row of one request, waited for; `lines` as {meter id: (qty, atoms)}."""
        def look():
            with self.ledger() as db:
                return db.execute(
                    "SELECT s.*, m.name AS model_name, v.name AS served_name FROM settlement s"
                    " JOIN name m ON m.id = s.model JOIN name v ON v.id = s.model_served"
                    " WHERE rid = ?", (rid_of(request_id),)).fetchone()
        row = dict(wait_until(look, seconds, f"the settlement of {request_id}"))
        row["lines"] = {m: (qty, atoms) for m, qty, atoms in json.loads(row["lines"])}
        return row

    def settlements(self):
        with self.ledger() as db:
            return [dict(row) for row in db.execute("SELECT * FROM settlement ORDER BY rid")]


# ids of base/usage.h
REQUESTS, INPUT, CACHED, OUTPUT = 0, 1, 2, 4


def atoms(price, per=1, qty=1):
    """qty * price / per in atoms of 1e-10; exact."""
    from fractions import Fraction
    value = Fraction(price) * 10**10 * qty / per
    return round(value)  # half to even, like the ledger


class Stream:
    """One streamed chat completion on a socket of its own, read event by event."""

    def __init__(self, port, path, body, key, receive_buffer=None, timeout=60, headers=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout * SLOW)
        self.socket.connect(("127.0.0.1", port))
        text = json.dumps(body).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.socket.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n{more}"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        self.file = self.socket.makefile("rb")
        self.status = self.headers = None
        self.chunks = []   # as they came
        self.complete = False  # the last chunk came

    def head(self):
        if self.status is None:
            line = self.file.readline()
            assert line, "the connection was closed without an answer"
            self.status = int(line.split()[1])
            self.headers = {}
            while (line := self.file.readline()) not in (b"\r\n", b""):
                name, value = line.decode().split(":", 1)
                self.headers[name.lower()] = value.strip()
        return self

    @property
    def request_id(self):
        return self.head().headers["x-request-id"]

    def answered(self):
        """Whether something has arrived, not waiting for it."""
        return self.status is not None or bool(select.select([self.socket], [], [], 0)[0])

    def raw_chunks(self):
        self.head()
        assert self.headers.get("transfer-encoding") == "chunked", (self.status, self.headers, self.body())
        while True:
            line = self.file.readline()
            if not line:
                return
            size = int(line, 16)
            data = self.file.read(size)
            self.file.read(2)
            if size == 0:
                self.complete = True
                return
            if len(data) < size:
                return
            self.chunks.append(data)
            yield data

    def events(self):
        """Each event's JSON; "[DONE]" as it is.  Every chunk is a whole number of events."""
        rest = b""
        for chunk in self.raw_chunks():
            rest += chunk
            while b"\n\n" in rest:
                event, rest = rest.split(b"\n\n", 1)
                assert event.startswith(b"data: ") and b"\n" not in event, event
                text = event[6:].decode()
                yield text if text == "[DONE]" else json.loads(text)

    def read(self, count):
        """The next `count` events."""
        if not hasattr(self, "_events"):
            self._events = self.events()
        return list(itertools.islice(self._events, count))

    def rest(self):
        if not hasattr(self, "_events"):
            self._events = self.events()
        return list(self._events)

    def body(self):
        """Of an answer that is not a stream."""
        self.head()
        return self.file.read(int(self.headers["content-length"]))

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR) if not reset else None
        self.file.close()
        self.socket.close()


def text_of(events):
    return "".join(c["delta"].get("content") or ""
                   for e in events if isinstance(e, dict) for c in e.get("choices", []))

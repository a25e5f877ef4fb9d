"""Where the daemon connects to: what the configuration names and egress allows, nothing else."""
import contextlib
import os
import re
import socket
import threading

import pytest
import upstream
from gate import Process, BUILD, wait_until
from upstream import STREAM, Upstream, stream

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Canary:
    """Listens where nobody has any business; counts who came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.came = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.socket.accept()
                self.came += 1
                c.close()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def canary():
    c = Canary()
    yield c
    c.stop()


@pytest.fixture
def up():
    u = Upstream()
    yield u
    u.stop()


def connected_to(pid):
    """(address, port) of the other end of each TCP connection that the process holds."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
            inodes.add(found and found[1])
    ends = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as lines:
            for fields in map(str.split, list(lines)[1:]):
                if fields[9] in inodes and fields[3] == "01":
                    address, port = fields[2].split(":")
                    ends.append((int(fields[1].split(":")[1], 16), address, int(port, 16)))
    return ends


def trouble(g, name="up"):
    return next(b["trouble"] for b in g.status()["backends"] if b["name"] == name)


def front(make_gate, up, **settings):
    return make_gate(catalog=upstream.CATALOG, worker=False, settings=settings,
                     fields={"port": up.port, "options": "concurrency: 64"})


@pytest.mark.short
def test_proxy_variables_and_urls_in_requests_are_ignored(make_gate, up, canary, monkeypatch):
    """The one connection that leaves goes to the upstream of the configuration."""
    for name in PROXY_VARIABLES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    up.script = lambda r: stream([*STREAM[:2], 0.3, *STREAM[2:]]) if r.get("stream") else upstream.good(r)
    g = front(make_gate, up)
    key = g.key()
    urls = [f"http://127.0.0.1:{canary.port}/a.png", f"http://localhost:{canary.port}/a.png",
            f"HTTP://127.0.0.1:{canary.port}", f"//127.0.0.1:{canary.port}/", f"ftp://127.0.0.1:{canary.port}/",
            f"gopher://127.0.0.1:{canary.port}/_x", f"file://127.0.0.1:{canary.port}/etc/passwd",
            f"http://[::ffff:127.0.0.1]:{canary.port}/", f"http://2130706433:{canary.port}/",
            "http://169.254.169.254/latest/meta-data/", "data:image/png;base64,AAAA"]
    parts = [{"type": "image_url", "image_url": {"url": u}} for u in urls]
    parts += [{"type": "input_audio", "input_audio": {"data": urls[0]}}, {"type": "file", "file": {"file_id": urls[0]}}]
    body = {"model": "base/chat", "messages": [{"role": "user", "content": parts}], "user": urls[0],
            "metadata": {"url": urls[0], "webhook": urls[0]}, "web_search_options": {"url": urls[0]}}
    headers = {"Referer": urls[0], "X-Forwarded-Host": f"127.0.0.1:{canary.port}", "Location": urls[0],
               "Forwarded": f"for=127.0.0.1:{canary.port}", "x-callback-url": urls[0]}
    a = g.post("/v1/chat/completions", body, key, headers)
    assert a.status == 200, a
    assert all(u.encode() in up.seen[0][2] for u in urls), "what is in the body passes as text"
    s = g.stream(key, "x")
    s.read(1)
    others = {end for end in connected_to(g.daemon.pid) if end[0] not in (g.port, g.metrics_port)}
    assert {port for _, _, port in others} == {up.port}, others
    assert s.rest()[-1] == "[DONE]"
    assert canary.came == 0


def test_redirects_are_not_followed(make_gate, up, canary):
    g = front(make_gate, up)
    key = g.key()
    for code in (301, 302, 303, 307, 308, 300, 305):
        up.script = lambda r, code=code: (code, {"Location": f"http://127.0.0.1:{canary.port}/", "Content-Length": "0",
                                                 "Refresh": f"0; url=http://127.0.0.1:{canary.port}/"}, [])
        assert g.chat(key, "x").status == 502
        s = g.stream(key, "x")
        assert s.head().status == 502
        up.script = upstream.good
        assert g.chat(key, "x").status == 200  # or five failures in a row would eject it
    assert canary.came == 0 and g.metric("maasgate_ledger_healthy") == 1


def test_a_refused_address_is_said(make_gate, up):
    """In the status, in the log once, and to the client only that no backend is there."""
    g = make_gate(catalog="egress_allow: [10.0.0.0/8]\n" + upstream.CATALOG.replace("127.0.0.1", "localhost"),
                  worker=False, fields={"port": up.port, "options": ""})
    key = g.key()
    wait_until(lambda: trouble(g), what="the trouble")
    assert re.match(r"localhost is at \S+, which is refused: no range of egress_allow has it", trouble(g))
    a = g.chat(key, "x")
    assert a.status == 503 and a.code == "backend_unavailable" and b"egress" not in a.body
    assert up.seen == []
    g.daemon.wait_line("backend_trouble backend=up reason=")
    line, = {line for line in g.daemon.text().splitlines() if "backend_trouble " in line}
    assert "egress_allow" in line and "blame=env" in line

    g.write_conf(catalog="egress_allow: [127.0.0.0/8, '::1']\n" + upstream.CATALOG.replace("127.0.0.1", "localhost"))
    g.cli("reload")
    wait_until(lambda: g.chat(key, "x").status == 200, what="the backend under the new rule")
    assert trouble(g) == ""


def test_a_reload_applies_to_connections_that_are_open(make_gate, up):
    """The stream that runs ends by its own configuration; the next call is refused at once."""
    up.script = lambda r: stream([*STREAM[:2], 1.0, *STREAM[2:]])
    catalog = upstream.CATALOG.replace("127.0.0.1", "localhost")
    g = make_gate(catalog=catalog, worker=False, fields={"port": up.port, "options": ""})
    key = g.key()
    wait_until(lambda: g.status()["backends"][0]["up"] == 2, what="the backend")
    s = g.stream(key, "x")
    s.read(1)
    g.write_conf(catalog="egress_allow: [10.0.0.0/8]\n" + catalog)
    g.cli("reload")
    assert g.chat(key, "x").status == 503
    assert s.rest()[-1] == "[DONE]"
    assert len(up.seen) == 1


@pytest.mark.parametrize("address, transport, why", [
    ("http://169.254.169.254/v1", "http", "link-local"),
    ("http://[fe80::1]:80/v1", "http", "link-local"),
    ("169.254.1.1:7000", "socket", "link-local"),
    ("http://0.0.0.0:80/v1", "http", "no host's address")])
def test_refused_at_load(tmp_path, address, transport, why):
    conf = tmp_path / "c.yaml"
    conf.write_text(f"""
backends: {{w: {{transport: {transport}, address: "{address}"}}}}
models:
  base/chat:
    capabilities: [chat]
    routes: [{{backend: w, model: m}}]
    price: {{input_uncached_tokens: 0, output_text_tokens: 0}}
""")
    p = Process([BUILD / "maasgated", "--check", conf], tmp_path, "check")
    assert p.wait() != 0
    assert re.search(rf"c\.yaml:2:\d+: backends\.w\.address: .* is refused: .*{why}.*; egress_allow can open it",
                     p.text() + p.out.read_text())


@pytest.mark.parametrize("allowed", [True, False])
def test_a_worker_over_tcp(make_gate, allowed):
    ranges = "[127.0.0.0/8, '::1']" if allowed else "[10.0.0.0/8]"
    from gate import CATALOG
    g = make_gate(start=False, transport="tcp",
                  catalog=f"egress_allow: {ranges}\n" + CATALOG.replace("{address}", "localhost:{worker_port}"))
    g.worker_listen()
    g.fields["worker_port"] = g.worker_port
    g.write_conf()
    g.start_worker()
    g.start_daemon()
    key = g.key()
    if allowed:
        g.wait_backend()
        assert g.chat(key, "#tokens=2 x").status == 200
    else:
        wait_until(lambda: trouble(g, "worker"), what="the trouble")
        assert trouble(g, "worker") == "no range of egress_allow has it"
        assert g.chat(key, "#tokens=2 x").status == 503

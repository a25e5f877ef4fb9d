"""nginx in front of the gateway, as docs/operator.md prints it: what it must not change."""
import json
import re
import signal
import subprocess

import certs
import pytest
from gate import ROOT, SLOW, Process, free_port, wait_until


class Front(Process):
    """The page's block with this test's port, address and certificate in it."""

    def __init__(self, gate, directory):
        page = (ROOT / "docs/operator.md").read_text()
        (block,) = re.findall(r"```nginx\n(.*?)```", page, re.S)
        self.port = free_port()
        self.authority = certs.Authority(directory / "authority")
        cert, key = self.authority.issue("front", "IP:127.0.0.1,DNS:localhost")
        for printed, here in [("127.0.0.1:8080", f"127.0.0.1:{gate.port}"), ("listen 443", f"listen 127.0.0.1:{self.port}"),
                              ("/etc/ssl/models.example.com.pem", str(cert)),
                              ("/etc/ssl/private/models.example.com.key", str(key))]:
            assert block.count(printed) == 1, printed
            block = block.replace(printed, here)
        places = "".join(f"{p}_temp_path {directory}/{p};\n" for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = directory / "nginx.conf"
        conf.write_text(f"daemon off;\nworker_processes 1;\npid {directory}/pid;\nevents {{ worker_connections 1024; }}\n"
                        f"http {{\naccess_log off;\n{places}{block}}}\n")
        super().__init__(["nginx", "-c", conf, "-p", directory, "-e", directory / "error.log"], directory, "nginx")
        wait_until(lambda: self.curl("/healthz").returncode == 0, what="nginx")

    def curl(self, path, *words, key="", body=None):
        assert self.running(), self.tail()
        return subprocess.run(self.words(path, *words, key=key, body=body), input=json.dumps(body) if body else None,
                              capture_output=True, text=True, timeout=60 * SLOW, check=False)

    def words(self, path, *words, key="", body=None):
        sent = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json", "--data-binary", "@-"] if body else []
        return ["curl", "-sS", "--cacert", self.authority.ca, *sent, *words, f"https://localhost:{self.port}{path}"]


@pytest.fixture
def front(gate, tmp_path):
    f = Front(gate, tmp_path)
    try:
        yield f
    finally:
        f.signal(signal.SIGTERM)  # a killed master would leave its worker behind
        f.wait()


def ask(content, **fields):
    return {"model": "base/chat", "messages": [{"role": "user", "content": content}], **fields}


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_requests_pass_as_they_are(gate, key, front, version):
    done = front.curl("/v1/chat/completions", "-i", version, key=key, body=ask("#tokens=3 " + "x" * 30000, max_tokens=3))
    head, body = done.stdout.replace("\r", "").split("\n\n", 1)
    assert head.split(" ")[1] == "200", done
    rid = re.search(r"(?im)^x-request-id: (\S+)$", head)[1]
    assert json.loads(body)["usage"]["completion_tokens"] == 3 and gate.ask("request", rid)["outcome"] == "ok"
    refused = front.curl("/v1/chat/completions", version, key="sk-wrong", body=ask("x" * 30000))
    assert json.loads(refused.stdout)["error"]["code"] == "invalid_api_key", refused


def test_a_stream_is_not_gathered_and_its_end_is_heard(gate, key, front):
    """Its first event is here while it runs, and the gateway hears that the client has left."""
    body = ask("#tokens=2000 #delay=20 x", stream=True, max_tokens=2000)
    with subprocess.Popen(front.words("/v1/chat/completions", "-N", "-i", key=key, body=body), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as curl:
        curl.stdin.write(json.dumps(body))
        curl.stdin.close()
        lines = iter(curl.stdout.readline, "")
        rid = next(line.split()[1] for line in lines if line.lower().startswith("x-request-id:"))
        assert next(line for line in lines if line.startswith("data: "))
        assert gate.ask("request", rid)["state"] == "running"
        curl.kill()
    wait_until(lambda: gate.ask("request", rid).get("outcome") == "client_gone", what="the end of its client")

"""https to upstreams: private authorities and client certificates, and what a reload makes of them."""
import shutil

import pytest
import upstream
from certs import Authority
from gate import wait_until
from upstream import STREAM, Upstream, stream, whole


class TlsUpstream(Upstream):
    """Asks for a client certificate; `shown` has the common name of whoever called."""

    def __init__(self, authority, script=None):
        self.shown = []
        super().__init__(script)
        self.server.socket = authority.server_context(asks_client=True).wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False)

    def answer(self, handler, answer):
        subject = handler.connection.getpeercert()["subject"]
        self.shown.append(dict(pair for part in subject for pair in part)["commonName"])
        super().answer(handler, answer)


def use(g, authority, client, ca=None):
    """The files that the configuration names become these."""
    cert, key = authority.issue(client)
    for name, source in (("ca.pem", ca or authority.ca), ("client.pem", cert), ("client.key", key)):
        shutil.copy(source, g.dir / f".{name}")
        (g.dir / f".{name}").rename(g.dir / name)
    (g.dir / "client.key").chmod(0o600)


@pytest.fixture
def front(make_gate, tmp_path):
    authority = Authority(tmp_path / "pki")
    up = TlsUpstream(authority)
    options = "ca_file: {dir}/ca.pem\n    client_cert_file: {dir}/client.pem\n    client_key_file: {dir}/client.key"
    g = make_gate(start=False, worker=False, fields={"port": up.port},
                  catalog=upstream.CATALOG.replace("http:", "https:").replace("{options}", options))
    use(g, authority, "first")
    g.start()
    yield g, g.key(), up, authority
    up.stop()


@pytest.mark.short
def test_client_certificate(front):
    g, key, up, _ = front
    for _ in range(3):
        assert g.chat(key, "x").status == 200
    s = g.stream(key, "x")
    assert s.rest()[-1] == "[DONE]"
    assert set(up.shown) == {"first"} and len(up.seen) == 4


def test_files_that_changed_take_effect_at_a_reload(front):
    """The same names, other content: no restart, and what runs is not touched."""
    g, key, up, authority = front
    up.script = lambda r: stream([*STREAM[:2], 1.0, *STREAM[2:]]) if r.get("stream") else whole(upstream.WHOLE)
    s = g.stream(key, "x")
    s.read(1)
    use(g, authority, "second")
    assert g.chat(key, "x").status == 200
    assert set(up.shown) == {"first"}, "before the reload nothing changes, also on new connections"
    g.cli("reload")
    assert g.chat(key, "x").status == 200
    assert up.shown[-1] == "second"
    assert s.rest()[-1] == "[DONE]"

    connects = next(b["connects"] for b in g.status()["backends"])
    g.cli("reload")
    assert g.chat(key, "x").status == 200
    assert g.status()["backends"][0]["connects"] <= connects + 1, "unchanged files: the connections are kept"


def test_another_authority_after_a_reload(front, tmp_path):
    """The server is not by it: no request leaves, and the status says why."""
    g, key, up, authority = front
    assert g.chat(key, "x").status == 200
    use(g, authority, "first", ca=Authority(tmp_path / "other", "other").ca)
    g.cli("reload")
    seen = len(up.seen)
    assert g.chat(key, "x").status == 503
    assert len(up.seen) == seen
    wait_until(lambda: "certificate" in g.status()["backends"][0]["trouble"], what="the trouble")
    g.daemon.wait_line("backend_trouble backend=up")


@pytest.mark.parametrize("spoil, sentence", [
    (lambda d: (d / "client.key").chmod(0o644), "can be read by everyone"),
    (lambda d: (d / "client.key").unlink(), "cannot be read: No such file"),
    (lambda d: (d / "client.pem").write_text("nothing"), "holds no certificate"),
    (lambda d: (d / "ca.pem").write_text(""), "is empty")])
def test_bad_files_change_nothing(front, spoil, sentence):
    g, key, up, _ = front
    spoil(g.dir)
    done = g.cli("reload", check=False)
    assert done.returncode != 0 and sentence in done.stdout + done.stderr
    assert "PRIVATE" not in done.stdout + done.stderr + g.daemon.text()
    assert g.chat(key, "x").status == 200

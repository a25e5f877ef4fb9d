"""Money that runs low is told by webhook: what crossed, once; signed, at least once, whatever dies."""
import base64
import contextlib
import datetime
import http.client
import re
import socket
import subprocess
import threading
import time

import certs
import openai
import pytest
from gate import BUILD, CATALOG, ROOT, SLOW, Gate, free_port, wait_until
from receiver import Receiver
from test_egress import Canary
from test_exactly_k import BODY
from test_kill_points import Killer

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PROMPT = "the-prompt-that-nobody-is-told"
ALERTS = """
alerts:
  timeout_ms: {timeout}
  retry_ms: {retry}
  attempts: {attempts}
  webhooks:
    {hooks}
"""


def hook(g, url, name="fin", secret=SECRET, **more):
    file = g.dir / f"{name}.whsec"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    words = "".join(f", {k}: {v}" for k, v in more.items())
    return f"{name}: {{{{url: '{url}', secret_file: {file}{words}}}}}"


def conf(g, *hooks, timeout="60s", retry="100ms", attempts=20, before="", **settings):
    text = ALERTS.format(timeout=timeout, retry=retry, attempts=attempts, hooks="\n    ".join(hooks))
    g.write_conf(before + text + CATALOG, **settings)


@pytest.fixture
def g():
    gate = Gate()
    yield gate
    gate.stop()


@pytest.fixture
def fin():
    r = Receiver(SECRET)
    yield r
    r.stop()


def spend(g, key, count=1):
    """Requests that cost just what is held for them, so that all of a budget can be used."""
    for _ in range(count):
        last = g.post("/v2/models/base/simple/infer", BODY, key)
    return last.status


def price(g):
    """Of one of them, in atoms."""
    g.project("price", "100")
    assert spend(g, g.key("price")) == 200
    return g.settlements()[-1]["amount_atoms"]


def money(atoms):
    return f"{atoms // 10**10}.{atoms % 10**10:010}"


def alerts(g, *words):
    return g.ask("alert", "list", *words)["data"]


def states(g):
    return [d["state"] for a in alerts(g) for d in a["deliveries"]]


REACHED = [("budget.threshold_reached", p) for p in (50, 80, 100)]


@pytest.mark.short
def test_thresholds_of_a_budget(g, fin):
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(10 * one), "month")
    key = g.key("p")
    assert spend(g, key, 4) == 200
    assert alerts(g) == []
    assert spend(g, key) == 200
    wait_until(lambda: fin.crossings() == REACHED[:1], what="50 %")
    assert spend(g, key, 5) == 200
    wait_until(lambda: fin.crossings() == REACHED, what="all of it")
    assert spend(g, key, 3) == 429
    wait_until(lambda: ("budget.hard_stop", 0) in fin.crossings(), what="the stop")
    wait_until(lambda: states(g) == ["delivered"] * 4, what="all delivered")
    first = fin.events()[0]
    listed = next(a for a in alerts(g) if a["id"] == first["id"])
    at = datetime.datetime.fromisoformat(listed["at"].replace("Z", "+00:00"))
    assert first["object"] == "event" and first["created_at"] == int(at.timestamp())
    data = first["data"]
    assert (data["organization"], data["project"], data["currency"]) == ("p", "p", "USD")
    assert data["limit"].rstrip("0") == money(10 * one).rstrip("0")
    assert data["spent"].rstrip("0") == money(5 * one).rstrip("0")
    assert data["period_start"].endswith("-01T00:00:00Z")
    assert len(fin.attempts) == 4 and all(a["path"] == "/hook" for a in fin.attempts)
    for attempt in fin.attempts:
        assert b"whsec" not in attempt["bytes"]
    g.wait_metric("maasgate_alerts_delivered_total", 4)
    g.wait_metric("maasgate_alerts_waiting", 0)
    text = g.cli("alert", "list").stdout
    assert "budget.hard_stop" in text and "delivered" in text
    g.daemon.wait_line("alert_delivered webhook=fin", 4)
    assert "whsec" not in g.daemon.text()


def test_nothing_of_a_request_is_told(g, fin):
    conf(g, hook(g, fin.url))
    g.start()
    g.project("p", "0.0000001")
    assert g.chat(g.key("p"), PROMPT).status == 429
    wait_until(lambda: states(g) == ["delivered"], what="the stop")
    assert fin.crossings() == [("budget.hard_stop", 0)]
    seen = fin.attempts[0]
    assert PROMPT not in seen["bytes"].decode() + str(seen["headers"]) + g.daemon.text()
    assert set(seen["headers"]) == {"host", "user-agent", "accept", "content-type", "content-length", "webhook-id",
                                    "webhook-timestamp", "webhook-signature"}


def test_the_receiver_of_the_manual(g, fin, capsys):
    """What docs/developer.md shows, as it stands there."""
    text = (ROOT / "docs" / "developer.md").read_text()
    code = re.search(r"```python\n(client = openai[^`]*unwrap[^`]*)```", text)[1].replace("whsec_...", SECRET)
    names = {"openai": openai, "new": lambda id_: id_.startswith("evt_")}
    exec(code, names)
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(2 * one))
    assert spend(g, g.key("p")) == 200
    wait_until(lambda: fin.attempts, what="50 %")
    came = fin.attempts[0]
    names["hook"](came["bytes"], came["headers"])
    assert capsys.readouterr().out == "budget.threshold_reached p p 50\n"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        names["hook"](came["bytes"].replace(b"50", b"51"), came["headers"])


@pytest.mark.short
def test_credit_and_prepaid(g, fin):
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    for slug, credit in (("owes", money(4 * one)), ("pays", "0")):
        g.project(slug, "100000")
        g.cli("contract", "set", slug, "--credit", credit)
    g.cli("fund", "add", "pays", "prepaid", money(4 * one))
    owes, pays = g.key("owes"), g.key("pays")
    for key in (owes, pays):
        assert spend(g, key, 4) == 200
        assert spend(g, key) == 429
    kinds = [("hard_stop", 0), *[("threshold_reached", p) for p in (50, 80, 100)]]
    first = [(f"{subject}.{kind}", p) for subject in ("credit", "prepaid") for kind, p in kinds]
    wait_until(lambda: fin.crossings() == first, what="both")
    g.cli("fund", "add", "pays", "prepaid", money(2 * one))  # arms it again
    assert spend(g, pays) == 200
    wait_until(lambda: fin.crossings() == sorted([*first, ("prepaid.threshold_reached", 50)]), what="the top-up's")
    assert {e["data"]["organization"] for e in fin.events()} == {"owes", "pays"}


def test_each_crossing_once_under_64_threads(g, fin):
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(400 * one))
    key = g.key("p")
    served = []

    def client():
        for _ in range(10):
            served.append(spend(g, key))

    threads = [threading.Thread(target=client) for _ in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert served.count(200) == 400 and served.count(429) == 240
    wait_until(lambda: states(g) == ["delivered"] * 4, what="all delivered")
    assert fin.crossings() == [("budget.hard_stop", 0), *REACHED]
    assert len(fin.attempts) == 4
    with g.ledger() as db:
        for threshold, spent, limit in db.execute("SELECT threshold, spent_atoms, limit_atoms FROM alert WHERE threshold > 0"):
            assert spent * 100 >= threshold * limit and spent % one == 0


@pytest.mark.short
def test_killed_between_the_crossing_and_its_delivery(g):
    """The receiver is not there, then the daemon is not; what was crossed comes, once, under one id."""
    port = free_port()
    conf(g, hook(g, f"http://127.0.0.1:{port}/hook"), retry="500ms")
    g.start()
    one = price(g)
    g.project("p", money(10 * one))
    key = g.key("p")
    assert spend(g, key, 8) == 200
    wait_until(lambda: [d["attempts"] > 0 for a in alerts(g) for d in a["deliveries"]] == [True] * 2, what="two attempts")
    assert states(g) == ["waiting"] * 2
    g.kill_daemon()
    fin = Receiver(SECRET, port=port)
    g.start_daemon()
    wait_until(lambda: states(g) == ["delivered"] * 2, what="both delivered")
    assert fin.crossings() == REACHED[:2]
    fin.stop()


POINTS = {
    "before the commit of the crossing": ["alert_budget", "db_commit"],
    "recorded, and nobody knows": ["alert_budget", "books_committed"],
    "before it is sent": ["courier_sign", "http_poster_begin"],
    "sent, and not noted": ["courier_sign", "alert_note"],
    "before the commit of the note": ["alert_note", "db_commit"],
    "noted": ["alert_note", "books_committed"],
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(g, fin, point):
    """The crossings that the store's sums have come to are told, each under one id, and no others."""
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(2 * one))
    key = g.key("p")
    killer = Killer(g, *POINTS[point])
    with contextlib.suppress(OSError, http.client.HTTPException):
        spend(g, key)
    killer.wait()
    g.start_daemon()
    g.wait_backend()
    assert spend(g, key) == 200
    with g.ledger() as db:
        spent = db.execute("SELECT atoms FROM project_spent JOIN project ON id = project WHERE slug = 'p'").fetchone()[0]
    expected = [r for r in REACHED if spent * 100 >= r[1] * 2 * one]
    wait_until(lambda: states(g) == ["delivered"] * len(expected), what="all of them")
    assert fin.crossings() == expected and len(fin.events()) == len(expected)
    assert len(fin.attempts) <= len(expected) + 1


@pytest.mark.short
def test_killed_again_and_again(g):
    """No crossing is lost, none is recorded twice, wherever the kills fall."""
    def answer(n):
        """Every other event comes twice."""
        id_ = fin.attempts[n]["event"]["id"]
        return 503 if n % 2 and [a["event"]["id"] for a in fin.attempts[:n + 1]].count(id_) == 1 else 200

    fin = Receiver(SECRET, answer=answer)
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    slugs = [f"p{i}" for i in range(6)]
    keys = []
    for slug in slugs:
        g.project(slug, money(10 * one))
        keys.append(g.key(slug))
    for round_ in range(6):
        stop = threading.Event()

        def client(key):
            while not stop.is_set():
                try:
                    spend(g, key)
                except OSError:
                    return

        threads = [threading.Thread(target=client, args=(k,)) for k in keys[:round_ + 1]]
        for t in threads:
            t.start()
        time.sleep(0.02 * (round_ + 1))
        g.kill_daemon()
        stop.set()
        for t in threads:
            t.join()
        g.start_daemon()
        g.wait_backend()
    for key in keys:
        while spend(g, key) == 200:
            pass
    wait_until(lambda: states(g) == ["delivered"] * len(states(g)), 30, what="all delivered")
    with g.ledger() as db:
        rows = [tuple(r) for r in db.execute(
            "SELECT p.slug, a.threshold FROM alert a JOIN project p ON p.id = a.owner"
            " WHERE a.type = 'budget.threshold_reached' AND a.spent_atoms * 100 >= a.limit_atoms * a.threshold")]
        spent = dict(tuple(r) for r in db.execute("SELECT p.slug, s.atoms * 100 / p.budget_atoms FROM project_spent s"
                                                  " JOIN project p ON p.id = s.project"))
    assert sorted(rows) == sorted((s, t) for s in slugs for t in (50, 80, 100) if spent[s] >= t)
    by_id = {}
    for attempt in fin.attempts:  # each id stands for the same bytes
        assert by_id.setdefault(attempt["headers"]["webhook-id"], attempt["bytes"]) == attempt["bytes"]
    assert len({(e["data"]["project"], e["type"], e["data"]["percent"]) for e in fin.events()}) == len(fin.events())
    fin.stop()


@pytest.mark.short
def test_a_receiver_that_is_down_and_comes_up(g):
    fin = Receiver(SECRET, answer=lambda n: 500 if n < 3 else 204)
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(2 * one))
    assert spend(g, g.key("p")) == 200
    wait_until(lambda: states(g) == ["delivered"], what="the fourth attempt")
    assert len(fin.attempts) == 4 and len(fin.events()) == 1
    assert len({a["headers"]["webhook-id"] for a in fin.attempts}) == 1
    g.wait_metric("maasgate_alert_attempts_failed_total", 3)
    fin.stop()


def test_attempts_end_and_an_operator_sends_it_again(g):
    fin = Receiver(SECRET, answer=lambda n: 500 if n < 2 else 200)
    conf(g, hook(g, fin.url), attempts=2)
    g.start()
    one = price(g)
    g.project("p", money(2 * one))
    assert spend(g, g.key("p")) == 200
    wait_until(lambda: states(g) == ["given_up"], what="the end")
    alert = alerts(g, "--state", "given_up")[0]
    assert alert["deliveries"][0]["last_error"] == "HTTP 500"
    g.wait_metric("maasgate_alerts_given_up_total", 1)
    g.daemon.wait_line("alert_given_up webhook=fin")
    refused = g.cli("alert", "redeliver", "99", check=False)
    assert refused.returncode == 1 and "there is no alert 99" in refused.stderr
    assert g.cli("alert", "redeliver", "evt_x", check=False).returncode == 1
    g.cli("alert", "redeliver", alert["id"])
    wait_until(lambda: states(g) == ["delivered"], what="once more")
    assert len(fin.attempts) == 3
    fin.stop()


@pytest.mark.short
def test_gone(g):
    """410 ends that event, and the next one is tried again."""
    fin = Receiver(SECRET, answer=lambda n: 410 if n == 0 else 200)
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(10 * one))
    key = g.key("p")
    assert spend(g, key, 5) == 200
    wait_until(lambda: states(g) == ["given_up"], what="410")
    assert spend(g, key, 3) == 200
    wait_until(lambda: states(g) == ["delivered", "given_up"], what="the next one")
    assert len(fin.attempts) == 2
    fin.stop()


def test_each_webhook_its_own_thresholds(g, fin):
    """What is crossed is recorded once, for all; who hears of it is said for each, by organization and by percent."""
    late = Receiver(SECRET)
    try:
        conf(g, hook(g, fin.url), hook(g, late.url, "late", organizations="[p]", thresholds="[100]"))
        g.start()
        one = price(g)
        g.project("p", money(10 * one))
        g.project("other", money(2 * one))
        assert spend(g, g.key("other"), 2) == 200
        key = g.key("p")
        assert spend(g, key, 10) == 200 and spend(g, key) == 429
        stop = [("budget.hard_stop", 0)]
        wait_until(lambda: sorted(fin.crossings()) == sorted(2 * REACHED + stop), what="all of both")
        wait_until(lambda: sorted(late.crossings()) == sorted(REACHED[2:] + stop), what="the last of one")
        wait_until(lambda: "waiting" not in states(g), what="the end of the deliveries")
        assert len(alerts(g, "--webhook", "late")) == 2 and len(alerts(g, "--webhook", "fin")) == 7
    finally:
        late.stop()


@pytest.mark.short
def test_limits_change(g, fin):
    """A lower limit that is used up already is told without another request; thresholds likewise."""
    conf(g, hook(g, fin.url))
    g.start()
    one = price(g)
    g.project("p", money(100 * one))
    assert spend(g, g.key("p"), 8) == 200
    assert alerts(g) == []
    g.cli("project", "budget", "p", money(10 * one))
    wait_until(lambda: fin.crossings() == REACHED[:2], what="the lower limit")
    conf(g, hook(g, fin.url), before="")
    text = g.conf.read_text().replace("alerts:\n", "alerts:\n  thresholds: [10, 50, 75]\n")
    g.conf.write_text(text)
    g.cli("reload")
    wait_until(lambda: [p for _, p in fin.crossings()] == [10, 50, 75, 80], what="new thresholds")


@pytest.mark.short
def test_redirects_are_refused(g):
    other = Receiver(SECRET)
    fin = Receiver(SECRET, answer=307, headers={"location": other.url})
    conf(g, hook(g, fin.url), attempts=1, retry="100ms")
    text = g.conf.read_text().replace("  retry_ms: 100ms\n", "")
    g.conf.write_text(text)
    g.start()
    one = price(g)
    g.project("p", money(2 * one))
    assert spend(g, g.key("p")) == 200
    wait_until(lambda: states(g) == ["given_up"], what="the end")
    assert "redirects are not followed" in alerts(g)[0]["deliveries"][0]["last_error"]
    done = g.cli("alert", "test", "fin", check=False)
    assert done.returncode == 1 and "write the final place into 'url'" in done.stdout
    assert len(fin.attempts) == 2 and not other.attempts
    fin.stop()
    other.stop()


@pytest.mark.short
def test_addresses_that_egress_does_not_have(g):
    """By name, which is looked up, and as an address, which the configuration already refuses."""
    canary = Canary()
    conf(g, hook(g, f"http://localhost:{canary.port}/hook"), before="egress_allow: [192.0.2.0/24]\n")
    text = g.conf.read_text()
    g.with_worker = False
    g.conf.write_text(text)
    g.env = {name: f"http://127.0.0.1:{canary.port}" for name in ("http_proxy", "https_proxy", "ALL_PROXY")}
    g.start()
    done = g.cli("alert", "test", "fin", check=False)
    assert done.returncode == 1
    assert "is refused: no range of egress_allow has it" in done.stdout and "egress_allow" in done.stdout
    assert canary.came == 0
    canary.stop()
    conf(g, hook(g, "http://169.254.169.254/latest"))
    refused = g.cli("reload", check=False)
    assert refused.returncode == 1
    assert "alerts.webhooks.fin.url: 169.254.169.254 is refused" in refused.stderr


@pytest.mark.short
def test_proxies_of_the_environment_are_not_used(g, fin):
    canary = Canary()
    conf(g, hook(g, fin.url))
    g.env = {name: f"http://127.0.0.1:{canary.port}" for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY")}
    g.start()
    assert "it works" in g.cli("alert", "test", "fin").stdout
    assert canary.came == 0
    canary.stop()


def test_a_slow_receiver_holds_up_only_itself(g, fin):
    slow = Receiver(SECRET, answer=None)
    conf(g, hook(g, slow.url, "slow"), hook(g, fin.url), timeout="60s")
    g.start()
    one = price(g)
    g.project("p", money(10 * one))
    key = g.key("p")
    assert spend(g, key, 10) == 200  # requests are answered
    wait_until(lambda: fin.crossings() == REACHED, what="the other one")
    wait_until(lambda: len(slow.attempts) == 1, what="one at a time")
    assert [d["state"] for a in alerts(g, "--webhook", "slow") for d in a["deliveries"] if d["webhook"] == "slow"] == ["waiting"] * 3
    g.terminate()  # nor does it hold up the end
    g.start_daemon()
    slow.answer = 200
    slow.release.set()
    wait_until(lambda: slow.crossings() == REACHED, what="what had waited")
    slow.stop()


@pytest.mark.short
def test_test_explains_each_step(g, fin):
    conf(g, hook(g, fin.url), hook(g, f"http://127.0.0.1:{free_port()}/x", "dead"),
         hook(g, fin.url, "other", secret="whsec_" + base64.b64encode(bytes(32)).decode()),
         hook(g, "http://no-such-name.invalid/x", "nowhere"))
    g.start()
    done = g.cli("alert", "test", "fin")
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:6]] == [
        ["resolve", "ok"], ["connect", "ok"], ["sign", "ok"], ["answer", "ok"]]
    assert fin.events()[0]["type"] == "alert.test" and fin.events()[0]["data"] == {"webhook": "fin"}
    dead = g.cli("alert", "test", "dead", check=False)
    assert dead.returncode == 1 and "check that the server runs" in dead.stdout
    nowhere = g.cli("alert", "test", "nowhere", check=False)
    assert nowhere.returncode == 1 and "getent hosts NAME" in nowhere.stdout
    none = g.cli("alert", "test", "nobody", check=False)
    assert none.returncode == 1 and "there are: dead, fin, nowhere, other" in none.stderr
    assert not fin.wrong
    g.cli("alert", "test", "other")  # another secret: the SDK does not believe it
    assert len(fin.wrong) == 1 and "InvalidWebhookSignature" in fin.wrong[0]
    fin.wrong.clear()
    assert alerts(g) == []


@pytest.mark.short
def test_a_new_secret(g):
    """Signed by both while the file has two lines, then by the new one alone."""
    new = "whsec_" + base64.b64encode(bytes(64)).decode()
    old_one, new_one = Receiver(SECRET), Receiver(new)
    hooks = [hook(g, old_one.url, "a", secret=f"{SECRET}\n{new}"), hook(g, new_one.url, "b", secret=f"{SECRET}\n{new}")]
    conf(g, *hooks)
    g.with_worker = False
    g.start()
    for name in ("a", "b"):
        assert "it works" in g.cli("alert", "test", name).stdout
    assert not old_one.wrong and not new_one.wrong
    assert len(new_one.attempts[0]["headers"]["webhook-signature"].split()) == 2
    (g.dir / "b.whsec").write_text(new + "\n")
    g.cli("reload")
    g.cli("alert", "test", "b")
    assert not new_one.wrong and len(new_one.attempts[1]["headers"]["webhook-signature"].split()) == 1
    (g.dir / "b.whsec").write_text(f"{new}\n{SECRET}\n{SECRET[:20]}\n")
    refused = g.cli("reload", check=False)
    assert refused.returncode == 1 and "once or on two lines" in refused.stderr and "whsec_AAAA" not in refused.stderr
    old_one.stop()
    new_one.stop()


@pytest.mark.short
def test_https(g, tmp_path):
    """A private authority is trusted where the webhook names it, and a client certificate is shown."""
    root = certs.Authority(tmp_path / "root")
    cert, key = root.issue("us")
    r = Receiver(SECRET, tls=root.server_context(asks_client=True))
    ours = {"client_cert_file": cert, "client_key_file": key}
    conf(g, hook(g, r.url, ca_file=root.ca, **ours), hook(g, r.url, "stranger", **ours))
    g.start()
    done = g.cli("alert", "test", "fin")
    assert "TLSv1" in done.stdout and "it works" in done.stdout
    stranger = g.cli("alert", "test", "stranger", check=False)
    assert stranger.returncode == 1 and "'ca_file' for one's own" in stranger.stdout
    assert len(r.attempts) == 1
    r.stop()


@pytest.mark.short
def test_whose_events_and_which(g, fin):
    stops = Receiver(SECRET)
    conf(g, hook(g, fin.url, organizations="[q]"), hook(g, stops.url, "stops", types="[budget.hard_stop]"))
    g.start()
    one = price(g)
    for slug in ("p", "q"):
        g.project(slug, money(2 * one))
        assert spend(g, g.key(slug), 3) == 429
    wait_until(lambda: len(states(g)) == 4 + 2 and set(states(g)) == {"delivered"}, what="all delivered")
    assert {e["data"]["organization"] for e in fin.events()} == {"q"} and len(fin.events()) == 4
    assert stops.crossings() == [("budget.hard_stop", 0)] * 2
    stops.stop()


def drip(c):
    """A byte now and then, of a head that never ends."""
    c.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        time.sleep(0.05)
        c.sendall(b"y")


def flood(c):
    while True:
        c.sendall(b"HTTP/1.1 103 Early Hints\r\nx: " + b"y" * 1000 + b"\r\n\r\n")


LIES = {
    "nothing": b"", "no HTTP": b"hello\r\n\r\n", "no status": b"HTTP/1.1 abc\r\n\r\n", "HTTP/0.9": b"<html>taken</html>",
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n", "a status of its own": b"HTTP/1.1 999 X\r\n\r\n",
    "control characters": b"HTTP/1.1 500 \x1b[31m\x00\r\ncontent-length: 0\r\n\r\n", "a head that never ends": drip,
    "interim answers without end": flood, "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n",
}


@pytest.mark.short
@pytest.mark.parametrize("lie", LIES)
def test_a_hostile_receiver(g, lie):
    """It is told what went wrong, in printable words, and the courier goes on."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                c, _ = listener.accept()
                with c, contextlib.suppress(OSError):
                    c.recv(65536)
                    LIES[lie](c) if callable(LIES[lie]) else c.sendall(LIES[lie])

    threading.Thread(target=serve, daemon=True).start()
    fin = Receiver(SECRET)
    g.with_worker = False
    bad = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    conf(g, hook(g, bad, "bad"), hook(g, fin.url), timeout="1s")
    g.start()
    done = g.cli("alert", "test", "bad", check=False)
    assert done.returncode == 1 and "answer     FAILED" in done.stdout, done.stdout
    assert done.stdout.isprintable() or set(done.stdout) - {"\n"} <= set(map(chr, range(32, 127)))
    conf(g, hook(g, bad, "bad"), hook(g, fin.url))  # a second is for the one that never ends
    g.cli("reload")
    assert "it works" in g.cli("alert", "test", "fin").stdout
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    fin.stop()


@pytest.mark.short
def test_an_endless_answer(g):
    """Its status is the answer; what follows is cut off."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = []

    def serve():
        c, _ = listener.accept()
        with c:
            c.recv(65536)
            try:
                c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    c.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                    sent.append(4096)
            except OSError:
                pass

    t = threading.Thread(target=serve, daemon=True)
    t.start()
    g.with_worker = False
    conf(g, hook(g, f"http://127.0.0.1:{listener.getsockname()[1]}/x"), timeout="30s")
    g.start()
    g.cli("alert", "test", "fin")
    t.join(30 * SLOW)
    assert not t.is_alive() and sum(sent) < 64 << 20
    listener.close()


WRONG = [
    ("alerts: {{}}\n", "'webhooks' is missing"),
    ("alerts: {{webhooks: {{}}}}\n", "expected 1 to 16"),
    ("alerts: {{thresholds: [80, 50], webhooks: {{fin: {fin}}}}}\n", "thresholds ascend"),
    ("alerts: {{thresholds: [0], webhooks: {{fin: {fin}}}}}\n", "alerts.thresholds[0]"),
    ("alerts: {{thresholds: [10], webhooks: {{fin: {stops}}}}}\n", "'thresholds' has no effect"),
    ("alerts: {{webhooks: {{fin: {some}}}}}\n", "90 is not among alerts.thresholds"),
    ("alerts: {{webhooks: {{fin: {none}}}}}\n", "'types' has no threshold_reached"),
    ("alerts: {{attempts: 1, retry_ms: 1s, webhooks: {{fin: {fin}}}}}\n", "'retry_ms' has no effect"),
    ("alerts: {{webhooks: {{fin: {bad}}}}}\n", "does not hold whsec_"),
    ("alerts: {{webhooks: {{fin: {open}}}}}\n", "can be read by everyone"),
    ("alerts: {{webhooks: {{fin: {ca}}}}}\n", "'ca_file' has no effect without https"),
    ("alerts: {{webhooks: {{fin: {url}}}}}\n", "is not a URL"),
    ("alerts: {{webhooks: {{fin: {type}}}}}\n", "is not one of budget.threshold_reached|"),
    ("alerts: {{webhoks: {{}}}}\n", "webhooks"),
]


@pytest.mark.short
@pytest.mark.parametrize("text, said", WRONG, ids=[w[1] for w in WRONG])
def test_what_the_configuration_refuses(tmp_path, text, said):
    for name, words, mode in (("good", SECRET, 0o600), ("bad", "whsec_c2hvcnQ=", 0o600), ("open", SECRET, 0o644)):
        (tmp_path / name).write_text(words)
        (tmp_path / name).chmod(mode)
    entry = "{{url: '{url}', secret_file: {dir}/{file}{more}}}"

    def made(file="good", url="http://h/x", more=""):
        return entry.format(url=url, dir=tmp_path, file=file, more=more)

    fields = {"fin": made(), "stops": made(more=", types: [budget.hard_stop]"), "bad": made("bad"), "open": made("open"),
              "ca": made(more=f", ca_file: {tmp_path}/good"), "url": made(url="http://user:pass@h/x"),
              "some": made(more=", thresholds: [50, 90]"),
              "none": made(more=", types: [budget.hard_stop], thresholds: [50]"), "type": made(more=", types: [budget.low]")}
    file = tmp_path / "c.yaml"
    file.write_text(text.format(**fields))
    done = subprocess.run([BUILD / "maasgated", "--check", "--config", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode != 0 and said in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout and "user:pass" not in done.stderr


@pytest.mark.short
def test_the_configuration_as_it_is_printed(tmp_path):
    """It can be read again, says the same, and nothing secret."""
    (tmp_path / "s").write_text(SECRET)
    (tmp_path / "s").chmod(0o600)
    file = tmp_path / "c.yaml"
    file.write_text(f"""
alerts:
  thresholds: [33, 99]
  retry_ms: 2m
  webhooks:
    b: {{url: "https://b.example/x", secret_file: {tmp_path}/s}}
    a: {{url: "http://a.example:81", secret_file: {tmp_path}/s, thresholds: [99], organizations: [acme, other]}}
""")

    def printed():
        return subprocess.run([BUILD / "maasgated", "--print-config", "--config", file], capture_output=True, text=True,
                              check=True, timeout=60 * SLOW).stdout

    first = printed()
    assert SECRET not in first and "********" in first
    assert "  thresholds: [33, 99]" in first and "      thresholds: [99]" in first and 'organizations: ["acme", "other"]' in first and "retry_ms: 2m" in first
    file.write_text(first)
    assert printed().replace(" # default", "") == first.replace(" # default", "")

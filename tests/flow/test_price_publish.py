"""Price books that two people publish, through the real daemon: who may, from when, and that each
request has exactly the version of its acceptance: under load, over restarts, over kills."""
import concurrent.futures
import datetime
import json
import os
import random
import re
import sqlite3
import subprocess
import time

import pytest
from gate import BUILD, SLOW, Gate, wait_until
from price_lab import BACKENDS, CHAT, IMAGE, model, write

MODELS = BACKENDS + model("base/chat", CHAT, default=True) + model("base/image", IMAGE) + """\
  industry/mine/chat:
    parent: base/chat
    fallback_to_parent: true
    routes: [{{backend: worker, model: ngram-general}}]
"""
CONFIGURED = MODELS.replace("  base/image:", "    price: {{input_uncached_tokens: 1/1M, output_text_tokens: 2/1M}}\n"
                            "  base/image:").replace("  industry/", "    price: {{images: 0.01}}\n  industry/")
NOTICE = {"price_source": "published", "price_notice_ms": "1s"}


def book(name, output="10/1M"):
    return (f"price_book: {name}\nmodels:\n  base/chat:\n    input_uncached_tokens: 1/1M\n"
            f"    output_text_tokens: {output}\n  base/image: {{images: 0.02}}\n")


pace = [0.0]  # seconds that two command lines took, the last time


def at(seconds):
    """An instant that a command line says to the second, and some more, for a slow machine: for twenty of them."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds + 2 * SLOW + 10 * pace[0])
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def us(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**6)


def approver(gate, name):
    path, began = gate.dir / f"{name}.key", time.monotonic()
    digest = gate.cli("price", "key", path).stdout.strip()
    gate.cli("price", "approver", "add", name, digest)
    pace[0] = time.monotonic() - began
    time.sleep(0.01)  # what is proposed now comes later
    return path


def publish(gate, text, when, key):
    draft = gate.ask("price", "publish", write(gate, text), "--from", when)["draft"]
    return gate.ask("price", "approve", draft, "--key-file", key)


def versions(gate):
    """[(accepted, version, atoms of a unit of output)], and the terms [(from, version)]."""
    with gate.ledger() as db:
        rows = db.execute("SELECT o.accepted_us, s.price_version, s.amount_atoms FROM settlement s"
                          " JOIN request_open o ON o.rid = s.rid ORDER BY o.accepted_us").fetchall()
        terms = db.execute("SELECT effective_us, price_version FROM price_publication ORDER BY 1").fetchall()
    return [tuple(r) for r in rows], [tuple(r) for r in terms]


def reconcile(gate):
    gate.reconcile("--allow-open")


def until(when):
    wait_until(lambda: time.time() * 10**6 > us(when) + 50000, 120, "the moment")


def gate_of(catalog=MODELS, **settings):
    return Gate(catalog=catalog, settings={**NOTICE, **settings})


@pytest.fixture
def gate():
    g = gate_of()
    try:
        g.start()
        yield g
        reconcile(g)
        g.stop()
    finally:
        g.abandon()


@pytest.mark.short
def test_two_people_and_a_moment(gate):
    key = gate.key("acme")
    unpriced = gate.chat(key, "#tokens=3 hi")
    assert (unpriced.status, unpriced.code) == (400, "model_not_priced")
    ada = approver(gate, "ada")
    when = at(3)
    draft = gate.ask("price", "publish", write(gate, book("first")), "--from", when)
    assert draft["draft"] == 1 and draft["proposed_by"] == f"uid:{os.getuid()}"
    alone = gate.cli("price", "approve", 1, check=False)
    assert alone.returncode == 1 and "a second person publishes it" in alone.stderr
    assert gate.ask("price", "list")["data"][0]["state"] == "draft"
    done = gate.ask("price", "approve", 1, "--key-file", ada)
    assert done["published_by"] == "key:ada" and done["effective"] == when and done["sha256"] == draft["sha256"]
    assert gate.ask("price", "list")["data"][0]["state"] == "scheduled"
    again = gate.cli("price", "approve", 1, "--key-file", ada, check=False)
    assert again.returncode == 1 and "published already" in again.stderr
    until(when)
    answer = gate.chat(key, "#tokens=3 hi")
    assert answer.status == 200 and answer.headers["x-maas-price-version"] == str(done["version"])
    assert gate.get("/v1/models/base%2Fchat", key).json()["pricing"]["output_text_tokens"]["amount"] == "10.00"
    assert gate.ask("price", "list")["data"][0]["state"] == "in force"
    assert gate.ask("models")["price_book"] == "first"
    shown = gate.ask("price", "show", "current")
    assert shown["sha256"] == draft["sha256"] and shown["text"] == gate.ask("price", "show", "draft-1")["text"]
    assert {"model": "base/image", "meter": "images", "price": "0.02 per 1"} in shown["data"]
    assert gate.cli("price", "diff", "current", "draft-1").stdout == "no price differs\n"
    mine = gate.chat(key, "#tokens=3 hi", model="industry/mine/chat")
    assert mine.headers["x-maas-cost"] == answer.headers["x-maas-cost"]


@pytest.mark.short
def test_who_may_not(gate):
    early = approver(gate, "early")
    soon = write(gate, book("x"))
    gate.write_conf(price_notice_ms="1h")
    gate.cli("reload")
    assert "too early: with price_notice_ms of 3600000 not before" in gate.cli(
        "price", "publish", soon, "--from", at(60), check=False).stderr
    gate.write_conf()
    gate.cli("reload")
    assert "neither a time ahead" in gate.cli("price", "publish", soon, "--from", "2020-01-01", check=False).stderr
    assert "from when?" in gate.cli("price", "publish", soon, check=False).stderr
    draft = gate.ask("price", "publish", soon, "--from", at(60), "--key-file", early)
    assert draft["proposed_by"] == "key:early"
    same = gate.cli("price", "approve", draft["draft"], "--key-file", early, check=False)
    assert "a second person" in same.stderr
    late = approver(gate, "late")
    after = gate.cli("price", "approve", draft["draft"], "--key-file", late, check=False)
    assert "was not an approver yet" in after.stderr
    gate.cli("price", "approver", "revoke", "late")
    revoked = gate.cli("price", "approve", draft["draft"], "--key-file", late, check=False)
    assert "that of no approver" in revoked.stderr
    assert gate.cli("price", "approver", "revoke", "late", check=False).returncode == 1
    os.chmod(early, 0o644)
    assert "chmod 600" in gate.cli("price", "approve", draft["draft"], "--key-file", early, check=False).stderr
    none = write(gate, "secret\n", "none.key")
    none.chmod(0o600)
    assert "holds no key" in gate.cli("price", "approve", draft["draft"], "--key-file", none, check=False).stderr
    assert "there is no draft 77" in gate.cli("price", "approve", 77, check=False).stderr
    assert "no price book '9'" in gate.cli("price", "show", 9, check=False).stderr
    assert gate.cli("price", "approve", "x", check=False).returncode == 2
    done = gate.ask("price", "approve", draft["draft"])  # uid:N is another than key:early
    twin = gate.ask("price", "publish", write(gate, book("y")), "--from", done["effective"], "--key-file",
                    approver(gate, "third"))
    assert "just that instant" in gate.cli("price", "approve", twin["draft"], check=False).stderr
    rows = {r["name"]: r for r in gate.ask("price", "approver", "list")["data"]}
    assert rows["late"]["revoked_by"] and not rows["early"]["revoked"]
    assert "mgprice_" not in gate.daemon.text() + json.dumps(rows)
    secret = early.read_text().strip()
    for file in gate.state.iterdir():
        assert secret.encode() not in file.read_bytes(), file


def test_the_store_itself_refuses(gate):
    approver(gate, "ada")
    gate.ask("price", "publish", write(gate, book("x")), "--from", at(3600))
    gate.terminate()
    db = sqlite3.connect(gate.state / "ledger.db")
    db.execute("INSERT INTO price_version VALUES (1, 'x', 'USD', '', zeroblob(32), 0)")
    by = db.execute("SELECT proposed_by FROM price_proposal").fetchone()[0]
    for sql, why in [
        (f"INSERT INTO price_publication VALUES (1, 1, 9000000000000000, 1, 1, '{by}', 'list', 0)", "by two people"),
        ("INSERT INTO price_publication VALUES (1, 1, 10, 5, 6, 'uid:5', 'list', 0)", "CHECK"),
        ("INSERT INTO price_publication VALUES (1, 1, 9000000000000000, 1, 1, 'uid:5', 'contract', 1)", "for whom"),
        ("INSERT INTO price_proposal VALUES (9, 'x', 'USD', '', zeroblob(32), 1, 1, 'uid:5', 'contract', 99)",
         "the list or of an organization"),
        ("UPDATE price_proposal SET effective_us = 5", "never changed"),
        ("DELETE FROM price_proposal", "never changed"),
        ("UPDATE price_approver SET digest = zeroblob(32)", "only revoked"),
    ]:
        with pytest.raises(sqlite3.DatabaseError, match=why):
            db.execute(sql)
    db.rollback()
    db.close()
    gate.start_daemon()
    gate.wait_backend()


def test_the_swap_is_exact_under_load(gate):
    """Requests all the time, two swaps, a restart between publication and force: not one of them has
    another version than that of the moment at which it was accepted."""
    ada, key = approver(gate, "ada"), gate.key("acme")
    first = publish(gate, book("one", "10/1M"), at(2), ada)
    until(first["effective"])
    second = publish(gate, book("two", "20/1M"), at(3), ada)
    third = publish(gate, book("three", "[{included: 5}, {unit: 30/1M}]\n    output_reasoning_tokens: 0\n"
                                        "    output_audio_tokens: 0\n    output_image_tokens: 0"), at(5), ada)
    seen = set()

    def work(n):
        end = us(third["effective"]) + 700000
        while time.time() * 10**6 < end:
            answer = gate.chat(key, "#tokens=4 hi", model=["base/chat", "industry/mine/chat"][n % 2])
            assert answer.status == 200, answer
            seen.add(answer.headers["x-maas-price-version"])

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert seen == {str(p["version"]) for p in (first, second, third)}
    rows, terms = versions(gate)
    assert len(terms) == 3 and len(rows) > 100
    for accepted, version, _ in rows:
        assert version == [v for start, v in terms if start <= accepted][-1]
    near = min(abs(accepted - start) for accepted, _, _ in rows for start, _ in terms[1:])
    print(f"{len(rows)} requests, the nearest {near} us from a swap")


def test_restart_between_publication_and_force(gate):
    ada, key = approver(gate, "ada"), gate.key("acme")
    first = publish(gate, book("one"), at(2), ada)
    until(first["effective"])
    second = publish(gate, book("two", "20/1M"), at(3), ada)
    gate.kill_daemon()
    gate.start_daemon()
    gate.wait_backend()
    early = gate.chat(key, "#tokens=4 hi")
    until(second["effective"])
    late = gate.chat(key, "#tokens=4 hi")
    rows, terms = versions(gate)
    for accepted, version, _ in rows:
        assert version == [v for start, v in terms if start <= accepted][-1]
    assert late.headers["x-maas-price-version"] == str(second["version"])
    assert early.status == 200
    gate.cli("reload")
    assert gate.chat(key, "#tokens=4 hi").headers["x-maas-price-version"] == str(second["version"])


def test_kill_in_the_middle_of_a_publication(gate):
    """A publication is there whole or not at all, and can be had afterwards."""
    ada = approver(gate, "ada")
    dice = random.Random(7)
    for round_ in range(8):
        draft = gate.ask("price", "publish", write(gate, book(f"b{round_}", f"{round_ + 1}/1M")), "--from",
                         at(3000 + round_))["draft"]
        call = subprocess.Popen([BUILD / "maasgate", "price", "approve", str(draft), "--key-file", ada,
                                 "--socket", gate.socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(dice.uniform(0, 0.02))
        gate.kill_daemon()
        answered = call.communicate(timeout=60 * SLOW)[0].startswith("version")
        gate.start_daemon()
        row = next(r for r in gate.ask("price", "list")["data"] if r["draft"] == draft)
        assert row["state"] in ("draft", "scheduled") and (row["state"] == "scheduled" or not answered)
        if row["state"] == "draft":
            gate.ask("price", "approve", draft, "--key-file", ada)
        assert gate.cli("price", "diff", f"draft-{draft}", row.get("version") or gate.ask(
            "price", "list")["data"][0]["version"]).stdout == "no price differs\n"
    gate.wait_backend()


def test_from_configuration_to_publishing_and_not_back():
    with Gate(catalog=CONFIGURED) as g:
        g.start()
        key = g.key("acme")
        refused = g.cli("price", "publish", write(g, book("x")), "--from", at(60), check=False)
        assert refused.returncode == 1 and "set price_source: published" in refused.stderr
        before = g.chat(key, "#tokens=4 hi")
        g.write_conf(catalog=CONFIGURED, **NOTICE)
        wrong = g.cli("reload", check=False)
        assert wrong.returncode == 1 and "'price' has no effect: price_source is published" in wrong.stderr
        g.write_conf(catalog="price_book: mine\n" + MODELS, **NOTICE)
        assert "'price_book' has no effect" in g.cli("reload", check=False).stderr
        g.write_conf(catalog=MODELS, **NOTICE)
        g.cli("reload")
        same = g.chat(key, "#tokens=4 hi")  # nothing is published yet: what was in force stays
        assert same.headers["x-maas-price-version"] == before.headers["x-maas-price-version"]
        assert same.headers["x-maas-cost"] == before.headers["x-maas-cost"]
        assert [r["state"] for r in g.ask("price", "list")["data"]] == ["in force"]
        g.write_conf(catalog=CONFIGURED)
        g.cli("reload")  # still free to go back
        g.write_conf(catalog=MODELS, **NOTICE)
        g.cli("reload")
        done = publish(g, book("own", "7/1M"), at(2), approver(g, "ada"))
        g.write_conf(catalog=CONFIGURED)
        back = g.cli("reload", check=False)
        assert back.returncode == 1 and "were published by two people" in back.stderr
        g.write_conf(catalog=MODELS, **NOTICE)
        until(done["effective"])
        assert g.chat(key, "#tokens=4 hi").headers["x-maas-price-version"] == str(done["version"])
        assert [r["state"] for r in g.ask("price", "list")["data"]] == ["in force", "past"]
        printed = subprocess.run([BUILD / "maasgated", "--print-config", g.conf], capture_output=True, text=True).stdout
        assert 'price_source: "published"' in printed
        assert not re.search(r"^\s*(price|price_book):", printed, re.M)
        reconcile(g)


def test_a_model_that_the_book_does_not_know(gate):
    publish(gate, book("one"), at(2), approver(gate, "ada"))
    key = gate.key("acme")
    gate.write_conf(catalog=MODELS + "  base/new:\n    capabilities: [chat]\n"
                    "    routes: [{{backend: worker, model: ngram-general}}]\n")
    gate.cli("reload")
    answer = gate.chat(key, "#tokens=3 hi", model="base/new")
    assert (answer.status, answer.code) == (400, "model_not_priced")
    gate.daemon.wait_line("model_not_priced model=base/new")
    assert "no price in this book" in gate.cli("price", "lint", write(gate, book("two")), check=False).stderr

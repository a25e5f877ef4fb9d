"""Closed months leave the store: what is asked of them is answered as before, by every proof that there is."""
import calendar
import hashlib
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
import time

import pytest
from gate import BUILD, CATALOG, ROOT, SLOW, this_month
from test_kill_points import Killer
from test_store import restore

DAEMON = BUILD / "maasgated"
COSTS = CATALOG.replace("address: {address}", "address: {address}\n    costs: {{ngram-general: {{requests: 0.0001,"
                        " input_uncached_tokens: 0.05/1M}}, ngram-code: {{requests: 1.00}}}}")


def rows(path, sql, *args):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def age(gate, months):
    """What there is becomes so many months older: every time and every id of the store."""
    now = time.gmtime()
    month = now.tm_year * 12 + now.tm_mon - 1

    def start(month):
        return calendar.timegm((month // 12, month % 12 + 1, 1, 0, 0, 0))

    us = (start(month) - start(month - months)) * 10**6
    columns = {"request_open": ("accepted_us",), "settlement": ("settled_us",), "ledger_tx": ("at_us",),
               "settled_minute": ("minute_us",), "usage_rollup": ("hour_us",), "cost_rollup": ("hour_us",), "billing_period": ("starts_us", "ends_us"),
               "price_version": ("effective_from_us",), "cost_version": ("from_us",),
               "price_proposal": ("effective_us", "proposed_us"), "price_publication": ("published_us", "effective_us"),
               "price_approver": ("created_us",), "boot": ("started_us", "settled_us"), "contract": ("starts_us",)}
    db = sqlite3.connect(gate.state / "ledger.db")
    db.create_function("age", 1, lambda us_: max(0, us_ - us))
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    for table, names in columns.items():
        for name in names:
            db.execute(f"UPDATE {table} SET {name} = age({name})")
    shift = us // 1000 << 22
    for table in ("settlement", "request_open", "attempt", "resale", "resale_hold"):
        db.execute(f"UPDATE {table} SET rid = rid - {shift}")
    db.execute(f"UPDATE settled_minute SET from_rid = from_rid - {shift}, to_rid = to_rid - {shift}")
    db.execute(f"UPDATE boot SET open_floor = max(1, open_floor - {shift})")
    for _, sql in triggers:
        db.execute(sql)
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    write_checksums(gate.state / "ledger.db")
    journal = gate.dir / "worker.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps(line | {"rid": line["rid"] - shift}) + "\n" for line in lines))


def write_checksums(file):
    """As SQLite's checksum VFS, which Python's SQLite has not: two sums at the end of each page."""
    pages = bytearray(file.read_bytes())
    for page in range(0, len(pages), 4096):
        a = b = 0
        for x, y in struct.iter_unpack("<II", pages[page:page + 4088]):
            a = a + x + b & 0xffffffff
            b = b + y + a & 0xffffffff
        pages[page + 4088:page + 4096] = struct.pack("<II", a, b)
    file.write_bytes(pages)


@pytest.fixture
def old(make_gate):
    """Three requests of five months ago, in one period that has ended; and one of today."""
    g = make_gate(catalog=COSTS)
    g.api_key = g.key()
    for _ in range(3):
        assert g.chat(g.api_key, "#tokens=3").status == 200
    g.terminate()
    age(g, 5)
    g.start_daemon()
    g.wait_backend()
    assert g.chat(g.api_key, "#tokens=1").status == 200
    with g.ledger() as db:
        starts = db.execute("SELECT min(starts_us) FROM billing_period").fetchone()[0]
    g.month = time.strftime("%Y-%m", time.gmtime(starts // 10**6))
    return g


@pytest.fixture
def resold(make_gate):
    """Three requests of five months ago that a reseller sold on, and one of today."""
    g = make_gate(catalog=COSTS)
    g.cli("org", "create", "seller")
    g.cli("org", "seller", "seller", "--series", "SLR")
    g.cli("org", "create", "buyer", "--reseller", "seller")
    g.cli("fund", "add", "buyer", "prepaid", "0.002")
    g.cli("project", "create", "shop", "--org", "buyer", "--budget", "10")
    key = g.key("shop")
    for _ in range(3):
        assert g.chat(key, "#tokens=3").status == 200
    g.terminate()
    age(g, 5)
    with g.ledger() as db:
        starts = db.execute("SELECT min(starts_us) FROM billing_period").fetchone()[0]
    g.month = time.strftime("%Y-%m", time.gmtime(starts // 10**6))
    g.start_again = lambda: (g.start_daemon(), g.wait_backend(), g.chat(key, "#tokens=1"))
    return g


@pytest.mark.short
def test_the_requests_behind_a_line_are_told_from_the_file(old):
    """Word for word as before, but the names of keys, which no archive holds; a file that is away is named."""
    g = old
    number = g.ask("invoice", old.month, "--org", "acme", "--issue")["number"]
    before = g.ask("document", "requests", number)
    assert len({row["request"] for row in before["data"]}) == 3
    g.cli("archive", old.month)
    for row in before["data"]:
        row["key"] = ""
    assert g.ask("document", "requests", number) == before
    file = g.state / "archive" / f"{old.month}.db"
    file.rename(file.with_suffix(".away"))
    done = g.cli("document", "requests", number, check=False)
    assert done.returncode == 1 and f"archive/{old.month}.db of the state_dir" in done.stderr
    file.with_suffix(".away").rename(file)


@pytest.mark.short
def test_what_is_resold_leaves_for_both(resold):
    """Both legs in one file, once both payers are invoiced."""
    g, month = resold, resold.month
    g.start_again()
    for who in ("seller", "buyer"):
        done = g.cli("archive", month, check=False)
        assert done.returncode == 1 and f"--org {who} --issue" in done.stderr
        g.cli("invoice", month, "--org", who, "--issue")

    def used():
        return [g.cli("usage", "--month", month, "--project", p).stdout for p in ("shop", "seller:shop")]
    before = used()
    g.cli("archive", month)
    assert used() == before
    file = g.state / "archive" / f"{month}.db"
    for table in ("resale", "resale_hold", "settlement"):
        assert rows(file, f"SELECT count(*) FROM {table}") == [(3,)], table
        with g.ledger() as db:
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 1, table
    assert g.cli("audit").returncode == 0
    assert reconcile(g).endswith("violations: 0\n")


def test_a_month_of_one_payer_alone_stays(resold):
    """As it is with payers of different time zones, of what was asked for between the two ends."""
    g = resold
    db = sqlite3.connect(g.state / "ledger.db")
    db.execute("UPDATE billing_period SET starts_us = starts_us - 86400000000 WHERE organization ="
               " (SELECT id FROM organization WHERE slug = 'buyer')")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    write_checksums(g.state / "ledger.db")
    g.start_again()
    g.cli("invoice", g.month, "--org", "seller", "--issue")
    done = g.cli("archive", g.month, check=False)
    assert done.returncode == 1 and "of other time zones: it cannot leave" in done.stderr, done.stderr


def reconcile(gate, directory=None, words=()):
    """What reconcile.py says of a store and its archives, and of the worker's journal."""
    done = subprocess.run([sys.executable, ROOT / "tests/flow/reconcile.py", "--db",
                           (directory or gate.state) / "ledger.db", "--worker-journal", gate.dir / "worker.journal", *words],
                          capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.returncode == (0 if done.stdout.endswith("violations: 0\n") else 1)
    return done.stdout


@pytest.mark.short
def test_a_month_leaves(old):
    done = old.cli("archive", old.month, check=False)
    assert done.returncode == 1 and f"maasgate invoice {old.month} --org acme --issue" in done.stderr
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    answer = old.ask("archive", old.month)
    file = old.state / "archive" / f"{old.month}.db"
    assert answer["file"] == str(file) and answer["requests"] == 3
    assert answer["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = json.loads(file.with_suffix(".json").read_text())
    assert manifest["sha256"] == answer["sha256"] and manifest["requests"] == 3
    assert [p["organization"] for p in manifest["periods"]] == ["acme"]
    assert len(old.settlements()) == 1 and rows(file, "SELECT count(*) FROM settlement") == [(3,)]
    done = subprocess.run([DAEMON, "--audit", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    gone = rows(file, "SELECT max(rid) FROM settlement")[0][0]
    done = old.cli("request", gone, check=False)
    assert done.returncode == 1 and f"is in the archive of {old.month}" in done.stderr
    listed = old.ask("archive", "list")["archives"]
    assert [(a["month"], a["state"], a["requests"]) for a in listed] == [(old.month, "done", 3)]
    assert old.ask("usage", "--month", old.month)["requests"] == 3, "the sums stay"
    done = old.cli("usage", "--month", old.month, "--by", "served", check=False)
    assert done.returncode == 1 and "in an archive" in done.stderr
    assert old.chat(old.api_key, "#tokens=1").status == 200
    assert "clean" in old.cli("audit").stdout
    done = old.cli("archive", old.month, check=False)
    assert done.returncode == 1 and "already" in done.stderr


def test_the_oldest_that_is_due(old):
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    assert old.ask("archive")["month"] == old.month
    assert old.ask("archive")["month"] is None
    assert "no month is due" in old.cli("archive").stdout


@pytest.mark.parametrize("month, word", [("2026-13", "not a month"), ("tomorrow", "not a month"),
                                         ("this one", "retention_months"),
                                         ("2025-01", "nothing was used")])
def test_months_that_do_not_leave(old, month, word):
    done = old.cli("archive", this_month() if month == "this one" else month, check=False)
    assert done.returncode == 1 and word in done.stderr, done.stderr
    assert len(old.settlements()) == 4


def test_retention_is_the_operators(old):
    """Six whole months stay: the one of five months ago is not due; a reload changes that."""
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    old.write_conf(retention_months=6)
    old.cli("reload")
    assert old.ask("archive")["month"] is None
    old.write_conf(retention_months=2)
    old.cli("reload")
    assert old.ask("archive")["month"] == old.month


def test_killed_while_it_archives(old):
    """Whatever was reached: the books are clean, and the next call ends it."""
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    for delay in (0.0, 0.01, 0.03, 0.1):
        running = subprocess.Popen([BUILD / "maasgate", "archive", old.month, "--socket", old.socket],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        old.kill_daemon()
        running.wait(60 * SLOW)
        old.start_daemon()
        old.wait_backend()
        assert "clean" in old.cli("audit").stdout
    old.cli("archive", old.month, check=False)  # done already, or now
    assert [(a["state"], a["requests"]) for a in old.ask("archive", "list")["archives"]] == [("done", 3)]
    assert len(old.settlements()) == 1
    file = old.state / "archive" / f"{old.month}.db"
    done = subprocess.run([DAEMON, "--audit", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr


KILLED = {
    "before the file has its name": ["archive_write", "file_finish"],
    "before it is noted": ["archive_record"],
    "before the commit of the note": ["archive_record", "db_commit"],
    "before the first rows are dropped": ["archive_drop"],
    "before the commit of what is dropped": ["archive_drop", "db_commit"],
    "between requests and postings": ["archive_drop", "db_commit", "archive_drop"],
    "before all is said to be dropped": ["archive_drop", "db_commit", "archive_drop", "db_commit", "archive_drop"],
}


@pytest.mark.parametrize("way", KILLED.values(), ids=KILLED)
def test_killed_at_each_step(old, way):
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    before = answers(old)
    killer = Killer(old, *way)
    old.cli("archive", old.month, check=False)
    killer.wait()
    old.start_daemon()
    old.wait_backend()
    assert answers(old) == before
    assert "violations: 0" in reconcile(old)
    old.cli("archive", old.month, check=False)
    assert [(a["state"], a["requests"]) for a in old.ask("archive", "list")["archives"]] == [("done", 3)]
    assert answers(old) == before and "violations: 0" in reconcile(old)


def answers(gate):
    """What finance asks about the month, and what the audit says."""
    number = gate.ask("document", "list")["documents"][0]["number"]
    assert "clean" in gate.cli("audit").stdout
    return [gate.ask("margin", "--month", gate.month), gate.ask("usage", "--month", gate.month),
            gate.ask("usage", "--month", gate.month, "--by", "model"), gate.ask("document", number),
            gate.ask("document", "list"), gate.ask("statement", number)]


def test_minutes_do_not_look_into_archives(old):
    """Hours are answered as before; of minutes it is said where they are."""
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    with old.ledger() as db:
        start = db.execute("SELECT min(settled_us) / 60000000 * 60 FROM settlement").fetchone()[0]
    key = old.key(role="finance")

    def usage(width):
        return old.get(f"/v1/organization/usage/completions?start_time={start}&end_time={start + 600}&bucket_width={width}",
                       key)

    before = [usage(width).json() for width in ("1m", "1h")]
    assert [sum(r["num_model_requests"] for b in a["data"] for r in b["results"]) for a in before] == [3, 3]
    old.ask("archive", old.month)
    assert usage("1h").json() == before[1]
    a = usage("1m")
    assert a.status == 400 and a.json()["error"]["param"] == "start_time" and "in an archive" in a.json()["error"]["message"]
    a = old.get(f"/v1/organization/usage/completions?start_time={int(time.time()) - 600}&bucket_width=1m", key)
    assert sum(r["num_model_requests"] for b in a.json()["data"] for r in b["results"]) == 1


def test_costs_leave_with_their_month(old):
    """Margin, usage, invoice and statement are the same before and after; reconcile.py sees every request."""
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    before, said = answers(old), reconcile(old)
    assert before[0]["total"]["calls"] == 3 and before[0]["total"]["cost"] != "0.00"
    assert "requests: 4, settled: 4" in said and said.endswith("violations: 0\n"), said
    file = old.ask("archive", old.month)["file"]
    assert answers(old) == before
    assert reconcile(old) == said
    assert rows(file, "SELECT count(*) FROM attempt") == [(3,)]
    with old.ledger() as db:
        assert db.execute("SELECT count(*) FROM attempt").fetchone()[0] == 1
        assert db.execute("SELECT count(*) FROM ledger_tx WHERE kind = 'upstream'").fetchone()[0] == 1


# (what is said, of the store or of the file, what is done to it)
WRONG = [
    ("I12: archive", "file", "UPDATE settlement SET duration_us = duration_us + 1"),
    ("I6: request", "file", "UPDATE settlement SET amount_atoms = amount_atoms + 1"),
    ("I9: rollup", "store", "UPDATE usage_rollup SET qty = qty + 1 WHERE period = (SELECT min(period) FROM usage_rollup)"),
    ("I25: cost", "store", "UPDATE cost_rollup SET wasted_atoms = 1 WHERE period = (SELECT min(period) FROM cost_rollup)"),
    ("I25: request", "file", "UPDATE attempt SET cost_atoms = cost_atoms + 1"),
    ("I25: batch", "file", "DELETE FROM ledger_entry WHERE account % 32 = 12"),
    ("I2: account", "store", "UPDATE archived_balance SET atoms = atoms + 1; UPDATE account_balance SET"
                             " posted_atoms = posted_atoms + 1"),
    ("archived_balance is", "store", "UPDATE archived_balance SET atoms = atoms + 1"),
    ("are noted", "store", "UPDATE archive SET requests = requests + 1"),
    ("is here as well", "store", "INSERT INTO request_open SELECT * FROM file.request_open LIMIT 1"),
    ("one row in an archive and another one here", "store",
     "INSERT INTO request_open SELECT * FROM file.request_open LIMIT 1;"
     " UPDATE request_open SET max_out = max_out + 1 WHERE rid = (SELECT min(rid) FROM request_open)"),
    ("there is no file", "store", "UPDATE archive SET file = 'elsewhere'"),
]


def test_reconcile_sees_what_is_wrong_in_an_archive(old, tmp_path):
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    old.ask("archive", old.month)
    old.terminate()
    for at, (said, where, sql) in enumerate(WRONG):
        state = tmp_path / str(at)
        shutil.copytree(old.state, state)
        paths = {"store": state / "ledger.db", "file": state / "archive" / f"{old.month}.db"}
        db = sqlite3.connect(paths[where])
        db.execute("ATTACH ? AS file", (str(paths["file"]),))
        for (name,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        before = db.total_changes
        for one in sql.split(";"):
            db.execute(one)
        assert db.total_changes > before, sql
        db.commit()
        db.close()
        assert said in reconcile(old, state), sql
    shutil.move(old.state / "archive", tmp_path / "moved")
    assert "there is no file" in reconcile(old)
    assert "violations: 0" in reconcile(old, words=["--archives", tmp_path / "moved"])
    old.start_daemon()


def test_a_backup_knows_what_has_left(old):
    old.cli("invoice", old.month, "--org", "acme", "--issue")
    old.ask("archive", old.month)
    assert old.ask("backup", old.dir / "copy.db")["audit"]["ok"]
    old.terminate()
    done = restore(old, old.dir / "copy.db")
    assert done.returncode == 0, done.stderr
    old.start_daemon()
    assert "clean" in old.cli("audit").stdout

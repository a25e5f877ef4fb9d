"""The store as its operator keeps it: copies of it while it is in use, and what is made of them."""
import hashlib
import os
import sqlite3
import subprocess
import threading

import pytest
from gate import BUILD, ROOT, SLOW, this_month, wait_until

DAEMON = BUILD / "maasgated"


def rows(path, sql, *args):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


@pytest.fixture
def used(make_gate):
    """A gate with a key and three requests behind it."""
    g = make_gate()
    g.api_key = g.key()
    for _ in range(3):
        assert g.chat(g.api_key, "#tokens=3").status == 200
    return g


# ---- backup ----

@pytest.mark.short
def test_a_backup_is_the_store(used):
    file = used.dir / "copy.db"
    answer = used.ask("backup", file)
    assert answer["requests"] == 3 and answer["audit"]["ok"] and answer["audit"]["problems"] == []
    assert answer["bytes"] == file.stat().st_size and file.stat().st_mode & 0o777 == 0o600
    assert answer["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert os.listdir(used.dir).count("copy.db.part") == 0
    mine = [dict(row) for row in used.settlements()]
    names = [r[1] for r in rows(file, "PRAGMA table_info(settlement)")]
    assert [dict(zip(names, r)) for r in rows(file, "SELECT * FROM settlement ORDER BY rid")] == mine
    head = file.read_bytes()[:100]
    assert head[20] == 8, "every page keeps its checksum"


def test_a_backup_of_a_busy_store_is_whole(used):
    """Requests go on meanwhile: each copy is a moment of the store, clean by itself."""
    stop, failures = threading.Event(), []

    def load():
        while not stop.is_set():
            answer = used.chat(used.api_key, "#tokens=2")
            if answer.status != 200:
                failures.append(answer)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    counts = []
    for n in range(5):
        answer = used.ask("backup", used.dir / f"copy{n}.db")
        assert answer["audit"]["ok"], answer["audit"]["problems"]
        counts.append(answer["requests"])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures and counts == sorted(counts) and counts[-1] > 3


@pytest.mark.short
def test_a_backup_replaces_nothing(used):
    file = used.dir / "copy.db"
    file.write_text("somebody's")
    done = used.cli("backup", file, check=False)
    assert done.returncode == 1 and "exists" in done.stderr
    assert file.read_text() == "somebody's"
    part = used.dir / "other.db.part"
    part.write_text("of another backup")
    done = used.cli("backup", used.dir / "other.db", check=False)
    assert done.returncode == 1 and part.read_text() == "of another backup"
    assert not (used.dir / "other.db").exists()


@pytest.mark.parametrize("file, word", [("no/such/dir/copy.db", "No such file"), ("/", "whole path"),
                                        ("/tmp/ledger.db-wal", "ledger's own")])
def test_a_backup_that_cannot_be(used, file, word):
    done = used.cli("backup", file, check=False)
    assert done.returncode == 1 and word in done.stderr, done.stderr


def test_a_path_is_the_operators_own(used):
    done = subprocess.run([BUILD / "maasgate", "backup", "here.db", "--socket", used.socket], cwd=used.dir,
                          capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    assert (used.dir / "here.db").exists() and "sha256" in done.stdout and "3 requests" in done.stdout


def flip_pages(file):
    """A bit of each page but the first, as a bad disk would; once more takes it back."""
    with open(file, "r+b") as f:
        for page in range(1, file.stat().st_size // 4096):
            f.seek(page * 4096 + 4000)
            byte = f.read(1)
            f.seek(page * 4096 + 4000)
            f.write(bytes([byte[0] ^ 1]))


def test_a_flipped_bit_is_not_copied(used):
    """Pages that are wrong on the disk end the backup: no file, one sentence."""
    used.terminate()
    used.start_daemon()  # what was written is in the database now, and nothing of it in memory
    flip_pages(used.state / "ledger.db")
    done = used.cli("backup", used.dir / "copy.db", check=False)
    flip_pages(used.state / "ledger.db")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert [name for name in os.listdir(used.dir) if name.startswith("copy")] == []
    assert used.ask("backup", used.dir / "copy.db")["audit"]["ok"]


# ---- restore ----

def restore(gate, file, *words):
    return subprocess.run([DAEMON, "--config", gate.conf, "--restore", file, *words], capture_output=True, text=True,
                          timeout=60 * SLOW)


def issue(gate):
    """An invoice of what there is so far; its number."""
    gate.cli("invoice", gate.month, "--org", "acme", "--until-now")
    wait_until(lambda: gate.cli("invoice", gate.month, "--org", "acme", "--issue", check=False).returncode == 0,
               what="the end of the period that was cut")
    return gate.ask("document", "list")["documents"][-1]["number"]


def newest(gate):
    with gate.ledger() as db:
        return tuple(db.execute("SELECT max(rid), (SELECT max(boot) FROM boot) FROM request_open").fetchone())


@pytest.fixture
def lived(used):
    """Backed up with one invoice; then two more starts, five requests and two invoices."""
    used.month = this_month()
    assert issue(used).endswith("000001")
    used.copy = used.dir / "copy.db"
    used.ask("backup", used.copy)
    for _ in range(2):
        used.terminate()
        used.start_daemon()
        used.wait_backend()
        assert used.chat(used.api_key, "#tokens=2").status == 200
        issue(used)
    used.given = newest(used)
    used.terminate()
    return used


def check_nothing_is_given_twice(gate, boots_known=True):
    gate.start_daemon()
    gate.wait_backend()
    assert gate.chat(gate.api_key, "#tokens=1").status == 200
    rid, boot = newest(gate)
    assert rid > gate.given[0] and boot > gate.given[1]
    assert issue(gate).endswith("000004")
    with gate.ledger() as db:
        assert [tuple(row) for row in db.execute("SELECT series, first, last FROM lost_number")] == \
            [("INV-" + gate.month[:4], 2, 3)]
        assert db.execute("SELECT count(*) FROM settlement").fetchone()[0] == 4


@pytest.mark.short
def test_what_was_given_after_the_backup_is_not_given_again(lived):
    done = restore(lived, lived.copy)
    assert done.returncode == 0, done.stderr
    assert "documents 2 to 3" in done.stdout and "ledger.before-" in done.stdout
    aside = [p for p in lived.state.iterdir() if p.name.startswith("ledger.before-") and p.suffix == ".db"]
    assert len(aside) == 1 and rows(aside[0], "SELECT count(*) FROM settlement") == [(5,)]
    check_nothing_is_given_twice(lived)


def test_a_new_machine_is_told_what_was_given(lived):
    """Nothing is left of the store but the backup: the operator says what the customers have."""
    for path in lived.state.glob("ledger.*"):
        path.unlink()
    done = restore(lived, lived.copy)
    assert done.returncode == 1 and "--issued" in done.stderr
    assert not (lived.state / "ledger.db").exists()
    done = restore(lived, lived.copy, "--issued", f"INV-{lived.month[:4]}=3")
    assert done.returncode == 0, done.stderr
    check_nothing_is_given_twice(lived)


def test_a_store_that_cannot_be_read_says_nothing(lived):
    (lived.state / "ledger.db").write_bytes(b"\x13" * 8192)
    done = restore(lived, lived.copy)
    assert done.returncode == 1 and "--issued" in done.stderr
    assert (lived.state / "ledger.db").read_bytes() == b"\x13" * 8192
    number = f"INV-{lived.month[:4]}-000003"  # as it stands on the document
    done = restore(lived, lived.copy, "--issued", number)
    assert done.returncode == 0, done.stderr
    check_nothing_is_given_twice(lived)


def test_no_restore_under_a_running_daemon(used):
    used.ask("backup", used.dir / "copy.db")
    done = restore(used, used.dir / "copy.db")
    assert done.returncode == 1 and "another daemon" in done.stderr
    assert used.chat(used.api_key, "#tokens=1").status == 200


def test_requests_in_flight_at_the_backup_cost_nothing(used):
    stream = used.stream(used.api_key, "#tokens=400 #delay=100", max_tokens=400)
    next(stream.events())
    answer = used.ask("backup", used.dir / "copy.db")
    assert answer["requests"] == 4 and answer["audit"]["ok"]
    stream.close()
    wait_until(lambda: used.open_holds() == 0, what="the end of the stream")
    used.terminate()
    done = restore(used, used.dir / "copy.db")
    assert done.returncode == 0 and "1 of them in flight" in done.stdout, done.stdout + done.stderr
    used.start_daemon()
    assert [s["outcome"] for s in used.settlements()] == ["ok"] * 3 + ["orphan_0"]
    assert used.settlements()[-1]["amount_atoms"] == 0


@pytest.mark.parametrize("what, word", [("text", "not a database"), ("none", "unable to open"),
                                        ("flipped", "sqlite"), ("other", "not a maasgate store")])
def test_what_is_no_backup_changes_nothing(used, what, word):
    file = used.dir / "copy.db"
    if what == "text":
        file.write_text("a letter to somebody\n" * 999)
    elif what == "other":
        db = sqlite3.connect(file)
        db.executescript("CREATE TABLE t(x); INSERT INTO t VALUES (1); PRAGMA user_version=7;")
        db.close()
    elif what == "flipped":
        used.ask("backup", file)
        flip_pages(file)
    used.terminate()
    before = (used.state / "ledger.db").read_bytes()
    done = restore(used, file)
    assert done.returncode == 1 and word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert (used.state / "ledger.db").read_bytes() == before
    used.start_daemon()


def test_an_interrupted_restore_is_ended_first(lived):
    """Between the renames nothing starts; the next restore ends what was begun."""
    done = restore(lived, lived.copy)
    assert done.returncode == 0, done.stderr
    (lived.state / "ledger.db").rename(lived.state / "ledger.restore")
    (lived.state / "ledger.restoring").write_text("")
    with pytest.raises(AssertionError, match="restore .* was interrupted"):
        lived.start_daemon()
    done = restore(lived, lived.copy)
    assert done.returncode == 0, done.stderr
    check_nothing_is_given_twice(lived)


@pytest.mark.parametrize("words", [("--issued", "nonsense"), ("--issued", "INV-2026=x"), ("--issued", "=4"), ("--issued", "MG-2026=9"), ("--issued", "INV-26=9")])
def test_numbers_that_are_none(lived, words):
    done = restore(lived, lived.copy, *words)
    assert done.returncode == 1 and ("SERIES=LAST" in done.stderr or "invoice_series" in done.stderr)
    lived.start_daemon()


def test_audit_of_a_file_of_an_older_version(tmp_path):
    """It stays as it is; a copy of it is read, and removed."""
    file = tmp_path / "old.db"
    texts = [path.read_text() for path in sorted((ROOT / "billing" / "schema").glob("*.sql"))[:12]]
    db = sqlite3.connect(file)
    db.executescript("PRAGMA application_id=0x6d616173; PRAGMA user_version=12;" + "".join(texts))
    db.execute("INSERT INTO meta VALUES (1, 'USD', 0)")
    db.execute("INSERT INTO boot VALUES (1, 0, 0, 0, 1)")
    db.commit()
    db.close()
    before = file.read_bytes()
    done = subprocess.run([DAEMON, "--audit", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0 and '"ok": true' in done.stdout, done.stderr
    assert file.read_bytes() == before and os.listdir(tmp_path) == ["old.db"]
    (tmp_path / "old.db.audit").write_text("somebody's")
    done = subprocess.run([DAEMON, "--audit", file], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and "old.db.audit" in done.stderr
    assert (tmp_path / "old.db.audit").read_text() == "somebody's"


def test_audit_of_a_file(used):
    used.ask("backup", used.dir / "copy.db")
    done = subprocess.run([DAEMON, "--audit", used.dir / "copy.db"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0 and '"ok": true' in done.stdout
    done = subprocess.run([DAEMON, "--audit", used.dir / "none.db"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1

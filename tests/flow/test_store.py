"""The store as its operator keeps it: copies of it while it is in use, and what is made of them."""
import hashlib
import os
import sqlite3
import subprocess
import threading

import pytest
from gate import BUILD, SLOW

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

"""A disk that is full, a sync that fails, a clock that goes wrong: through the daemon that is shipped.

The disk is a small file system where it may be mounted (root), and libfault.so everywhere: a library
that is loaded before the daemon's own and says what a full disk says (tests/faults/preload).
"""
import concurrent.futures
import contextlib
import datetime
import errno
import mmap
import os
import struct
import subprocess
import time

import pytest
from gate import BUILD, SLOW, Gate, wait_until
from load import Journal
from test_kill9 import reconcile

RESERVE_BYTES = 16 << 20
HOUR_US = 3600 * 1000000


class Control:
    """The four numbers of libfault.so; a daemon that is started with `env` looks at them."""

    FIELDS = ["room", "clock_us", "sync_error", "syncs"]

    def __init__(self, gate):
        path = gate.dir / "fault.control"
        path.write_bytes(struct.pack("=4q", -1, 0, 0, 0))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)
        gate.env = {"LD_PRELOAD": str(BUILD / "libfault.so"), "MAASFAULT_CONTROL": str(path),
                    "MAASFAULT_DIR": str(gate.state)}

    def set(self, **values):
        for name, value in values.items():
            struct.pack_into("=q", self.map, 8 * self.FIELDS.index(name), value)

    def get(self, name):
        return struct.unpack_from("=q", self.map, 8 * self.FIELDS.index(name))[0]


# ---- disks ----

class FaultDisk:
    """Full when it is told to be."""

    def __init__(self, gate):
        self.control = Control(gate)

    def fill(self):
        self.control.set(room=0)

    def empty(self):
        self.control.set(room=-1)

    def remove(self):
        pass


class RealDisk:
    """A file system of 64 MiB; its last byte is taken by a file."""

    def __init__(self, gate):
        self.state, self.ballast = gate.state, gate.state / "ballast"

    @classmethod
    def mount(cls, gate):
        """On a loop device, else in memory; None: neither is allowed here."""
        gate.state.mkdir(mode=0o700)
        image = gate.dir / "image"
        with open(image, "wb") as f:
            f.truncate(64 << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, check=False).returncode == 0 \
            if os.geteuid() == 0 else False
        for words in (["-o", "loop", image], ["-t", "tmpfs", "-o", "size=64m", "none"]):
            if (made or words[0] == "-t") and subprocess.run(
                    ["mount", *words, gate.state], capture_output=True, check=False).returncode == 0:
                gate.state.chmod(0o700)
                print(f"mounted: {words}")
                return cls(gate)
        gate.state.rmdir()
        return None

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while f.write(b"\0" * size):
                        pass

    def empty(self):
        self.ballast.unlink()

    def remove(self):
        subprocess.run(["umount", self.state], check=False, capture_output=True)


@pytest.fixture(params=["preloaded", "mounted"])
def disk(request):
    """(a daemon, its disk).  Where nothing may be mounted both are libfault.so, and it is said."""
    g = Gate()
    made = RealDisk.mount(g) if request.param == "mounted" else None
    if request.param == "mounted" and not made:
        print("nothing may be mounted here: libfault.so stands in")
    made = made or FaultDisk(g)
    try:
        yield g.start(), made
        g.stop()
    finally:
        g.abandon()
        made.remove()


def refused(gate, key):
    """The answer of a ledger that cannot be written, after those that still fitted."""
    for _ in range(2000):
        a = gate.chat(key, "#tokens=1 x")
        if a.status != 200:
            break
    assert (a.status, a.code) == (503, "metering_unavailable"), a
    assert int(a.headers["retry-after"]) >= 1
    return a


def test_disk_full(disk):
    """What runs ends and is settled, nothing new begins, and room is all that it needs to go on."""
    g, made = disk
    key = g.key()
    reserve = g.state / "ledger.reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    running = [g.stream(key, "#delay=40 #tokens=200 x") for _ in range(20)]
    for s in running:
        s.read(2)
    made.fill()
    refused(g, key)
    assert g.get("/readyz").status == 503
    for s in running:
        assert s.rest()[-1] == "[DONE]"
        assert g.settlement(s.request_id)["outcome"] == "ok"
        s.close()
    assert not reserve.exists(), "what ran was written without the reserve: the disk was not full"
    refused(g, key)
    made.empty()
    wait_until(lambda: g.chat(key, "#tokens=1 x").status == 200, 15, "the return after room")
    assert reserve.stat().st_size == RESERVE_BYTES and g.get("/readyz").status == 200
    g.daemon.wait_line("ledger_writable_again")
    assert "ledger_not_writable" in g.daemon.text()
    wait_until(lambda: g.open_holds() == 0, what="the end of all requests")
    reconcile(g, None)


def test_whose_settlement_could_not_be_synced(make_gate):
    """Whole answers that were held back and never sent: an error, and nothing to pay."""
    g = make_gate(start=False)
    control = Control(g)
    g.start()
    key, journal = g.key(), Journal(g.dir / "client.journal")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(g.chat, key, "#delay=50 #tokens=100 x") for _ in range(8)]
        wait_until(lambda: g.running_requests() == 8, what="eight requests")
        control.set(sync_error=errno.EIO)
        for a in (f.result() for f in asked):
            assert (a.status, a.code) == (503, "metering_unavailable"), a
            journal.add(request_id=a.headers["x-request-id"], status=a.status, complete=True, usage=None, stream=False)
    control.set(sync_error=0)
    g.kill_daemon()
    g.start_daemon()
    g.wait_backend()
    reconcile(g, g.dir / "client.journal")


def test_a_failed_sync_is_the_end(make_gate):
    """The kernel may have dropped what it could not write: nothing is tried again, even when it would work."""
    g = make_gate(start=False)
    control = Control(g)
    g.start()
    key = g.key()
    before = [g.chat(key, "#tokens=2 x").headers["x-request-id"] for _ in range(5)]
    s = g.stream(key, "#delay=100 #tokens=60 x")
    s.read(2)
    control.set(sync_error=errno.EIO)
    refused(g, key)
    assert s.rest()[-1] != "[DONE]", "the end of an answer came that is not on disk"
    control.set(sync_error=0)
    refused(g, key)
    assert control.get("syncs") == 1, "a sync that failed was tried again"
    assert g.get("/readyz").status == 503
    g.kill_daemon()
    g.start_daemon()
    g.wait_backend()
    assert g.chat(key, "#tokens=2 x").status == 200
    assert {g.settlement(rid)["outcome"] for rid in before} == {"ok"}
    assert g.open_holds() == 0
    reconcile(g, None)


# ---- clocks ----

def months(offset_us=0):
    """This month and the first moment of the next one, by the daemon's clock."""
    now = datetime.datetime.now(datetime.timezone.utc)
    after = datetime.datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=datetime.timezone.utc)
    return now.strftime("%Y-%m"), int((after - now).total_seconds() * 1000000)


def stamps(gate):
    with gate.ledger() as db:
        return [row[0] for row in db.execute("SELECT settled_us FROM settlement ORDER BY rid")]


def test_the_clock_steps(make_gate):
    g = make_gate(start=False)
    control = Control(g)
    g.start()
    first, second = g.key("first"), g.key("second")
    month, to_next = months()
    for key in (first, second):
        assert g.chat(key, "#tokens=2 x").status == 200
    done = g.cli("invoice", month, "--org", "first", "--issue", check=False)
    assert done.returncode == 1 and "has not ended" in done.stderr

    control.set(clock_us=to_next + HOUR_US)  # the month has ended, a period begins
    assert g.chat(first, "#tokens=2 x").status == 200
    invoice = g.ask("invoice", month, "--org", "first", "--issue")
    assert sum(line["quantity"] for line in invoice["lines"] if line["meter"] == "requests") == 1

    control.set(clock_us=to_next + HOUR_US - 90 * 1000000)  # back by more than a minute
    assert g.chat(first, "#tokens=2 x").status == 200
    g.daemon.wait_line("clock_went_back")
    assert 80000 < g.status()["ledger"]["clock_behind_ms"] <= 90000
    assert 80 < g.metric("maasgate_ledger_clock_behind_seconds") <= 90
    for more in ([], ["--until-now"]):
        done = g.cli("invoice", month, "--org", "second", "--issue", *more, check=False)
        assert done.returncode == 1 and "no period is closed until it is right" in done.stderr, done
    g.terminate()  # what was stamped is known after a restart, too
    g.start_daemon()
    g.wait_backend()
    assert g.cli("invoice", month, "--org", "second", "--issue", check=False).returncode == 1
    g.daemon.wait_line("clock_went_back", 2)

    control.set(clock_us=to_next + HOUR_US - 30 * 1000000)  # less than a minute: said, and no harm
    wait_until(lambda: g.status()["ledger"]["clock_behind_ms"] < 40000, what="the clock")
    assert g.ask("invoice", month, "--org", "second", "--issue")["number"].endswith("000002")
    control.set(clock_us=to_next + 2 * HOUR_US)
    g.daemon.wait_line("clock_right_again")
    assert g.chat(first, "#tokens=2 x").status == 200
    found = stamps(g)
    assert found == sorted(set(found)), "a stamp went back"
    reconcile(g, None)


def test_limits_and_streams_do_not_see_the_wall_clock(make_gate):
    """An hour forth and back: no limit opens, no answer is cut, no duration is negative."""
    g = make_gate(start=False)
    control = Control(g)
    g.start()
    tiny, key = g.key("limits", rpm=3), g.key()
    assert [g.chat(tiny, "#tokens=1 x").status for _ in range(4)] == [200, 200, 200, 429]
    s = g.stream(key, "#delay=50 #tokens=30 x")
    s.read(2)
    for hours in (1, -1, 0):
        control.set(clock_us=hours * HOUR_US)
        assert g.chat(tiny, "#tokens=1 x").status == 429
        time.sleep(0.2)
    assert s.rest()[-1] == "[DONE]"
    assert all(0 <= row["duration_us"] < 60 * 1000000 * SLOW for row in g.settlements())
    reconcile(g, None)

"""The units of systemd/, as they are installed: systemd's own checks, and what they run, run as they run it."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from gate import BUILD, ROOT, SLOW

UNITS = sorted(path.name for path in (ROOT / "systemd").iterdir())
EXPOSED = {"maasgated.service": 1.5, "maasgate-refworker.service": 0.5, "maasgated-backup.service": 2.0}
SYSTEM = pathlib.Path("/lib/systemd/system")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root file system with what `make install` puts there, and what is there on every machine."""
    root = tmp_path_factory.mktemp("root")
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for path in [*SYSTEM.glob("*.target"), *SYSTEM.glob("*.slice")]:
        shutil.copy(path, units, follow_symlinks=False)
    for unit in UNITS:
        shutil.copy(ROOT / "systemd" / unit, units)
    for program in ["usr/bin/maasgated", "usr/bin/maasgate", "usr/bin/maasgate-refworker", "bin/sh", "usr/bin/find"]:
        path = root / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/true\n")
        path.chmod(0o755)
    return root


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60 * SLOW, check=False)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong(root, unit):
    done = analyze("verify", "--man=no", f"--root={root}", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done


@pytest.mark.parametrize("unit", [u for u in UNITS if u.endswith(".service")])
def test_a_service_may_do_little(root, unit):
    done = analyze("security", "--offline=true", f"--root={root}", unit)
    level = re.search(r"Overall exposure level for .*: ([\d.]+) ", done.stdout)
    assert level and float(level[1]) <= EXPOSED[unit], done.stdout[-3000:]


def commands(unit, key):
    """What a line of the unit runs, with our programs and the given folder in the place of the installed ones."""
    text = (ROOT / "systemd" / unit).read_text()
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(key + "=")]


def run(line, gate, *before):
    """As systemd would: without a shell, %% is %, and nothing of this process's environment but the admin socket."""
    import shlex
    line = line.replace("/usr/bin/maasgate", f"{BUILD}/maasgate").replace("/var/lib/maasgate", str(gate.state))
    words = [w.replace("%%", "%") for w in shlex.split(line)]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAASGATE_ADMIN": str(gate.socket)}
    return subprocess.run([*before, *words], env=env, capture_output=True, text=True, timeout=60 * SLOW, check=False)


def test_a_reload_fails_when_the_file_is_wrong(make_gate):
    """systemctl reload waits for it and shows what is wrong; a signal would have been a success."""
    g = make_gate(worker=False)
    (line,) = commands("maasgated.service", "ExecReload")
    assert run(line, g).returncode == 0
    g.write_conf(log_level="loud")
    done = run(line, g)
    assert done.returncode == 1 and re.search(r"maasgate\.yaml:\d+:\d+: log_level: 'loud' is not one of", done.stderr), done
    g.write_conf()


def test_the_nightly_backup(make_gate):
    """It makes one, keeps what is young, removes what is old; with the capability that its unit has and no other."""
    g = make_gate(worker=False)
    there = g.state / "backup"
    there.mkdir()
    for name, days in [("old.db", 15), ("young.db", 13), ("old.txt", 15), ("cut.db.part", 2)]:
        (there / name).write_text("x")
        os.utime(there / name, (os.stat(there).st_mtime - days * 86400 - 60,) * 2)
    before = []
    if os.geteuid() == 0:
        (capabilities,) = commands("maasgated-backup.service", "CapabilityBoundingSet")
        before = ["setpriv", "--bounding-set", "-all,+" + capabilities.removeprefix("CAP_").lower(), "--no-new-privs"]
    for key in ("ExecStart", "ExecStartPost"):
        for line in commands("maasgated-backup.service", key):
            done = run(line, g, *before)
            assert done.returncode == 0, done
    names = sorted(path.name for path in there.iterdir())
    assert len(names) == 3 and names[1:] == ["old.txt", "young.db"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z\.db", names[0]), names

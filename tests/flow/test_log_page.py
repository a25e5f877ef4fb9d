"""docs/log.md names each event that the daemon's source can log, with its level, and no other."""
import re

from gate import ROOT

LEVELS = {"bug": "error", "env": "error", "peer": "warning", "warning": "warning", "info": "info", "debug": "debug"}
# Events whose name is made of parts: (what the source has, what comes out).
MADE = {("gateway/admin_backends.c", "backend_%s"): ["backend_enabled", "backend_drained", "backend_disabled"],
        ("gateway/courier.c", "%s"): ["alert_given_up", "alert_not_delivered"],
        ("gateway/recount_judge.c", "%s"): ["usage_mismatch"]}


def logged():
    found = set()
    for path in (ROOT / "gateway").glob("*.c"):
        for kind, event in re.findall(r"\blog_(\w+)\(\s*\"([a-z_%]+)", path.read_text()):
            names = MADE.get((f"gateway/{path.name}", event), [event])
            found |= {(name, LEVELS[kind]) for name in names}
    return found


def test_the_page_is_the_source():
    page = (ROOT / "docs/log.md").read_text()
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| \S.* \|$", page, re.M)
    assert len(told) == len(set(told)) > 40
    assert set(told) == logged()


def test_parts_of_names_are_what_the_source_has():
    for (path, _), names in MADE.items():
        text = (ROOT / path).read_text() + (ROOT / "gateway/standing.c").read_text()
        assert all(f'"{name}"' in text or f'"{name.removeprefix("backend_")}"' in text for name in names), names


def test_only_the_gateway_logs():
    for room in ("base", "conf", "auth", "billing", "backends", "cli"):
        for path in (ROOT / room).glob("*.c"):
            calls = re.findall(r"\blog_(?:bug|env|peer|warning|info)\(", path.read_text())
            assert not calls or path.name == "log.c", path

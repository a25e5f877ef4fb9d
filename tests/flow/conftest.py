"""Fixtures of the flow tests; what a Gate promises is in gate.py."""
import time

import fault_backend
import pytest
from fault_backend import FaultBackend
from gate import Gate

DAY, ROOM = 86400, 120  # seconds


@pytest.fixture(scope="module")
def gate():
    """One daemon with one of everything, shared by the tests of a file."""
    with Gate() as g:
        g.start()
        yield g


@pytest.fixture(scope="module")
def key(gate):
    return gate.key("shared")


@pytest.fixture
def make_gate():
    """Makes daemons that live for one test."""
    made = []

    def make(start=True, **options):
        g = Gate(**options)
        made.append(g)
        return g.start() if start else g

    try:
        yield make
        for g in reversed(made):
            g.stop()
    finally:
        for g in made:
            g.abandon()


@pytest.fixture
def fault_gate(make_gate, tmp_path):
    """Makes (gate, key, scripted backend) over one transport; tests/faults/README.md has the scripts."""
    backends = []

    def make(transport, script=None, options="", catalog=fault_backend.CATALOG, fields=None, concurrency=512, **settings):
        b = FaultBackend.over(transport, tmp_path, script)
        backends.append(b)
        g = make_gate(catalog=catalog, worker=False, settings=settings,
                      fields={"kind": b.kind, "where": b.where, "options": options,
                              "concurrency": concurrency, **(fields or {})})
        g.wait_backend("fault")
        return g, g.key(), b
    yield make
    for b in backends:
        if b.running():
            b.stop()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol():
    """No test begins just before midnight, UTC: a day, a month and a budget's period would end in the middle of it."""
    left = DAY - time.time() % DAY
    if left < ROOM:
        time.sleep(left + 1)
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of its daemons' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Gate) and value.daemon and value.daemon.log.exists():
                report.sections.append(("maasgated", value.daemon.tail()))

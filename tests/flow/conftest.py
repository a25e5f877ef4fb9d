"""Fixtures of the flow tests; what a Gate promises is in gate.py."""
import pytest
from gate import Gate


@pytest.fixture(scope="module")
def gate():
    """One daemon with one of everything, shared by the tests of a file."""
    g = Gate()
    try:
        g.start()
        yield g
        g.stop()
    finally:
        g.abandon()


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


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of its daemons' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Gate) and value.daemon and value.daemon.log.exists():
                report.sections.append(("maasgated", value.daemon.tail()))

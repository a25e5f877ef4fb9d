"""fault-backend as a test holds it: its listeners, its script, and its journal, which is the truth.

    b = FaultBackend(directory, "http:0", "shm:" + path)
    b.play({"do": [{"tokens": 3}, "hang"]})
    b.rows("start"), b.rows("cancel", rid=...)

tests/faults/README.md is the language of scripts.
"""
import itertools
import json

from gate import BUILD, Process, wait_until


class FaultBackend(Process):
    numbers = itertools.count()

    def __init__(self, directory, *listen, script=None):
        number = next(self.numbers)
        self.script, self.journal = directory / f"fault{number}.json", directory / f"fault{number}.journal"
        self.listen = listen
        self.script.write_text(json.dumps(script) if script else
                               '{"rules": [{"do": [{"wait": "asked"}, "role", {"tokens": "asked"}, "final"]}]}')
        where = [word for place in listen for word in ("--listen", place)]
        super().__init__([BUILD / "fault-backend", *where, "--script", self.script, "--journal", self.journal],
                         directory, f"fault{number}")
        self.scripts = 1
        wait_until(self.is_ready, what="the fault backend")

    def is_ready(self):
        assert self.running(), f"the fault backend did not start\n{self.tail()}"
        words = self.out.read_text().split()
        self.ports = [int(w) for w in words[1:]]
        return words[:1] == ["ready"] and len(self.ports) == len(self.listen)

    @property
    def port(self):
        """Of the first listener that has one."""
        return next(p for p in self.ports if p)

    def play(self, script):
        """From now on this script; the requests under way keep theirs."""
        self.script.write_text(json.dumps(script))
        self.signal(1)
        self.scripts += 1
        wait_until(lambda: len(self.rows("script")) == self.scripts or not self.running(), what="the new script")
        assert self.running(), self.tail()

    def rows(self, event=None, rid=None):
        """Journal lines, in order; a last line that is being written is left out."""
        text = self.journal.read_text() if self.journal.exists() else ""
        rows = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [r for r in rows if event in (None, r["event"]) and rid in (None, r.get("rid"))]

    def wait_row(self, event, rid=None, seconds=10):
        return wait_until(lambda: self.rows(event, rid), seconds, f"'{event}' in the backend's journal")[-1]

    def stop(self):
        self.signal(15)
        code = self.wait()
        self.assert_no_report()
        return code

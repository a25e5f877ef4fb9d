"""docs/backends.md: its configurations are valid, and its examples run as they are printed."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
import tiny_gguf
from engines import ROOT, environment, llama_server
from gate import BUILD, SLOW, free_port

PAGE = (ROOT / "docs" / "backends.md").read_text()
YAML = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.S | re.M)
HOME = "/tmp/maasgate-example"  # of the examples; here each run has its own


def printed(name):
    return re.search(rf"<!-- runs: {name} -->\n```sh\n(.*?)^```", PAGE, re.S | re.M)[1]


@pytest.mark.parametrize("text", YAML, ids=lambda text: re.search(r"backends:\n +(\w+):", text)[1])
def test_configurations_are_valid(text, tmp_path):
    for secret in set(re.findall(r"/etc/maasgate/(\S+)", text)):
        (tmp_path / secret).write_text("a key\n")
        (tmp_path / secret).chmod(0o600)
    conf = tmp_path / "maasgate.yaml"
    conf.write_text(text.replace("/etc/maasgate/", f"{tmp_path}/"))
    done = subprocess.run([BUILD / "maasgated", "--check", conf], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_files_are_printed():
    files = sorted((ROOT / "examples").glob("*.yaml"))
    assert files and all(f.read_text() in YAML for f in files)
    sources = [*(ROOT / "examples").glob("*.py"), *(ROOT / "examples").glob("*.c")]
    assert all(f"examples/{f.name}" in PAGE for f in sources)
    assert all(len(f.read_text().splitlines()) <= 65 for f in [*files, *sources])


def test_installed(tmp_path):
    """Where `make install` puts them, the library, its header and the Python package find each other."""
    prefix = tmp_path / "usr/local"
    subprocess.run(["make", "-C", ROOT, "install", f"DESTDIR={tmp_path}", "PREFIX=/usr/local"], check=True,
                   capture_output=True)
    package, = prefix.glob("lib/python3*/dist-packages")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MAASWORKER"))}
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", "import maasworker; print(maasworker._worker._c.find_library())"],
                          env={**env, "PYTHONPATH": str(package)}, capture_output=True, text=True)
    assert done.stdout.strip() == str((prefix / "lib/libmaasworker.so.0").resolve()), done.stderr
    subprocess.run(["cc", ROOT / "examples/worker-echo.c", "-o", tmp_path / "echo", f"-I{prefix}/include",
                    f"-L{prefix}/lib", "-lmaasworker"], check=True)


class Example:
    """A folder like the source tree, in which what the page prints is run: the same words, but for
    the ports, which have to be free, and the example's folder."""

    def __init__(self, folder):
        self.root = folder / "tree"
        self.home = folder / "home"
        self.root.mkdir()
        for name in ("build", "bindings", "backends"):
            (self.root / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "examples", self.root / "examples")
        self.changes = {HOME: str(self.home), ":8080": f":{free_port()}", "8081": str(free_port())}
        for f in (self.root / "examples").iterdir():
            f.write_text(self.changed(f.read_text()))
        tools = folder / "tools"
        tools.mkdir()
        (tools / "llama-server").symlink_to(llama_server())
        (tools / "make").symlink_to(shutil.which("true"))  # it has been made
        self.environment = environment(tools)
        for name in ("PYTHONPATH", "MAASWORKER_LIBRARY"):
            del self.environment[name]  # the page says how to set them

    def changed(self, text):
        for before, after in self.changes.items():
            text = text.replace(before, after)
        return text

    def run(self, name):
        script = "set -euo pipefail\n" + self.changed(printed("setup") + printed(name)) + "wait || true\n"
        process = subprocess.Popen(["bash", "-c", script], cwd=self.root, env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=600 * SLOW)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, out + err
        print(out, err)
        return out.splitlines()


@pytest.fixture
def example(tmp_path_factory):
    return Example(tmp_path_factory.mktemp("x"))


def answers(lines):
    return [json.loads(line) for line in lines if line.startswith("{")]


def usage_of(lines):
    """(requests, {meter: quantity}) of the one model in what `maasgate usage` printed."""
    row = lines[[line.startswith("MODEL ") for line in lines].index(True) + 1].split()
    return int(row[1]), {name: int(n) for name, n in (word.rstrip(",").split("=") for word in row[3:])}


def test_llama_cpp(example):
    tiny_gguf.write(example.root / "model.gguf")
    lines = example.run("llama-cpp")
    answer, = answers(lines)
    assert answer["choices"][0]["message"]["content"] and answer["usage"]["completion_tokens"] <= 32
    events = [line[6:] for line in lines if line.startswith("data: ")]
    assert events[-1] == "[DONE]" and len(events) > 3
    requests, used = usage_of(lines)
    output = answer["usage"]["completion_tokens"] + sum('"content":"' in e for e in events)
    assert (requests, used["output_text_tokens"]) == (2, output)


def test_embed(example):
    lines = example.run("embed")
    answer, = answers(lines)
    assert len(answer["data"]) == 2 and len(answer["data"][0]["embedding"]) == 256
    assert usage_of(lines) == (1, {"input_uncached_tokens": answer["usage"]["prompt_tokens"]})


def test_echo(example):
    lines = example.run("echo")
    answer, = answers(lines)
    said = json.loads(answer["choices"][0]["message"]["content"])
    assert said["messages"] == [{"role": "user", "content": "Hello"}]
    assert usage_of(lines) == (1, {"input_uncached_tokens": answer["usage"]["prompt_tokens"],
                                   "output_text_tokens": answer["usage"]["completion_tokens"]})

"""An HTTP/1.1 upstream that sends exactly the bytes of a script, and checks what it is sent.

The last message of a request names its script: `case NAME` plays SCRIPTS[NAME], `canary WORD` is
answered well, with the word.  `served` holds (connection, prompt) of each request in order, `wrong`
whatever was not as a gateway's request has to be, `played` the scripts that were said to their end.
"""
import contextlib
import json
import re
import socket
import struct
import threading
import time

FIN, RESET, HANG, KEEP = "fin", "reset", "hang", "keep"
ALLOWED = {b"host", b"user-agent", b"x-request-id", b"cdn-loop", b"content-type", b"accept", b"accept-encoding",
           b"authorization", b"content-length", b"x-request-timeout-ms"}


def answer(content, usage=True):
    body = {"id": "chatcmpl-raw", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    if usage:
        body["usage"] = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return json.dumps(body).encode()


def head(*lines, status=b"HTTP/1.1 200 OK"):
    return b"".join(line + b"\r\n" for line in (status, b"Content-Type: application/json", *lines)) + b"\r\n"


def sized(body, *lines, status=b"HTTP/1.1 200 OK"):
    return head(b"Content-Length: %d" % len(body), *lines, status=status) + body


class RawUpstream:
    def __init__(self, scripts):
        """A script is (pieces, end): a piece is bytes, a float (seconds), or bytes to repeat (bytes, times)."""
        self.scripts = scripts
        self.served, self.wrong, self.lock = [], [], threading.Lock()
        self.count, self.played, self.early = 0, {}, None
        self.stopping = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.socket.accept()
                self.count += 1
                threading.Thread(target=self.serve, args=(c, self.count), daemon=True).start()

    def stop(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    # ---- what comes ----

    def check(self, head_bytes, body):
        lines = head_bytes.split(b"\r\n")
        names = [line.split(b":")[0].lower() for line in lines[1:]]
        problems = [n for n in names if n not in ALLOWED] + [n for n in set(names) if names.count(n) > 1]
        if not re.fullmatch(rb"POST /v1/[a-z/]+ HTTP/1\.1", lines[0]) or b"\n" in head_bytes.replace(b"\r\n", b""):
            problems.append(lines[0])
        if problems:
            with self.lock:
                self.wrong.append((problems, head_bytes))
        return json.loads(body)

    def request(self, c, rest):
        """(prompt, what came behind it) of the next request; None at the end.  Of a case that answers early the
        body stays unread, and what is left of it is given as a number."""
        data = rest
        while b"\r\n\r\n" not in data:
            more = c.recv(65536)
            if not more:
                return None, b""
            data += more
        top, _, data = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", top)[1])
        if b"x-request-id" not in top:
            self.wrong.append(top)
        if length > 500_000:  # only those of the cases that answer early
            return f"case {self.early}", length - len(data)
        while len(data) < length:
            more = c.recv(65536)
            if not more:
                return None, b""
            data += more
        body = self.check(top, data[:length])
        return body["messages"][-1]["content"], data[length:]

    # ---- what is said ----

    def play(self, c, pieces):
        for piece in pieces:
            if isinstance(piece, float):
                time.sleep(piece)
            elif isinstance(piece, tuple):
                for _ in range(piece[1]):
                    c.sendall(piece[0])
            else:
                c.sendall(piece)

    def end(self, c, how):
        if how == RESET:
            time.sleep(0.05)  # what is on its way has arrived, and a reset does not overtake it
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == HANG:
            c.settimeout(None)
            while c.recv(65536):
                pass

    def serve(self, c, number):
        c.settimeout(60)
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent is there, and not when it is acknowledged
        rest = b""
        with contextlib.suppress(OSError), c:
            while not self.stopping.is_set():
                prompt, rest = self.request(c, rest)
                if prompt is None:
                    return
                with self.lock:
                    self.served.append((number, prompt))
                kind, _, word = prompt.partition(" ")
                pieces, how = ([sized(answer(word))], KEEP) if kind == "canary" else self.scripts[word.split(" ")[0]]
                self.play(c, pieces)
                self.played[word.split(" ")[0]] = True
                if how != KEEP:
                    self.end(c, how)
                    return
                while isinstance(rest, int):
                    rest = rest - len(c.recv(min(rest, 65536))) or b""

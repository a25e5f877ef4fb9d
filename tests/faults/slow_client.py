"""Clients that take their answers slowly, stop in the middle, or never read: many on one thread.

    with SlowClients(port) as slow:
        slow.add(request_bytes)                     never reads a byte
        slow.add(request_bytes, rate=100)           100 bytes a second
        slow.add(request_bytes, stop_at=5000)       up to there, then nothing
"""
import json
import selectors
import socket
import threading
import time

TICK = 0.05


def chat_request(key, content, model="base/chat", path="/v1/chat/completions", **fields):
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": content}], **fields})
    return (f"POST {path} HTTP/1.1\r\nHost: slow\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


class Slow:
    def __init__(self, sock, rate, stop_at):
        self.socket, self.rate, self.stop_at = sock, rate, stop_at
        self.got, self.began, self.ended = 0, time.monotonic(), False

    def may_read(self):
        most = 65536 if self.rate is None else int((time.monotonic() - self.began) * self.rate) - self.got
        return most if self.stop_at is None else min(most, self.stop_at - self.got)


class SlowClients:
    def __init__(self, port, receive_buffer=4096):
        self.port, self.receive_buffer = port, receive_buffer
        self.clients, self.over = [], threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def add(self, request, rate=0, stop_at=None):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        s.connect(("127.0.0.1", self.port))
        s.sendall(request)
        s.setblocking(False)
        client = Slow(s, rate, stop_at)
        with self.lock:
            self.clients.append(client)
        return client

    def run(self):
        while not self.over.wait(TICK):
            with self.lock:
                readers = [c for c in self.clients if not c.ended and c.may_read() > 0]
            if readers:
                self.read(readers)

    def read(self, readers):
        with selectors.DefaultSelector() as ready:
            for c in readers:
                ready.register(c.socket, selectors.EVENT_READ, c)
            for key, _ in ready.select(0):
                c = key.data
                try:
                    data = c.socket.recv(c.may_read())
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                c.got += len(data)
                c.ended = not data

    def stop(self):
        self.over.set()
        self.thread.join(10)
        for c in self.clients:
            c.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

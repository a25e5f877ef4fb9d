"""Bytes to the gateway's port, exactly as written, and what comes back."""
import socket
import time

from gate import SLOW

END = b"\r\n"


class Wire:
    """What the peer did: its answers in order, and whether it closed."""

    def __init__(self, data, closed):
        self.data, self.closed, self.answers = data, closed, []
        rest = data
        while rest:
            head, found, rest = rest.partition(b"\r\n\r\n")
            if not found:
                raise AssertionError(f"not a whole answer: {data!r}")
            lines = head.split(END)
            status = int(lines[0].split()[1])
            headers = {}
            for line in lines[1:]:
                name, value = line.split(b":", 1)
                assert name.lower() not in headers, f"{name} twice in {head!r}"
                headers[name.lower()] = value.strip()
            if status == 100:
                self.answers.append((status, headers, b""))
                continue
            size = int(headers.get(b"content-length", b"0"))
            self.answers.append((status, headers, rest[:size]))
            rest = rest[size:]

    @property
    def statuses(self):
        return [status for status, _, _ in self.answers]

    @property
    def final(self):
        """Statuses without the interim 100."""
        return [s for s in self.statuses if s != 100]


def send_raw(port, pieces, expect=None, quiet=5.0, limit=30.0, half_close=False):
    """Sends bytes (a float is a pause) and reads until the peer closes, or `expect` whole answers are there; where
    how many is not known, until nothing comes for `quiet` seconds."""
    if isinstance(pieces, bytes):
        pieces = [pieces]
    with socket.create_connection(("127.0.0.1", port), timeout=limit * SLOW) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    s.sendall(piece)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the peer had heard enough
        return read_wire(s, expect, quiet, limit)


def read_wire(s, expect=None, quiet=5.0, limit=30.0):
    data, closed = b"", False
    end = time.monotonic() + limit * SLOW
    while time.monotonic() < end:
        left = max(0.01, end - time.monotonic())
        s.settimeout(min(quiet * SLOW, left) if data and not expect else left)
        try:
            piece = s.recv(65536)
        except TimeoutError:
            break
        except ConnectionResetError:
            closed = True
            break
        if not piece:
            closed = True
            break
        data += piece
        if expect and whole(data, expect):
            break
    return Wire(data, closed)


def whole(data, expect):
    try:
        wire = Wire(data, False)
    except (AssertionError, ValueError, IndexError):
        return False
    ok = all(len(body) == int(headers.get(b"content-length", b"0"))
             for status, headers, body in wire.answers if status != 100)
    return ok and len(wire.final) >= expect

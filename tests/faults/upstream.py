"""A scripted OpenAI-compatible server: what a backend may do, good or bad."""
import email.parser
import email.policy
import http.server
import json
import socket
import threading
import time


def event(content=None, finish=None, usage=None, model="m", ident="chatcmpl-up"):
    choices = [] if usage else [{"index": 0, "delta": {"content": content} if content else {},
                                 "finish_reason": finish}]
    body = {"id": ident, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
    if usage:
        body["usage"] = usage
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
STREAM = [event("one "), event("two "), event("three"), event(finish="stop"), event(usage=USAGE), DONE]
CUT = "cut"      # close the connection
RESET = "reset"  # close it with a reset
SILENT = (0, {}, [RESET])  # no answer at all, and the connection is reset
WHOLE = {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
         "usage": USAGE}


class Form(dict):
    """A multipart/form-data body as Python's own parser reads it: name -> bytes, or (file name,
    type, bytes) of a file; names that end in [] hold lists."""

    def __init__(self, content_type, body):
        super().__init__()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        assert message.is_multipart() and not message.defects, message.defects
        assert not (message.preamble or "").strip() and not (message.epilogue or "").strip()
        for part in message.iter_parts():
            assert part.get_content_disposition() == "form-data" and not part.defects, part.defects
            name = part.get_param("name", header="content-disposition")
            value = part.get_payload(decode=True)
            if part.get_filename() is not None:
                value = (part.get_filename(), part.get_content_type(), value)
            if name.endswith("[]"):
                self.setdefault(name, []).append(value)
            else:
                assert name not in self, f"{name} twice"
                self[name] = value


def request_of(headers, body):
    """What was sent: an object of JSON or a Form.  Anything else is an error of the gateway's."""
    kind = headers.get("Content-Type", "")
    return Form(kind, body) if kind.startswith("multipart/") else json.loads(body)


class Upstream:
    """Answers every POST by `script(request) -> (status, headers, pieces)`; a piece is bytes, a
    float (a pause in seconds), an Event that is waited for, CUT or RESET.  `seen` holds (path, headers, body) of each."""

    def __init__(self, script=None):
        self.script = script or good
        self.seen, self.gone = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self, (404, {}, []))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.path, dict(self.headers), body))
                outer.answer(self, outer.script(request_of(self.headers, body)))

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler, answer):
        status, headers, pieces = answer
        try:
            if status:
                handler.send_response(status)
                for name, value in headers.items():
                    handler.send_header(name, value)
                handler.end_headers()
            for piece in pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                elif isinstance(piece, threading.Event):
                    piece.wait(60)
                elif isinstance(piece, bytes):
                    handler.wfile.write(piece)
                else:
                    self.cut(handler, piece)
                    return
        except OSError:
            self.gone.append(time.monotonic())
            handler.close_connection = True

    def cut(self, handler, how):
        handler.close_connection = True
        if how == RESET:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        handler.wfile.flush()
        handler.connection.close() if how == RESET else handler.connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def whole(body, status=200, **headers):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status, {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}, [text]


def stream(pieces):
    """Chunked, one piece a chunk."""
    def frame(p):
        return b"%x\r\n%s\r\n" % (len(p), p) if isinstance(p, bytes) else p
    framed = [frame(p) for p in pieces]
    if CUT not in pieces and RESET not in pieces:
        framed.append(b"0\r\n\r\n")
    return 200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}, framed


def good(request):
    return stream(STREAM) if request.get("stream") else whole(WHOLE)


CATALOG = """
backends:
  up:
    transport: http
    address: http://127.0.0.1:{port}/v1
    {options}
models:
  base/chat:
    capabilities: [chat]
    default_output_tokens: 256
    price: {{requests: 0.001, input_uncached_tokens: 0.10/1M, output_text_tokens: 0.40/1M}}
    routes: [{{backend: up, model: m}}]
"""

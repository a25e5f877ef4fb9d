"""Debian's nginx as a test holds it: on loopback, as nobody's service, ended by its pid."""
import itertools
import pathlib
import signal
import socket

from gate import Process, free_port, wait_until


class Nginx(Process):
    """TLS in front of `port`; `version` is what it offers: "http2" or nothing."""

    numbers = itertools.count()

    def __init__(self, directory, authority, port, version="http2", options=""):
        self.port, number = free_port(), next(self.numbers)
        self.dir = directory / f"nginx{number}"
        self.dir.mkdir()
        cert, key = authority.issue(f"nginx{number}", "IP:127.0.0.1,DNS:localhost")
        self.conf = self.dir / "nginx.conf"
        places = "".join(f"    {p}_temp_path {self.dir}/{p};\n" for p in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.conf.write_text(f"""
daemon off;
worker_processes 1;
pid {self.dir}/pid;
error_log {self.dir}/error.log;
events {{ worker_connections 4096; }}
http {{
    log_format how '$server_protocol $status $connection $http_x_request_id';
    access_log {self.dir}/access.log how;
{places}
    upstream model {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_read_timeout 1h;
    send_timeout 1h;
    client_max_body_size 64m;
    client_body_buffer_size 64m;
    server {{
        listen 127.0.0.1:{self.port} ssl {version};
        ssl_certificate {cert};
        ssl_certificate_key {key};
        {options}
        location / {{ proxy_pass http://model; }}
    }}
}}
""")
        super().__init__(["nginx", "-c", self.conf, "-p", self.dir, "-e", self.dir / "error.log"], directory,
                         f"nginx{number}")
        wait_until(self.is_ready, what="nginx")

    def is_ready(self):
        assert self.running(), f"nginx did not start\n{self.tail()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
        except OSError:
            return False
        return True

    def reload(self):
        """New workers; the old ones say GOAWAY and end with their last request."""
        self.signal(signal.SIGHUP)

    def served(self):
        """(protocol, status, connection, request id) of each request that it has finished."""
        path = pathlib.Path(self.dir / "access.log")
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self):
        self.signal(signal.SIGTERM)
        self.wait()

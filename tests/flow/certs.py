"""A small authority for tests, made with the openssl command: files as tests need them."""
import ssl
import subprocess


def run(*words, **more):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60, **more)


class Authority:
    """An own root; `issue` makes NAME.pem and NAME.key beside its ca.pem."""

    def __init__(self, directory, name="root"):
        self.dir = directory
        directory.mkdir(exist_ok=True)
        self.ca, self.key = directory / "ca.pem", directory / "ca.key"
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.ca)

    def issue(self, name, san=None):
        cert, key, request = (self.dir / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
        extensions = self.dir / f"{name}.ext"
        extensions.write_text(f"subjectAltName={san}\n" if san else "extendedKeyUsage=clientAuth\n")
        run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "1",
            "-extfile", extensions, "-out", cert)
        key.chmod(0o600)
        return cert, key

    def server_context(self, asks_client=False, alpn=None):
        """For a server on 127.0.0.1 or localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", "IP:127.0.0.1,DNS:localhost"))
        if asks_client:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

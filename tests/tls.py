"""An endpoint's own certificate, which nobody has signed."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.tools import tool


def new_certificate(folder: Path) -> Path:
    """Make a key for 127.0.0.1 and return its file; the certificate is beside it, with .crt after the name."""
    file = folder / "own.pem"
    subprocess.run(
        [tool("openssl", "apt-get install openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return what a server needs to answer with the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    return context

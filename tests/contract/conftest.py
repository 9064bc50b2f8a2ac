"""AWS's last client of the service (botocore 1.35.47), in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools import missing

#: The interpreter that has it: the Makefile's, unless the environment names another.
PYTHON = Path(
    os.environ.get("STUDIO_BACKUP_CONTRACT_PYTHON") or Path(__file__).parents[2] / ".venv-contract" / "bin" / "python"
)
SCRIPT = Path(__file__).with_name("aws_client.py")

AwsClient = Callable[..., Any]


@pytest.fixture(scope="session")
def aws_client() -> AwsClient:
    """Return what runs aws_client.py with AWS's last client, and gives back what it prints."""
    if not PYTHON.exists():
        missing("AWS's last client is not installed: make .venv-contract/installed")

    def ask(command: str, *arguments: str) -> Any:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        environment |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [PYTHON, SCRIPT, command, *arguments], env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask

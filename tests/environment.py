"""An environment that says nothing of the machine's own AWS set-up: credentials that are none, and no proxy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def set_aws_environment(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Replace whatever the environment says of AWS and of proxies; `folder` has no AWS configuration in it."""
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            patch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_CONFIG_FILE": str(folder / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        patch.setenv(name, value)

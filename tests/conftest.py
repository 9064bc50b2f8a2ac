"""What every test stands on: credentials that are none, and nothing of the machine's own AWS set-up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.environment import set_aws_environment

# How long an example takes is the machine's affair: timings are not tested.
settings.register_profile("plain", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "plain"))


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Replace whatever the environment says of AWS and of proxies."""
    set_aws_environment(monkeypatch, tmp_path)

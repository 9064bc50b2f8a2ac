"""The exporter at work in this process: a configuration, polled as `serve` does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.aws.account import ApiCalls
from exporter.config import load
from exporter.poller import Poller
from exporter.status import StudioStatus
from exporter.targets import build


def configured(folder: Path, *targets: Mapping[str, Any], **general: Any) -> Path:
    """Write a configuration of Nimble targets in us-west-2 and return its file."""
    file = folder / "config.yaml"
    each = [{"aws_region": "us-west-2", **target} for target in targets]
    file.write_text(json.dumps({**general, "targets": each}))  # JSON is YAML
    return file


def retry_at_once(patch: pytest.MonkeyPatch) -> None:
    """Have botocore try again at once: not how long it waits is what counts here, but that it does."""
    patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


@asynccontextmanager
async def polling(file: Path, **clocks: Callable[[], float]) -> AsyncIterator[Poller]:
    """Poll what the file says meanwhile."""
    config = load(file)
    poller = Poller(build(config, ApiCalls()), max_concurrent_polls=config.max_concurrent_polls, **clocks)
    task = asyncio.create_task(poller.run())
    try:
        yield poller
    finally:
        task.cancel()
        await asyncio.wait([task])


def studios(poller: Poller) -> Mapping[str, StudioStatus]:
    """Return what is known of each studio, by its id."""
    return {known.studio.id: known for known in poller.status().studios}


def counts(studio: StudioStatus) -> Mapping[tuple[str, str], int] | None:
    """Return what is counted more than none of; None where there are no counts."""
    if studio.census is None:
        return None
    return {pair: count for pair, count in studio.census.counts.items() if count}

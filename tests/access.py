"""A target's access to an API at some address, with sessions and an account of its own unless a test has some."""

from __future__ import annotations

from exporter.aws import Api, Identity, Sessions
from exporter.aws.account import ApiCalls


def api(
    url: str,
    service: str = "nimble",
    source: str = "nimble",
    target: str = "main",
    *,
    sessions: Sessions | None = None,
    calls: ApiCalls | None = None,
    **identity: str,
) -> Api:
    return Api(
        service,
        sessions=sessions or Sessions(),
        calls=calls or ApiCalls(),
        identity=Identity(**identity),
        source=source,
        target=target,
        aws_region="us-west-2",
        endpoint_url=url,
    )

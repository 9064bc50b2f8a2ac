"""Config -> targets that are ready to poll: each with its source, its sessions and its times."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.aws import Api, Identity, Sessions
from exporter.aws.account import ApiCalls
from exporter.config import AnyTarget, AwsBackupTarget, Config, EbsTarget
from exporter.sources import Source
from exporter.sources.aws_backup import AwsBackupSource
from exporter.sources.ebs import EbsSource
from exporter.sources.nimble import NimbleSource
from exporter.status import Target

#: What botocore calls the service that a source asks.
_SERVICES = {NimbleSource.name: "nimble", EbsSource.name: "ec2", AwsBackupSource.name: "backup"}


def new_sessions(config: Config) -> Sessions:
    """Return sessions with room for the connections of all polls that the configuration has at once, in both lanes."""
    return Sessions(max_connections=2 * config.max_concurrent_polls)


def build(config: Config, calls: ApiCalls, sessions: Sessions | None = None) -> Sequence[Target]:
    """Return the configuration's targets, in its order. Their API calls go into the account `calls`.

    No request is made: credentials are looked up by the first poll. Without `sessions`, which are the caller's to
    close, connections last as long as the process.
    """
    sessions = sessions or new_sessions(config)
    return [
        Target(
            name=target.label,
            source=_source(target, sessions, calls),
            aws_region=target.aws_region,
            scope=_scope(target),
            discovery_interval=config.discovery_interval,
            **config.times(target)._asdict(),
        )
        for target in config.targets
    ]


def _scope(target: AnyTarget) -> Sequence[str | None]:
    tag = target.studio_tag if isinstance(target, EbsTarget) else None
    return target.source, target.aws_region, target.endpoint_url, target.profile, target.role_arn, tag


def _source(target: AnyTarget, sessions: Sessions, calls: ApiCalls) -> Source:
    api = Api(
        _SERVICES[target.source],
        sessions=sessions,
        calls=calls,
        identity=Identity(target.profile or "", target.role_arn or "", target.external_id or ""),
        source=target.source,
        target=target.label,
        aws_region=target.aws_region,
        endpoint_url=target.endpoint_url,
    )
    if isinstance(target, EbsTarget):
        return EbsSource(
            api,
            studio_tag=target.studio_tag,
            workstation_tag=target.workstation_tag,
            studios=target.studios or (),
        )
    if isinstance(target, AwsBackupTarget):
        return AwsBackupSource(
            api,
            vaults=target.studios or (),
            include=target.include,
            exclude=target.exclude,
            jobs_since=target.jobs_since,
            resource_types=target.resource_types,
        )
    return NimbleSource(
        api,
        studios={studio.id: studio.name or "" for studio in target.studios or ()},
        include=target.include,
        exclude=target.exclude,
        owned_by=target.owned_by,
    )

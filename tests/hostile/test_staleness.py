"""How long the counts of a failing studio are shown, beside one that is well."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exporter.aws.account import ApiCalls
from exporter.metrics import ConfigStatus, StudioBackupCollector, render
from tests.endpoint import error
from tests.hostile.book import shown
from tests.hostile.exporter import configured, polling, studios
from tests.hostile.studios import Studios
from tests.waiting import until

POLLS = {
    "studio_backup_studio_info",
    "studio_backup_up",
    "studio_backup_poll_duration_seconds",
    "studio_backup_polls_total",
    "studio_backup_poll_failures_total",
    "studio_backup_last_success_timestamp_seconds",
    "studio_backup_new_failures_total",
}
CENSUS = {
    "studio_backups",
    "studio_backup_newest_timestamp_seconds",
    "studio_backup_oldest_timestamp_seconds",
    "studio_backup_workstations",
    "studio_backup_workstations_ready",
    "studio_backup_stalest_ready_timestamp_seconds",
}


@shown(
    "Staleness",
    "a studio's polls fail",
    "`studio_backup_up` is 0 from the first on; the last good counts are shown until `stale_after`, with"
    " `studio_backup_last_success_timestamp_seconds` saying how old they are",
)
@shown(
    "Staleness",
    "they have failed for longer than `stale_after`",
    "all series of its counts go; those of its polls stay, and the page says that there are no counts",
)
@shown("Staleness", "a poll is good again", "`studio_backup_up` is 1 and the counts are back, at once")
def test_counts_go_when_they_are_stale_and_come_back_with_the_next_good_poll(tmp_path: Path) -> None:
    far_side = Studios()

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path,
                {"endpoint_url": endpoint.url, "studios": ["sick", "well"]},
                poll_interval="2s",
                poll_timeout="8s",
                stale_after="12s",
            )
            async with polling(file) as poller:

                def series(studio: str) -> Mapping[str, float]:
                    """Return the studio's families, each with the value of one of its series."""
                    collector = StudioBackupCollector(poller.status(), ApiCalls(), ConfigStatus(True, 0.0))
                    return {
                        sample.name: sample.value
                        for family in text_string_to_metric_families(render(collector)[0].decode())
                        for sample in family.samples
                        if sample.labels.get("studio_id") == studio
                    }

                await until(lambda: studios(poller).keys() == {"sick", "well"})
                assert series("sick").keys() == POLLS | CENSUS
                far_side.sick = {"sick": lambda _request: error("AccessDeniedException", 403)}
                far_side.backups = 3
                await until(lambda: not studios(poller)["sick"].up)
                first = studios(poller)["sick"]
                assert sum(first.failures.values()) == 1
                assert series("sick").keys() == POLLS | CENSUS
                assert series("sick")["studio_backup_workstations_ready"] == 2
                assert series("sick")["studio_backup_up"] == 0
                await until(lambda: studios(poller)["sick"].census is None)
                assert sum(studios(poller)["sick"].failures.values()) > 1
                assert series("sick").keys() == POLLS
                assert series("well").keys() == POLLS | CENSUS
                far_side.sick = {}
                await until(lambda: studios(poller)["sick"].up)
                assert series("sick")["studio_backup_workstations_ready"] == 3
                assert series("sick").keys() == POLLS | CENSUS
                assert dict(studios(poller)["well"].failures) == {}

    asyncio.run(run())

"""What is known, for people and for scripts: the status page and the same as JSON.

In goes a Status and the time, out come HTML that needs no JavaScript, and plain data. The ids and messages of failed
backups are told only to whom the caller shows them; the owner of a backup never is.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.backups import FAILED_STATES, MAX_FAILED_BACKUPS, Backup, label
from exporter.status import Status, StudioStatus, TargetStatus

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Studio backup exporter</title>
<style>
:root {{
  --bad: #d55e00;
  --line: color-mix(in srgb, currentColor 25%, transparent);
  --soft: color-mix(in srgb, currentColor 65%, transparent);
}}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 60rem; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .5rem; }}
h3 {{ font-size: 1rem; margin: 0; }}
nav a {{ margin-right: 1rem; }}
section {{ border: 1px solid var(--line); border-radius: .4rem; margin: .75rem 0; padding: .75rem 1rem; }}
section.bad {{ border-left: .35rem solid var(--bad); }}
p {{ margin: .25rem 0; }}
.soft, th {{ color: var(--soft); font-weight: normal; }}
.soft {{ font-size: .9rem; overflow-wrap: anywhere; }}
.bad strong {{ color: var(--bad); }}
ul.counts {{ display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: .5rem 0; padding: 0; }}
ul.counts b {{ font-variant-numeric: tabular-nums; }}
ul.counts .bad {{ color: var(--bad); }}
div.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }}
td.id {{ font-family: ui-monospace, monospace; white-space: nowrap; }}
</style>
</head>
<body>
<h1>Studio backup exporter</h1>
<p class="soft">Version {version}. It is {now} (UTC).</p>
<nav>{links}</nav>
{body}
</body>
</html>
"""


def status_page(
    status: Status, now: float, *, version: str, telemetry_path: str, prefix: str = "", show_backups: bool = False
) -> str:
    """Return the page. `now` is a Unix time in seconds, `prefix` what every path of ours begins with."""
    links = {telemetry_path: "Metrics", "/-/healthy": "Health", "/-/ready": "Readiness", "/api/v1/studios": "JSON"}
    if show_backups:
        links["/api/v1/backups"] = "Failed backups as JSON"
    body = ["<h2>Studios</h2>"]
    body += [_studio(known, now, show_backups=show_backups) for known in status.studios]
    if not status.studios:
        body.append("<p>None has been polled yet.</p>")
    body.append("<h2>Targets</h2>")
    body += [_target(known) for known in status.targets]
    return _FRAME.format(
        version=_text(version),
        now=f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}",
        links=" ".join(f'<a href="{_text(prefix + path)}">{name}</a>' for path, name in links.items()),
        body="\n".join(body),
    )


def studios(status: Status) -> list[Mapping[str, Any]]:
    """Return the page's content of studios as plain data. Times are Unix times in seconds."""
    return [
        {
            "source": known.target.source.name,
            "target": known.target.name,
            "aws_region": known.target.aws_region,
            "studio_id": known.studio.id,
            "studio": known.studio.name,
            "display_name": known.studio.display_name,
            "aws_account_id": known.studio.account_id,
            "up": known.up,
            "error": None
            if known.error is None
            else {
                "reason": known.error.reason,
                "code": known.error.code,
                "request_id": known.error.request_id,
                "message": str(known.error),
            },
            "last_poll": known.last_poll,
            "next_poll": known.next_poll,
            "last_success": known.last_success,
            "states": None if known.census is None else _states(known),
        }
        for known in status.studios
    ]


def backups(status: Status, *, state: str = "", studio: str = "") -> list[Mapping[str, Any]]:
    """Return the failed backups that the page shows, as plain data: of a state and a studio (id or name), or all."""
    return [
        {
            "studio_id": known.studio.id,
            "studio": known.studio.name,
            "id": backup.id,
            "workstation": backup.workstation,
            "state": label(backup.state),
            "status_code": label(backup.status_code),
            "created_at": backup.created_at,
            "message": backup.message,
        }
        for known in status.studios
        if known.census is not None and studio in ("", known.studio.id, known.studio.name)
        for backup in known.census.failed_backups
        if state in ("", label(backup.state))
    ]


def _states(known: StudioStatus) -> dict[str, int]:
    """Return how many backups there are in each state that has any."""
    counted: dict[str, int] = {}
    for (state, _), count in known.census.counts.items() if known.census else ():
        if count:
            counted[state] = counted.get(state, 0) + count
    return counted


def _studio(known: StudioStatus, now: float, *, show_backups: bool) -> str:
    lines = [f'<section class="{"good" if known.up else "bad"}">', f"<h3>{_text(known.studio.name)}</h3>"]
    display = f"{_text(known.studio.display_name)}. " if known.studio.display_name else ""
    lines.append(
        f'<p class="soft">{display}{_text(known.studio.id)} &middot; {_text(known.target.source.name)},'
        f" {_text(known.target.aws_region)}, target {_text(known.target.name)}</p>"
    )
    if known.error is not None:
        code = f" ({_text(known.error.code)})" if known.error.code else ""
        lines.append(
            f"<p><strong>The last poll failed: {known.error.reason}</strong>{code}: {_sentence(str(known.error))}"
            f" {known.error.reason.advice}</p>"
        )
    if known.census is None:
        lines.append("<p>There are no counts: none were read, or not for too long.</p>")
    else:
        items = "".join(
            f"<li{' class=bad' if state in FAILED_STATES else ''}><b>{count}</b> {_text(state)}</li>"
            for state, count in sorted(_states(known).items(), key=lambda item: -item[1])
        )
        lines.append(f'<ul class="counts">{items or "<li>no backups</li>"}</ul>')
    lines.append(f'<p class="soft">{"; ".join(_times(known, now))}</p>')
    if show_backups and known.census is not None and known.census.failed_backups:
        lines.append(_failed(known.census.failed_backups, now))
    lines.append("</section>")
    return "\n".join(lines)


def _times(known: StudioStatus, now: float) -> Iterator[str]:
    if known.last_poll is not None:
        yield f"polled {duration_in_words(now - known.last_poll)} ago, in {known.duration_seconds:.2f} s"
    if known.error is not None:
        told = "never" if known.last_success is None else f"{duration_in_words(now - known.last_success)} ago"
        yield f"last read to its end: {told}"
    if known.next_poll is not None:
        yield f"next in {duration_in_words(known.next_poll - now)}"


def _failed(failed: Sequence[Backup], now: float) -> str:
    rows = "".join(f"<tr>{''.join(_failed_cells(backup, now))}</tr>" for backup in failed)
    told = f"the {MAX_FAILED_BACKUPS} newest" if len(failed) == MAX_FAILED_BACKUPS else len(failed)
    return (
        f"<details><summary>Failed backups: {told}</summary><div class=wide><table>"
        "<tr><th>Backup<th>Workstation<th>State<th>Status code<th>Age<th>Message</tr>"
        f"{rows}</table></div></details>"
    )


def _failed_cells(backup: Backup, now: float) -> Iterator[str]:
    age = "" if backup.created_at is None else duration_in_words(now - backup.created_at)
    for name in (backup.id, backup.workstation):
        yield f'<td class="id">{_text(name)}'
    for cell in (label(backup.state), label(backup.status_code), age, backup.message):
        yield f"<td>{_text(cell)}"


def _target(known: TargetStatus) -> str:
    target = known.target
    about = (
        f'<h3>{_text(target.name)}</h3><p class="soft">{_text(target.source.name)}, {_text(target.aws_region)};'
        f" polled every {duration_in_words(target.poll_interval)}</p>"
    )
    if known.up is None:
        return f"<section>{about}<p>Its studios are being discovered.</p></section>"
    if known.error is not None:
        return (
            f'<section class="bad">{about}<p><strong>Discovery failed: {known.error.reason}</strong>:'
            f" {_sentence(str(known.error))} {known.error.reason.advice}</p></section>"
        )
    return f"<section>{about}<p>{known.studios} studio{'' if known.studios == 1 else 's'}</p></section>"


def duration_in_words(seconds: float) -> str:
    """Return a duration in its two largest units: `3d 4h`, `5m 2s`; `0s` for what is less than nothing."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])


def _sentence(text: str) -> str:
    return _text(text.rstrip(".")) + "."


def _text(value: str) -> str:
    return html.escape(value)

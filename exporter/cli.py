"""The commands: serve, once, check, list, simulate and demo.

In go the command line and config.yaml, out come an exit status (0 well, 1 something failed, 2 bad usage or
configuration) and one line on stderr for whatever is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import glob
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from exporter import inventory, logs, simulator, web
from exporter.aws.account import ApiCalls
from exporter.command_line import DEFAULT_ADDRESS, DEMO_ADDRESS, parser
from exporter.config import Config, load
from exporter.document import ConfigError
from exporter.metrics import (
    ONE_SHOT,
    ConfigStatus,
    StudioBackupCollector,
    exporter_version,
    render,
)
from exporter.poller import Poller
from exporter.status import Status
from exporter.targets import build, new_sessions

#: A temporary file of this age is nobody's any more.
_LEFT_BEHIND_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class UsageError(Exception):
    """What was asked for cannot be done as it was asked; the message says why, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status of the process."""
    options = parser(_COMMANDS).parse_args(arguments)
    try:
        return int(options.run(options))
    except (ConfigError, UsageError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, a `head` perhaps, has seen enough
        sys.stdout = None
        return 0


# The commands


def _serve(options: argparse.Namespace) -> int:
    logs.configure(options.log_level, options.log_format)
    config = load(options.config_file)
    if not options.telemetry_path.startswith("/") or options.telemetry_path == "/":
        raise UsageError(
            f"--web.telemetry-path={options.telemetry_path}: it must begin with / and not be the page's own"
        )
    sockets = _listen(options.listen_addresses or [DEFAULT_ADDRESS])
    asyncio.run(
        _poll_and_serve(
            options.config_file,
            config,
            sockets,
            telemetry_path=options.telemetry_path,
            show_backups=options.show_backups,
            enable_lifecycle=options.enable_lifecycle,
        )
    )
    return 0


async def _poll_and_serve(
    file: Path,
    config: Config,
    sockets: Sequence[socket.socket],
    *,
    telemetry_path: str = "/metrics",
    show_backups: bool = False,
    enable_lifecycle: bool = False,
) -> None:
    """Poll and answer until SIGTERM or SIGINT; SIGHUP loads the configuration anew."""
    calls = ApiCalls()
    sessions = new_sessions(config)
    poller = Poller(build(config, calls, sessions), max_concurrent_polls=config.max_concurrent_polls)
    loaded = ConfigStatus(successful=True, success_timestamp_seconds=time.time())

    def reload() -> str:
        nonlocal loaded, sessions
        try:
            fresh = load(file)
        except ConfigError as error:
            loaded = msgspec.structs.replace(loaded, successful=False)
            log.error("reload refused; the configuration from before stays", error=str(error))
            return str(error)
        before, sessions = sessions, new_sessions(fresh)
        poller.reconfigure(build(fresh, calls, sessions), max_concurrent_polls=fresh.max_concurrent_polls)
        before.close()
        loaded = ConfigStatus(successful=True, success_timestamp_seconds=time.time())
        log.info("configuration reloaded", targets=len(fresh.targets))
        return ""

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)

    def exposition(status: Status, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        return render(StudioBackupCollector(status, calls, loaded), accept, names)

    addresses = [":".join(str(part) for part in listener.getsockname()[:2]) for listener in sockets]
    log.info("started", version=exporter_version(), targets=len(config.targets), addresses=",".join(addresses))
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(poller.run(), name="poller")
        app = web.create_app(
            exposition,
            poller.status,
            telemetry_path=telemetry_path,
            show_backups=show_backups,
            reload=reload if enable_lifecycle else None,
            is_polling=lambda: not polling.done(),
        )
        await web.serve(app, sockets, stop)
        polling.cancel()


def _once(options: argparse.Namespace) -> int:
    logs.configure(options.log_level, options.log_format)
    config = load(options.config_file)
    if options.output is not None and not options.output.parent.is_dir():
        raise UsageError(f"--output={options.output}: there is no folder {options.output.parent}")
    calls = ApiCalls()

    async def sweep() -> Poller:
        poller = Poller(build(config, calls), max_concurrent_polls=config.max_concurrent_polls)
        await poller.sweep()
        return poller

    status = asyncio.run(sweep()).status()
    loaded = ConfigStatus(successful=True, success_timestamp_seconds=time.time())
    text, _ = render(StudioBackupCollector(status, calls, loaded), names=ONE_SHOT)
    if options.output is None:
        sys.stdout.write(text.decode())
    else:
        _replace(options.output, text)
    return 0 if all(studio.up for studio in status.studios) and all(target.up for target in status.targets) else 1


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole: whoever reads it sees the old one or the new one, though the process is killed."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)  # the node exporter runs as another user
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"--output={path}: {error.strerror}") from None
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # by runs that were killed
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                left.unlink()


def _check(options: argparse.Namespace) -> int:
    logs.configure("error", "logfmt")
    try:
        config = load(options.config_file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.config_file}: no mistake found; {len(config.targets)} target(s)")
    if not options.online:
        return 0
    targets = build(config, ApiCalls())
    _, failures = inventory.walk(targets, inventory.first_page, concurrency=config.max_concurrent_polls)
    for target in targets:
        own = [failure for failure in failures if failure.target is target]
        for failure in own:
            print(f"{options.config_file}: {failure}", file=sys.stderr)
        if not own:
            print(f"target {target.name}: every listing can be read")
    return 1 if failures else 0


def _list(options: argparse.Namespace) -> int:
    logs.configure("error", "logfmt")
    config = load(options.config_file)
    rows, failures = inventory.walk(
        build(config, ApiCalls()), inventory.every_backup, concurrency=config.max_concurrent_polls
    )
    chosen = inventory.select(rows, options.state, options.studio)
    write = inventory.as_json if options.format == "json" else inventory.table
    sys.stdout.write(write(chosen, time.time()))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _simulate(options: argparse.Namespace) -> int:
    fleet = simulator.Fleet(
        options.seed, studios=options.studios, sessions=options.sessions, failure_ratio=options.failure_ratio
    )
    app = simulator.create_app(
        fleet,
        page_size=options.page_size,
        latency=options.latency,
        throttle_ratio=options.throttle_ratio,
        error_ratio=options.error_ratio,
        seed=options.seed,
    )
    [listener] = _listen([f"127.0.0.1:{options.port}"], "--port")
    host, port = listener.getsockname()
    print(f"Nimble Studio, EC2 and AWS Backup, made up, at http://{host}:{port} : the endpoint_url of a target.")
    print("Ctrl-C ends it.", flush=True)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await web.serve(app, [listener], stop)

    asyncio.run(run())
    return 0


_DEMO_CONFIG = """\
poll_interval: 5s
discovery_interval: 30s
targets:
  - {{name: nimble, source: nimble, aws_region: us-west-2, endpoint_url: "{url}"}}
  - name: snapshots
    source: ebs
    aws_region: us-west-2
    endpoint_url: "{url}"
    workstation_tag: Workstation
    poll_interval: 5s
  - {{name: vaults, source: aws_backup, aws_region: us-west-2, endpoint_url: "{url}"}}
"""


def _demo(options: argparse.Namespace) -> int:
    logs.configure("warning", "logfmt")
    # The simulator takes any signature: real credentials have no business here, nor has a proxy.
    key = "demo"
    os.environ.update(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=key, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name, None)
    sockets = _listen(options.listen_addresses or [DEMO_ADDRESS])
    host, port = sockets[0].getsockname()[:2]
    app = simulator.create_app(simulator.Fleet(options.seed))
    with simulator.running(app) as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(_DEMO_CONFIG.format(url=url), encoding="utf-8")
        config = load(file)
        print(
            f"Three studios that are made up, as Nimble Studio, EBS and AWS Backup know them, polled every 5 s:\n\n"
            f"  http://{host}:{port}/          the exporter's page\n"
            f"  http://{host}:{port}/metrics   its metrics\n"
            f"  {url}   the simulated APIs (they want signed requests)\n\n"
            f"The counts change as you watch. Ctrl-C ends it.",
            flush=True,
        )
        asyncio.run(_poll_and_serve(file, config, sockets, show_backups=True))
    return 0


def _listen(addresses: Sequence[str], option: str = "--web.listen-address") -> list[socket.socket]:
    sockets = []
    for address in addresses:
        try:
            sockets.append(web.listen(address))
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
        except OSError as error:
            why = str(error.strerror or error).partition(" (while ")[0]  # create_server repeats the address
            raise UsageError(f"{option}: cannot listen on {address}: {why}") from None
    return sockets


_COMMANDS = {
    "serve": _serve,
    "once": _once,
    "check": _check,
    "list": _list,
    "simulate": _simulate,
    "demo": _demo,
}

"""The command line: its commands, flags and help, which are called as those of the Prometheus exporters.

In goes what each command runs, out comes a parser; bad usage ends the process with exit status 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from exporter import logs
from exporter.backups import STATES
from exporter.metrics import exporter_version

DEFAULT_ADDRESS = ":10420"
DEMO_ADDRESS = "127.0.0.1:10420"


def parser(commands: Mapping[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """Return the parser; `commands` are what it sets as `run` of each command's options, by the command's name."""
    top = argparse.ArgumentParser(
        prog="studio-backup-exporter",
        description="Counts the backups of a studio's virtual workstations, by studio, state and status code, "
        "for Prometheus. Begin with `demo`; for your own studios, copy config.example.yaml and try `check --online`.",
        epilog="Exit status: 0 well, 1 something failed, 2 bad usage or configuration. "
        "Each command tells more with --help.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"studio-backup-exporter {exporter_version()}")
    added = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, description: str) -> argparse.ArgumentParser:
        one = added.add_parser(name, help=help, description=description, allow_abbrev=False)
        one.add_argument("--version", action="version", version=f"{top.prog} {exporter_version()}")
        one.set_defaults(run=commands[name])
        return one

    serve = command(
        "serve",
        "poll for ever and answer scrapes: what a service runs",
        "Polls every studio at its interval and answers scrapes on /metrics. It starts, and answers, though AWS cannot "
        "be reached. SIGTERM and SIGINT end it within five seconds; SIGHUP loads the configuration anew.",
    )
    _add_config_file(serve)
    _add_listen_address(serve, DEFAULT_ADDRESS)
    serve.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        default="/metrics",
        help="where the metrics are (default: /metrics)",
    )
    serve.add_argument(
        "--web.show-backups",
        dest="show_backups",
        action="store_true",
        help="show failed backups, with ids and messages, on the status page and as JSON, to whoever can open these",
    )
    serve.add_argument(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="reload the configuration on POST /-/reload too, not on SIGHUP alone",
    )
    _add_logging(serve)

    once = command(
        "once",
        "poll everything once and write the metrics: for cron and the textfile collector",
        "Polls every studio once and writes its counts, up, last success, duration and info in Prometheus's text "
        "format. Exit status 1 if a studio failed; what succeeded is written all the same.",
    )
    _add_config_file(once)
    once.add_argument(
        "--output",
        metavar="FILE.prom",
        type=Path,
        help="replace this file, at once and as a whole (mode 0644), rather than writing to stdout",
    )
    _add_logging(once)

    check = command(
        "check",
        "tell every mistake in the configuration, with its line",
        "Tells every mistake in the configuration at once, each with its line. Exit status 0 or 1.",
    )
    _add_config_file(check)
    check.add_argument(
        "--online",
        action="store_true",
        help="also try each target's credentials, its discovery and each listing's first page",
    )

    list_ = command(
        "list",
        "show the backups themselves, with ids, ages and messages",
        "Shows the backups themselves: where to look up what a metric counts, since ids are never labels. "
        "Exit status 1 if a studio could not be read; the others are shown all the same.",
    )
    _add_config_file(list_)
    list_.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="STATE",
        help=f"only backups in this state; may be given several times ({', '.join(STATES)})",
    )
    list_.add_argument("--studio", metavar="ID", help="only this studio, by its id or its name")
    list_.add_argument("--format", choices=("table", "json"), default="table", help="(default: table)")

    simulate = command(
        "simulate",
        "run simulated APIs of Nimble Studio, EC2 snapshots and AWS Backup",
        "Answers on 127.0.0.1 as the Nimble Studio API did, and as EC2 and AWS Backup do for what the exporter asks of "
        "them, for a made-up fleet that lives on the clock: sessions stop, backups begin, become READY or fail. The "
        "same seed and time give the same answer. Requests must be signed, with any credentials.",
    )
    simulate.add_argument("--port", type=_port, default=10421, metavar="N", help="(default: 10421; 0: any free one)")
    _add_seed(simulate)
    simulate.add_argument("--studios", type=_count, default=3, metavar="N", help="studios (default: 3)")
    simulate.add_argument("--sessions", type=_count, default=20, metavar="N", help="sessions in each (default: 20)")
    simulate.add_argument("--page-size", type=_count, default=100, metavar="N", help="backups a page (default: 100)")
    simulate.add_argument(
        "--failure-ratio", type=_ratio, default=0.02, metavar="R", help="of backups that fail (default: 0.02)"
    )
    simulate.add_argument(
        "--latency", type=_seconds, default=0.0, metavar="SECONDS", help="before each answer (default: 0)"
    )
    simulate.add_argument(
        "--throttle-ratio", type=_ratio, default=0.0, metavar="R", help="of requests answered 429 (default: 0)"
    )
    simulate.add_argument(
        "--error-ratio", type=_ratio, default=0.0, metavar="R", help="of requests answered 500 (default: 0)"
    )

    demo = command(
        "demo",
        "simulator and exporter in one process, to look at",
        "Runs the simulator and an exporter that polls it every five seconds, and prints the addresses to open. "
        "No AWS account is needed, nothing leaves the machine.",
    )
    _add_listen_address(demo, DEMO_ADDRESS)
    _add_seed(demo)
    return top


def _add_config_file(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config.file", dest="config_file", metavar="FILE", type=Path, required=True, help="the configuration (YAML)"
    )


def _add_listen_address(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        metavar="ADDR",
        help=f"HOST:PORT, [::]:PORT or :PORT (all addresses); may be given several times (default: {default})",
    )


def _add_logging(command: argparse.ArgumentParser) -> None:
    command.add_argument("--log.level", dest="log_level", choices=logs.LEVELS, default="info", help="(default: info)")
    command.add_argument(
        "--log.format", dest="log_format", choices=logs.FORMATS, default="logfmt", help="(default: logfmt)"
    )


def _add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=1, metavar="N", help="another number, another fleet (default: 1)")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return number


def _ratio(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 3600")
    return number

"""Logs on stderr, one line an event, as logfmt or JSON: the project's own and those of the libraries alike."""

from __future__ import annotations

import logging
import sys

import structlog

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")
#: The least level of what libraries say. botocore's debug lines hold signed requests, its warnings tracebacks with what
#: a credential process complained of; whatever fails for it, a poll fails for, and is logged.
_LIBRARIES = {
    "boto3": logging.ERROR,
    "botocore": logging.ERROR,
    "urllib3": logging.ERROR,
    "asyncio": logging.WARNING,
    "uvicorn": logging.WARNING,
}


def configure(level: str, format: str) -> None:
    """Send all logs of at least `level` (one of LEVELS) to stderr, in `format` (one of FORMATS)."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    renderers: list[structlog.typing.Processor] = [structlog.processors.JSONRenderer()]
    if format == "logfmt":
        renderers = [_printable, structlog.processors.LogfmtRenderer(key_order=["ts", "level", "msg"])]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for library, least in _LIBRARIES.items():
        logging.getLogger(library).setLevel(max(least, logging.getLevelName(level.upper())))


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let no text of the far side's steer the terminal that shows the log."""
    return {name: _only_printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _only_printable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)

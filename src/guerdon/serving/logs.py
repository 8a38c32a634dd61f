"""Logs on standard error: JSON lines, or coloured text on a terminal."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from guerdon.config import LogFormat
from guerdon.telemetry import LOG_FIELDS_WITHHELD, LOG_TRACE_ID, LOG_WORKER, current_trace_id

# What Postgres adds to an error's text; both may quote the values of a row.
ROW_QUOTING_LINES = ("DETAIL:", "HINT:")
WITHHELD = "[withheld]"
# What gRPC calls an error, and is none: the caller's deadline had passed when the answer was ready.
CORE_LOGGER = "grpc._cython.cygrpc"
ENDED_CALL = "ExecuteBatchError raised in core by servicer method"


def configure_logs(form: LogFormat, level: str, worker: int | None = None) -> None:
    """Route structlog and the standard library's loggers through one formatter."""
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Worker(worker),
        add_trace_id,
        structlog.processors.format_exc_info,
        withhold_personal_data,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last = _console() if console else [structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Drivers tell at INFO what is of interest only to their makers.
    for chatty in ("asyncio", "grpc", "opentelemetry"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
    logging.getLogger(CORE_LOGGER).addFilter(is_not_of_an_ended_call)


def _console() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


class _Worker:
    """Adds the worker's number, so that lines of several processes can be told apart."""

    def __init__(self, worker: int | None) -> None:
        self._worker = worker

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        if self._worker is not None:
            event[LOG_WORKER] = self._worker
        return event


def is_not_of_an_ended_call(record: logging.LogRecord) -> bool:
    """For the core's logger: callers who gave up are counted in the metrics, like all calls."""
    return not record.getMessage().startswith(ENDED_CALL)


def add_trace_id(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    trace_id = current_trace_id()
    if trace_id:
        event[LOG_TRACE_ID] = trace_id
    return event


def withhold_personal_data(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """The last guard: callers of the logger are not to pass such fields in the first place."""
    for field in LOG_FIELDS_WITHHELD & event.keys():
        event[field] = WITHHELD
    exception: Any = event.get("exception")
    if isinstance(exception, str):
        event["exception"] = without_row_values(exception)
    return event


def without_row_values(traceback: str) -> str:
    """The traceback without the lines in which Postgres quotes the values of a row."""
    kept = (
        line
        for line in traceback.splitlines()
        if not line.lstrip(" |").startswith(ROW_QUOTING_LINES)
    )
    return "\n".join(kept)

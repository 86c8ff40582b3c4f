"""The service's log: lines of words, or a JSON object a line."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

REQUEST_ID: ContextVar[str] = ContextVar("agelens_request_id", default="")
"""The request that is being answered; empty outside of one."""
FIELDS = "fields"
"""Where a record's ``extra`` holds what a line of JSON has as fields of its own."""


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, request id, its own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is one of its texts."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if REQUEST_ID.get():
            line["request_id"] = REQUEST_ID.get()
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


OF_CLIENTS = ("Invalid HTTP request received.", "connection rejected")
"""How lines of the server begin that any client can have it write."""


class NotOfClients(logging.Filter):
    """Lets no line pass with which a client could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is of the service."""
        return not record.getMessage().startswith(OF_CLIENTS)


def log_config(form: str) -> dict[str, Any]:
    """`logging.config.dictConfig` for the service, its server and its decoders."""
    formatter = (
        {"()": "agelens.service.logs.JsonFormatter"}
        if form == "json"
        else {"format": "%(asctime)s %(levelname)s %(message)s"}
    )
    loggers = ("agelens", "uvicorn")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "filters": {"service": {"()": "agelens.service.logs.NotOfClients"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["service"],
            }
        },
        "loggers": {
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in loggers
        },
    }

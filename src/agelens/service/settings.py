"""Everything that can be set, in one object: from options, AGELENS_* variables, or a file."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agelens.errors import AgelensError
from agelens.parallel import default_jobs

PREFIX = "AGELENS_"
CONFIG = f"{PREFIX}CONFIG"
_NOT_OURS = frozenset({CONFIG, f"{PREFIX}UTKFACE"})  # the second is of agelens' own tests
_ORIGIN = re.compile(r"https?://[^/?#@\s*]+", re.ASCII)


class SettingsError(AgelensError):
    """An option, a variable or a line of the file has an impossible value."""


def _split(value: Any) -> Any:
    """``"a, b"`` as in an environment variable, to ``("a", "b")``."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _proxies(proxies: tuple[str, ...]) -> tuple[str, ...]:
    for proxy in proxies:
        if proxy not in ("*", "unix"):
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"{proxy}: {error}; give addresses or networks") from error
    return proxies


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin}: an origin is https://HOST or https://HOST:PORT, or *")
    return origins


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split)]
Proxies = Annotated[Words, AfterValidator(_proxies)]
Origins = Annotated[Words, AfterValidator(_origins)]


class Settings(BaseSettings):
    """How the service runs. Every field is also a variable: ``AGELENS_MAX_BODY`` is `max_body`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; `::` is IPv4 and IPv6.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    uds: Path | None = Field(None, description="Unix socket to listen on, in place of a port.")
    fd: int | None = Field(None, ge=0, description="Open socket to listen on, as systemd gives it.")
    workers: int = Field(1, ge=1, description="Service processes that share the port.")
    jobs: int | None = Field(
        None, ge=1, description="Pictures at once in a worker; by default one a processor in all."
    )

    model: Words = Field(
        ("light",), min_length=1, description="Shipped models or model files; the first is used."
    )
    min_score: float = Field(0.5, ge=0, le=1, description="Leave out faces that are less sure.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Of the intervals, unless asked for.")

    max_body: int = Field(20_000_000, ge=1, description="Bytes of a request, or of a fetched URL.")
    max_pixels: int = Field(25_000_000, ge=64, description="Pixels of a picture.")
    max_files: int = Field(16, ge=1, description="Pictures in a request.")
    max_faces: int = Field(64, ge=1, description="Faces of a picture; the largest are kept.")
    megapixel_seconds: float = Field(
        0.1, gt=0, description="Processor time a picture may use per million pixels, and 0.5 more."
    )
    connections: int = Field(256, ge=1, description="Requests at once; more are answered 503.")
    max_connections: int = Field(
        1024, ge=1, description="Open connections; a new one closes the one idle for longest."
    )
    streams: int = Field(
        2, ge=0, description="Streams of frames at once; each has a decoder of its own."
    )
    max_wait: float = Field(
        2.0, gt=0, description="Seconds that a picture may be expected to wait; more: 503."
    )
    receive_timeout: float = Field(
        10.0, gt=0, description="Seconds in which headers, and then a body, must arrive."
    )
    send_timeout: float = Field(
        10.0, gt=0, description="Seconds in which a client must read some of its answer."
    )
    idle_timeout: float = Field(15.0, gt=0, description="Seconds that a connection may be idle.")
    deadline: float = Field(10.0, gt=0, description="Seconds from a request's body to its answer.")
    stop_timeout: int = Field(30, ge=1, description="Seconds that a stop waits for answers.")

    rate: float = Field(0.0, ge=0, description="Requests a second of one client; 0: no limit.")
    burst: int = Field(20, ge=1, description="Requests that a client may send at once.")
    api_keys: Words = Field((), repr=False, description="Keys, one of which a request must have.")
    api_keys_file: Path | None = Field(
        None, description="A file with a key a line; SIGHUP reads it again."
    )
    allow_urls: bool = Field(False, description="Fetch pictures from public web addresses.")
    url_ports: Numbers = Field((80, 443), description="Ports that addresses may have.")
    cors_origins: Origins = Field((), description="Pages of these origins may call the service.")
    trusted_proxies: Proxies = Field((), description="Proxies whose X-Forwarded-For is believed.")
    page: bool | None = Field(
        None,
        description="Serve the web page and the model files that it reads; by default, unless "
        "there are API keys, because a browser needs none for them.",
    )
    access_log: bool = Field(False, description="Log each request: client, path, status.")
    log_format: Literal["text", "json"] = Field("text", description="Of the log's lines.")
    tracing: bool = Field(
        False, description="Send OpenTelemetry traces; its OTEL_* variables say where."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.uds is not None and self.fd is not None:
            raise ValueError("uds and fd exclude each other")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options win over variables, and variables over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def pictures_at_once(self) -> int:
        """Pictures in work at once in each worker."""
        return self.jobs or max(1, default_jobs() // self.workers)

    @property
    def has_keys(self) -> bool:
        """Whether a request needs a key."""
        return bool(self.api_keys or self.api_keys_file)

    @property
    def serves_page(self) -> bool:
        """Whether the web page and the model files are there for everyone."""
        return not self.has_keys if self.page is None else self.page

    def to_environment(self) -> dict[str, str]:
        """The variables that give these settings in another process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): ",".join(map(str, value))
            if isinstance(value, tuple)
            else str(value)
            for name, value in values.items()
            if value is not None
        }


def load_settings(config: Path | None = None, **options: Any) -> Settings:
    """Settings from options; those that are None come from variables, the file, or the defaults.

    Args:
        config: a TOML file with settings; that of the variable ``AGELENS_CONFIG`` by default.
        options: by the names of `Settings`.

    Raises:
        SettingsError: a value is impossible, or a name is not known; the sentence names it.
    """
    _refuse_unknown_variables()
    path = config or os.environ.get(CONFIG)
    kind = Settings
    if path:
        if not Path(path).is_file():
            raise SettingsError(f"{path}: no such file")

        class FromFile(Settings):
            model_config = SettingsConfigDict(toml_file=path)

        kind = FromFile
    try:
        return kind(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"there is no such setting{_meant(name, list(Settings.model_fields))}"
        raise SettingsError(f"{name} ({PREFIX}{name.upper()}): {message}") from error
    except ValueError as error:  # of the file's TOML
        raise SettingsError(f"{path}: {error}") from error


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _NOT_OURS
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise SettingsError(f"{name}: there is no such setting{_meant(name, sorted(known))}")


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; is {close[0]} meant?" if close else ""

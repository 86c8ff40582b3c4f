"""Everything that can be set, in one object: from options, else from AGELENS_* variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agelens.errors import AgelensError
from agelens.parallel import default_jobs

PREFIX = "AGELENS_"


class SettingsError(AgelensError):
    """An option or a variable of the service has an impossible value."""


def _split(value: Any) -> Any:
    """``"a, b"`` as in an environment variable, to ``("a", "b")``."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """How the service runs. Every field is also a variable: ``AGELENS_MAX_BODY`` is `max_body`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, description="Service processes that share the port.")
    jobs: int | None = Field(
        None, ge=1, description="Reader processes of a worker; by default one a processor in all."
    )

    model: str = Field("light", description="A shipped model's name or a model file.")
    min_score: float = Field(0.5, ge=0, le=1, description="Leave out faces that are less sure.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Of the intervals, unless asked for.")
    max_batch: int = Field(4, ge=1, description="Faces in one call; a GPU wants more.")

    max_body: int = Field(20_000_000, ge=1, description="Bytes of a request, or of a fetched URL.")
    max_pixels: int = Field(50_000_000, ge=64, description="Pixels of a picture.")
    max_files: int = Field(16, ge=1, description="Pictures in a request.")
    max_faces: int = Field(64, ge=1, description="Faces of a picture; the largest are kept.")
    connections: int = Field(256, ge=1, description="Requests at once; more are answered 503.")
    queue: int = Field(128, ge=1, description="Pictures in work or waiting; more: 503.")
    receive_timeout: float = Field(10.0, gt=0, description="Seconds in which a body must arrive.")
    deadline: float = Field(10.0, gt=0, description="Seconds from a request's body to its answer.")
    stop_timeout: int = Field(30, ge=1, description="Seconds that a stop waits for answers.")

    rate: float = Field(0.0, ge=0, description="Requests a second of one client; 0: no limit.")
    burst: int = Field(20, ge=1, description="Requests that a client may send at once.")
    api_keys: Words = Field((), repr=False, description="Keys, one of which a request must have.")
    api_keys_file: Path | None = Field(None, description="A file with a key a line.")
    allow_urls: bool = Field(False, description="Fetch pictures from public web addresses.")
    cors_origins: Words = Field((), description="Pages of these origins may call the service.")
    trusted_proxies: Words = Field((), description="Proxies whose X-Forwarded-For is believed.")
    page: bool | None = Field(
        None,
        description="Serve the web page and the model files that it reads; by default, unless "
        "there are API keys, because a browser needs none for them.",
    )
    access_log: bool = Field(False, description="Log each request: client, path, status.")

    @property
    def readers(self) -> int:
        """Reader processes of each worker."""
        return self.jobs or max(1, default_jobs() // self.workers)

    @property
    def serves_page(self) -> bool:
        """Whether the web page and the model files are there for everyone."""
        return not self.keys() if self.page is None else self.page

    def keys(self) -> tuple[str, ...]:
        """The API keys of the variable and of the file.

        Raises:
            SettingsError: the file cannot be read or holds no key.
        """
        if self.api_keys_file is None:
            return self.api_keys
        try:
            lines = self.api_keys_file.read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{self.api_keys_file}: cannot be read ({error})") from error
        if not lines:  # else an emptied file would open the service to everyone
            raise SettingsError(f"{self.api_keys_file}: holds no key; write one a line")
        return (*self.api_keys, *lines)

    def to_environment(self) -> dict[str, str]:
        """The variables that give these settings in another process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
            if value is not None
        }


def load_settings(**options: Any) -> Settings:
    """Settings from options, those that are None left to the environment and the defaults.

    Raises:
        SettingsError: a value is impossible; the sentence names it.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsError(f"{name} ({PREFIX}{name.upper()}): {first['msg']}") from error

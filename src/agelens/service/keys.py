"""The API keys: a file with a key a line, and which of them a request has."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

from agelens.service.errors import KeyRefusedError
from agelens.service.limits import RateLimiter
from agelens.service.settings import Settings, SettingsError

log = logging.getLogger("agelens.service")

MIN_LENGTH = 16
"""Characters of a key; shorter ones can be guessed."""
WRONG_RATE, WRONG_BURST = 0.2, 5
"""Wrong keys a second, and at once, of one address; then it has to wait, whatever its key."""


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys of a file: a key a line; lines that are empty or begin with # do not count.

    Raises:
        SettingsError: it cannot be read, holds no key, or a line is no key; the line is named.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error
    keys = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            keys.append(_checked(line, f"{path}, line {number}"))
    if not keys:  # else an emptied file would open the service to everyone
        raise SettingsError(f"{path}: holds no key; write one a line")
    return tuple(keys)


def _checked(key: str, place: str) -> str:
    if any(character.isspace() for character in key):
        raise SettingsError(f"{place}: a key has no white space; a comment is a line with # first")
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{place}: a key has only ASCII characters")
    if len(key) < MIN_LENGTH:
        raise SettingsError(f"{place}: a key has at least {MIN_LENGTH} characters")
    return key


class Keys:
    """The known API keys. Where the settings name none, everyone may ask.

    Raises:
        SettingsError: the file cannot be used, or a key is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digests = self._load()
        self._wrong = RateLimiter(WRONG_RATE, WRONG_BURST)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def reload(self) -> None:
        """Read the file again. One that cannot be used changes nothing, and the log says so."""
        try:
            self._digests = self._load()
        except SettingsError as error:
            log.error("the API keys stay as they were: %s", error)
        else:
            log.info("%d API keys are known", len(self._digests))

    def check(self, key: str, address: str) -> None:
        """Let a known key pass, in a time that tells nothing of which it is, or how nearly.

        Raises:
            KeyRefusedError: it is not known.
            RateError: this address has sent too many that are not.
        """
        self._wrong.wait(address)
        given = _digest(key)
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            if key:
                self._wrong.check(address)
            raise KeyRefusedError("an API key is needed, as Authorization: Bearer KEY")

    def _load(self) -> tuple[bytes, ...]:
        given = enumerate(self._settings.api_keys, 1)
        keys = [_checked(key, f"AGELENS_API_KEYS, key {number}") for number, key in given]
        if self._settings.api_keys_file is not None:
            keys += read_keys(self._settings.api_keys_file)
        return tuple(_digest(key) for key in keys)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()

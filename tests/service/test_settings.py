"""Settings: where they come from, and mistakes in them, which are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import KEY

from agelens.service.errors import KeyRefusedError, RateError
from agelens.service.keys import Keys
from agelens.service.limits import RateLimiter, Recent, client_of
from agelens.service.settings import SettingsError, load_settings


def test_options_win_over_variables_and_variables_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "agelens.toml"
    file.write_text('port = 7\nmax_body = 8\nqueue_name = "x"\n')
    with pytest.raises(SettingsError, match="queue_name"):
        load_settings(config=file)
    file.write_text('port = 7\nmax_body = 8\nmax_files = 9\ncors_origins = ["https://a.example"]\n')
    monkeypatch.setenv("AGELENS_MAX_BODY", "18")
    monkeypatch.setenv("AGELENS_CONFIG", str(file))
    known = load_settings(port=17)
    assert (known.port, known.max_body, known.max_files) == (17, 18, 9)
    assert known.cors_origins == ("https://a.example",)
    file.write_text("port = ")
    with pytest.raises(SettingsError, match=r"agelens\.toml"):
        load_settings()
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(config=tmp_path / "missing.toml")


def test_settings_travel_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_settings(port=9, model=["light", "resnet50"], api_keys=[KEY, KEY + "2"])
    for name, value in known.to_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == known
    assert KEY not in repr(known)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AGELENS_MAX_BODY", "none", "AGELENS_MAX_BODY"),
        ("AGELENS_MAX_BODDY", "7", "is AGELENS_MAX_BODY meant"),
        ("AGELENS_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "proxy"),
        ("AGELENS_TRUSTED_PROXIES", "10.0.0.1/8", "host bits"),
        ("AGELENS_CORS_ORIGINS", "app.example.org", "https://HOST"),
        ("AGELENS_CORS_ORIGINS", "https://app.example.org/", "https://HOST"),
        ("AGELENS_LOG_FORMAT", "xml", "json"),
    ],
)
def test_mistakes_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words):
        load_settings()


def test_a_file_of_keys_has_a_key_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf# of the app, see the wiki\r\n\r\n" + KEY.encode() + b"\r\n")
    keys = Keys(load_settings(api_keys_file=file))
    keys.check(KEY, "a")
    for word in ("", "#", "app,", "wiki", "see the wiki", KEY + " ", "\ufeff# of the app"):
        with pytest.raises(KeyRefusedError):
            keys.check(word, word or "nobody")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n# nothing\n", "holds no key"),
        (f"{KEY}\n{KEY} # of the app\n", "line 2"),
        (f"{KEY}\n\nshort\n", "line 3: a key has at least 16"),
        ("ein-schlüssel-für-die-app\n", "line 1: a key has only ASCII"),
        (f" {KEY}\n", "line 1: a key has no white space"),
    ],
)
def test_a_line_that_is_no_key_is_refused_by_its_number(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=words):
        Keys(load_settings(api_keys_file=file))
    if "holds no" not in words:
        with pytest.raises(SettingsError, match="AGELENS_API_KEYS, key 1"):
            Keys(load_settings(api_keys=(text.splitlines()[-1],)))


def test_keys_are_read_again_and_stay_where_the_file_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY)
    keys = Keys(load_settings(api_keys_file=file))
    file.write_text("short")
    keys.reload()
    keys.check(KEY, "a")
    file.write_text(KEY[::-1])
    keys.reload()
    keys.check(KEY[::-1], "a")
    with pytest.raises(KeyRefusedError):
        keys.check(KEY, "a")


def test_who_guesses_keys_has_to_wait() -> None:
    keys = Keys(load_settings(api_keys=(KEY,)))
    for number in range(5):
        with pytest.raises(KeyRefusedError):
            keys.check(f"guess {number}", "192.0.2.1")
    with pytest.raises(RateError):
        keys.check("guess 6", "192.0.2.1")
    with pytest.raises(RateError):
        keys.check(KEY, "192.0.2.1")  # else guesses would still tell right from wrong
    keys.check(KEY, "192.0.2.2")


def test_the_rate_limit_by_hand() -> None:
    now = 0.0
    limiter = RateLimiter(1.0, 2, clock=lambda: now)
    limiter.check("a")
    limiter.check("a")
    with pytest.raises(RateError) as refused:
        limiter.check("a")
    assert refused.value.retry_after == 1
    limiter.check("b")
    now = 1.0
    limiter.check("a")
    assert client_of("2001:db8::1") == client_of("2001:db8::2")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1")


def test_what_is_recent_is_forgotten() -> None:
    now = 0.0
    recent: Recent[str] = Recent(10, clock=lambda: now)
    assert not recent
    recent.add("a")
    assert recent
    now = 9
    assert "a" in recent
    assert "b" not in recent
    now = 11
    assert "a" not in recent

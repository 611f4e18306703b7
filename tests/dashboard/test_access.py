"""Who may do what."""

import pytest

from vla_ros.clock import SECOND
from vla_ros.config import ConfigError, load
from vla_ros.dashboard.access import AccessError, Limiter, access, owner_of, read_tokens

from .fake import DRIVE, WATCH


def config(**settings):
    settings = {"port": 8099} | settings
    return load("twin", overrides=[f"dashboard.{name}={value}" for name, value in settings.items()])


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def test_off_loopback_needs_tokens(tmp_path):
    with pytest.raises(AccessError, match=r"not loopback: name a file of tokens as dashboard\.tokens"):
        access(config(host="192.168.1.5"))
    file = write(tmp_path / "tokens", f"{WATCH} watch\n")
    found = access(config(host="192.168.1.5", tokens=file))
    assert found.origins == {"http://192.168.1.5:8099"}


def test_every_address_needs_the_origins_of_its_pages():
    with pytest.raises(ConfigError, match=r"dashboard\.origins"):
        config(host="0.0.0.0")


def test_without_tokens_loopback_may_do_everything_and_is_called_by_its_own_names_only():
    found = access(config())
    assert found.scopes("") == {"watch", "drive", "record", "admin"}
    assert found.may_be_called("localhost:8099")
    assert found.may_be_called("127.0.0.1:8099")
    assert not found.may_be_called("127.0.0.1:8098")
    assert not found.may_be_called("rebound.example:8099")


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("", True),
        ("http://127.0.0.1:8099", True),
        ("https://127.0.0.1:8099", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://127.0.0.1:8099.evil.example", False),
    ],
)
def test_pages_of_other_origins_may_not_speak(origin, may):
    assert access(config()).may_come_from(origin) is may


def test_scopes_imply_watching_and_admin_everything(tmp_path):
    text = f"# operators\n{WATCH} watch\n{DRIVE} drive  # Ada\nadmin-0123456789abcdef admin\nboth-0123456789abcdefg drive record\n"
    found = access(config(tokens=write(tmp_path / "tokens", text)))
    assert found.scopes(WATCH) == {"watch"}
    assert found.scopes(DRIVE) == {"watch", "drive"}
    assert found.scopes("admin-0123456789abcdef") == {"watch", "drive", "record", "admin"}
    assert found.scopes("both-0123456789abcdefg") == {"watch", "drive", "record"}
    assert found.scopes("") == found.scopes(WATCH[:-1]) == found.scopes("Ünknöwn") == frozenset()


@pytest.mark.parametrize(
    ("text", "mode", "match"),
    [
        (f"{WATCH} watch", 0o644, "can be read by others: chmod 600"),
        ("short watch", 0o600, "line 1: a token of 5 characters can be guessed"),
        (f"# one\n{WATCH}", 0o600, "line 2: scopes are missing"),
        (f"{WATCH} fly", 0o600, "line 1: scopes are fly: wanted are watch"),
        ("# nobody", 0o600, "holds no token"),
    ],
)
def test_a_bad_file_of_tokens_is_named(tmp_path, text, mode, match):
    with pytest.raises(AccessError, match=match):
        read_tokens(write(tmp_path / "tokens", text, mode))


def test_a_missing_file_of_tokens_is_named(tmp_path):
    with pytest.raises(AccessError, match="cannot read"):
        read_tokens(tmp_path / "none")


def test_a_token_comes_in_a_header_or_a_cookie():
    assert owner_of([("authorization", "Bearer abc")]) == "abc"
    assert owner_of([("cookie", "a=b; vla_ros_token=xyz")]) == "xyz"
    assert owner_of([("authorization", "Basic abc"), ("cookie", "other=1")]) == ""


def test_a_limiter_lets_a_burst_pass_and_then_its_rate():
    limiter = Limiter(rate=2, burst=3)
    assert [limiter.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert limiter.take("b", 0)
    assert limiter.take("a", SECOND // 2)
    assert not limiter.take("a", SECOND // 2)


def test_a_limiter_forgets_who_was_silent_for_longest():
    limiter = Limiter(rate=0.001, burst=1, most=2)
    assert all(limiter.take(name, 0) for name in "abc")
    assert limiter.take("a", 0)
    assert not limiter.take("c", 0)

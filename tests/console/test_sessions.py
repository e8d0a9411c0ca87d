"""Signing in: who may, for how long, and what the cookie can and cannot do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from werkzeug.test import Client

from bleepstore import CannedPolicy, Store
from bleepstore_server import AppConfig
from bleepstore_server.console.app import Console
from bleepstore_server.console.sessions import COOKIE, IDLE_MS, MAX_AGE_MS, RENEW_MS
from bleepstore_server.console.shared import FREE_TRIES, FREE_TRIES_OF_ADDRESS, WINDOW_SECONDS, Ended, Tries
from bleepstore_server.rates import RateMeter
from tests.console.conftest import MOUNTED, ROOT, SECRET, Clock, Visitor


def cookie_of(visitor: Visitor) -> str:
    found = visitor.client.get_cookie(COOKIE, path=f"{MOUNTED}/")
    assert found is not None
    return found.value


def test_a_page_asks_a_stranger_to_sign_in_and_goes_on_after_it(stranger: Visitor) -> None:
    asked = stranger.get("/buckets?prefix=a%26b")
    assert (asked.status_code, asked.headers["Location"]) == (
        303,
        "/console/sign-in?next=/buckets%3Fprefix%3Da%2526b",
    )
    assert stranger.sign_in(next="/buckets?prefix=a%26b").headers["Location"] == "/console/buckets?prefix=a%26b"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\/evil.example", "/sign-in", "x", "/\r\nA: b"],
)
def test_a_link_cannot_send_to_another_site(stranger: Visitor, target: str) -> None:
    assert stranger.sign_in(next=target).headers["Location"] == "/console/buckets"


def test_a_script_of_a_stranger_is_told_that_nobody_is_signed_in(stranger: Visitor) -> None:
    answer = stranger.send("PUT", "/buckets/photos/objects?key=a", b"a")
    assert (answer.status_code, answer.get_json()["code"]) == (401, "SignInRequired")


@pytest.mark.parametrize(
    ("access_key", "secret_key"), [(ROOT, "wrong"), ("nobody", SECRET), ("", ""), (ROOT, ""), ("k\0ü", "\ud800")]
)
def test_a_wrong_secret_and_an_unknown_key_are_told_the_same(
    stranger: Visitor, access_key: str, secret_key: str
) -> None:
    answer = stranger.post("/sign-in", {"access_key": access_key, "secret_key": secret_key.encode("utf-8", "replace")})
    assert answer.status_code == 403
    assert "There is no access key with this secret." in answer.text
    assert COOKIE not in answer.headers.get("Set-Cookie", "")


def test_the_cookie_is_for_this_site_and_no_script(stranger: Visitor) -> None:
    set_cookie = stranger.sign_in().headers["Set-Cookie"]
    assert set_cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/console/"} <= set(set_cookie.split("; "))
    assert "Secure" not in set_cookie


def test_under_tls_the_cookie_is_secure(new_console: Callable[..., Console]) -> None:
    client = Client(new_console())
    fields = {"access_key": ROOT, "secret_key": SECRET}
    answer = client.post("/sign-in", data=fields, base_url="https://localhost/")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_no_page_and_no_cookie_has_the_secret(visitor: Visitor, store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "cat", b"a cat")
    assert SECRET not in cookie_of(visitor)
    for path in ("/buckets", "/buckets/photos", "/buckets/photos/object?key=cat", "/users", "/status"):
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert SECRET not in answer.text


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(visitor: Visitor, clock: Clock) -> None:
    begun = clock.now_ms
    clock.now_ms += IDLE_MS - 1
    assert visitor.get("/buckets").status_code == 200  # and is noted
    while clock.now_ms + IDLE_MS - 1 < begun + MAX_AGE_MS:
        clock.now_ms += IDLE_MS - 1
        assert visitor.get("/buckets").status_code == 200
    clock.now_ms = begun + MAX_AGE_MS
    ended = visitor.get("/buckets")
    assert (ended.status_code, ended.headers["Location"]) == (303, "/console/sign-in?next=/buckets&ended=1")


def test_a_session_that_nobody_used_has_ended(visitor: Visitor, clock: Clock) -> None:
    clock.now_ms += IDLE_MS
    assert visitor.get("/buckets").status_code == 303


def test_the_cookie_is_written_anew_no_more_than_once_a_minute(visitor: Visitor, clock: Clock) -> None:
    clock.now_ms += RENEW_MS - 1
    assert "Set-Cookie" not in visitor.get("/buckets").headers
    clock.now_ms += 1
    assert COOKIE in visitor.get("/buckets").headers["Set-Cookie"]


def test_who_signs_out_takes_the_cookie_from_whoever_has_it(visitor: Visitor) -> None:
    cookie = cookie_of(visitor)
    assert visitor.post("/sign-out").status_code == 303
    assert visitor.get("/buckets").status_code == 303
    visitor.client.set_cookie(COOKIE, cookie, path=f"{MOUNTED}/")
    assert visitor.get("/buckets").status_code == 303


@pytest.mark.parametrize("change", ["disable", "delete", "replace"])
def test_a_session_ends_with_its_key(visitor: Visitor, store: Store, change: str) -> None:
    if change == "disable":
        store.disable_credential(ROOT)
    elif change == "delete":
        store.delete_credential(ROOT)
    else:
        store.put_credential(ROOT, "another secret")
    assert visitor.get("/buckets").status_code == 303


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_a_session_does_not_come_back_with_its_key(visitor: Visitor, store: Store, clock: Clock, change: str) -> None:
    if change == "disable":
        store.disable_credential(ROOT)
    else:
        store.delete_credential(ROOT)
    store.put_credential(ROOT, SECRET)
    assert visitor.get("/buckets").status_code == 303
    clock.now_ms += 1000
    visitor.sign_in()
    assert visitor.get("/buckets").status_code == 200


def test_a_session_does_not_come_back_with_its_user(visitor: Visitor, store: Store, clock: Clock) -> None:
    def add() -> None:
        store.users.add("ann")
        store.users.put_policy("ann", "all", CannedPolicy.READWRITE.document())
        store.put_credential("ANN", "secret of ann", user="ann")

    add()
    visitor.post("/sign-out")
    visitor.sign_in("ANN", "secret of ann")
    assert visitor.get("/buckets").status_code == 200
    store.users.remove("ann")
    add()
    assert visitor.get("/buckets").status_code == 303
    clock.now_ms += 1000
    visitor.sign_in("ANN", "secret of ann")
    assert visitor.get("/buckets").status_code == 200


def test_another_console_of_the_store_knows_the_session(visitor: Visitor, new_console: Callable[..., Console]) -> None:
    """Another worker, that is."""
    other = Visitor(Client(new_console()))
    other.client.set_cookie(COOKIE, cookie_of(visitor), path=f"{MOUNTED}/")
    assert other.get("/buckets").status_code == 200


def test_a_cookie_that_was_changed_anywhere_is_none(visitor: Visitor) -> None:
    cookie = cookie_of(visitor)
    claim, _, seal = cookie.partition(".")
    forged = [cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :] for at in range(0, len(cookie), 7)]
    forged += [
        "",
        ".",
        claim,
        f"{claim}.",
        f".{seal}",
        f"{seal}.{claim}",
        "e30." + seal,
        "W10.x",
        "\xff.\xff",
        "9" * 4000,
    ]
    for value in forged:
        visitor.client.set_cookie(COOKIE, value, path=f"{MOUNTED}/")
        assert visitor.get("/buckets").status_code == 303, value


def test_temporary_credentials_sign_in_with_their_token(stranger: Visitor, store: Store) -> None:
    credential = store.get_credential(ROOT)
    assert credential is not None
    made = store.create_session(credential, duration=dt.timedelta(minutes=30))
    keys = made.session.access_key, made.session.secret_key
    assert stranger.sign_in(*keys).status_code == 403
    assert stranger.sign_in(*keys, token="no-token").status_code == 403
    assert stranger.sign_in(*keys, token=made.token).status_code == 303
    assert stranger.get("/buckets").status_code == 200
    assert stranger.get("/users").status_code == 403  # that needs a key of its own


def test_a_session_of_temporary_credentials_ends_with_them(stranger: Visitor, store: Store, clock: Clock) -> None:
    credential = store.get_credential(ROOT)
    assert credential is not None
    made = store.create_session(credential, duration=dt.timedelta(minutes=15))
    stranger.sign_in(made.session.access_key, made.session.secret_key, token=made.token)
    clock.now_ms += 15 * 60 * 1000
    assert stranger.get("/buckets").status_code == 303


def test_a_configured_key_signs_in(new_console: Callable[..., Console]) -> None:
    visitor = Visitor(Client(new_console(AppConfig(access_key="configured", secret_key="its secret"))))
    assert visitor.sign_in("configured", "its secret").status_code == 303
    assert visitor.get("/buckets").status_code == 200


# -- forms of other sites


@pytest.mark.parametrize("token", ["", "0" * 64, "ü"])
def test_a_form_without_the_token_of_the_session_changes_nothing(visitor: Visitor, store: Store, token: str) -> None:
    answer = visitor.post("/buckets", {"bucket": "photos", "csrf": token})
    assert answer.status_code == 403
    assert not list(store.iter_buckets())


def test_the_token_of_another_session_does_not_count(visitor: Visitor, new_console: Callable[..., Console]) -> None:
    other = Visitor(Client(new_console()))
    other.sign_in()
    assert visitor.csrf != other.csrf
    assert visitor.post("/buckets", {"bucket": "photos", "csrf": other.csrf}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "//["}],
)
def test_a_request_from_another_site_changes_nothing(visitor: Visitor, store: Store, headers: dict[str, str]) -> None:
    assert visitor.post("/buckets", {"bucket": "photos"}, headers=headers).status_code == 403
    assert visitor.post("/sign-in", {"access_key": ROOT, "secret_key": SECRET}, headers=headers).status_code == 403
    assert not list(store.iter_buckets())


def test_a_form_of_this_site_counts(visitor: Visitor) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert visitor.post("/buckets", {"bucket": "photos"}, headers=headers).status_code == 303


def test_a_script_has_its_token_in_a_header_alone(visitor: Visitor, store: Store) -> None:
    store.create_bucket("photos")
    path = "/buckets/photos/objects?key=a"
    assert visitor.send("PUT", path, b"a", X_CSRF_Token="").status_code == 403
    assert visitor.send("PUT", f"{path}&csrf={visitor.csrf}", b"a", X_CSRF_Token="").status_code == 403
    assert visitor.send("PUT", path, b"a").status_code == 201


# -- tries


def test_tries_that_fail_are_slowed_down(stranger: Visitor) -> None:
    for _ in range(FREE_TRIES):
        assert stranger.sign_in(ROOT, "wrong").status_code == 403
    refused = stranger.sign_in(ROOT, SECRET)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert stranger.sign_in("another", "wrong").status_code == 403


def test_a_try_that_succeeds_is_the_end_of_the_others() -> None:
    now = 0.0
    tries = Tries(clock=lambda: now)
    for _ in range(FREE_TRIES):
        assert tries.wait_of("192.0.2.1", "key") == 0
        tries.failed("192.0.2.1", "key")
    assert tries.wait_of("192.0.2.1", "key") == 1
    assert tries.wait_of("192.0.2.2", "key") == 0  # nobody is locked out by strangers
    now = 1.0
    assert tries.wait_of("192.0.2.1", "key") == 0
    tries.failed("192.0.2.1", "key")
    assert tries.wait_of("192.0.2.1", "key") == 2
    tries.succeeded("192.0.2.1", "key")
    assert tries.wait_of("192.0.2.1", "key") == 0
    tries.close()


def test_an_address_that_tries_many_keys_is_slowed_down() -> None:
    now = 0.0
    tries = Tries(clock=lambda: now)
    for number in range(FREE_TRIES_OF_ADDRESS):
        tries.failed("192.0.2.1", f"key {number}")
    tries.succeeded("192.0.2.1", "one of its own")
    assert tries.wait_of("192.0.2.1", "one of its own") == 1
    for _ in range(40):
        tries.failed("192.0.2.1", "another")
    assert tries.wait_of("192.0.2.1", "another") == WINDOW_SECONDS
    now = WINDOW_SECONDS
    assert tries.wait_of("192.0.2.1", "another") == 0
    tries.close()


def test_nobody_finds_a_name_whose_failures_count_for_somebody_else() -> None:
    """Rows are fewer than names. Which names share one is known to nobody, and differs with each start."""
    waiting = []
    for tries in (Tries(clock=lambda: 0.0), Tries(clock=lambda: 0.0)):
        for number in range(1000 * FREE_TRIES):
            tries.failed(f"192.0.2.{number // FREE_TRIES % 100}", f"key {number // FREE_TRIES}")
        waiting.append({name for name in range(300) if tries.wait_of("198.51.100.1", f"key {name}")})
        tries.close()
    assert waiting[0] != waiting[1]


def test_all_addresses_of_an_ipv6_network_are_one() -> None:
    tries = Tries(clock=lambda: 0.0)
    for number in range(FREE_TRIES):
        tries.failed(f"2001:db8::{number}", "key")
    assert tries.wait_of("2001:db8::ffff", "key") == 1
    assert tries.wait_of("2001:db8:0:1::1", "key") == 0
    for _ in range(FREE_TRIES):
        tries.failed("::ffff:192.0.2.1", "key")
    assert tries.wait_of("192.0.2.1", "key") == 1
    assert tries.wait_of("::ffff:192.0.2.2", "key") == 0
    tries.close()


def test_sessions_that_were_ended_are_remembered_up_to_a_bound() -> None:
    ended = Ended()
    for number in range(5000):
        ended.add(str(number))
    assert "4999" in ended
    assert "1000" in ended
    assert "0" not in ended  # it would have been idle for long
    assert "5000" not in ended
    ended.close()


def test_rates_of_a_key_count_here_too(store: Store, new_console: Callable[..., Console]) -> None:
    now = 0
    store.put_rate_limit(access_key=ROOT, max_requests=1, max_bytes=1000)
    visitor = Visitor(Client(new_console(meter=RateMeter(clock=lambda: now))))
    visitor.sign_in()
    assert visitor.get("/buckets").status_code == 503
    now = 10**9
    assert visitor.get("/buckets").status_code == 503  # the page before was larger than what a second may have
    now = 100 * 10**9
    assert visitor.get("/buckets").status_code == 200


def test_the_colors_are_a_choice_of_their_own(stranger: Visitor) -> None:
    answer = stranger.client.post("/theme", data={"theme": "dark"})
    assert answer.status_code == 303
    assert 'data-theme="dark"' in stranger.client.get("/sign-in").text
    assert "Set-Cookie" not in stranger.client.post("/theme", data={"theme": '"><script>'}).headers

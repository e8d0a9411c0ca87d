"""What website configurations mean, without a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bleepstore import ConfigurationKind
from bleepstore.configurations import check_document
from bleepstore.errors import InvalidRequest
from bleepstore.website import Website, encode_key

INDEX = {"IndexDocument": {"Suffix": "index.html"}}


def website(*rules: dict[str, Any]) -> Website:
    document = INDEX | {"RoutingRules": list(rules)}
    return Website.of(check_document(ConfigurationKind.WEBSITE, "site", document))


def sent_to(site: Website, key: str, error: int | None = None) -> tuple[int, str] | None:
    redirect = site.redirect(key, error)
    return None if redirect is None else (redirect.status, redirect.location("http", "site.example"))


# "Configuring a webpage redirect", "Redirection rules" examples


def test_a_key_prefix_is_renamed() -> None:
    site = website({"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}})
    assert sent_to(site, "docs/a b.html") == (301, "http://site.example/documents/a%20b.html")
    assert sent_to(site, "documents/a.html") is None


def test_a_folder_goes_to_one_page() -> None:
    site = website({"Condition": {"KeyPrefixEquals": "images/"}, "Redirect": {"ReplaceKeyWith": "folderdeleted.html"}})
    assert sent_to(site, "images/x/y.png") == (301, "http://site.example/folderdeleted.html")


def test_an_error_goes_to_another_host_with_a_prefix() -> None:
    site = website(
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "compute.example", "ReplaceKeyPrefixWith": "report-404/", "Protocol": "https"},
        }
    )
    assert sent_to(site, "page.html") is None
    assert sent_to(site, "page.html", 403) is None
    assert sent_to(site, "page.html", 404) == (301, "https://compute.example/report-404/page.html")


def test_a_replacement_may_begin_a_query_or_a_fragment() -> None:
    site = website({"Redirect": {"ReplaceKeyPrefixWith": "#!/", "HttpRedirectCode": "302"}})
    assert sent_to(site, "a?b#c") == (302, "http://site.example/#!/a%3Fb%23c")


def test_all_requests_go_to_one_host() -> None:
    site = Website.of({"RedirectAllRequestsTo": {"HostName": "www.example", "Protocol": "https"}})
    assert sent_to(site, "a/b") == (301, "https://www.example/a/b")
    assert sent_to(Website.of({"RedirectAllRequestsTo": {"HostName": "www.example"}}), "") == (
        301, "http://www.example/",
    )  # fmt: skip


def test_index_documents_are_of_the_root_and_of_folders() -> None:
    site = website()
    assert [site.index_key(key) for key in ("", "a/", "a", "a/b")] == ["index.html", "a/index.html", "a", "a/b"]


@pytest.mark.parametrize("host", ["a b", "a\r\nx", "ü.example", "a\tb"])
def test_a_host_that_no_header_holds_is_refused(host: str) -> None:
    for document in (
        {"RedirectAllRequestsTo": {"HostName": host}},
        INDEX | {"RoutingRules": [{"Redirect": {"HostName": host}}]},
    ):
        with pytest.raises(InvalidRequest, match="HostName"):
            check_document(ConfigurationKind.WEBSITE, "site", document)


# -- against a model

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
KEYS = st.lists(st.sampled_from(["a", "b", "/", "é", "\r\n", " ", "%41", "?"]), max_size=5).map("".join)
CONDITIONS = st.fixed_dictionaries(
    {}, optional={"KeyPrefixEquals": KEYS, "HttpErrorCodeReturnedEquals": st.sampled_from(["403", "404", "503"])}
).filter(bool)
REPLACED = st.one_of(
    st.just({}), st.builds(lambda key: {"ReplaceKeyWith": key or "k"}, KEYS | TEXTS),
    st.builds(lambda key: {"ReplaceKeyPrefixWith": key}, KEYS | TEXTS),
)  # fmt: skip
REDIRECTS = st.builds(
    lambda replaced, more: replaced | (more or {"HostName": "other.example"}),
    REPLACED,
    st.fixed_dictionaries(
        {}, optional={"HostName": st.just("h.example"), "Protocol": st.sampled_from(["http", "https"]),
                      "HttpRedirectCode": st.sampled_from(["301", "302", "307"])}
    ),
)  # fmt: skip
RULES = st.lists(
    st.builds(
        lambda condition, redirect: {"Redirect": redirect} | ({"Condition": condition} if condition else {}),
        st.none() | CONDITIONS,
        REDIRECTS,
    ),
    max_size=4,
)


def expected(rules: list[dict[str, Any]], key: str, error: int | None) -> tuple[int, str, str, set[str]] | None:
    """(status, scheme, host, keys that may be shown), in the words of the user guide. What the owner wrote may be
    escaped already; a key is not."""
    for rule in rules:
        condition, redirect = rule.get("Condition", {}), rule["Redirect"]
        wanted = condition.get("HttpErrorCodeReturnedEquals")
        if (wanted is None) != (error is None) or (wanted is not None and wanted != str(error)):
            continue
        prefix = condition.get("KeyPrefixEquals", "")
        if key[: len(prefix)] != prefix:
            continue
        shown = {key}
        if "ReplaceKeyWith" in redirect:
            shown = {unquote(redirect["ReplaceKeyWith"])}
        elif "ReplaceKeyPrefixWith" in redirect:
            written, rest = redirect["ReplaceKeyPrefixWith"], key[len(prefix) :]
            shown = {unquote(written) + rest, unquote(written + rest)}
        return (
            int(redirect.get("HttpRedirectCode", "301")),
            redirect.get("Protocol", "http"),
            redirect.get("HostName", "site.example"),
            shown,
        )
    return None


@given(RULES, KEYS, st.sampled_from([None, 403, 404, 503]))
def test_rules_do_what_the_model_does(rules: list[dict[str, Any]], key: str, error: int | None) -> None:
    found, wanted = sent_to(website(*rules), key, error), expected(rules, key, error)
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        status, scheme, host, shown = wanted
        assert found[0] == status
        assert found[1].startswith(f"{scheme}://{host}/")
        path = found[1].removeprefix(f"{scheme}://{host}/")
        assert path.isascii()
        assert path.isprintable()
        assert " " not in path
        assert unquote(path) in shown


@given(KEYS | TEXTS)
def test_the_path_of_a_key_is_that_key_on_the_same_host(key: str) -> None:
    path = encode_key(key)
    assert unquote(path) == key
    assert path.isascii()
    assert path.isprintable()
    assert path[:1] not in ("/", "\\")

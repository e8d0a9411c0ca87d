"""What people do in the console, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bleepstore import Versioning
from bleepstore_server.console.uploads import SINGLE_PUT
from tests.console.browser import DESKTOP, Window, chromium, screenshots, shown, win

__all__ = ["chromium", "screenshots", "shown", "win"]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f00050001ff"
    "89993d1d0000000049454e44ae426082"
)


def test_from_signing_in_to_a_file_in_a_bucket(win: Window, tmp_path: Path) -> None:
    page = win.page
    page.get_by_label("Name of the bucket").fill("photos")
    page.get_by_role("button", name="Make the bucket").click()
    page.get_by_role("heading", name="photos").wait_for()
    (tmp_path / "käse.txt").write_bytes(b"brie")
    page.locator("#files").set_input_files(tmp_path / "käse.txt")
    page.locator("#listing").get_by_role("link", name="käse.txt", exact=True).click()
    assert page.locator("pre.preview").inner_text() == "brie"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "käse.txt"
    assert Path(download.value.path()).read_bytes() == b"brie"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()


# -- uploads


def status(win: Window) -> Any:
    return win.page.locator("#transfers_status")


def expect_text(locator: Any, text: str) -> None:
    from playwright.sync_api import expect

    expect(locator).to_have_text(text, timeout=20_000)


@pytest.mark.slow
def test_many_files_are_dropped_and_told_to_a_screen_reader(win: Window) -> None:
    win.shown.store.create_bucket("photos")
    win.open("/buckets/photos?prefix=2026/")
    page = win.page
    transfer = page.evaluate_handle(
        "() => { const t = new DataTransfer();"
        " for (let i = 0; i < 12; i++) t.items.add(new File(['x'.repeat(i)], `file ${i}.txt`, {type: 'text/plain'}));"
        " return t; }"
    )
    page.dispatch_event("#upload", "dragover", {"dataTransfer": transfer})
    assert "over" in page.locator("#upload").get_attribute("class")
    page.dispatch_event("#upload", "drop", {"dataTransfer": transfer})
    expect_text(status(win), "All uploads are done.")
    assert status(win).get_attribute("aria-live") == "polite"
    rows = list(win.shown.store.iter_objects("photos"))
    assert [(row.key, row.size) for row in rows if row.key.endswith(" 11.txt")] == [("2026/file 11.txt", 11)]
    assert len(rows) == 12
    page.locator("#listing").get_by_role("link", name="file 11.txt", exact=True).wait_for()
    win.snap("uploaded")


def large_file(folder: Path) -> Path:
    path = folder / "large.bin"
    path.write_bytes(bytes(range(256)) * (SINGLE_PUT // 256 * 2) + b"the end")
    return path


def hold_part(page: Any, number: int) -> list[int]:
    """Let no request for this part through; the numbers of those that were sent before it."""
    sent: list[int] = []

    def handle(route: Any) -> None:
        asked = int(route.request.url.partition("?")[0].rpartition("/")[2])
        if asked != number:
            sent.append(asked)
            route.continue_()

    page.route(re.compile(r"/uploads/[0-9a-f]{52}/\d+\?"), handle)
    return sent


def wait_for_part(page: Any, number: int) -> None:
    with page.expect_request(re.compile(rf"/uploads/[0-9a-f]{{52}}/{number}\?")):
        pass


@pytest.mark.slow
def test_a_large_file_is_paused_and_goes_on(win: Window, tmp_path: Path) -> None:
    win.shown.store.create_bucket("photos")
    win.open("/buckets/photos")
    page, path = win.page, large_file(tmp_path)
    sent = hold_part(page, 2)
    with page.expect_request(re.compile(r"/uploads/[0-9a-f]{52}/2\?")):
        page.locator("#files").set_input_files(path)
    page.get_by_role("button", name="Pause large.bin").click()
    row = page.locator("#transfers li")
    assert row.get_attribute("data-state") == "paused"
    win.snap("paused")
    page.unroute_all(behavior="ignoreErrors")
    after = hold_part(page, 0)
    page.get_by_role("button", name="Resume large.bin").click()
    expect_text(status(win), "All uploads are done.")
    assert (sent, after) == ([1], [2, 3])  # what was sent counts
    with win.shown.store.get_object("photos", "large.bin") as found:
        assert found.read() == path.read_bytes()
    assert not list(win.shown.store.iter_uploads("photos"))


@pytest.mark.slow
def test_an_upload_goes_on_when_the_page_was_opened_again(win: Window, tmp_path: Path) -> None:
    win.shown.store.create_bucket("photos")
    win.open("/buckets/photos")
    page, path = win.page, large_file(tmp_path)
    hold_part(page, 2)
    with page.expect_request(re.compile(r"/uploads/[0-9a-f]{52}/2\?")):
        page.locator("#files").set_input_files(path)
    win.accept_dialogs()  # whether to leave the page
    win.open("/buckets/photos/uploads")
    page.get_by_text("large.bin").wait_for()
    win.snap("unfinished")
    page.unroute_all(behavior="ignoreErrors")
    win.open("/buckets/photos")
    after = hold_part(page, 0)
    page.locator("#files").set_input_files(path)
    expect_text(status(win), "All uploads are done.")
    assert after == [2, 3]
    with win.shown.store.get_object("photos", "large.bin") as found:
        assert found.read() == path.read_bytes()


@pytest.mark.slow
def test_an_upload_is_stopped_and_leaves_nothing(win: Window, tmp_path: Path) -> None:
    win.shown.store.create_bucket("photos")
    win.open("/buckets/photos")
    page = win.page
    hold_part(page, 2)
    with page.expect_request(re.compile(r"/uploads/[0-9a-f]{52}/2\?")):
        page.locator("#files").set_input_files(large_file(tmp_path))
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Stop large.bin").click()
    assert not list(win.shown.store.iter_uploads("photos"))
    assert not list(win.shown.store.iter_objects("photos"))


@pytest.mark.slow
def test_an_upload_that_is_refused_says_why_and_can_be_tried_again(win: Window, tmp_path: Path) -> None:
    store = win.shown.store
    store.create_bucket("photos")
    store.put_quota(bucket="photos", max_bytes=3)
    win.open("/buckets/photos")
    (tmp_path / "cat").write_bytes(b"a cat")
    win.page.locator("#files").set_input_files(tmp_path / "cat")
    expect_text(status(win), "1 of 1 uploads failed.")
    assert "quota" in win.page.locator("#transfers .state").inner_text().lower()
    win.snap("refused")
    store.delete_quota(bucket="photos")
    win.page.get_by_role("button", name="Try again cat").click()
    expect_text(status(win), "All uploads are done.")
    win.wrong.clear()  # the browser logs the answer 403


# -- objects


@pytest.mark.slow
def test_versions_are_deleted_undeleted_and_restored(win: Window) -> None:
    store, page = win.shown.store, win.page
    store.create_bucket("photos")
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    store.put_object("photos", "cat", b"first")
    store.put_object("photos", "cat", b"second")
    win.accept_dialogs()
    win.open("/buckets/photos")
    delete = page.get_by_role("button", name="Delete marked")
    assert delete.is_disabled()
    page.get_by_label("Mark all on this page").check()
    delete.click()
    page.get_by_text("The objects were deleted.").wait_for()
    page.get_by_role("navigation", name="Parts of the bucket").get_by_role("link", name="Versions").click()
    win.snap("versions")
    page.get_by_role("button", name="Undelete cat").click()
    page.get_by_text("The object is back.").wait_for()
    page.get_by_role("button", name=re.compile("^Restore cat")).click()
    page.get_by_text("That version is the current one now.").wait_for()
    with store.get_object("photos", "cat") as found:
        assert found.read() == b"first"


@pytest.mark.slow
def test_an_object_is_seen_tagged_described_and_shared(win: Window) -> None:
    store, page = win.shown.store, win.page
    store.create_bucket("vault", object_lock=True)
    store.put_object("vault", "a/dot.png", PNG, content_type="image/png")
    win.open("/buckets/vault/object?key=a/dot.png")
    image = page.get_by_role("img", name="The image dot.png")
    assert image.evaluate("image => image.naturalWidth") == 1
    page.get_by_role("textbox", name="Tags").fill("city = Oslo")
    page.locator("section", has=page.locator("#tags_title")).get_by_role("button", name="Save").click()
    page.get_by_text("The tags were saved.").wait_for()
    page.locator("#metadata").fill("camera = X100")
    page.locator("section", has=page.locator("#metadata_title")).get_by_role("button", name="Save").click()
    page.get_by_text("The metadata was saved.").wait_for()
    page.get_by_role("checkbox", name="Legal hold").check()
    page.locator("form", has=page.locator("#hold")).get_by_role("button", name="Save").click()
    page.get_by_text("The legal hold was saved.").wait_for()
    version = store.head_object("vault", "a/dot.png").version
    assert (version.metadata, version.tags, version.legal_hold) == ({"camera": "X100"}, {"city": "Oslo"}, True)
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link").input_value()
    win.snap("object")
    answer = page.request.get(link)
    assert (answer.status, answer.body()) == (200, PNG)


@pytest.mark.slow
def test_settings_are_changed_and_access_is_explained(win: Window) -> None:
    store, page = win.shown.store, win.page
    store.create_bucket("photos")
    win.open("/buckets/photos/settings")
    page.get_by_label("Let a public policy").uncheck()
    page.get_by_label("Refuse policies").uncheck()
    page.locator("#block").get_by_role("button", name="Save").click()
    page.get_by_text("The setting was saved.").wait_for()
    page.get_by_label("Policy (JSON)").fill("{")
    page.locator("#policy").get_by_role("button", name="Save").click()
    page.get_by_role("alert").wait_for()
    win.snap("policy-refused")
    win.wrong.clear()  # the browser logs the answer 400
    page.get_by_label("Policy (JSON)").fill(
        '{"Version": "2012-10-17", "Statement": [{"Sid": "Public", "Effect": "Allow", "Principal": "*",'
        ' "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/public/*"}]}'
    )
    page.locator("#policy").get_by_role("button", name="Save").click()
    page.get_by_text("The setting was saved.").wait_for()
    explain = page.locator("#explain")
    for key, word in (("public/cat", "allowed"), ("secret", "denied")):
        explain.get_by_label("Key").fill(key)
        explain.get_by_label("Who", exact=True).select_option(label="Anybody, without a key")
        explain.get_by_role("button", name="Explain").click()
        assert explain.locator(".badge").inner_text() == word
    win.snap("settings")


@pytest.mark.slow
def test_a_user_is_given_a_policy_and_a_key_and_signs_in_with_it(win: Window, chromium: Any) -> None:
    store, page = win.shown.store, win.page
    store.create_bucket("photos")
    win.accept_dialogs()
    page.get_by_role("link", name="Users and keys").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_role("button", name="Add the user").click()
    page.get_by_label("Buckets", exact=True).fill("photos")
    page.get_by_role("button", name="Give").click()
    page.get_by_text("The policy was saved.").wait_for()
    page.get_by_role("button", name="Make a key").click()
    access_key, secret = (one.inner_text() for one in page.locator(".once code").all())
    win.snap("new-key")
    context = chromium.new_context(viewport=DESKTOP)
    other = context.new_page()
    other.goto(win.shown.url)
    other.get_by_label("Access key").fill(access_key)
    other.get_by_label("Secret key").fill(secret)
    other.get_by_role("button", name="Sign in").click()
    other.get_by_label("Name of the bucket").fill("photos")
    other.get_by_role("button", name="Open").click()
    other.get_by_role("heading", name="photos").wait_for()
    assert other.get_by_role("link", name="Users and keys").count() == 0
    assert other.locator("#upload").count() == 0
    page.get_by_role("button", name=f"Disable {access_key}").click()
    page.get_by_text("The key is disabled.").wait_for()
    other.reload()
    other.get_by_text("Your session has ended.").wait_for()
    context.close()


@pytest.mark.slow
def test_figures_and_jobs_are_shown(win: Window) -> None:
    page = win.page
    page.get_by_role("link", name="Status").click()
    expect_text(page.locator("[data-figure=is_ready]"), "ready")
    win.shown.store.create_bucket("another")
    expect_text(page.locator("[data-figure=buckets]"), "1")  # without opening the page again
    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("button", name="Run now garbage").click()
    page.get_by_text("The job has run.").wait_for()


@pytest.mark.slow
def test_the_keyboard_is_enough(win: Window) -> None:
    """From the link that skips the menu to a bucket that is made, and a menu whose focus is seen."""
    page = win.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "bucket":
            break
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="by-keyboard").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "files":
            break
    assert page.locator("label[for=files]").evaluate("label => getComputedStyle(label).outlineStyle") == "solid"


@pytest.mark.slow
def test_colors_are_chosen(win: Window) -> None:
    page = win.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Colors").select_option("dark")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.evaluate(ground) != light
    page.get_by_label("Colors").select_option("light")
    page.wait_for_selector("html[data-theme=light]")
    assert page.evaluate(ground) == light

"""The review page in a real browser: keys, filters, a phone's width."""

import csv
import re
import threading

import pytest
from browser import needs_browser, open_browser
from review_toys import make_joined, make_sets, make_texts

from seqbelt.review.decisions import Decisions
from seqbelt.review.server import serve

WAIT_S = 60

pytestmark = needs_browser


@pytest.fixture
def make_toys():
    return lambda folder: make_texts()


@pytest.fixture
def language():
    return "en"


@pytest.fixture
def page(tmp_path, make_toys, language):
    """A browser with the page open, and the table that it writes."""
    path = tmp_path / "toys.corrections.csv"
    items = make_toys(tmp_path)
    addresses, is_started = list[str](), threading.Event()

    def start(address):
        addresses.append(address)
        is_started.set()

    arguments = (items, Decisions(items, path), 0, start, language)
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    assert is_started.wait(WAIT_S)
    driver = open_browser(tmp_path / "profile", 1280, 900)
    driver.get(addresses[0])
    yield driver, path
    driver.quit()


def wait_for(driver, found):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, WAIT_S).until(lambda _: found())


def name_of(driver):
    return driver.execute_script("return document.getElementById('name').textContent")


def press(driver, key):
    """Press a key and wait for the next item."""
    before = wait_for(driver, lambda: name_of(driver))
    driver.find_element("tag name", "body").send_keys(key)
    wait_for(driver, lambda: name_of(driver) != before)
    return before


def rows_of(path):
    """The item and its new label in each line of the table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [(row[0], row[3]) for row in [*csv.reader(file)][1:]]


def test_keys_decide_undo_and_move(page):
    from selenium.webdriver.common.keys import Keys

    driver, path = page
    first, second = press(driver, "1"), press(driver, Keys.ENTER)
    assert {first, second} == {"two/3", "two/7"}
    third = press(driver, " ")
    press(driver, Keys.ARROW_RIGHT)
    press(driver, Keys.ARROW_LEFT)
    press(driver, "u")
    assert name_of(driver) == third
    rows = rows_of(path)
    kept = {"two/3": "a", "two/7": "b"}[second]
    assert rows[:2] == [(first, "a"), (second, kept)]
    assert [name for name, _ in rows[2:]] == [third, third] and rows[3][1] == ""


def test_the_text_is_shown_as_it_is_and_filters_apply(page):
    driver, _ = page
    wait_for(driver, lambda: driver.find_elements("css selector", "#content blockquote"))
    assert "<i>" in driver.find_element("css selector", "#content blockquote").text
    script = """const one = document.getElementById('section'); one.value = 'contradicted';
      one.dispatchEvent(new Event('change', {bubbles: true}))"""
    driver.execute_script(script)
    count = driver.find_element("id", "count")
    wait_for(driver, lambda: count.text == "1 of 2 items")


def test_a_phone_shows_it_without_scrolling_sideways(page):
    driver, _ = page
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.refresh()
    wait_for(driver, lambda: name_of(driver))
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    keep = driver.find_element("id", "keep")
    wait_for(driver, lambda: keep.is_displayed())
    assert keep.rect["y"] + keep.rect["height"] < 844


@pytest.mark.parametrize(
    "make_toys", [lambda _: make_sets(), lambda _: make_sets(classes="abcdefghijkl")]
)
def test_keys_switch_several_labels_and_enter_saves_them(page):
    from selenium.webdriver.common.keys import Keys

    driver, path = page
    body, keep = driver.find_element("tag name", "body"), driver.find_element("id", "keep")

    def buttons(which):
        """Name and key of some of the labels' buttons."""
        script = """return [...document.querySelectorAll(`#choices button${arguments[0]}`)].map(
            (one) => ["span", "kbd"].map((tag) => one.querySelector(tag).textContent))"""
        return dict(driver.execute_script(script, which))

    def pressed():
        return [*buttons("[aria-pressed=true]")]

    def switch(name):
        body.send_keys(buttons("")[name])

    first = wait_for(driver, lambda: name_of(driver))
    wait_for(driver, lambda: pressed() == ["a"])
    assert keep.text.endswith("keep a")
    switch("c")
    assert sorted(pressed()) == ["a", "c"] and keep.text.endswith("accept a, c")
    switch("a")
    assert pressed() == ["c"] and keep.text.endswith("save c")
    body.send_keys("u")  # not saved yet: as it was
    wait_for(driver, lambda: pressed() == ["a"])
    assert name_of(driver) == first and not path.exists()
    switch("b")
    press(driver, Keys.ENTER)
    wait_for(driver, lambda: pressed() == ["a"])
    driver.find_element("css selector", "#choices [aria-pressed=true]").click()
    assert pressed() == [] and keep.text.endswith("save none of them")
    second = press(driver, " ")
    press(driver, "u")
    assert name_of(driver) == second
    assert rows_of(path) == [(first, '["a", "b"]'), (second, "[]"), (second, "")]
    assert driver.find_element("id", "error").text == ""


@pytest.mark.parametrize("make_toys", [make_joined])
def test_several_inputs_are_shown_below_each_other(page):
    driver, _ = page

    def shown(tag):
        return driver.find_elements("css selector", f"#content {tag}")

    wait_for(driver, lambda: name_of(driver) and shown("h3"))
    press(driver, "1")  # the less sure one, without a sound
    wait_for(driver, lambda: shown("audio"))
    pictures = shown("img")
    loaded = "return arguments[0].complete && arguments[0].naturalWidth > 0"
    assert len(pictures) == 2
    for picture in pictures:
        wait_for(driver, lambda picture=picture: driver.execute_script(loaded, picture))
    assert [one.text for one in shown("h3")] == ["sound", "note", "motion"]
    assert shown("table")[0].text == "age 61\nward –"
    assert shown("blockquote")[0].text == "a loud <b>tone</b>"
    driver.find_element("tag name", "body").send_keys("u")
    wait_for(driver, lambda: shown(".missing"))
    assert len(shown("img")) == 1 and not shown("audio")
    assert driver.find_element("id", "error").text == ""


@pytest.mark.parametrize("language", ["ko"])
def test_a_korean_page_has_no_english_left(page):
    driver, _ = page
    press(driver, "1")
    wait_for(driver, lambda: "검토" in driver.find_element("id", "progress").text)
    wait_for(driver, lambda: driver.find_elements("css selector", "#content blockquote"))
    shown = driver.execute_script("""document.querySelectorAll(
      '#title, #content, kbd, bdi, #name').forEach((one) => one.remove());
      return document.body.innerText""")
    shown = shown.partition("저장 위치")[0] + shown.partition(".corrections.csv")[2]
    assert set(re.findall("[A-Za-z]{2,}", shown)) == {"one", "two"}  # folders
    assert driver.execute_script("return document.documentElement.lang") == "ko"

"""The review site in a real browser: keys, drawing, two windows, a killed server, and what a page must not do."""

import re
import signal
import time

import numpy as np
import pytest
from reviewing import make_dataset, read_rows, serving, start_site, write_rows

from segdata.files import write_file
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.pixels import encode_photo, encode_png
from segdata.report.review.store import Store

SIDE = 300
FIRST, SECOND, THIRD = (f"shoot/{number:04d}" for number in range(3))


@pytest.fixture
def data(tmp_path):
    """Give a data set of three photos of 300 x 300 pixels with a square person."""
    folder = make_dataset(tmp_path / "data", 3)
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100:200, 100:200] = True
    for row in read_rows(folder):
        photo = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
        photo[mask] += 150
        write_file(folder / row["file_name"], encode_photo(photo, ".png"))
        write_file(folder / row["mask_file_name"], encode_png(mask))
    write_rows(folder, [{**row, "width": SIDE, "height": SIDE} for row in read_rows(folder)])
    return folder


class Window:
    """A browser window on the site."""

    def __init__(self, browser, address, data, reviewer="Ann", **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.data, self.reviewer = data, reviewer
        self.errors, self.requests = [], []
        self.page = self.tab(address)

    def tab(self, address):
        page = self.context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address)
        page.wait_for_selector(".card, .empty:not([hidden])")
        return page

    def open(self, key):
        self.page.locator(".card", has_text=key).click()
        self.at(key)

    def at(self, key):
        """Wait until a sample is shown."""
        self.page.wait_for_function(
            "key => document.getElementById('description').textContent.startsWith(`Photo ${key},`)", arg=key
        )

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def place(self, x, y):
        """Give where a pixel of the mask is on the screen, while the whole photo is shown."""
        box = self.page.locator("#stage").bounding_box()
        scale = min(box["width"], box["height"]) / SIDE
        left = box["x"] + (box["width"] - SIDE * scale) / 2
        top = box["y"] + (box["height"] - SIDE * scale) / 2
        return left + x * scale, top + y * scale

    def draw(self, *points, button="left"):
        mouse = self.page.mouse
        mouse.move(*self.place(*points[0]))
        mouse.down(button=button)
        for point in points[1:]:
            mouse.move(*self.place(*point), steps=4)
        mouse.up(button=button)

    def saved(self, key, wanted=lambda decision: True):
        """Wait until what is saved of a sample is as wanted, and give it."""
        with Store(self.data) as store:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                found = store.find(key, self.reviewer)
                if found is not None and wanted(found):
                    return found
                time.sleep(0.03)
        raise AssertionError(f"{key} is {found}")

    def mask(self, key, wanted=lambda mask: True):
        """Wait until a corrected mask is as wanted, and give it."""
        return rle_to_mask(self.saved(key, lambda said: said.mask is not None and wanted(rle_to_mask(said.mask))).mask)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def site(data):
    with serving(data) as site:
        yield site


@pytest.fixture
def window(browser, site, data):
    window = Window(browser, f"{site.origin}/?token={site.token}", data)
    yield window
    window.context.close()
    assert window.errors == []
    assert all(url.startswith((site.origin, "data:,")) for url in window.requests)


def test_single_keys_decide_and_go_on_to_the_next(window):
    assert "token" not in window.page.url
    window.press("ArrowRight", "Enter")
    window.at(FIRST)
    window.press("a")
    window.at(SECOND)
    window.press("c")
    window.page.keyboard.type("a war of rows: k e s")
    window.press("Escape", "r")
    window.at(THIRD)
    window.press("w")
    window.page.wait_for_selector("#empty:not([hidden])")
    assert window.page.text_content("#progress") == "3 of 3 decided"
    assert window.saved(FIRST).verdict == "accept"
    second = window.saved(SECOND, lambda said: said.verdict)
    assert (second.verdict, second.comment) == ("reject", "a war of rows: k e s")
    assert window.saved(THIRD).verdict == "needs-work"


def test_a_decision_can_be_taken_back(window):
    window.open(FIRST)
    window.press("a")
    window.at(SECOND)
    window.press("ArrowLeft")
    window.at(FIRST)
    assert window.page.get_attribute("[data-verdict=accept]", "aria-pressed") == "true"
    window.press("u")
    window.saved(FIRST, lambda said: said.verdict is None)


def test_brush_and_eraser_draw_where_the_pointer_is_and_undo_takes_it_back(window):
    window.open(FIRST)
    window.press("b")
    window.draw((20, 50), (80, 50))
    drawn = window.mask(FIRST)
    assert drawn[50, 20:80].all()
    assert not drawn[50, 100:].any()
    assert not drawn[:30].any()
    assert drawn[100:200, 100:200].all()
    window.press("z")
    assert window.saved(FIRST, lambda said: said.mask is None).verdict is None
    window.press("y")
    assert np.array_equal(window.mask(FIRST), drawn)
    window.press("x")
    window.draw((150, 90), (150, 210))
    erased = window.mask(FIRST, lambda mask: not mask[150, 150])
    assert erased[50, 20:80].all()
    assert not erased[95:205, 150].any()
    window.press("Control+z")
    window.mask(FIRST, lambda mask: np.array_equal(mask, drawn))
    window.draw((110, 150), (120, 150), button="right")  # the right button takes away from the eraser: it draws
    window.press("d")
    window.saved(FIRST, lambda said: said.mask is None)


def test_the_size_of_the_brush_is_chosen_by_keys(window):
    window.open(FIRST)
    window.press("b", "]", "]", "]", "]")
    large = int(window.page.text_content("#tools output").split()[0])
    window.draw((50, 50), (51, 50))
    wide = window.mask(FIRST)[:90].sum()
    window.press("z", *["["] * 9)
    window.saved(FIRST, lambda said: said.mask is None)
    assert int(window.page.text_content("#tools output").split()[0]) < large
    window.draw((50, 50), (51, 50))
    assert window.mask(FIRST)[:90].sum() < wide / 2


def test_a_stroke_is_on_the_screen_before_the_next_frame(window):
    window.open(FIRST)
    window.press("b")
    x, y = window.place(50, 50)
    window.page.mouse.move(x, y)
    changed = window.page.evaluate(
        """([x, y]) => {
          const stage = document.getElementById("stage");
          const canvas = document.getElementById("layer-mask");
          const frame = stage.getBoundingClientRect();
          const ratio = canvas.width / frame.width;
          const ink = (dx) => canvas.getContext("2d")
            .getImageData((x + dx - frame.left) * ratio, (y - frame.top) * ratio, 1, 1).data[3];
          const before = [ink(0), ink(60)];
          const send = (type, dx) => stage.dispatchEvent(new PointerEvent(type, {
            pointerId: 1, clientX: x + dx, clientY: y, button: 0, buttons: 1, bubbles: true }));
          stage.setPointerCapture = () => {};
          send("pointerdown", 0);
          const down = [ink(0), ink(60)];
          send("pointermove", 60);
          const moved = [ink(0), ink(60)];
          send("pointerup", 60);
          return [before, down, moved].map((pair) => pair.map((value) => value > 0));
        }""",
        [x, y],
    )
    assert changed == [[False, False], [True, False], [True, True]]


def test_a_polygon_is_filled_and_its_last_corner_can_be_taken_back(window):
    window.open(FIRST)
    window.press("g")
    for point in ((10, 10), (60, 10), (60, 60), (250, 250)):
        window.page.mouse.click(*window.place(*point))
    window.press("z")
    window.page.mouse.click(*window.place(10, 60))
    window.press("Enter")
    drawn = window.mask(FIRST)
    assert drawn[12:58, 12:58].all()
    assert not drawn[64:98].any()
    window.press("z")
    window.saved(FIRST, lambda said: said.mask is None)


def test_the_brush_of_superpixels_snaps_to_the_edge_of_the_person(window, data):
    write_file(data / "masks" / f"{FIRST}.png", encode_png(np.zeros((SIDE, SIDE), bool)))
    window.open(FIRST)
    window.press("n")
    window.page.wait_for_function("() => document.getElementById('notice').textContent === ''")
    window.draw(*((x, y) for y in range(110, 200, 12) for x in (106, 194)))
    drawn = window.mask(FIRST)
    person = np.zeros((SIDE, SIDE), bool)
    person[100:200, 100:200] = True
    assert (drawn & person).sum() / (drawn | person).sum() > 0.9


def test_one_can_draw_without_a_pointer(window):
    window.open(FIRST)
    window.press("b", *["ArrowUp"] * 40, "Space")
    drawn = window.mask(FIRST)
    assert drawn[50, 150]
    window.press("g", "ArrowLeft", "Space", *["ArrowUp"] * 9, "Space", *["ArrowLeft"] * 9, "Space", "Enter", "a")
    assert window.saved(FIRST, lambda said: said.verdict == "accept").mask is not None


def test_zooming_and_moving_change_what_is_seen_and_not_where_one_draws(window):
    window.open(FIRST)
    window.press("b", "[", "[")
    target = window.place(50, 50)
    window.page.mouse.move(*target)
    for _ in range(4):
        window.page.mouse.wheel(0, -200)
    window.page.mouse.down()
    window.page.mouse.up()
    drawn = window.mask(FIRST)[:90]
    assert 0 < drawn.sum() < 80
    assert np.abs(np.argwhere(drawn).mean(axis=0) - 50).max() < 1.5
    window.press("z", "v")
    window.page.mouse.down()
    window.page.mouse.move(target[0] + 100, target[1] + 60)
    window.page.mouse.up()
    window.press("b")
    window.page.mouse.click(target[0] + 100, target[1] + 60)
    moved = window.mask(FIRST, lambda mask: mask[:90].any())[:90]
    assert np.abs(np.argwhere(moved).mean(axis=0) - 50).max() < 1.5


def test_of_two_windows_the_second_is_told_and_shown_and_chooses(browser, site, window, data):
    other = Window(browser, f"{site.origin}/?token={site.token}", data)
    for each in (window, other):
        each.open(FIRST)
        each.press("b")
    other.page.route("**/api/changes?*", lambda route: None)  # it does not hear of it before it draws
    window.draw((20, 20), (60, 20))
    window.mask(FIRST)
    window.press("a")
    window.saved(FIRST, lambda said: said.verdict == "accept")
    other.draw((20, 280), (60, 280))
    other.page.wait_for_selector("#conflict[open]")
    text = other.page.text_content("#conflict")
    assert FIRST in text
    assert "accepted" in text
    assert other.page.locator("#conflict canvas").count() == 2
    assert window.saved(FIRST).verdict == "accept"  # until someone chooses
    other.page.click("#keep-mine")
    mine = other.mask(FIRST, lambda mask: mask[280, 20:60].all())
    assert not mine[20, 20:60].any()
    window.press("ArrowLeft", "v", "ArrowLeft")
    window.at(FIRST)
    other.press("r")
    other.saved(FIRST, lambda said: said.verdict == "reject")
    window.page.wait_for_function("() => document.querySelector('[data-verdict=reject]').ariaPressed === 'true'")
    assert other.errors == []
    other.context.close()


def test_of_two_windows_the_second_may_keep_what_is_saved(browser, site, window, data):
    other = Window(browser, f"{site.origin}/?token={site.token}", data)
    for each in (window, other):
        each.open(FIRST)
    window.press("a")
    saved = window.saved(FIRST)
    other.press("r")
    other.page.wait_for_selector("#conflict[open]")
    other.page.click("#keep-theirs")
    other.page.wait_for_function("() => document.getElementById('saving').textContent === 'saved'")
    assert other.saved(FIRST) == saved
    other.context.close()


def test_a_server_that_is_killed_while_it_saves_loses_nothing(browser, data):
    process, address = start_site(data)
    window = Window(browser, address, data)
    port = int(re.search(r":(\d+)/", address).group(1))
    try:
        window.open(FIRST)
        window.press("b")
        window.draw((20, 20), (60, 20))
        window.press("c")
        window.page.keyboard.type("seen")
        window.press("Escape", "a")
        kill(process)  # saves are on their way
        process, address = start_site(data, port=port)
        window.tab(address)  # the new token lets the old tab in too
        window.page.wait_for_function("() => document.getElementById('saving').textContent === 'saved'", timeout=20_000)
        said = window.saved(FIRST, lambda said: said.verdict == "accept")
        assert said.comment == "seen"
        assert rle_to_mask(said.mask)[20, 20:60].all()
    finally:
        kill(process)
        window.context.close()


def test_what_was_not_saved_is_saved_when_the_tab_was_closed_too(browser, data):
    process, address = start_site(data)
    window = Window(browser, address, data)
    port = int(re.search(r":(\d+)/", address).group(1))
    try:
        window.open(FIRST)
        kill(process)
        window.press("b")
        window.draw((20, 20), (60, 20))
        window.press("r")
        window.page.wait_for_function("() => document.getElementById('saving').dataset.fault === 'true'")
        window.page.close()
        process, address = start_site(data, port=port)
        window.tab(address)
        said = window.saved(FIRST, lambda said: said.verdict == "reject")
        assert rle_to_mask(said.mask)[20, 20:60].all()
    finally:
        kill(process)
        window.context.close()


def test_a_second_reviewer_sees_where_the_two_disagree_and_may_take_over(browser, site, window, data):
    with serving(data, "Bo") as second:
        other = Window(browser, f"{second.origin}/?token={second.token}", data, "Bo")
        other.open(FIRST)
        other.press("b")
        other.draw((20, 20), (60, 20))
        other.press("a")
        theirs = other.saved(FIRST, lambda said: said.verdict == "accept" and said.mask).mask
        window.open(FIRST)
        window.press("r")
        window.saved(FIRST)
        window.page.goto(f"{site.origin}/#/?show=disagree&by=file&first=low")
        window.open(FIRST)
        window.page.wait_for_selector(".said.differs")
        assert "Bo: accepted, with a corrected mask" in window.page.text_content("#others")
        window.page.click("text=Decide as Bo")
        mine = window.saved(FIRST, lambda said: said.verdict == "accept")
        assert mine.mask == theirs
        window.press("q")
        window.page.wait_for_selector("#empty:not([hidden])")
        other.context.close()


def test_text_stays_text_whatever_is_in_it(browser, data):
    key = "<img src=x onerror=alert(1)>"
    rows = read_rows(data)
    write_rows(
        data,
        [{**rows[0], "key": key, "domain": "<script>alert(2)</script>", "<b>name</b>": "\"'><svg/onload=alert(3)>"}],
    )
    with serving(data, "<i>Eve</i>") as site:
        window = Window(browser, f"{site.origin}/?token={site.token}", data, "<i>Eve</i>")
        assert window.page.text_content(".card .name") == key
        window.open(key)
        assert "<script>alert(2)</script>" in window.page.text_content("#facts")
        window.press("c")
        window.page.keyboard.type("<img src=y onerror=alert(4)>")
        window.press("Escape", "a")
        assert window.saved(key).comment == "<img src=y onerror=alert(4)>"
        assert window.page.locator("img[src=x], img[src=y], main script, svg, #dataset i").count() == 0
        assert window.errors == []
        window.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window_and_can_be_read_in_light_and_dark(browser, site, data, scheme, width):
    window = Window(
        browser,
        f"{site.origin}/?token={site.token}",
        data,
        color_scheme=scheme,
        viewport={"width": width, "height": 844},
    )
    overflow = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    contrast = """(selector) => {
      const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => (value / 255) ** 2.2);
        return .2126 * r + .7152 * g + .0722 * b;
      };
      const element = document.querySelector(selector);
      const backOf = (box) => getComputedStyle(box).backgroundColor;
      let box = element;
      while (backOf(box) === "rgba(0, 0, 0, 0)") box = box.parentElement ?? document.documentElement;
      const [a, b] = [light(getComputedStyle(element).color), light(backOf(box))].sort((x, y) => y - x);
      return (a + .05) / (b + .05);
    }"""
    assert window.page.evaluate(overflow) <= 0
    assert all(
        window.page.evaluate(contrast, selector) > 4.5 for selector in (".name", ".state", "#dataset", "#progress")
    )
    window.open(FIRST)
    assert window.page.evaluate(overflow) <= 0
    for verdict in ("accept", "reject", "needs-work"):
        box = window.page.locator(f"[data-verdict={verdict}]").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 844
    stage = window.page.locator("#stage").bounding_box()
    assert min(stage["width"], stage["height"]) > 300
    assert all(
        window.page.evaluate(contrast, selector) > 4.5 for selector in ("#title", "#place", ".verdict", "#facts dt")
    )
    window.context.close()


def test_everything_has_a_name_and_the_keys_are_listed(window):
    window.open(FIRST)
    window.press("?")
    text = window.page.inner_text("#help")
    for word in ("accept", "reject", "needs work", "brush", "superpixels", "undo", "zoom in", "saliency", "find a key"):
        assert word in text
    window.press("Escape")
    nameless = """[...document.querySelectorAll('button, input, select, textarea, canvas[role], a')]
      .filter((each) => !(each.ariaLabel || each.textContent.trim() || each.labels?.length))
      .map((each) => each.outerHTML)"""
    assert window.page.evaluate(nameless) == []
    assert "The mask covers 11 % of it" in window.page.text_content("#description")
    window.press("q")
    # The focus is on the sample that one comes from.
    window.page.wait_for_function("() => document.activeElement.classList.contains('card')")
    assert FIRST in window.page.evaluate("document.activeElement.ariaLabel")
    assert window.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_mask_styles_and_layers_are_switched_by_keys(window):
    window.open(FIRST)
    ink = """() => {
      const canvas = document.getElementById('layer-mask');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.reduce((count, value, i) => count + (i % 4 === 3 && value > 0), 0);
    }"""
    window.page.wait_for_timeout(100)
    filled = window.page.evaluate(ink)
    window.press("m")
    window.page.wait_for_timeout(100)
    outline = window.page.evaluate(ink)
    window.press("m")
    window.page.wait_for_timeout(100)
    assert (0 < outline < filled / 4, window.page.evaluate(ink)) == (True, 0)
    window.press("m")
    window.page.keyboard.down("h")
    window.page.wait_for_timeout(100)
    assert window.page.evaluate(ink) == 0
    window.page.keyboard.up("h")
    window.page.wait_for_timeout(100)
    assert window.page.evaluate(ink) == filled
    assert window.page.is_disabled("[data-layer=edges]")


def test_a_mask_of_any_shape_comes_back_bit_for_bit(window, data):
    noise = np.random.default_rng(1).random((SIDE, SIDE)) > 0.5
    write_file(data / "masks" / f"{FIRST}.png", encode_png(noise))
    window.open(FIRST)
    window.press("b", *["["] * 12)
    window.draw((150, 150), (150, 150))
    drawn = window.mask(FIRST) if not noise[150, 150] else None
    window.press("x")
    window.draw((150, 150), (150, 150))
    window.press("w")
    said = window.saved(FIRST, lambda said: said.verdict)
    if drawn is not None:
        assert (drawn != noise).sum() <= 9
    final = rle_to_mask(said.mask) if said.mask else noise
    assert (final != noise).sum() <= 9
    assert mask_to_rle(final).size == (SIDE, SIDE)

"""The lab's page in a browser: it opens without an error, does what its buttons and keys say, and shows the recording's numbers."""

import json
import re

import numpy as np
import pytest
from chromium_support import in_chromium, opened

from minigan.study.lab import page
from minigan.study.lab.record import SHOWN, record

pytestmark = pytest.mark.host

STILL = "--force-prefers-reduced-motion"
HELP = """
  const found = {}, one = (id) => document.getElementById(id), press = (key) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const scene = one("scene");
  const picture = () => scene.toDataURL();
  const scrub = (frame) => { one("scrub").value = frame; one("scrub").dispatchEvent(new Event("input")); };
  const texts = (query) => [...document.querySelectorAll(query)].map((element) => element.textContent);
  const say = () => { document.body.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(found) })); };
"""


@pytest.fixture(scope="module", params=["ring", "line"])
def recorded(request):
    """A recording of a few steps, and its page."""
    recording = record(request.param, steps=3, seed=1)
    return recording, page.page(recording)


def told(text, script, folder, *options):
    """What a script found on the page; nothing may be said on the console."""
    dom, console = opened(text, f"{{{HELP}{script}say();}}", folder, *options)
    assert console == []
    return json.loads(re.search(r"<pre>(.*?)</pre>", dom, re.DOTALL)[1].replace("&gt;", ">").replace("&lt;", "<"))


def number(text):
    """A number as the page writes it."""
    text = text.replace("−", "-").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(text.replace("·10", "e"))


def close(text, value):
    """Whether the page says this value, in three digits."""
    return number(text) == pytest.approx(float(value), rel=0.006, abs=1e-12)


def test_the_page_fetches_nothing(recorded):
    _, text = recorded
    shell = re.sub(r'"bytes":"[^"]*"', "", text).replace(f'"{"http://www.w3.org/2000/svg"}"', "")
    assert "://" not in shell
    assert not re.search(r"\b(src|url|import|fetch|XMLHttpRequest|WebSocket)\s*[=(]", shell)
    assert "default-src 'none'" in shell


@in_chromium
def test_it_plays_by_itself_to_the_end_unless_motion_is_unwanted(recorded, tmp_path):
    _, text = recorded
    script = 'found.button = one("play").textContent; found.where = one("where").textContent;'
    assert told(text, script, tmp_path) == {"button": "Pause", "where": "step 0 of 3"}
    assert told(text, script, tmp_path, STILL) == {"button": "Play", "where": "step 3 of 3"}
    dom, _ = opened(text, "", tmp_path)  # two seconds later
    assert re.search(r'<output id="where"[^>]*>step 3 of 3<', dom)
    assert re.search(r'<button id="play"[^>]*>Play<', dom)


@in_chromium
def test_the_slider_the_buttons_and_the_keys_go_through_the_frames(recorded, tmp_path):
    _, text = recorded
    script = """
      const seen = [], look = () => seen.push([one("where").textContent, picture()]);
      for (let frame = 0; frame < 4; frame++) { scrub(frame); look(); }
      one("back").click(); look();
      one("on").click(); look();
      for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"]) { press(key); look(); }
      press(" "); found.playing = one("play").textContent;
      press(" "); found.paused = one("play").textContent;
      found.where = seen.map(([where]) => where);
      found.pictures = [...new Set(seen.map((entry) => entry.join()))].length;
      found.valuetext = one("scrub").getAttribute("aria-valuetext");
    """
    found = told(text, script, tmp_path, STILL)
    assert found["where"] == [f"step {n} of 3" for n in (0, 1, 2, 3, 2, 3, 0, 1, 2, 1, 3)]
    assert found["pictures"] == 4  # one a frame, the same whichever way one comes to it
    assert (found["playing"], found["paused"], found["valuetext"]) == ("Pause", "Play", "step 0 of 3")


@in_chromium
def test_each_loss_has_its_arrows_and_says_how_long_they_are(recorded, tmp_path):
    recording, text = recorded
    script = """
      scrub(2);
      found.lengths = texts("#losses .length");
      const by_button = [0, 1, 2, 3].map((i) => { one(`loss-${i}`).click(); return picture(); });
      const by_key = [0, 1, 2, 3].map((i) => { press(String(i + 1)); return picture(); });
      found.alike = by_button.every((p, i) => p === by_key[i]);
      found.different = new Set(by_key).size;
      one("layer-arrows").click();
      found.without = new Set([0, 1, 2, 3].map((i) => { press(String(i + 1)); return picture(); })).size;
      found.label = scene.getAttribute("aria-label");
    """
    found = told(text, script, tmp_path, STILL)
    means = np.linalg.norm(recording.frames["arrows"][2], axis=-1).mean(axis=-1)
    assert len(found["lengths"]) == len(SHOWN)
    assert all(close(said, mean) for said, mean in zip(found["lengths"], means, strict=True))
    assert (found["alike"], found["different"], found["without"]) == (True, 4, 1)
    assert found["label"].startswith("step 2 of 3. ")
    assert "Wasserstein" in found["label"]


@in_chromium
def test_slow_motion_tells_the_step_in_seven_parts_with_its_numbers(recorded, tmp_path):
    recording, text = recorded
    script = """
      scrub(1); one("enter").click();
      const part = () => [one("part").textContent, texts("#numbers td"), texts("#caption p").length, picture()];
      found.parts = [part()];
      for (let i = 1; i < 7; i++) { i % 2 ? one("further").click() : press("ArrowRight"); found.parts.push(part()); }
      press("ArrowLeft"); found.back = one("part").textContent;
      press("ArrowRight"); press("ArrowRight"); found.next = [one("part").textContent, one("where").textContent];
      press("Escape"); found.closed = one("slow").hidden && !one("now").hidden;
      press("s"); found.opened = !one("slow").hidden && one("now").hidden;
      found.live = one("caption").getAttribute("aria-live");
    """
    found = told(text, script, tmp_path, STILL)
    assert [part[0] for part in found["parts"]] == [f"{i} of 7" for i in range(1, 8)]
    assert all(part[2] >= 2 for part in found["parts"])  # a title and a text
    assert len({part[3] for part in found["parts"]}) >= 5  # pictures: two parts are told, and look like the ones before
    assert (found["back"], found["next"]) == ("6 of 7", ["1 of 7", "step 2 of 3"])
    assert (found["closed"], found["opened"], found["live"]) == (True, True, "polite")

    shot = {name: array[1] for name, array in recording.frames.items()}
    said = [part[1] for part in found["parts"]]
    numbers = lambda text: re.findall(r"−?\d[\d.]*(?:·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?", text)
    probability = lambda logits: 1 / (1 + np.exp(-logits))
    over = lambda name: [shot[name].mean(), probability(shot[name]).mean()]
    ringed = lambda name: [shot[name][0], probability(shot[name][0])]
    length = lambda vectors: np.linalg.norm(vectors, axis=1).mean()
    plain, loss_d, loss_g = shot["step_losses"]
    expected = [
        [shot["z"][0], shot["fake"][0]],
        [over("logits_real"), over("logits_fake"), ringed("logits_fake")],
        [[plain], [loss_d - plain], [loss_d], *([norm] for norm in shot["norms_d"])],
        [over("logits_fake"), over("logits_after"), ringed("logits_fake"), ringed("logits_after")],
        [[loss_g], [length(shot["push"])], shot["push"][0]],
        [[norm] for norm in shot["norms_g"]],
        [[length(shot["moved"] - shot["fake"])], shot["fake"][0], shot["moved"][0]],
    ]
    for cells, values in zip(said, expected, strict=True):
        for cell, value in zip(cells, values, strict=True):
            assert all(close(a, b) for a, b in zip(numbers(cell), value, strict=True)), (cell, value)


@in_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen_and_all_can_be_reached_and_has_a_name(recorded, width, tmp_path):
    _, text = recorded
    script = """
      const root = document.documentElement, wide = () => root.scrollWidth - root.clientWidth;
      const nameless = () => [...document.querySelectorAll("button, input, canvas, svg[role]")].filter((element) =>
        !/\\w/.test([element.getAttribute("aria-label"), element.textContent, element.labels?.[0]?.textContent].join(""))).length;
      const reached = () => [...document.querySelectorAll("button:enabled, input")].filter((element) => element.offsetParent).every(
        (element) => { element.focus({ focusVisible: true }); return document.activeElement === element
          && getComputedStyle(element).outlineStyle === "solid"; });
      found.now = [wide(), nameless(), reached()];
      one("enter").click();
      found.slow = [];
      for (let i = 0; i < 7; i++) { found.slow.push([wide(), nameless(), reached()]); press("ArrowRight"); }
      found.columns = getComputedStyle(document.querySelector(".stage")).gridTemplateColumns.split(" ").length;
    """
    found = told(text, script, tmp_path, STILL, f"--window-size={width},900")
    assert found["now"] == [0, 0, True]
    assert all(part == [0, 0, True] for part in found["slow"])
    assert found["columns"] == (1 if width == 360 else 2)


@in_chromium
def test_dark_screens_have_dark_pages(recorded, tmp_path):
    _, text = recorded
    script = """
      found.page = getComputedStyle(document.body).backgroundColor;
      found.scene = [...scene.getContext("2d").getImageData(scene.width - 3, 3, 1, 1).data.slice(0, 3)];
    """
    light = told(text, script, tmp_path, STILL)
    dark = told(text, script, tmp_path, STILL, "--blink-settings=preferredColorScheme=0")
    brightness = lambda found: (sum(map(int, re.findall(r"\d+", found["page"]))) / 3, sum(found["scene"]) / 3)
    assert min(brightness(light)) > 200
    assert max(brightness(dark)) < 80

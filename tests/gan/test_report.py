"""The page of a run: it opens in a browser, holds what the run's files say, and nothing in them can do harm."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from chromium_support import in_chromium, opened
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minigan as mg
from minigan.errors import RunError
from minigan.gan import PRESETS, Trainer, curves, pictures, report

TEMPLATE = Path(report.__file__).with_suffix(".html").read_text()
VOID = {"meta", "link", "img", "input"}
HARM = [
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title = \'owned\'">',
    "</title></style></script><b onclick=alert(1)>",
    "$sections ${title} %s {0}",
    "<!-- javascript:alert(1) https://example.org/",
    "\ud800",
]
KEYS = ["step", "epoch", "warnings", *(key for chart in curves.CHARTS for key in chart.lines)]
texts = st.sampled_from(HARM) | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 1000) | st.floats() | st.floats(0, 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 10) | st.integers()
row = st.dictionaries(st.sampled_from(KEYS) | texts, numbers | values, max_size=len(KEYS))
usual = st.fixed_dictionaries({"step": st.integers(0, 1000)}, optional=dict.fromkeys(KEYS[3:], numbers | st.floats()))
warned = st.builds(lambda row, said: row | {"warnings": said}, row, st.lists(texts | values, max_size=3))
rows = st.lists((row | usual | warned).map(json.dumps) | texts, max_size=12)
few = st.lists(st.floats(-10, 10).map(lambda y: round(y, 9) + 0.0), min_size=1, max_size=50)
many = st.builds(
    lambda n, seed: np.random.default_rng(seed).standard_normal(n).tolist(),
    st.integers(2 * curves.MOST, 10 * curves.MOST),
    st.integers(0, 100),
)


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def found(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def harmless(page):
    """One script, the template's; and nothing that is fetched, followed or run."""
    assert page.texts["script"] == [TEMPLATE.partition("<script>")[2].partition("</script>")[0]]
    assert page.texts["style"] == [TEMPLATE.partition("<style>")[2].partition("</style>")[0]]
    for tag, attrs in page.elements:
        assert tag not in ("a", "iframe", "object", "embed", "base", "form")
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "style"):
                assert value.startswith("data:")


def run_folder(path, settings=None, lines=(), epochs=()):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(settings or {"model": "gan"}))
    (path / "metrics.jsonl").write_bytes("\n".join(lines).encode(errors="replace"))
    for old in path.glob("samples-*"):
        old.unlink()
    for epoch in epochs:
        images = np.full((64, 1, 28, 28), np.cos(epoch), "float32")
        (path / f"samples-{epoch:03d}.png").write_bytes(pictures.grid(images))
    return path


@given(st.integers(1, 10**6))
def test_no_number_below_a_curve_is_cut_off(last):
    drawn = curves.figure(curves.CHARTS[0], [{"step": step, "loss_d": 1.0} for step in (0, last)])
    labels = re.findall(r'<text x="([^"]+)" y="[^"]+" text-anchor="middle">([^<]+)<', drawn)
    assert labels
    # places are rounded to tenths
    assert all(float(x) + curves.DIGIT * len(label) / 2 <= curves.WIDTH + 0.05 + 1e-9 for x, label in labels)


@given(settings=st.dictionaries(texts, values, max_size=4), lines=rows)
def test_whatever_the_files_say_the_page_shows_it_and_nothing_of_it_runs(tmp_path_factory, settings, lines):
    settings = {"model": HARM[0], **settings}
    folder = run_folder(tmp_path_factory.getbasetemp() / "report", settings, lines)
    page = Page(report.page(folder))
    harmless(page)
    settings = json.loads((folder / "config.json").read_text())
    assert page.texts["th"] == list(settings)
    said = [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in settings.values()]
    assert page.texts["td"] == ["not given" if v is None else s for v, s in zip(settings.values(), said, strict=True)]
    for tag, attrs in page.elements:  # all that is drawn lies in its picture
        drawn = (
            re.findall(r"[ML]([^ ML]+) ([^ ML]+)", attrs["d"])
            if "line" in attrs.get("class", "") and "d" in attrs
            else []
        )
        drawn += [(attrs["cx"], attrs["cy"])] if tag == "circle" else []
        drawn = [] if attrs.get("d") == "M1 4H23" else drawn  # a swatch
        for x, y in drawn:
            assert curves.LEFT - 0.1 <= float(x) <= curves.WIDTH - curves.RIGHT + 0.1  # written with one decimal
            assert curves.TOP - 0.1 <= float(y) <= curves.HEIGHT - curves.BOTTOM + 0.1
    assert report.write(folder).read_bytes() == report.page(folder).encode(errors="replace")


@given(ys=few | many, log=st.booleans())
def test_a_curve_keeps_its_order_and_its_peaks(ys, log):
    ys = [abs(y) + 1e-3 if log else y for y in ys]
    chart = replace(curves.CHARTS[0], log=log)
    drawn = curves.figure(chart, [{"step": i, "loss_d": y} for i, y in enumerate(ys)])
    place = [tuple(map(float, p.split())) for p in re.search(r'line c0" d="M([^"H]+)"', drawn)[1].split("L")]
    assert len(place) <= 3 * curves.MOST
    assert place == sorted(place, key=lambda p: p[0])
    ends = sorted((curves.HEIGHT - curves.BOTTOM, curves.TOP))
    heights = [y for _, y in place]
    assert ends[0] - 0.1 <= min(heights) <= max(heights) <= ends[1] + 0.1  # written with one decimal
    if max(ys) - min(ys) > 1 and "logarithmic" not in drawn:  # the highest value touches the top of the picture
        assert min(heights) == pytest.approx(curves.TOP, abs=0.1)
    if len(ys) <= 2 * curves.MOST:
        order = np.argsort(ys, kind="stable")
        assert (np.diff(np.array(heights)[order]) <= 0).all()
    assert f"{min(ys):.3g} and {max(ys):.3g}." in drawn  # the text alternative


def test_every_figure_of_the_rows_has_its_curve_and_what_they_lack_is_left_out(tmp_path):
    row = {key: 0.5 for chart in curves.CHARTS for key in chart.lines}
    for keys in (["loss_d"], ["d_real", "d_fake"], list(row)):
        lines = [json.dumps({"step": i, "epoch": 1} | {key: row[key] for key in keys}) for i in range(3)]
        page = Page(report.page(run_folder(tmp_path, lines=lines)))
        wanted = [chart for chart in curves.CHARTS if set(chart.lines) & set(keys)]
        assert [t.partition(":")[0] for t in page.texts["title"][1:]] == [chart.title for chart in wanted]
        for chart, text in zip(wanted, page.texts["desc"], strict=True):
            assert text.count("between") == len(set(chart.lines) & set(keys))
        graphics = [attrs for attrs in page.found("svg") if "role" in attrs]
        named = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
        assert all(set(attrs["aria-labelledby"].split()) <= named for attrs in graphics)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300, 10**400, True, "1", None, []])
def test_what_cannot_be_drawn_is_left_out(value):
    good = [{"step": i, "loss_d": i} for i in range(3)]
    bad = [{"step": 3, "loss_d": value}, {"step": value, "loss_d": 3}, {"loss_d": 3}]
    assert curves.figure(curves.CHARTS[0], good + bad) == curves.figure(curves.CHARTS[0], good)
    assert curves.figure(curves.CHARTS[0], bad) == ""


def test_values_far_apart_are_on_a_logarithmic_axis():
    lines = [{"step": i, "grad_d": 10.0**i} for i in range(5)]
    drawn = curves.figure(curves.CHARTS[2], lines)
    assert "gradient norm, logarithmic" in drawn
    heights = [float(y) for y in re.findall(r' cy="([\d.]+)"', drawn)]
    np.testing.assert_allclose(np.diff(heights), np.diff(heights).mean(), atol=0.21)  # written with one decimal
    assert "logarithmic" not in curves.figure(curves.CHARTS[2], [*lines, {"step": 9, "grad_d": 0.0}])


def test_warnings_stand_once_with_where_they_began(tmp_path):
    said = [["D is too sure"], [], ["D is too sure", "classes are few"], ["D is too sure"]]
    lines = [json.dumps({"step": 10 * i, "warnings": texts}) for i, texts in enumerate(said)]
    page = Page(report.page(run_folder(tmp_path, lines=lines)))
    assert page.texts["li"] == [": D is too sure ", ": classes are few"]
    assert page.texts["b"] == ["Step 0", "Step 20"]
    assert "(3 times)" in page.texts["span"]
    assert "None." in report.page(run_folder(tmp_path, lines=['{"step": 1, "warnings": []}']))
    assert "<h2>Warnings" not in report.page(run_folder(tmp_path, lines=['{"step": 1}']))
    many = [json.dumps({"step": i, "warnings": [f"warning {i}"]}) for i in range(report.WARNINGS + 5)]
    page = Page(report.page(run_folder(tmp_path, lines=many)))
    assert len(page.texts["li"]) == report.WARNINGS
    assert page.texts["li"][-1] == f": warning {report.WARNINGS + 4}"
    assert "5 earlier ones are left out." in page.texts["p"]


@given(epochs=st.sets(st.integers(0, 3000), min_size=1, max_size=4) | st.integers(1, 200).map(range))
def test_the_samples_are_few_evenly_spaced_and_end_with_the_newest(tmp_path_factory, epochs):
    folder = run_folder(tmp_path_factory.getbasetemp() / "grids", epochs=[])
    for epoch in epochs:
        (folder / f"samples-{epoch:03d}.png").write_bytes(TINY)
    shown = [epoch for epoch, _ in report._grids(folder)]
    assert shown == sorted(set(shown) & set(epochs))
    assert shown[-1] == max(epochs)
    assert len(shown) <= report.MOST
    if len(epochs) <= report.MOST:
        assert shown == sorted(epochs)
    else:
        assert len(shown) >= report.MOST / 2
        assert len(set(np.diff(shown[:-1]))) == 1


@pytest.mark.host
def test_the_page_stays_small_and_leaves_out_pictures_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "BUDGET", 300_000)  # of some 2 MB
    folder = run_folder(tmp_path, epochs=[])
    noise = np.random.default_rng(0).uniform(-1, 1, (64, 3, 32, 32)).astype("float32")
    for epoch in range(20):
        (folder / f"samples-{epoch:03d}.png").write_bytes(pictures.grid(np.roll(noise, epoch, axis=0)))
    page = report.write(folder)
    assert page.stat().st_size < report.BUDGET + 50_000  # the rest of a page without a generator
    epochs = [int(img["data-epoch"]) for img in Page(page.read_text()).found("img")]
    assert len(epochs) >= 2
    assert epochs[-1] == 19
    (folder / "samples-019.png").write_bytes(b"\x89PNG")
    (folder / "samples-020.png").write_bytes(b"")
    assert {"19", "20"}.isdisjoint(img["data-epoch"] for img in Page(report.page(folder)).found("img"))


def test_a_grid_is_shown_pixel_by_pixel():
    images = np.random.default_rng(0).uniform(-1, 1, (64, 1, 28, 28)).astype("float32")
    grid = np.asarray(Image.open(BytesIO(pictures.grid(images))).convert("L"))
    np.testing.assert_array_equal(decoded(report._small(pictures.grid(images))), grid[::2, ::2])


def decoded(uri):
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("report") / "run"
    Trainer(replace(PRESETS["gan"], epochs=2, batch_size=1250, judge=50, out=folder)).run()
    return folder


@pytest.mark.host
def test_a_run_leaves_its_page_and_it_can_be_made_anew(real):
    content = (real / "report.html").read_bytes()
    page = Page(content.decode())
    harmless(page)
    assert page.texts["h1"] == ["gan on digits"]
    assert page.texts["h2"][-4:] == ["Samples", "Curves", "The generator now", "Settings"]
    assert page.texts["th"] == list(json.loads((real / "config.json").read_text()))
    assert [img["data-epoch"] for img in page.found("img") if "data-epoch" in img] == ["0", "1", "2"]
    assert all(img["alt"] for img in page.found("img"))
    (real / "report.html").unlink()
    assert report.write(real).read_bytes() == content
    (real / "report.html").unlink()
    command = [sys.executable, "-c", "from minigan.cli import main; main()", "report", str(real)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(real / "report.html") in done.stdout
    assert (real / "report.html").read_bytes() == content


@pytest.mark.host
def test_the_interpolation_begins_and_ends_at_latents_and_digits_stand_above_their_nearest(real):
    run = mg.gan.load(real)
    page = Page(report.page(real))
    z = mg.gan.run.latents(report.BETWEEN, "normal", run.config.seed)
    at = mg.gan.run.generate(run.generator, z)
    samples = run.sample(report.COMPARED, run.config.seed)
    way, pairs = (cut(decoded(img["src"])) for img in page.found("img")[-2:])
    corners = way.reshape(report.BETWEEN - 1, report.COLUMNS, 28, 28)
    np.testing.assert_allclose(corners[:, 0], shades(at[:-1]), atol=1)  # one shade of 256, for rounding
    np.testing.assert_allclose(corners[:, -1], shades(at[1:]), atol=1)
    np.testing.assert_allclose(pairs[:10], shades(samples), atol=1)
    digits = mg.data.digits()[0]
    distances = ((samples[:, None] - digits[None, :]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_allclose(pairs[10:], shades(digits[distances.argmin(axis=1)]), atol=1)


def cut(sheet, size=28):
    h, w = sheet.shape
    return sheet.reshape(h // size, size, w // size, size).swapaxes(1, 2).reshape(-1, size, size).astype(float)


def shades(images):
    return cut(decoded(report._small(pictures.grid(images, columns=1))))


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_latents_between_are_as_far_out_as_latents(latent):
    z = mg.gan.run.latents(2, latent, 0).numpy()
    way = report._along_the_sphere if latent == "normal" else report._straight
    np.testing.assert_allclose(way(*z, 0.0), z[0], rtol=1e-5, atol=1e-6)  # float32
    np.testing.assert_allclose(way(*z, 1.0), z[1], rtol=1e-5, atol=1e-6)
    between = np.stack([way(*z, t) for t in np.linspace(0, 1, 9)])
    if latent == "normal":
        lengths = np.linalg.norm(between, axis=1)
        assert lengths.min() > 0.99 * np.linalg.norm(z, axis=1).min()
    else:
        assert np.abs(between).max() <= 1


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        report.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


TINY = pictures.grid(np.zeros((1, 1, 2, 2), "float32"), columns=1)


def shown(dom):
    pictures = [img for img in Page(dom).found("img") if "data-epoch" in img]
    return [img["data-epoch"] for img in pictures if "hidden" not in img]


@pytest.mark.host
@in_chromium
def test_in_a_browser_the_page_opens_without_an_error_and_the_slider_changes_the_picture(tmp_path):
    lines = [json.dumps({"step": i, "epoch": 1, "loss_d": 1.0, "warnings": HARM[:5]}) for i in range(3)]
    folder = run_folder(tmp_path / "run", {"model": HARM[0], "data": HARM[1], HARM[2]: "x" * 500}, lines, range(4))
    page = report.write(folder).read_text()
    dom, console = opened(page, "", tmp_path)
    assert (shown(dom), console) == (["3"], [])
    assert Page(dom).texts["title"][0] == f"{HARM[0]} on {HARM[1]}"
    move = """
      const slider = document.querySelector("input"), root = document.documentElement;
      slider.focus();
      root.dataset.focused = document.activeElement === slider;
      for (let i = 0; i < 2; i++) { slider.stepDown(); slider.dispatchEvent(new Event("input")); }
      root.dataset.wide = root.scrollWidth - root.clientWidth;
    """
    dom, console = opened(page, move, tmp_path, "--window-size=360,800")
    assert (shown(dom), console) == (["1"], [])
    page = Page(dom)
    assert page.texts["output"] == ["epoch 1"]
    assert page.found("input")[0]["aria-valuetext"] == "epoch 1"
    assert page.found("html")[0]["data-focused"] == "true"
    assert page.found("html")[0]["data-wide"] == "0"  # nothing to scroll sideways

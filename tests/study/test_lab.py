"""The lab: what its recording says is what happened, D comes near to the best one, and what cannot be written is said at once."""

import base64
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.backends import own_threads
from minigan.backends.pool import one_blas_thread
from minigan.errors import RunError
from minigan.gan.losses import LOSSES
from minigan.study.lab import density, page
from minigan.study.lab.players import RECIPES, Lab
from minigan.study.lab.record import FRAMES, MODES, SHOWN, InAPlane, frame_steps, record

DATA = sorted(RECIPES)
LIMIT = 5_000_000  # bytes
CONVERGED = 6000  # steps, for D alone: where it has come last is the edge, with one real point in a hundred


def sigma(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


@pytest.fixture(scope="module")
def recordings():
    """A few steps of each kind, every one of which is a frame."""
    return {data: record(data, steps=3, seed=1) for data in DATA}


@pytest.fixture(autouse=True)
def one_thread():
    """Sums are rounded as where the recording is made."""
    with own_threads(False), one_blas_thread:
        yield


@pytest.fixture(params=DATA)
def replayed(request, recordings):
    """A recording, and a GAN that takes the same steps."""
    return recordings[request.param], Lab(request.param, steps=3, seed=1)


def frame_by_frame(recording, lab):
    """Each frame's arrays, with the GAN as it was then, and the batch of the step that follows, which is then taken."""
    for f in range(len(recording.facts["at"])):
        real, z = lab.draw()
        yield {name: array[f] for name, array in recording.frames.items()}, real, z
        lab.step(real, z)


def test_the_arrows_are_minus_the_gradient_of_each_loss_where_d_stands(replayed):
    recording, lab = replayed
    assert recording.facts["shown"] == SHOWN
    for shot, _, _ in frame_by_frame(recording, lab):
        x = mg.tensor(shot["points"], requires_grad=True)
        logits = lab.discriminator(x)
        np.testing.assert_array_equal(shot["logits"], logits.numpy()[:, 0])
        for name, arrows in zip(SHOWN, shot["arrows"], strict=True):
            expected = mg.grad(LOSSES[name].generator(logits), x, retain_graph=True).numpy()
            np.testing.assert_array_equal(arrows, -expected)


def test_losses_differ_by_their_slope_at_the_logit_alone(recordings):
    slopes = {  # of each loss, by hand
        "minimax": lambda a: -sigma(a),
        "non-saturating": lambda a: sigma(a) - 1,
        "least-squares": lambda a: a - 1,
        "wasserstein": lambda a: -np.ones_like(a),
    }
    for recording in recordings.values():
        logits, arrows = (recording.frames[name].astype("float64") for name in ("logits", "arrows"))
        plain = arrows[:, SHOWN.index("wasserstein")]
        for i, name in enumerate(SHOWN):
            expected = -slopes[name](logits)[..., None] * plain
            # float32 through three layers, and where logit - 1 is nearly 0 next to nothing is left of it
            np.testing.assert_allclose(arrows[:, i], expected, rtol=1e-4, atol=1e-6 * abs(plain).max())


def test_the_slow_motion_is_the_step_that_was_taken(replayed):
    recording, lab = replayed
    for shot, real, z in frame_by_frame(recording, lab):
        np.testing.assert_array_equal(shot["z"], z.numpy())
        np.testing.assert_array_equal(shot["real"], real.numpy())
        np.testing.assert_array_equal(shot["fake"], lab.generator(z).numpy())
        np.testing.assert_array_equal(shot["logits_real"], lab.discriminator(real).numpy()[:, 0])
        np.testing.assert_array_equal(shot["logits_fake"], lab.discriminator(mg.tensor(shot["fake"])).numpy()[:, 0])
        plain, loss_d, loss_g = shot["step_losses"]
        entropy = -np.log(sigma(shot["logits_real"])).mean() - np.log(1 - sigma(shot["logits_fake"])).mean()
        assert plain == pytest.approx(entropy, rel=1e-5)  # float32
        slope = mg.tensor(shot["real"], requires_grad=True)
        slope = mg.grad(lab.discriminator(slope).sum(), slope).numpy()
        gamma = RECIPES[recording.facts["data"]].gamma
        assert loss_d - plain == pytest.approx(gamma / 2 * (slope**2).sum(axis=1).mean(), rel=1e-3, abs=1e-6)
        assert loss_g == pytest.approx(-np.log(sigma(shot["logits_after"])).mean(), rel=1e-5)
        # what D sent is what G's weights learned from: carried on through G as it was, it gives their gradient
        weights = lab.generator.parameters()
        message = mg.grad(lab.generator(z), weights, mg.tensor(-shot["push"]))
        squares = [float((g.numpy().astype("float64") ** 2).sum()) for g in message]
        by_layer = np.sqrt(np.add(squares[::2], squares[1::2]))  # a weight and its bias
        np.testing.assert_allclose(shot["norms_g"], by_layer, rtol=1e-4)  # float32, summed in another order


def test_after_the_step_d_says_what_the_next_frame_begins_with(replayed):
    recording, lab = replayed
    frames = recording.frames
    np.testing.assert_array_equal(frames["surface_after"][:-1], frames["surface"][1:])
    *_, (last, _, z) = frame_by_frame(recording, lab)  # after whose step the players stand still
    np.testing.assert_array_equal(last["moved"], lab.generator(z).numpy())
    np.testing.assert_array_equal(last["logits_after"], lab.discriminator(mg.tensor(last["fake"])).numpy()[:, 0])
    norms = [np.hypot(*(np.linalg.norm(p.grad.numpy()) for p in pair)) for pair in pairs(lab.discriminator)]
    np.testing.assert_allclose(last["norms_d"], norms, rtol=1e-4)  # float32, summed in another order


def pairs(player):
    parameters = player.parameters()
    return list(zip(parameters[::2], parameters[1::2], strict=True))


@pytest.mark.parametrize("data", sorted(MODES))
def test_the_surface_is_what_d_says_at_each_place(data):
    recording, lab = record(data, steps=1, seed=2), Lab(data, steps=1, seed=2)
    side, half = recording.facts["side"], recording.facts["half"]
    shown = recording.frames["surface"][0]
    assert shown.shape == (side * side,)
    for row, column in ((0, 0), (0, side - 1), (side // 3, side // 4), (side - 1, side // 2)):
        x = -half + (column + 0.5) * 2 * half / side
        y = half - (row + 0.5) * 2 * half / side
        said = 255 * sigma(lab.discriminator(mg.tensor(np.array([[x, y]], "float32"))).numpy()).item()
        assert abs(shown[row * side + column] - said) <= 0.51  # rounded to whole numbers; float32


@pytest.mark.parametrize("data", sorted(MODES))
def test_lines_are_what_g_makes_of_equal_latents(data):
    recording, lab = record(data, steps=1, seed=2), Lab(data, steps=1, seed=2)
    along, wide = recording.facts["along"], recording.facts["wide"]
    lines = (recording.frames["lines"][0].reshape(2, -1, along, 2) / 65535 * 2 - 1) * wide
    middle = len(lines[0]) // 2
    at = np.linspace(0.5 / along, 1 - 0.5 / along, along)
    z = np.interp(at, *quantiles())
    for k in (0, 1):
        latents = np.zeros((along, 2), "float32")
        latents[:, 1 - k] = z
        made = lab.generator(mg.tensor(latents)).numpy()
        # 16 bits of the square, and the quantiles are interpolated here
        np.testing.assert_allclose(lines[k, middle], made, atol=2 * wide / 65535 + 1e-4)


def quantiles():
    """Shares of N(0, 1) and where they are reached, from its distribution function."""
    z = np.linspace(-4, 4, 80_001)
    return np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in z]), z


@pytest.mark.parametrize("data", sorted(MODES))
def test_points_are_counted_at_the_modes_that_they_are_near(data, recordings):
    frames, facts = recordings[data].frames, recordings[data].facts
    np.testing.assert_allclose(frames["near"], frames["occupied"].sum(axis=1), rtol=1e-6)  # float32
    np.testing.assert_array_equal(frames["modes"], (frames["occupied"] > 0).sum(axis=1))
    assert recordings[data].figures == {"modes": frames["modes"][-1], "near": frames["near"][-1]}
    centres = recordings[data].constants["centres"]
    apart = min(np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i])
    assert facts["near"] < apart / 2  # no point is near to two


@pytest.mark.parametrize("data", sorted(MODES))
def test_a_point_is_near_to_a_mode_within_ten_sigma(data):
    centres, sigma = MODES[data]
    lab = Lab(data, steps=1, seed=0)
    for far, expected in ((9.9, 1), (10.1, 0)):
        lab.made = lambda z, far=far: np.tile(centres[1] + [far * sigma, 0], (len(z), 1)).astype("float32")
        found = InAPlane(lab, seed=0).look()
        assert found["occupied"].tolist() == [expected if k == 1 else 0 for k in range(len(centres))]


@given(steps=st.integers(1, 1000))
def test_frames_are_even_and_have_the_first_and_the_last(steps):
    at = np.array(frame_steps(steps))
    assert (at[0], at[-1]) == (0, steps)
    assert len(at) == min(FRAMES, steps + 1)
    assert np.ptp(np.diff(at)) <= 1


# -- densities ------------------------------------------------------------------------------------------------------


@given(middle=st.floats(-2, 3), spread=st.floats(0.2, 0.8))
def test_the_density_of_a_known_generator_is_found(middle, spread):
    q = density.density(middle + spread * density.EVENLY)
    width = math.hypot(spread, density.SMOOTH)
    expected = np.exp(-0.5 * ((density.PLACES - middle) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(q, expected, atol=0.01 / spread)  # a fortieth of the peak, for a histogram's steps


@given(middle=st.floats(-1, 3), spread=st.floats(0.2, 1))
def test_the_best_d_minimises_its_loss_at_each_place(middle, spread):
    q = density.density(middle + spread * density.EVENLY)
    best = density.optimum(q)
    known = np.isfinite(best)
    p, q, best = density.DATA[known], q[known], best[known]
    assert known.any()
    assert ((best >= 0) & (best <= 1)).all()
    loss = lambda d: -p * np.log(np.clip(d, 1e-300, 1)) - q * np.log(np.clip(1 - d, 1e-300, 1))
    for other in (best - 0.01, best + 0.01, np.full_like(best, 0.5)):
        assert (loss(best) <= loss(np.clip(other, 0, 1)) + 1e-9).all()  # rounding
    assert density.from_optimum(density.optimum(density.DATA), density.DATA) == 0
    assert density.from_half(density.optimum(density.DATA)) == 0


def test_the_figures_are_those_of_the_definition():
    off = np.full_like(density.PLACES, 0.5)
    off[abs(density.PLACES - 2) < 0.01] = 0.9  # one place, in the middle of the data
    support = (0.01 * density.DATA.max() <= density.DATA).sum()
    assert density.from_half(off) == pytest.approx(0.4 / support)
    assert density.from_optimum(off, density.DATA) == pytest.approx(0.4)
    assert density.DATA.sum() * (density.PLACES[1] - density.PLACES[0]) == pytest.approx(1, abs=1e-6)  # of N(2, 0.5)


@pytest.mark.host  # half a minute in all, and other tests take the same steps
def test_against_a_fixed_generator_d_comes_to_the_best_there_is():
    recording = record("line", CONVERGED, seed=1, fixed_generator=True)
    frames = recording.frames
    np.testing.assert_array_equal(frames["q"], np.broadcast_to(frames["q"][0], frames["q"].shape))
    np.testing.assert_array_equal(frames["fake"], frames["moved"])
    q = np.exp(-0.5 * density.PLACES**2) / math.sqrt(2 * math.pi)  # known: such a generator hands its latents on
    assert density.from_optimum(frames["surface"][-1], q) <= 0.03
    assert recording.figures["from_optimum"] <= 0.03
    assert frames["from_optimum"][0] > 0.4  # at first D knows nothing


@pytest.mark.host
def test_trained_together_d_cannot_tell():
    assert record("line", seed=0).figures["from_half"] <= 0.05


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
def test_the_figures_of_every_seed(seed):
    assert record("line", seed=seed).figures["from_half"] <= 0.05
    assert record("line", CONVERGED, seed, fixed_generator=True).figures["from_optimum"] <= 0.03
    assert record("ring", seed=seed).figures["modes"] >= 7


# -- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", DATA)
def test_the_same_arguments_give_the_same_page_and_another_seed_another(data, recordings):
    text = page.page(recordings[data])
    assert text == page.page(record(data, steps=3, seed=1))
    assert text != page.page(record(data, steps=3, seed=0))


@pytest.mark.parametrize("data", DATA)
def test_a_page_stays_below_the_limit_however_many_steps_there_are(data, recordings):
    recording = recordings[data]
    text = len(page.page(recording).encode())
    one = sum(len(page.packed(array[:1])["bytes"]) for array in recording.frames.values())
    assert text + (FRAMES - len(recording.facts["at"])) * one <= LIMIT


@given(
    array=st.sampled_from(["<f4", ">f4", "u1", "<u2", ">u2"]).flatmap(
        lambda dtype: st.lists(st.integers(0, 200), max_size=9).map(lambda values: np.array(values, dtype))
    )
)
def test_packed_arrays_hold_their_values_least_significant_byte_first(array):

    packed = page.packed(array)
    raw = np.frombuffer(base64.b64decode(packed["bytes"]), "<" + packed["type"])
    np.testing.assert_array_equal(raw.reshape(packed["shape"]), array)


def test_the_page_is_written_whole_and_over_an_older_one(tmp_path):
    out = tmp_path / "lab.html"
    out.write_text("old")
    figures = mg.study.lab("ring", out, steps=1)
    assert sorted(figures) == ["modes", "near"]
    assert out.read_text() == page.page(record("ring", steps=1))
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "moon"}, "data must be one of ring, grid, line, got 'moon'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"out": "."}, "is a folder; give a file, such as"),
        ({"out": "nowhere/lab.html"}, "there is no folder .*nowhere to write lab.html into; make it"),
        ({"out": "file/lab.html"}, "there is no folder .*file to write lab.html into"),
        ({"out": "x" * 300}, "cannot be written .File name too long.; give another file"),
    ],
)
def test_what_cannot_be_done_is_said_before_training_and_leaves_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(Lab, "step", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").write_text("")
    out = tmp_path / arguments.pop("out", "lab.html")
    with pytest.raises(RunError, match=message):
        mg.study.lab(**{"data": "ring", "out": out, "steps": 1} | arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def minigan(*args, cwd):
    command = [sys.executable, "-c", "from minigan.cli import main; main()", *args]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.host
def test_the_command_writes_the_page_of_its_options(tmp_path):
    options = ["--out", "my.html", "--steps", "2", "--seed", "3", "--fixed-generator"]
    code, out, err = minigan("lab", "line", *options, cwd=tmp_path)
    assert (code, err) == (0, "")  # quiet where there is no terminal
    assert out.startswith("my.html opens in any browser; in the end from_half 0.")
    expected = page.page(record("line", 2, 3, fixed_generator=True))
    assert (tmp_path / "my.html").read_text() == expected
    for wrong, message in (
        (["moon"], "moon"),
        (["ring", "--out", "."], "is a folder"),
        (["ring", "--steps", "0"], "got 0"),
    ):
        code, _, err = minigan("lab", *wrong, cwd=tmp_path)
        assert (code, "Traceback" in err) == (2, False)
        assert message in err

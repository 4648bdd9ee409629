"""`explain`: that text, page and JSON say what the record says, for people to read."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.cli import main
from minigan.errors import FreedGraph, MissingGradient, ShapeError
from minigan.study import explain, formula, record
from minigan.study.explain import WIDTH

STEPS = {
    "tanh": lambda x, w: x.tanh(),
    "twice": lambda x, w: x * x,
    "scale": lambda x, w: x * w,
    "add": lambda x, w: x + w,
    "matmul": lambda x, w: x @ x,
}


@st.composite
def losses(draw):
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    y = x = mg.tensor(rng.normal(size=(3, 3)), requires_grad=True, name="x")
    w = mg.tensor(rng.normal(size=(1, 3)), requires_grad=True, name="w")
    for step in draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6)):
        y = STEPS[step](y, w)
    return y.sum(), x if draw(st.booleans()) else None


class Cells(HTMLParser):
    """The text of every table row, and how many formulas there are."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.formulas, self.open = [], 0, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.formulas += tag == "math"
        if tag == "tr":
            self.rows.append("")
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "tr" in self.open and "math" not in self.open:
            self.rows[-1] += data + " "


@given(losses())
def test_text_and_page_have_every_op_every_gradient_and_every_sum(case):
    loss, asked = case
    found = record(loss, asked, names={})
    said = explain(loss, asked, names={})
    assert said.record == found
    text = str(said).splitlines()
    ops = [line.split()[1] for line in text if re.match(r" *\d+ ", line)]
    assert ops == [row.op for row in found.rows]
    sent = [s for row in found.rows for s in row.sent if s.size is not None]
    assert sum("→" in line and " to " in line for line in text) == len(sent)
    assert sum("summed to its shape" in line for line in text) == sum(s.summed for s in sent)

    targets = [(s.to, s.output) for s in sent]
    several = {target for target in targets if targets.count(target) > 1}
    sums = [line for line in text if line.strip().startswith("= ")]
    assert len(sums) == len(several)

    page = Cells(said.html())
    assert page.open == []
    assert page.formulas == sum("∂L/∂" in line and " = " in line for line in text)
    assert sum("= " in row and "+" in row for row in page.rows) == len(several)
    assert sum("→" in row and " to " in row for row in page.rows) == len(sent)


@given(losses())
def test_json_has_every_number(case):
    loss, asked = case
    said = explain(loss, asked, names={})
    data = json.loads(said.json())
    found = said.record
    assert data["value"] == found.value
    for row, expected in zip(data["rows"], found.rows, strict=True):
        assert row["op"] == expected.op
        sizes = [s["size"] and tuple(s["size"].values()) for s in row["sent"]]
        expected_sizes = [
            s.size and (list(s.size.shape), s.size.norm, s.size.mean, s.size.largest) for s in expected.sent
        ]
        assert sizes == expected_sizes
        assert [(tuple(r["inputs"]), r["latex"]) for r in row["rules"]] == list(expected.rules)


def test_json_of_a_gradient_that_is_not_finite_is_still_json():
    x = mg.tensor(np.array([np.inf, 1.0]), requires_grad=True)
    said = explain((x * x).sum())
    assert json.loads(said.json(), parse_constant=pytest.fail)["value"] == "inf"
    assert "inf" in str(said)
    assert "inf" in said.html()


GOLDEN = """\
L = 0.6931, back through 5 ops

   # op, then its inputs        shape                   norm       mean    largest
   0 bce_with_logits            ()                         1          1          1  losses.py:53
     return ops.bce_with_logits(fake, 1.0)
     → x                        (2, 1)                0.3536      -0.25      -0.25  to 1
     ∂L/∂x = 1/n · ∂L/∂y · (σ(x) − target)
     → target                   a constant
   1 linear  D                  (2, 1)                0.3536      -0.25      -0.25  FILE
     loss = mg.gan.losses.non_saturating(D(fake))
     → x                        (2, 3)                0.6124      -0.25      -0.25  to 2
     ∂L/∂x = ∂L/∂y · weight
     → weight                   not asked for
   2 tanh  G.1                  (2, 3)                0.6124      -0.25      -0.25  FILE
     fake = G(z)
     ∂L/∂X: all that D tells G
     → x                        (2, 3)                0.6124      -0.25      -0.25  to 3
     ∂L/∂x = ∂L/∂y · (1 − y²)
   3 linear  G.0                (2, 3)                0.6124      -0.25      -0.25  FILE
     → x                        a constant
     → weight                   (3, 2)                 1.225       -0.5       -0.5  to 4
     ∂L/∂weight = (∂L/∂y)ᵀ · x
     → bias                     (3,)                   0.866       -0.5       -0.5  to G.0.bias
     ∂L/∂bias = sum(∂L/∂y)
   4 mul                        (3, 2)                 1.225       -0.5       -0.5  FILE
     G[0].weight = G[0].weight * 0
     → a                        (3, 2)                     0          0          0  to w
     ∂L/∂a = ∂L/∂y · b
     → b                        a constant

At rest
     G.0.bias                   (3,)                   0.866       -0.5       -0.5
     w                          (3, 2)                     0          0          0

Not asked for: D.weight"""


def test_the_text_reads_like_this():
    G, D = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.Tanh()), mg.nn.Dense(3, 1, bias=False)
    D.weight.assign_(np.ones((1, 3)))
    z, w = mg.tensor(np.ones((2, 2), "float32")), G[0].weight
    G[0].weight = G[0].weight * 0
    G[0].bias.assign_(np.zeros(3))
    fake = G(z)
    loss = mg.gan.losses.non_saturating(D(fake))
    said = re.sub(r"test_explain\.py:\d+", "FILE", str(explain(loss, [G[0].bias, w])))
    assert said == GOLDEN
    assert max(map(len, GOLDEN.splitlines())) <= WIDTH + 15  # a file's name may stand out


def test_a_joint_rules_formula_goes_with_the_input_that_it_is_for():
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 2)), requires_grad=True)
    norm = mg.nn.BatchNorm(2)
    lines = [line.strip() for line in str(explain((norm(x) ** 2).sum())).splitlines()]
    at = {name: next(i for i, line in enumerate(lines) if line.startswith(f"→ {name} ")) for name in ("weight", "bias")}
    assert lines[at["weight"] + 1].startswith("∂L/∂weight = ")
    assert lines[at["bias"] + 1].startswith("∂L/∂bias = ")
    own = next(i for i, line in enumerate(lines) if line.startswith("∂L/∂x = c"))
    assert lines[own + 1].startswith("c = ")
    assert sum(line.startswith("c = ") for line in lines) == 1


def test_a_formula_of_ones_own_is_shown_as_it_is():
    @mg.op
    def double(xp, x):
        return 2 * x

    @double.gradient("x", formula=r"2 \, g")
    def _(F, dy):
        return 2 * dy

    said = explain(double(mg.tensor(1.0, requires_grad=True)))
    assert "     2 · g\n" in str(said)
    assert "<math" in said.html()


def test_names_do_no_harm_to_a_page():
    evil = "</td><script>alert(1)</script>&\"'"
    x = mg.tensor([1.0], requires_grad=True, name=evil)
    page = explain((x * x).sum(), names={}).html()
    assert "<script" not in page
    assert Cells(page).open == []
    assert any(evil in row for row in Cells(page).rows)


def test_a_page_fetches_nothing():
    x = mg.tensor([1.0], requires_grad=True)
    page = explain((x * x).sum()).html()
    assert re.findall(r"(?:src|href)=(?!\"data:,\")", page) == []
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/1998/Math/MathML"}
    assert re.findall(r"url\(|@import", page) == []


def test_a_long_chain_is_shown_in_part():
    y = mg.tensor([1.0], requires_grad=True)
    for _ in range(10_000):
        y = y + 0.5
    said = explain(y)
    text = str(said).splitlines()
    assert "     (9,600 ops more; .json() has them all)" in text
    assert sum(bool(re.match(r" *\d+ add ", line)) for line in text) == 400
    assert len(json.loads(said.json())["rows"]) == 10_000
    assert len(said.html()) < 1_000_000


def test_a_notebook_shows_the_table():
    x = mg.tensor([1.0], requires_grad=True)
    said = explain((x * x).sum())
    assert said._repr_html_() in said.html()


def test_bad_input():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"explain\(\) takes the Tensor that is differentiated, got ndarray"):
        explain(np.ones(2))
    with pytest.raises(
        MissingGradient, match=r"explain\(\): no gradient can flow from this tensor: .*requires_grad=True"
    ):
        explain(mg.tensor(1.0))
    with pytest.raises(
        ShapeError, match=r"explain\(\) of a tensor of shape \(2,\) needs the gradient that arrives there"
    ):
        explain(x * x)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(FreedGraph, match="retain_graph=True"):
        explain(loss)


# -- formulas ------------------------------------------------------------------------------------------------------

FORMULAS = sorted(
    {part for op in mg.autodiff.registry.OPS.values() for rule in op.rules for part in formula.parts(rule.formula)}
)


@pytest.mark.parametrize("latex", FORMULAS)
def test_no_formula_of_minigan_keeps_a_trace_of_latex(latex):
    text = formula.text(latex)
    assert not re.search(r"[\\{}$&]|  |\boperatorname|\bmathit|frac", text)
    assert text.count("(") == text.count(")")
    assert formula.mathml(latex).startswith("<math")


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\tfrac{1}{n}", "1/n"),
        (r"\tfrac{a + b}{2 c}", "(a + b)/(2 c)"),
        (r"\sqrt{\mathit{var} + \mathit{eps}}", "√(var + eps)"),
        (r"a^{b - 1}", "a^(b − 1)"),
        (r"a^2 b^{-1} c^\top d^{\top}", "a² b⁻¹ cᵀ dᵀ"),
        (r"x^{-3/2}", "x^(−3/2)"),
        (r"\operatorname{sum\_to}(x)", "sum_to(x)"),
        (r"\operatorname{sum}_{nhw} x", "sum_nhw x"),
        (r"[\lnot \mathit{condition}]", "[¬ condition]"),
    ],
)
def test_formulas_in_text(latex, text):
    assert formula.text(latex) == text


# -- the command line ----------------------------------------------------------------------------------------------


def called(monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["minigan", *map(str, args)])
    main()


def test_the_command_explains_a_new_gan_and_a_run(monkeypatch, capsys, tmp_path):
    called(monkeypatch, "explain", "gan")
    said = capsys.readouterr().out
    assert said.startswith("D's loss\n========\nL = ")
    assert "∂L/∂X: all that D tells G" in said
    assert "Not asked for: D." in said

    run = tmp_path / "run"
    called(monkeypatch, "train", "gan", "--steps", "1", "--judge", "0", "--out", run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    called(monkeypatch, "explain", run, "--out", tmp_path / "step.json")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    turns = json.loads((tmp_path / "step.json").read_text())
    assert list(turns) == ["D's loss", "G's loss, through the D that has learned from it"]
    called(monkeypatch, "explain", run, "--out", tmp_path / "step.html")
    assert Cells((tmp_path / "step.html").read_text()).open == []


def test_a_penalty_is_explained_too(tmp_path):
    config = mg.gan.TrainConfig("gan", penalty="r1", smoothing=1.0, batch_size=8, out=tmp_path)
    turns = mg.study.explain_step(mg.gan.Trainer(config))
    assert list(turns) == ["D's loss", "D's penalty", "G's loss, through the D that has learned from it"]
    assert {leaf.name for leaf in turns["D's penalty"].record.leaves} > {"D.1.weight"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "'nope' is neither gan, dcgan, toy nor the folder of a run"),
        (["gan", "--out", "x.pdf"], "out must end with .html, .json, .txt, got x.pdf"),
    ],
)
def test_the_command_refuses(monkeypatch, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        called(monkeypatch, "explain", *args)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err

"""The picture of a gradient's flow: that it shows all that was computed and nothing else, and that it can be read."""

import math
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import combinations, pairwise, takewhile
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import study
from minigan.errors import FreedGraph, MissingGradient, ShapeError
from minigan.study import captions, drawing, layout, record
from minigan.study.graph import Graph, graph

TEMPLATE = Path(study.__file__).with_name("graph.html").read_text()
HARM = [
    "</title></style></script><script>document.title = 'owned'</script>",
    'a"><b onclick=alert(1)>',
    "]]> & <!--",
    "\0\ud800\\",
]


class Around(mg.nn.Module):
    """A module with a weight, whose call computes whatever it is given."""

    def __init__(self, **inner):
        self.weight = mg.nn.Parameter([0.5, 2.0])
        for name, module in inner.items():
            setattr(self, name, module)

    def forward(self, function, *inputs):
        return function(*inputs, self.weight)


STEPS = {
    "tanh": lambda a, b, w: a.tanh(),
    "add": lambda a, b, w: a + b,
    "mul": lambda a, b, w: a * b,
    "zero": lambda a, b, w: a + b * 0.0,
    "scale": lambda a, b, w: a * w,
    "constant": lambda a, b, w: a * b.detach(),
    "sum": lambda a, b, w: mg.ops.concatenate([a, b, a])[1:3],
}
PLACES = ["", "G", "D", "D.a", "D.a.b"]
step = st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9), st.sampled_from(PLACES))


@st.composite
def losses(draw):
    """A record of some computation on two variables, in modules and outside of them; of all its leaves, or of one."""
    inner = Around()
    names = {"D": Around(a=Around(b=inner)), "G": Around()}
    modules = {"G": names["G"], "D": names["D"], "D.a": names["D"].a, "D.a.b": inner}
    pool = [mg.tensor([0.3, -0.7], requires_grad=True, name=name) for name in "xy"]
    for kind, i, j, place in draw(st.lists(step, min_size=1, max_size=12)):
        inputs = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
        if place:
            pool.append(modules[place](STEPS[kind], *inputs))
        else:
            pool.append(STEPS[kind](*inputs, pool[0]))
    return record(pool[-1].sum(), draw(st.sampled_from([None, pool[0], pool[1]])), names=names)


def shapes(svg):
    """What a picture shows: boxes by their class as (left, top, right, bottom), and edges as (class, width, points)."""
    boxes, edges = {"op": [], "leaf": [], "label": [], "module": []}, []
    inner = next(g for g in ElementTree.fromstring(svg) if g.tag.endswith("}g"))
    for element in inner:
        kind = element.get("class").split()
        if element.get("display") == "none":
            continue
        if element.tag.endswith("}path"):
            edges.append((kind[1], float(element.get("stroke-width")), element.get("d")))
            continue
        x, y = map(float, re.findall(r"-?[\d.]+", element.get("transform")))
        rect = element.find("{*}rect")
        left, width, height = (float(rect.get(name)) for name in ("x", "width", "height"))
        whole = (
            "module"
            if kind[0] == "folds" and "folded" not in kind
            else "op"
            if kind[0] in ("folds", "closed")
            else kind[0]
        )
        boxes[whole].append((x + left, y, x + left + width, y + height))
    return boxes, edges


def segments(d):
    """Of a path: (x0, y0, x1, y1) of each straight line and each curve."""
    x = y = None
    for letter, numbers in re.findall(r"([MVC])([^MVC]*)", d):
        *_, end = values = [float(n) for n in numbers.split()]
        at = x if letter == "V" else values[-2]
        if letter != "M":
            yield x, y, at, end
        x, y = at, end


def apart(a, b):
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def within(a, b):
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def assert_readable(svg):
    """No box lies on another, and every edge goes down from a box to a box without passing through a third."""
    boxes, edges = shapes(svg)
    solid = boxes["op"] + boxes["leaf"] + boxes["label"]
    assert all(apart(a, b) for a, b in combinations(solid, 2))
    for frame in boxes["module"]:
        assert all(apart(box, frame) or within(box, frame) for box in solid)
        assert any(within(box, frame) for box in solid)
    assert all(apart(a, b) or within(a, b) or within(b, a) for a, b in combinations(boxes["module"], 2))
    ends = boxes["op"] + boxes["leaf"]
    for *_, d in edges:
        parts = list(segments(d))
        assert all(y0 <= y1 for _, y0, _, y1 in parts)
        (x, y), (x1, y1) = parts[0][:2], parts[-1][2:]
        assert y < y1
        assert any(left < x < right and y == bottom for left, _, right, bottom in ends)
        assert any(left < x1 < right and y1 == top for left, top, right, _ in ends)
        for x0, y0, x1, y1 in parts:
            span = min(x0, x1), y0, max(x0, x1), y1
            assert all(apart(span, box) for box in ends)
    for box in solid + boxes["module"]:
        assert within(box, (0, 0, *extent(svg)))


def extent(svg):
    """The room below the legend."""
    root = ElementTree.fromstring(svg)
    top = float(re.search(r'<g transform="translate\(0[ ,](\d+)', svg)[1])
    return float(root.get("width")), float(root.get("height")) - top


@given(losses())
def test_every_gradient_that_was_computed_is_an_edge_and_no_other(found):
    plan = layout.Layout(found)
    every = [(i, sent) for i, row in enumerate(found.rows) for sent in row.sent if sent.to is not None]
    drawn = [(edge.way[0].number, edge.way[-1].number, *edge.sent) for edge in plan.edges]
    assert sorted((i, sent.to) for i, sent in every) == sorted((i, to) for i, to, _ in drawn)
    assert all(sent.to == to and any(sent is s for s in found.rows[i].sent) for i, to, sent in drawn)
    kinds = Counter("missing" if s.size is None else "zero" if s.size.norm == 0 else "flow" for _, s in every)
    boxes, edges = shapes(Graph(found).svg())
    assert Counter(kind for kind, *_ in edges) == kinds
    assert (len(boxes["op"]), len(boxes["leaf"])) == (len(found.rows), len(found.leaves))
    assert [d.count("M") for *_, d in edges] == [1] * len(every)


@given(losses(), st.booleans())
def test_no_box_lies_on_another_and_edges_go_down_between_them(found, unfolded):
    assert_readable(drawing.Picture(found, layout.Layout(found), unfolded, everything=False).svg())


@given(st.integers(0, 9), st.integers(0, 50))
def test_many_branches_stand_beside_each_other_and_so_do_many_edges(branches, edges):
    x = mg.tensor([1.0], requires_grad=True)
    assert_readable(
        graph(mg.ops.concatenate([x.exp(), *(x.tanh() for _ in range(branches)), *[x] * edges]).sum()).svg()
    )


@given(losses())
def test_ops_stand_in_the_boxes_of_their_modules(found):
    plan = layout.Layout(found)
    places = plan.places(unfolded=True)
    numbers = [box.number for box in plan.root.inside() if box.kind == "op"]
    assert numbers == list(range(len(found.rows)))
    for box in plan.root.inside():
        around = [b for b in box.lineage() if b.kind == "module" and b.path]
        if box.kind == "op":
            assert ".".join(b.path[-1] for b in around) == found.rows[box.number].module
        assert all(within(corners(places[box]), corners(places[b])) for b in around)
    for a, b in pairwise(box for box in plan.root.inside() if box.kind == "op"):
        together = [p for p, q in zip(a.lineage(), b.lineage(), strict=False) if p is q]
        alike = takewhile(lambda names: names[0] == names[1], zip(a.path, b.path, strict=False))
        assert together[-1].path == tuple(p for p, _ in alike)  # what was called in one go is in one box
    modules = {box.path for group in plan.root.groups() for box in group.members if box.kind == "module"}
    paths = [tuple(row.module.split(".")) for row in found.rows if row.module]
    assert modules == {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def corners(place):
    return place.x, place.y, place.x + place.width, place.y + place.height


@given(st.lists(st.floats(0, math.inf) | st.floats(1e-3, 1e3), min_size=1))
def test_a_larger_norm_has_a_wider_line(norms):
    scale = drawing.Scale(norms)
    widths = [scale(norm) for norm in sorted(norms)]
    assert widths == sorted(widths)
    assert widths[0] >= drawing.THIN
    assert widths[-1] <= drawing.THICK
    assert all(drawing.THIN <= scale(tick) <= drawing.THICK for tick in scale.ticks())
    assert len(scale.ticks()) <= 4
    finite = [norm for norm in norms if 0 < norm < math.inf]
    if finite and max(finite) > 100 * min(finite):
        assert widths[0] < widths[-1]
        assert len(scale.ticks()) >= 2


@given(losses())
def test_the_picture_has_these_widths(found):
    drawn = re.findall(r'class="edge flow[^"]*" stroke-width="([^"]+)".*?<title>([^<]*)<', Graph(found).svg())
    pairs = sorted((float(re.search(r"norm ([^,]+),", title)[1]), float(width)) for width, title in drawn)
    # the title gives four digits of the norm, which decide nothing below 0.01
    assert all(b >= a - 0.01 for (_, a), (_, b) in pairwise(pairs))


def a_gan():
    G = mg.nn.Sequential(mg.nn.Dense(2, 4, rng=0), mg.nn.Tanh(), mg.nn.Dense(4, 3, rng=1))
    D = mg.nn.Sequential(mg.nn.Dense(3, 4, rng=2), mg.nn.ReLU(), mg.nn.Dense(4, 1, rng=3))
    z = mg.tensor(np.ones((5, 2), "float32"))
    return G, D, z


def test_the_only_way_from_one_network_to_the_other_is_marked():
    G, D, z = a_gan()
    fake = G(z)
    loss = mg.gan.losses.non_saturating(D(fake))
    dx = mg.grad(loss, fake, retain_graph=True)
    svg = graph(loss).svg()
    assert len(shapes(svg)[0]["label"]) == 1
    assert f"(5, 3) · norm {study.Size.of(dx.data).norm:.3g}" in svg
    assert svg.count("edge flow dx") == 1
    colours = [set(re.findall(rf'class="\w+( c\d)[^"]*"[^>]*><title>{name}\b', svg)) for name in "GD"]
    assert list(map(len, colours)) == [1, 1]
    assert colours[0] != colours[1]
    assert "not computed" in graph(loss, fake).svg()
    unmarked = [
        graph(D(fake).sum(), names={"net": D}),
        graph((D(fake) + D(G(z))).sum()),  # not the only way
        graph(loss, names={}),  # nobody said what belongs together
    ]
    assert [shapes(other.svg())[0]["label"] for other in unmarked] == [[], [], []]


def test_what_is_used_twice_has_two_edges_side_by_side():
    x = mg.tensor(2.0, requires_grad=True)
    _, edges = shapes(graph(x * x).svg())
    (_, _, a), (_, _, b) = edges
    assert a != b


def test_a_gradient_that_is_not_finite_is_told_apart():
    x = mg.tensor([0.0], requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        svg = graph((x.log() * 1.0).sum()).svg()
    assert [kind for kind, *_ in shapes(svg)[1]].count("wild") == 1
    assert "not finite" in svg


def test_a_leaf_is_a_picture_too():
    boxes, edges = shapes(graph(mg.tensor(3.0, requires_grad=True)).svg())
    assert (len(boxes["leaf"]), len(boxes["op"]), edges) == (1, 0, [])


# -- large ones --------------------------------------------------------------------------------------------------------


def chain(ops):
    x, w = (mg.tensor([value], requires_grad=True) for value in (0.5, 1.0))
    y = x
    for _ in range(ops // 2):
        y = y.tanh() * w
    return graph(y, names={})


def test_ten_thousand_ops_are_a_few_boxes():
    found = chain(10_000)
    svg, page = found.svg(), found.html()
    boxes, edges = shapes(svg)
    assert len(boxes["op"]) == 2 * layout.ENDS + 1
    assert "9,992 more ops" in svg
    assert ">mul ×4,996, tanh ×4,996<" in svg
    assert len(edges) == 9 + 5  # one down each box, and from each mul to the weight
    assert len(page) < 30_000
    assert_readable(svg)
    assert found.dot().count("->") == 10_000 + 5_000


@given(depth=st.integers(1, 4), ops=st.integers(1, 15), calls=st.integers(1, 10))
@mock.patch.multiple(layout, MOST=40, MANY=12)
def test_a_picture_holds_so_many_boxes_and_no_more(depth, ops, calls):
    module = Around()
    names = {"net": module}
    for _ in range(depth):
        module.inner = module = Around()
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(calls):
        x = module(lambda x, w: [x := x * w for _ in range(ops)][-1], x.tanh())
    found = Graph(record(x.sum(), names=names))
    assert found.html().count('data-box="') <= layout.MOST
    svg = found.svg()
    boxes, _ = shapes(svg)
    assert len(boxes["op"]) <= layout.MANY
    assert (len(boxes["module"]) == 0) == (len(found.record.rows) > layout.MANY)
    if not boxes["module"]:
        folded = [int(n) for n in re.findall(r">(\d+) (?:more )?ops?<", svg)]
        assert sum(folded) + svg.count('class="op') == len(found.record.rows)


# -- the page, and other forms -----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Elements with their attributes, and all texts by the element around them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.last = [], {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.last = tag

    def handle_data(self, data):
        self.texts.setdefault(self.last, []).append(data)


@given(st.sampled_from(HARM) | st.text(), st.sampled_from(HARM) | st.text())
def test_names_are_harmless(tmp_path_factory, module, variable):
    net = mg.nn.Dense(2, 1, rng=0)
    x = mg.tensor(np.ones((1, 2)), requires_grad=True)
    found = graph(net(x).sum(), names={f"{module}.": net, variable: x})
    page = Page(found.html())
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "".join(page.texts["script"]).strip() == TEMPLATE.partition("<script>")[2].partition("</script>")[0].strip()
    for tag, attrs in page.elements:
        assert tag not in ("a", "b", "img", "iframe", "object", "embed", "base", "form")
        for name, value in attrs.items():
            assert not name.startswith("on")
            assert name not in ("src", "href") or value == "data:,"
    svg = ElementTree.fromstring(found.svg())
    titles = [element.text for element in svg.iterfind(".//{*}title")]
    assert any(captions.plain(variable) in title for title in titles)
    (tmp_path_factory.getbasetemp() / "graph.dot").write_text(found.dot())  # there are strings that cannot be written
    assert graph_of(found.dot()) == expected(found.record)


def test_the_page_fetches_nothing():
    G, D, z = a_gan()
    found = graph(D(G(z)).sum())
    for text in (found.html(), found.svg()):
        assert re.findall(r"https?://[^\s\"']+", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address
        assert not re.search(r"@import|url\(|@font-face", text)
    assert found._repr_html_() == found.svg()


STRING = r'"(?:[^"\\\n]|\\.)*"'
NODE = re.compile(rf"n(\d+) \[label={STRING}(?:, style=rounded)?\];")
ARROW = re.compile(rf"n(\d+) -> n(\d+) \[(?:[a-z]+=[\w.]+, )+tooltip={STRING}\];")
CLUSTER = re.compile(r"subgraph (cluster_\w+) {")


def graph_of(dot):
    """Nodes and edges of DOT text, in which each line is a statement."""
    first, *lines, last = dot.splitlines()
    assert (first, lines.pop(0), last) == ("digraph gradient {", "  node [shape=box];", "}")
    nodes, edges, clusters, depth = [], [], set(), 0
    for line in map(str.strip, lines):
        if match := ARROW.fullmatch(line):
            edges.append(tuple(map(int, match.groups())))
        elif match := NODE.fullmatch(line):
            nodes.append(int(match[1]))
        elif match := CLUSTER.fullmatch(line):
            assert match[1] not in clusters
            clusters.add(match[1])
            depth += 1
        elif line == "}":
            depth -= 1
            assert depth >= 0
        else:
            assert re.fullmatch(f"label={STRING};", line)
            assert depth > 0
    assert depth == 0
    return sorted(nodes), sorted(edges)


def expected(found):
    edges = sorted((i, s.to) for i, row in enumerate(found.rows) for s in row.sent if s.to is not None)
    return list(range(len(found.rows) + len(found.leaves))), edges


@given(losses())
def test_dot_has_a_statement_for_each_node_and_each_edge(found):
    dot = Graph(found).dot()
    assert graph_of(dot) == expected(found)
    kinds = Counter(
        "style=dashed" if s.size is None else "color=orange" if s.size.norm == 0 else "penwidth"
        for row in found.rows
        for s in row.sent
        if s.to is not None
    )
    assert all(dot.count(look) == kinds[look] for look in ("style=dashed", "color=orange", "penwidth"))


def test_bad_input():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"graph\(\) takes the Tensor that is differentiated, got float"):
        graph(1.0)
    with pytest.raises(MissingGradient, match=r"graph\(\): no gradient can flow from this tensor"):
        graph(mg.tensor(1.0))
    with pytest.raises(ShapeError, match=r"graph\(\) of a tensor of shape \(2,\) needs the gradient"):
        graph(x * x)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(FreedGraph, match="retain_graph=True"):
        graph(loss)
    assert len(shapes(graph(x * x, gradient=[1.0, 0.0]).svg())[1]) == 2

"""The page of a gradient graph in a browser: modules fold and unfold, by mouse and by keyboard."""

import re

import numpy as np
import pytest
from chromium_support import in_chromium, opened
from test_graph import a_gan, assert_readable, chain, shapes

import minigan as mg
from minigan.study import drawing, layout
from minigan.study.graph import graph


def picture(dom):
    return dom[dom.index("<svg") : dom.index("</svg>") + 6]


@pytest.mark.host
@in_chromium
def test_in_a_browser_modules_fold_and_unfold_by_mouse_and_by_keyboard(tmp_path):
    G, D, z = a_gan()
    x = mg.tensor(np.ones((5, 2), "float32"), requires_grad=True)
    found = graph(mg.gan.losses.non_saturating(D(G(x) + G(z))))
    page, first = found.html(), found.svg()
    dom, console = opened(page, "", tmp_path)
    assert console == []
    assert shapes(picture(dom)) == shapes(first)

    named = "const named = n => [...document.querySelectorAll('.folds')].find(e => e.querySelector('text').textContent === n);"
    press = "const press = (n, key) => named(n).dispatchEvent(new KeyboardEvent('keydown', {key, cancelable: true}));"
    click = "const click = n => named(n).dispatchEvent(new Event('click'));"
    button = "const button = i => document.querySelectorAll('button')[i].click();"
    tell = """
      const root = document.documentElement;
      root.dataset.wide = root.scrollWidth - root.clientWidth;
      named("G").focus();
      root.dataset.focused = document.activeElement === named("G");
    """

    last = []

    def after(script, *options):
        dom, console = opened(page, "\n".join([named, press, click, button, script, tell]), tmp_path, *options)
        assert console == []
        assert 'data-focused="true"' in dom
        assert int(re.search(r'data-wide="(-?\d+)"', dom)[1]) <= 0  # only the picture's own box scrolls sideways
        assert_readable(picture(dom))
        last.append(shapes(picture(dom)))
        boxes, edges = last[-1]
        return [len(boxes["op"]), len(boxes["leaf"]), len(boxes["module"]), len(edges)]

    whole = after("", "--window-size=360,800")
    folded = after("press('D', 'Enter')")
    # one box instead of three ops in modules of their own, with four weights; their edges inside are gone
    assert folded == [whole[0] - 2, whole[1] - 4, whole[2] - 4, whole[3] - 6]
    assert after("press('D', ' ')") == folded
    assert after("click('D')") == folded
    assert after("press('D', 'x')") == whole
    assert after("press('D', 'Enter'); click('D')") == whole
    assert after("click('D.0 Dense'); click('D'); click('D.0 Dense'); click('D')") == whole
    assert after("click('D.2 Dense')") == [whole[0], whole[1] - 2, whole[2] - 1, whole[3] - 2]
    least = after("button(1)", "--window-size=360,800")
    assert least[1:3] == [0, 0]
    assert last[-1] == shapes(drawing.Picture(found.record, layout.Layout(found.record), False, False).svg())
    assert after("button(1); button(0)") == whole


@pytest.mark.host
@in_chromium
def test_in_a_browser_a_long_graph_unfolds(tmp_path):
    found = chain(200)
    dom, console = opened(found.html(), "document.querySelector('.folds').dispatchEvent(new Event('click'));", tmp_path)
    assert console == []
    boxes, edges = shapes(picture(dom))
    assert (len(boxes["op"]), len(boxes["module"]), len(edges)) == (200, 1, 300)
    assert_readable(picture(dom))

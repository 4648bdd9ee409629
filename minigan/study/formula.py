r"""Formulas of gradient rules, which are written in LaTeX, as Unicode text for terminals and as MathML for pages.

The dialect: names of several letters are ``\mathit{name}``, functions ``\operatorname{name}`` or ``\exp``, ``\log`` and the like;
``\tfrac``, ``\sqrt``, powers, and ``[condition]`` for 1 where it holds and 0 elsewhere. Formulas that belong together stand
in one text, separated by ``,\;`` or ``;\;``.
"""

from __future__ import annotations

import re

SIGNS = {
    "partial": "∂", "sigma": "σ", "top": "ᵀ", "le": "≤", "ge": "≥", "ne": "≠", "lnot": "¬", "cdot": "·", "times": "×",
    "sum": "Σ", "prod": "Π", "infty": "∞", "in": "∈", "alpha": "α", "beta": "β", "gamma": "γ", "lambda": "λ", "mu": "μ",
    "epsilon": "ε", "odot": "⊙", "to": "→", "pm": "±", "approx": "≈",
}  # fmt: skip
RAISED = str.maketrans("0123456789+-−nT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿᵀ")
BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"


def parts(latex: str) -> list[str]:
    r"""The formulas in a rule's text, one by one.

    >>> mg.study.formula.parts(r"a = 2 c,\; c = b^2")
    ['a = 2 c', 'c = b^2']
    """
    return re.split(r"[;,]\\;\s*", latex)


def text(latex: str) -> str:
    r"""In Unicode, on one line. What the dialect does not have is left as it stands.

    >>> mg.study.formula.text(r"\partial L/\partial x = \partial L/\partial y \, (1 - y^2)")
    '∂L/∂x = ∂L/∂y · (1 − y²)'
    """
    for before, after in (
        (r"\\(?:mathit|operatorname|mathrm|textit|text)\{([^{}]*)\}", lambda m: m[1].replace(r"\_", "_")),
        (r"\\[tdc]?frac" + BRACED + BRACED, lambda m: _grouped(m[1]) + "/" + _grouped(m[2])),
        (r"\\sqrt" + BRACED, lambda m: "√" + _grouped(m[1])),
        (r"\^" + BRACED, lambda m: _raised(m[1])),
        (r"\^(\\[a-z]+|\w)", lambda m: _raised(m[1])),
        (r"\s*_\{([^{}]*)\}", r"_\1"),
        (r"\\partial\s+", "∂"),
        (r"\\([a-zA-Z]+)", lambda m: SIGNS.get(m[1], m[1])),
        (r"\s*\\[,;]\s*", " · "),
        (r"-", "−"),
        (r"\s+", " "),
    ):
        latex = re.sub(before, after, latex)
    return latex.strip()


def _grouped(inner: str) -> str:
    return inner.strip() if re.fullmatch(r"\s*\w+\s*", inner) else f"({inner.strip()})"


def _raised(power: str) -> str:
    power = power.strip().replace(r"\top", "T")
    return power.translate(RAISED) if re.fullmatch(r"[-−]?[0-9nT]+", power) else f"^({power})"


def mathml(latex: str, display: str = "inline") -> str:
    """As MathML, with a name of several letters as one word and a space between a function and what it is of.

    Args:
        latex: the formula.
        display: "inline" or "block".

    >>> mg.study.formula.mathml("y^2")[:5]
    '<math'
    """
    from latex2mathml.converter import convert

    for before, after in ((r"\mathit{", r"\textit{"), (r"\operatorname{", r"\text{"), (r"\_", "_")):
        latex = latex.replace(before, after)
    latex = re.sub(r"(\\text\{\w+\}(?:_\{\w+\})?|\\(?:log|exp|sin|cos)\b) *(?=[\\\[\w])", r"\1\\,", latex)
    return str(convert(latex, display=display))

"""How good a run's samples are: digits by the judge, points by their modes."""

from __future__ import annotations

import math
from typing import Any

from minigan import metrics
from minigan.data import toys
from minigan.errors import RunError
from minigan.gan.config import LEAST
from minigan.gan.run import Run
from minigan.metrics.classifier import classification_score
from minigan.metrics.reference import training_images


def evaluate(
    run: Run, n: int | None = None, seed: int = 0, training: Any = None, classifier: bool = False
) -> dict[str, Any]:
    """The judge's figures of n samples of a run that makes digits, each beside what real digits have; the modes of points.

    The reference is MNIST's test split where its files are at hand, else the embedded digits, as `metrics.reference` says;
    it is judged once in a process. A thousand samples cost a tenth, but few samples make the distance larger, also that
    of real digits: compare figures at the same n and the same reference.

    Args:
        run: what `load` gives.
        n: how many samples, at least 4; if not given, 10,000 digits or 2,500 points.
        seed: of the latents.
        training: the images that the run was trained on; without them they are read where they are at hand.
        classifier: train one on the samples, which takes a minute or two for 10,000.

    Returns:
        What `Reference.compare` gives; ``n`` and ``seed``; ``judge``, its version; ``reference``, its name;
        ``memorisation``, as `metrics.memorisation` has it against the reference where that was held back, else against
        the training images themselves, and None where these are not at hand; of a conditional run ``asked_for``; and with
        `classifier` the ``classification_score`` on the reference, as `metrics.classification_score` has it. Of points ``n``,
        ``seed``, ``modes``, and ``modes_covered``, ``high_quality_share``, ``spread_ratio`` (None where no mode has two) and
        ``reverse_kl`` as in `metrics`.

    Raises:
        RunError: too few samples, or a run that makes something else than digits, or whose generator has diverged; a
            classifier for a run without classes.

    >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
    >>> figures = mg.gan.evaluation.evaluate(run, n=100)
    >>> figures["judge_frechet"] > figures["judge_frechet_real"]
    True
    """
    points = run.config.model == "toy"
    n = (2500 if points else 10_000) if n is None else n
    if n < LEAST:
        raise RunError(f"the number of samples to judge must be at least {LEAST}, got {n}")
    source = run.config.data
    if points:
        return {"n": n, "seed": seed} | _modes(run.sample(n, seed), source)
    if source.partition(":")[0] not in ("digits", "mnist"):
        raise RunError(f"the judge knows digits only, and this run was trained on {source}")
    labels = run.config.labels(n)
    if classifier and labels is None:
        raise RunError(
            "a classifier learns from samples of a known class: it needs a run that was trained with --conditional"
        )
    samples = run.sample(n, seed)
    if samples.shape[1:] != (1, 28, 28):
        raise RunError(f"the judge takes grey images (n, 1, 28, 28), this run makes {samples.shape}")
    if not bool((abs(samples) <= 1).all()):
        raise RunError("the run's images are not all in [-1, 1]: its generator has diverged")
    real = metrics.reference(source)
    training = training_images(source) if training is None else training
    copied = math.nan
    if training is not None:
        copied = metrics.memorisation(samples, training, real.images if real.held_back else None)
    return {
        "n": n,
        "seed": seed,
        "judge": metrics.judge().facts["version"],
        "reference": real.name,
        **real.compare(samples, labels),
        "memorisation": None if math.isnan(copied) else copied,
        **(
            {"classification_score": classification_score(samples, labels, real.images, real.labels)}
            if classifier
            else {}
        ),
    }


def _modes(points: Any, source: str) -> dict[str, Any]:
    """What `metrics.modes` says of points that should be like a toy's."""
    mixture = getattr(toys, f"{source.upper()}_CENTRES"), getattr(toys, f"{source.upper()}_SIGMA")
    if not bool((abs(points) < math.inf).all()):
        raise RunError("the run's points are not all finite: its generator has diverged")
    ratio = metrics.spread_ratio(points, *mixture)
    return {
        "modes": len(mixture[0]),
        "modes_covered": metrics.modes_covered(points, *mixture),
        "high_quality_share": metrics.high_quality_share(points, *mixture),
        "spread_ratio": None if math.isnan(ratio) else ratio,
        "reverse_kl": metrics.reverse_kl(points, *mixture),
    }


ROWS = {  # what is printed of the figures, with what to read in it
    "judge_frechet": "the judge's Fréchet distance, not Inception FID: low",
    "precision": "share of samples among real digits: as real",
    "recall": "share of real digits among samples: as real",
    "confidence": "the judge is sure: as real",
    "entropy_of_mean": f"classes are even: {math.log(10):.3f} at most",
    "mean_entropy": "the judge is undecided: as real",
    "asked_for": "what was asked for, to the judge: as real",
}


def table(figures: dict[str, Any]) -> str:
    """What `evaluate` gives, for a terminal.

    >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
    >>> print(mg.gan.evaluation.table(mg.gan.evaluation.evaluate(run, n=100)))
    100 samples from seed 0, by judge 1; reference: ... digits...
    <BLANKLINE>
                      samples       real
    judge_frechet ...
    """
    if "modes" in figures:
        ratio = figures["spread_ratio"]
        return "\n".join(
            [
                f"{figures['n']:,} points from seed {figures['seed']}",
                "",
                f"{figures['modes_covered']:9} of {figures['modes']} modes have a point within 3 sigma",
                f"{figures['high_quality_share']:9.1%} of the points are that near to a mode; of true ones "
                f"{0.9973 if figures['modes'] == 1 else 0.9889:.1%}",
                f"{'none' if ratio is None else f'{ratio:.3f}':>9} is the width of a mode over that of true points",
                f"{figures['reverse_kl']:9.4f} nats from equal shares, KL(generated || equal)",
            ]
        )
    copied = figures["memorisation"]
    lines = [
        f"{figures['n']:,} samples from seed {figures['seed']}, by judge {figures['judge']}; "
        f"reference: {figures['reference']}",
        "",
        f"{'':15} {'samples':>9}  {'real':>9}",
        *(
            f"{name:15} {figures[name]:9.3f}  {figures[f'{name}_real']:9.3f}  {note}"
            for name, note in ROWS.items()
            if name in figures
        ),
        f"{'memorisation':15} {'unknown' if copied is None else f'{copied:.3f}':>9}  {1:9.3f}  "
        + (
            "the training images are not at hand"
            if copied is None
            else "distance to training images: well below 1 is copying"
        ),
        *(
            [f"a classifier that has seen these samples alone is right on {score:.2%} of the reference"]
            if (score := figures.get("classification_score"))
            else []
        ),
        "",
        "classes  " + "  ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(figures["class_shares"])),
    ]
    return "\n".join(lines)

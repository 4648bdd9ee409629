"""A trainer's step, explained: what D's loss sends back, and what G's does."""

from __future__ import annotations

import json as js
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from minigan.autodiff import no_grad
from minigan.errors import RunError
from minigan.gan import PRESETS, Trainer
from minigan.gan.run import repeatable
from minigan.gan.step import discriminator_step
from minigan.study.explain import Explanation, explain
from minigan.study.explain_page import fragment, whole


def explain_step(trainer: Trainer) -> dict[str, Explanation]:
    """Explain the next adversarial step of a trainer; D takes its turn, and nothing is written to the run's folder.

    Args:
        trainer: a new one, or one that resumed.

    Returns:
        D's loss, its penalty where this step has one, and G's loss through the D that has just learned, each by its title.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     turns = mg.study.explain_step(mg.gan.Trainer(mg.gan.TrainConfig("gan", out=pathlib.Path(folder))))
    >>> list(turns)
    ["D's loss", "G's loss, through the D that has learned from it"]
    """
    names, loss, found = {"G": trainer.generator, "D": trainer.discriminator}, trainer.loss, {}
    with repeatable(trainer.generator, trainer.discriminator):
        generator, critic, real, z = trainer._turn()
        fake = generator(z)
        found["D's loss"] = explain(loss.discriminator(critic(real), critic(fake.detach())), names=names)
        penalty = trainer._penalty(trainer._weight(trainer.done * trainer.config.d_steps))
        if penalty:
            found["D's penalty"] = explain(penalty(critic, real, fake), names=names)
        discriminator_step(critic, trainer.opt_d, real, fake, loss.discriminator, penalty)
        with no_grad():
            beside = [critic(real)] if loss.paired else []
        loss_g = loss.generator(critic(fake), *beside)
        title = "G's loss, through the D that has learned from it"
        found[title] = explain(loss_g, trainer.generator.parameters(), names=names)
    return found


def next_step(what: str) -> dict[str, Explanation]:
    """`explain_step` of a preset as it starts, or of a run as it would go on.

    Args:
        what: a name in `minigan.gan.PRESETS`, or a run's folder.

    Raises:
        RunError: neither.
    """
    if what not in PRESETS:
        if not Path(what).is_dir():
            raise RunError(f"{what!r} is neither {', '.join(PRESETS)} nor the folder of a run")
        return explain_step(Trainer.resume(what))
    with TemporaryDirectory() as folder:
        return explain_step(Trainer(replace(PRESETS[what], out=Path(folder))))


def text(turns: Mapping[str, Explanation]) -> str:
    """For a terminal."""
    return "\n\n".join(f"{title}\n{'=' * len(title)}\n{found}" for title, found in turns.items())


def json(turns: Mapping[str, Explanation]) -> str:
    """One object with a field for each title."""
    return js.dumps({title: js.loads(found.json()) for title, found in turns.items()}, indent=2, ensure_ascii=False)


def html(turns: Mapping[str, Explanation]) -> str:
    """One self-contained page."""
    sections = (f"<h1>{escape(title)}</h1>{fragment(found.record)}" for title, found in turns.items())
    return whole("One adversarial step", "".join(sections))


WRITERS: dict[str, Callable[[Mapping[str, Explanation]], str]] = {".html": html, ".json": json, ".txt": text}

"""``report.html``: a run in one file that opens anywhere, without network or server."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

from minigan import backends, metrics
from minigan.autodiff import Tensor
from minigan.errors import RunError
from minigan.gan import curves, files, pictures
from minigan.gan.run import Run, generate, latents, load
from minigan.metrics.reference import training_images

MOST = 40  # sample grids
BUDGET = 3_000_000  # bytes of all of them together
WARNINGS = 100  # the newest
BETWEEN, COLUMNS = 6, 8  # latents that the interpolation goes between, and images from one to the next
COMPARED = 10  # samples with their nearest training digit
PIXELS = 50_000_000  # of a sample grid that is read


def write(folder: str | Path, run: Run | None = None, training: Any = None) -> Path:
    """Write ``report.html`` from the files of a run: settings, curves, samples, interpolation, nearest digits, warnings.

    What is missing or damaged is left out. The same files give the same page, byte for byte.

    Args:
        folder: the run's.
        run: what `load` gives, where that is at hand; else it is read.
        training: the images that the run was trained on; without them they are read where they are at hand.

    Returns:
        The path of the page.

    Raises:
        RunError: the folder is not that of a run.
        OSError: the page cannot be written.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mg.gan.Trainer(mg.gan.TrainConfig("gan", steps=1, judge=0, out=pathlib.Path(folder))).run()
    ...     mg.gan.report.write(folder).read_text().splitlines()[0]
    '<!DOCTYPE html>'
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder} is not a run: it has no config.json; minigan train writes one")
    path = folder / "report.html"
    files.write(path, page(folder, run, training).encode(errors="replace"))
    return path


def page(folder: Path, run: Run | None = None, training: Any = None) -> str:
    """The page that `write` writes."""
    settings = _settings(folder / "config.json")
    rows = _rows(folder / "metrics.jsonl")
    if run is None:
        try:
            run = load(folder)
        except RunError:  # before the first epoch's end, or damaged
            run = None
    charts = "".join(curves.figure(chart, rows) for chart in curves.CHARTS)
    drawn = "" if run is None else _interpolation(run) + _nearest(run, training)
    sections = {
        "Warnings": _warnings(rows),
        "Samples": _scrubber(_grids(folder)),
        "Curves": charts and f'<div class="charts">{charts}</div>',
        "The generator now": drawn and f'<div class="pictures">{drawn}</div>',
        "Settings": _table(settings),
    }
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{settings.get('model', 'A run')} on {settings.get('data', 'unknown data')}"),
        summary=_summary(rows),
        sections="\n".join(f"<section>\n<h2>{name}</h2>\n{s}\n</section>" for name, s in sections.items() if s),
    )


def _settings(path: Path) -> dict[str, Any]:
    """What ``config.json`` says, whatever version wrote it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl`` that can be read."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [row for row in found if isinstance(row, dict)]


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How far the run is, and what the judge said last."""
    latest = {key: value for row in rows for key, value in row.items() if curves.number(value) is not None}
    if not {"step", "epoch"} <= latest.keys():
        return '<p class="quiet">No epoch is finished yet.</p>'
    text = f"Step {latest['step']:,.0f}, epoch {latest['epoch']:,.0f}."
    if {"judge_frechet", "judge_frechet_real"} <= latest.keys():
        text += f" The judge's distance is {latest['judge_frechet']:.3g}, that of real digits {latest['judge_frechet_real']:.3g}."
    return f'<p class="quiet">{text}</p>'


def _warnings(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the run said of itself, each text once with the step where it began."""
    watched = [row for row in rows if isinstance(row.get("warnings"), list)]
    said = [(text, row.get("step")) for row in watched for text in row["warnings"] if isinstance(text, str)]
    if not said:
        return '<p class="quiet">None.</p>' if watched else ""
    times = Counter(text for text, _ in said)
    began = dict(reversed(said))
    newest = list(times)[-WARNINGS:]
    items = (
        f"<li><b>Step {escape(_said(began[text]))}</b>: {escape(text)}"
        + (f' <span class="quiet">({times[text]:,} times)</span>' if times[text] > 1 else "")
        + "</li>"
        for text in newest
    )
    left = f'<p class="quiet">{len(times) - WARNINGS:,} earlier ones are left out.</p>' if len(times) > WARNINGS else ""
    return f'{left}<ul class="warnings">{"".join(items)}</ul>'


def _grids(folder: Path) -> list[tuple[int, str]]:
    """Epochs and their sample grids as data: URIs, evenly spaced where there are many, the newest always."""
    found = {int(m[1]): p for p in folder.glob("samples-*.png") if (m := re.fullmatch(r"samples-(\d+)\.png", p.name))}
    epochs, shown = sorted(found), []
    every = 1
    while epochs:
        chosen = [e for e in epochs if e % every == 0 or e == epochs[-1]]
        if len(chosen) <= MOST:
            shown = [(e, uri) for e in chosen if (uri := _read(found[e]))]
            if len(shown) < 2 or sum(len(uri) for _, uri in shown) <= BUDGET:
                break
        every *= 2  # so that most pictures stay the same from epoch to epoch
    return shown


def _read(path: Path) -> str | None:
    """A sample grid as a data: URI, or None where the file is no picture."""
    from PIL.Image import DecompressionBombError

    try:
        return _small(path.read_bytes())
    except (OSError, ValueError, SyntaxError, DecompressionBombError):
        return None


@lru_cache(maxsize=2 * MOST)
def _small(content: bytes) -> str:
    """A picture of `pictures.grid` as a data: URI, a pixel for each pixel of its images."""
    from PIL import Image

    with Image.open(BytesIO(content)) as image:
        if image.width * image.height > PIXELS:
            raise ValueError("larger than a run's")
        sheet = image.convert("RGB").reduce(2)
    red, green, blue = sheet.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return _uri(red, "png")
    return _uri(sheet, "jpeg", quality=88)


def _uri(image: Any, kind: str, **options: Any) -> str:
    file = BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def _scrubber(grids: Sequence[tuple[int, str]]) -> str:
    """A slider through the sample grids; without a script the newest shows."""
    if not grids:
        return ""
    last = len(grids) - 1
    shown = "".join(
        f'<img src="{uri}" alt="Samples after epoch {epoch}" data-epoch="{epoch}"{"" if i == last else " hidden"}>'
        for i, (epoch, uri) in enumerate(grids)
    )
    return (
        f'<figure class="samples">{shown}<div class="scrub"><input type="range" min="0" max="{last}" value="{last}" '
        f'step="1" aria-label="Epoch of the samples"><output>epoch {grids[-1][0]}</output></div>'
        '<figcaption><p class="quiet">The same latents after every epoch; the arrow keys move the slider.</p></figcaption>'
        "</figure>"
    )


def _interpolation(run: Run) -> str:
    """Images on the way between latents: along the sphere for normal ones, straight for uniform ones."""
    xp = backends.get("numpy")
    if run.config.model == "toy":  # points, not images
        return ""
    z = latents(BETWEEN, run.config.latent, run.config.seed).numpy()
    way = _along_the_sphere if run.config.latent == "normal" else _straight
    steps = [i / (COLUMNS - 1) for i in range(COLUMNS)]
    path = xp.stack([way(a, b, t) for a, b in pairwise(z) for t in steps])
    classes = run.config.classes
    labels = None if classes is None else xp.arange(len(path)) // COLUMNS % classes
    images = generate(run.generator, Tensor(path.astype("float32")), labels)
    return _picture(
        images,
        COLUMNS,
        "Interpolation",
        "Each row goes from one latent to another, and the next row goes on from there. Images that change little by "
        "little speak for a generator that has not learned single images by heart."
        + (" Each row is of one class." if classes else ""),
        f"{BETWEEN - 1} rows of {COLUMNS} generated images, each row on the way between two latents",
    )


def _along_the_sphere(a: Any, b: Any, t: float) -> Any:
    """Shoemake (1985): sin((1 - t) w)/sin(w) a + sin(t w)/sin(w) b, with the angle w between a and b."""
    cosine = float((a * b).sum() / ((a * a).sum() * (b * b).sum()) ** 0.5)
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


def _straight(a: Any, b: Any, t: float) -> Any:
    return (1 - t) * a + t * b


def _nearest(run: Run, training: Any) -> str:
    """Samples, and below each the training digit that is nearest."""
    source = run.config.data
    if source.partition(":")[0] not in ("digits", "mnist"):
        return ""
    training = training_images(source) if training is None else training
    samples = run.sample(COMPARED, run.config.seed)
    if training is None or samples.shape[1:] != training.shape[1:]:
        return ""
    both = backends.get("numpy").concatenate([samples, training[metrics.nearest(samples, training)]])
    return _picture(
        both,
        COMPARED,
        "Nearest training digits",
        "Samples above, and below each the training digit that is nearest by Euclidean distance of pixels. The same "
        "image twice is a copy.",
        f"{COMPARED} samples above the training digits nearest to them",
    )


def _picture(images: Any, columns: int, title: str, text: str, alternative: str) -> str:
    content = _small(pictures.grid(images, columns))
    return (
        f"<figure><figcaption><h3>{title}</h3><p>{text}</p></figcaption>"
        f'<img src="{content}" alt="{alternative}"></figure>'
    )


def _table(settings: Mapping[str, Any]) -> str:
    """All settings; those that were not given are quiet."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + ('<td class="quiet">not given</td>' if value is None else f"<td>{escape(_said(value))}</td>")
        + "</tr>"
        for name, value in settings.items()
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

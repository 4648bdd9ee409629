"""The command line: ``minigan train | sample | eval | report | explain | lab | plan | bench``.

Exit codes: 0 done; 1 the work failed (a loss that diverged, a check that was not met, a side of the bench that died);
2 a mistake in what was asked; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Literal

import tyro

from minigan import __version__, gan
from minigan.errors import BackendError, RunError, ShapeError, TrainingFailed
from minigan.gan import checkpoint, evaluation, files, pictures
from minigan.gan import report as pages

app = tyro.extras.SubcommandApp()


STYLE = (tyro.conf.SuppressFixed, tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
Config = tyro.extras.subcommand_type_from_defaults(
    gan.PRESETS,
    {
        "gan": "The fully connected GAN.",
        "dcgan": "DCGAN: convolutions and batch norm.",
        "toy": "A small GAN for points in a plane or on a line.",
    },
)


@app.command
def train(config: tyro.conf.OmitArgPrefixes[tyro.conf.OmitSubcommandPrefixes[Config]]) -> None:  # type: ignore[valid-type]
    """Train a GAN and leave samples, curves, the generator and checkpoints in a folder.

    ``minigan train --resume RUN`` goes on with a run that was stopped; options that are given replace its own.
    """
    finish(gan.Trainer(config))


@app.command
def sample(
    run: tyro.conf.Positional[Path],
    n: int | None = None,
    seed: int = 0,
    statistics: Literal["running", "batch", "standing"] = "running",
    label: int | None = None,
    out: Path = Path("samples.png"),
    force: bool = False,
) -> None:
    """Draw samples from a run's generator.

    Args:
        run: the run's folder.
        n: how many; if not given, 64, or 8 of each class of a conditional run, or 2,500 points.
        seed: of the latents.
        statistics: batch norm's: running, gathered while training; standing, gathered now; batch, of the images made together.
        label: the class of all of them, of a conditional run; if not given, each class in turn.
        out: a .png for a grid, with a new row for each class, or a .npz with `images`, float32 (n, channels, size, size) in
            [-1, 1], and `labels` of a conditional run, or `points`, float32 (n, 2) or (n, 1).
        force: overwrite `out`.
    """
    if out.suffix not in (".png", ".npz"):
        raise RunError(f"--out must end in .png or .npz, got {out}")
    if out.exists() and not force:
        raise RunError(f"{out} exists; give another name with --out, or --force to overwrite it")
    loaded = gan.load(run)
    n = loaded.config.shown if n is None else n
    images, labels = loaded.sample(n, seed, statistics, label), loaded.config.labels(n, label)
    if out.suffix == ".png":
        content = pictures.samples(images, labels, loaded.config.data)
    else:
        import numpy as np

        file = BytesIO()
        arrays = {"points" if images.ndim == 2 else "images": images} | ({} if labels is None else {"labels": labels})
        np.savez_compressed(file, **arrays)
        content = file.getvalue()
    files.write(out, content)
    print(f"{n} samples of {run} are in {out}")


@app.command(name="eval")
def evaluate(
    run: tyro.conf.Positional[Path],
    n: int | None = None,
    seed: int = 0,
    min_share: float = 0.0,
    classifier: bool = False,
) -> None:
    """Say how good a run's samples are, digits by the judge beside real digits, points by their modes.

    evaluation.json in its folder keeps the figures.

    Args:
        run: the run's folder.
        n: how many samples to judge; if not given, 10,000 digits or 2,500 points.
        seed: of the latents.
        min_share: fail, with exit code 1, where a class has a smaller share than this.
        classifier: of a conditional run, also train a classifier on the samples alone, and try it on real digits.
    """
    figures = evaluation.evaluate(gan.load(run), n, seed, classifier=classifier)
    print(evaluation.table(figures))
    files.write(run / "evaluation.json", json.dumps(figures, indent=2) + "\n")
    shares = figures.get("class_shares")
    if shares is None:
        print(f"evaluation.json is in {run}")
        return
    rarest = shares.index(min(shares))
    if shares[rarest] < min_share:
        raise TrainingFailed(
            f"only {shares[rarest]:.1%} of the samples are a {rarest} to the judge, asked for were {min_share:.1%}"
        )
    print(f"the rarest class is {rarest} with {shares[rarest]:.1%}; evaluation.json is in {run}")


@app.command
def report(run: tyro.conf.Positional[Path]) -> None:
    """Make a run's report.html anew from the files in its folder; training writes it after every epoch.

    Args:
        run: the run's folder.
    """
    print(f"{pages.write(run)} opens in any browser")


@app.command
def explain(what: tyro.conf.Positional[str], out: Path | None = None) -> None:
    """Show where every gradient of one adversarial step comes from: op by op, with formulas and numbers.

    Args:
        what: gan, dcgan or toy for a new one as it starts, or a run's folder for the run's next step.
        out: a file instead of the terminal: .html with typeset formulas, .json, or .txt.
    """
    from minigan.study import step

    if out and out.suffix not in step.WRITERS:
        raise RunError(f"out must end with {', '.join(step.WRITERS)}, got {out}")
    turns = step.next_step(what)
    if out:
        files.write(out, step.WRITERS[out.suffix](turns).encode())
        print(f"one step of {what}, explained in {out}")
    else:
        print(step.text(turns))


@app.command
def lab(
    data: tyro.conf.Positional[Literal["ring", "grid", "line"]],
    out: Path = Path("lab.html"),
    steps: int = 2000,
    seed: int = 0,
    fixed_generator: bool = False,
) -> None:
    """Train a small GAN on points, and write all that happens into one HTML file, to be watched and stepped through.

    Args:
        data: ring or grid, in a plane; line, for densities and the best discriminator that there is.
        out: the file; one that is there is replaced.
        steps: adversarial steps.
        seed: of all that is drawn.
        fixed_generator: let only the discriminator learn.
    """
    from minigan import study

    figures = study.lab(data, out, steps, seed, fixed_generator=fixed_generator)
    print(f"{out} opens in any browser; in the end " + ", ".join(f"{name} {figures[name]:.3g}" for name in figures))


@app.command
def plan(
    model: tyro.conf.Positional[Literal["gan", "dcgan"]],
    size: int = 28,
    channels: int = 1,
    width: int = 64,
    critic: bool = False,
    batch_size: int = 64,
) -> None:
    """Show every layer's output shape and parameters before anything is trained, or why a size can't work.

    Args:
        model: gan or dcgan.
        size: the images' side in pixels.
        channels: 1 for grey, 3 for RGB.
        width: channels of the outermost convolution; they double at every level inwards.
        critic: a discriminator without batch norm.
        batch_size: for the estimate of the memory of a step.
    """
    from minigan.gan.planner import plan

    try:
        planned = plan(model, size, channels, width, critic)
    except ShapeError as error:
        raise RunError(str(error)) from None
    outputs, parameters = planned.memory(batch_size)
    print(planned)
    print(f"\na step with a batch of {batch_size} keeps about {outputs / 1e6:,.1f} MB of outputs;")
    print(f"parameters, their gradients and Adam's state take {parameters / 1e6:,.1f} MB")


@app.command
def bench(
    only: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    backend: Literal["numpy", "cupy"] = "numpy",
    precision: Literal["fp32", "tf32"] = "fp32",
    json: bool = False,
    as_is: bool = False,
    scaling: bool = False,
    modes: bool = False,
    quality: bool = False,
    seeds: int = 10,
    out: Path | None = None,
) -> None:
    """Measure minigan's steps on this machine, beside PyTorch's where it is installed.

    Args:
        only: one network instead of all: dcgan28, mlp, wgan-gp28, dcgan64 or tanh.
        threads: of each side; 2 if not given, or fewer where the machine has fewer.
        batch_size: samples a step; each network's own if not given.
        backend: numpy for the CPU, cupy for a GPU.
        precision: of products and convolutions on a GPU, of all sides; stated with every figure.
        json: print one JSON document instead of text.
        as_is: keep settings of the environment that hold libraries back from the processor's own instructions.
        scaling: time and memory against batch, width and image side instead, as tables in Markdown.
        modes: what the toy recipe makes of ring and grid instead, seed by seed, as a table in Markdown; about 2 minutes a run.
        quality: the judge's figures of the digits that the dcgan preset makes instead, beside plain PyTorch after the same time;
            about 6 minutes a seed.
        seeds: how many, for --modes and --quality.
        out: a file for those tables; with --modes a picture lies beside it.
    """
    from minigan.bench import run
    from minigan.bench.compare import Options

    tables = [name for name, asked in (("scaling", scaling), ("modes", modes), ("quality", quality)) if asked]
    if len(tables) > 1:
        raise RunError(f"one table at a time: leave out all but one of {', '.join(f'--{name}' for name in tables)}")
    if tables and (only or batch_size):
        raise RunError(f"--{tables[0]} measures networks and batches of its own; leave out --only and --batch-size")
    if out and not tables:
        raise RunError(
            "--out is for the tables of --scaling, --modes and --quality; add one, or send the text to a file with >"
        )
    options = Options(threads, batch_size, backend, as_is, precision=precision)
    try:
        if scaling:
            well = run.scale(out, options, json)
        elif modes:
            well = run.modes(out, options, seeds, json)
        elif quality:
            well = run.quality(out, options, seeds, json)
        else:
            well = run.bench(only, options, json)
    except KeyboardInterrupt:
        print("minigan: stopped; the workers of the bench are gone", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if well else 1)


def resume(args: list[str]) -> None:
    """``minigan train --resume RUN [options]``: go on with a run; settings that are named replace its own."""
    place = next(i for i, a in enumerate(args) if a.partition("=")[0] == "--resume")
    _, given, folder = args[place].partition("=")
    rest = args[:place] + args[place + (1 if given else 2) :]
    if not (given or args[place + 1 :]):
        raise RunError("--resume needs the folder of a run, such as --resume runs/dcgan")
    run = Path(folder if given else args[place + 1])
    saved = gan.TrainConfig.read(run)
    if rest[:1] and rest[0] in gan.PRESETS:
        if rest[0] != saved.model:
            raise RunError(f"{run} is a run of {saved.model}, and goes on as one; {rest[0]} needs a folder of its own")
        del rest[0]
    named = {a.partition("=")[0].removeprefix("--").replace("-", "_") for a in rest if a.startswith("--")}
    if "out" in named:
        raise RunError(f"a run goes on in its own folder, {run}; leave out --out")
    config = tyro.cli(gan.TrainConfig, prog=f"minigan train --resume {run}", args=rest, default=saved, config=STYLE)
    finish(gan.Trainer.resume(run, **{name: getattr(config, name) for name in named}))


def finish(trainer: gan.Trainer) -> None:
    """Train to the end, and say where the results are."""
    try:
        trainer.run()
    except KeyboardInterrupt:
        step = checkpoint.latest(trainer.out)
        print(f"minigan: stopped; minigan train --resume {trainer.out} goes on from step {step}", file=sys.stderr)
        sys.exit(130)
    print(f"{trainer.steps} steps; samples.png, losses.png and generator.safetensors are in {trainer.out}")


def main() -> None:
    """Run the command line and exit."""
    warnings.formatwarning = lambda message, *_, **__: f"minigan: warning: {message}\n"
    if sys.argv[1:] == ["--version"]:
        print(f"minigan {__version__}")
        return
    try:
        if sys.argv[1:2] == ["train"] and any(a.partition("=")[0] == "--resume" for a in sys.argv):
            resume(sys.argv[2:])
            return
        app.cli(
            prog="minigan",
            description="Train GANs and look at what they learned.",
            config=STYLE,
        )
    except (RunError, BackendError, OSError) as error:
        failed = isinstance(error, TrainingFailed)
        print(f"minigan: error: {error}", file=sys.stderr)
        sys.exit(1 if failed else 2)
    except MemoryError as error:
        advice = "try a smaller width, size or batch, or end other programs that hold memory"
        print(f"minigan: error: not enough memory: {str(error).rstrip('.')}; {advice}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("minigan: stopped", file=sys.stderr)
        sys.exit(130)

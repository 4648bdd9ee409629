"""The command line: ``minigan train | sample | eval | bench``.

Exit codes: 0 done; 1 the work failed (a loss that diverged, a check that was not met, a side of the bench that died);
2 a mistake in what was asked; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Literal

import tyro

from minigan import __version__, gan
from minigan.errors import BackendError, RunError, TrainingFailed
from minigan.gan import files, pictures

app = tyro.extras.SubcommandApp()


Config = tyro.extras.subcommand_type_from_defaults(
    gan.PRESETS, {"gan": "The fully connected GAN.", "dcgan": "DCGAN: convolutions and batch norm."}
)


@app.command
def train(config: tyro.conf.OmitArgPrefixes[tyro.conf.OmitSubcommandPrefixes[Config]]) -> None:  # type: ignore[valid-type]
    """Train a GAN and leave samples, curves and the generator in a folder."""
    trainer = gan.Trainer(config)
    trainer.run()
    print(f"{trainer.steps} steps; samples.png, losses.png and generator.safetensors are in {trainer.out}")


@app.command
def sample(
    run: tyro.conf.Positional[Path], n: int = 64, seed: int = 0, out: Path = Path("samples.png"), force: bool = False
) -> None:
    """Draw samples from a run's generator.

    Args:
        run: the run's folder.
        n: how many.
        seed: of the latents.
        out: a .png for a grid, or a .npz with `images`, float32 (n, 1, 28, 28) in [-1, 1].
        force: overwrite `out`.
    """
    if out.suffix not in (".png", ".npz"):
        raise RunError(f"--out must end in .png or .npz, got {out}")
    if out.exists() and not force:
        raise RunError(f"{out} exists; give another name with --out, or --force to overwrite it")
    images = gan.load(run).sample(n, seed)
    if out.suffix == ".png":
        content = pictures.grid(images)
    else:
        import numpy as np

        file = BytesIO()
        np.savez_compressed(file, images=images)
        content = file.getvalue()
    files.write(out, content)
    print(f"{n} samples of {run} are in {out}")


@app.command(name="eval")
def evaluate(run: tyro.conf.Positional[Path], n: int = 1000, seed: int = 0, min_share: float = 0.0) -> None:
    """Say which digits a run's generator makes, by the nearest real digit of each sample.

    Args:
        run: the run's folder.
        n: how many samples to judge.
        seed: of the latents.
        min_share: fail, with exit code 1, where a class has a smaller share than this.
    """
    from minigan import data, metrics

    images, labels = data.digits()
    shares = metrics.class_shares(gan.load(run).sample(n, seed), images, labels)
    print(f"{n} samples of {run}, classes by the nearest of {len(images)} real digits:")
    print("  ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(shares)))
    rarest = int(shares.argmin())
    if shares[rarest] < min_share:
        raise TrainingFailed(
            f"only {shares[rarest]:.1%} of the samples are nearest to a {rarest}, asked for were {min_share:.1%}"
        )
    print(f"the rarest class is {rarest} with {shares[rarest]:.1%}")


@app.command
def bench(
    only: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    backend: Literal["numpy", "cupy"] = "numpy",
    json: bool = False,
    as_is: bool = False,
    scaling: bool = False,
    out: Path | None = None,
) -> None:
    """Measure minigan's steps on this machine, beside PyTorch's where it is installed.

    Args:
        only: one network instead of all: dcgan28, mlp, wgan-gp28, dcgan64 or tanh.
        threads: of each side; 2 if not given, or fewer where the machine has fewer.
        batch_size: samples a step; each network's own if not given.
        backend: numpy for the CPU, cupy for a GPU.
        json: print one JSON document instead of text.
        as_is: keep settings of the environment that hold libraries back from the processor's own instructions.
        scaling: time and memory against batch, width and image side instead, as tables in Markdown.
        out: a file for those tables.
    """
    from minigan.bench import run
    from minigan.bench.compare import Options

    if scaling and (only or batch_size):
        raise RunError("--scaling measures networks and batches of its own; leave out --only and --batch-size")
    if out and not scaling:
        raise RunError("--out is for the tables of --scaling; add that, or send the text to a file with >")
    options = Options(threads, batch_size, backend, as_is)
    try:
        well = run.scale(out, options, json) if scaling else run.bench(only, options, json)
    except KeyboardInterrupt:
        print("minigan: stopped; the workers of the bench are gone", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if well else 1)


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:
        print(f"minigan {__version__}")
        return
    try:
        app.cli(
            prog="minigan",
            description="Train GANs and look at what they learned.",
            config=(tyro.conf.SuppressFixed, tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff),
        )
    except (RunError, BackendError, OSError) as error:
        failed = isinstance(error, TrainingFailed)
        print(f"minigan: error: {error}", file=sys.stderr)
        sys.exit(1 if failed else 2)
    except KeyboardInterrupt:
        print("minigan: stopped; the files of the last whole epoch are kept", file=sys.stderr)
        sys.exit(130)

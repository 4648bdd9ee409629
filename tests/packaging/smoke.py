"""Does what was built work where nobody has the checkout? Run by `make dist` with the folder that holds wheel and sdist."""

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

FILES = {
    "minigan/py.typed",
    "minigan/data/digits.npz",
    "minigan/gan/report.html",
    "minigan/metrics/judge.safetensors",
    "minigan/testing/cupy_api.json",
    "minigan/cli.py",
}
SOURCES = {
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "conftest.py",
    "tests/support.py",
    ".ci/run",
}
COMMANDS = [
    ["minigan", "--version"],
    ["minigan", "train", "gan", "--steps", "2", "--out", "run"],
    ["minigan", "sample", "run", "--n", "4", "--out", "grid.png"],
    ["minigan", "eval", "run", "--n", "10"],
    [
        "python",
        "-W",
        "error",
        "-c",
        "import minigan as mg; print(mg.__file__, mg.tensor([1.0]).tanh(), mg.testing.STRICT)",
    ],
    ["python", "-m", "pip", "check"],
]


def main(folder: Path) -> None:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= FILES, f"{wheel} lacks {FILES - names}"
    assert not [n for n in names if not n.startswith("minigan")], "the wheel holds more than the package"
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert names >= FILES | SOURCES, f"{sdist} lacks {(FILES | SOURCES) - names}"

    with tempfile.TemporaryDirectory() as elsewhere:
        venv.create(f"{elsewhere}/venv", with_pip=True)
        programs = Path(elsewhere, "venv", "Scripts" if sys.platform == "win32" else "bin")
        install = ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel.resolve())]
        for name, *arguments in [install, *COMMANDS]:
            print("+", name, *arguments, flush=True)
            subprocess.run([programs / name, *arguments], cwd=elsewhere, check=True)
    print(f"{wheel.name} works outside the checkout")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Files from the network: from one of several mirrors, continued where it broke off, checked, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from minigan.data import cache, idx
from minigan.errors import DataError

ATTEMPTS = 5  # with one mirror, as long as each of them brings something
CHUNK = 1 << 14  # bytes written at a time, and so the most that is lost when a connection breaks
TIMEOUT = 20  # seconds without an answer


def download(name: str, mirrors: Iterable[str], checksum: str, otherwise: str) -> Path:
    """A file of the cache folder, downloaded if it is not there or is damaged.

    The cache is the folder that the environment variable MINIGAN_DATA names, else the system's place for caches. What an
    interrupted download brought stays there, and the next one asks the same mirror for the rest only.

    Args:
        name: the file's. Mirrors hold it compressed, as ``name.gz``, the cache uncompressed.
        mirrors: base URLs with a slash at the end, tried in turn.
        checksum: SHA-256 of the uncompressed file, because mirrors may compress differently.
        otherwise: how the user can do without a download, for the message.

    Raises:
        DataError: no mirror gave the right file, or the cache folder cannot be written to.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # the progress bar says it
    folder = cache.home()
    failures = []
    for mirror in mirrors:
        try:
            return Path(pooch.retrieve(f"{mirror}{name}.gz", checksum, name, folder, downloader=_through_a_part))
        except RequestException as error:
            answer = error.response
            failures.append(f"{mirror} ({type(error).__name__ if answer is None else f'status {answer.status_code}'})")
        except ValueError:
            failures.append(f"{mirror} (wrong checksum)")
        except DataError:
            failures.append(f"{mirror} (damaged file)")
        except OSError as error:
            raise DataError(
                f"{folder} cannot be used for downloads ({error.strerror or error}); "
                "set MINIGAN_DATA to a folder that can be written to"
            ) from None
    raise DataError(
        f"{name} could not be downloaded from {', nor from '.join(failures)}; try again later, or {otherwise}"
    )


def _through_a_part(url: str, target: str, _: Any) -> None:
    """Pooch's downloader: the mirror's file grows in a part that outlives a break, then unpacks into `target`."""
    from requests import RequestException

    # of this mirror only: another one's compressed bytes may differ
    part = Path(target).with_name(f"{url.rpartition('/')[2]}.{sha256(url.encode()).hexdigest()[:8]}.part")
    for attempt in range(1, ATTEMPTS + 1):
        part.touch()
        before = part.stat().st_size
        try:
            _request_the_rest(url, part)
            break
        except RequestException:
            after = part.stat().st_size
            if after == 0:
                part.unlink()
            if attempt == ATTEMPTS or after == before:
                raise
    try:
        Path(target).write_bytes(idx.unzipped(part))
    finally:
        part.unlink(missing_ok=True)  # also what is damaged, which must not be continued


def _request_the_rest(url: str, part: Path) -> None:
    """Append to the part what it lacks."""
    import pooch
    from tqdm import tqdm

    with (
        ExitStack() as answers,
        open(part, "ab") as file,
        tqdm(total=1, desc=part.name.partition(".")[0], unit="B", unit_scale=True, disable=None) as bar,
    ):
        start = file.tell()

        def answered(response: Any, **_: Any) -> None:
            answers.callback(response.close)  # pooch leaves it open when something goes wrong
            if response.status_code in (200, 416):  # the whole file comes, or there is no such range: start afresh
                file.truncate(0)

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        fetch = pooch.HTTPDownloader(
            progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": answered}
        )
        fetch(url, file, None)

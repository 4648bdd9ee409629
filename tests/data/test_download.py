"""Downloads, from a server of our own that breaks connections, lies and refuses."""

import gzip
import hashlib
import io
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idx_support import idx

import minigan as mg
from minigan.data import download as downloads
from minigan.errors import DataError

pytestmark = pytest.mark.host
NAME = "file"
CONTENT = np.random.default_rng(0).bytes(150_000)  # does not compress, so that a break can come in its middle
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        mirror = self.server.mirror
        content, asked = mirror.files.get(self.path), self.headers["Range"]
        mirror.requests.append((self.path, asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and mirror.ranges else 0
        limit = mirror.breaks.pop(0) if mirror.breaks else None
        if content is None or limit == 0:
            self.answer(404 if content is None else 503, b"no")
        elif start >= len(content):
            self.answer(416, b"")
        else:
            self.answer(206 if asked and mirror.ranges else 200, content[start:], limit)

    def answer(self, status, body, limit=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:limit])
        self.close_connection = True

    def log_message(self, *args):
        pass


def start_mirror():
    """A server on a thread: its `files` by path, a switch for `ranges`, the `requests` it got.

    `breaks` says after how many bytes it breaks off each of the next answers; 0 is an answer that it is overloaded.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mirror = SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}/mnist/",
        files={f"/mnist/{NAME}.gz": gzip.compress(CONTENT)},
        ranges=True,
        breaks=[],
        requests=[],
        server=server,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop():
        server.shutdown()
        thread.join()
        server.server_close()

    server.mirror.stop = stop
    return server.mirror


@pytest.fixture(scope="module")
def servers():
    running = [start_mirror(), start_mirror()]
    yield running
    for mirror in running:
        mirror.stop()


def reset(mirror):
    mirror.files = {f"/mnist/{NAME}.gz": gzip.compress(CONTENT)}
    mirror.ranges, mirror.breaks, mirror.requests = True, [], []


@pytest.fixture
def mirrors(servers):
    for mirror in servers:
        reset(mirror)
    return servers


@pytest.fixture
def mirror(mirrors):
    return mirrors[0]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def download(*mirrors):
    return downloads.download(NAME, [getattr(m, "url", m) for m in mirrors], CHECKSUM, "draw it yourself")


def ranges(mirror):
    """Where each request wanted to go on, None for the whole."""
    return [asked and int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in mirror.requests]


def holds_nothing_but_the_file(cache):
    return [path.name for path in cache.iterdir()] == [NAME] and (cache / NAME).read_bytes() == CONTENT


def test_a_file_comes_once_and_is_kept(mirror, cache, capfd):
    assert download(mirror) == cache / NAME
    assert holds_nothing_but_the_file(cache)
    assert mirror.requests == [(f"/mnist/{NAME}.gz", None)]
    assert download(mirror) == cache / NAME
    assert len(mirror.requests) == 1
    assert capfd.readouterr() == ("", "")  # no bar where there is no terminal


def test_a_bar_on_a_terminal(mirror, cache, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    download(mirror)
    assert re.search(rf"\r{NAME}: 100%.*150k", terminal.getvalue())


@given(st.lists(st.integers(downloads.CHUNK, 60_000), max_size=downloads.ATTEMPTS - 1))
def test_a_broken_download_goes_on_where_it_broke(servers, tmp_path_factory, breaks):
    mirror, cache = servers[0], tmp_path_factory.mktemp("cache")
    reset(mirror)
    mirror.breaks = list(breaks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGAN_DATA", str(cache))
        download(mirror)
    assert holds_nothing_but_the_file(cache)
    places = ranges(mirror)
    assert places[0] is None
    for before, after, sent in zip([0, *places[1:]], places[1:], breaks, strict=False):
        assert sent - downloads.CHUNK < after - before <= sent  # all that came but for an unfinished chunk
    assert mirror.breaks == [] or len(places) > 1


def test_the_next_call_goes_on_where_the_last_one_broke(mirror, cache):
    mirror.breaks = [70_000, 0]
    with pytest.raises(DataError, match="status 503"):
        download(mirror)
    assert not (cache / NAME).exists()
    download(mirror)
    assert holds_nothing_but_the_file(cache)
    first, second, third = ranges(mirror)
    assert first is None
    assert 70_000 - downloads.CHUNK < second == third <= 70_000


def test_a_stopped_download_goes_on_where_it_was_stopped(mirror, cache, monkeypatch):
    import tqdm

    class Stopped(tqdm.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tqdm, "tqdm", Stopped)
        with pytest.raises(KeyboardInterrupt):
            download(mirror)
    assert not (cache / NAME).exists()
    download(mirror)
    assert holds_nothing_but_the_file(cache)
    assert ranges(mirror) == [None, downloads.CHUNK]


def test_a_server_that_knows_no_ranges_starts_afresh(mirror, cache):
    mirror.ranges, mirror.breaks = False, [70_000]
    download(mirror)
    assert holds_nothing_but_the_file(cache)
    assert ranges(mirror)[0] is None
    assert ranges(mirror)[1] > 0


def test_a_server_that_always_breaks_is_given_up(mirror, cache):
    mirror.breaks = [downloads.CHUNK + 1] * 100
    with pytest.raises(DataError, match=r"\(ChunkedEncodingError|ConnectionError\)"):
        download(mirror)
    assert len(mirror.requests) == downloads.ATTEMPTS
    mirror.ranges, mirror.requests = False, []
    with pytest.raises(DataError):
        download(mirror)
    assert len(mirror.requests) <= 2  # the second brought no more than the first


@pytest.mark.parametrize("extra", [b"", b"more"], ids=["all", "too much"])
def test_a_part_with_nothing_left_to_ask_for_starts_afresh(mirror, cache, extra):
    mirror.breaks = [70_000, 0]
    with pytest.raises(DataError):
        download(mirror)
    (part,) = cache.iterdir()
    part.write_bytes(mirror.files[f"/mnist/{NAME}.gz"] + extra)
    download(mirror)
    assert holds_nothing_but_the_file(cache)


def test_a_damaged_part_is_not_kept(mirror, cache):
    mirror.breaks = [70_000, 0]
    with pytest.raises(DataError):
        download(mirror)
    (part,) = cache.iterdir()
    part.write_bytes(gzip.compress(CONTENT)[:100] + bytes(part.stat().st_size - 100))
    with pytest.raises(DataError, match="damaged file"):
        download(mirror)
    assert list(cache.iterdir()) == []
    download(mirror)
    assert holds_nothing_but_the_file(cache)


def test_a_part_of_one_mirror_is_not_continued_from_another(mirrors, cache):
    mirrors[0].breaks = [70_000, 0]
    mirrors[1].files[f"/mnist/{NAME}.gz"] = gzip.compress(CONTENT, compresslevel=0)  # the same in other bytes
    download(*mirrors)
    assert (cache / NAME).read_bytes() == CONTENT
    assert ranges(mirrors[1]) == [None]


def refusing():
    """A base URL where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


FAULTS = {
    "status 404": lambda mirror: mirror.files.clear(),
    "status 503": lambda mirror: mirror.breaks.append(0),
    "wrong checksum": lambda mirror: mirror.files.update({f"/mnist/{NAME}.gz": gzip.compress(b"other")}),
    "damaged file": lambda mirror: mirror.files.update({f"/mnist/{NAME}.gz": gzip.compress(CONTENT)[:-1]}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_is_asked_where_one_fails(mirrors, cache, fault):
    FAULTS[fault](mirrors[0])
    download(*mirrors)
    assert holds_nothing_but_the_file(cache)
    assert len(mirrors[0].requests) == len(mirrors[1].requests) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_where_all_mirrors_fail_each_is_named_with_its_reason_and_nothing_is_kept(mirror, cache, fault):
    FAULTS[fault](mirror)
    nobody = refusing()
    with pytest.raises(DataError) as caught:
        download(nobody, mirror)
    assert str(caught.value) == (
        f"{NAME} could not be downloaded from {nobody} (ConnectionError), nor from {mirror.url} ({fault}); "
        "try again later, or draw it yourself"
    )
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(mirror, cache):
    download(mirror)
    (cache / NAME).write_bytes(CONTENT[:-1])
    download(mirror)
    assert holds_nothing_but_the_file(cache)
    assert len(mirror.requests) == 2


def test_a_cache_that_cannot_be_used_is_named(mirror, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cache cannot be used for downloads \(\w.*\); set MINIGAN_DATA"):
        download(mirror)


def test_without_a_setting_the_systems_place_for_caches_is_used(mirror, tmp_path, monkeypatch):
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    assert download(mirror) == tmp_path / "minigan" / NAME


def test_mnist_comes_from_its_mirrors_split_by_split(mirrors, cache, monkeypatch):
    rng = np.random.default_rng(0)
    module = import_module("minigan.data.mnist")
    files, checksums = {}, {}
    for split, n in (("train", 6), ("t10k", 4)):
        for name, shape in ((f"{split}-images-idx3-ubyte", (n, 28, 28)), (f"{split}-labels-idx1-ubyte", (n,))):
            files[name] = idx(rng.integers(0, 10, shape).astype(np.uint8))
            checksums[name] = hashlib.sha256(files[name]).hexdigest()
    assert checksums.keys() == module.CHECKSUMS.keys()
    mirrors[1].files = {f"/mnist/{name}.gz": gzip.compress(content) for name, content in files.items()}
    monkeypatch.setattr(module, "MIRRORS", [m.url for m in mirrors])
    monkeypatch.setattr(module, "CHECKSUMS", checksums)
    for split, n in (("test", 4), ("train", 6)):
        images, labels = mg.data.mnist(split)
        assert (images.shape, labels.shape) == ((n, 1, 28, 28), (n,))
        assert len(list(cache.iterdir())) == (2 if split == "test" else 4)
    requests = [len(m.requests) for m in mirrors]
    assert requests == [4, 4]
    for file, content in files.items():
        assert (cache / file).read_bytes() == content
    for loaded, again in zip(mg.data.load("mnist"), mg.data.mnist(folder=cache), strict=True):
        np.testing.assert_array_equal(loaded, again)
    assert [len(m.requests) for m in mirrors] == requests


def test_without_a_network_mnist_says_what_to_do(cache, monkeypatch):
    mirrors = [refusing(), refusing()]
    monkeypatch.setattr(import_module("minigan.data.mnist"), "MIRRORS", mirrors)
    with pytest.raises(DataError, match=rf"{mirrors[0]}.*{mirrors[1]}.*mnist\(folder=\.\.\.\), or --data mnist:FOLDER"):
        mg.data.mnist()

"""Images from a folder: what is saved is read, in one order and upright; what cannot be read is named; the cache is never seen."""

import os
import re
import struct
import warnings
import zlib
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import minigan as mg
from minigan.errors import DataError, RunError

pytestmark = pytest.mark.host
module = import_module("minigan.data.folder")  # the package has the function by this name
WHITE = 255
byte = st.integers(0, 255)


@pytest.fixture(autouse=True, scope="module")
def cached(tmp_path_factory):
    """A cache of the tests' own."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGAN_DATA", str(place))
        yield place


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of one test's own."""
    place = tmp_path / "cache"
    monkeypatch.setenv("MINIGAN_DATA", str(place))
    return place


@pytest.fixture
def images(tmp_path):
    """A folder with two images, a.png and b.png."""
    place = tmp_path / "images"
    place.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(place / name)
    return place


@contextmanager
def reads():
    """The files that are decoded inside the block, not taken from the cache."""
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        pixels = module._pixels
        patch.setattr(module, "_pixels", lambda file, *args: [decoded.append(file.name), pixels(file, *args)][1])
        yield decoded


def pixels(images):
    """Images as bytes (n, H, W, C)."""
    return ((images + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)


def grey(r, g, b):
    return 0.299 * r + 0.587 * g + 0.114 * b


@st.composite
def plain_images(draw):
    """An image of one colour in any mode: the image, its suffix, the colour it is to be read as."""
    mode = draw(st.sampled_from(["1", "L", "LA", "P", "P transparent", "RGB", "RGB key", "RGBA", "I;16", "CMYK"]))
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    r, g, b, alpha = draw(st.tuples(byte, byte, byte, byte))
    suffix = draw(st.sampled_from([".png", ".PNG"]))
    jpeg = st.sampled_from([".jpg", ".jpeg", ".JPG"])
    over_white = lambda *colour: tuple(c * alpha / 255 + WHITE * (1 - alpha / 255) for c in colour)
    if mode == "1":
        return Image.new("1", size, r % 2), suffix, (255 * (r % 2),) * 3
    if mode == "L":
        return Image.new("L", size, r), draw(jpeg | st.just(suffix)), (r, r, r)
    if mode == "LA":
        return Image.new("LA", size, (r, alpha)), suffix, over_white(r, r, r)
    if mode.startswith("P"):
        image = Image.new("P", size, 1)
        image.putpalette([9, 9, 9, r, g, b])
        if mode == "P":
            return image, suffix, (r, g, b)
        image.info["transparency"] = bytes([0, alpha])
        return image, suffix, over_white(r, g, b)
    if mode == "RGB":
        return Image.new("RGB", size, (r, g, b)), draw(jpeg | st.just(suffix)), (r, g, b)
    if mode == "RGB key":
        image = Image.new("RGB", size, (r, g, b))
        image.info["transparency"] = (r, g, b)
        return image, suffix, (WHITE,) * 3
    if mode == "RGBA":
        return Image.new("RGBA", size, (r, g, b, alpha)), suffix, over_white(r, g, b)
    if mode == "I;16":
        value = 256 * r + g
        return Image.fromarray(np.full(size[::-1], value, np.uint16)), suffix, (value / 257,) * 3
    return (
        Image.new("CMYK", size, (255 - r, 255 - g, 255 - b, 0)),
        draw(jpeg),
        (r, g, b),
    )  # a channel is what ink leaves


names = st.lists(st.sampled_from(["a", "B", "é", "0"]), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(names, plain_images(), min_size=1, max_size=4), st.sampled_from([1, 3]), st.integers(1, 24))
def test_every_mode_and_size_is_read_in_the_order_of_the_names(tmp_path_factory, drawn, channels, size):
    folder = tmp_path_factory.mktemp("images")
    expected = {}
    for name, (image, suffix, colour) in drawn.items():
        path = folder / f"{name} {suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=100)
        expected[f"{name} {suffix}"] = np.array(colour if channels == 3 else [grey(*colour)])
    read = mg.data.folder(folder, size, channels)
    assert (read.shape, read.dtype) == ((len(drawn), channels, size, size), np.float32)
    assert -1 <= read.min() <= read.max() <= 1
    for got, name in zip(pixels(read), sorted(expected), strict=True):
        # JPEG's colours round to within 3; blending, grey and 16 bits round twice at most
        tolerance = 3 if name.lower().endswith(("jpg", "jpeg")) else 1.5
        assert np.abs(got - expected[name]).max() <= tolerance, name


def test_16_bits_become_8_over_the_whole_range(tmp_path, cache):
    Image.fromarray((257 * np.arange(256)).reshape(16, 16).astype(np.uint16)).save(tmp_path / "a.png")
    assert pixels(mg.data.folder(tmp_path, 16, 1)).ravel().tolist() == list(range(256))


UPRIGHT = {  # of what an image with this EXIF orientation holds
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@given(st.data(), st.sampled_from(sorted(UPRIGHT)), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]))
def test_an_image_is_read_upright(tmp_path_factory, data, orientation, height, width, channels):
    folder = tmp_path_factory.mktemp("images")
    held = data.draw(arrays(np.uint8, (height, width, 3)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(held).save(folder / "a.png", exif=exif)
    Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](held))).save(folder / "b.png")
    turned, upright = mg.data.folder(folder, 7, channels)
    np.testing.assert_array_equal(turned, upright)


@given(st.data(), st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_an_image_that_has_the_size_already_is_only_cropped_to_its_middle(tmp_path_factory, data, size, more, tall):
    folder = tmp_path_factory.mktemp("images")
    held = data.draw(arrays(np.uint8, (size, size + 2 * more, 3)))
    Image.fromarray(held.transpose(1, 0, 2) if tall else held).save(folder / "a.png")
    (read,) = pixels(mg.data.folder(folder, size))
    np.testing.assert_array_equal(read.transpose(1, 0, 2) if tall else read, held[:, more : more + size])


@pytest.mark.parametrize(("suffix", "side"), [("png", 64), ("jpg", 64), ("jpg", 512)])
def test_scaling_down_averages(tmp_path, cache, suffix, side):
    """Of independent noise, pixels that average 8 x 8 or more have at most a quarter of the spread; picked ones, all of it."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"noise.{suffix}", quality=95)
    (read,) = pixels(mg.data.folder(tmp_path, 8, 1))
    assert read.std() < noise.std() / 4
    # at the rim the filter weighs pixels unequally: 5 standard errors of the mean of all, and 1 for rounding
    assert abs(read.mean() - noise.mean()) < 5 * noise.std() / side + 1


def test_what_is_hidden_or_behind_a_link_is_passed_over(images, cache, tmp_path):
    expected = mg.data.folder(images, 8)
    for name in (".hidden.png", ".folder/c.png", "notes.txt"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"no image")
    (images / "c.png").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.png").write_bytes((images / "a.png").read_bytes())
    (images / "elsewhere").symlink_to(tmp_path / "elsewhere")
    np.testing.assert_array_equal(mg.data.folder(images, 8), expected)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_claims(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def encoded(kind):
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)).save(file, kind)
    return file.getvalue()


BAD = {
    "empty": (b"", "empty"),
    "cut PNG": (encoded("png")[:500], "image file is truncated"),
    "cut JPEG": (encoded("jpeg")[:-200], "image file is truncated"),
    "HTML": (b"<!DOCTYPE html><p>not found", r"neither PNG nor JPEG, it starts with b'<!DOCTYPE ht'"),
    "GIF": (encoded("gif"), "neither PNG nor JPEG, it starts with b'GIF"),
    "bomb": (
        png_that_claims(30_000, 30_000),
        "more pixels than Pillow's limit of 89,478,485, perhaps a decompression bomb",
    ),
    "half a bomb": (png_that_claims(10_000, 10_000), "more pixels than Pillow's limit of 89,478,485"),  # Pillow warns
    "a link to nothing": (None, "No such file or directory"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_unreadable_file_is_skipped_with_one_warning_or_refused(images, cache, what):
    content, reason = BAD[what]
    expected = mg.data.folder(images, 8)
    bad = images / "bad.png"
    if content is None:
        bad.symlink_to("nothing")
    else:
        bad.write_bytes(content)
    message = rf"{re.escape(str(images))}: 1 of 3 images cannot be read{{}}: 'bad.png' \({reason}"
    for _ in range(2):  # read, and then from the cache
        with pytest.warns(UserWarning, match=message.format(" and are left out")) as caught:
            read = mg.data.folder(images, 8)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(read, expected)
        with pytest.raises(DataError, match=message.format("") + r'.*; mend or remove them, .*unreadable="skip"$'):
            mg.data.folder(images, 8, unreadable="refuse")
    for good in ("a.png", "b.png"):
        (images / good).unlink()
    with pytest.raises(
        DataError, match=rf"1 of 1 images cannot be read, and there are no others: 'bad.png' \({reason}"
    ):
        mg.data.folder(images, 8)


def test_many_unreadable_files_are_one_message_that_ends(images, cache):
    for i in range(25):
        (images / f"{i:02}.jpg").write_bytes(b"")
    with pytest.warns(
        UserWarning, match=r"25 of 27 images .*: '00.jpg' \(empty\), .*'19.jpg' \(empty\), and 5 more$"
    ) as caught:
        mg.data.folder(images, 8)
    assert len(caught) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(images, cache):
    os.mkfifo(images / "pipe.png")
    with pytest.warns(UserWarning, match=r"'pipe.png' \(it is not a regular file\)"):
        assert len(mg.data.folder(images, 8)) == 2


def test_what_pillow_only_warns_of_is_read_in_silence(images, cache, monkeypatch):
    def warning(file, *args, read=module._pixels):
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=2)
        return read(file, *args)

    monkeypatch.setattr(module, "_pixels", warning)
    assert len(mg.data.folder(images, 8)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be an integer of at least 1, the images' side in pixels, got 0"),
        ({"size": 8.0}, "size must be an integer of at least 1, the images' side in pixels, got 8.0"),
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"unreadable": "ignore"}, "unreadable must be 'skip' or 'refuse', got 'ignore'"),
        ({"path": "nowhere"}, "there is no folder nowhere; give the one that holds your images"),
        ({"path": __file__}, f"there is no folder {__file__}; give the one that holds your images"),
    ],
)
def test_arguments_out_of_their_range(images, arguments, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        mg.data.folder(**({"path": images} | arguments))
    assert issubclass(DataError, RunError)  # which the command line reports without a traceback


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"has no images: no file in it, .*, ends in \.png, \.jpg, \.jpeg$"):
        mg.data.folder(tmp_path)


def test_a_folder_below_that_cannot_be_listed_is_named(images, cache, monkeypatch):
    (images / "closed").mkdir()
    scandir = os.scandir

    def closed(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match=r"closed cannot be listed: Permission denied$"):
        mg.data.folder(images)


def test_a_folder_is_decoded_once_for_each_size_and_number_of_channels(images, cache):
    read = {}
    for size, channels in ((8, 1), (8, 3), (9, 3)):
        with reads() as decoded:
            read[size, channels] = mg.data.folder(images, size, channels)
        assert decoded == ["a.png", "b.png"]
    for (size, channels), expected in read.items():
        with reads() as decoded:
            again = mg.data.folder(str(images), size, channels)
        assert decoded == []
        np.testing.assert_array_equal(again, expected, strict=True)
        assert again.flags.writeable
    assert len(list(cache.iterdir())) == 3


CHANGES = {
    "another file": lambda folder: Image.new("L", (5, 5)).save(folder / "0.png"),
    "a file less": lambda folder: (folder / "a.png").unlink(),
    "another name": lambda folder: (folder / "a.png").rename(folder / "c.png"),
    "another name in the same place": lambda folder: (folder / "a.png").rename(folder / "aa.png"),
    "another image": lambda folder: Image.new("L", (5, 5)).save(folder / "a.png"),
    "another time": lambda folder: os.utime(folder / "a.png", (1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_read_anew(images, cache, change):
    mg.data.folder(images, 8)
    CHANGES[change](images)
    with reads() as decoded:
        changed = mg.data.folder(images, 8)
    assert decoded == sorted(file.name for file in images.iterdir())
    assert len(list(cache.iterdir())) == 1  # in the place of the old one
    (cache / next(cache.iterdir()).name).unlink()
    np.testing.assert_array_equal(mg.data.folder(images, 8), changed)


@given(st.data(), st.booleans())
def test_a_damaged_cache_is_as_good_as_none(tmp_path_factory, data, cut):
    place = tmp_path_factory.mktemp("damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGAN_DATA", str(place / "cache"))
        (place / "images").mkdir()
        Image.new("RGB", (3, 3), (1, 2, 3)).save(place / "images" / "a.png")
        (place / "images" / "b.png").write_bytes(b"")
        with pytest.warns(UserWarning, match="'b.png'"):
            expected = mg.data.folder(place / "images", 2)
        (file,) = (place / "cache").iterdir()
        content = bytearray(file.read_bytes())
        where = data.draw(st.integers(0, len(content) - 1))
        if cut:
            del content[where:]
        else:
            content[where] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        with pytest.warns(UserWarning, match=r"'b.png' \(empty\)$"):
            np.testing.assert_array_equal(mg.data.folder(place / "images", 2), expected)


def test_a_reason_that_was_damaged_in_the_cache_is_not_told(images, cache):
    (images / "bad.png").write_bytes(b"")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"'bad.png' \(empty\)$"):
            mg.data.folder(images, 8)
        (file,) = cache.iterdir()
        file.write_bytes(file.read_bytes().replace(b"empty", b"funny"))


@pytest.mark.parametrize("what", ["its folder is a file", "its file is a folder", "the disk is full"])
def test_a_cache_that_cannot_be_written_is_no_error(images, cache, what, monkeypatch):
    expected = mg.data.folder(images, 8)
    (file,) = cache.iterdir()
    file.unlink()
    if what == "its folder is a file":
        cache.rmdir()
        cache.write_bytes(b"")
    elif what == "its file is a folder":
        file.mkdir()
    else:

        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
    for _ in range(2):
        with reads() as decoded:
            np.testing.assert_array_equal(mg.data.folder(images, 8), expected)
        assert len(decoded) == 2
    if cache.is_dir():
        assert [left for left in cache.iterdir() if left != file] == []


def test_a_failure_that_may_pass_is_not_kept(images, cache, monkeypatch):
    def closed(*args):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_pixels", closed)
        with pytest.raises(DataError, match=r"'a.png' \(Permission denied\), 'b.png' \(Permission denied\)$"):
            mg.data.folder(images, 8)
    assert len(mg.data.folder(images, 8)) == 2


def test_a_limit_that_the_user_lifts_is_lifted_for_what_was_kept(images, cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # of 120: Pillow warns, and refuses above twice the limit
        with pytest.raises(DataError, match="limit of 60, perhaps"):
            mg.data.folder(images, 8)
    assert len(mg.data.folder(images, 8)) == 2

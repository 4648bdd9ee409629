"""MNIST from a folder: what is written in IDX is read back, and what is no such folder is named."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from idx_support import IMAGES, LABELS, idx, write

import minigan as mg
from minigan.errors import DataError, RunError

pytestmark = pytest.mark.host


@st.composite
def digits(draw):
    """A few images and their labels, uint8."""
    n = draw(st.integers(1, 4))
    return draw(arrays(np.uint8, (n, 28, 28))), draw(arrays(np.uint8, n, elements=st.integers(0, 9)))


@pytest.fixture
def folder(tmp_path):
    """Three images and their labels, not compressed."""
    write(tmp_path, np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28), np.array([0, 9, 4], np.uint8))
    return tmp_path


def refused(folder, message, split="train"):
    with pytest.raises(DataError, match=message) as caught:
        mg.data.mnist(split, folder)
    assert "\n" not in str(caught.value)


@given(digits(), st.sampled_from([("train", "train"), ("test", "t10k")]), st.booleans(), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, written, split, zipped, dotted):
    folder = tmp_path_factory.mktemp("idx")
    write(folder, *written, split[1], zipped, dotted)
    images, labels = mg.data.mnist(split[0], folder)
    assert (images.shape, images.dtype, labels.dtype) == ((len(written[0]), 1, 28, 28), np.float32, np.int64)
    assert -1 <= images.min() <= images.max() <= 1
    np.testing.assert_array_equal(((images[:, 0] + 1) * 127.5).round(), written[0])
    np.testing.assert_array_equal(labels, written[1])
    for array in (images, labels):
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_the_embedded_digits_pixels_give_the_embedded_digits(tmp_path):
    images, labels = mg.data.digits()
    write(tmp_path, ((images[:, 0] + 1) * 127.5).round().astype(np.uint8), labels.astype(np.uint8))
    for ours, theirs in zip(mg.data.mnist(folder=str(tmp_path)), (images, labels), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("inside", [False, True], ids=["gzip without .gz", "a folder of the file's name"])
def test_what_unpackers_make_of_the_names(folder, inside):
    expected = mg.data.mnist(folder=folder)
    for name in (IMAGES, LABELS):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        if inside:
            (folder / name).mkdir()
            (folder / name.replace("-idx", ".idx")).write_bytes(content)
        else:
            (folder / name).write_bytes(gzip.compress(content))
    for read, was in zip(mg.data.mnist(folder=folder), expected, strict=True):
        np.testing.assert_array_equal(read, was)


def test_a_folder_in_the_users_home(folder, monkeypatch):
    monkeypatch.setattr(Path, "expanduser", lambda path: Path(str(path).replace("~", str(folder.parent))))
    assert len(mg.data.mnist(folder=f"~/{folder.name}")[0]) == 3


@given(digits(), st.sampled_from([IMAGES, LABELS]), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path_factory, written, name, zipped, where):
    folder = tmp_path_factory.mktemp("idx")
    path = dict(zip((IMAGES, LABELS), write(folder, *written, zipped=zipped), strict=True))[name]
    content = path.read_bytes()
    path.write_bytes(content[: int(where * len(content))])
    refused(folder, f"{re.escape(str(path))} is damaged.*get it again")


@given(digits(), st.integers(1, 100))
def test_a_file_with_something_behind_its_values_is_refused(tmp_path_factory, written, more):
    folder = tmp_path_factory.mktemp("idx")
    path, _ = write(folder, *written)
    path.write_bytes(path.read_bytes() + bytes(more))
    size = len(written[0]) * 784
    refused(folder, rf"header says {len(written[0])} x 28 x 28 values, it has {size + more}")


@given(digits(), st.floats(0, 1, exclude_max=True))
def test_a_wrong_byte_in_compressed_data_is_noticed(tmp_path_factory, written, where):
    folder = tmp_path_factory.mktemp("idx")
    path, _ = write(folder, *written, zipped=True)
    content = bytearray(path.read_bytes())
    content[10 + int(where * (len(content) - 10))] ^= 0xFF  # behind gzip's header, which has bytes of no meaning
    path.write_bytes(content)
    refused(folder, f"{re.escape(str(path))} is damaged")


@given(st.sampled_from([(IMAGES, 2051), (LABELS, 2049)]), st.integers(0, 2**32 - 1))
def test_a_wrong_magic_number_is_named(tmp_path_factory, file, magic):
    name, expected = file
    folder = tmp_path_factory.mktemp("idx")
    write(folder, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    content = (folder / name).read_bytes()
    assume(magic != expected and magic >> 16 != 0x1F8B)  # the right one, and gzip's
    (folder / name).write_bytes(struct.pack(">I", magic) + content[4:])
    refused(folder, f"{name} starts with {magic}, not with {expected}")


def test_images_in_the_place_of_labels_are_refused(folder):
    (folder / LABELS).write_bytes((folder / IMAGES).read_bytes())
    refused(folder, f"{LABELS} starts with 2051, not with 2049")


@given(digits(), st.integers(0, 9) | st.integers(2**31, 2**32 - 1))  # large ones would be negative with a sign
def test_a_header_that_counts_wrong_is_refused(tmp_path_factory, written, count):
    folder = tmp_path_factory.mktemp("idx")
    path, _ = write(folder, *written)
    content = path.read_bytes()
    assume(count != len(written[0]))
    path.write_bytes(content[:4] + struct.pack(">I", count) + content[8:])
    refused(folder, f"header says {count} x 28 x 28 values, it has {len(written[0]) * 784}")


@pytest.mark.parametrize("labels", [0, 2, 4])
def test_images_and_labels_of_different_number_are_refused(folder, labels):
    (folder / LABELS).write_bytes(idx(np.zeros(labels, np.uint8)))
    refused(folder, f"holds 3 images, but .*{LABELS} {labels} labels")


@pytest.mark.parametrize("shape", [(0, 28, 28), (3, 32, 28), (3, 28, 14), (3, 0, 0)])
def test_images_of_another_size_or_none_are_refused(folder, shape):
    (folder / IMAGES).write_bytes(idx(np.zeros(shape, np.uint8)))
    refused(folder, f"images of 28 x 28 pixels, it holds {' x '.join(map(str, shape))}")


@given(digits(), st.integers(0, 3), st.integers(10, 255))
def test_a_label_out_of_range_is_named(tmp_path_factory, written, where, label):
    folder = tmp_path_factory.mktemp("idx")
    labels = written[1].copy()
    labels[where % len(labels)] = label
    write(folder, written[0], labels)
    refused(folder, f"labels must be from 0 to 9, number {where % len(labels)} is {label}")


def test_a_folder_that_is_not_there_or_is_a_file(folder):
    refused(folder / "nowhere", "there is no folder .*nowhere")
    refused(folder / IMAGES, f"there is no folder .*{IMAGES}")


def test_files_that_are_not_there_are_named(folder):
    refused(folder, "has no t10k-images-idx3-ubyte and no t10k-labels-idx1-ubyte, with .gz or without", split="test")
    (folder / LABELS).unlink()
    refused(folder, rf"has no {LABELS}, with .gz or without$")


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    refused(folder, f"{IMAGES} cannot be read: Permission denied$")


def test_a_split_that_there_is_not(folder):
    refused(folder, "split must be one of train, test, got 'validation'", split="validation")
    assert issubclass(DataError, RunError)  # which the command line reports without a traceback

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.lab.convolution.matrices import KERNELS, matrix_lines, read_kernel, read_matrix


def test_named_kernels_are_the_courses():
    assert read_kernel("vertical")[..., 0].tolist() == [[1, 0, -1]] * 3
    assert read_kernel("Horizontal")[..., 0].tolist() == [[1] * 3, [0] * 3, [-1] * 3]
    assert read_kernel("sobel-x")[:, 0, 0].tolist() == [1, 2, 1]
    assert read_kernel("scharr-y")[0, :, 0].tolist() == [3, 10, 3]
    assert {name: read_kernel(name).shape for name in KERNELS} == dict.fromkeys(KERNELS, (3, 3, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 0 -1; 2 0 -2", [[1, 0, -1], [2, 0, -2]]),
        ("1,0.5;\n -2e1 , 3", None),
        ("1 2\n3 4\n", [[1, 2], [3, 4]]),
        ("5", [[5]]),
        ("1, 2 ,3;", [[1, 2, 3]]),
    ],
)
def test_matrices_are_read(text, expected):
    if expected is None:
        with pytest.raises(UsageError):
            read_matrix(text, "`matrix`")
    else:
        assert read_matrix(text, "`matrix`").tolist() == expected


def test_channels_lie_along_the_last_axis():
    volume = read_matrix("1 2; 3 4 | 5 6; 7 8 | 9 10; 11 12", "`matrix`")
    assert volume.shape == (2, 2, 3)
    assert volume[0, 1].tolist() == [2, 6, 10]


def test_a_text_longer_than_any_file_name_is_read():
    assert read_matrix("; ".join(["10 10 10 0 0 0"] * 300), "`matrix`").shape == (300, 6)


def test_files_of_numbers(tmp_path):
    (tmp_path / "kernel.txt").write_text("1 0 -1\n2 0 -2\n1 0 -1\n")
    assert read_kernel(str(tmp_path / "kernel.txt"))[1, :, 0].tolist() == [2, 0, -2]
    np.save(tmp_path / "kernel.npy", np.ones((2, 4, 3), np.float16))
    assert read_kernel(str(tmp_path / "kernel.npy")).shape == (2, 4, 3)


def test_a_pickle_is_never_opened(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"`kernel` must be a \.npy file of numbers"):
        read_kernel(str(tmp_path / "evil.npy"))


def test_broken_files(tmp_path):
    for name, content in (
        ("cut.npy", b"\x93NUMPY"),
        ("zero.npy", b""),
        ("binary.txt", b"\xff\xfe"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="`kernel` must"):
            read_kernel(str(tmp_path / name))


REFUSED = [
    ("sobel-z", "Did you mean 'sobel"),
    ("", "Named: vertical"),
    ("1 0; 1", "rows of one length"),
    ("1 0 | 1", "rows of one length"),
    ("1 nan", "finite numbers"),
    ("1 inf; 0 0", "finite numbers"),
    (" ".join(["1"] * 100), "at most 99 on a side"),
    ("1 two 3", "be numbers with ; between the rows"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_is_no_kernel(text, told):
    with pytest.raises(UsageError) as refused:
        read_kernel(text)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_numbers_are_written_without_what_they_do_not_need():
    lines = matrix_lines(np.array([[1.0, -0.00001], [2.5, 30]]))
    assert lines == ["  1   0", "2.5  30"]


def test_a_number_whose_powers_are_infinite_is_refused():
    """The cost of a style was Infinity, which is no JSON."""
    with pytest.raises(UsageError, match=r"`matrix` must hold numbers up to 1e\+60.*1e\+200"):
        read_matrix("1 -1e200", "`matrix`")
    assert read_matrix("1 -1e60", "`matrix`").min() == -1e60

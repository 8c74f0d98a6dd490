from __future__ import annotations

from pathlib import Path

import pytest

from cnnkit.errors import UsageError
from cnnkit.formats.face_pairs import FacePair, read_pairs
from cnnkit.writers import write_rows
from cnnkit.writers.row_tables import FlatTable


def written(tmp_path: Path, text: str, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_with_and_without_same(tmp_path: Path) -> None:
    path = written(tmp_path, "b,same,a,note\ntwo.jpg,1,one.jpg,x\nfour.jpg,,three.jpg\n\n")
    assert read_pairs(path, Path("root")) == [
        FacePair("root/one.jpg", "root/two.jpg", True),
        FacePair("root/three.jpg", "root/four.jpg", None),
    ]
    beside = str(tmp_path / "one.jpg")
    assert read_pairs(path)[0].a == beside


def test_absolute_and_undecodable_names(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"a,b,same\n/abs/one.jpg,caf\xe9.jpg,no\n")
    (pair,) = read_pairs(path, Path("r"))
    assert pair == FacePair("/abs/one.jpg", "r/caf\udce9.jpg", False)


LFW = """2\t1
Abel_Pacheco\t1\t4
Akhmed_Zakayev\t1\tBob_Iger\t3
Ana_Paula\t2\t11
Bob_Iger\t1\tAna_Paula\t12
"""


@pytest.mark.parametrize("text", [LFW, LFW.replace("\t", " ")])
def test_lfws_own_list(tmp_path: Path, text: str) -> None:
    pairs = read_pairs(written(tmp_path, text, "pairs.txt"), Path("lfw"))
    assert pairs == [
        FacePair(
            "lfw/Abel_Pacheco/Abel_Pacheco_0001.jpg",
            "lfw/Abel_Pacheco/Abel_Pacheco_0004.jpg",
            True,
            0,
        ),
        FacePair(
            "lfw/Akhmed_Zakayev/Akhmed_Zakayev_0001.jpg",
            "lfw/Bob_Iger/Bob_Iger_0003.jpg",
            False,
            0,
        ),
        FacePair("lfw/Ana_Paula/Ana_Paula_0002.jpg", "lfw/Ana_Paula/Ana_Paula_0011.jpg", True, 1),
        FacePair("lfw/Bob_Iger/Bob_Iger_0001.jpg", "lfw/Ana_Paula/Ana_Paula_0012.jpg", False, 1),
    ]


def test_a_list_of_one_part(tmp_path: Path) -> None:
    """LFW's pairsDevTest.txt begins with the number of pairs alone."""
    pairs = read_pairs(written(tmp_path, "1\nAnn\t1\t2\nAnn\t1\tBob\t1\n", "pairsDevTest.txt"))
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must have the columns a and b"),
        ("file,class\nx,y\n", "must have the columns a and b. Received: the columns file, class"),
        ("a,b\n", "must hold pairs of images"),
        ("a,b\none.jpg,\n", "row 2 must have an a and a b"),
        ("a,b,same\nx,y,perhaps\n", "row 2 must say same as 0 or 1. Received: 'perhaps'"),
        ('a,b\n"x,y\n', "must be a CSV"),
        ("10\t300\nAnn\t1\t2\n", "must hold 6000 pairs. Received: 1"),
        ("1\t1\nAnn\t1\t2\nAnn\t1\t2\n", "line 3 must hold 1 folds of 1 pairs of one person"),
        ("1\t1\nAnn\tx\t2\nAnn\t1\tBob\t2\n", "line 2 must name images by number"),
        ("99999\t1\n", "must begin with 1 to 1000 folds"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_pairs(written(tmp_path, text))
    assert told in str(refused.value)


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_pairs(tmp_path / "none.csv")


SEPARATED = [
    ("a;b;same\none.jpg;two.jpg;1\n", "utf-8"),
    ("a\tb\tsame\none.jpg\ttwo.jpg\tTRUE\n", "utf-8"),
    ("sep=;\r\na;b;same\r\none.jpg;two.jpg;1,0\r\n;;\r\n", "utf-8-sig"),
    ("a\tb\tsame\r\none.jpg\ttwo.jpg\t1\r\n", "utf-16"),
    ('"a", "b", "same"\n"one.jpg", "two.jpg", 1.0\n', "utf-8"),
]


@pytest.mark.parametrize(("text", "encoding"), SEPARATED)
def test_what_spreadsheets_write(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(text.encode(encoding))
    assert read_pairs(path, Path()) == [FacePair("one.jpg", "two.jpg", True)]


@pytest.mark.parametrize(
    ("cell", "same"),
    [
        *((cell, True) for cell in ("1", "1.0", "1.00", "1.", "True", " yes ", "1,0")),
        *((cell, False) for cell in ("0", "0.0", "FALSE", "different")),
        *((cell, None) for cell in ("", " ", "nan", "NaN", "<NA>", "None")),
    ],
)
def test_same_as_a_data_frame_with_gaps_writes_it(
    tmp_path: Path, cell: str, same: bool | None
) -> None:
    path = written(tmp_path, f'a,b,same\nx.jpg,y.jpg,"{cell}"\n')
    assert read_pairs(path, Path()) == [FacePair("x.jpg", "y.jpg", same)]


@pytest.mark.parametrize("cell", ["0.5", "1.01", "2.0", "-1", "10", "01", "1.0.0", ".", "inf"])
def test_another_number_is_no_same(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path, f'a,b,same\nx.jpg,y.jpg,"{cell}"\n')
    with pytest.raises(UsageError, match=r"row 2 must say same as 0 or 1\. Received: "):
        read_pairs(path)


def test_windows_paths_and_spaces_around_names(tmp_path: Path) -> None:
    (tmp_path / "people" / "ann").mkdir(parents=True)
    (tmp_path / "people" / "ann" / "1.jpg").touch()
    path = written(tmp_path, "a , b\npeople\\ann\\1.jpg , people/ann/1.jpg\n")
    (pair,) = read_pairs(path)
    assert pair.a == pair.b == str(tmp_path / "people" / "ann" / "1.jpg")


def test_lfw_in_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes(LFW.replace("\n", "\r\n").encode("utf-8-sig"))
    plain = written(tmp_path, LFW, "plain.txt")
    assert read_pairs(path, Path()) == read_pairs(plain, Path())
    empty = written(tmp_path, "2\t1\n", "none.txt")
    with pytest.raises(UsageError, match=r"must hold 4 pairs\. Received: 0"):
        read_pairs(empty)


@pytest.mark.parametrize("again", ["a.jpg,b.jpg,0", "b.jpg,a.jpg,no"])
def test_a_pair_that_is_same_and_different_is_refused(tmp_path: Path, again: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"a,b,same\na.jpg,b.jpg,1\na.jpg,c.jpg,0\n{again}\n")
    with pytest.raises(UsageError, match=r"say one thing of each pair[.] Received: .* as same and"):
        read_pairs(path)
    path.write_text("a,b,same\na.jpg,b.jpg,1\nb.jpg,a.jpg,1\na.jpg,b.jpg,\n")
    assert [pair.same for pair in read_pairs(path)] == [True, True, None]


def test_our_own_list_of_results_can_be_given_back(tmp_path: Path) -> None:
    """Its cells start no formula; they were taken for other names."""
    names = [("=a.jpg", "'b.jpg"), (" c.jpg", "-d.jpg")]
    rows = [{"a": a, "b": b, "status": "ok"} for a, b in names]
    write_rows(tmp_path / "rows.csv", rows, FlatTable((), paths=("a", "b")))
    (tmp_path / " c.jpg").touch()
    read = read_pairs(tmp_path / "rows.csv")
    assert [(Path(pair.a).name, Path(pair.b).name) for pair in read] == names

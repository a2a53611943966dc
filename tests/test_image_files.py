"""Lists of files: folders and patterns."""

import os
from pathlib import Path

import pytest

from pycnn.errors import ImageError
from pycnn.vision import expand


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        "weights.h5",
        "paper.pdf",
        "figure.eps",
        ".hidden.jpg",
        "sub/c.jpeg",
        "sub/deep/d.webp",
        ".thumbnails/e.png",
        "odd[1].jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_expand_folder(folder: Path) -> None:
    names = ["a.PNG", "b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]
    assert expand([folder]) == [folder / name for name in names]
    assert expand(".") == [Path(name) for name in names]
    assert expand([folder / "sub", "b.jpg"]) == [
        folder / "sub/c.jpeg",
        folder / "sub/deep/d.webp",
        Path("b.jpg"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["b.jpg", "odd[1].jpg"]),
        ("*", ["a.PNG", "b.jpg", "odd[1].jpg"]),
        ("**", ["a.PNG", "b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]),
        ("**/*.[jw]*", ["b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]),
        ("s?b/*", ["sub/c.jpeg"]),
        ("odd[1].jpg", ["odd[1].jpg"]),  # the file of this very name
        ("notes.txt", ["notes.txt"]),  # named: taken whatever its suffix
    ],
)
def test_expand_pattern(folder: Path, pattern: str, names: list[str]) -> None:
    assert expand([pattern]) == [Path(name) for name in names]
    assert expand([folder / pattern]) == [folder / name for name in names]


def test_expand_keeps_order_and_repeats(folder: Path) -> None:
    assert expand(["b.jpg", "a.PNG", "b.jpg"]) == [Path("b.jpg"), Path("a.PNG"), Path("b.jpg")]
    assert expand([]) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jpg", "'absent.jpg': no such file or folder"),
        ("absent/*.jpg", r"pattern 'absent/\*.jpg': matches no file"),
        ("*.txt", r"pattern '\*.txt': none of the 1 files it matches is an image"),
        ("bare", "folder 'bare': no image in it or below it"),
        ("", "'': no such file or folder"),
        (5, "expected the path of an image, got int"),
    ],
)
def test_expand_refuses(folder: Path, path: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        expand(["b.jpg", path])  # type: ignore[list-item]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every folder")
def test_expand_unreadable_folder(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        with pytest.raises(ImageError, match=r"sub.*Permission denied"):
            expand([folder])
    finally:
        (folder / "sub").chmod(0o755)


def test_expand_does_not_follow_a_loop(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder)
    assert len(expand([folder])) == 5

"""Names of classes, and near matches to a name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pycnn.errors import suggest
from pycnn.vision.labels import labels, synsets


def test_labels() -> None:
    names = labels("imagenet")
    assert (len(names), names[0]) == (1000, "tench, Tinca tinca")
    assert names[258] == "Samoyed, Samoyede"
    assert [names[k].split(",")[0] for k in (281, 282, 285)] == [
        "tabby",
        "tiger cat",
        "Egyptian cat",
    ]
    assert names[999].startswith("toilet tissue")
    assert labels("imagenet") is names
    assert labels("cifar10")[0] == "airplane"
    assert labels("cifar10")[9] == "truck"
    assert labels("mnist") == tuple("0123456789")
    assert len(labels("cifar10")) == 10


def test_synsets() -> None:
    ids = synsets("imagenet")
    assert (ids[0], ids[258]) == ("n01440764", "n02111889")
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    assert all(len(item) == 9 and item[0] == "n" and item[1:].isdigit() for item in ids)


def test_labels_are_the_published_file(shared_data: Callable[[str], Path]) -> None:
    lines = shared_data("imagenet_synset_words.txt").read_text().splitlines()
    assert [
        f"{a} {b}" for a, b in zip(synsets("imagenet"), labels("imagenet"), strict=True)
    ] == lines


def test_unknown_labels() -> None:
    for wrong in ("imagent", "../README.md", ""):
        with pytest.raises(ValueError, match="there are imagenet, cifar10, mnist"):
            labels(wrong)
    with pytest.raises(ValueError, match="did you mean 'imagenet'"):
        labels("ImageNet")
    with pytest.raises(ValueError, match="only imagenet's are"):
        synsets("cifar10")


def test_suggest() -> None:
    assert suggest("Resnet50", ["resnet50", "vgg16"]) == " (did you mean 'resnet50'?)"
    assert suggest("xyz", ["resnet50", "vgg16"]) == ""
    assert suggest("resnet50" * 10**6, ["resnet50"]) == ""
    assert suggest("a", []) == ""

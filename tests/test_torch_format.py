"""PyTorch's files without PyTorch: what is read, and that nothing in them is run."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pycnn import ModelFormatError, UnsupportedError
from pycnn.formats import open_weights
from pycnn.formats.tensor_file import MappedTensors
from pycnn.formats.unpickle import UnpicklingError, unpickle

LAYOUTS = pytest.mark.parametrize("zip_layout", [True, False], ids=["zip", "legacy"])


def save(value: Any, path: Path, zip_layout: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zip_layout)
    return path


def same(path: Path, expected: dict[str, torch.Tensor]) -> None:
    file = open_weights(path)
    assert file.shapes == {name: tuple(t.shape) for name, t in expected.items()}
    for name, tensor in expected.items():
        got = file.read(name)
        assert got.dtype == np.float32
        assert got.shape == tuple(tensor.shape)
        assert got.flags.aligned and got.flags.c_contiguous
        np.testing.assert_array_equal(got, tensor.detach().float().numpy())


@LAYOUTS
def test_tensors_of_every_kind(tmp_path: Path, zip_layout: bool) -> None:
    base = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    tensors = {
        "plain": base,
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "bfloat16, transposed": base.bfloat16().t(),
        "double": base.double(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "transposed": base.t(),
        "part of the same storage": base[2:5, 1:7:2],
        "expanded": base[:1].expand(5, 8),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(base.clone()),
    }
    same(save(tensors, tmp_path / "w.pt", zip_layout), tensors)
    same(save(OrderedDict(tensors), tmp_path / "w.pth", zip_layout), tensors)


@LAYOUTS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_module_and_pickle_protocols(tmp_path: Path, zip_layout: bool, protocol: int) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = module.state_dict()  # an OrderedDict with attributes
    path = tmp_path / "w.th"
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zip_layout)
    file = open_weights(path)
    assert file.dtypes.pop("1.num_batches_tracked") == "int64"
    assert set(file.dtypes) == set(state) - {"1.num_batches_tracked"}
    for name in file.dtypes:
        np.testing.assert_array_equal(file.read(name), state[name].numpy())
    with pytest.raises(ModelFormatError, match=r"num_batches_tracked.*has dtype int64"):
        file.dtypes["1.num_batches_tracked"] = "int64"
        file.read("1.num_batches_tracked")


@LAYOUTS
def test_checkpoints_of_training_scripts(tmp_path: Path, zip_layout: bool) -> None:
    import argparse

    state = {"w": torch.ones(2, 2)}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    for wrapper in ("state_dict", "model_state_dict", "model"):
        checkpoint = {
            "epoch": 3,
            "best": np.float64(0.5),
            "args": argparse.Namespace(lr=0.1, devices=[0, 1], mean=torch.zeros(3)),
            "optimizer": optimizer.state_dict(),
            wrapper: state,
        }
        same(save(checkpoint, tmp_path / "checkpoint.pt", zip_layout), state)


def test_a_storage_at_an_odd_place(tmp_path: Path) -> None:
    source = save({"w": torch.arange(4.0)}, tmp_path / "even.pt", True)
    odd = tmp_path / "odd.pt"
    with zipfile.ZipFile(source) as even, zipfile.ZipFile(odd, "w") as archive:
        archive.writestr("archive/x", b"1")
        for entry in even.infolist():
            archive.writestr(entry.filename.replace("even", "archive"), even.read(entry))
    file = open_weights(odd)
    assert isinstance(file, MappedTensors)
    assert file._places["w"][0] % 4 != 0
    same(odd, {"w": torch.arange(4.0)})


def test_storages_of_the_other_byte_order(tmp_path: Path) -> None:
    source = save({"w": torch.arange(4.0)}, tmp_path / "little.pt", True)
    swapped = tmp_path / "big.pt"
    with zipfile.ZipFile(source) as little, zipfile.ZipFile(swapped, "w") as big:
        for entry in little.infolist():
            data = little.read(entry)
            if entry.filename.endswith("byteorder"):
                data = b"big"
            if "/data/" in entry.filename:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            big.writestr(entry.filename, data)
    same(swapped, {"w": torch.arange(4.0)})


PLAIN = {
    "numbers": [0, 1, -1, 255, 256, 65536, -(1 << 31), 1 << 40, 0x1950A86A20F9469CFC6C, 2.5],
    "others": (None, True, False, "text", "\u00e9" * 300, b"bytes", b"b" * 300),
    "nested": {"a": {"b": ({}, [], ())}, 7: [1, (2, (3, 4), 5, 6, 7)]},
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values(protocol: int) -> None:
    data = pickle.dumps(PLAIN, protocol)
    assert unpickle(memoryview(b"xx" + data + b"more"), {}, lambda _: None, 2) == (
        PLAIN,
        2 + len(data),
    )


def test_what_python_2_wrote() -> None:
    """Strings of bytes, and an OrderedDict as a call with a list of lists."""
    data = (
        b"\x80\x02ccollections\nOrderedDict\nq\x01]q\x02]q\x03(U\x03keyq\x04K\x07ea\x85q\x05Rq\x06."
    )
    call = {"collections.OrderedDict": dict}
    assert unpickle(memoryview(data), call, lambda _: None)[0] == {"key": 7}
    assert unpickle(memoryview(b"\x80\x02T\x02\0\0\0\xe9a."), {}, lambda _: None)[0] == "\u00e9a"


# What is refused ---------------------------------------------------------------------------------


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def zip_with(path: Path, data: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return path


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Call(eval, "open('ran', 'w')"), "builtins.eval"),
        (Call(subprocess.run, "touch ran"), "subprocess.run"),
        (Call(getattr, "text", "join"), "builtins.getattr"),
        (Call(torch.load, "x"), "torch.serialization.load"),
        ({"w": Call(print, "hello")}, "builtins.print"),
        ([{1, 2}], r"the opcode b'.x8f' is not allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_code_is_run(
    value: Any, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = zip_with(tmp_path / "evil.pt", pickle.dumps(value, protocol=4))
    with pytest.raises(ModelFormatError, match=named):
        open_weights(path)
    assert not (tmp_path / "ran").exists()


@LAYOUTS
def test_whole_modules_and_torchscript_are_refused(tmp_path: Path, zip_layout: bool) -> None:
    path = save(torch.nn.Linear(2, 2), tmp_path / "module.pt", zip_layout)
    with pytest.raises(ModelFormatError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        open_weights(path)
    path = zip_with(tmp_path / "script.pt", pickle.dumps({}), **{"constants.pkl": b""})
    with pytest.raises(UnsupportedError, match="TorchScript"):
        open_weights(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: no end"),
        (b"\x80\x02.", "pop from empty list"),
        (b"\x80\x02]q\x01h\x02.", "byte 5: 2"),  # a memo that was never made
        (b"\x80\x02K\x01K\x02R.", "no name"),
        (b"\x80\x02Nq\x01e.", "no mark"),
        (b"\x80\x02}N}s.", "a key of type NoneType"),
        (b"\x80\x02K\x01(K\x02K\x03u.", "items for a int"),
        (b"\x80\x02c__main__\nf\n.", "'__main__.f'"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "expected 2147483647 bytes"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f1.", "byte 2: not enough data"),
        (b"\x80\x02(" + b"(" * 3_000_000, "more than 2,000,000 steps"),
        (b"\x80\x02}Q.", "no storage"),
        (b"\x80\x02I5\n.", "the opcode b'I' is not allowed"),
        (b"\x80\x02\xff.", "the opcode b'.xff' is not allowed"),
        (b"\x80\x02c" + b"a" * 9999, "names 'a{200}'"),
    ],
)
def test_pickles_that_are_wrong(data: bytes, message: str) -> None:
    def no_storage(_: object) -> None:
        raise UnpicklingError("no storage")

    with pytest.raises(UnpicklingError, match=message):
        unpickle(memoryview(data), {}, no_storage)


def test_a_memo_index_of_two_billion_takes_no_memory() -> None:
    data = memoryview(b"\x80\x02]r\xff\xff\xff\x7f.")
    assert unpickle(data, {}, lambda _: None) == ([], len(data))


def test_a_list_given_to_many_calls() -> None:
    """A small file that would build gigabytes: each call makes a copy of a list in the memo."""
    pairs = b"".join(b"X\x04\0\0\0%04dK\x01\x86" % i for i in range(5000))
    calls = b"h\x01h\x00\x85R" * 5000
    data = b"\x80\x02](" + pairs + b"eq\x00cf\nf\nq\x01" + calls + b"."
    made = []
    with pytest.raises(UnpicklingError, match="more than 2,000,000 steps"):
        unpickle(memoryview(data), {"f.f": made.append}, lambda _: None)
    assert 300 < len(made) < 400


def tensor_file(path: Path, shape: Any, strides: Any, offset: Any = 0, elems: int = 4) -> Path:
    """A zip file whose one tensor says what we like of a storage of four floats."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", elems)
            return None

    buffer = io.BytesIO()
    arguments = (Storage(), offset, shape, strides, False, OrderedDict())
    Pickler(buffer, protocol=2).dump({"w": Call(torch._utils._rebuild_tensor_v2, *arguments)})
    return zip_with(path, buffer.getvalue(), **{"data/0": np.arange(4, dtype="<f4").tobytes()})


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "message"),
    [
        ((4,), (1,), 1, "ends at byte"),
        ((2, 2), (3, 1), 0, "ends at byte"),
        ((1 << 40,), (0,), 0, "more than max_bytes"),
        ((1 << 61, 1 << 61, 0), (1, 1, 1), 0, "more than max_bytes"),
        ((-1,), (1,), 0, "expected a size"),
        ((4,), (-1,), 3, "expected a size"),
        ((4,), (1,), -1, "expected a size"),
        ((4,), (), 0, "impossible strides"),
        ((2.0,), (1,), 0, "expected a size"),
        (None, (1,), 0, "expected sizes"),
        ((1,) * 40, (1,) * 40, 0, "impossible shape"),
    ],
)
def test_tensors_that_are_not_there(
    shape: Any, strides: Any, offset: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelFormatError, match=message):
        open_weights(tensor_file(tmp_path / "w.pt", shape, strides, offset))
    same(tensor_file(tmp_path / "good.pt", (2, 2), (2, 1)), {"w": torch.arange(4.0).view(2, 2)})


def test_damaged_archives(tmp_path: Path) -> None:
    good = save({"w": torch.arange(4.0)}, tmp_path / "good.pt", True).read_bytes()
    cases = {
        "empty": b"",
        "text": b"no tensors here",
        "cut": good[:-50],
        "tar": b"\0" * 1024,
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        with pytest.raises(ModelFormatError, match=f"{name}.pth"):
            open_weights(path)
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}." + b"\0" * 1000)
    with pytest.raises(ModelFormatError, match="compressed"):
        open_weights(tmp_path / "packed.pt")
    with pytest.raises(ModelFormatError, match="no tensors in the dict of epoch"):
        open_weights(zip_with(tmp_path / "none.pt", pickle.dumps({"epoch": 1})))
    with pytest.raises(ModelFormatError, match="a list, not a state dict"):
        open_weights(zip_with(tmp_path / "list.pt", pickle.dumps([1])))


# A real file -------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it is an error
import numpy as np
from PIL import Image
import pycnn

folder, checkpoint = sys.argv[1:]
model = pycnn.load("resnet20@akamaster", weights=checkpoint)
labels = np.load(f"{folder}/train_labels.npy")[-5000:]
right = 0
for i, part in enumerate(np.split(labels, 5)):
    rows = np.asarray(Image.open(f"{folder}/train_{45 + i}.png"))
    x = model.preprocessing.batch(rows.reshape(1000, 32, 32, 3))
    right += int((model.run(x).argmax(1) == part).sum())
print(right / 5000)
"""


def test_resnet20_classifies_without_torch(shared_data: Callable[[str], Path]) -> None:
    """91.7 % on CIFAR-10's test set; these 5,000 are among the images that it was trained on."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TORCH, shared_data("cifar10")),
            shared_data("resnet20_cifar10/resnet20-12fca82f.th"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.98

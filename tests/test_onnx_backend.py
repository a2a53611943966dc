"""onnx.backend.test over the ops that pycnn reads, with the pass list of docs/onnx.md.

A case that is not in the list is a known gap, and must fail: when one begins to pass, it goes into
the list. `python tests/test_onnx_backend.py` prints the list as it is.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
import pytest
from graphs import by_json
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import pycnn
from pycnn.formats.onnx_fold import FOLDS
from pycnn.formats.onnx_graph import physical
from pycnn.formats.onnx_ops import OPS

Array = np.ndarray[Any, Any]
Rng = np.random.Generator
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"

# Ops of several tensors: an input of the first one's rank and batch is a second tensor. What other
# ops have as further inputs are weights and settings, constants in every network.
SEVERAL = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Concat"}


@dataclass(frozen=True)
class Case:
    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    outputs: list[Any]
    rtol: float
    atol: float


def node_cases() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, where a case computes an infinity on purpose
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    for case in found:
        ops = {node.op_type for node in case.model.graph.node}
        types = {value.type.tensor_type.elem_type for value in case.model.graph.input}
        made = case.model.graph.output[0].type.tensor_type.elem_type
        if ops <= {*OPS, "Constant"} and types <= {1, 7, 9} and made == 1:
            (inputs, outputs), *_ = case.data_sets
            yield Case(case.name, case.model, inputs, outputs, case.rtol, case.atol)


def torch_cases() -> Iterator[Case]:
    """Models that PyTorch exported in 2017: each a layer."""
    for case in load_model_tests(kind="pytorch-converted"):
        folder = Path(case.model_dir)
        model = onnx.load(folder / "model.onnx")
        if model.opset_import[0].version < 7:  # the first that pycnn reads
            model = onnx.version_converter.convert_version(model, 9)
        if not {node.op_type for node in model.graph.node} <= {*OPS, *FOLDS}:
            continue
        values = {}
        for kind in ("input", "output"):
            files = sorted((folder / "test_data_set_0").glob(f"{kind}_*.pb"))
            values[kind] = [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]
        yield Case(case.name, model, values["input"], values["output"], 1e-3, 1e-5)


def run(case: Case, path: Path) -> list[Array]:
    """Load a case's model, with the inputs that are no tensors as constants, and run it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    known = {initializer.name for initializer in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in known]
    several = {node.op_type for node in model.graph.node} <= SEVERAL
    batch: dict[str, Array] = {}
    for value, array in zip(values, case.inputs, strict=False):
        first = next(iter(batch.values()), None)
        alike = first is None or (
            several and array.ndim == first.ndim and array.shape[:1] == first.shape[:1]
        )
        if alike:
            batch[value.name] = array
        else:
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    onnx.save(model, path)
    loaded = pycnn.load(path)
    assert by_json(loaded.graph) == loaded.graph
    images = {
        name: array.reshape(len(array), *physical(array.shape[1:])) for name, array in batch.items()
    }
    result = loaded.run({name: images[name] for name in loaded.graph.inputs})
    results = result if isinstance(result, dict) else {"": result}
    return list(results.values())


def check(case: Case, path: Path) -> None:
    got = run(case, path)
    assert len(got) == len(case.outputs)
    for ours, theirs in zip(got, case.outputs, strict=True):
        # Ours have two dimensions or four; numbers lie in the same order.
        assert ours.shape == theirs.shape or theirs.ndim not in (2, 4)
        np.testing.assert_allclose(
            ours.reshape(theirs.shape), theirs, rtol=case.rtol, atol=case.atol
        )


CASES = {case.name: case for case in (*node_cases(), *torch_cases())}


def pass_list() -> set[str]:
    text = DOCUMENT.read_text()
    return set(re.findall(r"\btest_\w+", text[text.index("## Pass list") :]))


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name not in pass_list():
        request.applymarker(pytest.mark.xfail(reason="a known gap: see docs/onnx.md", strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(CASES[name], tmp_path / "model.onnx")


def test_the_pass_list_names_cases_only() -> None:
    assert pass_list() <= set(CASES)


# The light models, re-seeded: as shipped all weights of one are equal, and prove little ----------

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LARGE = ("bvlc_alexnet", "vgg19", "zfnet512", "resnet50", "inception_v2", "densenet121")


def reseeded(name: str, rng: Rng) -> onnx.ModelProto:
    """The model with He-scaled random weights instead of its ConstantOfShape."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        if len(shape) == 1:  # biases, scales, means; variances must not be negative
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        tensor = numpy_helper.from_array(values.astype(np.float32), node.output[0])
        graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)
    return model


@pytest.mark.parametrize(
    "name",
    ["inception_v1", "squeezenet", "shufflenet"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in LARGE],
)
def test_light_models_layer_by_layer(name: str, tmp_path: Path, rng: Rng) -> None:
    model = reseeded(name, rng)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    ours = pycnn.load(path)
    known = set(ours.graph.names())
    final = model.graph.output[0].name
    layers = {  # the value that a node makes -> the name of its layer here
        node.output[0]: node.name or node.output[0]
        for node in model.graph.node
        if (node.name or node.output[0]) in known and node.output[0] != final
    }
    values = list(layers)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(value) for value in values)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (name_of_input,) = ours.graph.inputs
    x = rng.standard_normal((1, *ours.graph.inputs[name_of_input]), np.float32)
    expected = dict(
        zip([final, *values], session.run([final, *values], {name_of_input: x}), strict=True)
    )
    got = ours.run(x, taps=layers.values())
    assert isinstance(got, dict) and len(values) > 20
    for value, array in expected.items():
        error = np.abs(got[layers.get(value, value)].reshape(array.shape) - array).max()
        assert error <= 1e-4 * max(float(np.abs(array).max()), 1e-3), value


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, case in sorted(CASES.items()):
            try:
                check(case, Path(folder) / "model.onnx")
                print(name)
            except Exception as error:
                print(f"# {name}: {type(error).__name__}: {str(error)[-150:]!r}")

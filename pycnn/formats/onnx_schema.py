"""ONNX's messages, as far as pycnn reads and writes them; numbers are those of onnx.proto.

What tools leave beside the network (documentation, stack traces, shapes of every value) is dropped
before anything is parsed. `raw_data` and `float_data` are places in the file
(`pycnn.formats.protobuf`); both hold the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pycnn.formats.protobuf import DROPPED, Tree, build_messages

MESSAGES = {
    "ModelProto": """1 ir_version int64; 2 producer_name string; 3 producer_version string;
        7 graph GraphProto; 8 opset_import OperatorSetIdProto*;
        14 metadata_props StringStringEntryProto*; 25 functions FunctionProto*""",
    "OperatorSetIdProto": "1 domain string; 2 version int64",
    "StringStringEntryProto": "1 key string; 2 value string",
    "FunctionProto": "1 name string; 10 domain string",
    "GraphProto": """1 node NodeProto*; 2 name string; 5 initializer TensorProto*;
        11 input ValueInfoProto*; 12 output ValueInfoProto*; 15 sparse_initializer SparseTensor*""",
    "SparseTensor": "3 dims int64*",
    "NodeProto": """1 input string*; 2 output string*; 3 name string; 4 op_type string;
        5 attribute AttributeProto*; 7 domain string""",
    "AttributeProto": """1 name string; 2 f float; 3 i int64; 4 s bytes; 5 t TensorProto;
        6 g GraphProto; 7 floats float*; 8 ints int64*; 20 type int32; 21 ref_attr_name string""",
    "TensorProto": """1 dims int64*; 2 data_type int32; 5 int32_data int32*; 7 int64_data int64*;
        8 name string; 9 raw_data bytes; 10 double_data double*;
        13 external_data StringStringEntryProto*; 14 data_location int32""",
    "ValueInfoProto": "1 name string; 2 type TypeProto",
    "TypeProto": "1 tensor_type TensorType",
    "TensorType": "1 elem_type int32; 2 shape TensorShapeProto",
    "TensorShapeProto": "1 dim Dimension*",
    "Dimension": "1 dim_value int64; 2 dim_param string",
}

_RAW_DATA = 9
_TENSOR: Tree = {4: _RAW_DATA, 9: _RAW_DATA, 12: DROPPED, 16: DROPPED}
_GRAPH: Tree = {5: _TENSOR, 10: DROPPED, 13: DROPPED, 14: DROPPED, 16: DROPPED}
_GRAPH[1] = {5: {5: _TENSOR, 6: _GRAPH, 13: DROPPED}, 6: DROPPED, 9: DROPPED}
#: Where a model has tensors, and what is not read.
TENSORS: Tree = {7: _GRAPH, 6: DROPPED, 20: DROPPED}

#: The element types of tensors that are read: the number in the file -> NumPy's name.
DTYPES: Mapping[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
}
EXTERNAL = 1  # of TensorProto.data_location

#: The field of an attribute that has its content -> AttributeProto.AttributeType.
ATTRIBUTE_TYPES: Mapping[str, int] = {
    **{"f": 1, "i": 2, "s": 3, "t": 4, "g": 5},
    **{"floats": 6, "ints": 7},
}


@functools.cache
def messages() -> Mapping[str, Any]:
    """Message classes by name."""
    return build_messages("pycnn.onnx", MESSAGES, {}, extra="onnx")

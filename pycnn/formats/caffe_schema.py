"""Caffe's messages: the fields that a network at inference has, and those around them.

Numbers and defaults are those of caffe.proto. The layers' own parameters are complete, so that a
misspelled one is an error; data and solver parameters that a prototxt may carry are there to be
skipped. The values of a blob are of type `bytes`: places in the file (`pycnn.formats.protobuf`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pycnn.formats.protobuf import DROPPED, Tree, build_messages

_PARAMS_V2 = """
101 loss_param LossParameter; 102 accuracy_param AccuracyParameter;
103 argmax_param ArgMaxParameter;
104 concat_param ConcatParameter; 106 convolution_param ConvolutionParameter;
107 data_param DataParameter; 108 dropout_param DropoutParameter;
109 dummy_data_param DummyDataParameter; 110 eltwise_param EltwiseParameter;
112 hdf5_data_param DataParameter; 115 image_data_param DataParameter;
117 inner_product_param InnerProductParameter; 118 lrn_param LRNParameter;
119 memory_data_param MemoryDataParameter; 121 pooling_param PoolingParameter;
122 power_param PowerParameter; 123 relu_param ReLUParameter; 124 sigmoid_param EngineParameter;
125 softmax_param SoftmaxParameter; 126 slice_param SliceParameter; 127 tanh_param EngineParameter;
129 window_data_param DataParameter; 131 prelu_param PReLUParameter;
133 reshape_param ReshapeParameter; 135 flatten_param FlattenParameter;
139 batch_norm_param BatchNormParameter; 141 bias_param BiasParameter;
142 scale_param ScaleParameter; 143 input_param InputParameter; 148 clip_param ClipParameter
"""
_PARAMS_V1 = """
9 concat_param ConcatParameter; 10 convolution_param ConvolutionParameter;
11 data_param DataParameter; 12 dropout_param DropoutParameter; 13 hdf5_data_param DataParameter;
15 image_data_param DataParameter; 17 inner_product_param InnerProductParameter;
18 lrn_param LRNParameter; 19 pooling_param PoolingParameter; 20 window_data_param DataParameter;
21 power_param PowerParameter; 22 memory_data_param MemoryDataParameter;
23 argmax_param ArgMaxParameter; 24 eltwise_param EltwiseParameter;
26 dummy_data_param DummyDataParameter; 27 accuracy_param AccuracyParameter;
30 relu_param ReLUParameter; 31 slice_param SliceParameter; 37 tanh_param EngineParameter;
38 sigmoid_param EngineParameter; 39 softmax_param SoftmaxParameter; 42 loss_param LossParameter
"""

_MESSAGES = {
    "NetParameter": """1 name string; 2 layers V1LayerParameter*; 3 input string*;
        4 input_dim int32*; 5 force_backward bool; 6 state NetState; 7 debug_info bool;
        8 input_shape BlobShape*; 100 layer LayerParameter*""",
    "NetState": "1 phase NetState.Phase=TEST; 2 level int32=0; 3 stage string*",
    "NetStateRule": """1 phase NetState.Phase; 2 min_level int32; 3 max_level int32;
        4 stage string*; 5 not_stage string*""",
    "LayerParameter": """1 name string; 2 type string; 3 bottom string*; 4 top string*;
        5 loss_weight float*; 6 param ParamSpec*; 7 blobs BlobProto*; 8 include NetStateRule*;
        9 exclude NetStateRule*; 10 phase NetState.Phase; 11 propagate_down bool*;
        100 transform_param TransformationParameter;"""
    + _PARAMS_V2,
    "V1LayerParameter": """1 layer V0LayerParameter; 2 bottom string*; 3 top string*; 4 name string;
        5 type V1LayerParameter.LayerType; 6 blobs BlobProto*; 7 blobs_lr float*;
        8 weight_decay float*; 32 include NetStateRule*; 33 exclude NetStateRule*;
        35 loss_weight float*; 36 transform_param TransformationParameter; 1001 param string*;
        1002 blob_share_mode ParamSpec.DimCheckMode*;"""
    + _PARAMS_V1,
    "V0LayerParameter": "1 name string; 2 type string",
    "BlobShape": "1 dim int64*",
    "BlobProto": """1 num int32=0; 2 channels int32=0; 3 height int32=0; 4 width int32=0;
        5 data bytes; 7 shape BlobShape; 8 double_data bytes""",
    "ParamSpec": """1 name string; 2 share_mode ParamSpec.DimCheckMode; 3 lr_mult float;
        4 decay_mult float""",
    "FillerParameter": """1 type string; 2 value float; 3 min float; 4 max float; 5 mean float;
        6 std float; 7 sparse int32; 8 variance_norm FillerParameter.VarianceNorm""",
    "TransformationParameter": """1 scale float=1; 2 mirror bool; 3 crop_size uint32=0;
        4 mean_file string; 5 mean_value float*; 6 force_color bool; 7 force_gray bool""",
    "DataParameter": """1 source string; 2 scale float; 3 mean_file string; 4 batch_size uint32;
        5 crop_size uint32=0; 6 mirror bool; 7 rand_skip uint32; 8 backend DataParameter.DB;
        9 new_height uint32; 10 prefetch uint32; 11 new_width uint32; 12 shuffle bool;
        13 root_folder string; 14 is_color bool""",
    "DummyDataParameter": """1 data_filler FillerParameter*; 2 num uint32*; 3 channels uint32*;
        4 height uint32*; 5 width uint32*; 6 shape BlobShape*""",
    "MemoryDataParameter": """1 batch_size uint32; 2 channels uint32; 3 height uint32;
        4 width uint32""",
    "InputParameter": "1 shape BlobShape*",
    "LossParameter": "1 ignore_label int32; 2 normalize bool; 3 normalization LossParameter.Mode",
    "AccuracyParameter": "1 top_k uint32; 2 axis int32; 3 ignore_label int32",
    "ArgMaxParameter": "1 out_max_val bool; 2 top_k uint32; 3 axis int32",
    "EngineParameter": "1 engine EngineParameter.Engine",
    "ConvolutionParameter": """1 num_output uint32; 2 bias_term bool=true; 3 pad uint32*;
        4 kernel_size uint32*; 5 group uint32=1; 6 stride uint32*; 7 weight_filler FillerParameter;
        8 bias_filler FillerParameter; 9 pad_h uint32; 10 pad_w uint32; 11 kernel_h uint32;
        12 kernel_w uint32; 13 stride_h uint32; 14 stride_w uint32;
        15 engine EngineParameter.Engine; 16 axis int32=1; 17 force_nd_im2col bool;
        18 dilation uint32*""",
    "PoolingParameter": """1 pool PoolingParameter.PoolMethod=MAX; 2 kernel_size uint32;
        3 stride uint32=1; 4 pad uint32=0; 5 kernel_h uint32; 6 kernel_w uint32; 7 stride_h uint32;
        8 stride_w uint32; 9 pad_h uint32; 10 pad_w uint32; 11 engine EngineParameter.Engine;
        12 global_pooling bool=false; 13 round_mode PoolingParameter.RoundMode=CEIL""",
    "InnerProductParameter": """1 num_output uint32; 2 bias_term bool=true;
        3 weight_filler FillerParameter; 4 bias_filler FillerParameter; 5 axis int32=1;
        6 transpose bool=false""",
    "LRNParameter": """1 local_size uint32=5; 2 alpha float=1; 3 beta float=0.75;
        4 norm_region LRNParameter.NormRegion=ACROSS_CHANNELS; 5 k float=1;
        6 engine EngineParameter.Engine""",
    "ReLUParameter": "1 negative_slope float=0; 2 engine EngineParameter.Engine",
    "PReLUParameter": "1 filler FillerParameter; 2 channel_shared bool=false",
    "PowerParameter": "1 power float=1; 2 scale float=1; 3 shift float=0",
    "ClipParameter": "1 min float; 2 max float",
    "DropoutParameter": "1 dropout_ratio float=0.5",
    "SoftmaxParameter": "1 engine EngineParameter.Engine; 2 axis int32=1",
    "ConcatParameter": "1 concat_dim uint32=1; 2 axis int32=1",
    "SliceParameter": "1 slice_dim uint32=1; 2 slice_point uint32*; 3 axis int32=1",
    "FlattenParameter": "1 axis int32=1; 2 end_axis int32=-1",
    "ReshapeParameter": "1 shape BlobShape; 2 axis int32=0; 3 num_axes int32=-1",
    "EltwiseParameter": """1 operation EltwiseParameter.EltwiseOp=SUM; 2 coeff float*;
        3 stable_prod_grad bool""",
    "BatchNormParameter": """1 use_global_stats bool=true; 2 moving_average_fraction float;
        3 eps float=0.00001""",
    "ScaleParameter": """1 axis int32=1; 2 num_axes int32=1; 3 filler FillerParameter;
        4 bias_term bool=false; 5 bias_filler FillerParameter""",
    "BiasParameter": "1 axis int32=1; 2 num_axes int32=1; 3 filler FillerParameter",
}
_ENUMS = {
    "NetState.Phase": "TRAIN TEST",
    "ParamSpec.DimCheckMode": "STRICT PERMISSIVE",
    "FillerParameter.VarianceNorm": "FAN_IN FAN_OUT AVERAGE",
    "DataParameter.DB": "LEVELDB LMDB",
    "LossParameter.Mode": "FULL VALID BATCH_SIZE NONE",
    "EngineParameter.Engine": "DEFAULT CAFFE CUDNN",
    "PoolingParameter.PoolMethod": "MAX AVE STOCHASTIC",
    "PoolingParameter.RoundMode": "CEIL FLOOR",
    "LRNParameter.NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "EltwiseParameter.EltwiseOp": "PROD SUM MAX",
    "V1LayerParameter.LayerType": """
        NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA
        HDF5_OUTPUT IM2COL IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS
        POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS SPLIT TANH WINDOW_DATA ELTWISE POWER
        SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD DUMMY_DATA SLICE MVN
        ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION""",
}

#: What the second generation calls a layer of the first, where it is not the same in CamelCase.
_V2_NAMES = {
    "HDF5_DATA": "HDF5Data",
    "LRN": "LRN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
    "ABSVAL": "AbsVal",
    "MVN": "MVN",
    "BNLL": "BNLL",
}

_BLOB: Tree = {5: 5, 6: DROPPED, 8: 8, 9: DROPPED}  # data, diff, double_data, double_diff
#: Where a caffemodel has blobs.
BLOBS: Tree = {2: {6: _BLOB}, 100: {7: _BLOB}}


@functools.cache
def messages() -> Mapping[str, Any]:
    """Message classes by name."""
    return build_messages("pycnn.caffe", _MESSAGES, _ENUMS, extra="caffe")


def layer_type(layer: Any) -> str:
    """Type of a layer of either generation, in the words of the second."""
    if isinstance(layer.type, str):
        return layer.type
    name: str = layer.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_number[layer.type].name
    return _V2_NAMES.get(name, name.title().replace("_", ""))

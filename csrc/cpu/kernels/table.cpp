#include "cpu/kernels/table.h"

namespace pycnn::cpu::PYCNN_ISA {

extern const Kernels kTable;
const Kernels kTable = {
    .conv2d = {conv2d_direct, conv2d_gemm, conv2d_depthwise, conv2d_grouped, conv2d_stem, kConv2dMr,
               kConv2dNr, kWinograd, kWinogradPlain},
    .pack_conv2d = pack_conv2d,
    .pool2d = pool2d,
    .lrn = lrn,
    .add = add,
    .activation = activation,
    .softmax = softmax,
    .channel_affine = channel_affine,
    .copy_channels = copy_channels,
    .layout = layout,
    .rbf = rbf,
    .binary = binary,
    .gather = gather,
    .permute = permute,
};

}  // namespace pycnn::cpu::PYCNN_ISA

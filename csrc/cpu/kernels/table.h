// The kernels that each instruction set defines; kernels/table.cpp puts them into its table.
#pragma once

#include "cpu/kernels.h"

namespace pycnn::cpu::PYCNN_ISA {

void conv2d_direct(const ops::Conv2dArgs& args, int64_t begin, int64_t end);
void conv2d_gemm(const ops::Conv2dArgs& args, int64_t begin, int64_t end);
void conv2d_depthwise(const ops::Conv2dArgs& args, int64_t begin, int64_t end);
void conv2d_grouped(const ops::Conv2dArgs& args, int64_t begin, int64_t end);
void conv2d_stem(const ops::Conv2dArgs& args, int64_t begin, int64_t end);
void pack_conv2d(const ops::PackConv2dArgs& args, int64_t begin, int64_t end);
extern const int64_t kConv2dMr, kConv2dNr;
extern const Kernel<ops::Conv2dArgs> kWinograd[], kWinogradPlain[];

void pool2d(const ops::Pool2dArgs& args, int64_t begin, int64_t end);
void lrn(const ops::LrnArgs& args, int64_t begin, int64_t end);
void add(const ops::AddArgs& args, int64_t begin, int64_t end);
void activation(const ops::ActivationArgs& args, int64_t begin, int64_t end);
void softmax(const ops::SoftmaxArgs& args, int64_t begin, int64_t end);
void channel_affine(const ops::ChannelAffineArgs& args, int64_t begin, int64_t end);
void copy_channels(const ops::CopyChannelsArgs& args, int64_t begin, int64_t end);
void layout(const ops::LayoutArgs& args, int64_t begin, int64_t end);
void rbf(const ops::RbfArgs& args, int64_t begin, int64_t end);
void binary(const ops::BinaryArgs& args, int64_t begin, int64_t end);
void gather(const ops::GatherArgs& args, int64_t begin, int64_t end);
void permute(const ops::PermuteArgs& args, int64_t begin, int64_t end);

}  // namespace pycnn::cpu::PYCNN_ISA

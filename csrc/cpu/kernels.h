// The table of kernels of one instruction set. Each file in cpu/kernels/ is compiled once per set.
#pragma once

#include "core/cpu_isa.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/binary.h"
#include "ops/channel_affine.h"
#include "ops/conv2d.h"
#include "ops/copy_channels.h"
#include "ops/gather.h"
#include "ops/layout.h"
#include "ops/lrn.h"
#include "ops/permute.h"
#include "ops/pool2d.h"
#include "ops/rbf.h"
#include "ops/softmax.h"

namespace pycnn::cpu {

template <class Args>
using Kernel = void (*)(const Args&, int64_t begin, int64_t end);

struct Kernels {
    // The register tile travels with the kernel: mr pixels x nr blocks of 16 output channels.
    struct Conv2d {
        Kernel<ops::Conv2dArgs> direct, gemm, depthwise, grouped, stem;
        int64_t mr, nr;
        const Kernel<ops::Conv2dArgs>* winograd;  // in the order of the enumerators
        const Kernel<ops::Conv2dArgs>* winograd_plain;
    } conv2d;
    Kernel<ops::PackConv2dArgs> pack_conv2d;
    Kernel<ops::Pool2dArgs> pool2d;
    Kernel<ops::LrnArgs> lrn;
    Kernel<ops::AddArgs> add;
    Kernel<ops::ActivationArgs> activation;
    Kernel<ops::SoftmaxArgs> softmax;
    Kernel<ops::ChannelAffineArgs> channel_affine;
    Kernel<ops::CopyChannelsArgs> copy_channels;
    Kernel<ops::LayoutArgs> layout;
    Kernel<ops::RbfArgs> rbf;
    Kernel<ops::BinaryArgs> binary;
    Kernel<ops::GatherArgs> gather;
    Kernel<ops::PermuteArgs> permute;
};

const Kernels& kernels(Isa isa);

}  // namespace pycnn::cpu

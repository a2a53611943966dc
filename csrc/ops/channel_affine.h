// y[n,c,h,w] = act(x[n,c,h,w] * scale[c] + shift[c]), act = identity or ReLU.
// Batch normalisation at inference is this with scale = weight / sqrt(var + eps) and
// shift = bias - mean * scale (Ioffe and Szegedy 2015, algorithm 2, step 11), and so is the
// trainable subsampling of LeNet-5 after its average (LeCun et al. 1998, section II.B). Shapes: x,
// y (N,C,H,W) NCHW16c; scale, shift (C).
#pragma once

#include <memory>

#include "core/aligned_buffer.h"
#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct ChannelAffineParams {
    bool relu = false;
};

struct PackedChannelAffine {
    int64_t channels = 0;
    AlignedBuffer scale, shift;  // padded to whole blocks with zeros
    int64_t bytes() const { return 4 * (scale.size() + shift.size()); }
};
using PackedChannelAffinePtr = std::shared_ptr<const PackedChannelAffine>;

struct ChannelAffineArgs {
    ChannelAffineParams params;
    TensorView x, y;
    PackedChannelAffinePtr packed;
    const float* scale = nullptr;
    const float* shift = nullptr;
};

PackedChannelAffinePtr channel_affine_pack(const float* scale, const float* shift,
                                           int64_t channels);

// A unit is one block of channels of one image.
TaskPtr channel_affine_task(const ChannelAffineParams& params, const TensorRef& x,
                            PackedChannelAffinePtr packed, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops

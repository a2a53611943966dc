#include "ops/channel_affine.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

PackedChannelAffinePtr channel_affine_pack(const float* scale, const float* shift,
                                           int64_t channels) {
    PYCNN_CHECK(channels >= 1, ShapeError,
                "channel_affine: scale and shift need at least 1 channel, got ", channels);
    const int64_t padded = storage_elems({1, channels, 1, 1}, Layout::kNchw16c);
    auto packed = std::make_shared<PackedChannelAffine>();
    packed->channels = channels;
    packed->scale = AlignedBuffer(padded);
    packed->shift = AlignedBuffer(padded);
    for (int64_t c = 0; c < padded; ++c) {
        packed->scale.data()[c] = c < channels ? scale[c] : 0.0f;
        packed->shift.data()[c] = c < channels ? shift[c] : 0.0f;
    }
    return packed;
}

TaskPtr channel_affine_task(const ChannelAffineParams& params, const TensorRef& x,
                            PackedChannelAffinePtr packed, const TensorRef& y, Isa isa) {
    const Shape& shape = x.view.shape;
    check_not_empty("channel_affine", shape);
    check_blocked("channel_affine", "x", x);
    check_blocked("channel_affine", "y", y);
    check_shape("channel_affine", "y", y.view.shape, shape);
    PYCNN_CHECK(packed->channels == shape.c, ShapeError, "channel_affine: the input has ", shape.c,
                " channels, scale and shift have ", packed->channels);
    ChannelAffineArgs args;
    args.params = params;
    args.scale = packed->scale.data();
    args.shift = packed->shift.data();
    args.packed = std::move(packed);
    auto task = std::make_unique<OpTask<ChannelAffineArgs>>(
        cpu::kernels(isa).channel_affine, std::move(args), shape.n * channel_blocks(y.view),
        2 * storage_elems(shape, Layout::kNchw16c));
    task->bind(&ChannelAffineArgs::x, x).bind(&ChannelAffineArgs::y, y);
    return task;
}

}  // namespace pycnn::ops

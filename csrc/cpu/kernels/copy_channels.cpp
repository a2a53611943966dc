#include "ops/copy_channels.h"

#include <cstring>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Of `count` lanes, a whole block at a time where possible.
PYCNN_INLINE void copy_pixel(const float* x, float* y, int64_t count) {
    if (count == kChannelBlock) {
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) store(y + v * kLanes, load(x + v * kLanes));
        return;
    }
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) std::memcpy(y + i, x + i, 4 * sizeof(float));
    for (; i < count; ++i) y[i] = x[i];
}

}  // namespace

void copy_channels(const ops::CopyChannelsArgs& args, int64_t begin, int64_t end) {
    const auto [offset, stride, fill] = args.params;
    const TensorView &x = args.x, &y = args.y;
    for (int64_t n = begin; n < end; ++n) {
        if (fill) {
            for (int64_t block = 0; block < channel_blocks(y); ++block) {
                for (int64_t h = 0; h < y.shape.h; ++h) {
                    std::memset(row_at(y, n, block, h), 0,
                                static_cast<size_t>(y.shape.w * kChannelBlock) * sizeof(float));
                }
            }
        }
        // A run of channels lies in one block of x and in one block of y.
        int64_t run = 0;
        for (int64_t c = 0; c < x.shape.c; c += run) {
            const int64_t x_lane = c % kChannelBlock, y_lane = (offset + c) % kChannelBlock;
            run = kChannelBlock - (x_lane > y_lane ? x_lane : y_lane);
            if (run > x.shape.c - c) run = x.shape.c - c;
            for (int64_t h = 0; h < y.shape.h; ++h) {
                const float* from = row_at(x, n, c / kChannelBlock, h * stride) + x_lane;
                float* to = row_at(y, n, (offset + c) / kChannelBlock, h) + y_lane;
                for (int64_t w = 0; w < y.shape.w; ++w) {
                    copy_pixel(from, to, run);
                    from += stride * kChannelBlock;
                    to += kChannelBlock;
                }
            }
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

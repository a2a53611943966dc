#include "ops/softmax.h"

#include <cmath>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec_math.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Folds the 16 lanes of a block in halves: the same order for every vector width.
template <class Fold>
PYCNN_INLINE float fold_lanes(const Vec (&block)[kVecs], Fold fold) {
    float lane[kChannelBlock];
    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) store(lane + v * kLanes, block[v]);
    for (int width = kChannelBlock / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; ++i) lane[i] = fold(lane[i], lane[i + width]);
    }
    return lane[0];
}

// One pixel: its channels lie in blocks of 16 at a distance. A NaN among them reaches all of them
// by the sum, whatever the maximum makes of it.
PYCNN_INLINE void softmax_pixel(const float* x, int64_t x_block, float* y, int64_t y_block,
                                int64_t channels, bool log) {
    Vec acc[kVecs];
    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) acc[v] = broadcast(-INFINITY);
    for (int64_t c = 0, b = 0; c < channels; c += kChannelBlock, ++b) {
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            const Vec value = load(x + b * x_block + v * kLanes);
            acc[v] = real_lanes(v, channels - c) ? max(acc[v], value) : acc[v];
        }
    }
    const float largest = fold_lanes(acc, [](float a, float b) { return a > b ? a : b; });

    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) acc[v] = Vec{};
    for (int64_t c = 0, b = 0; c < channels; c += kChannelBlock, ++b) {
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            const Vec value = exp(load(x + b * x_block + v * kLanes) - largest);
            acc[v] += real_lanes(v, channels - c) ? value : Vec{};
            store(y + b * y_block + v * kLanes, value);
        }
    }
    const float sum = fold_lanes(acc, [](float a, float b) { return a + b; });

    if (log) {
        const float log_sum = logf(sum);
        for (int64_t c = 0, b = 0; c < channels; c += kChannelBlock, ++b) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                const Vec value = load(x + b * x_block + v * kLanes) - largest;
                store(y + b * y_block + v * kLanes, value - log_sum);
            }
        }
        return;
    }
    for (int64_t c = 0, b = 0; c < channels; c += kChannelBlock, ++b) {
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            float* p = y + b * y_block + v * kLanes;
            store(p, load(p) / sum);
        }
    }
}

}  // namespace

void softmax(const ops::SoftmaxArgs& args, int64_t begin, int64_t end) {
    const Shape& shape = args.y.shape;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t h = unit % shape.h, n = unit / shape.h;
        const float* x = row_at(args.x, n, 0, h);
        float* y = row_at(args.y, n, 0, h);
        for (int64_t w = 0; w < shape.w; ++w, x += kChannelBlock, y += kChannelBlock) {
            softmax_pixel(x, args.x.block_stride, y, args.y.block_stride, shape.c, args.params.log);
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

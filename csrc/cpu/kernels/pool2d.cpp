#include "ops/pool2d.h"

#include <cfloat>
#include <cmath>

#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

struct Window {
    int64_t begin, end;  // inside the input
    int64_t padded;      // length inside the padded input
};

PYCNN_INLINE Window window(int64_t out, int64_t stride, int64_t kernel, int64_t before,
                           int64_t after, int64_t size) {
    const int64_t begin = out * stride - before;
    const int64_t padded_end = begin + kernel < size + after ? begin + kernel : size + after;
    return {begin > 0 ? begin : 0, padded_end < size ? padded_end : size, padded_end - begin};
}

// Maximum of rows [begin, end) in one column.
PYCNN_INLINE Vec column_max(const float* column, int64_t row_stride, int64_t rows) {
    Vec acc = load(column);
    for (int64_t h = 1; h < rows; ++h) {
        acc = max_keeping_nan(acc, load(column + h * row_stride));
    }
    return acc;
}

// Windows 3 wide that lie inside the row: each column's maximum is made once, and serves all
// windows that see it. `x` is the first window's first pixel.
template <int kStride>
void max_pool_3_wide(const float* x, int64_t row_stride, int64_t rows, int64_t count, float* y) {
    for (int v = 0; v < kVecs; ++v) {
        const float* in = x + v * kLanes;
        Vec first = column_max(in, row_stride, rows);
        Vec second{};
        if (kStride == 1) second = column_max(in + kChannelBlock, row_stride, rows);
        for (int64_t i = 0; i < count; ++i) {
            if (kStride == 2) second = column_max(in + kChannelBlock, row_stride, rows);
            const Vec third = column_max(in + 2 * kChannelBlock, row_stride, rows);
            store(y + i * kChannelBlock + v * kLanes,
                  max_keeping_nan(max_keeping_nan(first, second), third));
            in += kStride * kChannelBlock;
            first = kStride == 1 ? second : third;
            second = third;
        }
    }
}

// One output pixel of one block of channels.
template <bool kMax>
PYCNN_INLINE void pool_pixel(const float* x, const TensorView& view, Window h, Window w,
                             float divisor, float* y) {
    Vec acc[kVecs];
    const bool empty = h.begin >= h.end || w.begin >= w.end;
    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
        acc[v] = broadcast(!kMax ? 0.0f : empty ? -FLT_MAX : -INFINITY);
    }
    for (int64_t ih = h.begin; ih < h.end; ++ih) {
        const float* row = x + ih * view.row_stride;
        for (int64_t iw = w.begin; iw < w.end; ++iw) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                const Vec value = load(row + iw * kChannelBlock + v * kLanes);
                if constexpr (kMax) {
                    acc[v] = max_keeping_nan(acc[v], value);
                } else {
                    acc[v] += value;
                }
            }
        }
    }
    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
        store(y + v * kLanes, kMax || empty ? acc[v] : acc[v] / divisor);
    }
}

}  // namespace

void pool2d(const ops::Pool2dArgs& a, int64_t begin, int64_t end) {
    const ops::Pool2dParams& p = a.params;
    const int64_t blocks = channel_blocks(a.y), out_h = a.y.shape.h, out_w = a.y.shape.w;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t oh = unit % out_h, block = unit / out_h % blocks, n = unit / out_h / blocks;
        const Window h =
            window(oh, p.stride[0], p.kernel_size[0], p.padding[0], p.padding[1], a.x.shape.h);
        const float* x = a.x.data + n * a.x.image_stride + block * a.x.block_stride;
        float* y = a.y.data + n * a.y.image_stride + block * a.y.block_stride + oh * a.y.row_stride;
        const auto pixel = [&](int64_t ow) {
            const Window w =
                window(ow, p.stride[1], p.kernel_size[1], p.padding[2], p.padding[3], a.x.shape.w);
            float* to = y + ow * kChannelBlock;
            if (p.kind == ops::PoolKind::kMax) {
                pool_pixel<true>(x, a.x, h, w, 1.0f, to);
            } else {
                const int64_t area = p.count_include_pad ? h.padded * w.padded
                                                         : (h.end - h.begin) * (w.end - w.begin);
                pool_pixel<false>(x, a.x, h, w, static_cast<float>(area), to);
            }
        };
        int64_t ow = 0;
        if (p.kind == ops::PoolKind::kMax && p.kernel_size[1] == 3 && p.stride[1] <= 2 &&
            h.begin < h.end) {
            for (; ow < out_w && ow * p.stride[1] < p.padding[2]; ++ow) pixel(ow);
            const int64_t first = ow * p.stride[1] - p.padding[2];
            const int64_t room = a.x.shape.w - 3 - first;  // for the last window's first pixel
            const int64_t fitting = room < 0 ? 0 : room / p.stride[1] + 1;
            const int64_t count = fitting < out_w - ow ? fitting : out_w - ow;
            if (count > 0) {
                const auto run = p.stride[1] == 1 ? max_pool_3_wide<1> : max_pool_3_wide<2>;
                run(x + h.begin * a.x.row_stride + first * kChannelBlock, a.x.row_stride,
                    h.end - h.begin, count, y + ow * kChannelBlock);
                ow += count;
            }
        }
        for (; ow < out_w; ++ow) pixel(ow);
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

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
                    acc[v] = (value > acc[v]) | (value != value) ? value : acc[v];  // keeps NaN
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
        for (int64_t ow = 0; ow < out_w; ++ow, y += kChannelBlock) {
            const Window w =
                window(ow, p.stride[1], p.kernel_size[1], p.padding[2], p.padding[3], a.x.shape.w);
            if (p.kind == ops::PoolKind::kMax) {
                pool_pixel<true>(x, a.x, h, w, 1.0f, y);
            } else {
                const int64_t area = p.count_include_pad ? h.padded * w.padded
                                                         : (h.end - h.begin) * (w.end - w.begin);
                pool_pixel<false>(x, a.x, h, w, static_cast<float>(area), y);
            }
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

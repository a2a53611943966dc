#include "ops/lrn.h"

#include <cfloat>
#include <cmath>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec_math.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Squares go through a buffer, of so many pixels and channels at a time, with a margin of channels
// on each side. Several pixels: a window that overlaps a store just made has to wait for it.
constexpr int64_t kPixels = 8, kChunk = 128, kMargin = ops::kLrnMaxSide;
static_assert(kChunk % kChannelBlock == 0 && kMargin % kChannelBlock == 0);

// t^(-3/4) = y^3 with y = t^(-1/4), without two roots and a division (the op is 1.35 times as fast
// on AVX-512, as fast on AVX2): y from the exponent's bits (within 3 %), then with e = 1 - t y^4
//   t^(-1/4) = y (1 - e)^(-1/4)    to third order,
//   t^(-3/4) = y^3 (1 - e)^(-3/4)  to first order, e being below 1e-4 by then.
PYCNN_INLINE Vec power_minus_three_quarters(Vec t) {
    Vec y = from_bits(0x4f583500 - (bits(t) >> 2));
    Vec y2 = y * y;
    Vec e = 1.0f - t * (y2 * y2);
    y += y * e * (e * (e * 0.1171875f + 0.15625f) + 0.25f);
    y2 = y * y;
    e = 1.0f - t * (y2 * y2);
    const Vec y3 = y2 * y;
    return t > FLT_MAX ? Vec{} : y3 + y3 * (e * 0.75f);
}

// divide(x, t) is x / t^beta.
template <class Divide>
PYCNN_INLINE void normalise(const ops::LrnArgs& args, int64_t begin, int64_t end, Divide divide) {
    const TensorView &x = args.x, &y = args.y;
    const int64_t before = args.params.before, after = args.params.after, size = before + after + 1;
    const int64_t blocks = channel_blocks(x), chunk_blocks = kChunk / kChannelBlock;
    const int64_t margin_blocks = divide_round_up(before > after ? before : after, kChannelBlock);
    const float alpha = args.params.alpha / static_cast<float>(size), k = args.params.k;
    for (int64_t first = 0; first < blocks; first += chunk_blocks) {
        const int64_t last = first + chunk_blocks < blocks ? first + chunk_blocks : blocks;
        const int64_t load_first = first > margin_blocks ? first - margin_blocks : 0;
        const int64_t load_last = last + margin_blocks < blocks ? last + margin_blocks : blocks;
        // Channel c at [kMargin + c - 16 first]; those that do not exist stay zero.
        float squares[kPixels][kMargin + kChunk + kMargin] = {};
        for (int64_t unit = begin; unit < end; ++unit) {
            const int64_t h = unit % x.shape.h, n = unit / x.shape.h;
            for (int64_t w = 0; w < x.shape.w; w += kPixels) {
                const int64_t pixels = x.shape.w - w < kPixels ? x.shape.w - w : kPixels;
                for (int64_t b = load_first; b < load_last; ++b) {
                    const float* from = row_at(x, n, b, h) + w * kChannelBlock;
                    const int64_t at = kMargin + (b - first) * kChannelBlock;
                    for (int64_t i = 0; i < pixels; ++i, from += kChannelBlock) {
                        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                            const Vec value = load(from + v * kLanes);
                            const IntVec real = real_lanes(v, x.shape.c - b * kChannelBlock);
                            store(&squares[i][at + v * kLanes], real ? value * value : Vec{});
                        }
                    }
                }
                for (int64_t b = first; b < last; ++b) {
                    const float* from = row_at(x, n, b, h) + w * kChannelBlock;
                    float* to = row_at(y, n, b, h) + w * kChannelBlock;
                    const int64_t at = kMargin + (b - first) * kChannelBlock - before;
                    for (int64_t i = 0; i < pixels; ++i) {
                        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                            const float* window = &squares[i][at + v * kLanes];
                            Vec sum = load(window);
                            for (int64_t j = 1; j < size; ++j) sum += load(window + j);
                            const int64_t lane = i * kChannelBlock + v * kLanes;
                            store(to + lane, divide(load(from + lane), sum * alpha + k));
                        }
                    }
                }
            }
        }
    }
}

}  // namespace

void lrn(const ops::LrnArgs& args, int64_t begin, int64_t end) {
    const float beta = args.params.beta;
    if (beta == 0.75f && args.params.k >= FLT_MIN) {  // its bit trick needs a normal number
        normalise(args, begin, end, [](Vec x, Vec t) { return x * power_minus_three_quarters(t); });
    } else if (beta == 0.5f) {
        normalise(args, begin, end, [](Vec x, Vec t) { return x / sqrt(t); });
    } else if (beta == 1.0f) {
        normalise(args, begin, end, [](Vec x, Vec t) { return x / t; });
    } else {
        normalise(args, begin, end, [=](Vec x, Vec t) {
            for (int i = 0; i < kLanes; ++i) t[i] = powf(t[i], beta);
            return x / t;
        });
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

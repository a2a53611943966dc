// Winograd convolution: a block of tiles is transformed into V, then for each block of 16 output
// channels one small matrix product per point gives M, and M is transformed back with bias,
// residual and ReLU.
//   V [products^2][C/16][tiles][16]    M [products^2][tiles][16]
// A unit is one block of tiles x one block of output channels; V is made when a range of units
// first comes to a block of tiles. So threads share the tiles of a large image and the channels of
// a small one, and nobody waits for V.
#include "cpu/kernels/table.h"
#include "cpu/kernels/winograd_tiles.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Rows of the register tile of the matrix product; its columns are one block of channels. A sum of
// 16 input channels and the sum of such sums are kept apart: the rounding errors of one long sum
// would be the largest part of Winograd's errors (docs/numerics.md). On AVX-512 both fit the
// registers, and the additions run beside the multiply-adds.
#if defined(__AVX512F__)
constexpr int kMaxRows = 14;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kMaxRows = 6;
#else
constexpr int kMaxRows = 2;
#endif

// M of kRows tiles and 16 output channels at one point.
template <int kRows>
void multiply(const float* v, int64_t v_block_stride, const float* w, int64_t channels, float* m) {
    const int64_t ahead = channels * kChannelBlock;  // the next point's weights
    Vec sum[kRows][kVecs] = {};
    for (; channels > 0; channels -= kChannelBlock) {
        Vec acc[kRows][kVecs] = {};
        const auto step = [&](int c) [[gnu::always_inline]] {
            Vec weight[kVecs];
            PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
                weight[part] = load(w + c * kChannelBlock + part * kLanes);
            }
            __builtin_prefetch(w + ahead + c * kChannelBlock, 0, 2);
            PYCNN_UNROLL for (int i = 0; i < kRows; ++i) {
                const Vec value = broadcast(v[i * kChannelBlock + c]);
                PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
                    acc[i][part] += weight[part] * value;
                }
            }
        };
        if (channels >= kChannelBlock) {
            for (int c0 = 0; c0 < kChannelBlock; c0 += 4) {
                PYCNN_UNROLL for (int c = 0; c < 4; ++c) step(c);
                v += 4;
                w += 4 * kChannelBlock;
            }
        } else {
            for (int c = 0; c < channels; ++c) step(c);
        }
        PYCNN_UNROLL for (int i = 0; i < kRows; ++i) {
            PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) sum[i][part] += acc[i][part];
        }
        v += v_block_stride - kChannelBlock;
    }
    PYCNN_UNROLL for (int i = 0; i < kRows; ++i) {
        PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
            store(m + i * kChannelBlock + part * kLanes, sum[i][part]);
        }
    }
}

using Multiply = void (*)(const float*, int64_t, const float*, int64_t, float*);
struct Multiplies {
    template <int kRows>
    static constexpr Multiply kernel = multiply<kRows>;
};
constexpr auto kMultiply = by_rows<Multiply, Multiplies, kMaxRows>();

template <class A>
void run(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    constexpr int64_t kPoints = A::kProducts * A::kProducts;
    const ops::WinogradBlocks& cut = a.winograd;
    const int64_t channels = a.group_channels, out_blocks = cut.group_out_blocks;
    const int64_t in_blocks = divide_round_up(channels, kChannelBlock);
    float* v = a.workspace;
    float* m = v + kPoints * cut.v_stride;
    TileBlock tiles, next_tiles;
    using InputPrefetch = RowPrefetch<A::kInput, A::kInput, Fetch::kInputToL2>;
    InputPrefetch next_inputs(a.x, nullptr, 0, next_tiles, 1);
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t tile_block = unit / out_blocks % cut.count;
        const int64_t group = unit / out_blocks / cut.count;
        const int64_t out_block = group * out_blocks + unit % out_blocks;
        if (unit % out_blocks == 0 || unit == begin) {
            find_tiles<A>(a, tile_block, tiles);
            transform_inputs<A>(a, group, tiles, v);
            // Those of this thread's next block of tiles, over all of this one's output channels.
            const int64_t left = out_blocks - unit % out_blocks;
            find_tiles<A>(a, end - unit > left ? tile_block + 1 : cut.count, next_tiles);
            next_inputs = InputPrefetch(a.x, a.x.data + group * in_blocks * a.x.block_stride,
                                        in_blocks, next_tiles, left * kPoints);
        }
        RowPrefetch<A::kOutput, A::kOutput, Fetch::kOutputToWrite> outputs(
            a.y, a.y.data + out_block * a.y.block_stride, a.params.max_pool ? 0 : 1, tiles,
            kPoints);
        const Strips<kMaxRows> strips(tiles.count);
        const float* w = a.weights + out_block * kPoints * channels * kChannelBlock;
        for (int64_t point = 0; point < kPoints; ++point, w += channels * kChannelBlock) {
            outputs.advance();
            next_inputs.advance();
            for (int64_t strip = 0; strip < strips.count; ++strip) {
                const int64_t row = strips.begin[strip];
                kMultiply.of_rows[strips.begin[strip + 1] - row - 1](
                    v + point * cut.v_stride + row * kChannelBlock, tiles.count * kChannelBlock, w,
                    channels, m + point * cut.m_stride + row * kChannelBlock);
            }
        }
        transform_outputs<A>(a, m, tiles, out_block);
    }
}

}  // namespace

// In the order of the enumerators of ops/conv2d.h.
extern const Kernel<ops::Conv2dArgs> kWinograd[] = {
    run<Axis<2, 3, 1>>, run<Axis<4, 3, 1>>, run<Axis<5, 3, 1>>, run<Axis<6, 3, 1>>,
    run<Axis<2, 5, 1>>, run<Axis<4, 5, 1>>, run<Axis<4, 3, 2>>,
};

}  // namespace pycnn::cpu::PYCNN_ISA

// A network's first convolution: few input channels, so that the general kernel would spend more on
// addresses and borders than on sums. A unit is some rows of output of one image. The rows of input
// that it sees are copied, plain and with their zero padding, so that in the inner loop every
// address is a constant distance from the last:
//   copy [row][c][pad + W + pad]
// The order of summation is that of all plain algorithms: r, s, c.
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"
#include "ops/conv2d.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Pixels of the register tile for each number of blocks of 16 output channels. Small networks have
// short rows and few channels: with one block the widest tile that wastes least is taken.
#if defined(__AVX512F__)
constexpr int kMaxBlocks = 4;
constexpr int kPixels[kMaxBlocks + 1] = {0, 14, 12, 8, 6};
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kMaxBlocks = 1;
constexpr int kPixels[kMaxBlocks + 1] = {0, 6};
#else
constexpr int kMaxBlocks = 1;
constexpr int kPixels[kMaxBlocks + 1] = {0, 2};
#endif

// Rows [first, first + count) of the input of image n, from row `first` of the padded image on.
void copy_rows(const ops::Conv2dArgs& a, int64_t n, int64_t first, int64_t count, float* copy,
               int64_t row_elems) {
    const TensorView& x = a.x;
    const int64_t left = a.params.padding[2];
    for (int64_t row = 0; row < count; ++row) {
        const int64_t h = first + row - a.params.padding[0];
        for (int64_t c = 0; c < x.shape.c; ++c, copy += row_elems) {
            if (h < 0 || h >= x.shape.h) {
                std::memset(copy, 0, row_elems * sizeof(float));
                continue;
            }
            const float* from = x.data + n * x.image_stride + c / kChannelBlock * x.block_stride +
                                c % kChannelBlock * x.channel_stride + h * x.row_stride;
            std::memset(copy, 0, left * sizeof(float));
            for (int64_t w = 0; w < x.shape.w; ++w) copy[left + w] = from[w * x.pixel_stride];
            std::memset(copy + left + x.shape.w, 0, (row_elems - left - x.shape.w) * sizeof(float));
        }
    }
}

PYCNN_INLINE void finish(const ops::Conv2dArgs& a, Vec value, const float* bias,
                         const float* residual, float* y) {
    value += load(bias);
    if (residual) value += load(residual);
    if (a.params.relu) value = relu(value);
    store(y, value);
}

// kPixels outputs of one row x kBlocks blocks of channels; x is the tile's first input in the copy.
template <int kPixels, int kBlocks, int kStride>
void tile(const ops::Conv2dArgs& a, const float* x, int64_t row_elems, const float* w,
          const float* bias, const float* residual, float* y) {
    const int64_t channels = a.group_channels;
    const int64_t w_stride = a.filter_h * a.filter_w * channels * kChannelBlock;
    Vec acc[kBlocks][kPixels][kVecs] = {};
    for (int64_t r = 0; r < a.filter_h; ++r, x += channels * row_elems) {
        for (int64_t s = 0; s < a.filter_w; ++s) {
            const float* in = x + s;
            for (int64_t c = 0; c < channels; ++c, in += row_elems, w += kChannelBlock) {
                Vec weight[kBlocks][kVecs];
                PYCNN_UNROLL for (int j = 0; j < kBlocks; ++j) {
                    PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                        weight[j][v] = load(w + j * w_stride + v * kLanes);
                    }
                }
                PYCNN_UNROLL for (int i = 0; i < kPixels; ++i) {
                    const Vec value = broadcast(in[i * kStride]);
                    PYCNN_UNROLL for (int j = 0; j < kBlocks; ++j) {
                        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                            acc[j][i][v] += weight[j][v] * value;
                        }
                    }
                }
            }
        }
    }
    PYCNN_UNROLL for (int j = 0; j < kBlocks; ++j) {
        PYCNN_UNROLL for (int i = 0; i < kPixels; ++i) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                const int64_t lane = i * kChannelBlock + v * kLanes;
                finish(a, acc[j][i][v], bias + j * kChannelBlock + v * kLanes,
                       residual ? residual + j * a.residual.block_stride + lane : nullptr,
                       y + j * a.y.block_stride + lane);
            }
        }
    }
}

#if defined(__AVX512F__)
// One input channel and at most 8 output channels, as in LeNet-5: a vector holds two pixels, half a
// row apart, and every broadcast value goes into all outputs that see it.
constexpr int kPairs = 14, kPairTaps = 5;

bool is_narrow(const ops::Conv2dArgs& a) {
    return a.params.stride[1] == 1 && a.group_channels == 1 && a.filter_w == kPairTaps &&
           a.y.shape.c <= kLanes / 2 && a.y.shape.w % 2 == 0 && a.y.shape.w >= 2 * kPairs;
}

void tile_of_pairs(const ops::Conv2dArgs& a, const float* x, int64_t row_elems, const float* w,
                   const float* bias, const float* residual, float* y) {
    constexpr IntVec kFirst = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int64_t half = a.y.shape.w / 2;
    Vec acc[kPairs] = {};
    for (int64_t r = 0; r < a.filter_h; ++r, x += row_elems, w += kPairTaps * kChannelBlock) {
        Vec weight[kPairTaps];
        PYCNN_UNROLL for (int s = 0; s < kPairTaps; ++s) {
            const Vec both = load(w + s * kChannelBlock);
            weight[s] = __builtin_shufflevector(both, both, 0, 1, 2, 3, 4, 5, 6, 7,  //
                                                0, 1, 2, 3, 4, 5, 6, 7);
        }
        PYCNN_UNROLL for (int column = 0; column < kPairs + kPairTaps - 1; ++column) {
            const Vec value = kFirst ? broadcast(x[column]) : broadcast(x[column + half]);
            PYCNN_UNROLL for (int s = 0; s < kPairTaps; ++s) {
                const int i = column - s;
                if (i >= 0 && i < kPairs) acc[i] += weight[s] * value;
            }
        }
    }
    PYCNN_UNROLL for (int i = 0; i < kPairs; ++i) {
        const Vec first = kFirst ? acc[i] : Vec{};
        const Vec second = __builtin_shufflevector(acc[i], Vec{}, 8, 9, 10, 11, 12, 13, 14, 15,  //
                                                   16, 17, 18, 19, 20, 21, 22, 23);
        const int64_t at = i * kChannelBlock, other = (i + half) * kChannelBlock;
        finish(a, first, bias, residual ? residual + at : nullptr, y + at);
        finish(a, second, bias, residual ? residual + other : nullptr, y + other);
    }
}
#endif

// One output row of kBlocks blocks in tiles of kWide pixels. The last tile begins earlier where it
// would end beyond the row: the pixels that two tiles compute have the same bits in both.
template <int kWide, int kBlocks, int kStride>
PYCNN_INLINE void row_of_tiles(const ops::Conv2dArgs& a, const float* x, int64_t row_elems,
                               const float* w, const float* bias, const float* residual, float* y) {
    for (int64_t q = 0; q < a.y.shape.w; q += kWide) {
        const int64_t first = q + kWide < a.y.shape.w ? q : a.y.shape.w - kWide;
        tile<kWide, kBlocks, kStride>(a, x + first * kStride, row_elems, w, bias,
                                      residual ? residual + first * kChannelBlock : nullptr,
                                      y + first * kChannelBlock);
    }
}

#if defined(__AVX512F__)
PYCNN_INLINE void row_of_pairs(const ops::Conv2dArgs& a, const float* x, int64_t row_elems,
                               const float* w, const float* bias, const float* residual, float* y) {
    const int64_t half = a.y.shape.w / 2;
    for (int64_t q = 0; q < half; q += kPairs) {
        const int64_t first = q + kPairs < half ? q : half - kPairs;
        tile_of_pairs(a, x + first, row_elems, w, bias,
                      residual ? residual + first * kChannelBlock : nullptr,
                      y + first * kChannelBlock);
    }
}
#endif

template <int kBlocks, int kStride, class... Args>
PYCNN_INLINE void row(const ops::Conv2dArgs& a, const Args&... args) {
    constexpr int kWide = kPixels[kBlocks];
    const int64_t width = a.y.shape.w;
#if defined(__AVX512F__)
    if (kBlocks == 1 && is_narrow(a)) return row_of_pairs(a, args...);
#endif
    const auto computed = [&](int64_t wide) { return divide_round_up(width, wide) * wide; };
    if (kWide == 14 && width >= 10 && computed(10) < computed(14)) {
        row_of_tiles<10, kBlocks, kStride>(a, args...);
    } else if (kWide == 14 && width >= 8 && (width < kWide || computed(8) < computed(14))) {
        row_of_tiles<8, kBlocks, kStride>(a, args...);
    } else if (width >= kWide) {
        row_of_tiles<kWide, kBlocks, kStride>(a, args...);
    } else {
        row_of_tiles<1, kBlocks, kStride>(a, args...);
    }
}

template <int kStride, int kBlocks = kMaxBlocks, class... Args>
PYCNN_INLINE void row_of_blocks(int64_t blocks, const Args&... args) {
    if constexpr (kBlocks > 0) {
        if (blocks == kBlocks) {
            row<kBlocks, kStride>(args...);
        } else {
            row_of_blocks<kStride, kBlocks - 1>(blocks, args...);
        }
    }
}

template <int kStride>
void run(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    const ops::Conv2dParams& p = a.params;
    const int64_t strips = divide_round_up(a.y.shape.h, a.unit_rows);
    const int64_t blocks = channel_blocks(a.y), groups = divide_round_up(blocks, kMaxBlocks);
    const int64_t row_elems = p.padding[2] + a.x.shape.w + p.padding[3];
    const int64_t block_elems = a.filter_h * a.filter_w * a.group_channels * kChannelBlock;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t n = unit / strips, first = unit % strips * a.unit_rows;
        const int64_t rows = first + a.unit_rows < a.y.shape.h ? a.unit_rows : a.y.shape.h - first;
        copy_rows(a, n, first * p.stride[0], (rows - 1) * p.stride[0] + a.filter_h, a.workspace,
                  row_elems);
        for (int64_t group = 0; group < groups; ++group) {
            const int64_t block = blocks * group / groups;
            const int64_t count = blocks * (group + 1) / groups - block;
            for (int64_t h = 0; h < rows; ++h) {
                const auto at = [&](const TensorView& t) {
                    return t.data + n * t.image_stride + block * t.block_stride +
                           (first + h) * t.row_stride;
                };
                row_of_blocks<kStride>(
                    count, a, a.workspace + h * p.stride[0] * a.group_channels * row_elems,
                    row_elems, a.weights + block * block_elems, a.bias + block * kChannelBlock,
                    a.residual.data ? at(a.residual) : nullptr, at(a.y));
            }
        }
    }
}

}  // namespace

// For the strides that ops/conv2d.cpp's fits() lets through.
void conv2d_stem(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    switch (a.params.stride[1]) {
        case 1: return run<1>(a, begin, end);
        case 2: return run<2>(a, begin, end);
        case 4: return run<4>(a, begin, end);
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

// Winograd convolution: a block of tiles is transformed into V, then for each block of 16 output
// channels one small matrix product per point gives M, and M is transformed back with bias,
// residual and ReLU.
//   V [products^2][C/16][tiles][16]    M [products^2][tiles][16]
// A unit is one block of tiles x one block of output channels; V is made when a range of units
// first comes to a block of tiles. So threads share the tiles of a large image and the channels of
// a small one, and nobody waits for V.
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"
#include "ops/conv2d.h"
#include "ops/winograd.h"

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

// The transforms of one axis for one phase of the stride; see ops/winograd.h.
template <int kOutput, int kTaps>
struct Phase {
    static constexpr int kProducts = kOutput + kTaps - 1;
    static constexpr ops::WinogradPoints kPoints = ops::winograd_points(kProducts);

    // The product's polynomial in x^2 on samples first, first + 2, ... of d.
    template <int kSkip>
    PYCNN_INLINE static Vec pair_product(const Vec* d, int first) {
        constexpr ops::PairProduct product = ops::winograd_pair_product(kPoints, kSkip);
        Vec sum = d[first + 2 * product.degree];
        PYCNN_UNROLL for (int k = product.degree - 1; k >= 0; --k) {
            sum += static_cast<float>(product.coefficient[k]) * d[first + 2 * k];
        }
        return sum;
    }
    template <int kPair>
    PYCNN_INLINE static void pair_rows(const Vec* d, Vec* out) {
        if constexpr (kPair < kPoints.pairs) {
            const Vec even = pair_product<kPair>(d, kPoints.zero + 1);
            const Vec odd = pair_product<kPair>(d, kPoints.zero);
            constexpr float kA = static_cast<float>(kPoints.magnitude[kPair]);
            out[kPoints.zero + 2 * kPair] = even + kA * odd;
            out[kPoints.zero + 2 * kPair + 1] = even - kA * odd;
            pair_rows<kPair + 1>(d, out);
        }
    }
    PYCNN_INLINE static void input(const Vec* d, Vec* out) {
        if constexpr (kTaps == 1) {
            PYCNN_UNROLL for (int i = 0; i < kProducts; ++i) out[i] = d[i];
        } else {
            if constexpr (kPoints.zero) out[0] = pair_product<-1>(d, 0);
            pair_rows<0>(d, out);
            out[kProducts - 1] = pair_product<-1>(d, kPoints.zero);
        }
    }

    static constexpr float power(double base, int exponent) {
        double result = 1;
        for (int k = 0; k < exponent; ++k) result *= base;
        return static_cast<float>(result);
    }
    PYCNN_INLINE static void output(const Vec* m, Vec* y) {
        if constexpr (kTaps == 1) {
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) y[j] = m[j];
        } else {
            Vec sum[3], difference[3];
            PYCNN_UNROLL for (int q = 0; q < kPoints.pairs; ++q) {
                sum[q] = m[kPoints.zero + 2 * q] + m[kPoints.zero + 2 * q + 1];
                difference[q] = m[kPoints.zero + 2 * q] - m[kPoints.zero + 2 * q + 1];
            }
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) {
                const Vec* part = j % 2 == 0 ? sum : difference;
                Vec value = power(kPoints.magnitude[0], j) * part[0];
                PYCNN_UNROLL for (int q = 1; q < kPoints.pairs; ++q) {
                    value += power(kPoints.magnitude[q], j) * part[q];
                }
                if (j == 0 && kPoints.zero) value += m[0];
                if (j == kOutput - 1) value += m[kProducts - 1];
                y[j] = value;
            }
        }
    }
};

template <int kOutput_, int kFilter_, int kStride_>
struct Axis {
    static constexpr int kOutput = kOutput_, kFilter = kFilter_, kStride = kStride_;
    static constexpr ops::WinogradForm kForm{kOutput, kFilter, kStride};
    static constexpr int kProducts = kForm.products(), kInput = kForm.input();
    template <int kPhase>
    using PhaseOf = Phase<kOutput, ops::winograd_phase_taps(kFilter, kStride, kPhase)>;

    // B^T d: kInput samples to kProducts.
    template <int kPhase = 0>
    PYCNN_INLINE static void input(const Vec* d, Vec* out) {
        if constexpr (kPhase < kStride) {
            using Transform = PhaseOf<kPhase>;
            Vec samples[Transform::kProducts];
            PYCNN_UNROLL for (int i = 0; i < Transform::kProducts; ++i) {
                samples[i] = d[kPhase + i * kStride];
            }
            Transform::input(samples, out);
            input<kPhase + 1>(d, out + Transform::kProducts);
        }
    }
    // A^T m: kProducts to kOutput.
    PYCNN_INLINE static void output(const Vec* m, Vec* y) {
        PhaseOf<0>::output(m, y);
        if constexpr (kStride == 2) {
            Vec odd[kOutput];
            PhaseOf<1>::output(m + PhaseOf<0>::kProducts, odd);
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) y[j] += odd[j];
        }
    }
};

// Where a tile lies: its first output pixel, and the first pixel of its input, padding included.
struct TilePlace {
    int64_t n, p, q, h, w;
};
// A block of tiles, and how it is cut into strips for the register tile.
struct TileBlock {
    int64_t count = 0;
    TilePlace tile[ops::kWinogradTilesPerBlock];
    int64_t strips = 0;
    int64_t strip_begin[divide_round_up(ops::kWinogradTilesPerBlock, kMaxRows) + 1];
};

// A block behind the last is empty.
template <class A>
void find_tiles(const ops::Conv2dArgs& a, int64_t block, TileBlock& tiles) {
    const ops::WinogradBlocks& cut = a.winograd;
    const int64_t across = divide_round_up(a.y.shape.w, A::kOutput);
    const int64_t down = divide_round_up(a.y.shape.h, A::kOutput);
    const int64_t first = cut.tiles * block / cut.count;
    tiles.count = block < cut.count ? cut.tiles * (block + 1) / cut.count - first : 0;
    tiles.strips = divide_round_up(tiles.count, kMaxRows);
    for (int64_t i = 0; i <= tiles.strips; ++i) {
        tiles.strip_begin[i] = i == 0 ? 0 : tiles.count * i / tiles.strips;
    }
    int64_t column = first % across, row = first / across % down, n = first / across / down;
    for (int64_t i = 0; i < tiles.count; ++i) {
        const int64_t p = row * A::kOutput, q = column * A::kOutput;
        tiles.tile[i] = {n, p, q, p * A::kStride - a.params.padding[0],
                         q * A::kStride - a.params.padding[2]};
        if (++column == across) {
            column = 0;
            if (++row == down) {
                row = 0;
                ++n;
            }
        }
    }
}

// Fetches the pixels of tiles into a cache ahead of their use, a few rows of a tile at a time, from
// within the matrix products, whose own loads leave the memory idle. Rows are numbered by block of
// channels, tile and row of the tile.
enum class Fetch { kInputToL1, kInputToL2, kOutputToWrite };
template <int kRows, int kColumns, Fetch kFetch>
class RowPrefetch {
public:
    PYCNN_INLINE RowPrefetch(const TensorView& t, const float* planes, int64_t blocks,
                             const TileBlock& tiles, int64_t steps)
        : t_(&t),
          planes_(planes),
          tiles_(&tiles),
          rows_(blocks * tiles.count * kRows),
          rows_per_step_(((rows_ << kFraction) + steps - 1) / steps) {}

    // Fetches one step's share of all rows.
    PYCNN_INLINE void advance() {
        due_ += rows_per_step_;
        int64_t share = due_ >> kFraction;
        if (share > rows_) share = rows_;
        for (; done_ < share; ++done_) {
            const TilePlace& tile = tiles_->tile[tile_];
            const int64_t h = (kWrite ? tile.p : tile.h) + row_;
            if (h >= 0 && h < t_->shape.h) {
                const float* line = planes_ + tile.n * t_->image_stride + h * t_->row_stride +
                                    (kWrite ? tile.q : tile.w) * kChannelBlock;
                PYCNN_UNROLL for (int j = 0; j < kColumns; ++j) {
                    __builtin_prefetch(line + j * kChannelBlock, kWrite,
                                       kFetch == Fetch::kInputToL2 ? 2 : 3);
                }
            }
            if (++row_ == kRows) {
                row_ = 0;
                if (++tile_ == tiles_->count) {
                    tile_ = 0;
                    planes_ += t_->block_stride;
                }
            }
        }
    }

private:
    static constexpr int kFraction = 16;
    static constexpr bool kWrite = kFetch == Fetch::kOutputToWrite;
    const TensorView* t_;
    const float* planes_;
    const TileBlock* tiles_;
    int64_t rows_, rows_per_step_, due_ = 0;  // the last two in units of 2^-kFraction
    int64_t done_ = 0, tile_ = 0, row_ = 0;
};

// One block of channels of one tile, V = B^T d B. Rows of d are row_stride apart.
template <class A>
void transform_input(const float* d, int64_t row_stride, float* v, int64_t v_stride) {
    constexpr int kIn = A::kInput, kOut = A::kProducts;
    for (int part = 0; part < kVecs; ++part) {
        Vec columns[kOut][kIn];
        PYCNN_UNROLL for (int j = 0; j < kIn; ++j) {
            Vec in[kIn], out[kOut];
            PYCNN_UNROLL for (int i = 0; i < kIn; ++i) {
                in[i] = load(d + i * row_stride + j * kChannelBlock + part * kLanes);
            }
            A::input(in, out);
            PYCNN_UNROLL for (int i = 0; i < kOut; ++i) columns[i][j] = out[i];
        }
        PYCNN_UNROLL for (int i = 0; i < kOut; ++i) {
            Vec out[kOut];
            A::input(columns[i], out);
            PYCNN_UNROLL for (int j = 0; j < kOut; ++j) {
                store(v + (i * kOut + j) * v_stride + part * kLanes, out[j]);
            }
        }
    }
}

// The same where a part of the tile lies in the padding, or x is plain: through a copy.
template <class A>
void transform_input_by_copy(const TensorView& x, const float* plane, int64_t channels,
                             const TilePlace& place, float* v, int64_t v_stride) {
    constexpr int kIn = A::kInput;
    alignas(64) float copy[kIn * kIn * kChannelBlock];
    for (int i = 0; i < kIn; ++i) {
        const int64_t h = place.h + i;
        for (int j = 0; j < kIn; ++j) {
            const int64_t w = place.w + j;
            const bool inside = h >= 0 && h < x.shape.h && w >= 0 && w < x.shape.w;
            float* to = copy + (i * kIn + j) * kChannelBlock;
            const float* from = plane + h * x.row_stride + w * x.pixel_stride;
            if (x.layout == Layout::kNchw && inside) {
                for (int64_t c = 0; c < channels; ++c) to[c] = from[c * x.channel_stride];
                continue;
            }
            for (int part = 0; part < kVecs; ++part) {
                store(to + part * kLanes, inside ? load(from + part * kLanes) : Vec{});
            }
        }
    }
    transform_input<A>(copy, kIn * kChannelBlock, v, v_stride);
}

// All channels of a group of the tiles of a block.
template <class A>
void transform_inputs(const ops::Conv2dArgs& a, int64_t group, const TileBlock& tiles, float* v) {
    const TensorView& x = a.x;
    const int64_t blocks = divide_round_up(a.group_channels, kChannelBlock), count = tiles.count;
    RowPrefetch<A::kInput, A::kInput, Fetch::kInputToL1> prefetch(
        x, x.data + group * blocks * x.block_stride, blocks, tiles, blocks * count);
    prefetch.advance();  // one tile ahead of the loop
    for (int64_t block = 0; block < blocks; ++block) {
        const float* planes = x.data + (group * blocks + block) * x.block_stride;
        for (int64_t tile = 0; tile < count; ++tile) {
            const TilePlace& place = tiles.tile[tile];
            prefetch.advance();
            const float* plane = planes + place.n * x.image_stride;
            float* to = v + (block * count + tile) * kChannelBlock;
            if (x.layout == Layout::kNchw16c && place.h >= 0 && place.w >= 0 &&
                place.h + A::kInput <= x.shape.h && place.w + A::kInput <= x.shape.w) {
                transform_input<A>(plane + place.h * x.row_stride + place.w * kChannelBlock,
                                   x.row_stride, to, a.winograd.v_stride);
            } else {
                const int64_t left = a.group_channels - block * kChannelBlock;
                transform_input_by_copy<A>(x, plane, left < kChannelBlock ? left : kChannelBlock,
                                           place, to, a.winograd.v_stride);
            }
        }
    }
}

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
template <int... kRows>
struct MultiplyTable {
    Multiply of_rows[sizeof...(kRows)] = {multiply<kRows + 1>...};
};
template <int kCount, int... kRows>
constexpr auto make_multiply_table() {
    if constexpr (kCount == 0) {
        return MultiplyTable<kRows...>{};
    } else {
        return make_multiply_table<kCount - 1, kCount - 1, kRows...>();
    }
}
constexpr auto kMultiply = make_multiply_table<kMaxRows>();

// y = act(A^T M A + bias + residual) of one tile; only the first rows x columns pixels exist.
template <class A>
void transform_output(const ops::Conv2dArgs& a, const float* m, int64_t m_stride, const float* bias,
                      const float* residual, float* y, int64_t rows, int64_t columns) {
    constexpr int kIn = A::kProducts, kOut = A::kOutput;
    for (int part = 0; part < kVecs; ++part) {
        const int lane = part * kLanes;
        Vec half[kOut][kIn];
        PYCNN_UNROLL for (int j = 0; j < kIn; ++j) {
            Vec in[kIn], out[kOut];
            PYCNN_UNROLL for (int i = 0; i < kIn; ++i) in[i] =
                load(m + (i * kIn + j) * m_stride + lane);
            A::output(in, out);
            PYCNN_UNROLL for (int i = 0; i < kOut; ++i) half[i][j] = out[i];
        }
        const Vec shift = load(bias + lane);
        PYCNN_UNROLL for (int i = 0; i < kOut; ++i) {
            if (i >= rows) break;
            Vec out[kOut];
            A::output(half[i], out);
            PYCNN_UNROLL for (int j = 0; j < kOut; ++j) {
                if (j < columns) {
                    Vec value = out[j] + shift;
                    if (residual) {
                        value +=
                            load(residual + i * a.residual.row_stride + j * kChannelBlock + lane);
                    }
                    if (a.params.relu) value = relu(value);
                    store(y + i * a.y.row_stride + j * kChannelBlock + lane, value);
                }
            }
        }
    }
}

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
            a.y, a.y.data + out_block * a.y.block_stride, 1, tiles, kPoints);
        const float* w = a.weights + out_block * kPoints * channels * kChannelBlock;
        for (int64_t point = 0; point < kPoints; ++point, w += channels * kChannelBlock) {
            outputs.advance();
            next_inputs.advance();
            for (int64_t strip = 0; strip < tiles.strips; ++strip) {
                const int64_t row = tiles.strip_begin[strip];
                kMultiply.of_rows[tiles.strip_begin[strip + 1] - row - 1](
                    v + point * cut.v_stride + row * kChannelBlock, tiles.count * kChannelBlock, w,
                    channels, m + point * cut.m_stride + row * kChannelBlock);
            }
        }
        const float* bias = a.bias + out_block * kChannelBlock;
        for (int64_t i = 0; i < tiles.count; ++i) {
            const TilePlace& place = tiles.tile[i];
            const auto at = [&](const TensorView& t) {
                return t.data + place.n * t.image_stride + out_block * t.block_stride +
                       place.p * t.row_stride + place.q * kChannelBlock;
            };
            transform_output<A>(a, m + i * kChannelBlock, cut.m_stride, bias,
                                a.residual.data ? at(a.residual) : nullptr, at(a.y),
                                a.y.shape.h - place.p, a.y.shape.w - place.q);
        }
    }
}

}  // namespace

// In the order of the enumerators of ops/conv2d.h.
extern const Kernel<ops::Conv2dArgs> kWinograd[] = {
    run<Axis<2, 3, 1>>, run<Axis<4, 3, 1>>, run<Axis<5, 3, 1>>, run<Axis<6, 3, 1>>,
    run<Axis<2, 5, 1>>, run<Axis<4, 5, 1>>, run<Axis<4, 3, 2>>,
};

}  // namespace pycnn::cpu::PYCNN_ISA

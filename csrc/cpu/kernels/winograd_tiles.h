// Blocks of Winograd's tiles, and what is done to them before and after the products: into V, and
// from M with bias, residual and ReLU.
//   V [products^2][C/16][tiles][16]    M [products^2][tiles][16]
#pragma once

#include "cpu/kernels/winograd_axis.h"
#include "ops/conv2d.h"

namespace pycnn::cpu::PYCNN_ISA {

// Where a tile lies: its first output pixel, and the first pixel of its input, padding included.
struct TilePlace {
    int64_t n, p, q, h, w;
};
struct TileBlock {
    int64_t count = 0;
    TilePlace tile[ops::kWinogradTilesPerBlock];
};
// A block of tiles cut into strips of at most kMaxRows for the register tile.
template <int kMaxRows>
struct Strips {
    explicit Strips(int64_t tiles) : count(divide_round_up(tiles, kMaxRows)) {
        for (int64_t i = 0; i <= count; ++i) begin[i] = i == 0 ? 0 : tiles * i / count;
    }
    int64_t count;
    int64_t begin[divide_round_up(ops::kWinogradTilesPerBlock, kMaxRows) + 1];
};
// The kernels Make::template kernel<rows> for 1, 2, ... rows of the register tile.
template <class Function, class Make, int... kRows>
struct RowTable {
    Function of_rows[sizeof...(kRows)] = {Make::template kernel<kRows + 1>...};
};
template <class Function, class Make, int kCount, int... kRows>
constexpr auto by_rows() {
    if constexpr (kCount == 0) {
        return RowTable<Function, Make, kRows...>{};
    } else {
        return by_rows<Function, Make, kCount - 1, kCount - 1, kRows...>();
    }
}

// A block behind the last is empty.
template <class A>
void find_tiles(const ops::Conv2dArgs& a, int64_t block, TileBlock& tiles) {
    const ops::WinogradBlocks& cut = a.winograd;
    const int64_t across = divide_round_up(a.out_w, A::kOutput);
    const int64_t down = divide_round_up(a.out_h, A::kOutput);
    const int64_t first = cut.tiles * block / cut.count;
    tiles.count = block < cut.count ? cut.tiles * (block + 1) / cut.count - first : 0;
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
                for (int64_t c = 0; c < kChannelBlock; ++c) {
                    to[c] = c < channels ? from[c * x.channel_stride] : 0;
                }
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

// y = act(A^T M A + bias + residual) of one tile, or the largest of each kPool x kPool of it; only
// the first rows x columns pixels exist.
template <class A, int kPool>
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
        PYCNN_UNROLL for (int i = 0; i < kOut; i += kPool) {
            if (i >= rows) break;
            Vec out[kOut];
            A::output(half[i], out);
            PYCNN_UNROLL for (int j = 0; j < kOut; ++j) out[j] += shift;
            if constexpr (kPool == 2) {
                Vec below[kOut];
                A::output(half[i + 1], below);
                PYCNN_UNROLL for (int j = 0; j < kOut; ++j) {
                    out[j] = max_keeping_nan(out[j], below[j] + shift);
                }
                PYCNN_UNROLL for (int j = 0; j < kOut; j += 2) {
                    out[j] = max_keeping_nan(out[j], out[j + 1]);
                }
            }
            PYCNN_UNROLL for (int j = 0; j < kOut; j += kPool) {
                if (j < columns) {
                    Vec value = out[j];
                    if (residual) {
                        value +=
                            load(residual + i * a.residual.row_stride + j * kChannelBlock + lane);
                    }
                    if (a.params.relu) value = relu(value);
                    store(y + i / kPool * a.y.row_stride + j / kPool * kChannelBlock + lane, value);
                }
            }
        }
    }
}

// All tiles of a block, for one block of output channels.
template <class A, int kPool = 1>
void transform_outputs(const ops::Conv2dArgs& a, const float* m, const TileBlock& tiles,
                       int64_t out_block) {
    if constexpr (kPool == 1 && A::kOutput % 2 == 0) {
        if (a.params.max_pool) return transform_outputs<A, 2>(a, m, tiles, out_block);
    }
    const float* bias = a.bias + out_block * kChannelBlock;
    for (int64_t i = 0; i < tiles.count; ++i) {
        const TilePlace& place = tiles.tile[i];
        const auto at = [&](const TensorView& t) {
            return t.data + place.n * t.image_stride + out_block * t.block_stride +
                   place.p / kPool * t.row_stride + place.q / kPool * kChannelBlock;
        };
        transform_output<A, kPool>(a, m + i * kChannelBlock, a.winograd.m_stride, bias,
                                   a.residual.data ? at(a.residual) : nullptr, at(a.y),
                                   a.out_h - place.p, a.out_w - place.q);
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

#include "ops/conv2d.h"

#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// The register tile: mr pixels x nr blocks of 16 output channels are summed in registers over all
// of r, s and c. AVX-512: 24 accumulators, 4 weights, 1 broadcast of 32 registers. AVX2: 12, 2, 1
// of 16. NEON: 24, 4, 1 of 32. SSE2: 8, 4, 1 of 16.
#if defined(__AVX512F__)
constexpr int kMr = 6, kNr = 4;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kMr = 6, kNr = 1;
#else
constexpr int kMr = 2, kNr = 1;
#endif

// Few blocks leave registers for more pixels; where those lie side by side one address serves all.
// Units are 48 pixels, a multiple of each.
template <int NR>
constexpr int kDenseMr = kNr == 4 ? 48 / (NR == 1 ? 3 : 2 * NR) : kMr;

const float kZero = 0.0f;

constexpr int64_t kMaxWeightPrefetch = 512 * 1024 / 4;  // elements: half of an L2 cache

// Fetches the weights of the next unit_blocks blocks of output channels while these still go
// through the pixels: their first use would wait for the memory.
class WeightPrefetch {
public:
    PYCNN_INLINE WeightPrefetch() = default;
    // Lines [first, last) over `steps` calls of advance().
    PYCNN_INLINE WeightPrefetch(const float* first, const float* last, int64_t steps)
        : next_(first),
          last_(last),
          lines_(divide_round_up(divide_round_up(last - first, kChannelBlock), steps)) {}

    PYCNN_INLINE void advance() {
        for (int64_t i = 0; i < lines_ && next_ < last_; ++i, next_ += kChannelBlock) {
            __builtin_prefetch(next_, 0, 2);
        }
    }

private:
    const float *next_ = nullptr, *last_ = nullptr;
    int64_t lines_ = 0;
};

// A tile of output pixels [first, first + MR) of one image, blocks [block, block + NR).
template <int MR, int NR>
struct Tile {
    Vec acc[NR][MR][kVecs];

    PYCNN_INLINE void start() {
        PYCNN_UNROLL for (int j = 0; j < NR; ++j) {
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) { acc[j][i][v] = Vec{}; }
            }
        }
    }

    // acc += w[c] * x[c] for one channel: w is [16] of each block, x[i] the scalar of pixel i.
    template <class ScalarAt>
    PYCNN_INLINE void multiply_add(const float* w, int64_t w_stride, ScalarAt x) {
        Vec weight[NR][kVecs];
        PYCNN_UNROLL for (int j = 0; j < NR; ++j) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                weight[j][v] = load(w + j * w_stride + v * kLanes);
            }
        }
        PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
            const Vec value = broadcast(x(i));
            PYCNN_UNROLL for (int j = 0; j < NR; ++j) {
                PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) acc[j][i][v] += weight[j][v] * value;
            }
        }
    }

    // All channels of one filter tap at MR pixels inside the image.
    PYCNN_INLINE void tap(const float* const (&pixel)[MR], const TensorView& x, int64_t next_pixel,
                          int64_t channels, const float* w, int64_t w_stride,
                          WeightPrefetch& next_weights) {
        const int64_t channel_stride = x.channel_stride;
        const float* p[MR];
        PYCNN_UNROLL for (int i = 0; i < MR; ++i) p[i] = pixel[i];
        for (int64_t c0 = 0; c0 < channels; c0 += kChannelBlock) {
            const int64_t n = channels - c0 < kChannelBlock ? channels - c0 : kChannelBlock;
            for (int64_t c = 0; c < n; ++c, w += kChannelBlock) {
                multiply_add(w, w_stride, [&](int i) { return p[i][c * channel_stride]; });
            }
            next_weights.advance();
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                __builtin_prefetch(p[i] + next_pixel);
                p[i] += x.block_stride;
            }
        }
    }

    // All channels at MR pixels that lie side by side. The same channels of the next tile's pixels
    // are fetched meanwhile: the strides of a blocked layout are too many for the machine's own
    // foresight.
    PYCNN_INLINE void dense_tap(const float* p, const TensorView& x, int64_t channels,
                                const float* w, int64_t w_stride, WeightPrefetch& next_weights) {
        for (int64_t c0 = 0; c0 < channels; c0 += kChannelBlock, p += x.block_stride) {
            next_weights.advance();
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                __builtin_prefetch(p + (MR + i) * kChannelBlock);
            }
            const int64_t n = channels - c0 < kChannelBlock ? channels - c0 : kChannelBlock;
            for (int64_t c = 0; c < n; ++c, w += kChannelBlock) {
                multiply_add(w, w_stride, [&](int i) { return p[i * kChannelBlock + c]; });
            }
        }
    }

    // What finish() will touch, while there is still much to compute.
    PYCNN_INLINE void prefetch_output(const ops::Conv2dArgs& a, int64_t n, int64_t block,
                                      int64_t first) {
        PYCNN_UNROLL for (int j = 0; j < NR; ++j) {
            const auto line = [&](const TensorView& t, int i) {
                return t.data + n * t.image_stride + (block + j) * t.block_stride +
                       (first + i) * t.pixel_stride;
            };
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                __builtin_prefetch(line(a.y, i), 1);
                if (a.residual.data) __builtin_prefetch(line(a.residual, i));
            }
        }
    }

    // The same where some pixels lie in the padding: those stand on one zero and do not move.
    PYCNN_INLINE void border_tap(const float* const (&pixel)[MR], const TensorView& x,
                                 int64_t channels, const float* w, int64_t w_stride) {
        const float* p[MR];
        int64_t step[MR], block_step[MR];
        PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
            const bool inside = pixel[i] != nullptr;
            p[i] = inside ? pixel[i] : &kZero;
            step[i] = inside ? x.channel_stride : 0;
            block_step[i] = inside ? x.block_stride - kChannelBlock * x.channel_stride : 0;
        }
        for (int64_t c = 0; c < channels; ++c, w += kChannelBlock) {
            multiply_add(w, w_stride, [&](int i) { return *p[i]; });
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) p[i] += step[i];
            if (c % kChannelBlock == kChannelBlock - 1) {
                PYCNN_UNROLL for (int i = 0; i < MR; ++i) p[i] += block_step[i];
            }
        }
    }

    // y and residual point to pixel `first` of the first block; pixels are dense.
    PYCNN_INLINE void finish(const ops::Conv2dArgs& a, int64_t n, int64_t block, int64_t first) {
        float* y =
            a.y.data + n * a.y.image_stride + block * a.y.block_stride + first * a.y.pixel_stride;
        const float* residual = a.residual.data;
        if (residual) {
            residual += n * a.residual.image_stride + block * a.residual.block_stride +
                        first * a.residual.pixel_stride;
        }
        PYCNN_UNROLL for (int j = 0; j < NR; ++j) {
            PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                    // The bias comes last: a sum that starts at a large one rounds at each step.
                    Vec value =
                        acc[j][i][v] + load(a.bias + (block + j) * kChannelBlock + v * kLanes);
                    if (residual) {
                        value += load(residual + j * a.residual.block_stride +
                                      i * a.residual.pixel_stride + v * kLanes);
                    }
                    if (a.params.relu) value = relu(value);
                    store(y + j * a.y.block_stride + i * a.y.pixel_stride + v * kLanes, value);
                }
            }
        }
    }
};

enum class Addresses {
    kDense,      // 1x1, the pixels of x side by side
    kPointwise,  // 1x1
    kGeneral,
};

template <int MR, int NR, Addresses kAddresses>
void tile_kernel(const ops::Conv2dArgs& a, int64_t n, int64_t block, const float* x, int64_t first,
                 WeightPrefetch& next_weights) {
    const int64_t w_stride = a.filter_h * a.filter_w * a.group_channels * kChannelBlock;
    const float* w = a.weights + block * w_stride;
    const float* pixel[MR];
    const int64_t next_pixel = MR * a.params.stride[1] * a.x.pixel_stride;
    Tile<MR, NR> tile;
    tile.start();
    tile.prefetch_output(a, n, block, first);
    if constexpr (kAddresses == Addresses::kDense) {
        tile.dense_tap(x + first * kChannelBlock, a.x, a.group_channels, w, w_stride, next_weights);
    } else if constexpr (kAddresses == Addresses::kPointwise) {
        PYCNN_UNROLL for (int i = 0; i < MR; ++i) pixel[i] = x + (first + i) * a.x.pixel_stride;
        tile.tap(pixel, a.x, next_pixel, a.group_channels, w, w_stride, next_weights);
    } else {
        const ops::Conv2dParams& p = a.params;
        int64_t top[MR], left[MR];
        PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
            top[i] = (first + i) / a.y.shape.w * p.stride[0] - p.padding[0];
            left[i] = (first + i) % a.y.shape.w * p.stride[1] - p.padding[2];
        }
        for (int64_t r = 0; r < a.filter_h; ++r) {
            for (int64_t s = 0; s < a.filter_w; ++s, w += a.group_channels * kChannelBlock) {
                int inside = 0;
                PYCNN_UNROLL for (int i = 0; i < MR; ++i) {
                    const int64_t ih = top[i] + r * p.dilation[0];
                    const int64_t iw = left[i] + s * p.dilation[1];
                    const bool in = ih >= 0 && ih < a.x.shape.h && iw >= 0 && iw < a.x.shape.w;
                    pixel[i] = in ? x + ih * a.x.row_stride + iw * a.x.pixel_stride : nullptr;
                    inside += in;
                }
                if (inside == MR) {
                    tile.tap(pixel, a.x, next_pixel, a.group_channels, w, w_stride, next_weights);
                } else if (inside > 0) {
                    tile.border_tap(pixel, a.x, a.group_channels, w, w_stride);
                }
            }
        }
    }
    tile.finish(a, n, block, first);
}

// Tails run the same code with fewer pixels or blocks, in the same order of summation.
template <int NR, Addresses kAddresses>
constexpr int kTileMr = kAddresses == Addresses::kDense ? kDenseMr<NR> : kMr;
template <int NR, Addresses kAddresses, int MR = kTileMr<NR, kAddresses>>
PYCNN_INLINE void run_pixels(int64_t count, const ops::Conv2dArgs& a, int64_t n, int64_t block,
                             const float* x, int64_t first, WeightPrefetch& next_weights) {
    if constexpr (MR > 0) {
        if (count == MR) {
            tile_kernel<MR, NR, kAddresses>(a, n, block, x, first, next_weights);
        } else {
            run_pixels<NR, kAddresses, MR - 1>(count, a, n, block, x, first, next_weights);
        }
    }
}
// Pixels [first, stop) of `blocks` blocks of output channels.
template <Addresses kAddresses, int NR = kNr>
PYCNN_INLINE void run_blocks(int64_t blocks, const ops::Conv2dArgs& a, int64_t n, int64_t block,
                             const float* x, int64_t first, int64_t stop,
                             WeightPrefetch& next_weights) {
    if constexpr (NR > 0) {
        if (blocks == NR) {
            int64_t tiles = divide_round_up(stop - first, kTileMr<NR, kAddresses>);
            for (int64_t count; first < stop; first += count, --tiles) {
                count = divide_round_up(stop - first, tiles);  // none is much smaller than others
                run_pixels<NR, kAddresses>(count, a, n, block, x, first, next_weights);
            }
        } else {
            run_blocks<kAddresses, NR - 1>(blocks, a, n, block, x, first, stop, next_weights);
        }
    }
}

template <Addresses kAddresses>
void run_units(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    const int64_t all_blocks = channel_blocks(a.y), pixels = a.y.shape.h * a.y.shape.w;
    const int64_t strips = divide_round_up(pixels, a.unit_pixels);
    const int64_t groups_of_blocks = divide_round_up(all_blocks, a.unit_blocks);
    const int64_t w_stride = a.filter_h * a.filter_w * a.group_channels * kChannelBlock;
    const int64_t panel_units = strips * a.x.shape.n;  // units of the same weights
    // Those of few pixels pass too fast, and large ones would push these out of L2.
    const bool fetch_weights =
        a.weights_outer && pixels >= 4 * kMr && a.unit_blocks * w_stride <= kMaxWeightPrefetch;
    WeightPrefetch next_weights;
    for (int64_t unit = begin; unit < end; ++unit) {
        int64_t n, strip, block;
        const int64_t left = panel_units - unit % panel_units;
        if (fetch_weights && (unit == begin || left == panel_units) && unit + left < end) {
            const int64_t next = (unit + left) / panel_units * a.unit_blocks;
            const int64_t blocks =
                a.unit_blocks < all_blocks - next ? a.unit_blocks : all_blocks - next;
            const int64_t steps = left * divide_round_up(a.unit_pixels, kMr) * a.filter_h *
                                  a.filter_w * divide_round_up(a.group_channels, kChannelBlock);
            next_weights = WeightPrefetch(a.weights + next * w_stride,
                                          a.weights + (next + blocks) * w_stride, steps);
        }
        if (a.weights_outer) {
            strip = unit % strips;
            n = unit / strips % a.x.shape.n;
            block = unit / strips / a.x.shape.n * a.unit_blocks;
        } else {
            block = unit % groups_of_blocks * a.unit_blocks;
            strip = unit / groups_of_blocks % strips;
            n = unit / groups_of_blocks / strips;
        }
        const int64_t blocks =
            a.unit_blocks < all_blocks - block ? a.unit_blocks : all_blocks - block;
        // A group is whole blocks of input and of output channels, or there is one group.
        const int64_t group = block * kChannelBlock / (a.y.shape.c / a.params.groups);
        const float* x = a.x.data + n * a.x.image_stride +
                         group * a.group_channels / kChannelBlock * a.x.block_stride;
        const int64_t stop =
            (strip + 1) * a.unit_pixels < pixels ? (strip + 1) * a.unit_pixels : pixels;
        run_blocks<kAddresses>(blocks, a, n, block, x, strip * a.unit_pixels, stop, next_weights);
    }
}

// One output row of one block, lane by lane in general: the input channel of each lane's group is
// gathered. With kDepthwise the lanes of x and of the weights line up.
template <bool kDepthwise>
void run_rows(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    const ops::Conv2dParams& p = a.params;
    const int64_t out_h = a.y.shape.h, out_w = a.y.shape.w, blocks = channel_blocks(a.y);
    const int64_t group_out = a.y.shape.c / p.groups;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t oh = unit % out_h, block = unit / out_h % blocks, n = unit / out_h / blocks;
        const float* x = a.x.data + n * a.x.image_stride;
        const int64_t first = block * kChannelBlock;
        const int64_t lanes =
            a.y.shape.c - first < kChannelBlock ? a.y.shape.c - first : kChannelBlock;
        int64_t lane_channel[kChannelBlock];
        for (int64_t l = 0; l < lanes; ++l) {
            lane_channel[l] = (first + l) / group_out * a.group_channels;
        }
        for (int64_t ow = 0; ow < out_w; ++ow) {
            Tile<1, 1> tile;
            tile.start();
            const float* w =
                a.weights + block * a.filter_h * a.filter_w * a.group_channels * kChannelBlock;
            for (int64_t r = 0; r < a.filter_h; ++r) {
                const int64_t ih = oh * p.stride[0] - p.padding[0] + r * p.dilation[0];
                for (int64_t s = 0; s < a.filter_w; ++s, w += a.group_channels * kChannelBlock) {
                    const int64_t iw = ow * p.stride[1] - p.padding[2] + s * p.dilation[1];
                    if (ih < 0 || ih >= a.x.shape.h || iw < 0 || iw >= a.x.shape.w) continue;
                    const float* pixel = x + ih * a.x.row_stride + iw * a.x.pixel_stride;
                    for (int64_t c = 0; c < a.group_channels; ++c) {
                        float gathered[kChannelBlock] = {};
                        const float* values = gathered;
                        if (kDepthwise && a.x.layout == Layout::kNchw16c) {
                            values = pixel + block * a.x.block_stride;
                        } else {
                            for (int64_t l = 0; l < lanes; ++l) {
                                const int64_t channel = lane_channel[l] + c;
                                gathered[l] = pixel[channel / kChannelBlock * a.x.block_stride +
                                                    channel % kChannelBlock * a.x.channel_stride];
                            }
                        }
                        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                            tile.acc[0][0][v] += load(w + c * kChannelBlock + v * kLanes) *
                                                 load(values + v * kLanes);
                        }
                    }
                }
            }
            tile.finish(a, n, block, oh * out_w + ow);
        }
    }
}

}  // namespace

void conv2d_direct(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    run_units<Addresses::kGeneral>(a, begin, end);
}
void conv2d_gemm(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    if (a.x.layout == Layout::kNchw16c && a.x.pixel_stride == kChannelBlock) {
        run_units<Addresses::kDense>(a, begin, end);
    } else {
        run_units<Addresses::kPointwise>(a, begin, end);
    }
}
void conv2d_depthwise(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    run_rows<true>(a, begin, end);
}
void conv2d_grouped(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    run_rows<false>(a, begin, end);
}
extern const int64_t kConv2dMr = kMr, kConv2dNr = kNr;

}  // namespace pycnn::cpu::PYCNN_ISA

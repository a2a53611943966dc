// Winograd convolution of 3x3 filters that are transformed while they are used, for layers whose
// transformed weights take longer to read than their few tiles to compute: the filters themselves
// are 4 to 5.4 times smaller.
//   U = G g G^T of 16 input and 16 output channels at the points of one or two rows:
//   [points][16][16]
// U stays in the first cache, and so do the sums of those points in M, to which each 16 input
// channels are added: the sums in M are those of conv2d_winograd.cpp. The rows of +a and -a are
// made together; the filters are read once for each such pair, all but the first time from a cache.
#include "cpu/kernels/table.h"
#include "cpu/kernels/winograd_tiles.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kMaxRows = 28;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kMaxRows = 6;
#else
constexpr int kMaxRows = 2;
#endif
static_assert(kVecs * (kMaxRows + 1) <= 32);

// M of kRows tiles at `points` points: what 16 input channels add to it, or, of the first, what it
// begins with. Fetches V of the next point, and a kilobyte at `fetch` for each point.
template <int kRows>
void multiply(const float* v, int64_t v_stride, const float* u, int points, bool first, float* m,
              int64_t m_stride, const float* fetch, int64_t fetch_stride) {
    for (int point = 0; point < points; ++point, v += v_stride, m += m_stride) {
        Vec acc[kRows][kVecs] = {};
        for (int c0 = 0; c0 < kChannelBlock; c0 += 4, u += 4 * kChannelBlock) {
            PYCNN_UNROLL for (int c = 0; c < 4; ++c) {
                const int line = c0 + c;
                __builtin_prefetch(fetch + line * kChannelBlock, 0, 2);
                for (int row = line; row < kRows; row += kChannelBlock) {
                    __builtin_prefetch(v + v_stride + row * kChannelBlock);
                }
                Vec weight[kVecs];
                PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
                    weight[part] = load(u + c * kChannelBlock + part * kLanes);
                }
                PYCNN_UNROLL for (int i = 0; i < kRows; ++i) {
                    const Vec value = broadcast(v[i * kChannelBlock + c0 + c]);
                    PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
                        acc[i][part] += weight[part] * value;
                    }
                }
            }
        }
        PYCNN_UNROLL for (int i = 0; i < kRows; ++i) {
            PYCNN_UNROLL for (int part = 0; part < kVecs; ++part) {
                float* sum = m + i * kChannelBlock + part * kLanes;
                store(sum, first ? acc[i][part] : load(sum) + acc[i][part]);
            }
        }
        fetch += fetch_stride;
    }
}
using Multiply = void (*)(const float*, int64_t, const float*, int, bool, float*, int64_t,
                          const float*, int64_t);
struct Multiplies {
    template <int kRows>
    static constexpr Multiply kernel = multiply<kRows>;
};
constexpr auto kMultiply = by_rows<Multiply, Multiplies, kMaxRows>();

constexpr int kTaps = 9;
constexpr int kBlockElems = kChannelBlock * kChannelBlock;  // of one tap or point
constexpr int64_t kFetchAhead = 2;                          // blocks of input channels

// The products of a block of tiles and a block of output channels.
template <class A>
struct Products {
    using Filter = typename A::template PhaseOf<0>;
    static constexpr int kProducts = A::kProducts;

    const float* w;       // [blocks][tap][16][16]
    const float* next_w;  // of the next block of output channels, or null
    const float* v;
    float* m;
    float* u;
    int64_t blocks, tiles, v_stride, m_stride;

    // U of one block of input channels at the points of a group of rows.
    template <int kGroup, int kRows>
    void transform(const float* filters) const {
        for (int i = 0; i < kBlockElems; i += kLanes) {
            Vec rows[2][3];
            PYCNN_UNROLL for (int s = 0; s < 3; ++s) {
                Vec taps[3], out[2];
                PYCNN_UNROLL for (int r = 0; r < 3; ++r) {
                    taps[r] = load(filters + (r * 3 + s) * kBlockElems + i);
                }
                Filter::template filter_group<kGroup>(taps, out);
                PYCNN_UNROLL for (int r = 0; r < kRows; ++r) rows[r][s] = out[r];
            }
            PYCNN_UNROLL for (int r = 0; r < kRows; ++r) {
                Vec out[kProducts];
                Filter::filter(rows[r], out);
                PYCNN_UNROLL for (int j = 0; j < kProducts; ++j) {
                    store(u + (r * kProducts + j) * kBlockElems + i, out[j]);
                }
            }
        }
    }

    // The filters that this block's products fetch, or null: the first group of rows is who reads
    // them from memory.
    template <int kGroup>
    const float* ahead_of(int64_t block) const {
        const int64_t ahead = block + kFetchAhead;
        if (kGroup == 0 && ahead < blocks) return w + ahead * kTaps * kBlockElems;
        if (kGroup == Filter::kGroups - 1 && ahead >= blocks && next_w) {
            return next_w + (ahead - blocks) * kTaps * kBlockElems;
        }
        return nullptr;
    }

    // M at the points of a group of rows, then of the groups after it.
    template <int kGroup = 0>
    void run() const {
        if constexpr (kGroup < Filter::kGroups) {
            constexpr int kRows = Filter::group_product(kGroup, 1) < 0 ? 1 : 2;
            const Strips<kMaxRows> strips(tiles);
            for (int64_t block = 0; block < blocks; ++block) {
                const float* filters = w + block * kTaps * kBlockElems;
                const float* ahead = ahead_of<kGroup>(block);
                transform<kGroup, kRows>(filters);
                PYCNN_UNROLL for (int r = 0; r < kRows; ++r) {
                    const int64_t point = Filter::group_product(kGroup, r) * kProducts;
                    for (int64_t strip = 0; strip < strips.count; ++strip) {
                        const int64_t row = strips.begin[strip];
                        kMultiply.of_rows[strips.begin[strip + 1] - row - 1](
                            v + point * v_stride + (block * tiles + row) * kChannelBlock, v_stride,
                            u + r * kProducts * kBlockElems, kProducts, block == 0,
                            m + point * m_stride + row * kChannelBlock, m_stride,
                            ahead ? ahead + r * kProducts * kBlockElems : filters,
                            ahead ? kBlockElems : 0);
                    }
                }
            }
            run<kGroup + 1>();
        }
    }
};

template <class A>
void run(const ops::Conv2dArgs& a, int64_t begin, int64_t end) {
    constexpr int64_t kPoints = A::kProducts * A::kProducts;
    const ops::WinogradBlocks& cut = a.winograd;
    const int64_t out_blocks = cut.group_out_blocks, blocks = a.group_channels / kChannelBlock;
    const int64_t filters = blocks * kTaps * kBlockElems;  // of one block of output channels
    float* v = a.workspace;
    float* m = v + kPoints * cut.v_stride;
    float* u = m + kPoints * cut.m_stride;
    TileBlock tiles;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t group = unit / out_blocks / cut.count;
        const int64_t out_block = group * out_blocks + unit % out_blocks;
        if (unit % out_blocks == 0 || unit == begin) {
            find_tiles<A>(a, unit / out_blocks % cut.count, tiles);
            transform_inputs<A>(a, group, tiles, v);
        }
        const float* w = a.weights + out_block * filters;
        const float* next_w = unit + 1 < end ? w + filters : nullptr;
        Products<A>{w, next_w, v, m, u, blocks, tiles.count, cut.v_stride, cut.m_stride}.run();
        transform_outputs<A>(a, m, tiles, out_block);
    }
}

}  // namespace

// In the order of the enumerators of ops/conv2d.h.
extern const Kernel<ops::Conv2dArgs> kWinogradPlain[] = {
    run<Axis<4, 3>>,
    run<Axis<5, 3>>,
};

}  // namespace pycnn::cpu::PYCNN_ISA

#include "cpu/kernels/table.h"
#include "cpu/kernels/transpose.h"
#include "cpu/kernels/vec.h"
#include "ops/conv2d.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// Half as many numbers as a Vec has, in float64 and in float32.
constexpr int kDoubles = kLanes / 2;
constexpr int kParts = kChannelBlock / kDoubles;
typedef double Doubles __attribute__((vector_size(kDoubles * 8)));
typedef float Floats __attribute__((vector_size(kDoubles * 4)));

PYCNN_INLINE Doubles load_doubles(const float* p) {
    Floats v;
    std::memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Doubles);
}
PYCNN_INLINE void store_floats(float* p, Doubles value) {
    const Floats v = __builtin_convertvector(value, Floats);
    std::memcpy(p, &v, sizeof v);
}

constexpr int kMaxProducts = 9, kMaxFilter = 5;
constexpr int64_t kChannels = 16;  // that are transformed from one transposed part
constexpr int64_t kMaxColumns = kChannels * kMaxFilter * kMaxFilter;
constexpr int64_t kPrefetch = 128;  // columns ahead

// The filters of one block of 16 output channels: rows of channels x taps numbers.
struct Filters {
    const float* first;
    int64_t columns, lanes;
    const double* scale;  // of each, or null

    // to[j][16]: columns [begin, begin + count), scaled; lanes beyond the last filter are zero.
    void transpose_columns(int64_t begin, int64_t count, float* to) const {
        const float* row[kChannelBlock];
        for (int64_t k = 0; k < kChannelBlock; ++k) {
            row[k] = first + (k < lanes ? k : lanes - 1) * columns + begin;
        }
        int64_t j = 0;
        for (; j + kLanes <= count; j += kLanes) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                Vec tile[kLanes];
                PYCNN_UNROLL for (int k = 0; k < kLanes; ++k) {
                    tile[k] = load(row[v * kLanes + k] + j);
                    __builtin_prefetch(row[v * kLanes + k] + j + kPrefetch, 0, 2);
                }
                transpose(tile);
                PYCNN_UNROLL for (int i = 0; i < kLanes; ++i) {
                    store(to + (j + i) * kChannelBlock + v * kLanes, tile[i]);
                }
            }
        }
        for (; j < count; ++j) {
            for (int64_t k = 0; k < kChannelBlock; ++k) to[j * kChannelBlock + k] = row[k][j];
        }
        if (scale) multiply(count, to);
        for (int64_t k = lanes; k < kChannelBlock; ++k) {
            for (int64_t i = 0; i < count; ++i) to[i * kChannelBlock + k] = 0;
        }
    }

private:
    void multiply(int64_t count, float* to) const {
        double factor[kChannelBlock] = {};
        std::memcpy(factor, scale, static_cast<size_t>(lanes) * sizeof(double));
        PYCNN_UNROLL for (int part = 0; part < kParts; ++part) {
            Doubles by;
            std::memcpy(&by, factor + part * kDoubles, sizeof by);
            for (int64_t j = 0; j < count; ++j) {
                float* p = to + j * kChannelBlock + part * kDoubles;
                store_floats(p, load_doubles(p) * by);
            }
        }
    }
};

// [part of channels][tap][channel of the part][16]
void reorder(const ops::PackConv2dArgs& a, const Filters& filters, float* out) {
    constexpr int64_t kColumns = 128;
    alignas(64) float block[kColumns * kChannelBlock];
    int64_t part = 0, channel = 0, tap = 0;  // the channel's place in its part
    int64_t part_size = a.part_channels;
    for (int64_t j = 0; j < filters.columns; j += kColumns) {
        const int64_t count = filters.columns - j < kColumns ? filters.columns - j : kColumns;
        filters.transpose_columns(j, count, block);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t row = part * a.taps + tap * part_size + channel;
            std::memcpy(out + row * kChannelBlock, block + i * kChannelBlock,
                        kChannelBlock * sizeof(float));
            if (++tap < a.taps) continue;
            tap = 0;
            if (++channel < part_size) continue;
            channel = 0;
            part += part_size;
        }
    }
}

// U = G g G^T of one channel's filters [filter][filter][16], to [products][products] at `stride`.
PYCNN_INLINE void transform(const ops::PackConv2dArgs& a, const float* g, int64_t stride,
                            float* out) {
    const int n = a.products, r = a.filter;
    Doubles half[kMaxProducts][kMaxFilter][kParts];
    for (int i = 0; i < n; ++i) {
        for (int s = 0; s < r; ++s) {
            PYCNN_UNROLL for (int part = 0; part < kParts; ++part) {
                Doubles sum{};
                for (int k = 0; k < r; ++k) {
                    sum += a.transform[i * r + k] *
                           load_doubles(g + (k * r + s) * kChannelBlock + part * kDoubles);
                }
                half[i][s][part] = sum;
            }
        }
    }
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j, out += stride) {
            PYCNN_UNROLL for (int part = 0; part < kParts; ++part) {
                Doubles sum{};
                for (int k = 0; k < r; ++k) sum += a.transform[j * r + k] * half[i][k][part];
                store_floats(out + part * kDoubles, sum);
            }
        }
    }
}

// [product][product][channel][16]
void transform_all(const ops::PackConv2dArgs& a, const Filters& filters, float* out) {
    const int64_t taps = a.filter * a.filter;
    alignas(64) float part[kMaxColumns * kChannelBlock];
    for (int64_t c = 0; c < a.channels; c += kChannels) {
        const int64_t count = a.channels - c < kChannels ? a.channels - c : kChannels;
        filters.transpose_columns(c * taps, count * taps, part);
        for (int64_t i = 0; i < count; ++i) {
            transform(a, part + i * taps * kChannelBlock, a.channels * kChannelBlock,
                      out + (c + i) * kChannelBlock);
        }
    }
}

}  // namespace

void pack_conv2d(const ops::PackConv2dArgs& a, int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
        const int64_t k = block * kChannelBlock, columns = a.channels * a.taps;
        const Filters filters{a.weight + k * columns, columns,
                              a.filters - k < kChannelBlock ? a.filters - k : kChannelBlock,
                              a.scale ? a.scale + k : nullptr};
        float* out = a.out + block * a.block_elems;
        if (a.transform) {
            transform_all(a, filters, out);
        } else {
            reorder(a, filters, out);
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

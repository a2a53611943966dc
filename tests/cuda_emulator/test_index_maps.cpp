// The kernels' arithmetic on indices and bits, which is plain C++, tested by itself.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "cuda/kernels/conv2d_wgmma.h"
#include "cuda/kernels/fast_divide.h"
#include "harness.h"

namespace pycnn::cuda::test {
namespace {

void test_fast_divide() {
    bool ok = true;
    const auto check = [&](uint32_t n, uint32_t d) {
        uint32_t remainder;
        ok = ok && FastDivide(d).quotient(n, remainder) == n / d && remainder == n % d;
    };
    constexpr uint32_t kLimit = uint32_t{1} << 31;
    Random random;
    for (uint32_t d = 1; d < 3000; ++d) {
        for (uint32_t n : {0u, 1u, d - 1, d, d + 1, 7 * d - 1, 7 * d, kLimit - 1, kLimit - d}) {
            check(n, d);
        }
        for (int i = 0; i < 20; ++i) check(static_cast<uint32_t>(random.below(kLimit)), d);
    }
    for (int i = 0; i < 20000; ++i) {
        check(static_cast<uint32_t>(random.below(kLimit)),
              static_cast<uint32_t>(random.below(kLimit - 1) + 1));
    }
    check(kLimit - 1, kLimit - 1);
    report(ok, "fast_divide", "wrong quotient or remainder");
}

// Each conversion gives the nearest number of the format, and of two the even one.
void test_half() {
    using ToBits = uint16_t (*)(float);
    using ToFloat = float (*)(uint16_t);
    const std::tuple<const char*, ToBits, ToFloat, uint16_t> formats[] = {
        {"float16", float_to_float16, float16_to_float, 0x7C00},
        {"bfloat16", float_to_bfloat16, bfloat16_to_float, 0x7F80}};
    for (const auto& [format, to_bits, to_float, infinity] : formats) {
        bool round_trip = true, nearest = true;
        for (uint32_t b = 0; b <= 0xFFFF; ++b) {
            const auto bits = static_cast<uint16_t>(b);
            const float value = to_float(bits);
            if (std::isnan(value)) {
                round_trip = round_trip && std::isnan(to_float(to_bits(value)));
                continue;
            }
            round_trip = round_trip && to_bits(value) == bits;
            if ((bits & 0x7FFF) + 1 >= infinity) continue;
            // Between a number and the next one away from zero: halfway, and just beside it.
            const float next = to_float(static_cast<uint16_t>(bits + 1));
            const auto middle = static_cast<float>((static_cast<double>(value) + next) / 2);
            const auto even = static_cast<uint16_t>(bits + (bits & 1));
            nearest = nearest && to_bits(middle) == even &&
                      to_bits(std::nextafter(middle, value)) == bits &&
                      to_bits(std::nextafter(middle, next)) == bits + 1;
        }
        report(round_trip, format, "does not come back");
        report(nearest, format, "does not round to the nearest");
        report(to_bits(INFINITY) == infinity && to_bits(3.4e38f) == infinity, format,
               "overflow is not infinite");
    }
    report(round_to_tf32(1 + 0x1p-11f) == 1 + 0x1p-10f && round_to_tf32(1 + 0x1.8p-12f) == 1 &&
               round_to_tf32(-1 - 0x1p-11f) == -1 - 0x1p-10f && std::isnan(round_to_tf32(NAN)),
           "tf32", "wrong rounding");
}

ConvGeometry random_geometry(Random& random) {
    EffectiveConv conv{};
    const auto pick = [&](int64_t from, int64_t to) { return from + random.below(to - from + 1); };
    conv.weight = {pick(1, 4), pick(1, 9), pick(1, 4), pick(1, 4)};
    conv.x = {pick(1, 3), conv.weight.c, pick(4, 9), pick(4, 9)};
    conv.stride = {pick(1, 3), pick(1, 3)};
    conv.dilation = {pick(1, 2), pick(1, 2)};
    conv.padding = {pick(0, 2), pick(0, 2)};
    conv.p = pick(1, 5);
    conv.q = pick(1, 5);
    return conv_geometry(conv, 1);
}

// Against loops over n, p, q and r, s, c.
void test_im2col() {
    Random random;
    bool ok = true;
    for (int repeat = 0; repeat < 200; ++repeat) {
        const ConvGeometry g = random_geometry(random);
        for (int m = 0; m < g.gemm_m; ++m) {
            const int n = m / (g.p * g.q), p = m / g.q % g.p, q = m % g.q;
            const InputPixel row = input_pixel(g, m);
            for (int k = 0; k < g.gemm_k; ++k) {
                const int r = k / (g.s * g.c), s = k / g.c % g.s, c = k % g.c;
                const int h = p * g.stride_h - g.pad_top + r * g.dilation_h;
                const int w = q * g.stride_w - g.pad_left + s * g.dilation_w;
                const bool inside = h >= 0 && h < g.h && w >= 0 && w < g.w;
                const Tap tap = tap_at(g, k);
                ok = ok && tap.r == r && tap.s == s && tap.c == c;
                ok = ok && pixel_at(g, row, tap) == (inside ? (n * g.h + h) * g.w + w : -1);
                ok = ok && pixel_at(g, no_pixel(), tap) == -1;
            }
            ok = ok && pixel_at(g, row, tap_at(g, g.gemm_k)) == -1;
        }
        for (int by : {1, 4, 8, 16, 32}) {
            Tap tap = tap_at(g, 0);
            for (int k = by; k < 3 * g.gemm_k; k += by) {
                advance(tap, by, g);
                const Tap expected = tap_at(g, k);
                ok = ok && tap.r == expected.r && tap.s == expected.s && tap.c == expected.c;
            }
        }
    }
    report(ok, "im2col", "an element of A is read from elsewhere");
}

// Eight rows that are read at once lie in different groups of four banks.
template <class Offset>
bool without_conflicts(Offset offset) {
    std::set<int> places;
    for (int i = 0; i < 8; ++i) places.insert(offset(i) % 128 / kChunkBytes);
    return places.size() == 8;
}

void test_swizzles() {
    std::set<int> offsets;
    for (int row = 0; row < 128; ++row) {
        for (int chunk = 0; chunk < kRowChunks; ++chunk)
            offsets.insert(swizzled_offset(row, chunk));
    }
    report(offsets.size() == 128 * kRowChunks && *offsets.rbegin() < 128 * kStageRowBytes,
           "swizzle of 64 bytes", "two chunks in one place");
    bool ok = true;
    for (int step = 0; step < kRowChunks; step += 2) {
        for (int matrix = 0; matrix < 4; ++matrix) {
            ok = ok && without_conflicts([&](int i) {
                     const RowChunk a = a_fragment(8 * matrix + i);
                     return swizzled_offset(a.row, step + a.chunk);
                 });
            ok = ok && without_conflicts([&](int i) {
                     const RowChunk b = b_fragment(8 * matrix + i);
                     return swizzled_offset(b.row, step + b.chunk);
                 });
        }
    }
    report(ok, "swizzle of 64 bytes", "load_matrices meets itself in a bank");

    std::set<uint32_t> swizzled;
    bool inside = true;
    for (uint32_t offset = 0; offset < 4096; offset += 16) {
        swizzled.insert(swizzle_128(offset));
        inside = inside && swizzle_128(offset) / 128 == offset / 128;
    }
    report(swizzled.size() == 256 && inside, "swizzle of 128 bytes", "is no permutation of a row");
    for (uint32_t chunk = 0; chunk < 8; ++chunk) {
        report(
            without_conflicts([&](int i) {
                return static_cast<int>(swizzle_128(static_cast<uint32_t>(i) * 128 + chunk * 16));
            }),
            "swizzle of 128 bytes", "a column of chunks meets itself in a bank");
    }
}

// What matrix each register of a fragment comes from, as ptx.h says.
void test_fragments() {
    bool ok = true;
    for (int lane = 0; lane < 32; ++lane) {
        const int matrix = lane / 8, row = lane % 8;
        const RowChunk a = a_fragment(lane), b = b_fragment(lane);
        ok = ok && a.row == row + matrix % 2 * 8 && a.chunk == matrix / 2;
        ok = ok && b.row == row + matrix / 2 * 8 && b.chunk == matrix % 2;
        const RowColumn d = d_fragment(lane);
        ok = ok && d.row == lane / 4 && d.column == 2 * (lane % 4);
    }
    report(ok, "fragments", "a lane's part is not the one of ptx.h");
}

void test_descriptor() {
    const uint64_t d = matrix_descriptor(0x2C400);
    report((d & 0x3FFF) == 0x2C40 && (d >> 32 & 0x3FFF) == 64 && d >> 62 == 1 &&
               (d >> 49 & 0x1FFF) == 0,
           "matrix descriptor", "a field is not where the manual has it");
    report(((d + 3 * kDescriptorStep) & 0x3FFF) == 0x2C40 + 6, "matrix descriptor",
           "a step is not 32 bytes");
}

void test_stages_and_work() {
    Random random;
    for (int repeat = 0; repeat < 100; ++repeat) {
        const ConvGeometry g = random_geometry(random);
        const int depth = 4;
        const WgmmaStages stages = wgmma_stages(g, depth);
        std::map<std::tuple<int, int, int>, int> seen;
        for (int stage = 0; stage < stages.all; ++stage) {
            const StageTap tap = stage_tap(g, stages, depth, stage);
            for (int c = tap.c; c < std::min(tap.c + depth, g.c); ++c) {
                ++seen[{tap.r, tap.s, c}];
            }
        }
        bool ok = static_cast<int>(seen.size()) == g.gemm_k;
        for (const auto& [tap, times] : seen) ok = ok && times == 1;
        report(ok, "stages", "a tap is summed twice, or never");
    }
    const WorkList list{FastDivide(3), FastDivide(5), FastDivide(2), 3 * 5 * 2 * 4};
    std::set<std::tuple<int, int, int, int>> items;
    for (int i = 0; i < list.count; ++i) {
        const WorkItem item = work_item(list, i, 64);
        const bool inside = item.row % kWgmmaBlockM == 0 && item.row < 5 * kWgmmaBlockM &&
                            item.column % 64 == 0 && item.column < 3 * 64 && item.group < 2 &&
                            item.part < 4;
        report(inside, "work items", "beyond the matrix");
        items.insert({item.row, item.column, item.group, item.part});
    }
    report(static_cast<int>(items.size()) == list.count, "work items", "one is computed twice");

    RingPosition ring;
    bool ok = true;
    for (int i = 0; i < 30; ++i) {
        ok = ok && ring.slot == i % 4 && ring.parity == static_cast<uint32_t>(i / 4 % 2);
        ring.advance(4);
    }
    report(ok, "ring", "wrong slot or parity");

    ok = true;
    for (int64_t stages = 1; stages < 60; ++stages) {
        for (int64_t split = 1; split <= stages; ++split) {
            if (!splits(stages, split)) continue;
            const int64_t part = stages_per_part(stages, split);
            ok = ok && part * split >= stages && part * (split - 1) < stages;
        }
    }
    report(ok, "split", "a part is empty, or a stage is left out");
}

}  // namespace

void test_index_maps() {
    test_fast_divide();
    test_half();
    test_im2col();
    test_swizzles();
    test_fragments();
    test_descriptor();
    test_stages_and_work();
}

}  // namespace pycnn::cuda::test

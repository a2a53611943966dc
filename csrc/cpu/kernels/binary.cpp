#include "ops/binary.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// One operand as the output's pixels see it: strides are 0 where it is broadcast.
struct Operand {
    const float* data;
    int64_t image, block, row, pixel;
    bool one_channel;  // lane 0 stands for all

    PYCNN_INLINE Operand(const TensorView& t, const Shape& y)
        : data(t.data),
          image(t.shape.n == y.n ? t.image_stride : 0),
          block(t.shape.c == y.c ? t.block_stride : 0),
          row(t.shape.h == y.h ? t.row_stride : 0),
          pixel(t.shape.w == y.w ? t.pixel_stride : 0),
          one_channel(t.shape.c == 1 && y.c != 1) {}

    // The pixels of a whole plane follow each other at the same distance.
    PYCNN_INLINE bool is_one_row(const Shape& y) const { return row == y.w * pixel; }
    PYCNN_INLINE const float* at(int64_t n, int64_t b, int64_t h) const {
        return data + n * image + b * block + h * row;
    }
    PYCNN_INLINE Vec get(const float* p, int v) const {
        return one_channel ? broadcast(p[0]) : load(p + v * kLanes);
    }
};

template <class Function>
PYCNN_INLINE void apply(const ops::BinaryArgs& args, int64_t begin, int64_t end,
                        Function function) {
    const Shape& shape = args.y.shape;
    const Operand a(args.a, shape), b(args.b, shape);
    const bool with_relu = args.params.relu;
    const bool whole = has_dense_rows(args.y) && a.is_one_row(shape) && b.is_one_row(shape);
    const int64_t blocks = channel_blocks(args.y);
    const int64_t rows = whole ? 1 : shape.h, pixels = whole ? shape.h * shape.w : shape.w;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t block = unit % blocks, n = unit / blocks;
        for (int64_t h = 0; h < rows; ++h) {
            const float *from_a = a.at(n, block, h), *from_b = b.at(n, block, h);
            float* y = row_at(args.y, n, block, h);
            for (int64_t i = 0; i < pixels; ++i) {
                PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                    const Vec value = function(a.get(from_a, v), b.get(from_b, v));
                    store(y + v * kLanes, with_relu ? relu(value) : value);
                }
                from_a += a.pixel;
                from_b += b.pixel;
                y += kChannelBlock;
            }
        }
    }
}

}  // namespace

void binary(const ops::BinaryArgs& args, int64_t begin, int64_t end) {
    const float alpha = args.params.alpha, beta = args.params.beta;
    switch (args.params.kind) {
        case ops::BinaryKind::kAdd:
            return apply(args, begin, end, [=](Vec a, Vec b) { return alpha * a + beta * b; });
        case ops::BinaryKind::kMul:
            return apply(args, begin, end, [](Vec a, Vec b) { return a * b; });
        case ops::BinaryKind::kDiv:
            return apply(args, begin, end, [](Vec a, Vec b) { return a / b; });
        case ops::BinaryKind::kMax:
            return apply(args, begin, end, [](Vec a, Vec b) { return (a > b) | (a != a) ? a : b; });
        case ops::BinaryKind::kMin:
            return apply(args, begin, end, [](Vec a, Vec b) { return (a < b) | (a != a) ? a : b; });
        case ops::BinaryKind::kPrelu:
            return apply(args, begin, end, [](Vec a, Vec b) { return a < 0.0f ? a * b : a; });
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA

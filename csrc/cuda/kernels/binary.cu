#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

using ops::BinaryKind;

// One operand as y's pixels see it: strides are 0 where it is broadcast.
template <class T>
struct Operand {
    const T* data;
    int64_t image, row, pixel;
    int channel;

    Operand(const Tensor& t, const Shape& y)
        : data(static_cast<const T*>(t.data)),
          image(t.shape.n == y.n ? t.shape.h * t.shape.w * t.pitch : 0),
          row(t.shape.h == y.h ? t.shape.w * t.pitch : 0),
          pixel(t.shape.w == y.w ? t.pitch : 0),
          channel(t.shape.c == y.c ? 1 : 0) {}

    template <int kVector>
    __device__ void get(float (&to)[kVector], const Position& at, int c) const {
        const T* from = data + at.n * image + at.h * row + at.w * pixel;
        if (channel == 0) {
            const float value = to_float(*from);
#pragma unroll
            for (int i = 0; i < kVector; ++i) to[i] = value;
        } else {
            load<kVector>(to, from + c);
        }
    }
};

template <class T>
struct Arguments {
    Operand<T> a, b;
    T* y;
    int64_t y_pitch;
    Positions positions;
    BinaryKind kind;
    float alpha, beta;
    bool with_relu;

    __device__ float combine(float l, float r) const {
        switch (kind) {
            case BinaryKind::kAdd: return alpha * l + beta * r;
            case BinaryKind::kMul: return l * r;
            case BinaryKind::kDiv: return l / r;
            case BinaryKind::kMax: return max_keeping_nan(l, r);
            case BinaryKind::kMin: return min_keeping_nan(l, r);
            case BinaryKind::kPrelu: return l < 0.0f ? l * r : l;
        }
        return l;
    }
};

template <class T, int kVector>
__global__ void __launch_bounds__(kElementwiseThreads) binary_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.positions.count) return;
    const Position at = args.positions.at(index);
    const int c = static_cast<int>(at.vector) * kVector;
    float a[kVector], b[kVector];
    args.a.get(a, at, c);
    args.b.get(b, at, c);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
        const float value = args.combine(a[i], b[i]);
        a[i] = args.with_relu ? relu(value) : value;
    }
    store<kVector>(args.y + at.pixel * args.y_pitch + c, a);
}

}  // namespace

void launch_binary(const ops::BinaryParams& params, const BinaryArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const auto fits = [&](const Tensor& t) {
            return t.shape.c == 1 || are_vectors(args.dtype, t);
        };
        const bool whole = are_vectors(args.dtype, args.y) && fits(args.a) && fits(args.b);
        const Shape& shape = args.y.shape;
        const int64_t vectors = whole ? shape.c / kFullVector<T> : shape.c;
        const Arguments<T> arguments{Operand<T>(args.a, shape),
                                     Operand<T>(args.b, shape),
                                     static_cast<T*>(args.y.data),
                                     args.y.pitch,
                                     Positions(shape, vectors),
                                     params.kind,
                                     params.alpha,
                                     params.beta,
                                     params.relu};
        const auto kernel = whole ? binary_kernel<T, kFullVector<T>> : binary_kernel<T, 1>;
        launch(kernel, blocks_for(arguments.positions.count), kElementwiseThreads, 0, stream,
               arguments);
    });
}

}  // namespace pycnn::cuda

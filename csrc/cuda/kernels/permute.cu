#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    int64_t x_pitch, y_pitch;
    int rank;
    FastDivide sizes[ops::kPermuteMaxRank];  // of the transposed array
    uint32_t strides[ops::kPermuteMaxRank];  // its distances in x's plain order
    FastDivide x_height, x_width;
    Positions positions;  // of y
};

template <class T>
__global__ void __launch_bounds__(kElementwiseThreads) permute_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    const Positions& y = args.positions;
    if (index >= y.count) return;
    const Position at = y.at(index);
    const uint32_t c = at.vector;
    uint32_t rest = (c * y.height.divisor() + at.h) * y.width.divisor() + at.w, place = 0;
#pragma unroll
    for (int axis = ops::kPermuteMaxRank - 1; axis >= 0; --axis) {
        if (axis >= args.rank) continue;
        uint32_t along;
        rest = args.sizes[axis].quotient(rest, along);
        place += along * args.strides[axis];
    }
    uint32_t from_w, from_h;
    const uint32_t from_c = args.x_height.quotient(args.x_width.quotient(place, from_w), from_h);
    const int64_t row = static_cast<int64_t>(at.n) * args.x_height.divisor() + from_h;
    const int64_t from = (row * args.x_width.divisor() + from_w) * args.x_pitch + from_c;
    args.y[at.pixel * args.y_pitch + c] = args.x[from];
}

}  // namespace

void launch_permute(const ops::PermuteParams& params, const UnaryArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Shape &in = args.x.shape, &out = args.y.shape;
        Arguments<T> arguments{static_cast<const T*>(args.x.data),
                               static_cast<T*>(args.y.data),
                               args.x.pitch,
                               args.y.pitch,
                               static_cast<int>(params.dims.size()),
                               {},
                               {},
                               FastDivide(index32(in.h)),
                               FastDivide(index32(in.w)),
                               Positions(out, out.c)};
        for (size_t i = 0; i < params.dims.size(); ++i) {
            const auto axis = static_cast<size_t>(params.perm[i]);
            int64_t stride = 1;
            for (size_t j = axis + 1; j < params.dims.size(); ++j) stride *= params.dims[j];
            arguments.sizes[i] = FastDivide(index32(params.dims[axis]));
            arguments.strides[i] = index32(stride);
        }
        launch(permute_kernel<T>, blocks_for(arguments.positions.count), kElementwiseThreads, 0,
               stream, arguments);
    });
}

void launch_flatten(const UnaryArgs& args, const Stream& stream) {
    launch_permute({{args.y.shape.c}, {0}}, args, stream);
}

}  // namespace pycnn::cuda

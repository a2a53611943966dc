#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    const int32_t *channels, *rows, *columns;
    int64_t x_pitch, y_pitch;
    int x_height, x_width;
    Positions positions;  // of y
    float fill;
};

template <class T>
__global__ void __launch_bounds__(kElementwiseThreads) gather_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.positions.count) return;
    const Position at = args.positions.at(index);
    const uint32_t c = at.vector;
    const int from_c = args.channels[c], from_h = args.rows[at.h], from_w = args.columns[at.w];
    const bool outside = from_c < 0 || from_h < 0 || from_w < 0;
    const int64_t row = static_cast<int64_t>(at.n) * args.x_height + from_h;
    args.y[at.pixel * args.y_pitch + c] =
        outside ? from_float<T>(args.fill)
                : args.x[(row * args.x_width + from_w) * args.x_pitch + from_c];
}

}  // namespace

void launch_gather(const GatherArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Shape &in = args.x.shape, &out = args.y.shape;
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.indices,
                                     args.indices + out.c,
                                     args.indices + out.c + out.h,
                                     args.x.pitch,
                                     args.y.pitch,
                                     static_cast<int>(index32(in.h)),
                                     static_cast<int>(index32(in.w)),
                                     Positions(out, out.c),
                                     args.fill};
        launch(gather_kernel<T>, blocks_for(arguments.positions.count), kElementwiseThreads, 0,
               stream, arguments);
    });
}

}  // namespace pycnn::cuda

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/warp.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    const float* weights;
    int64_t x_pitch, y_pitch;
    int in_features;
    FastDivide out_features;
    uint32_t count;
};

// A warp for each output.
template <class T>
__global__ void __launch_bounds__(kElementwiseThreads) rbf_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work<kWarp>();
    if (index >= args.count) return;  // the whole warp
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    uint32_t k;
    const int64_t n = args.out_features.quotient(index, k);
    const T* x = args.x + n * args.x_pitch;
    const float* w = args.weights + static_cast<int64_t>(k) * args.in_features;
    float sum = 0.0f;
    for (int j = lane; j < args.in_features; j += kWarp) {
        const float difference = to_float(x[j]) - w[j];
        sum += difference * difference;
    }
    sum = warp_sum(sum);
    if (lane == 0) args.y[n * args.y_pitch + k] = from_float<T>(-sum);
}

}  // namespace

void launch_rbf(const RbfArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Shape& out = args.y.shape;
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.weights,
                                     args.x.pitch,
                                     args.y.pitch,
                                     static_cast<int>(index32(args.x.shape.c)),
                                     FastDivide(index32(out.c)),
                                     index32(out.n * out.c)};
        launch(rbf_kernel<T>, blocks_for(out.n * out.c * kWarp), kElementwiseThreads, 0, stream,
               arguments);
    });
}

}  // namespace pycnn::cuda

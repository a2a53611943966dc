#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/warp.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    int64_t x_pitch, y_pitch;
    int channels;
    uint32_t pixels;
    bool log;
};

// A warp for each pixel. The exponentials are computed twice rather than kept as 16-bit numbers.
template <class T>
__global__ void __launch_bounds__(kElementwiseThreads) softmax_kernel(const Arguments<T> args) {
    const uint32_t pixel = begin_work<kWarp>();
    if (pixel >= args.pixels) return;  // the whole warp
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const T* x = args.x + pixel * args.x_pitch;
    T* y = args.y + pixel * args.y_pitch;
    float largest = -INFINITY;
    for (int c = lane; c < args.channels; c += kWarp) {
        largest = max_keeping_nan(largest, to_float(x[c]));
    }
    largest = warp_max(largest);
    float sum = 0.0f;
    for (int c = lane; c < args.channels; c += kWarp) sum += expf(to_float(x[c]) - largest);
    sum = warp_sum(sum);
    const float log_sum = logf(sum);
    for (int c = lane; c < args.channels; c += kWarp) {
        const float value = to_float(x[c]) - largest;
        y[c] = from_float<T>(args.log ? value - log_sum : expf(value) / sum);
    }
}

}  // namespace

void launch_softmax(const ops::SoftmaxParams& params, const UnaryArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.x.pitch,
                                     args.y.pitch,
                                     static_cast<int>(index32(args.y.shape.c)),
                                     index32(pixels(args.y)),
                                     params.log};
        launch(softmax_kernel<T>, blocks_for(pixels(args.y) * kWarp), kElementwiseThreads, 0,
               stream, arguments);
    });
}

}  // namespace pycnn::cuda

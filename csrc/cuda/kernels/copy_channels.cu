#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    int64_t x_pitch, y_pitch;
    int x_height, x_width, x_channels, offset, stride;
    int first;            // channel of y that the first thread of a pixel writes
    Positions positions;  // of y
};

// A thread writes kVector channels of y; those that x has none for are zero.
template <class T, int kVector>
__global__ void __launch_bounds__(kElementwiseThreads)
    copy_channels_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.positions.count) return;
    const Position at = args.positions.at(index);
    const int to = args.first + static_cast<int>(at.vector) * kVector, from = to - args.offset;
    const int64_t row = static_cast<int64_t>(at.n) * args.x_height + at.h * args.stride;
    const T* x = args.x + (row * args.x_width + at.w * args.stride) * args.x_pitch;
    using Whole = Vector<T, kVector>;
    Whole value{};
    if (from >= 0 && from < args.x_channels) value = *reinterpret_cast<const Whole*>(x + from);
    *reinterpret_cast<Whole*>(args.y + at.pixel * args.y_pitch + to) = value;
}

}  // namespace

void launch_copy_channels(const ops::CopyChannelsParams& params, const UnaryArgs& args,
                          const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Shape &in = args.x.shape, &out = args.y.shape;
        const bool whole = are_vectors(args.dtype, args.x) && is_aligned(args.y, args.dtype) &&
                           params.offset % kFullVector<T> == 0 &&
                           (!params.fill || out.c % kFullVector<T> == 0);
        const int64_t written = params.fill ? out.c : in.c;
        const int64_t vectors = whole ? written / kFullVector<T> : written;
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.x.pitch,
                                     args.y.pitch,
                                     static_cast<int>(index32(in.h)),
                                     static_cast<int>(index32(in.w)),
                                     static_cast<int>(index32(in.c)),
                                     static_cast<int>(index32(params.offset)),
                                     static_cast<int>(index32(params.stride)),
                                     static_cast<int>(params.fill ? 0 : params.offset),
                                     Positions(out, vectors)};
        const auto kernel =
            whole ? copy_channels_kernel<T, kFullVector<T>> : copy_channels_kernel<T, 1>;
        launch(kernel, blocks_for(arguments.positions.count), kElementwiseThreads, 0, stream,
               arguments);
    });
}

}  // namespace pycnn::cuda

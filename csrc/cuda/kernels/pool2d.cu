#include <algorithm>
#include <cfloat>

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/warp.h"

namespace pycnn::cuda {
namespace {

// From so many pixels on a warp shares a window: a global average at batch 1 has few outputs.
constexpr int64_t kSharedWindow = 32;

struct Axis {
    int kernel, stride, before, after, size;
};
struct Window {
    int begin, end;  // inside the input
    int padded;      // length inside the padded input
};
__device__ __forceinline__ Window window(const Axis& axis, int out) {
    const int begin = out * axis.stride - axis.before;
    const int padded_end = min(begin + axis.kernel, axis.size + axis.after);
    return {max(begin, 0), min(padded_end, axis.size), padded_end - begin};
}

template <class T>
struct Arguments {
    const T* x;
    T* y;
    int64_t x_pitch, y_pitch;
    Axis vertical, horizontal;
    Positions positions;  // of y
    bool is_max, count_include_pad;
};

__device__ __forceinline__ float combine(bool is_max, float a, float b) {
    return is_max ? max_keeping_nan(a, b) : a + b;
}

// kLanes threads share an output vector's window, and lane 0 has the result.
template <class T, int kVector, int kLanes>
__global__ void __launch_bounds__(kElementwiseThreads) pool2d_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work<kLanes>();
    if (index >= args.positions.count) return;  // whole warps where a warp shares a window
    const Position at = args.positions.at(index);
    const int c = static_cast<int>(at.vector) * kVector;
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const Window h = window(args.vertical, static_cast<int>(at.h));
    const Window w = window(args.horizontal, static_cast<int>(at.w));
    const int height = h.end - h.begin, width = w.end - w.begin;
    const bool empty = height <= 0 || width <= 0;

    float sum[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
        sum[i] = !args.is_max ? 0.0f : empty ? -FLT_MAX : -INFINITY;
    }
    const int64_t first_row = static_cast<int64_t>(at.n) * args.vertical.size + h.begin;
    const T* corner = args.x + (first_row * args.horizontal.size + w.begin) * args.x_pitch + c;
    if (!empty) {
        int r = 0, s = lane;
        for (;;) {
            for (; s >= width; s -= width) ++r;
            if (r >= height) break;
            float value[kVector];
            const int64_t pixel = static_cast<int64_t>(r) * args.horizontal.size + s;
            load<kVector>(value, corner + pixel * args.x_pitch);
#pragma unroll
            for (int i = 0; i < kVector; ++i) sum[i] = combine(args.is_max, sum[i], value[i]);
            s += kLanes;
        }
    }
    if constexpr (kLanes > 1) {
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
            for (int mask = kLanes / 2; mask > 0; mask /= 2) {
                sum[i] = combine(args.is_max, sum[i], __shfl_xor_sync(~0u, sum[i], mask));
            }
        }
        if (lane != 0) return;
    }
    if (!args.is_max && !empty) {
        const int area = args.count_include_pad ? h.padded * w.padded : height * width;
#pragma unroll
        for (int i = 0; i < kVector; ++i) sum[i] /= static_cast<float>(area);
    }
    store<kVector>(args.y + at.pixel * args.y_pitch + c, sum);
}

Axis axis(const ops::Pool2dParams& p, int which, int64_t size) {
    const auto narrow = [](int64_t value) { return static_cast<int>(index32(value)); };
    return {narrow(p.kernel_size[which]), narrow(p.stride[which]), narrow(p.padding[2 * which]),
            narrow(p.padding[2 * which + 1]), narrow(size)};
}

template <class T, int kVector>
void launch_vectors(const Arguments<T>& args, int64_t window_pixels, const Stream& stream) {
    const bool shared = window_pixels >= kSharedWindow;
    const auto kernel = shared ? pool2d_kernel<T, kVector, kWarp> : pool2d_kernel<T, kVector, 1>;
    const int64_t threads = static_cast<int64_t>(args.positions.count) * (shared ? kWarp : 1);
    launch(kernel, blocks_for(threads), kElementwiseThreads, 0, stream, args);
}

}  // namespace

void launch_pool2d(const ops::Pool2dParams& p, const UnaryArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const Shape &in = args.x.shape, &out = args.y.shape;
        const bool whole = are_vectors(args.dtype, args.x, args.y);
        const int64_t vectors = whole ? out.c / kFullVector<T> : out.c;
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.x.pitch,
                                     args.y.pitch,
                                     axis(p, 0, in.h),
                                     axis(p, 1, in.w),
                                     Positions(out, vectors),
                                     p.kind == ops::PoolKind::kMax,
                                     p.count_include_pad};
        const int64_t window_pixels =
            std::min(p.kernel_size[0], in.h) * std::min(p.kernel_size[1], in.w);
        if (whole) {
            launch_vectors<T, kFullVector<T>>(arguments, window_pixels, stream);
        } else {
            launch_vectors<T, 1>(arguments, window_pixels, stream);
        }
    });
}

}  // namespace pycnn::cuda

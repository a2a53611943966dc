#include <algorithm>

#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

// A tile goes through shared memory, so that reads and writes both follow memory; a column more
// than it needs, so that they do not meet in the same bank.
constexpr int kTile = 32, kRowsAtOnce = kElementwiseThreads / kTile;

// N matrices (rows, columns) become (columns, rows).
template <class From, class To>
struct Arguments {
    const From* from;
    To* to;
    int64_t from_image, from_pitch, to_image, to_pitch;
    int rows, columns, column_tiles;
};

template <class From, class To>
__global__ void __launch_bounds__(kElementwiseThreads)
    transpose_kernel(const Arguments<From, To> args) {
    wait_for_previous_kernel();
    let_next_kernel_start();
    auto* tile = static_cast<float (*)[kTile + 1]>(dynamic_shared());
    const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
    const int row = static_cast<int>(blockIdx.x) / args.column_tiles * kTile;
    const int column = static_cast<int>(blockIdx.x) % args.column_tiles * kTile;
    const From* from = args.from + blockIdx.y * args.from_image;
    To* to = args.to + blockIdx.y * args.to_image;
    for (int i = y; i < kTile; i += kRowsAtOnce) {
        if (row + i < args.rows && column + x < args.columns) {
            tile[i][x] = to_float(from[(row + i) * args.from_pitch + column + x]);
        }
    }
    __syncthreads();
    for (int i = y; i < kTile; i += kRowsAtOnce) {
        if (column + i < args.columns && row + x < args.rows) {
            to[(column + i) * args.to_pitch + row + x] = from_float<To>(tile[x][i]);
        }
    }
}

template <class From, class To>
void launch_transpose(Arguments<From, To> args, int64_t images, const Stream& stream) {
    constexpr int64_t kMaxGridY = 65535;
    const int64_t row_tiles = divide_round_up(args.rows, kTile);
    args.column_tiles = static_cast<int>(divide_round_up(args.columns, kTile));
    for (int64_t done = 0; done < images; done += kMaxGridY) {
        const dim3 grid(index32(row_tiles * args.column_tiles),
                        static_cast<unsigned>(std::min(kMaxGridY, images - done)));
        launch(transpose_kernel<From, To>, grid, kElementwiseThreads,
               static_cast<int64_t>(sizeof(float)) * kTile * (kTile + 1), stream, args);
        args.from += kMaxGridY * args.from_image;
        args.to += kMaxGridY * args.to_image;
    }
}

}  // namespace

void launch_nchw_to_nhwc(const LayoutArgs& args, const Stream& stream) {
    with_storage(args.nchw_dtype, [&](auto nchw) {
        with_storage(args.nhwc_dtype, [&](auto nhwc) {
            const Tensor& t = args.nhwc;
            const int64_t plane = t.shape.h * t.shape.w;
            launch_transpose<decltype(nchw), decltype(nhwc)>(
                {static_cast<const decltype(nchw)*>(args.nchw),
                 static_cast<decltype(nhwc)*>(t.data), t.shape.c * plane, plane, plane * t.pitch,
                 t.pitch, static_cast<int>(index32(t.shape.c)), static_cast<int>(index32(plane)),
                 0},
                t.shape.n, stream);
        });
    });
}

void launch_nhwc_to_nchw(const LayoutArgs& args, const Stream& stream) {
    with_storage(args.nchw_dtype, [&](auto nchw) {
        with_storage(args.nhwc_dtype, [&](auto nhwc) {
            const Tensor& t = args.nhwc;
            const int64_t plane = t.shape.h * t.shape.w;
            launch_transpose<decltype(nhwc), decltype(nchw)>(
                {static_cast<const decltype(nhwc)*>(t.data),
                 static_cast<decltype(nchw)*>(args.nchw), plane * t.pitch, t.pitch,
                 t.shape.c * plane, plane, static_cast<int>(index32(plane)),
                 static_cast<int>(index32(t.shape.c)), 0},
                t.shape.n, stream);
        });
    });
}

}  // namespace pycnn::cuda

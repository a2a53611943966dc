// Stands in for csrc/cuda/kernels/launch.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <functional>
#include <tuple>
#include <utility>

#include "cuda/kernels.h"

namespace pycnn::cuda {

// Whoever links the kernels says when a stream's work is done.
void queue_work(CUstream_st* stream, std::function<void()> work);

template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, int threads, int64_t shared_bytes,
            const Stream& stream, const Args&... args) {
    const emulator::LaunchShape shape{grid, dim3(static_cast<unsigned>(threads)), shared_bytes};
    queue_work(stream.handle, [=, values = std::tuple<std::remove_const_t<Params>...>(args...)] {
        emulator::run(shape, [&] { std::apply(kernel, values); });
    });
}

}  // namespace pycnn::cuda

// The driver's functions that make tensor maps, found at run time: libcuda is never linked, so that
// the package imports where there is no driver.
#include <cuda.h>

#include "cuda/check.h"
#include "cuda/kernels.h"

namespace pycnn::cuda {
namespace {

template <class Function>
Function* driver_function(const char* name) {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    // The versions from which on these functions are as they are called here.
    CUDA_CHECK(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result));
    PYCNN_CHECK(result == cudaDriverEntryPointSuccess && found != nullptr, DeviceError,
                "CUDA: the driver has no ", name, ", which GPUs of compute capability 9.0 need");
    return reinterpret_cast<Function*>(found);
}

CUtensorMapDataType data_type(DType dtype) {
    switch (dtype) {
        case DType::kFloat32: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
        case DType::kTf32: return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
        case DType::kFloat16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
        case DType::kBfloat16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    }
    throw DeviceError("CUDA: unknown dtype of a tensor map");
}

}  // namespace

void encode_tensor_map(const TensorMapSpec& spec, void* map) {
    static auto* const tiled =
        driver_function<decltype(cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
    static auto* const im2col =
        driver_function<decltype(cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
    const auto rank = static_cast<cuuint32_t>(spec.rank);
    void* const address = const_cast<void*>(spec.address);  // the driver only notes it
    cuuint64_t sizes[5] = {}, strides[4] = {};
    for (int i = 0; i < spec.rank; ++i) sizes[i] = static_cast<cuuint64_t>(spec.sizes[i]);
    for (int i = 0; i + 1 < spec.rank; ++i) {
        strides[i] = static_cast<cuuint64_t>(spec.stride_bytes[i]);
    }
    auto* const out = static_cast<CUtensorMap*>(map);
    const CUresult result =
        spec.im2col
            ? im2col(out, data_type(spec.dtype), rank, address, sizes, strides, spec.lower_corner,
                     spec.upper_corner, spec.channels_per_pixel, spec.pixels_per_column,
                     spec.element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                     CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                     CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
            : tiled(out, data_type(spec.dtype), rank, address, sizes, strides, spec.box,
                    spec.element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                    CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    PYCNN_CHECK(result == CUDA_SUCCESS, DeviceError,
                "CUDA: ", spec.im2col ? "cuTensorMapEncodeIm2col" : "cuTensorMapEncodeTiled",
                " failed with error ", static_cast<int>(result));
}

}  // namespace pycnn::cuda

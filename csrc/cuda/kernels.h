// The device kernels: what each op takes, and the function that launches it. Plain C++: the
// program and the bindings include it without CUDA's headers.
//
// All is checked before it comes here (csrc/ops), as for the CPU's kernels; a launcher throws
// DeviceError where the launch itself fails. Pointers are device pointers; a launcher allocates
// nothing, waits for nothing, and may be captured into a graph. Results are the same bits from run
// to run for the same shapes and plan.
//
// Layout: NHWC. A Tensor may be a slice of the channels of a larger one (a concatenation written in
// place): `data` then points to its first channel and `pitch` is the larger one's. What lies
// between C and the pitch is neither read nor written. Every op takes any alignment and any number
// of channels, and is fast where is_aligned().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/tensor.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/binary.h"
#include "ops/channel_affine.h"
#include "ops/conv2d.h"
#include "ops/copy_channels.h"
#include "ops/lrn.h"
#include "ops/permute.h"
#include "ops/pool2d.h"
#include "ops/softmax.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it

namespace pycnn::cuda {

// What is stored and how products are made; sums are float32 always.
enum class DType {
    kFloat32,  // strict
    kTf32,     // stored as float32, multiplied in convolutions with 10 bits of mantissa
    kFloat16,
    kBfloat16,
};

constexpr int64_t storage_bytes(DType dtype) {
    return dtype == DType::kFloat32 || dtype == DType::kTf32 ? 4 : 2;
}

// Kernels read and write this many bytes at a time where they can.
inline constexpr int64_t kVectorBytes = 16;

// Channels of one such access.
constexpr int64_t vector_elems(DType dtype) { return kVectorBytes / storage_bytes(dtype); }

struct Tensor {
    void* data = nullptr;
    Shape shape;
    int64_t pitch = 0;  // elements from one pixel to the next, at least shape.c
};

constexpr bool is_aligned(int64_t byte_offset, int64_t pitch, DType dtype) {
    return byte_offset % kVectorBytes == 0 && pitch % vector_elems(dtype) == 0;
}
inline bool is_aligned(const Tensor& t, DType dtype) {
    return is_aligned(static_cast<int64_t>(reinterpret_cast<uintptr_t>(t.data) % kVectorBytes),
                      t.pitch, dtype);
}

struct Stream {
    CUstream_st* handle = nullptr;
    // Programmatic dependent launch: a kernel may start while the one before it in the stream
    // drains, and waits for it itself. Compute capability 9.0 and later only.
    bool overlap = false;
};

// What the choice of algorithm needs to know of the machine; cudaDeviceProp has it all.
struct Device {
    int major = 8, minor = 0;  // compute capability
    int sm_count = 108;
    int64_t max_shared_bytes = 99 << 10;  // sharedMemPerBlockOptin
};

// --- conv2d; a linear layer is a 1x1 convolution of x (N,C,1,1) ---
//
// A linear layer on a flattened (N,C,H,W) is the convolution of x with the weights seen as
// (K,C,H,W), without padding: no flatten, no copy.

enum class ConvAlgorithm {
    kDirect,     // a thread per output; anything; the reference
    kDepthwise,  // one input and one output channel per group
    kGemmSimt,   // implicit GEMM, fused multiply-adds; float32
    kGemmMma,    // implicit GEMM on tensor cores, mma.sync; tf32, float16, bfloat16; from 8.0
    kGemmWgmma,  // implicit GEMM on tensor cores, wgmma and TMA; the same dtypes; 9.0 only
};
inline constexpr int kConvAlgorithms = 5;
const char* algorithm_name(ConvAlgorithm algorithm);

// How the weights are stored; equal packings can share one copy. It depends on the layer alone, not
// on the shape of x, unless `aligned` does.
struct ConvPacking {
    DType dtype = DType::kFloat32;
    bool depthwise = false;  // [r][s][k], else [k][r][s][c]
    // 0: x is read where it lies. Else it is first copied to the workspace, from NHWC or from plain
    // float32 NCHW, with its channels padded to whole vectors and, where fold > 1, with fold x fold
    // pixels made one (space to depth): a convolution of stride `fold` becomes one of stride 1 with
    // more channels.
    int64_t fold = 0;
    bool operator==(const ConvPacking&) const = default;
};

struct ConvProblem {
    DType dtype = DType::kFloat32;
    ops::Conv2dParams params;  // its `algorithm` is the CPU's and not looked at
    Shape x, weight;           // weight (K,C/G,R,S)
    bool x_nchw = false;       // x is plain float32 NCHW (a network's input); needs groups == 1
    bool aligned = true;       // is_aligned(x), of an NHWC x
};

// All that is decided about one convolution. A pure function of the problem and the device makes
// it; a test may alter tile and split_k.
struct ConvPlan {
    ConvProblem problem;
    ConvAlgorithm algorithm = ConvAlgorithm::kDirect;
    ConvPacking packing;
    int tile = 0;     // a row of the algorithm's table (kernels/conv2d_tiles.h)
    int split_k = 1;  // parts of the sum that are computed side by side, then added in order
    int sm_count = 1;
};

// Throws UnsupportedError when a forced algorithm cannot do it.
ConvPlan conv2d_select(const ConvProblem& problem, const Device& device,
                       std::optional<ConvAlgorithm> forced = std::nullopt);

// Scratch of one call, to be aligned to 256 bytes.
int64_t conv2d_workspace_bytes(const ConvPlan& plan);

// The weights' bytes as they are copied to the device. `weight` is dense float32 (K,C/G,R,S);
// `scale`, where not null, K factors of the filters (a batch norm that was folded). The bias is
// copied as it is: float32 (K).
std::vector<std::byte> conv2d_pack(const ConvPlan& plan, const float* weight,
                                   const double* scale = nullptr);
int64_t conv2d_packed_bytes(const ConvPlan& plan);

struct ConvArgs {
    ConvPlan plan;
    const void* x = nullptr;        // NHWC of plan.problem.dtype, or NCHW float32
    int64_t x_pitch = 0;            // of an NHWC x
    const void* weights = nullptr;  // conv2d_pack's
    const float* bias = nullptr;    // (K), or null
    Tensor residual;                // data is null without one
    Tensor y;                       // (N,K,P,Q)
    void* workspace = nullptr;
};
void launch_conv2d(const ConvArgs& args, const Stream& stream);

// --- tensor maps ---
//
// What cuTensorMapEncodeTiled or cuTensorMapEncodeIm2col is given, in its own order (innermost
// first). `encode_tensor_map` is csrc/cuda/tensor_map.cpp's, since it needs the driver's entry
// point; `map` is a CUtensorMap.
struct TensorMapSpec {
    DType dtype =
        DType::kFloat16;  // kTf32 is CU_TENSOR_MAP_DATA_TYPE_TFLOAT32: rounds when loading
    const void* address = nullptr;
    int rank = 0;
    int64_t sizes[5] = {};
    int64_t stride_bytes[4] = {};  // of the dimensions from the second on
    uint32_t element_strides[5] = {1, 1, 1, 1, 1};
    bool im2col = false;
    uint32_t box[5] = {};                            // tiled
    int lower_corner[3] = {}, upper_corner[3] = {};  // im2col: w, h
    uint32_t channels_per_pixel = 0, pixels_per_column = 0;
    // Always: swizzle of 128 bytes, no interleave, L2 promotion of 128 bytes, fill with zeros.
};
void encode_tensor_map(const TensorMapSpec& spec, void* map);

// --- the other ops: params as on the CPU (csrc/ops/<op>.h), tensors NHWC of one dtype ---

struct UnaryArgs {
    DType dtype = DType::kFloat32;
    Tensor x, y;
};
void launch_pool2d(const ops::Pool2dParams& params, const UnaryArgs& args, const Stream& stream);
void launch_lrn(const ops::LrnParams& params, const UnaryArgs& args, const Stream& stream);
void launch_activation(const ops::ActivationParams& params, const UnaryArgs& args,
                       const Stream& stream);
void launch_softmax(const ops::SoftmaxParams& params, const UnaryArgs& args, const Stream& stream);
void launch_copy_channels(const ops::CopyChannelsParams& params, const UnaryArgs& args,
                          const Stream& stream);
void launch_permute(const ops::PermuteParams& params, const UnaryArgs& args, const Stream& stream);
// y (N,C*H*W,1,1), in the order c, h, w.
void launch_flatten(const UnaryArgs& args, const Stream& stream);

struct BinaryArgs {
    DType dtype = DType::kFloat32;
    Tensor a, b, y;
};
void launch_add(const ops::AddParams& params, const BinaryArgs& args, const Stream& stream);
// Operands are broadcast along N, C, H or W where their size is 1; a constant is a tensor.
void launch_binary(const ops::BinaryParams& params, const BinaryArgs& args, const Stream& stream);

struct ChannelAffineArgs {
    DType dtype = DType::kFloat32;
    Tensor x, y;
    const float *scale = nullptr, *shift = nullptr;  // (C)
};
void launch_channel_affine(const ops::ChannelAffineParams& params, const ChannelAffineArgs& args,
                           const Stream& stream);

struct GatherArgs {
    DType dtype = DType::kFloat32;
    Tensor x, y;
    const int32_t* indices = nullptr;  // y's C of channels, then H of rows, then W of columns
    float fill = 0.0f;
};
void launch_gather(const GatherArgs& args, const Stream& stream);

struct RbfArgs {
    DType dtype = DType::kFloat32;
    Tensor x, y;                     // (N,C,1,1), (N,K,1,1)
    const float* weights = nullptr;  // (K,C)
};
void launch_rbf(const RbfArgs& args, const Stream& stream);

// Between a dense NCHW tensor of any dtype and an NHWC one of any dtype.
struct LayoutArgs {
    DType nchw_dtype = DType::kFloat32, nhwc_dtype = DType::kFloat32;
    void* nchw = nullptr;
    Tensor nhwc;
};
void launch_nchw_to_nhwc(const LayoutArgs& args, const Stream& stream);
void launch_nhwc_to_nchw(const LayoutArgs& args, const Stream& stream);

}  // namespace pycnn::cuda

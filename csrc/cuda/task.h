// One step of a device program: a launch of one op, with the tensors that it reads and writes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace pycnn::cuda {

// Where a tensor lies while a program runs: bytes into one of its buffers (0 is the arena, then the
// inputs, then the outputs). A pitch of 0 is a dense NCHW tensor, as inputs and outputs are.
struct TensorRef {
    int buffer = 0;
    int64_t offset_bytes = 0;
    Shape shape;
    int64_t pitch = 0;
    DType dtype = DType::kFloat32;
};

// Device memory that plans share: packed weights, biases, constants, indices.
using DeviceArray = std::shared_ptr<const DeviceBuffer>;

// A copy of host memory. `what` names it in errors.
DeviceArray upload(const void* data, int64_t bytes, const std::string& what);
// Plain float32 (N,C,H,W) as a dense NHWC tensor of a dtype.
DeviceArray upload_tensor(const float* values, const Shape& shape, DType dtype);

struct Addresses {
    std::byte* const* buffers;
    std::byte* workspace;
    std::byte* of(const TensorRef& ref) const { return buffers[ref.buffer] + ref.offset_bytes; }
};

struct Task {
    std::vector<TensorRef> tensors;
    int64_t workspace_bytes = 0;
    std::function<void(const Addresses&, const Stream&)> launch;
};

// Shapes and parameters were checked where the graph's shapes were inferred (csrc/ops); these check
// that the tensors are of one dtype and in the layout that the op takes.
Task conv2d_task(const ConvPlan& plan, const TensorRef& x, DeviceArray weights, DeviceArray bias,
                 const std::optional<TensorRef>& residual, const TensorRef& y);
Task pool2d_task(const ops::Pool2dParams& params, const TensorRef& x, const TensorRef& y);
Task lrn_task(const ops::LrnParams& params, const TensorRef& x, const TensorRef& y);
Task activation_task(const ops::ActivationParams& params, const TensorRef& x, const TensorRef& y);
Task softmax_task(const ops::SoftmaxParams& params, const TensorRef& x, const TensorRef& y);
Task copy_channels_task(const ops::CopyChannelsParams& params, const TensorRef& x,
                        const TensorRef& y);
Task permute_task(const ops::PermuteParams& params, const TensorRef& x, const TensorRef& y);
Task flatten_task(const TensorRef& x, const TensorRef& y);
Task add_task(const ops::AddParams& params, const TensorRef& a, const TensorRef& b,
              const TensorRef& y);
// The operand that is not given is the constant, a dense NHWC tensor of `constant_shape`.
Task binary_task(const ops::BinaryParams& params, const std::optional<TensorRef>& a,
                 const std::optional<TensorRef>& b, DeviceArray constant,
                 const Shape& constant_shape, const TensorRef& y);
Task channel_affine_task(const ops::ChannelAffineParams& params, const TensorRef& x,
                         DeviceArray scale, DeviceArray shift, const TensorRef& y);
Task gather_task(DeviceArray indices, float fill, const TensorRef& x, const TensorRef& y);
Task rbf_task(const TensorRef& x, DeviceArray weights, const TensorRef& y);
// One of the two is dense NCHW.
Task layout_task(const TensorRef& x, const TensorRef& y);

}  // namespace pycnn::cuda

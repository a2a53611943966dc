// One run of each kernel at a geometry of the networks, for callgrind to count its instructions:
// benchmarks/instructions.py builds and runs this. One thread, the instruction set in use.
#include <string>
#include <valgrind/callgrind.h>
#include <vector>

#include "ops/add.h"
#include "ops/layout.h"
#include "ops/linear.h"
#include "ops/lrn.h"
#include "ops/pool2d.h"
#include "ops/softmax.h"
#include "program/program.h"

namespace pycnn {
namespace {

// Buffer 0 is the arena, empty here; then come the inputs and the output.
TensorRef ref(int buffer, const Shape& shape, Layout layout = Layout::kNchw16c) {
    return {buffer, 0, make_view(shape, layout, 0)};
}

void count(const std::string& name, const std::vector<TensorRef>& inputs, const TensorRef& output,
           TaskPtr task) {
    auto elems = [](const TensorRef& tensor) {
        return storage_elems(tensor.view.shape, tensor.view.layout);
    };
    std::vector<int64_t> sizes;
    std::vector<AlignedBuffer> buffers;
    std::vector<const float*> pointers;
    for (const TensorRef& input : inputs) {
        sizes.push_back(elems(input));
        AlignedBuffer& buffer = buffers.emplace_back(sizes.back());
        std::fill_n(buffer.data(), sizes.back(), 0.5f);
        pointers.push_back(buffer.data());
    }
    AlignedBuffer y(elems(output));
    program::Program program(0, sizes, {elems(output)});
    program.add(name, std::move(task), 0);
    float* const out = y.data();
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    program.run(pointers, {&out, 1}, 1);
    CALLGRIND_DUMP_STATS_AT(name.c_str());
    CALLGRIND_STOP_INSTRUMENTATION;
}

using ops::Conv2dAlgorithm;

struct Conv {
    std::string name;  // of the geometry; the algorithm is added
    Shape x, weight;
    int64_t stride = 1, padding = 0, groups = 1;
    Layout layout = Layout::kNchw16c;
    Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto;
};

ops::PackedConv2dPtr pack(const Shape& shape, Conv2dAlgorithm algorithm) {
    const std::vector<float> weight(shape.n * shape.c * shape.h * shape.w, 0.5f);
    return ops::conv2d_pack(weight.data(), shape, nullptr, {algorithm});
}

void count_conv(const Conv& conv, Isa isa) {
    ops::Conv2dParams params;
    params.stride = {conv.stride, conv.stride};
    params.padding = {conv.padding, conv.padding, conv.padding, conv.padding};
    params.groups = conv.groups;
    params.relu = true;
    params.algorithm = conv.algorithm;
    params.algorithm = ops::conv2d_select(params, conv.x, conv.weight);
    const TensorRef x = ref(1, conv.x, conv.layout);
    const TensorRef y = ref(2, ops::conv2d_output_shape(params, conv.x, conv.weight));
    count(conv.name + " " + ops::conv2d_info(params.algorithm).name, {x}, y,
          ops::conv2d_task(params, x, pack(conv.weight, params.algorithm), std::nullopt, y, isa));
}

void count_all(Isa isa) {
    const Conv convs[] = {
        {"conv 1x1 64-256@14", {1, 64, 14, 14}, {256, 64, 1, 1}},
        {"conv 1x1 256-64@14", {1, 256, 14, 14}, {64, 256, 1, 1}},
        {"conv 1x1/2 64-128@14", {1, 64, 28, 28}, {128, 64, 1, 1}, 2},
        {"conv 3x3/2 64-64@14", {1, 64, 28, 28}, {64, 64, 3, 3}, 2, 1},
        {"conv 5x5 16-48@14", {1, 16, 14, 14}, {48, 16, 5, 5}, 1, 2},
        {"conv 7x7/2 3-64@28", {1, 3, 56, 56}, {64, 3, 7, 7}, 2, 3, 1, Layout::kNchw},
        {"conv 5x5 1-6@28", {1, 1, 32, 32}, {6, 1, 5, 5}, 1, 0, 1, Layout::kNchw},
        {"conv 3x3 64 groups@14", {1, 64, 14, 14}, {64, 1, 3, 3}, 1, 1, 64},
    };
    for (const Conv& conv : convs) count_conv(conv, isa);
    for (auto algorithm :
         {Conv2dAlgorithm::kDirect, Conv2dAlgorithm::kWinogradF2x2_3x3,
          Conv2dAlgorithm::kWinogradF4x4_3x3, Conv2dAlgorithm::kWinogradF5x5_3x3,
          Conv2dAlgorithm::kWinogradF6x6_3x3, Conv2dAlgorithm::kWinogradF4x4_3x3_Plain,
          Conv2dAlgorithm::kWinogradF5x5_3x3_Plain}) {
        Conv conv{"conv 3x3 64-64@14", {1, 64, 14, 14}, {64, 64, 3, 3}, 1, 1};
        conv.algorithm = algorithm;
        count_conv(conv, isa);
    }

    for (int64_t batch : {1, 16}) {
        const TensorRef x = ref(1, {batch, 512, 1, 1}), y = ref(2, {batch, 256, 1, 1});
        count("linear 512-256, batch " + std::to_string(batch), {x}, y,
              ops::linear_task({}, x, pack({256, 512, 1, 1}, Conv2dAlgorithm::kGemm), y, isa));
    }
    const TensorRef a = ref(1, {1, 64, 28, 28}), b = ref(2, a.view.shape);
    count("lrn 64@28", {a}, b, ops::lrn_task({}, a, b, isa));
    count("softmax 64@28", {a}, b, ops::softmax_task({}, a, b, isa));
    count("add 64@28", {a, b}, ref(3, a.view.shape),
          ops::add_task({}, a, b, ref(3, a.view.shape), isa));
    const TensorRef plain = ref(2, a.view.shape, Layout::kNchw);
    count("layout 64@28", {a}, plain, ops::layout_task(a, plain, isa));
    for (auto kind : {ops::PoolKind::kMax, ops::PoolKind::kAverage}) {
        const ops::Pool2dParams pool{.kind = kind, .kernel_size = {3, 3}, .stride = {2, 2}};
        const TensorRef y = ref(2, ops::pool2d_output_shape(pool, a.view.shape));
        count(kind == ops::PoolKind::kMax ? "max pool 3x3/2 64@28" : "average pool 3x3/2 64@28",
              {a}, y, ops::pool2d_task(pool, a, y, isa));
    }
}

}  // namespace
}  // namespace pycnn

int main() { pycnn::count_all(pycnn::active_isa()); }

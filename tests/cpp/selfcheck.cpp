// The kernels' self-check: every op, every algorithm of it, every instruction set of this machine,
// against reference.h; and images, in selfcheck_image.cpp. C++ only, so that it also runs
// cross-compiled under an emulator.
//
// For each case: the error is within its tolerance; whatever the units are split into, each image
// gives the same bits, and so it does alone in a batch; outputs are NaN before, so nothing is left
// unwritten; lanes beyond the last channel of the inputs are NaN, so they are not read; and nothing
// outside the output is written (outputs are slices of larger buffers).
//
// Prints "N passed, M failed" as its last line; the exit status is 1 if anything failed.
#include "selfcheck.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "core/error.h"
#include "ops/add.h"
#include "ops/channel_affine.h"
#include "ops/layout.h"
#include "ops/linear.h"
#include "ops/rbf.h"
#include "ops/softmax.h"
#include "reference.h"

namespace pycnn {
namespace {

using reference::Plain;
using namespace selfcheck;

// Tolerances: root of the mean square of the error, relative to that of the output. A sum in
// ascending order needs 0.9 of its tolerance on average over many outputs, so cases of long sums
// must have about a thousand outputs: fewer can be above it by chance.
constexpr double kExact = 0;
constexpr double kElementwise = 3e-7;
// Sigmoid and tanh: of each value by itself.
constexpr double kRelativeRms = 2e-7, kRelativeLargest = 5e-7;
double reduction_tolerance(int64_t terms) {
    return std::max(3e-7, 2e-8 * std::sqrt(static_cast<double>(terms)));
}

double conv2d_tolerance(ops::Conv2dAlgorithm algorithm, const Shape& weight) {
    switch (ops::conv2d_info(algorithm).winograd.products()) {
        case 0: return reduction_tolerance(weight.c * weight.h * weight.w);
        case 4: return 1e-6;
        case 6:
        case 9: return 3e-6;
        default: return 1e-5;
    }
}

constexpr uint8_t kNanBytes = 0xFF, kOtherBytes = 0xA5;  // 0xA5A5A5A5 is about -2.9e-16
constexpr double kOther = std::bit_cast<float>(0xA5A5A5A5u);

struct Worst {
    double error = 0, of_tolerance = 0;
};
std::map<std::string, Worst> worst;  // by op

void note_error(const std::string& op, double error, double tolerance) {
    Worst& w = worst[op];
    if (!(error <= w.error)) w.error = error;
    if (tolerance > 0 && !(error / tolerance <= w.of_tolerance)) w.of_tolerance = error / tolerance;
}

std::vector<float> as_floats(const Plain& x) { return {x.data.begin(), x.data.end()}; }

// A tensor inside a buffer that is larger than it: blocked ones are slices of one with a channel
// block more on each side, plain ones have a gap on each side. `row_gap` pixels lie between rows.
class Placed {
public:
    Placed(const Shape& shape, Layout layout, int buffer, uint8_t poison, int64_t row_gap = 0)
        : poison_(poison) {
        constexpr int64_t kGap = 64;
        Shape whole = shape;
        if (shape.h > 1) whole.w += row_gap;
        ref_.buffer = buffer;
        if (layout == Layout::kNchw16c) {
            whole.c = divide_round_up(shape.c, kChannelBlock) * kChannelBlock + 2 * kChannelBlock;
            ref_.view = make_view({shape.n, shape.c, shape.h, whole.w}, layout, whole.c);
            ref_.offset = ref_.view.block_stride;
            memory_.resize(static_cast<size_t>(storage_elems(whole, layout)));
        } else {
            ref_.view = make_view(whole, layout);
            ref_.offset = kGap;
            memory_.resize(static_cast<size_t>(storage_elems(whole, layout) + 2 * kGap));
        }
        ref_.view.shape = shape;
        clear();
    }

    void clear() { std::memset(memory_.data(), poison_, memory_.size() * sizeof(float)); }
    const TensorRef& ref() const { return ref_; }
    float* memory() { return memory_.data(); }
    float& at(int64_t n, int64_t c, int64_t h, int64_t w) {
        const TensorView& v = ref_.view;
        return memory_[static_cast<size_t>(
            ref_.offset + n * v.image_stride + c / kChannelBlock * v.block_stride +
            c % kChannelBlock * v.channel_stride + h * v.row_stride + w * v.pixel_stride)];
    }
    void fill(const Plain& x) {
        reference::for_each(ref_.view.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
            at(n, c, h, w) = static_cast<float>(x.at(n, c, h, w));
        });
    }
    std::vector<float> read() {
        std::vector<float> y;
        reference::for_each(ref_.view.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
            y.push_back(at(n, c, h, w));
        });
        return y;
    }
    // Poisons the tensor itself again; true if nothing else had changed.
    bool only_own_elements_changed() {
        Shape own = ref_.view.shape;
        if (ref_.view.layout == Layout::kNchw16c) {
            own.c = divide_round_up(own.c, kChannelBlock) * kChannelBlock;
        }
        reference::for_each(own, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
            std::memset(&at(n, c, h, w), poison_, sizeof(float));
        });
        const auto* bytes = reinterpret_cast<const uint8_t*>(memory_.data());
        return std::all_of(bytes, bytes + memory_.size() * sizeof(float),
                           [&](uint8_t byte) { return byte == poison_; });
    }

private:
    uint8_t poison_;
    TensorRef ref_;
    std::vector<float> memory_;
};

using Refs = std::vector<TensorRef>;
using MakeTask = std::function<TaskPtr(const Refs& inputs, const TensorRef& output)>;

struct Case {
    std::string op, name;
    std::vector<Plain> inputs;
    Plain expected;
    double tolerance = kElementwise;
    MakeTask make;
    Layout input_layout = Layout::kNchw16c, output_layout = Layout::kNchw16c;
    uint8_t output_poison = kNanBytes;
    int64_t row_gap = 0;
};

enum class Split { kWhole, kOddRanges };

struct Result {
    std::vector<float> y;
    bool stayed_inside;
};

// Runs the images [first, first + count) of the case.
Result run(const Case& test, int64_t first, int64_t count, Split split) {
    auto images = [&](const Plain& whole) {
        Shape shape = whole.shape;
        const int64_t each = shape.c * shape.h * shape.w;
        shape.n = count;
        Plain part(shape);
        std::copy_n(whole.data.begin() + first * each, count * each, part.data.begin());
        return part;
    };
    std::vector<Placed> inputs;
    Refs refs;
    for (const Plain& input : test.inputs) {
        const Plain part = images(input);
        inputs.emplace_back(part.shape, test.input_layout, static_cast<int>(inputs.size()) + 1,
                            kNanBytes, test.row_gap);
        inputs.back().fill(part);
        refs.push_back(inputs.back().ref());
    }
    Shape out = test.expected.shape;
    out.n = count;
    Placed output(out, test.output_layout, 0, test.output_poison, test.row_gap);
    std::vector<float*> buffers{output.memory()};
    for (Placed& input : inputs) buffers.push_back(input.memory());

    const TaskPtr task = test.make(refs, output.ref());
    AlignedBuffer workspace(task->workspace_elems());
    workspace.poison(test.output_poison);
    if (split == Split::kWhole) {
        task->run(buffers.data(), workspace.data(), 0, task->units());
    } else {  // ranges of 1, 3, 5, 7, 1, ... units, the last ones first
        int64_t length = 1;
        for (int64_t end = task->units(); end > 0; length = length == 7 ? 1 : length + 2) {
            const int64_t begin = std::max<int64_t>(end - length, 0);
            task->run(buffers.data(), workspace.data(), begin, end);
            end = begin;
        }
    }
    std::vector<float> y = output.read();
    return {std::move(y), output.only_own_elements_changed()};
}

bool same_bits(const float* a, const float* b, size_t count) {
    return std::memcmp(a, b, count * sizeof(float)) == 0;
}

// Where NaN or infinity is expected it must be there; it does not count as an error.
double relative_error(const std::vector<float>& y, const std::vector<double>& expected) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < y.size(); ++i) {
        const double want = expected[i], got = y[i];
        if (std::isnan(want) && std::isnan(got)) continue;
        if (std::isinf(want) && want == got) continue;
        error += (got - want) * (got - want);
        norm += want * want;
    }
    return error == 0 ? 0 : std::sqrt(error / norm);
}

void check(const Case& test) {
    const int64_t batch = test.expected.shape.n;
    const Result whole = run(test, 0, batch, Split::kWhole);
    const double error = relative_error(whole.y, test.expected.data);
    note_error(test.op, error, test.tolerance);
    std::string problem;
    if (!(error <= test.tolerance)) {
        problem += str("error ", error, " above ", test.tolerance, "; ");
    }
    if (!whole.stayed_inside) problem += "wrote outside its output; ";
    const Result ranges = run(test, 0, batch, Split::kOddRanges);
    if (!same_bits(whole.y.data(), ranges.y.data(), whole.y.size())) {
        problem += "other bits when split into ranges; ";
    }
    const size_t each = whole.y.size() / static_cast<size_t>(batch);
    for (int64_t n = 0; n < batch && batch > 1; ++n) {
        const Result alone = run(test, n, 1, Split::kWhole);
        if (!same_bits(whole.y.data() + static_cast<size_t>(n) * each, alone.y.data(), each)) {
            problem += str("other bits when image ", n, " is alone; ");
        }
    }
    report(problem.empty(), test.op + " " + test.name, problem);
}

// ---- Convolution, linear ------------------------------------------------------------------------

struct ConvCase {
    Shape x, weight;
    ops::Conv2dParams params;
};

std::vector<ConvCase> conv_cases() {
    auto params = [](std::array<int64_t, 2> stride, std::array<int64_t, 4> padding,
                     std::array<int64_t, 2> dilation, int64_t groups) {
        ops::Conv2dParams p;
        p.stride = stride;
        p.padding = padding;
        p.dilation = dilation;
        p.groups = groups;
        return p;
    };
    std::vector<ConvCase> cases = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
        {{2, 3, 9, 7}, {17, 3, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        {{1, 3, 31, 33}, {40, 3, 7, 7}, params({2, 2}, {3, 3, 3, 3}, {1, 1}, 1)},
        {{1, 3, 23, 27}, {50, 3, 11, 11}, params({4, 4}, {0, 0, 0, 0}, {1, 1}, 1)},
        {{3, 17, 5, 6}, {40, 17, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        {{2, 40, 6, 5}, {17, 40, 1, 1}, {}},
        {{1, 64, 14, 14}, {64, 64, 1, 1}, {}},
        {{2, 40, 7, 7}, {48, 40, 1, 1}, params({2, 2}, {0, 0, 0, 0}, {1, 1}, 1)},
        {{1, 16, 8, 8}, {130, 16, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        {{1, 16, 10, 11}, {32, 16, 3, 2}, params({1, 2}, {2, 0, 1, 3}, {1, 1}, 1)},
        {{1, 5, 13, 12}, {6, 5, 3, 3}, params({1, 1}, {2, 2, 4, 4}, {2, 4}, 1)},
        {{1, 4, 11, 10}, {9, 4, 2, 2}, params({4, 3}, {0, 0, 0, 0}, {1, 1}, 1)},  // stride > filter
        {{1, 7, 3, 3}, {20, 7, 5, 5}, params({1, 1}, {2, 2, 2, 2}, {1, 1}, 1)},   // filter > image
        {{8, 8, 4, 9}, {130, 8, 4, 9}, {}},  // one output pixel
        {{2, 3, 1, 40}, {4, 3, 1, 5}, params({1, 1}, {0, 0, 2, 2}, {1, 1}, 1)},
        {{1, 3, 5, 5}, {4, 3, 1, 1}, params({1, 1}, {3, 0, 0, 2}, {1, 1}, 1)},  // padding alone
        {{1, 32, 7, 7}, {64, 16, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 2)},
        {{2, 96, 5, 5}, {48, 32, 5, 5}, params({1, 1}, {2, 2, 2, 2}, {1, 1}, 3)},
        {{1, 32, 6, 6}, {64, 16, 1, 1}, params({1, 1}, {0, 0, 0, 0}, {1, 1}, 2)},
        {{1, 12, 6, 7}, {20, 3, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 4)},
        {{2, 34, 5, 5}, {40, 17, 3, 3}, params({2, 1}, {1, 1, 0, 1}, {1, 1}, 2)},
        {{1, 17, 9, 9}, {17, 1, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 17)},  // depthwise
        {{2, 40, 8, 7}, {40, 1, 5, 3}, params({2, 2}, {2, 1, 1, 0}, {1, 2}, 40)},
        {{1, 16, 6, 6}, {32, 1, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 16)},  // multiplier 2
        {{1, 128, 6, 6}, {32, 128, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        // Several blocks of Winograd's tiles, whole and cut ones.
        {{3, 20, 21, 19}, {33, 20, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        {{2, 18, 25, 13}, {20, 18, 5, 5}, params({1, 1}, {2, 2, 2, 2}, {1, 1}, 1)},
        {{3, 17, 27, 31}, {18, 17, 3, 3}, params({2, 2}, {1, 0, 0, 1}, {1, 1}, 1)},
        {{3, 32, 22, 18}, {34, 32, 3, 3}, params({1, 1}, {1, 1, 1, 1}, {1, 1}, 1)},
        {{1, 36, 26, 14}, {20, 36, 5, 5}, params({1, 1}, {2, 2, 2, 2}, {1, 1}, 1)},
        {{2, 17, 28, 20}, {18, 17, 3, 3}, params({2, 2}, {1, 1, 1, 1}, {1, 1}, 1)},
    };
    return cases;
}

void check_conv2d(Isa isa, Random& random) {
    const ops::Pool2dParams kWindow{.kernel_size = {2, 2}, .stride = {2, 2}};
    int index = 0;
    for (const ConvCase& c : conv_cases()) {
        const Plain weight = random.plain(c.weight), bias = random.plain({1, c.weight.n, 1, 1});
        const Plain x = random.plain(c.x);
        const Shape out = ops::conv2d_output_shape(c.params, c.x, c.weight);
        const Plain residual = random.plain(out);
        // The options take turns: with and without bias, residual, ReLU; plain and blocked input.
        for (int options : {index % 8, 7 - index % 8}) {
            const bool with_bias = options & 1, with_relu = options & 2;
            const bool with_residual = options & 4;
            ops::Conv2dParams params = c.params;
            params.relu = with_relu;
            const Plain expected = reference::conv2d(x, weight, with_bias ? &bias : nullptr,
                                                     with_residual ? &residual : nullptr, params);
            const auto check_algorithm = [&](const ops::Conv2dAlgorithmInfo& info,
                                             const Plain& y_expected) {
                params.algorithm = info.algorithm;
                try {
                    params.algorithm = ops::conv2d_select(params, c.x, c.weight);
                } catch (const UnsupportedError&) {
                    return;
                }
                const auto packed = ops::conv2d_pack(as_floats(weight).data(), c.weight,
                                                     with_bias ? as_floats(bias).data() : nullptr,
                                                     {params.algorithm});
                for (Layout layout : {Layout::kNchw, Layout::kNchw16c}) {
                    if (layout == Layout::kNchw && with_residual) continue;  // one layout a case
                    Case test;
                    test.op = "conv2d";
                    test.name = str(info.name, " x ", to_string(c.x), " weight ",
                                    to_string(c.weight), " case ", index, " options ", options,
                                    layout == Layout::kNchw ? " plain" : " blocked",
                                    params.max_pool ? " pooled" : "");
                    test.inputs = {x};
                    if (with_residual) test.inputs.push_back(residual);
                    test.expected = y_expected;
                    test.tolerance = conv2d_tolerance(params.algorithm, c.weight);
                    test.input_layout = layout;
                    test.make = [&](const Refs& in, const TensorRef& y) {
                        const auto added = with_residual ? std::optional(in[1]) : std::nullopt;
                        return ops::conv2d_task(params, in[0], packed, added, y, isa);
                    };
                    check(test);
                }
            };
            for (const ops::Conv2dAlgorithmInfo& info : ops::kConv2dAlgorithms) {
                params.max_pool = false;
                check_algorithm(info, expected);
                params.max_pool = true;
                if (with_residual || out.h % 2 || out.w % 2) continue;
                const Shape pooled{out.n, out.c, out.h / 2, out.w / 2};
                check_algorithm(info, reference::pool2d(expected, kWindow, pooled));
            }
        }
        ++index;
    }
}

void check_linear(Isa isa, Random& random) {
    for (const auto& [batch, in, out] : {std::array<int64_t, 3>{1, 1, 1},
                                         {1, 3, 17},
                                         {3, 40, 10},
                                         {9, 120, 84},
                                         {7, 1000, 200},
                                         {2, 33, 200},
                                         {9, 9216, 130}}) {
        for (bool with_relu : {false, true}) {
            const Shape shape{out, in, 1, 1};
            const Plain weight = random.plain(shape), bias = random.plain({1, out, 1, 1});
            const auto packed =
                ops::conv2d_pack(as_floats(weight).data(), shape, as_floats(bias).data());
            Case test;
            test.op = "linear";
            test.name = str(batch, " x ", in, " -> ", out, with_relu ? " relu" : "");
            test.inputs = {random.plain({batch, in, 1, 1})};
            ops::Conv2dParams params;
            params.relu = with_relu;
            test.expected = reference::conv2d(test.inputs[0], weight, &bias, nullptr, params);
            test.tolerance = reduction_tolerance(in);
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::linear_task({with_relu}, x[0], packed, y, isa);
            };
            check(test);
        }
    }
}

// ---- Pooling ------------------------------------------------------------------------------------

struct PoolCase {
    Shape x;
    std::array<int64_t, 2> kernel_size, stride;
    std::array<int64_t, 4> padding;
    bool ceil_mode;
    ops::WindowRule rule;
    int64_t out_h, out_w;  // worked out by hand
};

constexpr PoolCase kPoolCases[] = {
    {{1, 1, 1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, false, ops::WindowRule::kTorch, 1, 1},
    {{2, 17, 8, 6}, {2, 2}, {2, 2}, {0, 0, 0, 0}, false, ops::WindowRule::kTorch, 4, 3},
    {{1, 40, 13, 13}, {3, 3}, {2, 2}, {0, 0, 0, 0}, true, ops::WindowRule::kTorch, 6, 6},
    {{1, 16, 14, 14}, {3, 3}, {2, 2}, {0, 0, 0, 0}, true, ops::WindowRule::kCaffe, 7, 7},
    {{2, 3, 7, 9}, {3, 2}, {1, 2}, {1, 0, 1, 0}, false, ops::WindowRule::kTorch, 6, 5},
    {{1, 16, 8, 8}, {3, 3}, {2, 2}, {1, 1, 1, 1}, true, ops::WindowRule::kTorch, 5, 5},
    {{1, 5, 7, 7}, {2, 2}, {3, 3}, {0, 0, 0, 0}, true, ops::WindowRule::kTorch, 3, 3},
    // Caffe keeps a window that begins beyond the input.
    {{1, 5, 6, 6}, {1, 1}, {4, 4}, {0, 0, 0, 0}, true, ops::WindowRule::kTorch, 2, 2},
    {{1, 5, 6, 6}, {1, 1}, {4, 4}, {0, 0, 0, 0}, true, ops::WindowRule::kCaffe, 3, 3},
    {{2, 40, 7, 7}, {7, 7}, {1, 1}, {0, 0, 0, 0}, false, ops::WindowRule::kTorch, 1, 1},  // global
    {{1, 17, 1, 30}, {1, 4}, {1, 3}, {0, 0, 3, 2}, false, ops::WindowRule::kTorch, 1, 11},
};

void check_pool2d(Isa isa, Random& random) {
    int index = 0;
    for (const PoolCase& c : kPoolCases) {
        for (int kind = 0; kind < 3; ++kind) {  // maximum, average with and without the padding
            ops::Pool2dParams p;
            p.kind = kind == 0 ? ops::PoolKind::kMax : ops::PoolKind::kAverage;
            p.count_include_pad = kind != 2;
            p.kernel_size = c.kernel_size;
            p.stride = c.stride;
            p.padding = c.padding;
            p.ceil_mode = c.ceil_mode;
            p.window_rule = c.rule;
            const Shape out{c.x.n, c.x.c, c.out_h, c.out_w};
            Case test;
            test.op = kind == 0 ? "max_pool2d" : "avg_pool2d";
            test.name =
                str(to_string(c.x), " case ", index, kind == 2 ? " padding not counted" : "");
            test.inputs = {random.plain(c.x)};
            test.expected = reference::pool2d(test.inputs[0], p, out);
            test.tolerance = kind == 0 ? kExact : kElementwise;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::pool2d_task(p, x[0], y, isa);
            };
            check(test);
        }
        ++index;
    }
}

// ---- The other ops ------------------------------------------------------------------------------

constexpr Shape kShapes[] = {{1, 1, 1, 1},  {2, 3, 5, 4},   {1, 16, 3, 3},  {3, 17, 2, 5},
                             {2, 40, 7, 1}, {1, 300, 2, 3}, {2, 1000, 1, 1}};

void check_lrn(Isa isa, Random& random) {
    const ops::LrnParams params[] = {
        {2, 2, 1e-4f, 0.75f, 1.0f},  // BVLC
        {2, 2, 5e-4f, 0.75f, 2.0f},  // the paper: alpha 1e-4, not divided by 5
        {0, 0, 2.0f, 0.75f, 0.5f},  {2, 1, 1.5f, 0.5f, 1.0f},   {1, 2, 3.0f, 1.0f, 0.1f},
        {7, 0, 1.0f, 0.6f, 1.0f},   {0, 20, 1.0f, -0.5f, 2.0f}, {64, 64, 9.0f, 0.75f, 1.0f},
    };
    for (const ops::LrnParams& p : params) {
        for (const Shape& shape : kShapes) {
            Case test;
            test.op = "lrn";
            test.name = str(to_string(shape), " before ", p.before, " after ", p.after, " alpha ",
                            p.alpha, " beta ", p.beta, " k ", p.k);
            // From the size of activations to where the sum of squares outweighs k a thousandfold.
            test.inputs = {random.plain(shape, shape.w % 2 ? 300 : 3)};
            test.expected = reference::lrn(test.inputs[0], p);
            test.row_gap = shape.w % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::lrn_task(p, x[0], y, isa);
            };
            check(test);
        }
    }
}

void check_add(Isa isa, Random& random) {
    for (const Shape& shape : kShapes) {
        for (bool with_relu : {false, true}) {
            Case test;
            test.op = "add";
            test.name = str(to_string(shape), with_relu ? " relu" : "");
            test.inputs = {random.plain(shape), random.plain(shape)};
            test.expected = reference::add(test.inputs[0], test.inputs[1], with_relu);
            test.row_gap = shape.w % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::add_task({with_relu}, x[0], x[1], y, isa);
            };
            check(test);
        }
    }
}

constexpr ops::ActivationParams kRelu{ops::ActivationKind::kRelu};
constexpr ops::ActivationParams kSigmoid{ops::ActivationKind::kSigmoid};
constexpr ops::ActivationParams kTanh{ops::ActivationKind::kTanh};
constexpr ops::ActivationParams kLeNetTanh{ops::ActivationKind::kTanh, 1.7159f, 2.0f / 3.0f};

void check_activation(Isa isa, Random& random) {
    constexpr std::pair<ops::ActivationParams, const char*> kKinds[] = {
        {kRelu, "relu"},
        {kSigmoid, "sigmoid"},
        {kTanh, "tanh"},
        {kLeNetTanh, "tanh"},
        {{ops::ActivationKind::kAffine, -1.5f, 0.25f}, "affine"},
        {{ops::ActivationKind::kLeakyRelu, 0.2f}, "leaky_relu"},
        {{ops::ActivationKind::kClip, -0.5f, 2.0f}, "clip"},
        {{ops::ActivationKind::kHardSigmoid, 0.2f, 0.5f}, "hard_sigmoid"},
        {{ops::ActivationKind::kHardSwish}, "hard_swish"},
        {{ops::ActivationKind::kPow, 2.0f}, "pow"},
        {{ops::ActivationKind::kPow, 3.0f}, "pow"},
    };
    for (const auto& [params, name] : kKinds) {
        for (const Shape& shape : kShapes) {
            for (double scale : {0.1, 1.0, 10.0}) {
                Case test;
                test.op = name;
                test.name = str(to_string(shape), " up to ", scale, ", alpha ", params.alpha);
                test.inputs = {random.plain(shape, scale)};
                test.expected = reference::activation(test.inputs[0], params);
                test.tolerance = params.kind == ops::ActivationKind::kRelu ? kExact : kElementwise;
                test.row_gap = shape.w % 2;
                test.make = [&p = params, isa](const Refs& x, const TensorRef& y) {
                    return ops::activation_task(p, x[0], y, isa);
                };
                check(test);
            }
        }
    }
}

void check_binary(Isa isa, Random& random) {
    const std::pair<Shape, Shape> shapes[] = {
        {{2, 17, 3, 5}, {2, 17, 3, 5}}, {{2, 33, 4, 3}, {2, 33, 1, 1}},
        {{2, 17, 3, 5}, {2, 1, 3, 5}},  {{2, 17, 3, 5}, {2, 17, 3, 1}},
        {{2, 1, 3, 1}, {2, 20, 1, 4}},  {{2, 40, 1, 1}, {2, 40, 1, 1}},
    };
    constexpr std::pair<ops::BinaryParams, const char*> kKinds[] = {
        {{ops::BinaryKind::kAdd, 0.5f, -2.0f}, "add with factors"},
        {{ops::BinaryKind::kMul}, "mul"},
        {{ops::BinaryKind::kDiv}, "div"},
        {{ops::BinaryKind::kMax}, "max"},
        {{ops::BinaryKind::kMin, 1.0f, 1.0f, true}, "min, relu"},
        {{ops::BinaryKind::kPrelu}, "prelu"},
    };
    for (const auto& [params, name] : kKinds) {
        for (const auto& [a, b] : shapes) {
            Case test;
            test.op = "binary";
            test.name = str(name, " ", to_string(a), " ", to_string(b));
            test.inputs = {random.plain(a), random.plain(b)};
            test.expected = reference::binary(test.inputs[0], test.inputs[1], params);
            test.row_gap = a.w % 2;
            test.make = [&p = params, isa](const Refs& x, const TensorRef& y) {
                return ops::binary_task(p, x[0], x[1], nullptr, y, isa);
            };
            check(test);
        }
    }
}

void check_gather(Isa isa, Random& random) {
    std::vector<int64_t> shuffled, block;
    for (int64_t c = 0; c < 37; ++c) shuffled.push_back(c * 11 % 37);
    for (int64_t c = 16; c < 32; ++c) block.push_back(c);
    const ops::GatherParams params[] = {
        {shuffled, {0, 1, 2, 3}, {0, 1, 2}, 0.0f},
        {block, {-1, 3, -1, 0}, {2, 1, -1, 0, 0}, -0.5f},
        {{-1, 36, 0, -1}, {1}, {-1, 2}, 7.0f},
    };
    for (const ops::GatherParams& p : params) {
        Case test;
        test.op = "gather";
        test.name = str(p.channels.size(), " channels");
        test.inputs = {random.plain({2, 37, 4, 3})};
        test.expected = reference::gather(test.inputs[0], p);
        test.tolerance = kExact;
        test.row_gap = 1;
        test.make = [&](const Refs& x, const TensorRef& y) {
            return ops::gather_task(p, x[0], y, isa);
        };
        check(test);
    }
}

void check_permute(Isa isa, Random& random) {
    const std::pair<ops::PermuteParams, Shape> cases[] = {
        {{{18, 4, 6}, {2, 0, 1}}, {2, 6, 18, 4}},
        {{{3, 6, 4, 6}, {1, 0, 2, 3}}, {2, 18, 4, 6}},
        {{{432}, {0}}, {2, 2, 8, 27}},
    };
    for (const auto& [p, out] : cases) {
        Case test;
        test.op = "permute";
        test.name = str(p.dims.size(), " dimensions to ", to_string(out));
        test.inputs = {random.plain({2, 18, 4, 6})};
        test.expected = reference::permute(test.inputs[0], p, out);
        test.tolerance = kExact;
        test.row_gap = 1;
        test.make = [&p = p, isa](const Refs& x, const TensorRef& y) {
            return ops::permute_task(p, x[0], y, isa);
        };
        check(test);
    }
}

void check_softmax(Isa isa, Random& random) {
    for (const Shape& shape : kShapes) {
        for (double scale : {1.0, 20.0, 1000.0}) {
            Case test;
            test.op = "softmax";
            test.name = str(to_string(shape), " up to ", scale);
            test.inputs = {random.plain(shape, scale)};
            test.expected = reference::softmax(test.inputs[0]);
            test.row_gap = shape.w % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::softmax_task({}, x[0], y, isa);
            };
            check(test);
        }
    }
}

void check_channel_affine(Isa isa, Random& random) {
    for (const Shape& shape : kShapes) {
        for (bool with_relu : {false, true}) {
            const Shape vector{1, shape.c, 1, 1};
            const Plain scale = random.plain(vector), shift = random.plain(vector);
            const auto packed =
                ops::channel_affine_pack(as_floats(scale).data(), as_floats(shift).data(), shape.c);
            Case test;
            test.op = "channel_affine";
            test.name = str(to_string(shape), with_relu ? " relu" : "");
            test.inputs = {random.plain(shape)};
            test.expected = reference::channel_affine(test.inputs[0], scale, shift, with_relu);
            // Product and shift may cancel: of a handful of values that is no small sample's mean.
            const double values = static_cast<double>(shape.n * shape.c * shape.h * shape.w);
            test.tolerance = kElementwise * (1 + 4 / std::sqrt(values));
            test.row_gap = shape.w % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::channel_affine_task({with_relu}, x[0], packed, y, isa);
            };
            check(test);
        }
    }
}

void check_copy_channels(Isa isa, Random& random) {
    struct CopyCase {
        Shape x;
        int64_t offset, stride, channels;
    };
    constexpr CopyCase kCases[] = {
        {{1, 1, 1, 1}, 0, 1, 1},    {{2, 16, 3, 4}, 16, 1, 48}, {{1, 17, 3, 3}, 16, 1, 33},
        {{2, 17, 5, 2}, 0, 1, 40},  {{1, 40, 2, 3}, 7, 1, 60},  {{1, 3, 4, 4}, 15, 1, 18},
        {{2, 16, 8, 8}, 8, 2, 32},  {{1, 32, 7, 5}, 16, 2, 64}, {{1, 5, 9, 4}, 30, 3, 35},
        {{1, 20, 2, 2}, 10, 5, 40},
    };
    for (const CopyCase& c : kCases) {
        for (bool fill : {false, true}) {
            const ops::CopyChannelsParams p{c.offset, c.stride, fill};
            Case test;
            test.op = "copy_channels";
            test.name = str(to_string(c.x), " to channel ", c.offset, " of ", c.channels,
                            " stride ", c.stride, fill ? " fill" : "");
            test.inputs = {random.plain(c.x)};
            test.expected =
                reference::copy_channels(test.inputs[0], p, c.channels, fill ? 0 : kOther);
            test.tolerance = kExact;
            test.output_poison = kOtherBytes;
            test.row_gap = c.x.c % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::copy_channels_task(p, x[0], y, isa);
            };
            check(test);
        }
    }
}

void check_layout(Isa isa, Random& random) {
    constexpr Shape kMoreShapes[] = {
        {1, 3, 33, 35}, {2, 256, 6, 6}, {1, 64, 7, 7}, {1, 23, 4, 4}, {2, 18, 1, 19}};
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
    shapes.insert(shapes.end(), std::begin(kMoreShapes), std::end(kMoreShapes));
    for (const Shape& shape : shapes) {
        for (const char* change : {"to blocked", "to plain", "flatten"}) {
            const bool flatten = change[0] == 'f';
            Case test;
            test.op = "layout";
            test.name = str(change, " ", to_string(shape));
            test.inputs = {random.plain(shape)};
            test.expected = flatten ? reference::flatten(test.inputs[0]) : test.inputs[0];
            test.tolerance = kExact;
            (change[3] == 'b' ? test.input_layout : test.output_layout) = Layout::kNchw;
            if (flatten) test.output_layout = Layout::kNchw16c;
            test.row_gap = shape.w % 2;
            test.make = [&](const Refs& x, const TensorRef& y) {
                return ops::layout_task(x[0], y, isa);
            };
            check(test);
        }
    }
}

void check_rbf(Isa isa, Random& random) {
    for (const auto& [batch, in, out] :
         {std::array<int64_t, 3>{1, 1, 1}, {3, 84, 10}, {2, 40, 17}, {1, 1000, 33}}) {
        const Plain weight = random.plain({out, in, 1, 1});
        const auto packed = ops::rbf_pack(as_floats(weight).data(), out, in);
        Case test;
        test.op = "rbf";
        test.name = str(batch, " x ", in, " -> ", out);
        test.inputs = {random.plain({batch, in, 1, 1})};
        test.expected = reference::rbf(test.inputs[0], weight);
        test.make = [&](const Refs& x, const TensorRef& y) {
            return ops::rbf_task(x[0], packed, y, isa);
        };
        check(test);
    }
}

// ---- Functions of one number --------------------------------------------------------------------

// Runs a unary task over `values`, one row of channels. `x_buffer` 0: in place.
std::vector<float> map_values(const std::vector<float>& values, const MakeTask& make,
                              int x_buffer = 1) {
    const Shape shape{1, static_cast<int64_t>(values.size()), 1, 1};
    Placed x(shape, Layout::kNchw16c, x_buffer, kNanBytes);
    Placed y(shape, Layout::kNchw16c, 0, kNanBytes);
    Plain plain(shape);
    plain.data.assign(values.begin(), values.end());
    (x_buffer == 0 ? y : x).fill(plain);
    const TaskPtr task = make({x.ref()}, y.ref());
    float* buffers[] = {y.memory(), x.memory()};
    task->run(buffers, nullptr, 0, task->units());
    return y.read();
}

MakeTask activation_of(const ops::ActivationParams& p, Isa isa) {
    return [=](const Refs& x, const TensorRef& y) { return ops::activation_task(p, x[0], y, isa); };
}

// The relative error of each single value, from tiny to saturated ones.
void check_relative_accuracy(Isa isa) {
    std::vector<float> values;
    for (double x = 1e-30; x < 80; x *= 1.0005) {
        values.push_back(static_cast<float>(x));
        values.push_back(static_cast<float>(-x));
    }
    for (double x = -20; x < 20; x += 1e-4) values.push_back(static_cast<float>(x));
    constexpr std::pair<ops::ActivationParams, const char*> kKinds[] = {
        {kSigmoid, "sigmoid"}, {kTanh, "tanh"}, {kLeNetTanh, "LeNet-5's tanh"}};
    for (const auto& [params, name] : kKinds) {
        const std::vector<float> y = map_values(values, activation_of(params, isa));
        const std::vector<float> in_place = map_values(values, activation_of(params, isa), 0);
        report(same_bits(y.data(), in_place.data(), y.size()), str(name, " in place"),
               "other bits");
        double sum = 0, largest = 0;
        for (size_t i = 0; i < y.size(); ++i) {
            const double expected = reference::activation(values[i], params);
            const double error = std::abs(y[i] / expected - 1);
            sum += error * error;
            largest = std::max(largest, error);
        }
        const double rms = std::sqrt(sum / static_cast<double>(y.size()));
        note_error(str(name, ", each value, RMS"), rms, kRelativeRms);
        note_error(str(name, ", each value, largest"), largest, kRelativeLargest);
        report(rms <= kRelativeRms && largest <= kRelativeLargest, str(name, " relative accuracy"),
               str("RMS ", rms, ", largest ", largest));
    }
}

void check_equal(const std::string& name, const std::vector<float>& got,
                 const std::vector<float>& expected) {
    for (size_t i = 0; i < expected.size(); ++i) {
        const bool equal =
            std::isnan(expected[i]) ? std::isnan(got[i]) : same_bits(&got[i], &expected[i], 1);
        report(equal, str(name, " [", i, "]"), str("got ", got[i], ", expected ", expected[i]));
    }
}

void check_special_values(Isa isa) {
    const std::vector<float> values{0.0f,  -0.0f,  kNan,  kInfinity, -kInfinity,
                                    1e30f, -1e30f, 20.0f, -20.0f,    1e-42f};
    check_equal("relu", map_values(values, activation_of(kRelu, isa)),
                {0.0f, -0.0f, kNan, kInfinity, 0.0f, 1e30f, 0.0f, 20.0f, 0.0f, 1e-42f});
    const std::vector<float> for_sigmoid{0.0f,       -0.0f, kNan,   kInfinity,
                                         -kInfinity, 1e30f, -1e30f, 30.0f};
    check_equal("sigmoid", map_values(for_sigmoid, activation_of(kSigmoid, isa)),
                {0.5f, 0.5f, kNan, 1.0f, 0.0f, 1.0f, 0.0f, 1.0f});
    check_equal("tanh", map_values(values, activation_of(kTanh, isa)),
                {0.0f, -0.0f, kNan, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1e-42f});

    const MakeTask softmax = [=](const Refs& x, const TensorRef& y) {
        return ops::softmax_task({}, x[0], y, isa);
    };
    check_equal("softmax of infinities", map_values({-kInfinity, 3.0f, -kInfinity, 3.0f}, softmax),
                {0.0f, 0.5f, 0.0f, 0.5f});
    check_equal("softmax of large values", map_values({3e38f, -3e38f, 3e38f}, softmax),
                {0.5f, 0.0f, 0.5f});
    check_equal("softmax with a NaN", map_values({1.0f, kNan, 2.0f}, softmax), {kNan, kNan, kNan});
    check_equal("softmax of one channel", map_values({5.0f}, softmax), {1.0f});

    const MakeTask lrn = [=](const Refs& x, const TensorRef& y) {
        return ops::lrn_task({1, 1, 1.0f, 0.75f, 1.0f}, x[0], y, isa);
    };
    check_equal("lrn where the squares overflow", map_values({1.0f, 1e30f, 0.0f, 0.0f}, lrn),
                {0.0f, 0.0f, 0.0f, 0.0f});
    const std::vector<float> with_nan = map_values({kNan, 2.0f, 0.0f, 0.0f}, lrn);
    check_equal("lrn with a NaN", with_nan, {kNan, kNan, 0.0f, 0.0f});
}

// A NaN stays within its pixel.
void check_softmax_pixels(Isa isa, Random& random) {
    Case test;
    test.op = "softmax";
    test.name = "with a NaN in one pixel";
    test.inputs = {random.plain({2, 20, 3, 3})};
    test.inputs[0].at(1, 19, 1, 2) = kNan;
    test.expected = reference::softmax(test.inputs[0]);
    test.make = [&](const Refs& x, const TensorRef& y) {
        return ops::softmax_task({}, x[0], y, isa);
    };
    check(test);
}

// ---- Misuse -------------------------------------------------------------------------------------

void check_misuse(Isa isa) {
    auto blocked = [](const Shape& shape) { return Placed(shape, Layout::kNchw16c, 0, 0).ref(); };
    auto plain = [](const Shape& shape) { return Placed(shape, Layout::kNchw, 0, 0).ref(); };
    const TensorRef a = blocked({1, 3, 4, 4}), b = blocked({1, 3, 4, 5});
    const TensorRef row = blocked({1, 48, 1, 1});
    check_throws<ShapeError>("add", "add: b has shape (1, 3, 4, 5), expected (1, 3, 4, 4)",
                             [&] { ops::add_task({}, a, b, a, isa); });
    check_throws<ShapeError>("activation", "activation: y has shape",
                             [&] { ops::activation_task(kRelu, a, b, isa); });
    check_throws<ShapeError>("activation", "must be finite", [&] {
        ops::activation_task({ops::ActivationKind::kTanh, kInfinity, 1}, a, a, isa);
    });
    check_throws<ShapeError>("softmax", "must be in the blocked layout",
                             [&] { ops::softmax_task({}, plain({1, 3, 4, 4}), a, isa); });
    check_throws<ShapeError>("lrn", "on one side",
                             [&] { ops::lrn_task({-1, 2, 1, 0.75f, 1}, a, a, isa); });
    check_throws<UnsupportedError>("lrn", "at most 64",
                                   [&] { ops::lrn_task({65, 2, 1, 0.75f, 1}, a, a, isa); });
    check_throws<ShapeError>("lrn", "alpha",
                             [&] { ops::lrn_task({2, 2, kNan, 0.75f, 1}, a, a, isa); });
    check_throws<ShapeError>("lrn", "k must",
                             [&] { ops::lrn_task({2, 2, 1, 0.75f, -1}, a, a, isa); });
    const std::vector<float> zeros(64);
    check_throws<ShapeError>("channel_affine", "scale and shift have 4", [&] {
        const auto packed = ops::channel_affine_pack(zeros.data(), zeros.data(), 4);
        ops::channel_affine_task({}, a, packed, a, isa);
    });
    check_throws<ShapeError>("copy_channels", "do not fit the output's 3",
                             [&] { ops::copy_channels_task({1, 1, false}, a, a, isa); });
    check_throws<ShapeError>("copy_channels", "stride must be at least 1",
                             [&] { ops::copy_channels_task({0, 0, false}, a, a, isa); });
    check_throws<ShapeError>("copy_channels", "expected (1, 3, 2, 2)",
                             [&] { ops::copy_channels_task({0, 2, false}, a, a, isa); });
    check_throws<ShapeError>("layout", "nothing to change", [&] {
        ops::layout_task(plain({1, 3, 4, 4}), plain({1, 3, 4, 4}), isa);
    });
    check_throws<ShapeError>("flatten", "expected (1, 48, 1, 1)",
                             [&] { ops::layout_task(a, b, isa); });
    check_throws<ShapeError>("rbf", "flatten it first", [&] {
        ops::rbf_task(a, ops::rbf_pack(zeros.data(), 4, 3), row, isa);
    });
    check_throws<ShapeError>("rbf", "the weight expects 16", [&] {
        ops::rbf_task(row, ops::rbf_pack(zeros.data(), 4, 16), blocked({1, 4, 1, 1}), isa);
    });
}

void check_isa(Isa isa) {
    const int failed_before = failed;
    worst.clear();
    Random random;
    check_conv2d(isa, random);
    check_linear(isa, random);
    check_pool2d(isa, random);
    check_lrn(isa, random);
    check_add(isa, random);
    check_activation(isa, random);
    check_binary(isa, random);
    check_gather(isa, random);
    check_permute(isa, random);
    check_softmax(isa, random);
    check_channel_affine(isa, random);
    check_copy_channels(isa, random);
    check_layout(isa, random);
    check_rbf(isa, random);
    check_relative_accuracy(isa);
    check_special_values(isa);
    check_softmax_pixels(isa, random);
    check_misuse(isa);
    std::printf("%s: %s; largest errors:\n", isa_name(isa),
                failed == failed_before ? "ok" : "FAILED");
    for (const auto& [op, w] : worst) {
        std::printf("  %-36s %.1e  %3.0f %% of the tolerance\n", op.c_str(), w.error,
                    100 * w.of_tolerance);
    }
}

}  // namespace
}  // namespace pycnn

int main() {
    using namespace pycnn::selfcheck;
    for (pycnn::Isa isa : pycnn::available_isas()) pycnn::check_isa(isa);
    check_image();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}

// All ops but convolutions: every dtype, dense and in slices of larger tensors.
#include <cmath>

#include "harness.h"

namespace pycnn::cuda::test {
namespace {

// Shapes with channels that are whole vectors of every dtype, of none, and few.
const Shape kShapes[] = {{2, 16, 5, 7}, {1, 40, 3, 3}, {3, 13, 4, 5}, {1, 1, 1, 1}, {2, 100, 1, 1}};

template <class Body>
void for_all(const std::string& op, Body body) {
    for (DType dtype : kDTypes) {
        for (const Placement& place : kPlacements) {
            for (const Shape& shape : kShapes) {
                const std::string what = op + " " + name(dtype) + " " + text(shape) + " at " +
                                         std::to_string(place.before);
                body(what, dtype, place, shape);
            }
        }
    }
}

using Launch = std::function<void(const UnaryArgs&)>;
using Reference = std::function<Plain(const Plain&)>;

void check(const std::string& what, DType dtype, const Placement& place, const Plain& input,
           const Shape& out, double tolerance, const Launch& run, const Reference& expected) {
    const Plain x = rounded(input, dtype);
    const Plain right = expected(x);
    in_both_orders([&] {
        Placed x_dev(x.shape, dtype, place.before, place.after);
        Placed y_dev(out, dtype, place.before, place.after);
        x_dev.fill(x);
        run({dtype, x_dev.tensor(), y_dev.tensor()});
        compare(what, y_dev.values(), right, tolerance);
        report(y_dev.others_untouched(), what, "wrote beside its tensor");
    });
}

void test_activation() {
    using ops::ActivationKind;
    const ops::ActivationParams kinds[] = {
        {ActivationKind::kRelu, 1, 1},
        {ActivationKind::kSigmoid, 1, 1},
        {ActivationKind::kTanh, 1.7159f, 2.0f / 3},
        {ActivationKind::kAffine, 2, -1},
        {ActivationKind::kLeakyRelu, 0.1f, 0},
        {ActivationKind::kClip, -0.5f, 0.5f},
        {ActivationKind::kHardSigmoid, 0.2f, 0.5f},
        {ActivationKind::kHardSwish, 0, 0},
        {ActivationKind::kPow, 2, 0},
        {ActivationKind::kSqrt, 0, 0},
    };
    Random random;
    for (const ops::ActivationParams& p : kinds) {
        const std::string kind = std::to_string(static_cast<int>(p.kind));
        for_all("activation " + kind, [&](const std::string& what, DType dtype,
                                          const Placement& place, const Shape& shape) {
            Plain x = random.plain(shape, 4);
            x.data[0] = std::numeric_limits<double>::quiet_NaN();
            check(
                what, dtype, place, x, shape, rounding_tolerance(dtype),
                [&](const UnaryArgs& args) { launch_activation(p, args, {}); },
                [&](const Plain& in) { return reference::activation(in, p); });
        });
    }
}

void test_add() {
    Random random;
    for (bool relu : {false, true}) {
        for_all("add", [&](const std::string& what, DType dtype, const Placement& place,
                           const Shape& shape) {
            const Plain a = rounded(random.plain(shape), dtype);
            const Plain b = rounded(random.plain(shape), dtype);
            Placed a_dev(shape, dtype, place.before, place.after), b_dev(shape, dtype);
            a_dev.fill(a);
            b_dev.fill(b);
            launch_add({relu}, {dtype, a_dev.tensor(), b_dev.tensor(), b_dev.tensor()}, {});
            compare(what, b_dev.values(), reference::add(a, b, relu), rounding_tolerance(dtype));
        });
    }
}

void test_binary() {
    using ops::BinaryKind;
    Random random;
    for (BinaryKind kind : {BinaryKind::kAdd, BinaryKind::kMul, BinaryKind::kDiv, BinaryKind::kMax,
                            BinaryKind::kMin, BinaryKind::kPrelu}) {
        const ops::BinaryParams p{kind, 0.5f, -2.0f, kind == BinaryKind::kAdd};
        for_all(
            "binary " + std::to_string(static_cast<int>(kind)),
            [&](const std::string& what, DType dtype, const Placement& place, const Shape& shape) {
                const Shape others[] = {shape,
                                        {1, shape.c, 1, 1},
                                        {shape.n, 1, shape.h, shape.w},
                                        {1, 1, 1, 1},
                                        {1, shape.c, shape.h, 1}};
                for (const Shape& other : others) {
                    const Plain a = rounded(random.plain(shape), dtype);
                    Plain b = random.plain(other);
                    for (double& value : b.data) value += value < 0 ? -0.5 : 0.5;
                    b = rounded(b, dtype);
                    Placed a_dev(shape, dtype, place.before, place.after), b_dev(other, dtype);
                    Placed y_dev(shape, dtype, place.before, place.after);
                    a_dev.fill(a);
                    b_dev.fill(b);
                    launch_binary(p, {dtype, a_dev.tensor(), b_dev.tensor(), y_dev.tensor()}, {});
                    compare(what + " with " + text(other), y_dev.values(),
                            reference::binary(a, b, p), rounding_tolerance(dtype));
                    report(y_dev.others_untouched(), what, "wrote beside its tensor");
                    launch_binary(p, {dtype, b_dev.tensor(), a_dev.tensor(), y_dev.tensor()}, {});
                    if (kind == BinaryKind::kDiv) continue;  // by small numbers
                    compare(what + " of " + text(other), y_dev.values(), reference::binary(b, a, p),
                            rounding_tolerance(dtype));
                }
            });
    }
}

void test_channel_affine() {
    Random random;
    for_all("channel_affine", [&](const std::string& what, DType dtype, const Placement& place,
                                  const Shape& shape) {
        const Plain scale = random.plain({1, shape.c, 1, 1}), shift = random.plain(scale.shape);
        const std::vector<float> scale_dev(scale.data.begin(), scale.data.end());
        const std::vector<float> shift_dev(shift.data.begin(), shift.data.end());
        check(
            what, dtype, place, random.plain(shape), shape, rounding_tolerance(dtype),
            [&](const UnaryArgs& args) {
                launch_channel_affine(
                    {true}, {args.dtype, args.x, args.y, scale_dev.data(), shift_dev.data()}, {});
            },
            [&](const Plain& x) { return reference::channel_affine(x, scale, shift, true); });
    });
}

// The reference's std::max drops NaN; the op keeps it.
Plain pooled(const Plain& x, const ops::Pool2dParams& params, const Shape& out) {
    Plain y = reference::pool2d(x, params, out);
    if (params.kind == ops::PoolKind::kAverage) return y;
    Plain is_nan(x.shape);
    for (size_t i = 0; i < x.data.size(); ++i) is_nan.data[i] = std::isnan(x.data[i]);
    is_nan = reference::pool2d(is_nan, params, out);
    for (size_t i = 0; i < y.data.size(); ++i) {
        if (is_nan.data[i] == 1) y.data[i] = std::numeric_limits<double>::quiet_NaN();
    }
    return y;
}

void test_pool2d() {
    using ops::PoolKind;
    struct Case {
        Shape x;
        ops::Pool2dParams params;
        int64_t out_h, out_w;
    };
    const ops::WindowRule caffe = ops::WindowRule::kCaffe;
    const Case cases[] = {
        {{2, 16, 9, 9}, {PoolKind::kMax, {3, 3}, {2, 2}, {1, 1, 1, 1}}, 5, 5},
        {{1, 24, 8, 8}, {PoolKind::kMax, {3, 3}, {2, 2}, {0, 0, 0, 0}, true}, 4, 4},
        {{2, 5, 7, 6}, {PoolKind::kMax, {2, 3}, {2, 1}, {0, 0, 1, 0}}, 3, 5},
        {{1, 16, 7, 7}, {PoolKind::kMax, {1, 1}, {3, 3}, {0, 0, 0, 0}, true, true, caffe}, 3, 3},
        {{1, 8, 6, 6}, {PoolKind::kMax, {1, 1}, {4, 4}, {0, 0, 0, 0}, true, true, caffe}, 3, 3},
        {{2, 16, 6, 5}, {PoolKind::kAverage, {3, 3}, {1, 1}, {1, 1, 1, 1}}, 6, 5},
        {{2, 9, 6, 5}, {PoolKind::kAverage, {3, 3}, {2, 2}, {1, 1, 1, 1}, false, false}, 3, 3},
        {{1, 16, 6, 6}, {PoolKind::kAverage, {3, 3}, {2, 2}, {0, 0, 0, 0}, true}, 3, 3},
        {{2, 64, 7, 7}, {PoolKind::kAverage, {7, 7}, {1, 1}}, 1, 1},
        {{2, 11, 9, 8}, {PoolKind::kAverage, {9, 8}, {1, 1}}, 1, 1},
        {{1, 16, 8, 8}, {PoolKind::kMax, {8, 8}, {1, 1}}, 1, 1},
    };
    Random random;
    for (DType dtype : kDTypes) {
        for (const Placement& place : kPlacements) {
            for (const Case& c : cases) {
                const Shape out{c.x.n, c.x.c, c.out_h, c.out_w};
                const bool is_max = c.params.kind == PoolKind::kMax;
                Plain x = random.plain(c.x);
                if (is_max) x.data[5] = std::numeric_limits<double>::quiet_NaN();
                const std::string what = std::string("pool2d ") + name(dtype) + " " + text(c.x) +
                                         " to " + text(out) + (is_max ? " max" : " average");
                check(
                    what, dtype, place, x, out, is_max ? 0 : rounding_tolerance(dtype),
                    [&](const UnaryArgs& args) { launch_pool2d(c.params, args, {}); },
                    [&](const Plain& in) {
                        const Plain y = pooled(in, c.params, out);
                        return is_max ? rounded(y, dtype) : y;  // -FLT_MAX is -inf in 16 bits
                    });
            }
        }
    }
}

void test_lrn() {
    Random random;
    const ops::LrnParams cases[] = {
        {2, 2, 1e-1f, 0.75f, 1}, {1, 2, 0.5f, 0.75f, 2}, {0, 0, 1, 0.5f, 1}, {12, 3, 1, 1, 1}};
    for (const ops::LrnParams& p : cases) {
        for_all("lrn " + std::to_string(p.before), [&](const std::string& what, DType dtype,
                                                       const Placement& place, const Shape& shape) {
            check(
                what, dtype, place, random.plain(shape, 3), shape, 2 * rounding_tolerance(dtype),
                [&](const UnaryArgs& args) { launch_lrn(p, args, {}); },
                [&](const Plain& x) { return reference::lrn(x, p); });
        });
    }
}

void test_softmax() {
    Random random;
    for_all("softmax",
            [&](const std::string& what, DType dtype, const Placement& place, const Shape& shape) {
                const Plain x = random.plain(shape, 5);
                check(
                    what, dtype, place, x, shape, 2 * rounding_tolerance(dtype),
                    [&](const UnaryArgs& args) { launch_softmax({false}, args, {}); },
                    [&](const Plain& in) { return reference::softmax(in); });
                check(
                    what + " log", dtype, place, x, shape, 2 * rounding_tolerance(dtype),
                    [&](const UnaryArgs& args) { launch_softmax({true}, args, {}); },
                    [&](const Plain& in) {
                        Plain y = reference::softmax(in);
                        for (double& value : y.data) value = std::log(value);
                        return y;
                    });
            });
}

void test_copy_channels() {
    Random random;
    for_all("copy_channels", [&](const std::string& what, DType dtype, const Placement& place,
                                 const Shape& shape) {
        for (const ops::CopyChannelsParams& p :
             {ops::CopyChannelsParams{8, 1, false}, {3, 1, false}, {8, 2, true}, {5, 2, true}}) {
            const Plain x = rounded(random.plain(shape), dtype);
            const Shape out{shape.n, shape.c + 16, divide_round_up(shape.h, p.stride),
                            divide_round_up(shape.w, p.stride)};
            Plain before(out, std::numeric_limits<double>::quiet_NaN());
            Placed x_dev(shape, dtype, place.before, place.after);
            Placed y_dev(out, dtype, place.before, place.after);
            x_dev.fill(x);
            launch_copy_channels(p, {dtype, x_dev.tensor(), y_dev.tensor()}, {});
            const double others = p.fill ? 0 : std::numeric_limits<double>::quiet_NaN();
            compare(what, y_dev.values(), reference::copy_channels(x, p, out.c, others), 0);
            report(y_dev.others_untouched(), what, "wrote beside its tensor");
        }
    });
}

void test_gather() {
    Random random;
    for_all("gather",
            [&](const std::string& what, DType dtype, const Placement& place, const Shape& shape) {
                ops::GatherParams p;
                const auto pick = [&](int64_t count, int64_t size) {
                    std::vector<int64_t> list;
                    for (int64_t i = 0; i < count; ++i) list.push_back(random.below(size + 1) - 1);
                    return list;
                };
                p.channels = pick(19, shape.c);
                p.rows = pick(3, shape.h);
                p.columns = pick(6, shape.w);
                p.fill = 0.25f;
                std::vector<int32_t> indices;
                for (const auto* list : {&p.channels, &p.rows, &p.columns}) {
                    indices.insert(indices.end(), list->begin(), list->end());
                }
                check(
                    what, dtype, place, random.plain(shape), {shape.n, 19, 3, 6}, 0,
                    [&](const UnaryArgs& args) {
                        launch_gather({args.dtype, args.x, args.y, indices.data(), p.fill}, {});
                    },
                    [&](const Plain& x) { return reference::gather(x, p); });
            });
}

void test_permute() {
    Random random;
    const Shape shape{2, 6, 4, 5};
    const std::pair<ops::PermuteParams, Shape> cases[] = {
        {{{6, 4, 5}, {2, 0, 1}}, {2, 5, 6, 4}},
        {{{2, 3, 20}, {1, 0, 2}}, {2, 6, 4, 5}},
        {{{120}, {0}}, {2, 8, 3, 5}},
        {{{2, 1, 3, 2, 2, 5, 1, 1}, {5, 3, 0, 7, 1, 2, 6, 4}}, {2, 20, 3, 2}},
    };
    for (DType dtype : kDTypes) {
        for (const Placement& place : kPlacements) {
            for (const auto& [p, out] : cases) {
                check(
                    std::string("permute ") + name(dtype), dtype, place, random.plain(shape), out,
                    0, [&](const UnaryArgs& args) { launch_permute(p, args, {}); },
                    [&](const Plain& x) { return reference::permute(x, p, out); });
            }
            check(
                std::string("flatten ") + name(dtype), dtype, place, random.plain(shape),
                {2, 120, 1, 1}, 0, [&](const UnaryArgs& args) { launch_flatten(args, {}); },
                [&](const Plain& x) { return reference::flatten(x); });
        }
    }
}

void test_rbf() {
    Random random;
    for (DType dtype : kDTypes) {
        const Plain weight = random.plain({10, 84, 1, 1});
        const std::vector<float> weight_dev(weight.data.begin(), weight.data.end());
        check(
            std::string("rbf ") + name(dtype), dtype, {3, 2}, random.plain({3, 84, 1, 1}),
            {3, 10, 1, 1}, rounding_tolerance(dtype),
            [&](const UnaryArgs& args) {
                launch_rbf({args.dtype, args.x, args.y, weight_dev.data()}, {});
            },
            [&](const Plain& x) { return reference::rbf(x, weight); });
    }
}

void test_layout() {
    Random random;
    for (DType nchw : kDTypes) {
        for_all(
            std::string("layout ") + name(nchw),
            [&](const std::string& what, DType nhwc, const Placement& place, const Shape& shape) {
                const Plain x = rounded(rounded(random.plain(shape), nchw), nhwc);
                const size_t bytes = x.data.size() * static_cast<size_t>(storage_bytes(nchw));
                in_both_orders([&] {
                    Placed there(shape, nhwc, place.before, place.after);
                    std::vector<char> plain(bytes, static_cast<char>(0xFF));
                    there.fill(x);
                    launch_nhwc_to_nchw({nchw, nhwc, plain.data(), there.tensor()}, {});
                    Placed back(shape, nhwc, place.before, place.after);
                    launch_nchw_to_nhwc({nchw, nhwc, plain.data(), back.tensor()}, {});
                    compare(what, back.values(), rounded(x, nchw), 0);
                    report(back.others_untouched(), what, "wrote beside its tensor");
                    // Plain order: channel 1's first pixel comes after all of channel 0's.
                    Placed flat({1, static_cast<int64_t>(x.data.size()), 1, 1}, nchw);
                    std::memcpy(flat.tensor().data, plain.data(), bytes);
                    Plain expected = rounded(x, nchw);
                    expected.shape = flat.tensor().shape;
                    compare(what + " to plain", flat.values(), expected, 0);
                });
            });
    }
}

}  // namespace

void test_ops() {
    test_activation();
    test_add();
    test_binary();
    test_channel_affine();
    test_pool2d();
    test_lrn();
    test_softmax();
    test_copy_channels();
    test_gather();
    test_permute();
    test_rbf();
    test_layout();
}

}  // namespace pycnn::cuda::test

// What each op means, as directly as it can be said: plain NCHW, sums in double. Slow on purpose;
// shares no code with the kernels.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "ops/activation.h"
#include "ops/binary.h"
#include "ops/conv2d.h"
#include "ops/copy_channels.h"
#include "ops/gather.h"
#include "ops/lrn.h"
#include "ops/permute.h"
#include "ops/pool2d.h"

namespace pycnn::reference {

struct Plain {
    Shape shape;
    std::vector<double> data;

    Plain() = default;
    explicit Plain(const Shape& s, double value = 0)
        : shape(s), data(static_cast<size_t>(s.n * s.c * s.h * s.w), value) {}
    size_t index(int64_t n, int64_t c, int64_t h, int64_t w) const {
        return static_cast<size_t>(((n * shape.c + c) * shape.h + h) * shape.w + w);
    }
    double& at(int64_t n, int64_t c, int64_t h, int64_t w) { return data[index(n, c, h, w)]; }
    double at(int64_t n, int64_t c, int64_t h, int64_t w) const { return data[index(n, c, h, w)]; }
    bool inside(int64_t h, int64_t w) const {
        return h >= 0 && h < shape.h && w >= 0 && w < shape.w;
    }
};

// Calls body(n, c, h, w) for every element.
template <class Body>
void for_each(const Shape& s, Body body) {
    for (int64_t n = 0; n < s.n; ++n)
        for (int64_t c = 0; c < s.c; ++c)
            for (int64_t h = 0; h < s.h; ++h)
                for (int64_t w = 0; w < s.w; ++w) body(n, c, h, w);
}

inline double relu(double x) { return x < 0 ? 0.0 : x; }

// bias and residual may be null.
inline Plain conv2d(const Plain& x, const Plain& weight, const Plain* bias, const Plain* residual,
                    const ops::Conv2dParams& p) {
    const Shape& w = weight.shape;
    auto size = [&](int axis, int64_t in, int64_t filter) {
        const int64_t padded = in + p.padding[2 * axis] + p.padding[2 * axis + 1];
        return (padded - p.dilation[axis] * (filter - 1) - 1) / p.stride[axis] + 1;
    };
    Plain y({x.shape.n, w.n, size(0, x.shape.h, w.h), size(1, x.shape.w, w.w)});
    for_each(y.shape, [&](int64_t n, int64_t k, int64_t oh, int64_t ow) {
        double sum = bias ? bias->at(0, k, 0, 0) : 0;
        if (residual) sum += residual->at(n, k, oh, ow);
        const int64_t first = k / (w.n / p.groups) * w.c;
        for (int64_t c = 0; c < w.c; ++c) {
            for (int64_t r = 0; r < w.h; ++r) {
                for (int64_t s = 0; s < w.w; ++s) {
                    const int64_t ih = oh * p.stride[0] - p.padding[0] + r * p.dilation[0];
                    const int64_t iw = ow * p.stride[1] - p.padding[2] + s * p.dilation[1];
                    if (x.inside(ih, iw)) sum += x.at(n, first + c, ih, iw) * weight.at(k, c, r, s);
                }
            }
        }
        y.at(n, k, oh, ow) = p.relu ? relu(sum) : sum;
    });
    return y;
}

// The output shape is given: its rule has a test of its own.
inline Plain pool2d(const Plain& x, const ops::Pool2dParams& p, const Shape& out) {
    Plain y(out);
    const int64_t padded_h = x.shape.h + p.padding[1], padded_w = x.shape.w + p.padding[3];
    for_each(out, [&](int64_t n, int64_t c, int64_t oh, int64_t ow) {
        double sum = 0, largest = -std::numeric_limits<double>::infinity();
        int64_t padded = 0, inside = 0;
        for (int64_t r = 0; r < p.kernel_size[0]; ++r) {
            for (int64_t s = 0; s < p.kernel_size[1]; ++s) {
                const int64_t h = oh * p.stride[0] - p.padding[0] + r;
                const int64_t w = ow * p.stride[1] - p.padding[2] + s;
                padded += h < padded_h && w < padded_w;
                if (!x.inside(h, w)) continue;
                ++inside;
                sum += x.at(n, c, h, w);
                largest = std::max(largest, x.at(n, c, h, w));
            }
        }
        const int64_t divisor = p.count_include_pad ? padded : inside;
        y.at(n, c, oh, ow) = p.kind == ops::PoolKind::kMax ? (inside ? largest : -FLT_MAX)
                                                           : (inside ? sum / divisor : 0);
    });
    return y;
}

inline Plain lrn(const Plain& x, const ops::LrnParams& p) {
    Plain y(x.shape);
    for_each(x.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        double sum = 0;
        for (int64_t j = std::max<int64_t>(c - p.before, 0);
             j <= std::min(c + p.after, x.shape.c - 1); ++j) {
            sum += x.at(n, j, h, w) * x.at(n, j, h, w);
        }
        const double size = static_cast<double>(p.before + p.after + 1);
        y.at(n, c, h, w) = x.at(n, c, h, w) / std::pow(p.k + p.alpha / size * sum, p.beta);
    });
    return y;
}

inline Plain add(const Plain& a, const Plain& b, bool with_relu) {
    Plain y = a;
    for (size_t i = 0; i < y.data.size(); ++i) {
        y.data[i] += b.data[i];
        if (with_relu) y.data[i] = relu(y.data[i]);
    }
    return y;
}

inline double activation(double x, const ops::ActivationParams& p) {
    switch (p.kind) {
        case ops::ActivationKind::kRelu: return relu(x);
        case ops::ActivationKind::kSigmoid: return 1 / (1 + std::exp(-x));
        case ops::ActivationKind::kTanh: return p.alpha * std::tanh(p.beta * x);
        case ops::ActivationKind::kAffine: return p.alpha * x + p.beta;
        case ops::ActivationKind::kLeakyRelu: return x < 0 ? p.alpha * x : x;
        case ops::ActivationKind::kClip: return std::clamp<double>(x, p.alpha, p.beta);
        case ops::ActivationKind::kHardSigmoid: return std::clamp(p.alpha * x + p.beta, 0.0, 1.0);
        case ops::ActivationKind::kHardSwish: return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
        case ops::ActivationKind::kPow: return std::pow(x, p.alpha);
        case ops::ActivationKind::kSqrt: return std::sqrt(x);
    }
    return 0;
}

inline Plain activation(const Plain& x, const ops::ActivationParams& p) {
    Plain y = x;
    for (double& value : y.data) value = activation(value, p);
    return y;
}

// Broadcast along every axis where one of the two has size 1.
inline Plain binary(const Plain& a, const Plain& b, const ops::BinaryParams& p) {
    const auto size = [](int64_t i, int64_t j) { return i == 1 ? j : i; };
    Plain y({size(a.shape.n, b.shape.n), size(a.shape.c, b.shape.c), size(a.shape.h, b.shape.h),
             size(a.shape.w, b.shape.w)});
    const auto at = [](const Plain& x, int64_t n, int64_t c, int64_t h, int64_t w) {
        const Shape& s = x.shape;
        return x.at(s.n == 1 ? 0 : n, s.c == 1 ? 0 : c, s.h == 1 ? 0 : h, s.w == 1 ? 0 : w);
    };
    for_each(y.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        const double l = at(a, n, c, h, w), r = at(b, n, c, h, w);
        double& value = y.at(n, c, h, w);
        switch (p.kind) {
            case ops::BinaryKind::kAdd: value = p.alpha * l + p.beta * r; break;
            case ops::BinaryKind::kMul: value = l * r; break;
            case ops::BinaryKind::kDiv: value = l / r; break;
            case ops::BinaryKind::kMax: value = std::max(l, r); break;
            case ops::BinaryKind::kMin: value = std::min(l, r); break;
            case ops::BinaryKind::kPrelu: value = l < 0 ? l * r : l; break;
        }
        if (p.relu) value = relu(value);
    });
    return y;
}

inline Plain gather(const Plain& x, const ops::GatherParams& p) {
    Plain y({x.shape.n, static_cast<int64_t>(p.channels.size()),
             static_cast<int64_t>(p.rows.size()), static_cast<int64_t>(p.columns.size())});
    for_each(y.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        const int64_t from_c = p.channels[c], from_h = p.rows[h], from_w = p.columns[w];
        const bool outside = from_c < 0 || from_h < 0 || from_w < 0;
        y.at(n, c, h, w) = outside ? p.fill : x.at(n, from_c, from_h, from_w);
    });
    return y;
}

// Numbers in the order of the transposed array, each found by its index in the original one.
inline Plain permute(const Plain& x, const ops::PermuteParams& p, const Shape& out) {
    Plain y(out);
    const int64_t each = x.shape.c * x.shape.h * x.shape.w;
    const size_t rank = p.dims.size();
    std::vector<int64_t> index(rank, 0);  // in the transposed array
    for (int64_t i = 0; i < each; ++i) {
        std::vector<int64_t> original(rank);
        for (size_t axis = 0; axis < rank; ++axis) original[p.perm[axis]] = index[axis];
        int64_t place = 0;
        for (size_t axis = 0; axis < rank; ++axis) place = place * p.dims[axis] + original[axis];
        for (int64_t n = 0; n < x.shape.n; ++n) y.data[n * each + i] = x.data[n * each + place];
        for (size_t axis = rank; axis-- > 0;) {
            if (++index[axis] < p.dims[p.perm[axis]]) break;
            index[axis] = 0;
        }
    }
    return y;
}

inline Plain softmax(const Plain& x) {
    Plain y(x.shape);
    for_each({x.shape.n, 1, x.shape.h, x.shape.w}, [&](int64_t n, int64_t, int64_t h, int64_t w) {
        double largest = x.at(n, 0, h, w), sum = 0;
        for (int64_t c = 0; c < x.shape.c; ++c) largest = std::max(largest, x.at(n, c, h, w));
        for (int64_t c = 0; c < x.shape.c; ++c) {
            sum += y.at(n, c, h, w) = std::exp(x.at(n, c, h, w) - largest);
        }
        for (int64_t c = 0; c < x.shape.c; ++c) y.at(n, c, h, w) /= sum;
    });
    return y;
}

inline Plain channel_affine(const Plain& x, const Plain& scale, const Plain& shift,
                            bool with_relu) {
    Plain y(x.shape);
    for_each(x.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        const double value = x.at(n, c, h, w) * scale.at(0, c, 0, 0) + shift.at(0, c, 0, 0);
        y.at(n, c, h, w) = with_relu ? relu(value) : value;
    });
    return y;
}

// `others` is what the channels that are not copied hold.
inline Plain copy_channels(const Plain& x, const ops::CopyChannelsParams& p, int64_t channels,
                           double others) {
    Plain y({x.shape.n, channels, (x.shape.h + p.stride - 1) / p.stride,
             (x.shape.w + p.stride - 1) / p.stride},
            others);
    for_each({y.shape.n, x.shape.c, y.shape.h, y.shape.w},
             [&](int64_t n, int64_t c, int64_t h, int64_t w) {
                 y.at(n, p.offset + c, h, w) = x.at(n, c, h * p.stride, w * p.stride);
             });
    return y;
}

inline Plain flatten(const Plain& x) {
    Plain y = x;  // plain NCHW is in the order c, h, w already
    y.shape = {x.shape.n, x.shape.c * x.shape.h * x.shape.w, 1, 1};
    return y;
}

inline Plain rbf(const Plain& x, const Plain& weight) {
    Plain y({x.shape.n, weight.shape.n, 1, 1});
    for_each(y.shape, [&](int64_t n, int64_t k, int64_t, int64_t) {
        for (int64_t j = 0; j < x.shape.c; ++j) {
            const double difference = x.at(n, j, 0, 0) - weight.at(k, j, 0, 0);
            y.at(n, k, 0, 0) -= difference * difference;
        }
    });
    return y;
}

}  // namespace pycnn::reference

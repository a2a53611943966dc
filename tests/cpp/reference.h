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
#include "ops/conv2d.h"
#include "ops/copy_channels.h"
#include "ops/lrn.h"
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
    }
    return 0;
}

inline Plain activation(const Plain& x, const ops::ActivationParams& p) {
    Plain y = x;
    for (double& value : y.data) value = activation(value, p);
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

#include "ops/winograd.h"

#include <cmath>
#include <vector>

#include "core/tensor.h"

namespace pycnn::ops {
namespace {

// G, [products][filter], with the rows of each phase of the stride on the taps that it sees.
std::vector<double> filter_transform(const WinogradForm& form) {
    const int r = form.filter;
    std::vector<double> g(form.products() * r, 0.0);
    double* row = g.data();
    for (int phase = 0; phase < form.stride; ++phase) {
        const int taps = winograd_phase_taps(r, form.stride, phase);
        const int products = winograd_phase_products(form.output, r, form.stride, phase);
        if (taps == 1) {  // no interpolation: each product is an output
            for (int i = 0; i < products; ++i, row += r) row[phase] = 1;
            continue;
        }
        const WinogradPoints points = winograd_points(products);
        std::vector<double> finite;
        if (points.zero) finite.push_back(0);
        for (int q = 0; q < points.pairs; ++q) {
            finite.push_back(points.magnitude[q]);
            finite.push_back(-points.magnitude[q]);
        }
        for (size_t i = 0; i < finite.size(); ++i, row += r) {
            double scale = 1;
            for (size_t j = 0; j < finite.size(); ++j) {
                if (j != i) scale *= finite[i] - finite[j];
            }
            for (int k = 0; k < taps; ++k) {
                row[phase + k * form.stride] = std::pow(finite[i], k) / scale;
            }
        }
        row[phase + (taps - 1) * form.stride] = 1;
        row += r;
    }
    return g;
}

}  // namespace

void winograd_transform_weights(const WinogradForm& form, const float* weight, int64_t channels,
                                int64_t lanes, float* out) {
    const std::vector<double> g = filter_transform(form);
    const int n = form.products(), r = form.filter;
    using Lanes = std::array<double, kChannelBlock>;
    std::vector<Lanes> filter(r * r), half(n * r);
    for (int64_t c = 0; c < channels; ++c) {
        for (int tap = 0; tap < r * r; ++tap) {
            for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
                filter[tap][lane] =
                    lane < lanes ? weight[(lane * channels + c) * r * r + tap] : 0.0;
            }
        }
        for (int i = 0; i < n; ++i) {  // half = G g, (products, filter)
            for (int s = 0; s < r; ++s) {
                Lanes sum{};
                for (int k = 0; k < r; ++k) {
                    for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
                        sum[lane] += g[i * r + k] * filter[k * r + s][lane];
                    }
                }
                half[i * r + s] = sum;
            }
        }
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < n; ++j) {
                Lanes sum{};
                for (int k = 0; k < r; ++k) {
                    for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
                        sum[lane] += g[j * r + k] * half[i * r + k][lane];
                    }
                }
                float* to = out + ((i * n + j) * channels + c) * kChannelBlock;
                for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
                    to[lane] = static_cast<float>(sum[lane]);
                }
            }
        }
    }
}

}  // namespace pycnn::ops

#include "ops/winograd.h"

#include <cmath>

namespace pycnn::ops {

std::vector<double> winograd_filter_transform(const WinogradForm& form) {
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

}  // namespace pycnn::ops

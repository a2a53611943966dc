// Winograd's minimal filtering, the mathematics that the packing of weights and the kernels share.
//
// F(m, r): m outputs of a filter of r taps from m + r - 1 products (Winograd 1980; Lavin and Gray
// 2016 for convolutions). With d the input, g the filter, per axis:
//   y = A^T [(G g) * (B^T d)],   y[j] = sum_k g[k] d[j + k]
// The products belong to the points of an interpolation: perhaps 0, pairs +a and -a, and infinity.
// With p the finite points, M(x) = prod_j (x - p_j):
//   B^T has a row of coefficients of M(x) / (x - p_i) for each finite point and of M(x) for
//   infinity, G   a row p_i^k / prod_{j != i} (p_i - p_j), and (0 ... 0 1) for infinity, A^T a
//   column p_i^j, and (0 ... 0 1) for infinity.
// In two dimensions both axes are transformed: products^2 products for output^2 outputs.
//
// A stride of 2 cuts input and filter into their even and their odd samples, each a filter of
// stride 1 with half of the taps: F(m, 2) and F(m, 1) for r = 3. Their products stand side by side,
// and A^T adds both parts, so the kernels see one form with 2m + 1 products in place of 3m.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace pycnn::ops {

// Points in the order of the products: 0 where `zero`, then +a and -a of each pair, then infinity.
struct WinogradPoints {
    bool zero = false;
    int pairs = 0;
    std::array<double, 3> magnitude{};
};

// The points with the smallest errors that were found for each number of products
// (docs/numerics.md).
constexpr WinogradPoints winograd_points(int products) {
    constexpr double kRoot2 = 1.41421356237309504880;
    switch (products) {
        case 3: return {false, 1, {1}};
        case 4: return {true, 1, {1}};
        case 5: return {false, 2, {kRoot2 / 2, kRoot2}};
        case 6: return {true, 2, {kRoot2 / 2, kRoot2}};
        case 7: return {false, 3, {0.4, 0.9, 1.8}};
        case 8: return {true, 3, {1, 2, 0.5}};
        default: return {};
    }
}

// Coefficients of prod (x^2 - a_q^2) over all pairs but `skip`, ascending in x^2. The highest is 1.
struct PairProduct {
    int degree = 0;
    std::array<double, 4> coefficient{1};
};
constexpr PairProduct winograd_pair_product(const WinogradPoints& points, int skip = -1) {
    PairProduct product;
    for (int q = 0; q < points.pairs; ++q) {
        if (q == skip) continue;
        const double square = points.magnitude[q] * points.magnitude[q];
        product.coefficient[++product.degree] = 0;
        for (int k = product.degree; k >= 0; --k) {
            product.coefficient[k] =
                (k > 0 ? product.coefficient[k - 1] : 0) - square * product.coefficient[k];
        }
    }
    return product;
}

// The taps of a filter that phase f of the stride sees, and its products.
constexpr int winograd_phase_taps(int filter, int stride, int phase) {
    return (filter - phase + stride - 1) / stride;
}
constexpr int winograd_phase_products(int output, int filter, int stride, int phase) {
    return output + winograd_phase_taps(filter, stride, phase) - 1;
}
constexpr int winograd_products(int output, int filter, int stride) {
    int products = 0;
    for (int phase = 0; phase < stride; ++phase) {
        products += winograd_phase_products(output, filter, stride, phase);
    }
    return products;
}

// One algorithm: square tiles of output^2 pixels of a filter^2 convolution.
struct WinogradForm {
    int output, filter, stride;
    constexpr int products() const { return winograd_products(output, filter, stride); }
    constexpr int input() const {
        return (output - 1) * stride + filter;
    }  // pixels of a tile's side
};

// G, [products][filter], with the rows of each phase of the stride on the taps that it sees.
std::vector<double> winograd_filter_transform(const WinogradForm& form);

}  // namespace pycnn::ops

// The transforms of Winograd's algorithms along one axis, made at compile time from the points of
// ops/winograd.h. Even and odd powers are kept apart, so that +a and -a share their sums.
#pragma once

#include "cpu/kernels/vec.h"
#include "ops/winograd.h"

namespace pycnn::cpu::PYCNN_ISA {

// The transforms of one axis for one phase of the stride; see ops/winograd.h.
template <int kOutput, int kTaps>
struct Phase {
    static constexpr int kProducts = kOutput + kTaps - 1;
    static constexpr ops::WinogradPoints kPoints = ops::winograd_points(kProducts);

    // The product's polynomial in x^2 on samples first, first + 2, ... of d.
    template <int kSkip>
    PYCNN_INLINE static Vec pair_product(const Vec* d, int first) {
        constexpr ops::PairProduct product = ops::winograd_pair_product(kPoints, kSkip);
        Vec sum = d[first + 2 * product.degree];
        PYCNN_UNROLL for (int k = product.degree - 1; k >= 0; --k) {
            sum += static_cast<float>(product.coefficient[k]) * d[first + 2 * k];
        }
        return sum;
    }
    template <int kPair>
    PYCNN_INLINE static void pair_rows(const Vec* d, Vec* out) {
        if constexpr (kPair < kPoints.pairs) {
            const Vec even = pair_product<kPair>(d, kPoints.zero + 1);
            const Vec odd = pair_product<kPair>(d, kPoints.zero);
            constexpr float kA = static_cast<float>(kPoints.magnitude[kPair]);
            out[kPoints.zero + 2 * kPair] = even + kA * odd;
            out[kPoints.zero + 2 * kPair + 1] = even - kA * odd;
            pair_rows<kPair + 1>(d, out);
        }
    }
    PYCNN_INLINE static void input(const Vec* d, Vec* out) {
        if constexpr (kTaps == 1) {
            PYCNN_UNROLL for (int i = 0; i < kProducts; ++i) out[i] = d[i];
        } else {
            if constexpr (kPoints.zero) out[0] = pair_product<-1>(d, 0);
            pair_rows<0>(d, out);
            out[kProducts - 1] = pair_product<-1>(d, kPoints.zero);
        }
    }

    // G g, where the filter has 3 taps, in groups of rows that share their sums: those of +a and
    // -a, and those of 0 and infinity. A group has the products kGroupRow[group], -1 where it has
    // one.
    static constexpr int kGroups = kPoints.pairs + 1;
    static constexpr int group_product(int group, int row) {
        if (group < kPoints.pairs) return kPoints.zero + 2 * group + row;
        return row == 0 ? kProducts - 1 : kPoints.zero ? 0 : -1;
    }
    static constexpr double scale_of(double point) {  // 1 / prod (point - p_j)
        double scale = 1;
        if (kPoints.zero && point != 0) scale *= point;
        for (int q = 0; q < kPoints.pairs; ++q) {
            const double a = kPoints.magnitude[q];
            scale *= point == a || point == -a ? 2 * point : point * point - a * a;
        }
        return 1 / scale;
    }
    template <int kGroup>
    PYCNN_INLINE static void filter_group(const Vec* g, Vec* out) {
        static_assert(kTaps == 3);
        if constexpr (kGroup < kPoints.pairs) {
            constexpr double a = kPoints.magnitude[kGroup], scale = scale_of(a);
            constexpr float kEven0 = static_cast<float>(scale);
            constexpr float kEven2 = static_cast<float>(scale * a * a);
            constexpr float kOdd = static_cast<float>(scale * a);
            const Vec even = kEven0 * g[0] + kEven2 * g[2], odd = kOdd * g[1];
            out[0] = even + odd;
            out[1] = kPoints.zero ? even - odd : odd - even;
        } else {
            out[0] = g[2];
            if constexpr (kPoints.zero) out[1] = static_cast<float>(scale_of(0)) * g[0];
        }
    }
    template <int kGroup = 0>
    PYCNN_INLINE static void filter(const Vec* g, Vec* out) {
        if constexpr (kGroup < kGroups) {
            Vec rows[2];
            filter_group<kGroup>(g, rows);
            out[group_product(kGroup, 0)] = rows[0];
            if constexpr (group_product(kGroup, 1) >= 0) out[group_product(kGroup, 1)] = rows[1];
            filter<kGroup + 1>(g, out);
        }
    }

    static constexpr float power(double base, int exponent) {
        double result = 1;
        for (int k = 0; k < exponent; ++k) result *= base;
        return static_cast<float>(result);
    }
    PYCNN_INLINE static void output(const Vec* m, Vec* y) {
        if constexpr (kTaps == 1) {
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) y[j] = m[j];
        } else {
            Vec sum[3], difference[3];
            PYCNN_UNROLL for (int q = 0; q < kPoints.pairs; ++q) {
                sum[q] = m[kPoints.zero + 2 * q] + m[kPoints.zero + 2 * q + 1];
                difference[q] = m[kPoints.zero + 2 * q] - m[kPoints.zero + 2 * q + 1];
            }
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) {
                const Vec* part = j % 2 == 0 ? sum : difference;
                Vec value = power(kPoints.magnitude[0], j) * part[0];
                PYCNN_UNROLL for (int q = 1; q < kPoints.pairs; ++q) {
                    value += power(kPoints.magnitude[q], j) * part[q];
                }
                if (j == 0 && kPoints.zero) value += m[0];
                if (j == kOutput - 1) value += m[kProducts - 1];
                y[j] = value;
            }
        }
    }
};

template <int kOutput_, int kFilter_, int kStride_ = 1>
struct Axis {
    static constexpr int kOutput = kOutput_, kFilter = kFilter_, kStride = kStride_;
    static constexpr ops::WinogradForm kForm{kOutput, kFilter, kStride};
    static constexpr int kProducts = kForm.products(), kInput = kForm.input();
    template <int kPhase>
    using PhaseOf = Phase<kOutput, ops::winograd_phase_taps(kFilter, kStride, kPhase)>;

    // B^T d: kInput samples to kProducts.
    template <int kPhase = 0>
    PYCNN_INLINE static void input(const Vec* d, Vec* out) {
        if constexpr (kPhase < kStride) {
            using Transform = PhaseOf<kPhase>;
            Vec samples[Transform::kProducts];
            PYCNN_UNROLL for (int i = 0; i < Transform::kProducts; ++i) {
                samples[i] = d[kPhase + i * kStride];
            }
            Transform::input(samples, out);
            input<kPhase + 1>(d, out + Transform::kProducts);
        }
    }
    // A^T m: kProducts to kOutput.
    PYCNN_INLINE static void output(const Vec* m, Vec* y) {
        PhaseOf<0>::output(m, y);
        if constexpr (kStride == 2) {
            Vec odd[kOutput];
            PhaseOf<1>::output(m + PhaseOf<0>::kProducts, odd);
            PYCNN_UNROLL for (int j = 0; j < kOutput; ++j) y[j] += odd[j];
        }
    }
};

}  // namespace pycnn::cpu::PYCNN_ISA

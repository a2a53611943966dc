// What the emulator's tests share: device tensors in poisoned memory, and comparisons with a
// float64 reference (tests/cpp/reference.h) at the tolerances of docs/cuda.md.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../cpp/reference.h"
#include "cuda/half.h"
#include "cuda/kernels.h"

namespace pycnn::cuda::test {

using reference::Plain;

inline constexpr DType kDTypes[] = {DType::kFloat32, DType::kFloat16, DType::kBfloat16};
const char* name(DType dtype);
std::string text(const Shape& shape);

// Root of the mean square of the error, relative to that of the reference, of values that were
// rounded once to the dtype: at most half a unit in the last place, 2^-24, 2^-11 or 2^-8, over the
// root of 3; with a margin.
double rounding_tolerance(DType dtype);
// And of float32 sums of so many terms, as tests/tolerances.py has it.
double sum_tolerance(DType dtype, int64_t terms, int64_t outputs);

// As a kernel of this dtype sees a number.
float stored(float value, DType dtype);      // float32 for TF32
float multiplied(float value, DType dtype);  // TF32 has rounded by then

class Random {
public:
    explicit Random(uint64_t seed = 1998) : state_(seed) {}
    // Uniform in [-1, 1), a float's value.
    float next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<float>(static_cast<double>(static_cast<int64_t>(state_)) * 0x1p-63);
    }
    int64_t below(int64_t limit) {
        return static_cast<int64_t>((next() * 0.5f + 0.5f) * static_cast<float>(limit)) % limit;
    }
    Plain plain(const Shape& shape, double scale = 1);

private:
    uint64_t state_;
};

// An NHWC tensor in memory of exactly its size, with `before` and `after` channels of others beside
// each pixel, which are poisoned and must stay so.
class Placed {
public:
    Placed(const Shape& shape, DType dtype, int64_t before = 0, int64_t after = 0);

    void fill(const Plain& values);
    Plain values() const;
    bool others_untouched() const;
    const Tensor& tensor() const { return tensor_; }

private:
    char* element(int64_t n, int64_t c, int64_t h, int64_t w) const;

    DType dtype_;
    int64_t before_;
    std::vector<char> memory_;
    char* begin_;
    Tensor tensor_;
};
// The values as the kernel will see them.
Plain rounded(Plain values, DType dtype);

// How tensors lie in memory: dense; as a slice at vectors' boundaries; as an odd slice.
struct Placement {
    int64_t before, after;
};
inline constexpr Placement kPlacements[] = {{0, 0}, {8, 16}, {3, 2}};

void report(bool ok, const std::string& what, const std::string& problem);
void compare(const std::string& what, const Plain& got, const Plain& expected, double tolerance);
// Runs it with the threads in both orders.
void in_both_orders(const std::function<void()>& run);
// That running fails with a message that contains `expected`.
void expect_failure(const std::string& what, const std::string& expected,
                    const std::function<void()>& run);

// One for each file of tests.
void test_emulator();
void test_index_maps();
void test_ops();
void test_conv2d();

}  // namespace pycnn::cuda::test

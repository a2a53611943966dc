#include "harness.h"

#include <cmath>
#include <cstdio>

#include "cuda/kernels/launch.h"
#include "emulator.h"

namespace pycnn::cuda::test {
namespace {

constexpr char kPoison = static_cast<char>(0xFF);  // NaN in every dtype

int passed = 0, failed = 0;

float read(const char* at, DType dtype) {
    uint16_t bits;
    float value;
    if (storage_bytes(dtype) == 4) {
        std::memcpy(&value, at, 4);
        return value;
    }
    std::memcpy(&bits, at, 2);
    return dtype == DType::kFloat16 ? float16_to_float(bits) : bfloat16_to_float(bits);
}

void write(char* at, float value, DType dtype) {
    if (storage_bytes(dtype) == 4) {
        std::memcpy(at, &value, 4);
        return;
    }
    const uint16_t bits =
        dtype == DType::kFloat16 ? float_to_float16(value) : float_to_bfloat16(value);
    std::memcpy(at, &bits, 2);
}

}  // namespace
}  // namespace pycnn::cuda::test

// The tests look at a launch's results at once.
void pycnn::cuda::queue_work(CUstream_st*, std::function<void()> work) { work(); }

namespace pycnn::cuda::test {

const char* name(DType dtype) {
    switch (dtype) {
        case DType::kFloat32: return "float32";
        case DType::kTf32: return "tf32";
        case DType::kFloat16: return "float16";
        case DType::kBfloat16: return "bfloat16";
    }
    return "?";
}

std::string text(const Shape& s) {
    return "(" + std::to_string(s.n) + "," + std::to_string(s.c) + "," + std::to_string(s.h) + "," +
           std::to_string(s.w) + ")";
}

double rounding_tolerance(DType dtype) {
    switch (dtype) {
        case DType::kFloat32:
        case DType::kTf32: return 3e-7;
        case DType::kFloat16: return 4e-4;
        case DType::kBfloat16: return 3e-3;
    }
    return 0;
}

double sum_tolerance(DType dtype, int64_t terms, int64_t outputs) {
    const double sums = 2e-8 * std::sqrt(static_cast<double>(terms)) *
                        (1 + 4 / std::sqrt(static_cast<double>(outputs)));
    return std::max(rounding_tolerance(dtype), sums);
}

float stored(float value, DType dtype) {
    char bytes[4];
    write(bytes, value, dtype);
    return read(bytes, dtype);
}

float multiplied(float value, DType dtype) {
    return dtype == DType::kTf32 ? round_to_tf32(value) : stored(value, dtype);
}

Plain Random::plain(const Shape& shape, double scale) {
    Plain x(shape);
    for (double& value : x.data) value = static_cast<float>(scale * next());
    return x;
}

Placed::Placed(const Shape& shape, DType dtype, int64_t before, int64_t after)
    : dtype_(dtype), before_(before) {
    const int64_t bytes = storage_bytes(dtype);
    tensor_.shape = shape;
    tensor_.pitch = before + shape.c + after;
    const int64_t elems = before + (shape.n * shape.h * shape.w - 1) * tensor_.pitch + shape.c;
    // malloc aligns to 16 bytes, and AddressSanitizer watches the end.
    memory_.assign(static_cast<size_t>(elems * bytes), kPoison);
    begin_ = memory_.data() + before * bytes;
    tensor_.data = begin_;
}

char* Placed::element(int64_t n, int64_t c, int64_t h, int64_t w) const {
    const Shape& s = tensor_.shape;
    return begin_ + (((n * s.h + h) * s.w + w) * tensor_.pitch + c) * storage_bytes(dtype_);
}

void Placed::fill(const Plain& values) {
    reference::for_each(tensor_.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        write(element(n, c, h, w), static_cast<float>(values.at(n, c, h, w)), dtype_);
    });
}

Plain Placed::values() const {
    Plain x(tensor_.shape);
    reference::for_each(x.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        x.at(n, c, h, w) = read(element(n, c, h, w), dtype_);
    });
    return x;
}

bool Placed::others_untouched() const {
    const int64_t bytes = storage_bytes(dtype_);
    const int64_t elems = static_cast<int64_t>(memory_.size()) / bytes;
    for (int64_t i = 0; i < elems * bytes; ++i) {
        const int64_t c = i / bytes % tensor_.pitch - before_;
        const bool own = c >= 0 && c < tensor_.shape.c;
        if (!own && memory_[static_cast<size_t>(i)] != kPoison) return false;
    }
    return true;
}

Plain rounded(Plain values, DType dtype) {
    for (double& value : values.data) value = stored(static_cast<float>(value), dtype);
    return values;
}

void report(bool ok, const std::string& what, const std::string& problem) {
    ++(ok ? passed : failed);
    if (!ok) std::printf("FAILED %s: %s\n", what.c_str(), problem.c_str());
}

void compare(const std::string& what, const Plain& got, const Plain& expected, double tolerance) {
    double error = 0, scale = 0, worst = -1;
    size_t worst_at = 0;
    for (size_t i = 0; i < expected.data.size(); ++i) {
        const double e = expected.data[i], g = got.data[i];
        if (std::isnan(e) && std::isnan(g)) continue;
        if (e == g) {
            if (std::isfinite(e)) scale += e * e;
            continue;
        }
        const double difference = std::abs(g - e);
        error += difference * difference;
        scale += std::isfinite(e) ? e * e : 0;
        if (!(difference <= worst)) {
            worst = difference;
            worst_at = i;
        }
    }
    const double count = static_cast<double>(expected.data.size());
    const double rms = std::sqrt(error / count), of = std::sqrt(scale / count);
    tolerance *= 1 + 1 / std::sqrt(count);  // a few values may all be bad ones
    const bool ok = rms <= tolerance * (of > 0 ? of : 1);
    report(ok, what,
           "RMS error " + std::to_string(rms / (of > 0 ? of : 1)) + " above " +
               std::to_string(tolerance) + "; worst at " + std::to_string(worst_at) + ": got " +
               std::to_string(got.data[worst_at]) + ", expected " +
               std::to_string(expected.data[worst_at]));
}

void in_both_orders(const std::function<void()>& run) {
    for (emulator::Order order : {emulator::Order::kDescending, emulator::Order::kAscending}) {
        emulator::set_order(order);
        run();
    }
}

void expect_failure(const std::string& what, const std::string& expected,
                    const std::function<void()>& run) {
    try {
        run();
    } catch (const std::exception& e) {
        const bool ok = std::string(e.what()).find(expected) != std::string::npos;
        report(ok, what, "failed with: " + std::string(e.what()));
        return;
    }
    report(false, what, "did not fail");
}

}  // namespace pycnn::cuda::test

// Arguments: the tests to run, all without any. Prints what failed, then as its last line
// "N checks passed, M failed".
int main(int argc, char** argv) {
    using namespace pycnn::cuda::test;
    const std::pair<std::string, void (*)()> tests[] = {
        {"emulator", test_emulator},
        {"index_maps", test_index_maps},
        {"ops", test_ops},
        {"conv2d", test_conv2d},
    };
    for (const auto& [test, run] : tests) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; ++i) wanted = wanted || test == argv[i];
        if (!wanted) continue;
        try {
            run();
        } catch (const std::exception& e) {
            report(false, test, e.what());
        }
    }
    std::printf("%d checks passed, %d failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}

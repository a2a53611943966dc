// What the files of the self-check share: the count of what passed, and random numbers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>

#include "core/error.h"
#include "reference.h"

namespace pycnn::selfcheck {

inline int passed = 0, failed = 0;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline void report(bool ok, const std::string& name, const std::string& problem) {
    ++(ok ? passed : failed);
    if (!ok) std::printf("FAILED %s: %s\n", name.c_str(), problem.c_str());
}

template <class ErrorType>
void check_throws(const std::string& name, const std::string& text,
                  const std::function<void()>& call) {
    try {
        call();
    } catch (const ErrorType& error) {
        report(std::string(error.what()).find(text) != std::string::npos, name,
               str("the message is \"", error.what(), "\""));
        return;
    } catch (const std::exception& error) {
        return report(false, name, str("another type of error: ", error.what()));
    }
    report(false, name, "no error");
}

class Random {
public:
    // Uniform in [-1, 1), a float's value.
    double next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<float>(static_cast<double>(static_cast<int64_t>(state_)) * 0x1p-63);
    }
    reference::Plain plain(const Shape& shape, double scale = 1) {
        reference::Plain x(shape);
        for (double& value : x.data) value = static_cast<float>(scale * next());
        return x;
    }

private:
    uint64_t state_ = 1998;
};

// csrc/image, which has no instruction sets: selfcheck_image.cpp.
void check_image();

}  // namespace pycnn::selfcheck

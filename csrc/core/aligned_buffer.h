// One owned block of float32, aligned to a cache line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "core/error.h"

namespace pycnn {

// std::bad_alloc that says how much was wanted (MemoryError in Python).
class OutOfMemory : public std::bad_alloc {
public:
    explicit OutOfMemory(int64_t elements) noexcept {
        const long long count = elements;
        if (elements > std::numeric_limits<int64_t>::max() / static_cast<int64_t>(sizeof(float))) {
            std::snprintf(
                message_, sizeof message_,
                "out of memory: %lld float32 elements wanted, their bytes do not fit 64 bits",
                count);
        } else {
            std::snprintf(message_, sizeof message_,
                          "out of memory: %lld bytes wanted (%lld float32 elements)",
                          count * static_cast<long long>(sizeof(float)), count);
        }
    }
    const char* what() const noexcept override { return message_; }

private:
    char message_[128];  // not a std::string: copying an exception must not throw
};

// Not initialised: whoever reads before writing has an error. Move only; empty after a move.
class AlignedBuffer {
public:
    static constexpr int64_t kAlignmentBytes = 64;

    AlignedBuffer() = default;
    explicit AlignedBuffer(int64_t elements) : data_(allocate(elements)), size_(elements) {}
    AlignedBuffer(AlignedBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
        AlignedBuffer moved(
            std::move(other));  // frees what this one held, and keeps `x = std::move(x)` whole
        std::swap(data_, moved.data_);
        std::swap(size_, moved.size_);
        return *this;
    }
    ~AlignedBuffer() { std::free(data_); }

    float* data() { return data_; }
    const float* data() const { return data_; }
    int64_t size() const { return size_; }  // elements
    int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(float)); }

    // Fills every byte: 0xFF makes NaN of every float, 0xA5 a small number that no network
    // computes.
    void poison(uint8_t byte) {
        if (size_ > 0) {
            std::memset(data_, byte, static_cast<size_t>(bytes()));
        }
    }

private:
    static float* allocate(int64_t elements) {
        PYCNN_CHECK(elements >= 0, Error, "AlignedBuffer: ", elements,
                    " elements wanted, expected 0 or more");
        if (elements == 0) {
            return nullptr;
        }
        constexpr int64_t kMaxElements = (std::numeric_limits<int64_t>::max() - kAlignmentBytes) /
                                         static_cast<int64_t>(sizeof(float));
        if (elements > kMaxElements) {
            throw OutOfMemory(elements);
        }
        const int64_t bytes = elements * static_cast<int64_t>(sizeof(float));
        const int64_t rounded = (bytes + kAlignmentBytes - 1) / kAlignmentBytes *
                                kAlignmentBytes;  // aligned_alloc's rule
        void* data = std::aligned_alloc(kAlignmentBytes, static_cast<size_t>(rounded));
        if (data == nullptr) {
            throw OutOfMemory(elements);
        }
        return static_cast<float*>(data);
    }

    float* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace pycnn

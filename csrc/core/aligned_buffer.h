// One owned block of float32, aligned to a cache line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <sys/mman.h>
#include <unistd.h>
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
// Large ones lie on huge pages where the system has them: weights are read from end to end at each
// run, and a page table walk every 4 KiB costs a tenth of the memory's speed.
class AlignedBuffer {
public:
    static constexpr int64_t kAlignmentBytes = 64;
    static constexpr int64_t kHugePageBytes = 2 << 20;

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
    ~AlignedBuffer() { release(data_, bytes()); }

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
        if (bytes >= kHugePageBytes) {
            return static_cast<float*>(map(bytes, elements));
        }
        const int64_t rounded = (bytes + kAlignmentBytes - 1) / kAlignmentBytes *
                                kAlignmentBytes;  // aligned_alloc's rule
        void* data = std::aligned_alloc(kAlignmentBytes, static_cast<size_t>(rounded));
        if (data == nullptr) {
            throw OutOfMemory(elements);
        }
        return static_cast<float*>(data);
    }

    // A mapping of its own that begins at a huge page. The last, partial one is of ordinary pages,
    // so that no memory is taken that was not asked for.
    static void* map(int64_t bytes, int64_t elements) {
        const size_t reserved = static_cast<size_t>(bytes + kHugePageBytes);
        void* reservation =
            mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (reservation == MAP_FAILED) {
            throw OutOfMemory(elements);
        }
        char* const begin = static_cast<char*>(reservation);
        const size_t before =
            -reinterpret_cast<uintptr_t>(begin) & static_cast<uintptr_t>(kHugePageBytes - 1);
        char* const data = begin + before;
        const size_t used = mapped_bytes(bytes);
        if (before > 0) munmap(begin, before);
        if (before + used < reserved) munmap(data + used, reserved - before - used);
        madvise(data, used, MADV_HUGEPAGE);  // a wish: without huge pages it works as well
        return data;
    }
    static size_t mapped_bytes(int64_t bytes) {
        const int64_t page = sysconf(_SC_PAGESIZE);
        return static_cast<size_t>((bytes + page - 1) / page * page);
    }
    static void release(float* data, int64_t bytes) {
        if (bytes >= kHugePageBytes) {
            munmap(data, mapped_bytes(bytes));
        } else {
            std::free(data);
        }
    }

    float* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace pycnn

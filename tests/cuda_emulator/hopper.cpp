// The emulator's copy engine, and what else of include/cuda/kernels/hopper.h is no template.
#include "cuda/kernels/hopper.h"

#include <map>

namespace pycnn::cuda {
namespace {

// By what encode_tensor_map leaves in a map: an index.
std::deque<TensorMapSpec>& specs() {
    static std::deque<TensorMapSpec> all;
    return all;
}

// The swizzle of 128 bytes, by addresses in shared memory.
size_t swizzled(size_t address) { return address ^ (address / 128 % 8 * 16); }

void put(void* shared, size_t offset, const void* from, size_t bytes) {
    auto* base = static_cast<char*>(emulator::shared_memory());
    const size_t at = static_cast<size_t>(static_cast<char*>(shared) - base) + offset;
    for (size_t i = 0; i < bytes; i += 16) {
        char* to = base + swizzled(at + i);
        if (from != nullptr) {
            std::memcpy(to, static_cast<const char*>(from) + i, 16);
        } else {
            std::memset(to, 0, 16);
        }
    }
}

// A run of the innermost dimension from `first` on, zeros beyond its size; TF32 is rounded on the
// way.
void copy_run(void* shared, size_t offset, const TensorMapSpec& spec, const char* row,
              int64_t first, int64_t count) {
    const int64_t elem = storage_bytes(spec.dtype);
    std::vector<char> run(static_cast<size_t>(count * elem));
    for (int64_t i = 0; row != nullptr && i < count && first + i < spec.sizes[0]; ++i) {
        char* to = run.data() + i * elem;
        std::memcpy(to, row + (first + i) * elem, static_cast<size_t>(elem));
        if (spec.dtype == DType::kTf32) {
            float value;
            std::memcpy(&value, to, 4);
            value = round_to_tf32(value);
            std::memcpy(to, &value, 4);
        }
    }
    put(shared, offset, run.data(), run.size());
}

}  // namespace

// The manual's limits, so that no plan makes what the driver would refuse.
void encode_tensor_map(const TensorMapSpec& spec, void* map) {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw std::runtime_error(std::string("a tensor map: ") + what);
    };
    require(reinterpret_cast<uintptr_t>(spec.address) % 16 == 0, "address");
    require(reinterpret_cast<uintptr_t>(map) % 64 == 0, "the map's own address");
    for (int i = 0; i < spec.rank; ++i) {
        require(spec.sizes[i] >= 1 && spec.sizes[i] <= int64_t{1} << 32, "size");
        require(spec.element_strides[i] >= 1 && spec.element_strides[i] <= 8, "element stride");
        if (i + 1 < spec.rank) {
            require(spec.stride_bytes[i] % 16 == 0 && spec.stride_bytes[i] < int64_t{1} << 40,
                    "stride");
        }
        if (!spec.im2col) require(spec.box[i] >= 1 && spec.box[i] <= 256, "box");
    }
    if (spec.im2col) {
        require(spec.channels_per_pixel <= 256 && spec.pixels_per_column <= 1024, "im2col sizes");
        for (int i = 0; i < spec.rank - 2; ++i) {
            for (int corner : {spec.lower_corner[i], spec.upper_corner[i]}) {
                require(corner >= -128 && corner <= 127, "corner");
            }
        }
    }
    const int64_t inner = spec.im2col ? spec.channels_per_pixel : spec.box[0];
    require(inner * storage_bytes(spec.dtype) <= 128, "inner box beyond the swizzle");
    specs().push_back(spec);
    const size_t index = specs().size() - 1;
    std::memcpy(map, &index, sizeof index);
}

const TensorMapSpec& spec_of(const TensorMap* map) {
    size_t index;
    std::memcpy(&index, map->bytes, sizeof index);
    return specs().at(index);
}

void copy_im2col(void* shared, const TensorMap* map, MemoryBarrier* barrier, int c, int w, int h,
                 int n, int offset_w, int offset_h) {
    emulator::require_waited_for_previous("copies");
    const TensorMapSpec& spec = spec_of(map);
    const size_t row_bytes = spec.channels_per_pixel * storage_bytes(spec.dtype);
    const int64_t end_w = spec.sizes[1] + spec.upper_corner[0];
    const int64_t end_h = spec.sizes[2] + spec.upper_corner[1];
    int64_t at_w = w, at_h = h, at_n = n;
    for (uint32_t pixel = 0; pixel < spec.pixels_per_column; ++pixel) {
        const int64_t from_w = at_w + offset_w, from_h = at_h + offset_h;
        const bool inside = from_w >= 0 && from_w < spec.sizes[1] && from_h >= 0 &&
                            from_h < spec.sizes[2] && at_n < spec.sizes[3];
        const char* row = nullptr;
        if (inside) {
            row = static_cast<const char*>(spec.address) + from_w * spec.stride_bytes[0] +
                  from_h * spec.stride_bytes[1] + at_n * spec.stride_bytes[2];
        }
        copy_run(shared, pixel * row_bytes, spec, row, c, spec.channels_per_pixel);
        at_w += spec.element_strides[1];
        if (at_w < end_w) continue;
        at_w = spec.lower_corner[0];
        at_h += spec.element_strides[2];
        if (at_h < end_h) continue;
        at_h = spec.lower_corner[1];
        ++at_n;
    }
    bytes_arrived(barrier, static_cast<int>(row_bytes * spec.pixels_per_column));
}

void copy_box(void* shared, const TensorMap* map, MemoryBarrier* barrier, int i, int j, int k) {
    emulator::require_waited_for_previous("copies");
    const TensorMapSpec& spec = spec_of(map);
    const size_t row_bytes = spec.box[0] * storage_bytes(spec.dtype);
    size_t offset = 0;
    for (uint32_t z = 0; z < spec.box[2]; ++z) {
        for (uint32_t y = 0; y < spec.box[1]; ++y, offset += row_bytes) {
            const int64_t at_j = j + y, at_k = k + z;
            const bool inside = at_j < spec.sizes[1] && at_k < spec.sizes[2];
            const char* row = inside ? static_cast<const char*>(spec.address) +
                                           at_j * spec.stride_bytes[0] + at_k * spec.stride_bytes[1]
                                     : nullptr;
            copy_run(shared, offset, spec, row, i, spec.box[0]);
        }
    }
    bytes_arrived(barrier, static_cast<int>(offset));
}

Products& products_of_warpgroup() {
    static std::map<unsigned, Products> all;
    Products& groups = all[emulator::place().thread.x / 128];
    if (groups.empty()) groups.emplace_back();
    return groups;
}

const unsigned char* described_chunk(const unsigned char* shared, uint64_t descriptor, int row,
                                     int chunk) {
    const auto field = [&](int first) { return (descriptor >> first & 0x3FFF) * 16; };
    if (descriptor >> 62 != 1)
        throw std::runtime_error("only the swizzle of 128 bytes is emulated");
    const size_t group_bytes = field(32);
    const size_t address = field(0) + static_cast<size_t>(row) / 8 * group_bytes +
                           static_cast<size_t>(row) % 8 * 128 + static_cast<size_t>(chunk) * 16;
    return shared + swizzled(address);
}

}  // namespace pycnn::cuda

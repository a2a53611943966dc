#include "image/philox.h"

#include <algorithm>

namespace pycnn::image {

namespace {

struct Block {
    uint64_t words[4];
};

Block philox(Block x, uint64_t key0, uint64_t key1) {
    for (int round = 0; round < 10; ++round) {
        const auto product0 = static_cast<unsigned __int128>(0xD2E7470EE14C6C93) * x.words[0];
        const auto product1 = static_cast<unsigned __int128>(0xCA5A826395121157) * x.words[2];
        x = {{static_cast<uint64_t>(product1 >> 64) ^ x.words[1] ^ key0,
              static_cast<uint64_t>(product1),
              static_cast<uint64_t>(product0 >> 64) ^ x.words[3] ^ key1,
              static_cast<uint64_t>(product0)}};
        key0 += 0x9E3779B97F4A7C15;  // Weyl sequences: golden ratio, sqrt(3) - 1
        key1 += 0xBB67AE8584CAA73B;
    }
    return x;
}

}  // namespace

void uniforms(uint64_t seed, uint64_t epoch, uint64_t sample, int64_t count, double* out) {
    for (int64_t i = 0; i < count; i += 4) {
        const auto counter = static_cast<uint64_t>(i / 4 + 1);  // NumPy counts before each block
        const Block block = philox({{counter, sample, 0, 0}}, seed, epoch);
        for (int64_t j = 0; j < std::min<int64_t>(4, count - i); ++j) {
            out[i + j] = static_cast<double>(block.words[j] >> 11) * 0x1p-53;
        }
    }
}

}  // namespace pycnn::image

// Counter-based random numbers: Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of its key and place, so it
// matters not in which order, or in which thread, numbers are asked for.
#pragma once

#include <cstdint>

namespace pycnn::image {

// out[i], i in [0, count): uniform in [0, 1), multiples of 2^-53. They are those of NumPy's
//   numpy.random.Generator(numpy.random.Philox(key=[seed, epoch], counter=[0, sample, 0, 0]))
void uniforms(uint64_t seed, uint64_t epoch, uint64_t sample, int64_t count, double* out);

}  // namespace pycnn::image

// The kernels' arithmetic on indices, which is plain C++, tested by itself.
#include "cuda/kernels/fast_divide.h"
#include "harness.h"

namespace pycnn::cuda::test {
namespace {

void test_fast_divide() {
    bool ok = true;
    const auto check = [&](uint32_t n, uint32_t d) {
        uint32_t remainder;
        ok = ok && FastDivide(d).quotient(n, remainder) == n / d && remainder == n % d;
    };
    constexpr uint32_t kLimit = uint32_t{1} << 31;
    Random random;
    for (uint32_t d = 1; d < 3000; ++d) {
        for (uint32_t n : {0u, 1u, d - 1, d, d + 1, 7 * d - 1, 7 * d, kLimit - 1, kLimit - d}) {
            check(n, d);
        }
        for (int i = 0; i < 20; ++i) check(static_cast<uint32_t>(random.below(kLimit)), d);
    }
    for (int i = 0; i < 20000; ++i) {
        check(static_cast<uint32_t>(random.below(kLimit)),
              static_cast<uint32_t>(random.below(kLimit - 1) + 1));
    }
    check(kLimit - 1, kLimit - 1);
    report(ok, "fast_divide", "wrong quotient or remainder");
}

}  // namespace

void test_index_maps() { test_fast_divide(); }

}  // namespace pycnn::cuda::test

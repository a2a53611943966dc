#include "ops/add.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

void add(const ops::AddArgs& args, int64_t begin, int64_t end) {
    const bool with_relu = args.params.relu;
    auto add_row = [=](int64_t, int64_t pixels, float* y, const float* a, const float* b) {
        for (int64_t i = 0; i < pixels * kChannelBlock; i += kLanes) {
            const Vec sum = load(a + i) + load(b + i);
            store(y + i, with_relu ? relu(sum) : sum);
        }
    };
    for_each_row(begin, end, add_row, args.y, args.a, args.b);
}

}  // namespace pycnn::cpu::PYCNN_ISA

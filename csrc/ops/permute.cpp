#include "ops/permute.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

void check_params(const PermuteParams& p, const Shape& x, const Shape& y) {
    const int64_t rank = static_cast<int64_t>(p.dims.size());
    PYCNN_CHECK(rank >= 1 && rank <= kPermuteMaxRank, UnsupportedError, "permute: ", rank,
                " dimensions, 1 to ", kPermuteMaxRank, " are implemented");
    PYCNN_CHECK(p.perm.size() == p.dims.size(), ShapeError, "permute: ", rank, " dimensions and ",
                p.perm.size(), " axes");
    const int64_t elems = storage_elems({1, x.c, x.h, x.w}, Layout::kNchw);
    int64_t product = 1;
    bool seen[kPermuteMaxRank] = {};
    for (int64_t i = 0; i < rank; ++i) {
        PYCNN_CHECK(p.dims[i] >= 1 && !__builtin_mul_overflow(product, p.dims[i], &product),
                    ShapeError, "permute: a dimension of ", p.dims[i]);
        const int64_t axis = p.perm[i];
        PYCNN_CHECK(axis >= 0 && axis < rank && !seen[axis], ShapeError, "permute: axis ", axis,
                    " is not one of ", rank, ", or twice");
        seen[axis] = true;
    }
    PYCNN_CHECK(product == elems, ShapeError, "permute: the dimensions hold ", product,
                " numbers, an image of ", to_string(x), " has ", elems);
    PYCNN_CHECK(storage_elems({1, y.c, y.h, y.w}, Layout::kNchw) == elems && y.n == x.n, ShapeError,
                "permute: y has shape ", to_string(y), ", which holds not the numbers of ",
                to_string(x));
}

}  // namespace

TaskPtr permute_task(const PermuteParams& params, const TensorRef& x, const TensorRef& y, Isa isa) {
    check_not_empty("permute", x.view.shape);
    check_blocked("permute", "x", x);
    check_blocked("permute", "y", y);
    check_params(params, x.view.shape, y.view.shape);
    PermuteArgs args;
    args.rank = static_cast<int64_t>(params.dims.size());
    for (int64_t i = 0; i < args.rank; ++i) {
        args.sizes[i] = params.dims[params.perm[i]];
        args.strides[i] = 1;
        for (int64_t j = params.perm[i] + 1; j < args.rank; ++j) args.strides[i] *= params.dims[j];
    }
    const Shape& out = y.view.shape;
    constexpr int64_t kWorkEach = 8;  // an address for each number
    auto task =
        std::make_unique<OpTask<PermuteArgs>>(cpu::kernels(isa).permute, args, out.n * out.h,
                                              kWorkEach * storage_elems(out, Layout::kNchw16c));
    task->bind(&PermuteArgs::x, x).bind(&PermuteArgs::y, y);
    return task;
}

}  // namespace pycnn::ops

#include "cuda/process.h"

#include <atomic>
#include <cstdint>
#include <unistd.h>

#include "core/error.h"

namespace pycnn::cuda {
namespace {

std::atomic<int64_t> user{0};  // id of the first process that used CUDA, 0 for none yet

void check(int64_t first) {
    PYCNN_CHECK(first == 0 || first == getpid(), DeviceError, "CUDA: process ", first,
                " used CUDA and was then forked, and CUDA does not survive that; start workers "
                "with multiprocessing's 'spawn', or load the model in each of them");
}

}  // namespace

void use_in_this_process() {
    int64_t first = 0;
    user.compare_exchange_strong(first, getpid());
    check(first);
}

void check_not_forked() { check(user.load()); }

bool is_own_process() { return user.load() == getpid(); }

}  // namespace pycnn::cuda

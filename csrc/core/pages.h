// The memory's pages.
#pragma once

#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>

namespace pycnn {

// Lets go of the whole pages between two addresses of a read-only mapping of a file: they come back
// from the file when they are read again. Not for other memory, which would be lost.
inline void let_go_of_mapped_pages(const void* begin, const void* end) {
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t last = reinterpret_cast<uintptr_t>(end) / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace pycnn

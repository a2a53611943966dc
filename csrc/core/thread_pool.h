// The process's only thread pool.
//
//   run_team(default_num_threads(), [&](Team& team) {
//       for (int64_t i = team.index(); i < n; i += team.size()) first(i);
//       team.barrier();
//       for (int64_t i = team.index(); i < n; i += team.size()) second(i);
//   });
#pragma once

#include <memory>
#include <type_traits>

namespace pycnn {

inline constexpr int kMaxThreads = 1024;

// PYCNN_NUM_THREADS (1..1024, throws Error otherwise; empty counts as unset), else usable_cpus().
// Found out at the first call and kept; the child of a fork finds out anew.
int default_num_threads();

// What the body of a region knows of the threads that execute it together. Made by run_team only.
class Team {
public:
    Team(int index, int size) : index_(index), size_(size) {}
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int index() const { return index_; }
    int size() const { return size_; }

    // Nobody goes on before everybody has come. All threads of a team must call it equally often.
    // Once a thread has left the body by an exception it unwinds the others with an exception of
    // its own, so the body must not swallow unknown exceptions.
    void barrier() {
        if (size_ > 1) {
            wait_for_all();
        }
    }

private:
    void wait_for_all();

    int index_;
    int size_;
};

namespace detail {
void run_team(int threads, void (*body)(void* context, Team& team), void* context);
}

// Runs body(team) on `threads` threads (1..1024, else throws Error), the caller being index 0, and
// returns when all have finished. Results must not depend on the size of the team, because it may
// be smaller than asked for:
//   1 if the caller is inside a body itself, or if another thread's region has the pool (it does
//     not wait for it: that region is using the CPUs already);
//   what could be had if the system refuses to start more threads.
// The first exception of any thread is rethrown here; the pool stays usable. Floating point is in
// its default mode inside the body (round to nearest, denormals kept) whatever the caller's is, so
// that all threads compute the same bits. No allocation, no lock. A body must not fork and go on in
// the child.
template <class Body>
void run_team(int threads, Body&& body) {
    using Callable = std::remove_reference_t<Body>;
    detail::run_team(
        threads, [](void* context, Team& team) { (*static_cast<Callable*>(context))(team); },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

}  // namespace pycnn

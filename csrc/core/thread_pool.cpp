#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <type_traits>
#include <unistd.h>

#include "core/cpu_count.h"
#include "core/error.h"

// How it works
//
// The pool is one static object of atomics. It has no constructor to run and no destructor, so it
// is valid before main and while the process ends, when the detached workers are still waiting
// inside it. Nothing in it is a lock: a region takes the pool by setting `busy`, and whoever finds
// it set runs alone. So no lock can be held by a thread that a fork leaves behind, and the child
// gets a new pool by setting every word back to its start (after_fork_in_child).
//
// A region: the caller writes `region`, opens the gates of some workers, which open those of
// further ones, runs the body as index 0, and waits until `pending` is zero. Every wait spins for a
// bounded time, then sleeps in the kernel (futex).

namespace pycnn {
namespace {

// Two lines of 64 bytes, because x86 prefetches lines in pairs; also the line of some aarch64
// machines.
constexpr size_t kCacheLine = 128;

// How long a thread spins before it sleeps: at a barrier, for the end of a region, and a worker for
// its next region. To wake a sleeper took 45 to 65 us where it was measured (a virtual machine of 2
// CPUs); spinning about as long as that never costs more than twice the best choice. It also covers
// the Python code between two runs of a loop.
constexpr int64_t kSpinNs = 50'000;

// A spinning thread offers its CPU this often. Where other processes keep the CPUs busy the system
// may leave two threads of a team on one CPU, and then each spins while the other cannot run: with
// one other busy process on 2 CPUs, 50 barriers 30 us apart took 5.5 ms without this, 4.6 ms with
// it (a single thread 3.3 ms; 1.7 ms on a quiet machine, either way).
constexpr int64_t kYieldNs = 20'000;

// A team larger than the CPUs spins no longer than these: the thread it waits for may need this
// very CPU.
constexpr int kFirstPauses = 32;

constexpr int kPausesPerClock = 16;

// Gates that one thread opens. To wake a sleeper costs the waker a few microseconds, so nobody
// wakes all of 64 threads; but each level of the tree adds one latency of waking up.
constexpr int kWakeFanout = 8;

constexpr uint32_t kSleeper = 1;  // in the word of a Gate and in `pending`: somebody sleeps on it
constexpr uint32_t kOne = 2;      // the step of the count that the other bits hold

void pause_cpu() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");  // `yield` does nothing on most cores
#endif
}

using Clock = std::chrono::steady_clock;

int64_t nanoseconds_since(Clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

template <class Done>
bool spin_until(const Done& done, int64_t spin_ns) {
    for (int i = 0; i < kFirstPauses; ++i) {
        if (done()) {
            return true;
        }
        pause_cpu();
    }
    const Clock::time_point start = Clock::now();
    int64_t next_yield_ns = kYieldNs;
    for (int64_t spun_ns = 0; spun_ns < spin_ns; spun_ns = nanoseconds_since(start)) {
        if (spun_ns >= next_yield_ns) {
            sched_yield();
            next_yield_ns = spun_ns + kYieldNs;
        }
        for (int i = 0; i < kPausesPerClock; ++i) {
            if (done()) {
                return true;
            }
            pause_cpu();
        }
    }
    return done();
}

// Directly the system call, not std::atomic::wait: that one spins and yields by rules of its own,
// and counts its sleepers in a table that strangers share.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {  // may return for no reason
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, kMaxThreads, nullptr, nullptr, 0);
}

// Waiters take a ticket, and wait until the gate has been opened since. At most one thread opens it
// at a time.
class Gate {
public:
    uint32_t ticket() const { return word_.load(std::memory_order_acquire) & ~kSleeper; }

    void wait(uint32_t ticket, int64_t spin_ns) {
        const auto opened = [&] { return this->ticket() != ticket; };
        if (spin_until(opened, spin_ns)) {
            return;
        }
        uint32_t closed = ticket;  // the exchange fails if the gate has been opened, or the bit set
                                   // by another waiter
        word_.compare_exchange_strong(closed, ticket | kSleeper, std::memory_order_relaxed);
        while (!opened()) {
            futex_wait(word_, ticket | kSleeper);
        }
    }

    void open() {
        const uint32_t opened = (word_.load(std::memory_order_relaxed) & ~kSleeper) + kOne;
        if (word_.exchange(opened, std::memory_order_acq_rel) & kSleeper) {
            futex_wake_all(word_);
        }
    }

    void reset() { word_.store(0, std::memory_order_relaxed); }

private:
    std::atomic<uint32_t> word_{0};
};

// One call of run_team, on its caller's stack.
struct alignas(kCacheLine) Region {
    void (*body)(void* context, Team& team);
    void* context;
    int size;
    int64_t spin_ns;
    std::atomic<bool> aborted{false};  // a thread has left the body by an exception
    std::exception_ptr error{};        // that exception, written by that thread alone
};

struct alignas(kCacheLine) Slot {
    Gate gate;
};

struct Pool {
    std::atomic<bool> busy{false};
    int workers = 0;           // started; only whoever has set `busy` uses it
    Region* region = nullptr;  // published by the gates
    alignas(kCacheLine) std::atomic<int> arrived{0};  // at the barrier
    alignas(kCacheLine) Gate barrier;
    alignas(kCacheLine) std::atomic<uint32_t> pending{
        0};                   // workers that have not finished the region
    Slot slots[kMaxThreads];  // [index in the team]; 0, the caller, is unused
};

constinit Pool pool;
static_assert(std::is_trivially_destructible_v<Pool>);

constinit std::atomic<int> known_usable_cpus{0};  // 0: not yet known
constinit std::atomic<int> known_default_threads{0};

// Inside a body. Always so in a worker.
thread_local bool inside_region = false;

struct InsideRegion {
    InsideRegion() { inside_region = true; }
    ~InsideRegion() { inside_region = false; }
};

// Thrown by a barrier when another thread has left the body. Not a std::exception: nobody should
// catch it by accident.
struct Aborted {};

// Only async-signal-safe steps are allowed here.
void after_fork_in_child() {
    // The forking thread is the only one left. If it was inside a region this also ends the wait
    // for the lost workers.
    for (int i = 0; i <= pool.workers; ++i) {
        pool.slots[i].gate.reset();
    }
    pool.workers = 0;
    pool.arrived.store(0, std::memory_order_relaxed);
    pool.barrier.reset();
    pool.pending.store(0, std::memory_order_relaxed);
    pool.busy.store(false, std::memory_order_relaxed);
    known_usable_cpus.store(0, std::memory_order_relaxed);
    known_default_threads.store(0, std::memory_order_relaxed);
}

// When the library is loaded, not at first use: a once-flag of the C++ library could stay taken in
// the child of a fork.
const int fork_handler_error = pthread_atfork(nullptr, nullptr, after_fork_in_child);

// The control word of floating point set to its default during a region, the caller's put back at
// the end.
class DefaultFloatMode {
public:
#if defined(__x86_64__)
    DefaultFloatMode() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(0x1F80); }
    ~DefaultFloatMode() { __builtin_ia32_ldmxcsr(saved_); }

private:
    unsigned saved_;
#elif defined(__aarch64__)
    DefaultFloatMode() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        if (saved_ != 0) {  // writing it is slow
            asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
        }
    }
    ~DefaultFloatMode() {
        if (saved_ != 0) {
            asm volatile("msr fpcr, %0" ::"r"(saved_));
        }
    }

private:
    uint64_t saved_;
#endif
};

void run_member(Region& region, int index) {
    Team team(index, region.size);
    try {
        region.body(region.context, team);
    } catch (const Aborted&) {
        // The exception that matters is another thread's.
    } catch (...) {
        if (!region.aborted.exchange(true, std::memory_order_acq_rel)) {
            region.error = std::current_exception();
            pool.barrier.open();  // this thread will not arrive, so nobody else opens it
        }
    }
}

void open_gates_below(int index, int size) {
    const int first = index * kWakeFanout + 1;
    for (int child = first; child < std::min(first + kWakeFanout, size); ++child) {
        pool.slots[child].gate.open();
    }
}

[[noreturn]] void run_worker(int index) {
    inside_region = true;
    const DefaultFloatMode float_mode;
    Gate& gate = pool.slots[index].gate;
    uint32_t ticket = 0;  // what every gate starts with
    int64_t spin_ns = 0;
    for (;;) {
        gate.wait(ticket, spin_ns);
        ticket = gate.ticket();
        Region& region = *pool.region;
        spin_ns = region.spin_ns;
        open_gates_below(index, region.size);
        run_member(region, index);
        // From here on the region may be gone.
        if (pool.pending.fetch_sub(kOne, std::memory_order_acq_rel) == (kOne | kSleeper)) {
            futex_wake_all(pool.pending);
        }
    }
}

void* worker_main(void* argument) {
    const int index = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    char name[16];  // the system's limit
    std::snprintf(name, sizeof name, "pycnn-%d", index);
    pthread_setname_np(pthread_self(), name);
    run_worker(index);
}

// Detached: nobody joins a worker. It sleeps until the process ends.
bool start_worker(int index) {
    // The application's signals are for its own threads (SIGINT must wake up Python's main thread).
    // Those that a thread raises itself stay open, or a crash would leave no trace, and so does
    // SIGPROF, for profilers.
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF}) {
        sigdelset(&blocked, open);
    }
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int error = pthread_create(&thread, &attributes, worker_main,
                                     reinterpret_cast<void*>(static_cast<intptr_t>(index)));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

int usable_cpus_once() {
    int cpus = known_usable_cpus.load(std::memory_order_relaxed);
    if (cpus == 0) {
        cpus = usable_cpus();
        known_usable_cpus.store(cpus, std::memory_order_relaxed);
    }
    return cpus;
}

void run_alone(void (*body)(void* context, Team& team), void* context) {
    const DefaultFloatMode float_mode;
    Team team(0, 1);
    if (inside_region) {
        body(context, team);
    } else {
        const InsideRegion inside;
        body(context, team);
    }
}

}  // namespace

int default_num_threads() {
    int threads = known_default_threads.load(std::memory_order_relaxed);
    if (threads != 0) {
        return threads;
    }
    const char* wanted = std::getenv("PYCNN_NUM_THREADS");
    if (wanted == nullptr || *wanted == '\0') {
        threads = std::min(usable_cpus_once(), kMaxThreads);
    } else {
        const char* end = wanted + std::strlen(wanted);
        const auto [stop, error] = std::from_chars(wanted, end, threads);
        PYCNN_CHECK(error == std::errc() && stop == end && threads >= 1 && threads <= kMaxThreads,
                    Error, "PYCNN_NUM_THREADS is \"", wanted, "\", expected an integer from 1 to ",
                    kMaxThreads, "; unset it to use every CPU that this process may use");
    }
    known_default_threads.store(threads, std::memory_order_relaxed);
    return threads;
}

void Team::wait_for_all() {
    Region& region = *pool.region;
    // The ticket first: a thread that aborts after the check below opens the gate after the ticket
    // was taken.
    const uint32_t ticket = pool.barrier.ticket();
    if (region.aborted.load(std::memory_order_acquire)) {
        throw Aborted{};
    }
    if (pool.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
        pool.arrived.store(0, std::memory_order_relaxed);
        pool.barrier.open();
    } else {
        pool.barrier.wait(ticket, region.spin_ns);
    }
    if (region.aborted.load(std::memory_order_acquire)) {
        throw Aborted{};
    }
}

void detail::run_team(int threads, void (*body)(void* context, Team& team), void* context) {
    PYCNN_CHECK(threads >= 1 && threads <= kMaxThreads, Error, "run_team: ", threads,
                " threads, expected 1 to ", kMaxThreads);
    const int64_t spin_ns =
        threads <= usable_cpus_once() ? kSpinNs : 0;  // may throw, so before the pool is taken
    if (threads == 1 || inside_region || pool.busy.load(std::memory_order_relaxed) ||
        pool.busy.exchange(true, std::memory_order_acquire)) {
        run_alone(body, context);
        return;
    }
    while (pool.workers < threads - 1 && fork_handler_error == 0 &&
           start_worker(pool.workers + 1)) {
        ++pool.workers;
    }
    const int size = std::min(threads, pool.workers + 1);
    Region region{body, context, size, spin_ns};
    {
        const DefaultFloatMode float_mode;
        const InsideRegion inside;
        pool.region = &region;
        pool.arrived.store(0, std::memory_order_relaxed);  // an aborted region leaves some
        pool.pending.store(static_cast<uint32_t>(size - 1) * kOne, std::memory_order_relaxed);
        open_gates_below(0, size);
        run_member(region, 0);
        const auto finished = [] { return pool.pending.load(std::memory_order_acquire) < kOne; };
        if (!spin_until(finished, region.spin_ns)) {
            uint32_t pending =
                pool.pending.fetch_or(kSleeper, std::memory_order_acq_rel) | kSleeper;
            while (pending >= kOne) {
                futex_wait(pool.pending, pending);
                pending = pool.pending.load(std::memory_order_acquire);
            }
        }
    }
    pool.busy.store(false, std::memory_order_release);
    if (region.error) {
        std::rethrow_exception(region.error);
    }
}

}  // namespace pycnn

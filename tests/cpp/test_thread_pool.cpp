// Tests of csrc/core that Python cannot reach: the thread pool, the CPU count, the choice of the
// instruction set, errors and buffers. A plain program. From the repository root, one command:
//   g++ -std=c++20 -O2 -Wall -Wextra -pthread -Icsrc tests/cpp/test_thread_pool.cpp
//       csrc/core/thread_pool.cpp csrc/core/cpu_count.cpp csrc/core/cpu_isa.cpp -o test_thread_pool
// Also with -fsanitize=address,undefined, and with -fsanitize=thread (there set
// TSAN_OPTIONS=die_after_fork=0: the tests start threads in forked children).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <signal.h>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/cpu_count.h"
#include "core/cpu_isa.h"
#include "core/error.h"
#include "core/thread_pool.h"

using namespace pycnn;

namespace {

std::atomic<int> passed{0}, failed{0};

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (condition) {                                                                 \
            ++passed;                                                                    \
        } else {                                                                         \
            ++failed;                                                                    \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                                \
    } while (false)

template <class ErrorType, class Call>
std::string message_of(const Call& call) {
    try {
        call();
    } catch (const ErrorType& error) {
        return error.what();
    }
    return "nothing thrown";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Runs `body` in a forked child, which has 60 s; true if the child ends with exit code 0 and no
// CHECK failed in it.
bool succeeds_in_child(const std::function<void()>& body) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        failed = 0;
        try {
            body();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "child: %s\n", error.what());
            _exit(2);
        }
        _exit(failed == 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        std::fprintf(stderr, "child %d: status 0x%x\n", static_cast<int>(child),
                     static_cast<unsigned>(status));
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Every thread of the team comes once, and `phases` phases are separated by barriers. Returns the
// size of the team.
int check_region(int threads, int phases) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(threads));
    std::vector<int64_t> values(static_cast<size_t>(threads),
                                0);  // not atomic: the barrier must order it
    std::atomic<int> seen_size{0}, wrong{0};
    run_team(threads, [&](Team& team) {
        seen_size = team.size();
        ++visits[static_cast<size_t>(team.index())];
        for (int phase = 0; phase < phases; ++phase) {
            const int neighbour = (team.index() + 1) % team.size();
            values[static_cast<size_t>(team.index())] = phase + 1;
            team.barrier();
            wrong += values[static_cast<size_t>(neighbour)] != phase + 1;
            team.barrier();
        }
    });
    int in_team = 0, outside = 0;
    for (int i = 0; i < threads; ++i) {
        in_team += i < seen_size && visits[static_cast<size_t>(i)] == 1;
        outside += i >= seen_size && visits[static_cast<size_t>(i)] != 0;
    }
    CHECK(in_team == seen_size);
    CHECK(outside == 0);
    CHECK(wrong == 0);
    return seen_size;
}

void test_errors() {
    CHECK(str("conv ", 3, ' ', 1234567, " x") == "conv 3 1234567 x");
    CHECK(str().empty());
    const auto check = [](int value) {
        PYCNN_CHECK(value == 1, ShapeError, "got ", value, ", expected 1");
    };
    check(1);
    CHECK(message_of<ShapeError>([&] { check(2); }) == "got 2, expected 1");
    CHECK(message_of<Error>([&] { check(2); }) == "got 2, expected 1");
}

void test_buffer() {
    AlignedBuffer empty, zero(0), buffer(1001);
    CHECK(empty.data() == nullptr && empty.size() == 0);
    CHECK(zero.data() == nullptr && zero.size() == 0);
    CHECK(buffer.size() == 1001 && buffer.bytes() == 4004);
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0);
    buffer.poison(0xFF);
    CHECK(std::isnan(buffer.data()[0]) && std::isnan(buffer.data()[1000]));
    buffer.poison(0xA5);
    CHECK(std::fabs(buffer.data()[1000]) < 1e-15f && buffer.data()[1000] != 0);
    float* data = buffer.data();
    AlignedBuffer moved(std::move(buffer));
    CHECK(moved.data() == data && buffer.data() == nullptr && buffer.size() == 0);
    zero = std::move(moved);
    CHECK(zero.data() == data && zero.size() == 1001 && moved.data() == nullptr);
    AlignedBuffer& self = zero;
    zero = std::move(self);
    CHECK(zero.data() == data && zero.size() == 1001);
    const int64_t huge = std::numeric_limits<int64_t>::max() / 2;
    CHECK(
        contains(message_of<std::bad_alloc>([&] { AlignedBuffer too_large(huge); }), "do not fit"));
    CHECK(contains(OutOfMemory(1 << 20).what(), "4194304 bytes"));
    CHECK(contains(message_of<Error>([] { AlignedBuffer negative(-1); }), "-1 elements"));
}

void test_isa() {
    const std::vector<Isa> isas = available_isas();
    CHECK(!isas.empty() && isas.front() == Isa::kBaseline);
    for (Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
        CHECK(parse_isa(isa_name(isa)) == isa);
    }
    CHECK(contains(message_of<DeviceError>([] { parse_isa("sse9"); }),
                   "\"sse9\", expected one of baseline, avx2, avx512, neon"));
    for (const char* bad : {"sse9", "AVX2", "neon ", isas.back() == Isa::kNeon ? "avx2" : "neon"}) {
        setenv("PYCNN_CPU_ISA", bad, 1);
        for (int again = 0; again < 2; ++again) {
            const std::string message = message_of<DeviceError>([] { active_isa(); });
            CHECK(contains(message, bad) && contains(message, "this machine"));
        }
    }
    for (Isa isa : isas) {
        CHECK(succeeds_in_child([&] {
            setenv("PYCNN_CPU_ISA", isa_name(isa), 1);
            CHECK(active_isa() == isa);
        }));
    }
    setenv("PYCNN_CPU_ISA", "", 1);
    CHECK(active_isa() == isas.back());
    setenv("PYCNN_CPU_ISA", "sse9", 1);
    CHECK(active_isa() == isas.back());  // chosen once
    unsetenv("PYCNN_CPU_ISA");
    std::printf("instruction set %s\n", isa_name(active_isa()));
}

class FakeTree {
public:
    FakeTree() {
        std::string name = std::filesystem::temp_directory_path() / "pycnn_cgroup_XXXXXX";
        CHECK(mkdtemp(name.data()));
        root_ = name;
    }
    ~FakeTree() { std::filesystem::remove_all(root_); }
    void write(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    double quota() const { return cgroup_cpu_quota(root_); }

private:
    std::string root_;
};

void test_cgroup() {
    const std::string v2_mount =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    {
        FakeTree none;
        CHECK(std::isinf(none.quota()));
    }
    {
        FakeTree tree;  // the ancestor is the tighter one
        tree.write("/proc/self/cgroup", "0::/user.slice/app.service\n");
        tree.write("/proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n" + v2_mount);
        tree.write("/sys/fs/cgroup/user.slice/app.service/cpu.max", "400000 100000\n");
        CHECK(tree.quota() == 4);
        tree.write("/sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
        CHECK(tree.quota() == 1.5);
        tree.write("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
        tree.write("/sys/fs/cgroup/user.slice/app.service/cpu.max", "max 100000\n");
        CHECK(std::isinf(tree.quota()));
        tree.write("/sys/fs/cgroup/elsewhere/cpu.max", "50000 100000\n");  // not ours
        CHECK(std::isinf(tree.quota()));
    }
    {
        FakeTree tree;  // a container with its own cgroup namespace
        tree.write("/proc/self/cgroup", "0::/\n");
        tree.write("/proc/self/mountinfo", v2_mount);
        tree.write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
        CHECK(tree.quota() == 2.5);
        tree.write("/proc/self/cgroup", "0::/../other\n");  // moved out of its namespace
        CHECK(tree.quota() == 2.5);
    }
    {
        FakeTree tree;  // Docker on v1: the path is the host's, the mount shows only the
                        // container's part
        tree.write(
            "/proc/self/cgroup",
            "9:name=systemd:/docker/ab\n4:cpu,cpuacct:/docker/ab/sub\n3:cpuset:/docker/ab\n");
        tree.write(
            "/proc/self/mountinfo",
            "40 31 0:29 /docker/ab /sys/fs/cgroup/cpu\\040acct rw,relatime - cgroup cgroup "
            "rw,cpu,cpuacct\n"
            "41 31 0:30 /docker/ab /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n");
        tree.write("/sys/fs/cgroup/cpu acct/cpu.cfs_quota_us", "300000\n");
        tree.write("/sys/fs/cgroup/cpu acct/cpu.cfs_period_us", "100000\n");
        CHECK(tree.quota() == 3);
        tree.write("/sys/fs/cgroup/cpu acct/sub/cpu.cfs_quota_us", "100000\n");
        tree.write("/sys/fs/cgroup/cpu acct/sub/cpu.cfs_period_us", "50000\n");
        CHECK(tree.quota() == 2);
        tree.write("/sys/fs/cgroup/cpu acct/cpu.cfs_quota_us", "-1\n");
        tree.write("/sys/fs/cgroup/cpu acct/sub/cpu.cfs_quota_us", "-1\n");
        CHECK(std::isinf(tree.quota()));
        tree.write("/proc/self/cgroup",
                   "4:cpu,cpuacct:/docker/abc\n");  // "/docker/ab" is no parent of it
        tree.write("/sys/fs/cgroup/cpu acct/cpu.cfs_quota_us", "700000\n");
        CHECK(tree.quota() == 7);
    }
    {
        FakeTree tree;
        tree.write("/proc/self/cgroup", "garbage\n::\n0::/a\n");
        tree.write("/proc/self/mountinfo", "garbage - \n - \n31 23 - cgroup2\n" + v2_mount);
        tree.write("/sys/fs/cgroup/a/cpu.max", "garbage");
        CHECK(std::isinf(tree.quota()));
    }
    CHECK(usable_cpus() >= 1);
    cpu_set_t one, before;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    sched_setaffinity(0, sizeof one, &one);
    CHECK(usable_cpus() == 1);
    sched_setaffinity(0, sizeof before, &before);
}

void test_default_threads() {
    for (const char* bad :
         {"0", "-1", "abc", "1025", "4x", " 4", "+4", "4.0", "99999999999999999999"}) {
        setenv("PYCNN_NUM_THREADS", bad, 1);
        for (int again = 0; again < 2; ++again) {
            const std::string message = message_of<Error>([] { default_num_threads(); });
            CHECK(contains(message, str('"', bad, '"')) && contains(message, "from 1 to 1024"));
        }
    }
    CHECK(succeeds_in_child([] {
        setenv("PYCNN_NUM_THREADS", "1024", 1);
        CHECK(default_num_threads() == 1024);
        setenv("PYCNN_NUM_THREADS", "abc", 1);
        CHECK(default_num_threads() == 1024);  // found out once
    }));
    setenv("PYCNN_NUM_THREADS", "", 1);
    CHECK(default_num_threads() == usable_cpus());
    CHECK(succeeds_in_child([] {
        setenv("PYCNN_NUM_THREADS", "3", 1);
        CHECK(default_num_threads() == 3);  // anew after a fork
    }));
    unsetenv("PYCNN_NUM_THREADS");
    std::printf("default threads %d\n", default_num_threads());
}

int pool_threads() {
    int count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(task.path() / "comm") >> std::ws, name);
        count += name.rfind("pycnn-", 0) == 0;
    }
    return count;
}

void test_regions() {
    CHECK(check_region(1, 3) == 1);
    CHECK(pool_threads() == 0);  // lazily
    CHECK(check_region(2, 100) == 2);
    CHECK(pool_threads() == 1);
    for (int threads : {3, 4, 2, 1, 9, 10, 2, 16, 5}) {
        CHECK(check_region(threads, 20) == threads);
    }
    CHECK(pool_threads() == 15);
    int sizes_right = 0;
    for (int i = 0; i < 3000; ++i) {
        sizes_right += check_region(1 + i % 4, 2) == 1 + i % 4;
    }
    CHECK(sizes_right == 3000);
    const auto ignore = [](Team&) {};
    CHECK(contains(message_of<Error>([&] { run_team(0, ignore); }), "0 threads"));
    CHECK(contains(message_of<Error>([&] { run_team(1025, ignore); }), "1025 threads"));

    const std::function<void(Team&)> function = [&](Team& team) { CHECK(team.size() == 2); };
    run_team(2, function);
    struct Counter {  // a body that cannot be copied, called on the object itself
        std::unique_ptr<int> none;
        std::atomic<int> calls{0};
        void operator()(Team&) { ++calls; }
    } counter;
    run_team(4, counter);
    CHECK(counter.calls == 4);
}

void busy_for(double seconds) {
    const double until = seconds_now() + seconds;
    while (seconds_now() < until) {
    }
}

// Each wait ends now and then at the very moment when the waiter goes to sleep: a lost wake-up
// would hang here. The gaps go from 0 to 100 us, the pool spins for 50.
void test_sleep_races() {
    int good = 0;
    for (int i = 0; i < 4000; ++i) {
        const double gap = 2.5e-6 * (i % 41);
        if (i % 4 == 0) {
            busy_for(gap);  // workers wait for their next region
        }
        std::atomic<int> done{0};
        run_team(2 + i / 41 % 2, [&](Team& team) {
            if (i % 4 == 1 && team.index() == 0) {
                busy_for(gap);  // workers wait at the barrier
            }
            if (i % 4 == 2 && team.index() == 1) {
                busy_for(gap);  // so does the caller
            }
            team.barrier();
            if (i % 4 == 3 && team.index() == 1) {
                busy_for(gap);  // the caller waits for the end
            }
            ++done;
        });
        good += done == 2 + i / 41 % 2;
    }
    CHECK(good == 4000);
}

void test_exceptions() {
    for (int threads : {1, 2, 5}) {
        for (int thrower = 0; thrower < threads; ++thrower) {
            std::atomic<int> after{0};
            const std::string message = message_of<ShapeError>([&] {
                run_team(threads, [&](Team& team) {
                    for (int phase = 0; phase < 4; ++phase) {
                        team.barrier();
                        PYCNN_CHECK(phase < 2 || team.index() != thrower, ShapeError, "thread ",
                                    thrower);
                    }
                    ++after;
                });
            });
            CHECK(message == str("thread ", thrower));
            CHECK(after == 0);
            CHECK(check_region(threads, 10) == threads);
        }
    }
    int caught = 0;
    for (int i = 0; i < 500; ++i) {  // all throw; some late, the others already at the barrier
        try {
            run_team(4, [&](Team& team) {
                if (team.index() == i % 4) {
                    throw 42;
                }
                team.barrier();
                throw 43;
            });
        } catch (int value) {
            caught += value == 42;
        }
    }
    CHECK(caught == 500);
    caught = 0;
    for (int i = 0; i < 500; ++i) {
        try {
            run_team(4, [&](Team& team) { throw team.index(); });
        } catch (int value) {
            caught += value >= 0 && value < 4;
        }
        caught += check_region(4, 1) == 4;
    }
    CHECK(caught == 1000);
}

void test_nested() {
    std::atomic<int> inner{0}, inner_alone{0};
    run_team(4, [&](Team& team) {
        run_team(4, [&](Team& nested) {
            ++inner;
            inner_alone += nested.size() == 1 && nested.index() == 0;
            nested.barrier();
            run_team(2, [&](Team& third) { inner_alone += third.size() == 1; });
        });
        team.barrier();
    });
    CHECK(inner == 4);
    CHECK(inner_alone == 8);
    run_team(1, [&](Team&) { run_team(4, [&](Team& nested) { CHECK(nested.size() == 1); }); });
    CHECK(message_of<std::runtime_error>([] {
              run_team(
                  3, [](Team&) { run_team(3, [](Team&) { throw std::runtime_error("inner"); }); });
          }) == "inner");
    CHECK(check_region(4, 3) == 4);
}

void test_callers() {
    std::atomic<int> regions{0}, together{0}, alone{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 8; ++caller) {
        callers.emplace_back([&, caller] {
            for (int i = 0; i < 300; ++i) {
                if (i % 50 == 7) {
                    const std::string message = message_of<Error>([&] {
                        run_team(3, [&](Team& team) {
                            PYCNN_CHECK(team.index() != 0, Error, "caller ", caller);
                            team.barrier();
                        });
                    });
                    CHECK(message == str("caller ", caller));
                }
                const int size = check_region(2 + caller % 3, 3);
                ++regions;
                ++(size == 1 ? alone : together);
                CHECK(size == 1 || size == 2 + caller % 3);
            }
        });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
    CHECK(regions == 2400);
    CHECK(together > 0);
    std::printf("8 callers: %d regions with a team, %d alone\n", together.load(), alone.load());
}

void test_fork() {
    CHECK(check_region(4, 5) == 4);
    CHECK(succeeds_in_child([] {
        CHECK(check_region(4, 5) == 4);
        CHECK(message_of<Error>([] { run_team(2, [](Team&) { throw Error("child"); }); }) ==
              "child");
        CHECK(succeeds_in_child([] { CHECK(check_region(6, 5) == 6); }));
        CHECK(check_region(2, 5) == 2);
    }));
    CHECK(check_region(4, 5) == 4);

    std::atomic<bool> stop{false};
    std::thread busy([&] {  // regions of all sizes, aborted ones too
        for (int i = 0; !stop; ++i) {
            try {
                run_team(2 + i % 5, [&](Team& team) {
                    team.barrier();
                    if (i % 7 == 0 && team.index() == 1) {
                        throw 1;
                    }
                    team.barrier();
                });
            } catch (int) {
            }
        }
    });
    int good = 0;
    for (int i = 0; i < 100; ++i) {
        good += succeeds_in_child([] {
            for (int threads = 2; threads < 6; ++threads) {
                CHECK(check_region(threads, 3) == threads);
            }
        });
    }
    stop = true;
    busy.join();
    CHECK(good == 100);
    CHECK(check_region(4, 5) == 4);
}

// What the program does instead of its tests when it is started with this argument.
int end_early(const std::string& how) {
    alarm(60);
    check_region(4, 2);
    if (how == "busy") {
        std::thread([] {
            for (;;) {
                run_team(3, [](Team& team) { team.barrier(); });
            }
        }).detach();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (how == "parked") {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::exit(failed == 0 ? 0 : 1);
}

void test_exit() {
    for (const char* how : {"spinning", "parked", "busy"}) {
        int good = 0;
        for (int i = 0; i < 20; ++i) {
            good += succeeds_in_child([&] {
                execl("/proc/self/exe", "test_thread_pool", how, static_cast<char*>(nullptr));
                CHECK(false);  // not reached
            });
        }
        CHECK(good == 20);
    }
}

void test_thread_state() {
    // Signals for the application are not delivered to the workers; crashes are.
    std::atomic<int> blocked{0}, open{0};
    run_team(4, [&](Team& team) {
        sigset_t set;
        pthread_sigmask(SIG_SETMASK, nullptr, &set);
        if (team.index() > 0) {
            blocked += sigismember(&set, SIGINT);
            open += !sigismember(&set, SIGSEGV);
        }
    });
    CHECK(blocked == 3 && open == 3);

#if defined(__x86_64__)
    // The caller flushes denormals; nobody does so inside, alone or in a team, and the caller's
    // mode comes back.
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
    const unsigned flushing = __builtin_ia32_stmxcsr();
    for (int threads : {1, 4}) {
        std::atomic<int> normal{0};
        run_team(threads, [&](Team&) { normal += (__builtin_ia32_stmxcsr() & 0xFFC0) == 0x1F80; });
        CHECK(normal == threads);
        CHECK(__builtin_ia32_stmxcsr() == flushing);
    }
    try {
        run_team(1, [&](Team&) { throw 1; });
    } catch (int) {
        CHECK(__builtin_ia32_stmxcsr() == flushing);
    }
    __builtin_ia32_ldmxcsr(before);
#endif
}

void test_idle() {
    check_region(4, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::clock_t before = std::clock();  // CPU time of all threads
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double cpu_ms = 1e3 * static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    std::printf("CPU time in 500 ms of idleness: %.2f ms\n", cpu_ms);
    CHECK(cpu_ms < 25);  // a sanitizer's own thread uses some
}

void test_oversubscribed() {
    const double start = seconds_now();
    CHECK(check_region(16, 1000) == 16);
    const double seconds = seconds_now() - start;
    std::printf("16 threads on %d CPUs: %.1f us per barrier\n", usable_cpus(),
                seconds * 1e6 / 2000);
}

void print_latencies() {
    const auto median = [](std::vector<double>& times) {
        std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2),
                         times.end());
        return times[times.size() / 2];
    };
    std::vector<int> sizes;
    for (int threads = 2; threads < usable_cpus(); threads *= 2) {
        sizes.push_back(threads);
    }
    sizes.push_back(std::max(usable_cpus(), 2));
    std::printf("threads  barrier ns  region warm us  region after 20 us pause us  parked us\n");
    for (int threads : sizes) {
        constexpr int kBarriers = 1000;
        std::vector<double> barrier, warm, paused, parked;
        const auto time_region = [&](int pause_us, std::vector<double>& times) {
            const double until = seconds_now() + pause_us * 1e-6;
            if (pause_us > 1000) {
                std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
            }
            while (seconds_now() < until) {
            }
            const double start = seconds_now();
            run_team(threads, [](Team&) {});
            times.push_back((seconds_now() - start) * 1e6);
        };
        for (int i = 0; i < 200; ++i) {
            run_team(threads, [&](Team& team) {
                team.barrier();
                const double start = seconds_now();
                for (int repeat = 0; repeat < kBarriers; ++repeat) {
                    team.barrier();
                }
                if (team.index() == 0) {
                    barrier.push_back((seconds_now() - start) * 1e9 / kBarriers);
                }
            });
            for (int repeat = 0; repeat < 20; ++repeat) {
                time_region(0, warm);
            }
            time_region(20, paused);
            time_region(2000, parked);
        }
        std::printf("%7d  %10.0f  %14.2f  %27.2f  %9.2f\n", threads, median(barrier), median(warm),
                    median(paused), median(parked));
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) {
        return end_early(argv[1]);
    }
    test_errors();
    test_buffer();
    test_isa();
    test_cgroup();
    test_default_threads();
    test_regions();
    test_sleep_races();
    test_exceptions();
    test_nested();
    test_callers();
    test_fork();
    test_exit();
    test_thread_state();
    test_idle();
    test_oversubscribed();
    print_latencies();
    std::printf("%d checks passed, %d failed\n", passed.load(), failed.load());
    return failed == 0 ? 0 : 1;
}

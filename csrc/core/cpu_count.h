// How many CPUs this process may keep busy.
#pragma once

#include <string>

namespace pycnn {

// min(affinity of the calling thread, cgroup quota, online CPUs), at least 1. Asks the system at
// each call (about 0.1 ms). A fraction of a CPU in the quota is dropped: a thread more than the
// quota has would be stopped for a part of each period (100 ms as a rule), and the others would
// wait for it.
int usable_cpus();

// The CPU bandwidth limit in CPUs, the smallest over this process's cgroup and its ancestors, v1
// and v2; infinity where there is none. `root` is put before every path that is read; the tests
// point it to a made-up tree.
double cgroup_cpu_quota(const std::string& root = "");

}  // namespace pycnn

#include "core/cpu_count.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <sched.h>
#include <sstream>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace pycnn {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

// mountinfo writes blanks and backslashes in paths as \ooo.
std::string decode_octal(const std::string& text) {
    const auto digit = [](char c) { return c >= '0' && c <= '7'; };
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) &&
            digit(text[i + 3])) {
            decoded += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                         (text[i + 3] - '0'));
            i += 3;
        } else {
            decoded += text[i];
        }
    }
    return decoded;
}

double quota_v2(
    const std::string& folder) {  // cpu.max: "max 100000" or "<quota> <period>", microseconds
    std::ifstream file(folder + "/cpu.max");
    double quota = 0, period = 0;
    return file >> quota >> period && quota > 0 && period > 0 ? quota / period : kUnlimited;
}

double quota_v1(const std::string& folder) {  // the quota is -1 where there is no limit
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us"),
        period_file(folder + "/cpu.cfs_period_us");
    double quota = 0, period = 0;
    return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period
                                                                                   : kUnlimited;
}

// `path` as seen below the mount's own root. A container may see a path that lies outside of what
// is mounted for it: then the mount point is its cgroup, or the nearest thing to it.
std::string below_mount_root(const std::string& path, const std::string& mount_root) {
    const std::string root = mount_root == "/" ? "" : mount_root;
    const bool inside = path.compare(0, root.size(), root) == 0 &&
                        (path.size() == root.size() || path[root.size()] == '/');
    if (!inside || path.find("/..") != std::string::npos) {
        return "";
    }
    return path.substr(root.size());
}

int affinity_cpus() {
    // The kernel refuses (EINVAL) a set that is smaller than its own, and machines of more than
    // 1024 CPUs exist.
    for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
        cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
        if (set == nullptr) {
            break;
        }
        const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
        const bool known = sched_getaffinity(0, bytes, set) == 0;
        const bool too_small = !known && errno == EINVAL;
        const int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known) {
            return count;
        }
        if (!too_small) {
            break;
        }
    }
    return std::numeric_limits<int>::max();
}

}  // namespace

double cgroup_cpu_quota(const std::string& root) {
    // /proc/self/cgroup: "<id>:<controllers>:<path>", without controllers for v2.
    struct Membership {
        bool v2;
        std::string path;
    };
    std::vector<Membership> memberships;
    std::ifstream cgroup_file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(cgroup_file, line);) {
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (controllers.empty() || contains(split(controllers, ','), "cpu")) {
            memberships.push_back({controllers.empty(), line.substr(second + 1)});
        }
    }

    // /proc/self/mountinfo: "... <root> <mount point> <options> ... - <type> <source> <super
    // options>".
    double quota = kUnlimited;
    std::ifstream mount_file(root + "/proc/self/mountinfo");
    for (std::string line; std::getline(mount_file, line);) {
        const size_t dash = line.find(" - ");
        if (dash == std::string::npos) {
            continue;
        }
        const std::vector<std::string> head = split(line.substr(0, dash), ' ');
        const std::vector<std::string> tail = split(line.substr(dash + 3), ' ');
        if (head.size() < 6 || tail.size() < 3) {
            continue;
        }
        const bool v2 = tail[0] == "cgroup2";
        const bool v1 = tail[0] == "cgroup" && contains(split(tail[2], ','), "cpu");
        if (!v1 && !v2) {
            continue;
        }
        const std::string mount_root = decode_octal(head[3]);
        const std::string mount_point = root + decode_octal(head[4]);
        for (const Membership& membership : memberships) {
            if (membership.v2 != v2) {
                continue;
            }
            std::string path = below_mount_root(membership.path, mount_root);
            for (;;) {  // the group and its ancestors: each limits what is below it
                quota = std::min(quota,
                                 v2 ? quota_v2(mount_point + path) : quota_v1(mount_point + path));
                if (path.empty()) {
                    break;
                }
                path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
            }
        }
    }
    return quota;
}

int usable_cpus() {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    int cpus = affinity_cpus();
    if (online > 0) {
        cpus = static_cast<int>(std::min<long>(cpus, online));
    }
    const double quota = cgroup_cpu_quota();
    if (quota < cpus) {
        cpus = static_cast<int>(quota);
    }
    return std::max(cpus, 1);
}

}  // namespace pycnn

// CUDA does not survive a fork: which process uses it.
#pragma once

namespace pycnn::cuda {

// Notes that this process uses CUDA. Throws DeviceError where a process that did so was forked, and
// this is its child.
void use_in_this_process();

// Throws as above, and notes nothing.
void check_not_forked();

// Whether handles that a destructor finds are this process's own: in a child of a fork they are
// not.
bool is_own_process();

}  // namespace pycnn::cuda

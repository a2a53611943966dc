// A stack of its own to run a function on, entered and left at will.
#pragma once

#include <cstddef>

#if defined(__x86_64__)

// Keeps the callee-saved registers on the stack, the stack's address in *from, and goes on at `to`.
// (POSIX's swapcontext asks the kernel for the signal mask at each switch: a hundred times slower.)
extern "C" void emulator_switch_stack(void** from, void* to);
asm(R"(
.pushsection .text
.type emulator_switch_stack, @function
emulator_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.popsection
)");

namespace emulator {

class Fiber {
public:
    using Main = void (*)();

    // `main` must leave and not be entered again; it must not return.
    void start(char* stack, size_t bytes, Main main) {
        auto top = reinterpret_cast<size_t>(stack + bytes) / 16 * 16;
        void** frame = reinterpret_cast<void**>(top) - 8;
        frame[6] =
            reinterpret_cast<void*>(main);  // popped by ret; frame[7] is main's return address
        frame[7] = nullptr;
        inside_ = frame;
    }
    void enter() { emulator_switch_stack(&outside_, inside_); }
    void leave() { emulator_switch_stack(&inside_, outside_); }

private:
    void *inside_ = nullptr, *outside_ = nullptr;
};

}  // namespace emulator

#else

#include <ucontext.h>

namespace emulator {

class Fiber {
public:
    using Main = void (*)();

    void start(char* stack, size_t bytes, Main main) {
        getcontext(&inside_);
        inside_.uc_stack.ss_sp = stack;
        inside_.uc_stack.ss_size = bytes;
        inside_.uc_link = nullptr;
        makecontext(&inside_, main, 0);
    }
    void enter() { swapcontext(&outside_, &inside_); }
    void leave() { swapcontext(&inside_, &outside_); }

private:
    ucontext_t inside_{}, outside_{};
};

}  // namespace emulator

#endif

/* Program counter fix-ups for the assembly stubs: see host_stubs.h. */
#include "user/host_stubs.h"

#include <ucontext.h>

extern const char stub_syscall_begin[], stub_syscall_end[], stub_syscall_abort[],
    stub_syscall_interrupted[];
extern const char stub_copy_begin[], stub_copy_end[];
extern const char stub_touch_begin[], stub_touch_end[], stub_touch_abort[];

#if defined(__x86_64__)
#define CONTEXT_PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
/* The SYSCALL instruction leaves the address of the next one in rcx; before it, rcx is a pointer.
 */
#define ENTERED_KERNEL(context)                                                                    \
    ((context)->uc_mcontext.gregs[REG_RCX] == (greg_t)(uintptr_t)stub_syscall_end)
#else
#error "host_stubs.c: this host's program counter is not described yet"
#endif

u64 host_context_pc(const ucontext_t *context)
{
    return (u64)CONTEXT_PC(context);
}

static bool in_stub(const ucontext_t *context, const char *begin, const char *end)
{
    u64 pc = host_context_pc(context);

    return pc >= (u64)(uintptr_t)begin && pc < (u64)(uintptr_t)end;
}

void host_rewind_syscall(ucontext_t *context)
{
    if (in_stub(context, stub_syscall_begin, stub_syscall_end)) {
        CONTEXT_PC(context) = (greg_t)(uintptr_t)(ENTERED_KERNEL(context) ? stub_syscall_interrupted
                                                                          : stub_syscall_abort);
    }
}

bool host_syscall_returned(const ucontext_t *context)
{
    return host_context_pc(context) == (u64)(uintptr_t)stub_syscall_end;
}

bool host_fix_access(ucontext_t *context)
{
    if (in_stub(context, stub_copy_begin, stub_copy_end)) {
        CONTEXT_PC(context) = (greg_t)(uintptr_t)stub_copy_end;
        return true;
    }
    if (in_stub(context, stub_touch_begin, stub_touch_end)) {
        CONTEXT_PC(context) = (greg_t)(uintptr_t)stub_touch_abort;
        return true;
    }
    return false;
}

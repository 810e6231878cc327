/* The few instruction sequences whose addresses matter to the signal handler; written in assembly
 * per host (host_stubs_<cpu>.S). */
#ifndef USER_HOST_STUBS_H
#define USER_HOST_STUBS_H

#include <signal.h>

#include "base/types.h"

/* Returned by interruptible_syscall(), numbers that the kernel never gives to user space: */
enum {
    SYSCALL_RESTART = -512,     /* a signal came first: the call has not happened */
    SYSCALL_INTERRUPTED = -513, /* a signal interrupted it; it restarts if the handler says so */
};

/* Does a host system call unless *pending is non-zero. A signal handler that sets *pending calls
 * host_signal_fixup(), so that no signal slips in between the test and the kernel's entry.
 * Returns the kernel's result, negative errno included. */
s64 interruptible_syscall(const volatile u32 *pending, s64 number, const u64 arguments[6]);

/* The same without the test. */
s64 plain_syscall(s64 number, const u64 arguments[6]);

/* Copies bytes; returns how many were not copied because an access faulted. */
size_t guarded_copy(void *to, const void *from, size_t size);

/* Writes one byte back to itself atomically; returns non-zero if that faulted. */
int guarded_touch(void *at);

/* Where the stubs end up: `context` is the handler's ucontext. The first moves an interrupted
 * interruptible_syscall() that has not entered the kernel, or that the kernel is about to restart,
 * to its SYSCALL_RESTART or SYSCALL_INTERRUPTED return; the second moves a faulting guarded access
 * to its failure return and says whether there was one. */
void host_rewind_syscall(ucontext_t *context);
bool host_fix_access(ucontext_t *context);

/* Whether an interruptible_syscall() has just come back from the kernel, where nothing can fault.
 */
bool host_syscall_returned(const ucontext_t *context);

/* Address of the instruction that a context was interrupted at, for messages. */
u64 host_context_pc(const ucontext_t *context);

/* Signal return trampoline for handlers installed with the bare system call. */
void host_signal_return(void);

#endif

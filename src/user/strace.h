/* --strace: one line per system call, from the same tables that drive conversion. */
#ifndef USER_STRACE_H
#define USER_STRACE_H

#include "user/syscall.h"

/* Before the call: prints it at once only if it may not return (exit, exec). */
void strace_enter(Thread *thread, const Syscall *call, const u64 *arguments);

/* After it: the whole line. `call` is NULL for an unknown number. */
void strace_leave(Thread *thread, const Syscall *call, u64 number, const u64 *arguments,
                  s64 result);

/* A signal delivered to the guest. */
void strace_signal(Thread *thread, int signal, int code);

#endif

/* New threads and processes (clone in all its forms), and their end. */
#ifndef USER_THREAD_H
#define USER_THREAD_H

#include "user/process.h"

/* clone(2) and clone3(2) in one shape. Addresses are the guest's; 0 where the flag is not given. */
typedef struct CloneRequest {
    u64 flags;       /* CLONE_* without the exit signal */
    int exit_signal; /* to the parent; 0: none */
    u64 stack;       /* 0: the parent's */
    u64 tls;
    u64 parent_tid, child_tid, pidfd;
} CloneRequest;

/* Returns the new thread's or process's id in the parent, 0 in a new process, or -errno. A new
 * thread starts on its own. */
s64 thread_clone(Thread *thread, const CloneRequest *request);

/* exit(2): releases what other threads wait for and marks the thread as ended. Does not return on
 * the main thread or in a vfork child. Returns SYSCALL_NO_RESULT, or SYSCALL_RESTART with nothing
 * done when a signal must be delivered first. */
s64 thread_end(Thread *thread, int status);

#endif

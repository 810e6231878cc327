/* Threads and processes: see thread.h.
 *
 * Threads are host threads of the C library, one vCPU each. fork() is the C library's. A vfork
 * child shares memory for real: a host process on the same address space that continues with the
 * same Thread and vCPU while the parent waits in the kernel; what it changes in them is put back.
 */
#include "user/thread.h"
#include "base/sanitizer.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "user/access.h"
#include "user/host_stubs.h"
#include "user/syscall.h"

enum {
    HOST_STACK = 1 << 20,
    THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
    ROBUST_LIMIT = 2048,
};

static void put_u32(const Thread *thread, u64 address, u32 value)
{
    u8 bytes[4];

    put_value(bytes, value, 4, thread->abi->big_endian);
    if (!copy_to_guest(address, bytes, 4)) {
        return; /* as the kernel: a bad address is the guest's loss */
    }
}

static s64 futex_wake(u64 address, u32 count)
{
    return plain_syscall(SYS_futex, (u64[6]){address, FUTEX_WAKE, count});
}

/* --- threads ------------------------------------------------------------------------------------
 */

typedef struct StartInfo {
    Thread *thread;
    const CloneRequest *request;
    sem_t ready;
    s64 tid; /* or -errno */
} StartInfo;

static void *thread_main(void *opaque)
{
    StartInfo *info = opaque;
    Thread *thread = info->thread;

    thread_set_current(thread);
    bool ok = signals_thread_init(thread);
    /* Both before any guest code runs: it may end and clear the same word. */
    if (ok && info->request->flags & CLONE_PARENT_SETTID) {
        put_u32(thread, info->request->parent_tid, (u32)gettid());
    }
    if (ok && info->request->flags & CLONE_CHILD_SETTID) {
        put_u32(thread, info->request->child_tid, (u32)gettid());
    }
    info->tid = ok ? gettid() : -ENOMEM;
    sem_post(&info->ready); /* `info` is gone after this */
    if (ok) {
        signals_unblock(thread);
        thread_run(thread);
        __atomic_fetch_sub(&thread->process->thread_count, 1, __ATOMIC_SEQ_CST);
    }
    signals_thread_free(thread);
    thread_set_current(NULL);
    thread_free(thread);
    return NULL;
}

static s64 start_host_thread(StartInfo *info)
{
    pthread_attr_t attributes;
    pthread_t id;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, HOST_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sem_init(&info->ready, 0, 0);
    int error = pthread_create(&id, &attributes, thread_main, info);
    pthread_attr_destroy(&attributes);
    if (!error) {
        while (sem_wait(&info->ready)) {
        }
    }
    sem_destroy(&info->ready);
    return error ? -error : info->tid;
}

static s64 clone_thread(Thread *parent, const CloneRequest *request)
{
    Thread *thread = thread_new(parent->process);

    if (!thread) {
        return -EAGAIN;
    }
    s64 result = signals_block_all(parent);
    if (result) {
        thread_free(thread);
        return result;
    }
    parent->abi->copy(thread, parent, request->stack ? &request->stack : NULL);
    if (request->flags & CLONE_SETTLS) {
        result = parent->abi->set_tls(thread, request->tls);
        if (result) {
            thread_free(thread);
            signals_unblock(parent);
            return result;
        }
    }
    thread->signals.mask = parent->signals.mask;
    if (request->flags & CLONE_CHILD_CLEARTID) {
        thread->clear_child_tid = request->child_tid;
    }
    __atomic_fetch_add(&parent->process->thread_count, 1, __ATOMIC_SEQ_CST);
    StartInfo info = {.thread = thread, .request = request};
    result = start_host_thread(&info);
    if (result < 0) {
        __atomic_fetch_sub(&parent->process->thread_count, 1, __ATOMIC_SEQ_CST);
        if (result == -EAGAIN) { /* pthread_create itself failed: nobody else frees it */
            thread_free(thread);
        }
    }
    signals_unblock(parent);
    return result;
}

/* --- processes -----------------------------------------------------------------------------------
 */

static void start_child(Thread *thread, const CloneRequest *request)
{
    thread->abi->copy(thread, thread, request->stack ? &request->stack : NULL);
    if (request->flags & CLONE_SETTLS) {
        thread->abi->set_tls(thread,
                             request->tls); /* that the parent was told of a bad one is moot */
    }
    thread->clear_child_tid = request->flags & CLONE_CHILD_CLEARTID ? request->child_tid : 0;
    thread->robust_list = 0;
    if (request->flags & CLONE_CHILD_SETTID) {
        put_u32(thread, request->child_tid, (u32)gettid());
    }
}

/* What the parent's side still has to do once the child exists. */
static s64 finish_parent(Thread *thread, const CloneRequest *request, s64 pid)
{
    if (request->flags & CLONE_PARENT_SETTID) {
        put_u32(thread, request->parent_tid, (u32)pid);
    }
    if (request->flags & CLONE_PIDFD) {
        s64 fd = plain_syscall(SYS_pidfd_open, (u64[6]){(u64)pid});
        put_u32(thread, request->pidfd, (u32)fd);
    }
    return pid;
}

/* The kernel's clone without shared memory, for flags that fork() has no way to say. */
static s64 raw_fork(Thread *thread, const CloneRequest *request)
{
    const u64 kept = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_PARENT | CLONE_IO |
                     CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                     CLONE_NEWPID | CLONE_NEWNET;
    u64 flags = request->flags & kept;

    if (flags == 0 && request->exit_signal == SIGCHLD) {
        s64 pid = fork();
        return pid < 0 ? -errno : pid;
    }
    /* The C library's locks may be held by another thread. */
    if (__atomic_load_n(&thread->process->thread_count, __ATOMIC_SEQ_CST) != 1) {
        return -EINVAL;
    }
    return plain_syscall(SYS_clone, (u64[6]){flags | (u64)request->exit_signal});
}

static s64 clone_process(Thread *thread, const CloneRequest *request)
{
    Process *process = thread->process;
    s64 result = signals_block_all(thread);

    if (result) {
        return result;
    }
    memory_hold_changes(&process->memory);
    engine_fork_prepare(process->engine);
    memory_fork_prepare(&process->memory);
    pthread_mutex_lock(&process->signals.lock);
    pthread_mutex_lock(&process->root.lock);
    s64 pid = raw_fork(thread, request);
    pthread_mutex_unlock(&process->root.lock);
    pthread_mutex_unlock(&process->signals.lock);
    if (pid == 0) {
        engine_fork_child(process->engine, thread->vcpu);
    } else {
        engine_fork_parent(process->engine);
    }
    memory_fork_done(&process->memory);
    if (pid == 0) {
        process->thread_count = 1;
        thread->signals.held = 0; /* pending signals are not inherited */
        start_child(thread, request);
    } else if (pid > 0) {
        pid = finish_parent(thread, request, pid);
    }
    signals_unblock(thread);
    return pid;
}

typedef struct VforkInfo {
    Thread *thread;
    const CloneRequest *request;
} VforkInfo;

static int vfork_main(void *opaque)
{
    VforkInfo *info = opaque;
    Thread *thread = info->thread;

    thread->vfork_child = true;
    thread->signals.held = 0;
    start_child(thread, info->request);
    signals_unblock(thread);
    thread_run(thread);
    _exit(0); /* not reached: exit(2) of a vfork child does not come back */
}

/* What a vfork child may change in its parent's objects. */
typedef struct Saved {
    ThreadSignals signals;
    GuestAction actions[SIGNAL_COUNT + 1];
    u64 clear_child_tid, robust_list;
    bool vfork_child;
} Saved;

static s64 run_vfork_child(Thread *thread, const CloneRequest *request)
{
    void *stack = mmap(NULL, HOST_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    VforkInfo info = {thread, request};

    if (stack == MAP_FAILED) {
        return -ENOMEM;
    }
    s64 pid = clone(vfork_main, (u8 *)stack + HOST_STACK,
                    CLONE_VM | CLONE_VFORK | request->exit_signal, &info);
    int error = errno;
    sanitizer_forget(stack, HOST_STACK);
    munmap(stack, HOST_STACK);
    return pid < 0 ? -error : pid;
}

static s64 clone_vfork(Thread *thread, const CloneRequest *request)
{
    Process *process = thread->process;
    size_t state_size = thread->abi->state_size;
    Saved *saved = malloc(sizeof *saved);
    void *state = aligned_alloc(64, ALIGN_UP(state_size, 64));
    s64 pid = saved && state ? signals_block_all(thread) : -ENOMEM;

    if (pid == 0) {
        *saved = (Saved){thread->signals,
                         {{0}},
                         thread->clear_child_tid,
                         thread->robust_list,
                         thread->vfork_child};
        memcpy(saved->actions, process->signals.actions, sizeof saved->actions);
        memcpy(state, thread->state, state_size);
        pid = run_vfork_child(thread, request);
        memcpy(process->signals.actions, saved->actions, sizeof saved->actions);
        thread->abi->restore(thread->state, state);
        thread->signals = saved->signals;
        thread->clear_child_tid = saved->clear_child_tid;
        thread->robust_list = saved->robust_list;
        thread->vfork_child = saved->vfork_child;
        if (!thread->vfork_child) {
            arena_free(&thread->exec_memory);
        }
        if (pid > 0) {
            pid = finish_parent(thread, request, pid);
        }
        signals_unblock(thread);
    }
    free(saved);
    free(state);
    return pid;
}

s64 thread_clone(Thread *thread, const CloneRequest *request)
{
    u64 flags = request->flags;

    if (flags & CLONE_THREAD) {
        return (flags & THREAD_FLAGS) == THREAD_FLAGS ? clone_thread(thread, request) : -EINVAL;
    }
    if (flags & CLONE_VM && flags & CLONE_VFORK) {
        return clone_vfork(thread, request);
    }
    if (flags & CLONE_VM) {
        if (log_on(LOG_UNIMP)) {
            log_printf("unsupported clone flags %#llx\n", (unsigned long long)flags);
        }
        return -EINVAL;
    }
    return clone_process(thread, request);
}

/* --- end
 * ------------------------------------------------------------------------------------------ */

/* One robust futex of a dying thread: marks it and wakes a waiter, if the thread owned it. */
static void release_robust(const Thread *thread, u64 address, u32 tid)
{
    u32 *word = guest_to_host(address);
    u32 value;

    if (address % 4 || !touch_guest_pages(address, sizeof value) ||
        !copy_from_guest(&value, address, sizeof value)) {
        return;
    }
    while ((value & FUTEX_TID_MASK) == tid) {
        u32 dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (__atomic_compare_exchange_n(word, &value, dead, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            if (value & FUTEX_WAITERS) {
                futex_wake(address, 1);
            }
            return;
        }
    }
    (void)thread;
}

/* struct robust_list_head: first entry, offset from entry to futex word, pending entry. */
static void walk_robust_list(const Thread *thread)
{
    u64 head = thread->robust_list, entry, offset, pending;
    unsigned word = thread->abi->word_size;
    u32 tid = (u32)gettid();

    if (!head || !word_from_guest(thread, head, &entry) ||
        !word_from_guest(thread, head + word, &offset) ||
        !word_from_guest(thread, head + 2 * word, &pending)) {
        return;
    }
    for (int i = 0; i < ROBUST_LIMIT && (entry & ~(u64)1) != head; i++) {
        u64 next;
        if (!word_from_guest(thread, entry & ~(u64)1, &next)) {
            break;
        }
        if ((entry & ~(u64)1) != (pending & ~(u64)1)) {
            release_robust(thread, (entry & ~(u64)1) + offset, tid);
        }
        entry = next;
    }
    if (pending & ~(u64)1) {
        release_robust(thread, (pending & ~(u64)1) + offset, tid);
    }
}

s64 thread_end(Thread *thread, int status)
{
    bool main_thread = gettid() == getpid();

    /* A signal of the process that this thread has taken would be lost with it. */
    s64 result = signals_block_all(thread);
    if (result) {
        return result;
    }
    if (thread->vfork_child) {
        _exit(status & 0xff);
    }
    walk_robust_list(thread);
    if (thread->clear_child_tid) {
        put_u32(thread, thread->clear_child_tid, 0);
        futex_wake(thread->clear_child_tid, 1);
    }
    if (main_thread) { /* the process lives on while other threads do */
        plain_syscall(SYS_exit, (u64[6]){(u64)status});
    }
    thread->ended = true;
    return SYSCALL_NO_RESULT;
}

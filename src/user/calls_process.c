/* System calls that start, describe and end processes and threads. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "user/access.h"
#include "user/exec.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/syscall.h"
#include "user/thread.h"

s64 sys_set_tid_address(Thread *thread, const u64 *arguments)
{
    thread->clear_child_tid = arguments[0];
    return gettid();
}

s64 sys_set_robust_list(Thread *thread, const u64 *arguments)
{
    if (arguments[1] != 3 * (u64)thread->abi->word_size) {
        return -EINVAL;
    }
    thread->robust_list = arguments[0];
    return 0;
}

/* Of the calling thread only: another's is not known here. */
s64 sys_get_robust_list(Thread *thread, const u64 *arguments)
{
    unsigned word = thread->abi->word_size;
    u8 bytes[8];

    if ((int)arguments[0] != 0 && (int)arguments[0] != gettid()) {
        return -EPERM;
    }
    put_value(bytes, 3 * (u64)word, word, thread->abi->big_endian);
    if (!copy_to_guest(arguments[2], bytes, word)) {
        return -EFAULT;
    }
    put_value(bytes, thread->robust_list, word, thread->abi->big_endian);
    return copy_to_guest(arguments[1], bytes, word) ? 0 : -EFAULT;
}

s64 sys_exit(Thread *thread, const u64 *arguments)
{
    return thread_end(thread, (int)arguments[0]);
}

s64 sys_exit_group(Thread *thread, const u64 *arguments)
{
    (void)thread;
    _exit((int)arguments[0] & 0xff);
}

s64 sys_clone(Thread *thread, const u64 *arguments)
{
    return thread_clone(thread, &(CloneRequest){
                                    .flags = arguments[0] & ~(u64)CSIGNAL,
                                    .exit_signal = (int)(arguments[0] & CSIGNAL),
                                    .stack = arguments[1],
                                    .parent_tid = arguments[2],
                                    .pidfd = arguments[2],
                                    .tls = arguments[3],
                                    .child_tid = arguments[4],
                                });
}

s64 sys_fork(Thread *thread, const u64 *arguments)
{
    (void)arguments;
    return thread_clone(thread, &(CloneRequest){.exit_signal = SIGCHLD});
}

s64 sys_vfork(Thread *thread, const u64 *arguments)
{
    (void)arguments;
    return thread_clone(thread,
                        &(CloneRequest){.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD});
}

s64 sys_clone3(Thread *thread, const u64 *arguments)
{
    enum { FIRST_SIZE = 64, FIELDS = 11 };
    u8 bytes[FIELDS * 8] = {0};
    u64 field[FIELDS];

    if (arguments[1] < FIRST_SIZE) {
        return -EINVAL;
    }
    if (arguments[1] > sizeof bytes) {
        return -E2BIG;
    }
    if (!copy_from_guest(bytes, arguments[0], arguments[1])) {
        return -EFAULT;
    }
    for (int i = 0; i < FIELDS; i++) {
        field[i] = get_value(bytes + 8 * i, 8, thread->abi->big_endian);
    }
    if (field[9] || field[0] & CSIGNAL) { /* set_tid_size: needs privileges that nobody here has */
        return field[9] ? -EPERM : -EINVAL;
    }
    return thread_clone(thread, &(CloneRequest){
                                    .flags = field[0],
                                    .pidfd = field[1],
                                    .child_tid = field[2],
                                    .parent_tid = field[3],
                                    .exit_signal = (int)field[4],
                                    .stack = field[5] ? field[5] + field[6] : 0,
                                    .tls = field[7],
                                });
}

/* --- exec ----------------------------------------------------------------------------------------
 */

enum { MAX_STRING = 128 << 10, MAX_STRINGS = 1 << 20 };

/* A string of any length into the exec arena; NULL with *error set. */
static char *take_string(Thread *thread, u64 address, s64 *error)
{
    char small[1024];
    s64 length = copy_string_from_guest(small, address, sizeof small);

    if (length >= 0) {
        return arena_strdup(&thread->exec_memory, small);
    }
    if (length == -ENAMETOOLONG) {
        char *large = arena_alloc(&thread->exec_memory, MAX_STRING, 1);
        length = copy_string_from_guest(large, address, MAX_STRING);
        if (length >= 0) {
            return large;
        }
    }
    *error = length == -ENAMETOOLONG ? -E2BIG : length;
    return NULL;
}

static char **take_list(Thread *thread, u64 address, s64 *error)
{
    unsigned word = thread->abi->word_size;
    size_t count = 0, capacity = 64;
    char **list = ARENA_ARRAY(&thread->exec_memory, char *, capacity);

    for (; address; address += word) {
        u8 bytes[8];
        if (!copy_from_guest(bytes, address, word)) {
            *error = -EFAULT;
            return NULL;
        }
        u64 string = get_value(bytes, word, thread->abi->big_endian);
        if (!string) {
            break;
        }
        if (count + 1 == capacity) {
            if (capacity >= MAX_STRINGS) {
                *error = -E2BIG;
                return NULL;
            }
            char **larger = ARENA_ARRAY(&thread->exec_memory, char *, capacity * 2);
            memcpy(larger, list, count * sizeof *list);
            list = larger;
            capacity *= 2;
        }
        list[count] = take_string(thread, string, error);
        if (!list[count++]) {
            return NULL;
        }
    }
    return list;
}

static s64 exec_named(Thread *thread, const char *name, u64 arguments, u64 environment)
{
    s64 error = 0;
    char **argument_list = take_list(thread, arguments, &error);
    char **environment_list = argument_list ? take_list(thread, environment, &error) : NULL;

    if (environment_list) {
        error = exec_program(thread, name, argument_list, environment_list);
    }
    if (!thread->vfork_child) {
        arena_free(&thread->exec_memory);
    }
    return error;
}

s64 sys_execve(Thread *thread, const u64 *arguments)
{
    char name[PATH_MAX];
    s64 length = copy_string_from_guest(name, arguments[0], sizeof name);

    return length < 0 ? length : exec_named(thread, name, arguments[1], arguments[2]);
}

s64 sys_execveat(Thread *thread, const u64 *arguments)
{
    char name[PATH_MAX], path[PATH_MAX + 64], link[64];
    s64 length = copy_string_from_guest(name, arguments[1], sizeof name);
    int dir = (int)arguments[0];

    if (length < 0) {
        return length;
    }
    if (name[0] == '/' || (dir == AT_FDCWD && length)) {
        return exec_named(thread, name, arguments[2], arguments[3]);
    }
    if (!length && !(arguments[4] & AT_EMPTY_PATH)) {
        return -ENOENT;
    }
    /* The descriptor may close on exec: use the name of what it is open on. */
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) {
        return -EBADF;
    }
    path[size] = 0;
    if (length) {
        snprintf(path + size, sizeof path - (size_t)size, "/%s", name);
    } else if (access(path, F_OK)) { /* deleted, or never had a name */
        int flags = fcntl(dir, F_GETFD);
        fcntl(dir, F_SETFD, flags & ~FD_CLOEXEC);
        s64 result = exec_named(thread, link, arguments[2], arguments[3]);
        fcntl(dir, F_SETFD, flags);
        return result;
    }
    return exec_named(thread, path, arguments[2], arguments[3]);
}

/* --- settings
 * ------------------------------------------------------------------------------------- */

s64 sys_personality(Thread *thread, const u64 *arguments)
{
    /* Executable mappings are ours to make; the host must not add them. */
    if ((u32)arguments[0] != 0xffffffffu && arguments[0] & READ_IMPLIES_EXEC) {
        return -EINVAL;
    }
    return host_call(thread, SYS_personality, arguments);
}

/* prctl options that mean the process and not the CPU; the others are EINVAL, as on a kernel or CPU
 * without them. */
static const int passed_options[] = {
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_KEEPCAPS,
    PR_SET_KEEPCAPS,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_CAPBSET_READ,
    PR_CAPBSET_DROP,
    PR_GET_SECUREBITS,
    PR_SET_SECUREBITS,
    PR_SET_TIMERSLACK,
    PR_GET_TIMERSLACK,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_THP_DISABLE,
    PR_GET_THP_DISABLE,
    PR_CAP_AMBIENT,
    PR_MCE_KILL,
    PR_MCE_KILL_GET,
    PR_SET_PTRACER,
    PR_SET_IO_FLUSHER,
    PR_GET_IO_FLUSHER,
    PR_SET_VMA,
};

s64 sys_prctl(Thread *thread, const u64 *arguments)
{
    for (size_t i = 0; i < COUNT(passed_options); i++) {
        if (passed_options[i] == (int)arguments[0]) {
            return host_call(thread, SYS_prctl, arguments);
        }
    }
    if ((int)arguments[0] == PR_GET_SECCOMP) {
        return 0;
    }
    if (log_on(LOG_UNIMP)) {
        log_printf("unsupported prctl option %d\n", (int)arguments[0]);
    }
    return -EINVAL;
}

/* A guest's filter names its own system calls and would judge the emulator's. */
s64 sys_seccomp(Thread *thread, const u64 *arguments)
{
    (void)thread;
    if (log_on(LOG_UNIMP)) {
        log_printf("unsupported seccomp operation %d\n", (int)arguments[0]);
    }
    return -EINVAL;
}

s64 sys_ptrace(Thread *thread, const u64 *arguments)
{
    (void)thread;
    if (log_on(LOG_UNIMP)) {
        log_printf("unsupported ptrace request %d\n", (int)arguments[0]);
    }
    return -EPERM;
}

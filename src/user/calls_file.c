/* System calls on files that need more than conversion. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/proc_files.h"
#include "user/process.h"
#include "user/syscall.h"

/* Whether the descriptor is the emulator's own: the guest does not have it. */
static bool is_own(const Thread *thread, u64 fd)
{
    return thread->process->root.fd >= 0 && (int)fd == thread->process->root.fd;
}

s64 open_file(Thread *thread, const u64 *arguments)
{
    if (arguments[1]) {
        s64 fd = proc_open(thread, guest_to_host(arguments[1]), (int)arguments[2]);
        if (fd != PROC_NOT_OURS) {
            return fd;
        }
    }
    return host_call(thread, SYS_openat, arguments);
}

s64 sys_openat2(Thread *thread, const u64 *arguments)
{
    char name[PATH_MAX], buffer[PATH_MAX];
    struct open_how how;

    if (arguments[3] < sizeof how) {
        return -EINVAL;
    }
    if (arguments[3] > sizeof how) {
        return -E2BIG;
    }
    if (!copy_from_guest(&how, arguments[2], sizeof how)) {
        return -EFAULT;
    }
    s64 length = copy_string_from_guest(name, arguments[1], sizeof name);
    if (length < 0) {
        return length;
    }
    how.flags = bits_to_host(thread->abi->open_bits, how.flags);
    const char *host = name;
    if (!how.resolve) {
        host = path_to_host(&thread->process->root, (int)arguments[0], name,
                            how.flags & O_NOFOLLOW ? PATH_NOFOLLOW : PATH_FOLLOW, buffer);
    }
    return host_call(thread, SYS_openat2,
                     (u64[6]){arguments[0], host_to_guest(host), host_to_guest(&how), sizeof how});
}

s64 close_file(Thread *thread, const u64 *arguments)
{
    return is_own(thread, arguments[0]) ? -EBADF : host_call(thread, SYS_close, arguments);
}

s64 close_files(Thread *thread, const u64 *arguments)
{
    u32 first = (u32)arguments[0], last = (u32)arguments[1];
    int own = thread->process->root.fd;

    if (own < 0 || (u32)own < first || (u32)own > last) {
        return host_call(thread, SYS_close_range, arguments);
    }
    s64 result = 0;
    if ((u32)own > first) {
        result = host_call(thread, SYS_close_range, (u64[6]){first, (u32)own - 1, arguments[2]});
    }
    if (result == 0 && (u32)own < last) {
        result = host_call(thread, SYS_close_range, (u64[6]){(u32)own + 1, last, arguments[2]});
    }
    return result;
}

s64 duplicate_file(Thread *thread, const u64 *arguments)
{
    return is_own(thread, arguments[0]) || is_own(thread, arguments[1])
               ? -EBADF
               : host_call(thread, SYS_dup3, arguments);
}

/* Copies a path of the host to the guest as the guest sees it, at most `size` bytes. */
static s64 copy_path_to_guest(Thread *thread, u64 address, u64 size, const char *host)
{
    const char *name = path_to_guest(&thread->process->root, host);

    size = MIN(size, (u64)strlen(name));
    return copy_to_guest(address, name, size) ? (s64)size : -EFAULT;
}

s64 read_link(Thread *thread, const u64 *arguments)
{
    const char *name = arguments[1] ? guest_to_host(arguments[1]) : "";
    u64 size = arguments[3];
    char target[PATH_MAX];

    if (!proc_is_below_self(name)) { /* what links on disk say is the guest's own text */
        return host_call(thread, SYS_readlinkat, arguments);
    }
    if ((s64)size <= 0) {
        return -EINVAL;
    }
    if (proc_is_own(name, "exe")) {
        return copy_path_to_guest(thread, arguments[2], size, thread->process->executable);
    }
    s64 length =
        host_call(thread, SYS_readlinkat,
                  (u64[6]){arguments[0], arguments[1], host_to_guest(target), sizeof target - 1});
    if (length < 0) {
        return length;
    }
    target[length] = 0;
    return copy_path_to_guest(thread, arguments[2], size, target);
}

s64 get_directory(Thread *thread, const u64 *arguments)
{
    char host[PATH_MAX];

    s64 result = host_call(thread, SYS_getcwd, (u64[6]){host_to_guest(host), sizeof host});
    if (result < 0) {
        return result;
    }
    const char *name = path_to_guest(&thread->process->root, host);
    u64 size = strlen(name) + 1;
    if (size > arguments[1]) {
        return -ERANGE;
    }
    return copy_to_guest(arguments[0], name, size) ? (s64)size : -EFAULT;
}

s64 sys_fcntl(Thread *thread, const u64 *arguments)
{
    u64 host[SYSCALL_ARGUMENTS];

    memcpy(host, arguments, sizeof host);
    if (is_own(thread, arguments[0])) {
        return -EBADF;
    }
    switch ((int)arguments[1]) {
    case F_SETFL:
        host[2] = bits_to_host(thread->abi->open_bits, arguments[2]);
        return host_call(thread, SYS_fcntl, host);
    case F_GETFL: {
        s64 result = host_call(thread, SYS_fcntl, host);
        return result < 0 ? result : (s64)bits_to_guest(thread->abi->open_bits, (u64)result);
    }
    default:
        return host_call(thread, SYS_fcntl, host);
    }
}

/* Request numbers and structures of terminals, files and sockets are the generic ones on both sides
 * (termios, winsize, ifreq, file system requests); the kernel checks the pointers. */
s64 sys_ioctl(Thread *thread, const u64 *arguments)
{
    return host_call(thread, SYS_ioctl, arguments);
}

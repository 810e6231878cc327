/* System calls on files that need more than conversion. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/access.h"
#include "user/proc_files.h"
#include "user/process.h"
#include "user/structs.h"
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

/* Commands that pass a struct flock, by whether its offsets have 64 bits in every ABI. Hosts have
 * one structure and the commands without 64. */
static const struct {
    int guest, host;
    bool wide;
} lock_commands[] = {
    {F_GETLK, F_GETLK, false},
    {F_SETLK, F_SETLK, false},
    {F_SETLKW, F_SETLKW, false},
    {12, F_GETLK, true},
    {13, F_SETLK, true},
    {14, F_SETLKW, true},
    {F_OFD_GETLK, F_OFD_GETLK, true},
    {F_OFD_SETLK, F_OFD_SETLK, true},
    {F_OFD_SETLKW, F_OFD_SETLKW, true},
};

/* fcntl(2) with a struct flock that is not the host's. */
static s64 lock_file(Thread *thread, const u64 *arguments, int host_command, bool wide)
{
    int structure = wide ? STRUCT_flock64 : STRUCT_flock;
    struct flock lock;

    int error = struct_from_guest(thread, structure, &lock, arguments[2]);
    s64 result = error ? error
                       : host_call(thread, SYS_fcntl,
                                   (u64[6]){arguments[0], (u64)host_command, host_to_guest(&lock)});
    if (result < 0 || (host_command != F_GETLK && host_command != F_OFD_GETLK)) {
        return result;
    }
    return struct_into_guest(thread, structure, arguments[2], &lock);
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
        break;
    }
    for (size_t i = 0; i < COUNT(lock_commands) && !thread->abi->structs[STRUCT_flock]->same; i++) {
        if (lock_commands[i].guest == (int)arguments[1]) {
            return lock_file(thread, arguments, lock_commands[i].host, lock_commands[i].wide);
        }
    }
    return host_call(thread, SYS_fcntl, host);
}

s64 sys_fcntl64(Thread *thread, const u64 *arguments)
{
    return sys_fcntl(thread, arguments);
}

s64 duplicate_onto(Thread *thread, const u64 *arguments)
{
    if (is_own(thread, arguments[0]) || is_own(thread, arguments[1])) {
        return -EBADF;
    }
    if ((int)arguments[0] == (int)arguments[1]) { /* dup3() refuses what dup2() takes */
        s64 result = host_call(thread, SYS_fcntl, (u64[6]){arguments[0], F_GETFD});
        return result < 0 ? result : (s64)arguments[1];
    }
    return host_call(thread, SYS_dup3, (u64[6]){arguments[0], arguments[1]});
}

s64 create_epoll(Thread *thread, const u64 *arguments)
{
    return (int)arguments[0] <= 0 ? -EINVAL : host_call(thread, SYS_epoll_create1, (u64[6]){0});
}

/* --- positions ---------------------------------------------------------------------------------
 *
 * Directories of ext4 have positions of 64 bits: a hash in the upper half. Programs whose off_t has
 * 32 bits would not be able to read them. As the kernel does for such programs, the upper half
 * alone is shown to 32-bit guests. */

enum { EXT_MAGIC = 0xef53 };

static u64 shown_position(const GuestAbi *abi, u64 position)
{
    return abi->word_size == 4 && position > INT_MAX ? position >> 32 : position;
}

/* The host's position for one that the guest was shown. */
static u64 real_position(const Thread *thread, int fd, u64 position, int whence)
{
    struct stat status;
    struct statfs filesystem;
    bool shown = thread->abi->word_size == 4 && whence == SEEK_SET && position &&
                 position <= INT_MAX && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) &&
                 fstatfs(fd, &filesystem) == 0 && filesystem.f_type == EXT_MAGIC;

    return shown ? position << 32 : position;
}

/* lseek(2) where off_t has 32 bits. */
s64 seek_short(Thread *thread, const u64 *arguments)
{
    u64 position = real_position(thread, (int)arguments[0], arguments[1], (int)arguments[2]);
    s64 result = host_call(thread, SYS_lseek, (u64[6]){arguments[0], position, arguments[2]});

    return result < 0                                                ? result
           : shown_position(thread->abi, (u64)result) == (u64)result ? result
           : position != arguments[1]                                ? (s64)arguments[1]
                                                                     : -EOVERFLOW;
}

s64 sys__llseek(Thread *thread, const u64 *arguments)
{
    u64 position = arguments[1] << 32 | (u32)arguments[2];
    u64 real = real_position(thread, (int)arguments[0], position, (int)arguments[4]);
    u8 bytes[8];

    s64 result = host_call(thread, SYS_lseek, (u64[6]){arguments[0], real, arguments[4]});
    if (result < 0) {
        return result;
    }
    put_value(bytes, real == position ? (u64)result : position, 8, thread->abi->big_endian);
    return copy_to_guest(arguments[3], bytes, 8) ? 0 : -EFAULT;
}

/* struct linux_dirent64 of the kernel's getdents64(2): the same in every ABI but for byte order. */
typedef struct Entry {
    u64 inode, position;
    u16 size;
    u8 type;
    char name[];
} Entry;

enum { ENTRY_NAME = offsetof(Entry, name), DIRECTORY_BYTES = 1 << 16 };

/* Makes one entry at `to`; its size. */
typedef size_t MakeEntry(const GuestAbi *abi, u8 *to, const Entry *entry);

/* struct linux_dirent: inode and position as words, u16 size, name, and the type as the last byte.
 */
static size_t make_old_entry(const GuestAbi *abi, u8 *to, const Entry *entry)
{
    unsigned word = abi->word_size;
    size_t name = strlen(entry->name);
    size_t size = ALIGN_UP(2 * word + 2 + name + 2, (size_t)word);

    memset(to, 0, size);
    put_value(to, entry->inode, word, abi->big_endian);
    put_value(to + word, shown_position(abi, entry->position), word, abi->big_endian);
    put_value(to + 2 * word, size, 2, abi->big_endian);
    memcpy(to + 2 * word + 2, entry->name, name);
    to[size - 1] = entry->type;
    return size;
}

static size_t make_entry(const GuestAbi *abi, u8 *to, const Entry *entry)
{
    memcpy(to, entry, entry->size);
    put_value(to, entry->inode, 8, abi->big_endian);
    put_value(to + 8, shown_position(abi, entry->position), 8, abi->big_endian);
    put_value(to + 16, entry->size, 2, abi->big_endian);
    return entry->size;
}

/* The kernel's entries in the guest's layout, which is not larger. */
static s64 read_entries(Thread *thread, const u64 *arguments, MakeEntry *make)
{
    size_t room = MIN(arguments[2] & 0xffffffff, (u64)DIRECTORY_BYTES), used = 0;
    u8 *host = malloc(2 * room + 1);
    u8 *guest = host + room;

    if (!host) {
        return -ENOMEM;
    }
    s64 result =
        host_call(thread, SYS_getdents64, (u64[6]){arguments[0], host_to_guest(host), room});
    for (s64 at = 0; at < result;) {
        const Entry *entry = (const Entry *)(host + at);
        at += entry->size;
        used += make(thread->abi, guest + used, entry);
    }
    if (result > 0) {
        result = copy_to_guest(arguments[1], guest, used) ? (s64)used : -EFAULT;
    }
    free(host);
    return result;
}

s64 read_directory(Thread *thread, const u64 *arguments)
{
    return read_entries(thread, arguments, make_old_entry);
}

s64 read_directory64(Thread *thread, const u64 *arguments)
{
    return read_entries(thread, arguments, make_entry);
}

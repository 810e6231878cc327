/* System calls about time, limits and the system's identity. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "user/access.h"
#include "user/process.h"
#include "user/syscall.h"

/* The host's C library reads the clock without entering the kernel. */
s64 read_clock(Thread *thread, const u64 *arguments)
{
    struct timespec now;

    (void)thread;
    if (clock_gettime((clockid_t)arguments[0], &now)) {
        return -errno;
    }
    return copy_to_guest(arguments[1], &now, sizeof now) ? 0 : -EFAULT;
}

s64 read_time_of_day(Thread *thread, const u64 *arguments)
{
    struct timeval now;

    if (arguments[1]) {
        return host_call(thread, SYS_gettimeofday, arguments);
    }
    gettimeofday(&now, NULL);
    return !arguments[0] || copy_to_guest(arguments[0], &now, sizeof now) ? 0 : -EFAULT;
}

s64 read_system_name(Thread *thread, const u64 *arguments)
{
    struct utsname name;

    if (uname(&name)) {
        return -errno;
    }
    memset(name.machine, 0, sizeof name.machine);
    bool narrow = (personality(0xffffffff) & PER_MASK) == PER_LINUX32;
    const char *machine = narrow ? thread->abi->machine_32 : thread->abi->machine;
    strncpy(name.machine, machine, sizeof name.machine - 1);
    return copy_to_guest(arguments[0], &name, sizeof name) ? 0 : -EFAULT;
}

/* sysinfo(2): sizes that a word does not hold are given in larger units. */
s64 read_system_info(Thread *thread, const u64 *arguments)
{
    struct sysinfo info;

    if (sysinfo(&info)) {
        return -errno;
    }
    unsigned long *sizes[] = {&info.totalram,  &info.freeram,  &info.sharedram, &info.bufferram,
                              &info.totalswap, &info.freeswap, &info.totalhigh, &info.freehigh};
    while (thread->abi->word_size == 4 && (info.totalram | info.totalswap) >> 32) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            *sizes[i] >>= 1;
        }
        info.mem_unit <<= 1;
    }
    return copy_to_guest(arguments[0], &info, sizeof info) ? 0 : -EFAULT;
}

/* --- old forms of calls about time -------------------------------------------------------------
 */

s64 read_seconds(Thread *thread, const u64 *arguments)
{
    time_t now = time(NULL);

    (void)thread;
    return !arguments[0] || copy_to_guest(arguments[0], &now, sizeof now) ? now : -EFAULT;
}

s64 set_seconds(Thread *thread, const u64 *arguments)
{
    struct timespec now = {0};

    if (!copy_from_guest(&now.tv_sec, arguments[0], sizeof now.tv_sec)) {
        return -EFAULT;
    }
    return host_call(thread, SYS_clock_settime, (u64[6]){CLOCK_REALTIME, host_to_guest(&now)});
}

/* alarm(2): the seconds that were left, rounded, but not to none. */
s64 set_alarm(Thread *thread, const u64 *arguments)
{
    struct itimerval new = {.it_value.tv_sec = (u32)arguments[0]}, old;

    s64 result = host_call(thread, SYS_setitimer,
                           (u64[6]){ITIMER_REAL, host_to_guest(&new), host_to_guest(&old)});
    if (result) {
        return result;
    }
    s64 left = old.it_value.tv_sec + (old.it_value.tv_usec >= 500000);
    return left || !old.it_value.tv_usec ? left : 1;
}

/* futimesat(2): directory, path, two timevals or null. */
s64 set_file_times(Thread *thread, const u64 *arguments)
{
    struct timeval given[2];
    struct timespec times[2];

    if (!arguments[2]) {
        return host_call(thread, SYS_utimensat, (u64[6]){arguments[0], arguments[1]});
    }
    if (!copy_from_guest(given, arguments[2], sizeof given)) {
        return -EFAULT;
    }
    for (int i = 0; i < 2; i++) {
        if (given[i].tv_usec < 0 || given[i].tv_usec >= 1000000) {
            return -EINVAL;
        }
        times[i] = (struct timespec){given[i].tv_sec, given[i].tv_usec * 1000};
    }
    return host_call(thread, SYS_utimensat,
                     (u64[6]){arguments[0], arguments[1], host_to_guest(times)});
}

/* utime(2) */
s64 set_file_seconds(Thread *thread, const u64 *arguments)
{
    struct utimbuf given;
    struct timespec times[2] = {{0}};

    if (!arguments[1]) {
        return host_call(thread, SYS_utimensat, (u64[6]){(u64)AT_FDCWD, arguments[0]});
    }
    if (!copy_from_guest(&given, arguments[1], sizeof given)) {
        return -EFAULT;
    }
    times[0].tv_sec = given.actime;
    times[1].tv_sec = given.modtime;
    return host_call(thread, SYS_utimensat,
                     (u64[6]){(u64)AT_FDCWD, arguments[0], host_to_guest(times)});
}

/* --- limits -------------------------------------------------------------------------------------
 */

/* A limit as a word, where what is too large is infinite. */
static u64 limit_to_guest(u64 value, u64 infinity)
{
    return MIN(value, infinity);
}

static s64 give_limit(Thread *thread, const u64 *arguments, u64 infinity)
{
    struct rlimit limit;
    unsigned word = thread->abi->word_size;

    s64 result =
        host_call(thread, SYS_prlimit64, (u64[6]){0, arguments[0], 0, host_to_guest(&limit)});
    if (result) {
        return result;
    }
    return word_into_guest(thread, arguments[1], limit_to_guest(limit.rlim_cur, infinity)) &&
                   word_into_guest(thread, arguments[1] + word,
                                   limit_to_guest(limit.rlim_max, infinity))
               ? 0
               : -EFAULT;
}

/* getrlimit(2) of 32-bit ABIs that have ugetrlimit(2), too: it knows 31 bits. */
s64 get_old_limit(Thread *thread, const u64 *arguments)
{
    return give_limit(thread, arguments, 0x7fffffff);
}

s64 get_limit(Thread *thread, const u64 *arguments)
{
    return give_limit(thread, arguments, 0xffffffff);
}

s64 set_limit(Thread *thread, const u64 *arguments)
{
    u64 current, maximum;

    if (!word_from_guest(thread, arguments[1], &current) ||
        !word_from_guest(thread, arguments[1] + thread->abi->word_size, &maximum)) {
        return -EFAULT;
    }
    struct rlimit limit = {current == 0xffffffff ? RLIM_INFINITY : current,
                           maximum == 0xffffffff ? RLIM_INFINITY : maximum};
    return host_call(thread, SYS_prlimit64, (u64[6]){0, arguments[0], host_to_guest(&limit)});
}

/* sched_getaffinity(2): the host wants a whole number of its longs. */
s64 get_affinity(Thread *thread, const u64 *arguments)
{
    u8 mask[1024];
    u64 size = MIN(arguments[1], (u64)sizeof mask);

    if (size == 0 || size % thread->abi->word_size) {
        return -EINVAL;
    }
    s64 result = host_call(thread, SYS_sched_getaffinity,
                           (u64[6]){arguments[0], ALIGN_UP(size, (u64)8), host_to_guest(mask)});
    if (result < 0) {
        return result;
    }
    result = MIN(result, (s64)size);
    return copy_to_guest(arguments[2], mask, (size_t)result) ? result : -EFAULT;
}

s64 sys_nice(Thread *thread, const u64 *arguments)
{
    int increment = MAX(-40, MIN(40, (int)arguments[0]));
    /* The system call gives 20 minus the value, to be without negative results. */
    s64 now = 20 - host_call(thread, SYS_getpriority, (u64[6]){PRIO_PROCESS, 0});

    return host_call(thread, SYS_setpriority, (u64[6]){PRIO_PROCESS, 0, (u64)(now + increment)});
}

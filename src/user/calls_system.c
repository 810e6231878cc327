/* System calls about time and the system's identity, and semctl. */
#include <errno.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "user/access.h"
#include "user/process.h"
#include "user/syscall.h"

/* The host's C library reads the clock without entering the kernel. Structures of 64-bit ABIs are
 * the host's. */
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
    strncpy(name.machine, thread->abi->machine, sizeof name.machine - 1);
    return copy_to_guest(arguments[0], &name, sizeof name) ? 0 : -EFAULT;
}

/* The fourth argument is a pointer or a value as the command says; only semid_ds differs. */
s64 sys_semctl(Thread *thread, const u64 *arguments)
{
    const StructLayout *layout = thread->abi->semid_layout;
    u64 host_arguments[SYSCALL_ARGUMENTS];
    u8 host[256], guest[256];
    int command = (int)arguments[2] & ~0x100; /* IPC_64 */

    memcpy(host_arguments, arguments, sizeof host_arguments);
    host_arguments[2] = (u64)command;
    if (layout->same || (command != IPC_STAT && command != IPC_SET && command != SEM_STAT &&
                         command != SEM_STAT_ANY)) {
        return host_call(thread, SYS_semctl, host_arguments);
    }
    host_arguments[3] = host_to_guest(host);
    if (command == IPC_SET) {
        if (!copy_from_guest(guest, arguments[3], layout->guest_size)) {
            return -EFAULT;
        }
        struct_to_host(layout, host, guest, thread->abi->big_endian);
    }
    s64 result = host_call(thread, SYS_semctl, host_arguments);
    if (result < 0 || command == IPC_SET) {
        return result;
    }
    int error = struct_to_guest(layout, guest, host, thread->abi->big_endian);
    return error                                                    ? error
           : copy_to_guest(arguments[3], guest, layout->guest_size) ? result
                                                                    : -EFAULT;
}

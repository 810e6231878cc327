/* System V semaphores, shared memory and messages: structures by command, and ipc(2). */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/process.h"
#include "user/structs.h"
#include "user/syscall.h"

enum { VERSION_64 = 0x100, MESSAGE_MAX = 1 << 24, STRUCT_BYTES = 256 };

/* The structure that a command of semctl, shmctl or msgctl passes, or -1: none, or the same in
 * every ABI. */
typedef struct ControlCommand {
    int command;
    int structure;
    bool in; /* to the kernel */
} ControlCommand;

static const ControlCommand semaphore_commands[] = {
    {IPC_STAT, STRUCT_semid64_ds, false},
    {IPC_SET, STRUCT_semid64_ds, true},
    {SEM_STAT, STRUCT_semid64_ds, false},
    {SEM_STAT_ANY, STRUCT_semid64_ds, false},
    {-1, -1, false},
};

static const ControlCommand segment_commands[] = {
    {IPC_STAT, STRUCT_shmid64_ds, false},
    {IPC_SET, STRUCT_shmid64_ds, true},
    {SHM_STAT, STRUCT_shmid64_ds, false},
    {SHM_STAT_ANY, STRUCT_shmid64_ds, false},
    {IPC_INFO, STRUCT_shminfo64, false},
    {SHM_INFO, STRUCT_shm_info, false},
    {-1, -1, false},
};

static const ControlCommand queue_commands[] = {
    {IPC_STAT, STRUCT_msqid64_ds, false},
    {IPC_SET, STRUCT_msqid64_ds, true},
    {MSG_STAT, STRUCT_msqid64_ds, false},
    {MSG_STAT_ANY, STRUCT_msqid64_ds, false},
    {-1, -1, false},
};

/* The limits that words of 32 bits do not hold are as good as none. */
static void clamp_limits(const Thread *thread, struct shminfo *limits)
{
    if (thread->abi->word_size == 4) {
        limits->shmmax = MIN(limits->shmmax, (unsigned long)INT_MAX);
        limits->shmall = MIN(limits->shmall, (unsigned long)INT_MAX);
    }
}

/* A control call; `at` is the index of the pointer among the arguments, the command comes before.
 */
static s64 control(Thread *thread, s64 number, const ControlCommand *commands, const u64 *arguments,
                   unsigned at)
{
    u64 host_arguments[SYSCALL_ARGUMENTS];
    _Alignas(8) u8 host[STRUCT_BYTES];
    int command = (int)arguments[at - 1] & ~VERSION_64;

    memcpy(host_arguments, arguments, sizeof host_arguments);
    host_arguments[at - 1] = (u64)command;
    while (commands->structure >= 0 && commands->command != command) {
        commands++;
    }
    if (commands->structure < 0 || thread->abi->structs[commands->structure]->same) {
        return host_call(thread, number, host_arguments);
    }
    host_arguments[at] = host_to_guest(host);
    int error =
        commands->in ? struct_from_guest(thread, commands->structure, host, arguments[at]) : 0;
    s64 result = error ? error : host_call(thread, number, host_arguments);
    if (result < 0 || commands->in) {
        return result;
    }
    if (commands->structure == STRUCT_shminfo64) {
        clamp_limits(thread, (struct shminfo *)host);
    }
    error = struct_into_guest(thread, commands->structure, arguments[at], host);
    return error ? error : result;
}

/* The fourth argument is a pointer or a value as the command says. */
s64 sys_semctl(Thread *thread, const u64 *arguments)
{
    return control(thread, SYS_semctl, semaphore_commands, arguments, 3);
}

s64 sys_shmctl(Thread *thread, const u64 *arguments)
{
    return control(thread, SYS_shmctl, segment_commands, arguments, 2);
}

s64 sys_msgctl(Thread *thread, const u64 *arguments)
{
    return control(thread, SYS_msgctl, queue_commands, arguments, 2);
}

/* struct msgbuf: the type as a word, then the text. */
s64 send_typed(Thread *thread, const u64 *arguments)
{
    unsigned word = thread->abi->word_size;
    u64 size = arguments[2], type;

    if (size > MESSAGE_MAX) {
        return -EINVAL;
    }
    struct msgbuf *message = malloc(sizeof(long) + size);
    if (!message) {
        return -ENOMEM;
    }
    s64 result = -EFAULT;
    if (word_from_guest(thread, arguments[1], &type) &&
        copy_from_guest(message->mtext, arguments[1] + word, size)) {
        message->mtype = word == 4 ? (s32)type : (long)type;
        result = host_call(thread, SYS_msgsnd,
                           (u64[6]){arguments[0], host_to_guest(message), size, arguments[3]});
    }
    free(message);
    return result;
}

s64 receive_typed(Thread *thread, const u64 *arguments)
{
    unsigned word = thread->abi->word_size;
    u64 size = arguments[2];

    if (size > MESSAGE_MAX) {
        return -EINVAL;
    }
    struct msgbuf *message = malloc(sizeof(long) + size);
    if (!message) {
        return -ENOMEM;
    }
    s64 result =
        host_call(thread, SYS_msgrcv,
                  (u64[6]){arguments[0], host_to_guest(message), size, arguments[3], arguments[4]});
    if (result >= 0 && (!word_into_guest(thread, arguments[1], (u64)message->mtype) ||
                        !copy_to_guest(arguments[1] + word, message->mtext, (size_t)result))) {
        result = -EFAULT;
    }
    free(message);
    return result;
}

/* --- ipc(2): the calls above by number (linux/ipc.h) --------------------------------------------
 */

enum IpcCall {
    IPC_SEMOP = 1,
    IPC_SEMGET = 2,
    IPC_SEMCTL = 3,
    IPC_SEMTIMEDOP = 4,
    IPC_MSGSND = 11,
    IPC_MSGRCV = 12,
    IPC_MSGGET = 13,
    IPC_MSGCTL = 14,
    IPC_SHMAT = 21,
    IPC_SHMDT = 22,
    IPC_SHMGET = 23,
    IPC_SHMCTL = 24,
};

static s64 semaphore_operation(Thread *thread, const u64 *a, bool timed)
{
    struct timespec timeout;
    int error = timed && a[5] ? struct_from_guest(thread, STRUCT_timespec, &timeout, a[5]) : 0;

    return error
               ? error
               : host_call(thread, SYS_semtimedop,
                           (u64[6]){a[1], a[4], a[2], timed && a[5] ? host_to_guest(&timeout) : 0});
}

/* The old form, version 0, passes the message's address and its type in memory. */
static s64 receive_by_ipc(Thread *thread, const u64 *a, bool old)
{
    u64 message = a[4], type = a[5];
    unsigned word = thread->abi->word_size;

    if (old && (!word_from_guest(thread, a[4], &message) ||
                !word_from_guest(thread, a[4] + word, &type))) {
        return -EFAULT;
    }
    type = word == 4 ? (u64)(s64)(s32)type : type;
    return receive_typed(thread, (u64[6]){a[1], message, a[2], type, a[3]});
}

static s64 attach_by_ipc(Thread *thread, const u64 *a)
{
    s64 address = sys_shmat(thread, (u64[6]){a[1], a[4], a[2]});

    if (address < 0 && address > -MEMORY_PAGE) {
        return address;
    }
    return word_into_guest(thread, a[3], (u64)address) ? 0 : -EFAULT;
}

s64 sys_ipc(Thread *thread, const u64 *a)
{
    u32 call = (u32)a[0] & 0xffff, version = (u32)a[0] >> 16;
    u64 value;

    switch ((enum IpcCall)call) {
    case IPC_SEMOP:
    case IPC_SEMTIMEDOP:
        return semaphore_operation(thread, a, call == IPC_SEMTIMEDOP);
    case IPC_SEMGET:
        return host_call(thread, SYS_semget, (u64[6]){a[1], a[2], a[3]});
    case IPC_SEMCTL: /* union semun is in memory */
        return !word_from_guest(thread, a[4], &value)
                   ? -EFAULT
                   : sys_semctl(thread, (u64[6]){a[1], a[2], a[3], value});
    case IPC_MSGSND:
        return send_typed(thread, (u64[6]){a[1], a[4], a[2], a[3]});
    case IPC_MSGRCV:
        return receive_by_ipc(thread, a, version == 0);
    case IPC_MSGGET:
        return host_call(thread, SYS_msgget, (u64[6]){a[1], a[2]});
    case IPC_MSGCTL:
        return sys_msgctl(thread, (u64[6]){a[1], a[2], a[4]});
    case IPC_SHMAT:
        return attach_by_ipc(thread, a);
    case IPC_SHMDT:
        return sys_shmdt(thread, (u64[6]){a[4]});
    case IPC_SHMGET:
        return host_call(thread, SYS_shmget, (u64[6]){a[1], a[2], a[3]});
    case IPC_SHMCTL:
        return sys_shmctl(thread, (u64[6]){a[1], a[2], a[4]});
    }
    return -ENOSYS;
}

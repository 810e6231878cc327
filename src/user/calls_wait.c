/* System calls that wait: with a signal mask of their own, select(2) in its forms, poll(2),
 * futex(2) of ABIs with other words. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/structs.h"
#include "user/syscall.h"

enum { SETS = 3, SET_LIMIT = 65536, MASK_SIZE = 8 };

/* --- masks ---------------------------------------------------------------------------------------
 */

/* What the last argument of pselect6(2) and io_pgetevents(2) points to. */
typedef struct MaskReference {
    u64 address, size;
} MaskReference;

/* The mask that such an argument leads to, in the guest's byte order and word size; *given tells
 * whether there is one. Returns 0 or -errno. */
static s64 take_referenced_mask(const Thread *thread, u64 at, u64 *mask, bool *given)
{
    MaskReference reference = {0, MASK_SIZE};
    u8 bytes[MASK_SIZE];

    if (at && (!word_from_guest(thread, at, &reference.address) ||
               !word_from_guest(thread, at + thread->abi->word_size, &reference.size))) {
        return -EFAULT;
    }
    *given = reference.address != 0;
    if (!*given) {
        return 0;
    }
    if (reference.size != MASK_SIZE) {
        return -EINVAL;
    }
    if (!copy_from_guest(bytes, reference.address, sizeof bytes)) {
        return -EFAULT;
    }
    *mask = get_value(bytes, MASK_SIZE, thread->abi->big_endian);
    return 0;
}

/* A host call with the address and size of a mask, which is the host's already, at `index`. */
static s64 call_with_mask(Thread *thread, s64 number, const u64 *arguments, unsigned index)
{
    u64 mask, host[SYSCALL_ARGUMENTS];

    if (!arguments[index]) {
        return host_call(thread, number, arguments);
    }
    if (arguments[index + 1] != MASK_SIZE) {
        return -EINVAL;
    }
    if (!copy_from_guest(&mask, arguments[index], sizeof mask)) {
        return -EFAULT;
    }
    memcpy(host, arguments, sizeof host);
    host[index] = host_to_guest(&mask);
    return signals_masked_call(thread, &mask, number, host);
}

s64 poll_with_mask(Thread *thread, const u64 *arguments)
{
    return call_with_mask(thread, SYS_ppoll, arguments, 3);
}

s64 epoll_with_mask(Thread *thread, const u64 *arguments)
{
    return call_with_mask(thread, SYS_epoll_pwait, arguments, 4);
}

s64 epoll_with_mask_and_time(Thread *thread, const u64 *arguments)
{
    return call_with_mask(thread, SYS_epoll_pwait2, arguments, 4);
}

s64 get_events_with_mask(Thread *thread, const u64 *arguments)
{
    MaskReference reference = {0, MASK_SIZE};
    u64 mask, host[SYSCALL_ARGUMENTS];
    bool given;

    s64 error = take_referenced_mask(thread, arguments[5], &mask, &given);
    if (error || !given) {
        return error ? error : host_call(thread, SYS_io_pgetevents, arguments);
    }
    memcpy(host, arguments, sizeof host);
    reference.address = host_to_guest(&mask);
    host[5] = host_to_guest(&reference);
    return signals_masked_call(thread, &mask, SYS_io_pgetevents, host);
}

/* --- select and poll -----------------------------------------------------------------------------
 */

/* fd_set is a bit map of longs: the host's has the same bytes on little-endian, only perhaps one
 * word more at its end, which the guest's memory may not have. */
typedef struct FileSets {
    u64 guest[SETS];
    u64 host[SETS][SET_LIMIT / 64];
    size_t words; /* of 64 bits */
} FileSets;

static bool take_sets(const Thread *thread, FileSets *sets, s64 count, const u64 *guest)
{
    unsigned word = thread->abi->word_size;
    size_t guest_words = ((size_t)count + 8 * word - 1) / (8 * word);

    sets->words = ((size_t)count + 63) / 64;
    for (int set = 0; set < SETS; set++) {
        sets->guest[set] = guest[set];
        memset(sets->host[set], 0, sets->words * 8);
        for (size_t i = 0; i < guest_words && guest[set]; i++) {
            u64 bits;
            if (!word_from_guest(thread, guest[set] + i * word, &bits)) {
                return false;
            }
            sets->host[set][i * word / 8] |= bits << (8 * (i * word % 8));
        }
    }
    return true;
}

static bool give_sets(const Thread *thread, const FileSets *sets, s64 count)
{
    unsigned word = thread->abi->word_size;
    size_t guest_words = ((size_t)count + 8 * word - 1) / (8 * word);

    for (int set = 0; set < SETS; set++) {
        for (size_t i = 0; i < guest_words && sets->guest[set]; i++) {
            u64 bits = sets->host[set][i * word / 8] >> (8 * (i * word % 8));
            if (!word_into_guest(thread, sets->guest[set] + i * word, bits)) {
                return false;
            }
        }
    }
    return true;
}

/* pselect6(2) with the sets of the guest and everything else of the host; `mask` may be NULL. */
static s64 select_files(Thread *thread, int count, const u64 *guest, struct timespec *timeout,
                        u64 *mask)
{
    MaskReference reference = {host_to_guest(mask), MASK_SIZE};
    FileSets sets;

    if (count < 0) {
        return -EINVAL;
    }
    count = MIN(count, (int)SET_LIMIT); /* more descriptors than any process has */
    if (!take_sets(thread, &sets, count, guest)) {
        return -EFAULT;
    }
    u64 host[SYSCALL_ARGUMENTS] = {
        (u64)count, 0, 0, 0, host_to_guest(timeout), host_to_guest(&reference)};
    for (int set = 0; set < SETS; set++) {
        host[1 + set] = guest[set] ? host_to_guest(sets.host[set]) : 0;
    }
    s64 result = mask ? signals_masked_call(thread, mask, SYS_pselect6, host)
                      : host_call(thread, SYS_pselect6, host);
    return result < 0 || give_sets(thread, &sets, count) ? result : -EFAULT;
}

s64 wait_for_sets(Thread *thread, const u64 *arguments)
{
    bool given;
    u64 mask;
    s64 error = take_referenced_mask(thread, arguments[5], &mask, &given);

    return error ? error
                 : select_files(thread, (int)arguments[0], arguments + 1,
                                guest_to_host(arguments[4]), given ? &mask : NULL);
}

/* select(2): struct timeval, which says afterwards how much time was left. */
s64 wait_for_old_sets(Thread *thread, const u64 *arguments)
{
    struct timeval given;
    struct timespec timeout;

    if (arguments[4]) {
        int error = struct_from_guest(thread, STRUCT_timeval, &given, arguments[4]);
        if (error || given.tv_sec < 0 || given.tv_usec < 0) {
            return error ? error : -EINVAL;
        }
        timeout.tv_sec = given.tv_sec + given.tv_usec / 1000000;
        timeout.tv_nsec = given.tv_usec % 1000000 * 1000;
    }
    s64 result = select_files(thread, (int)arguments[0], arguments + 1,
                              arguments[4] ? &timeout : NULL, NULL);
    if (arguments[4] && result != SYSCALL_RESTART) {
        given = (struct timeval){timeout.tv_sec, timeout.tv_nsec / 1000};
        /* Not being able to write it back does not undo the call. */
        struct_into_guest(thread, STRUCT_timeval, arguments[4], &given);
    }
    return result;
}

/* The first form of select(2): five words in memory. */
s64 wait_from_memory(Thread *thread, const u64 *arguments)
{
    u64 inner[SYSCALL_ARGUMENTS] = {0};

    for (unsigned i = 0; i < 5; i++) {
        if (!word_from_guest(thread, arguments[0] + i * thread->abi->word_size, &inner[i])) {
            return -EFAULT;
        }
    }
    return wait_for_old_sets(thread, inner);
}

s64 wait_for_files(Thread *thread, const u64 *arguments)
{
    int milliseconds = (int)arguments[2];
    struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    return host_call(thread, SYS_ppoll,
                     (u64[6]){arguments[0], arguments[1],
                              milliseconds < 0 ? 0 : host_to_guest(&timeout), 0, MASK_SIZE});
}

/* --- futex ---------------------------------------------------------------------------------------
 */

/* futex(2): the fourth argument is a time for some operations only. */
static s64 futex_with_time(Thread *thread, const u64 *arguments, int structure)
{
    struct timespec timeout;
    u64 host[SYSCALL_ARGUMENTS];
    int operation = (int)arguments[1] & FUTEX_CMD_MASK;
    bool timed = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET ||
                 operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2 ||
                 operation == FUTEX_WAIT_REQUEUE_PI;

    memcpy(host, arguments, sizeof host);
    if (timed && arguments[3]) {
        int error = struct_from_guest(thread, structure, &timeout, arguments[3]);
        if (error) {
            return error;
        }
        host[3] = host_to_guest(&timeout);
    }
    return host_call(thread, SYS_futex, host);
}

s64 wait_on_word(Thread *thread, const u64 *arguments)
{
    return futex_with_time(thread, arguments, STRUCT_timespec);
}

s64 wait_on_word64(Thread *thread, const u64 *arguments)
{
    return futex_with_time(thread, arguments, STRUCT_timespec64);
}

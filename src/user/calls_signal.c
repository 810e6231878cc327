/* System calls about signals: argument checks and layouts; the work is in signals.c. */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/siginfo.h"
#include "user/syscall.h"

enum { SET_SIZE = 8, ACTION_SIZE = 32, STACK_SIZE = 24 };

/* struct sigaction of ABIs with a restorer: handler, flags and restorer are words, the mask has 64
 * bits. */
static void get_action(const GuestAbi *abi, const u8 *bytes, GuestAction *action)
{
    unsigned word = abi->word_size;

    action->handler = get_value(bytes, word, abi->big_endian);
    action->flags = get_value(bytes + word, word, abi->big_endian);
    action->restorer = get_value(bytes + 2 * word, word, abi->big_endian);
    action->mask = get_value(bytes + 3 * word, SET_SIZE, abi->big_endian);
}

static void put_action(const GuestAbi *abi, u8 *bytes, const GuestAction *action)
{
    unsigned word = abi->word_size;

    put_value(bytes, action->handler, word, abi->big_endian);
    put_value(bytes + word, action->flags, word, abi->big_endian);
    put_value(bytes + 2 * word, action->restorer, word, abi->big_endian);
    put_value(bytes + 3 * word, action->mask, SET_SIZE, abi->big_endian);
}

s64 sys_rt_sigaction(Thread *thread, const u64 *arguments)
{
    size_t size = 3 * thread->abi->word_size + SET_SIZE;
    GuestAction action, old;
    u8 bytes[ACTION_SIZE];

    if (arguments[3] != SET_SIZE) {
        return -EINVAL;
    }
    if (arguments[1]) {
        if (!copy_from_guest(bytes, arguments[1], size)) {
            return -EFAULT;
        }
        get_action(thread->abi, bytes, &action);
    }
    s64 result =
        signals_set_action(thread->process, (int)arguments[0], arguments[1] ? &action : NULL, &old);
    if (result == 0 && arguments[2]) {
        put_action(thread->abi, bytes, &old);
        return copy_to_guest(arguments[2], bytes, size) ? 0 : -EFAULT;
    }
    return result;
}

/* Changes the part of the mask that `within` says as `how` says. */
static s64 change_mask(Thread *thread, int how, u64 set, u64 within)
{
    u64 old = thread->signals.mask, mask;

    switch (how) {
    case SIG_BLOCK:
        mask = old | set;
        break;
    case SIG_UNBLOCK:
        mask = old & ~set;
        break;
    case SIG_SETMASK:
        mask = set | (old & ~within);
        break;
    default:
        return -EINVAL;
    }
    return mask == old ? 0 : signals_set_mask(thread, mask);
}

s64 sys_rt_sigprocmask(Thread *thread, const u64 *arguments)
{
    u64 old = thread->signals.mask;
    u8 bytes[SET_SIZE];

    if (arguments[3] != SET_SIZE) {
        return -EINVAL;
    }
    if (arguments[1]) {
        if (!copy_from_guest(bytes, arguments[1], sizeof bytes)) {
            return -EFAULT;
        }
        u64 set = get_value(bytes, SET_SIZE, thread->abi->big_endian);
        s64 result = change_mask(thread, (int)arguments[0], set, ~(u64)0);
        if (result) {
            return result;
        }
    }
    put_value(bytes, old, SET_SIZE, thread->abi->big_endian);
    return !arguments[2] || copy_to_guest(arguments[2], bytes, sizeof bytes) ? 0 : -EFAULT;
}

/* The kernel's pending signals, and those that are held here because the host never blocks them. */
static s64 pending_signals(Thread *thread, u64 *set)
{
    s64 result = host_call(thread, SYS_rt_sigpending, (u64[6]){host_to_guest(set), sizeof *set});

    *set = (*set & thread->signals.mask) | thread->signals.held;
    return result;
}

s64 sys_rt_sigpending(Thread *thread, const u64 *arguments)
{
    u64 set = 0;
    u8 bytes[SET_SIZE];

    if (arguments[1] > SET_SIZE) {
        return -EINVAL;
    }
    s64 result = pending_signals(thread, &set);
    if (result) {
        return result;
    }
    put_value(bytes, set, SET_SIZE, thread->abi->big_endian);
    return copy_to_guest(arguments[0], bytes, arguments[1]) ? 0 : -EFAULT;
}

static s64 suspend(Thread *thread, u64 mask)
{
    return signals_masked_call(thread, &mask, SYS_rt_sigsuspend,
                               (u64[6]){host_to_guest(&mask), sizeof mask});
}

s64 sys_rt_sigsuspend(Thread *thread, const u64 *arguments)
{
    u8 bytes[SET_SIZE];

    if (arguments[1] != SET_SIZE) {
        return -EINVAL;
    }
    return copy_from_guest(bytes, arguments[0], sizeof bytes)
               ? suspend(thread, get_value(bytes, SET_SIZE, thread->abi->big_endian))
               : -EFAULT;
}

static s64 return_from_handler(Thread *thread, bool old_frame)
{
    stack_t alternate = thread->signals.alternate;
    u64 mask;

    if (!thread->abi->pop_frame(thread, old_frame, &mask, &alternate)) {
        signals_die(SIGSEGV);
    }
    /* The stack setting of the frame counts, unless the handler's own return still runs on it. */
    if (!signals_on_alternate(thread)) {
        thread->signals.alternate = alternate;
    }
    /* The registers are those of the interrupted code now: a signal that came first is delivered on
     * top of them, with the mask that they had. */
    if (signals_set_mask(thread, mask) == SYSCALL_RESTART) {
        thread->signals.mask = mask & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    }
    return SYSCALL_NO_RESULT;
}

s64 sys_rt_sigreturn(Thread *thread, const u64 *arguments)
{
    (void)arguments;
    return return_from_handler(thread, false);
}

s64 sys_sigreturn(Thread *thread, const u64 *arguments)
{
    (void)arguments;
    return return_from_handler(thread, true);
}

/* stack_t: a pointer, an int and a word, each in a word's place. */
static void get_stack(const GuestAbi *abi, const u8 *bytes, stack_t *stack)
{
    unsigned word = abi->word_size;

    stack->ss_sp = guest_to_host(get_value(bytes, word, abi->big_endian));
    stack->ss_flags = (int)get_value(bytes + word, 4, abi->big_endian);
    stack->ss_size = get_value(bytes + 2 * word, word, abi->big_endian);
}

s64 sys_sigaltstack(Thread *thread, const u64 *arguments)
{
    stack_t *current = &thread->signals.alternate, new = *current;
    bool on_it = signals_on_alternate(thread);
    u8 bytes[STACK_SIZE] = {0}, old[STACK_SIZE] = {0};
    unsigned word = thread->abi->word_size;

    put_value(old, host_to_guest(current->ss_sp), word, thread->abi->big_endian);
    put_value(old + word, (u32)current->ss_flags | (on_it ? SS_ONSTACK : 0), 4,
              thread->abi->big_endian);
    put_value(old + 2 * word, current->ss_size, word, thread->abi->big_endian);
    if (arguments[0]) {
        if (!copy_from_guest(bytes, arguments[0], 3 * word)) {
            return -EFAULT;
        }
        if (on_it) {
            return -EPERM;
        }
        get_stack(thread->abi, bytes, &new);
        int mode = new.ss_flags & ~(int)SS_AUTODISARM;
        if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK) {
            return -EINVAL;
        }
        if (mode == SS_DISABLE) {
            new.ss_sp = NULL;
            new.ss_size = 0;
        } else if (new.ss_size < thread->abi->minimum_stack) {
            return -ENOMEM;
        }
        new.ss_flags &= ~SS_ONSTACK;
    }
    if (arguments[1] && !copy_to_guest(arguments[1], old, 3 * word)) {
        return -EFAULT;
    }
    *current = new;
    return 0;
}

/* The kernel restarts interrupted calls inside itself; the guest's own use has nothing to resume.
 */
s64 sys_restart_syscall(Thread *thread, const u64 *arguments)
{
    (void)thread;
    (void)arguments;
    return -EINTR;
}

/* --- signals with siginfo ------------------------------------------------------------------------
 */

s64 wait_for_signal(Thread *thread, const u64 *arguments)
{
    siginfo_t info;
    u8 guest[SIGINFO_SIZE];
    u64 set;

    if (arguments[3] != sizeof set) {
        return -EINVAL;
    }
    if (!copy_from_guest(&set, arguments[0], sizeof set)) {
        return -EFAULT;
    }
    s64 result = signals_wait(thread, set, &info, arguments[2]);
    if (result < 0 || !arguments[1]) {
        return result;
    }
    siginfo_to_guest(thread->abi, guest, &info);
    return copy_to_guest(arguments[1], guest, sizeof guest) ? result : -EFAULT;
}

/* waitid(2). Nothing waited for: the kernel leaves all but a few fields alone, which are zero. */
s64 wait_for_info(Thread *thread, const u64 *arguments)
{
    siginfo_t info = {0};
    u8 guest[SIGINFO_SIZE];

    s64 result = host_call(
        thread, SYS_waitid,
        (u64[6]){arguments[0], arguments[1], host_to_guest(&info), arguments[3], arguments[4]});
    if (result < 0 || !arguments[2]) {
        return result;
    }
    siginfo_to_guest(thread->abi, guest, &info);
    return copy_to_guest(arguments[2], guest, sizeof guest) ? result : -EFAULT;
}

/* Does a call whose argument `index` is a siginfo_t to send. */
static s64 send_with_info(Thread *thread, s64 number, const u64 *arguments, unsigned index)
{
    u64 host[SYSCALL_ARGUMENTS];
    siginfo_t info;
    u8 guest[SIGINFO_SIZE];

    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        host[i] = arguments[i];
    }
    if (arguments[index]) {
        if (!copy_from_guest(guest, arguments[index], sizeof guest)) {
            return -EFAULT;
        }
        siginfo_to_host(thread->abi, &info, guest);
        host[index] = host_to_guest(&info);
    }
    return host_call(thread, number, host);
}

s64 queue_info(Thread *thread, const u64 *arguments)
{
    return send_with_info(thread, SYS_rt_sigqueueinfo, arguments, 2);
}

s64 queue_thread_info(Thread *thread, const u64 *arguments)
{
    return send_with_info(thread, SYS_rt_tgsigqueueinfo, arguments, 3);
}

s64 send_info(Thread *thread, const u64 *arguments)
{
    return send_with_info(thread, SYS_pidfd_send_signal, arguments, 2);
}

/* --- calls from before there were more signals than bits in a long ------------------------------
 */

enum { OLD_ACTION_WORDS = 4 };
static const u64 old_set = 0xffffffff; /* what these calls know of the mask in 32-bit ABIs */

/* struct old_sigaction: handler, mask, flags, restorer, each a word. */
s64 sys_sigaction(Thread *thread, const u64 *arguments)
{
    GuestAction action, old;
    u64 *fields[OLD_ACTION_WORDS] = {&action.handler, &action.mask, &action.flags,
                                     &action.restorer};
    unsigned word = thread->abi->word_size;

    for (unsigned i = 0; i < OLD_ACTION_WORDS && arguments[1]; i++) {
        if (!word_from_guest(thread, arguments[1] + i * word, fields[i])) {
            return -EFAULT;
        }
    }
    s64 result =
        signals_set_action(thread->process, (int)arguments[0], arguments[1] ? &action : NULL, &old);
    const u64 values[OLD_ACTION_WORDS] = {old.handler, old.mask & old_set, old.flags, old.restorer};
    for (unsigned i = 0; i < OLD_ACTION_WORDS && result == 0 && arguments[2]; i++) {
        if (!word_into_guest(thread, arguments[2] + i * word, values[i])) {
            return -EFAULT;
        }
    }
    return result;
}

s64 sys_signal(Thread *thread, const u64 *arguments)
{
    GuestAction old;
    const GuestAction action = {
        .handler = arguments[1],
        .flags = (u32)SA_RESETHAND | SA_NODEFER,
    };

    s64 result = signals_set_action(thread->process, (int)arguments[0], &action, &old);
    return result ? result : (s64)old.handler;
}

s64 sys_sigprocmask(Thread *thread, const u64 *arguments)
{
    u64 old = thread->signals.mask & old_set, set;

    if (arguments[1]) {
        if (!word_from_guest(thread, arguments[1], &set)) {
            return -EFAULT;
        }
        s64 result = change_mask(thread, (int)arguments[0], set, old_set);
        if (result) {
            return result;
        }
    }
    return !arguments[2] || word_into_guest(thread, arguments[2], old) ? 0 : -EFAULT;
}

s64 sys_sigpending(Thread *thread, const u64 *arguments)
{
    u64 set = 0;
    s64 result = pending_signals(thread, &set);

    return result ? result : word_into_guest(thread, arguments[0], set & old_set) ? 0 : -EFAULT;
}

s64 sys_sigsuspend(Thread *thread, const u64 *arguments)
{
    return suspend(thread, arguments[2]);
}

s64 sys_sgetmask(Thread *thread, const u64 *arguments)
{
    (void)arguments;
    return (s64)(thread->signals.mask & old_set);
}

s64 sys_ssetmask(Thread *thread, const u64 *arguments)
{
    u64 old = thread->signals.mask & old_set;
    s64 result = change_mask(thread, SIG_SETMASK, arguments[0], old_set);

    return result ? result : (s64)old;
}

/* System calls about signals: argument checks and layouts; the work is in signals.c. */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/syscall.h"

enum { SET_SIZE = 8, ACTION_SIZE = 32, STACK_SIZE = 24, MIN_STACK = 5120 };

/* struct sigaction of 64-bit ABIs with a restorer: handler, flags, restorer, mask. */
static void get_action(const GuestAbi *abi, const u8 *bytes, GuestAction *action)
{
    action->handler = get_value(bytes, 8, abi->big_endian);
    action->flags = get_value(bytes + 8, 8, abi->big_endian);
    action->restorer = get_value(bytes + 16, 8, abi->big_endian);
    action->mask = get_value(bytes + 24, 8, abi->big_endian);
}

static void put_action(const GuestAbi *abi, u8 *bytes, const GuestAction *action)
{
    put_value(bytes, action->handler, 8, abi->big_endian);
    put_value(bytes + 8, action->flags, 8, abi->big_endian);
    put_value(bytes + 16, action->restorer, 8, abi->big_endian);
    put_value(bytes + 24, action->mask, 8, abi->big_endian);
}

s64 sys_rt_sigaction(Thread *thread, const u64 *arguments)
{
    GuestAction action, old;
    u8 bytes[ACTION_SIZE];

    if (arguments[3] != SET_SIZE) {
        return -EINVAL;
    }
    if (arguments[1]) {
        if (!copy_from_guest(bytes, arguments[1], sizeof bytes)) {
            return -EFAULT;
        }
        get_action(thread->abi, bytes, &action);
    }
    s64 result =
        signals_set_action(thread->process, (int)arguments[0], arguments[1] ? &action : NULL, &old);
    if (result == 0 && arguments[2]) {
        put_action(thread->abi, bytes, &old);
        return copy_to_guest(arguments[2], bytes, sizeof bytes) ? 0 : -EFAULT;
    }
    return result;
}

s64 sys_rt_sigprocmask(Thread *thread, const u64 *arguments)
{
    u64 old = thread->signals.mask, set, mask;
    u8 bytes[SET_SIZE];

    if (arguments[3] != SET_SIZE) {
        return -EINVAL;
    }
    if (arguments[1]) {
        if (!copy_from_guest(bytes, arguments[1], sizeof bytes)) {
            return -EFAULT;
        }
        set = get_value(bytes, SET_SIZE, thread->abi->big_endian);
        switch ((int)arguments[0]) {
        case SIG_BLOCK:
            mask = old | set;
            break;
        case SIG_UNBLOCK:
            mask = old & ~set;
            break;
        case SIG_SETMASK:
            mask = set;
            break;
        default:
            return -EINVAL;
        }
        s64 result = mask == old ? 0 : signals_set_mask(thread, mask);
        if (result) {
            return result;
        }
    }
    put_value(bytes, old, SET_SIZE, thread->abi->big_endian);
    return !arguments[2] || copy_to_guest(arguments[2], bytes, sizeof bytes) ? 0 : -EFAULT;
}

/* The kernel's pending signals, and those that are held here because the host never blocks them. */
s64 sys_rt_sigpending(Thread *thread, const u64 *arguments)
{
    u64 set = 0;
    u8 bytes[SET_SIZE];

    if (arguments[1] > SET_SIZE) {
        return -EINVAL;
    }
    s64 result = host_call(thread, SYS_rt_sigpending, (u64[6]){host_to_guest(&set), sizeof set});
    if (result) {
        return result;
    }
    put_value(bytes, (set & thread->signals.mask) | thread->signals.held, SET_SIZE,
              thread->abi->big_endian);
    return copy_to_guest(arguments[0], bytes, arguments[1]) ? 0 : -EFAULT;
}

s64 sys_rt_sigsuspend(Thread *thread, const u64 *arguments)
{
    u8 bytes[SET_SIZE];

    if (arguments[1] != SET_SIZE) {
        return -EINVAL;
    }
    return copy_from_guest(bytes, arguments[0], sizeof bytes)
               ? signals_suspend(thread, get_value(bytes, SET_SIZE, thread->abi->big_endian))
               : -EFAULT;
}

s64 sys_rt_sigreturn(Thread *thread, const u64 *arguments)
{
    stack_t alternate;
    u64 mask;

    (void)arguments;
    if (!thread->abi->pop_frame(thread, &mask, &alternate)) {
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

static void get_stack(const GuestAbi *abi, const u8 *bytes, stack_t *stack)
{
    stack->ss_sp = guest_to_host(get_value(bytes, 8, abi->big_endian));
    stack->ss_flags = (int)get_value(bytes + 8, 4, abi->big_endian);
    stack->ss_size = get_value(bytes + 16, 8, abi->big_endian);
}

s64 sys_sigaltstack(Thread *thread, const u64 *arguments)
{
    stack_t *current = &thread->signals.alternate, new = *current;
    bool on_it = signals_on_alternate(thread);
    u8 bytes[STACK_SIZE] = {0}, old[STACK_SIZE] = {0};

    put_value(old, host_to_guest(current->ss_sp), 8, thread->abi->big_endian);
    put_value(old + 8, (u32)current->ss_flags | (on_it ? SS_ONSTACK : 0), 4,
              thread->abi->big_endian);
    put_value(old + 16, current->ss_size, 8, thread->abi->big_endian);
    if (arguments[0]) {
        if (!copy_from_guest(bytes, arguments[0], sizeof bytes)) {
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
        } else if (new.ss_size < MIN_STACK) {
            return -ENOMEM;
        }
        new.ss_flags &= ~SS_ONSTACK;
    }
    if (arguments[1] && !copy_to_guest(arguments[1], old, sizeof old)) {
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

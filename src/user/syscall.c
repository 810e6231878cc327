/* System call dispatch: from the guest's registers to the table row and back. */
#include "user/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/log.h"
#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"
#include "user/strace.h"

s64 host_call(Thread *thread, s64 number, const u64 arguments[SYSCALL_ARGUMENTS])
{
    return interruptible_syscall(&thread->signals.pending, number, arguments);
}

/* Bytes that the kernel may write at the argument's address. */
static u64 out_size(const SyscallArgument *a, const u64 *arguments)
{
    u64 count = a->size_argument == NO_ARGUMENT ? a->count : arguments[a->size_argument];

    return count * (a->structure ? a->structure->guest_size : 1);
}

static bool touch_vector(u64 address, u64 count)
{
    struct iovec vector;
    bool touched = false;

    for (u64 i = 0; i < MIN(count, (u64)1024); i++) {
        if (!copy_from_guest(&vector, address + i * sizeof vector, sizeof vector)) {
            break;
        }
        touched |= touch_guest_pages(host_to_guest(vector.iov_base), vector.iov_len);
    }
    return touched;
}

/* The kernel cannot write to a page that the engine protects because it holds translated code, and
 * says EFAULT. Unprotects the pages that the call writes to, as a store of the guest would; returns
 * whether it is worth trying again. Arguments that the table calls `ptr` get one page each. */
static bool touch_out_arguments(const Syscall *call, const u64 *arguments)
{
    bool touched = false;

    for (unsigned i = 0; i < call->argument_count; i++) {
        const SyscallArgument *a = &call->arguments[i];
        if (!arguments[i]) {
            continue;
        }
        if (a->kind == ARGUMENT_OUT || a->kind == ARGUMENT_INOUT) {
            touched |= touch_guest_pages(arguments[i], out_size(a, arguments));
        } else if (a->kind == ARGUMENT_HEX) {
            touched |= touch_guest_pages(arguments[i], 1);
        } else if (a->kind == ARGUMENT_IN && a->structure && a->structure->fields[0].kind == 'p' &&
                   a->size_argument != NO_ARGUMENT) {
            touched |= touch_vector(arguments[i], arguments[a->size_argument]);
        }
    }
    return touched;
}

void call_host_arguments(const Syscall *call, const u64 *guest, u64 *host)
{
    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        const SyscallHostArgument *a = &call->host_arguments[i];
        host[i] = a->index == NO_ARGUMENT ? (u64)(s64)a->constant : guest[a->index];
    }
}

static s64 call_once(Thread *thread, const Syscall *call, const u64 *arguments)
{
    u64 ordered[SYSCALL_ARGUMENTS];

    if (call->raw) {
        if (call->host_arguments) {
            call_host_arguments(call, arguments, ordered);
            arguments = ordered;
        }
        return call->handler(thread, arguments);
    }
    if (!call->plain) {
        return call_converted(thread, call, arguments);
    }
    return call->handler ? call->handler(thread, arguments)
                         : host_call(thread, call->host_number, arguments);
}

s64 call_known(Thread *thread, const Syscall *call, const u64 *arguments)
{
    enum { OVERFLOW_ID = 65534 };
    s64 result = call_once(thread, call, arguments);

    if (unlikely(result == -EFAULT) && touch_out_arguments(call, arguments)) {
        result = call_once(thread, call, arguments);
    }
    return call->result == RESULT_ID16 && result > 0xffff ? OVERFLOW_ID : result;
}

static s64 call_unknown(const Syscall *call, u64 number)
{
    if (log_on(LOG_UNIMP)) {
        log_printf("unsupported system call %llu%s%s\n", (unsigned long long)number,
                   call ? " " : "", call ? call->name : "");
    }
    return -ENOSYS;
}

s64 call_by_name(Thread *thread, const char *name, const u64 *arguments)
{
    const GuestAbi *abi = thread->abi;

    for (size_t i = 0; i < abi->syscall_count; i++) {
        const Syscall *call = &abi->syscalls[i];
        if (call->name && !strcmp(call->name, name)) {
            return call_known(thread, call, arguments);
        }
    }
    return -ENOSYS;
}

const Syscall *syscall_find(const GuestAbi *abi, u64 number)
{
    return number < abi->syscall_count && abi->syscalls[number].name ? &abi->syscalls[number]
                                                                     : NULL;
}

/* The registers of a 32-bit ABI as the values that a 64-bit one would have in its own. */
static void widen_arguments(const GuestAbi *abi, const Syscall *call, const u64 *registers,
                            u64 *arguments)
{
    for (unsigned i = 0; i < call->argument_count; i++) {
        const SyscallArgument *a = &call->arguments[i];
        const u64 *from = registers + a->first_register;
        u32 low = (u32)from[0];
        if (a->registers == 2) {
            bool swap = abi->big_endian && !a->low_first;
            arguments[i] = swap ? (u64)low << 32 | (u32)from[1] : (u64)from[1] << 32 | low;
        } else if (a->kind == ARGUMENT_SIGNED || a->kind == ARGUMENT_DIRECTORY) {
            arguments[i] = (u64)(s64)(s32)low;
        } else if (a->kind == ARGUMENT_UID16) {
            arguments[i] = (u16)low == 0xffff ? ~(u64)0 : (u16)low;
        } else {
            arguments[i] = low;
        }
    }
}

void syscall_dispatch(Thread *thread, u32 code)
{
    const GuestAbi *own = thread->abi, *abi = own;
    u64 registers[SYSCALL_ARGUMENTS], wide[SYSCALL_ARGUMENTS] = {0};
    const u64 *arguments = registers;
    u64 number = abi->get_call(thread, code, registers);

    if (unlikely(thread->signals.pending)) { /* it came before the call */
        abi->restart_call(thread->state);
        return;
    }
    if (unlikely(abi->call_abi != NULL)) {
        abi = thread->abi = abi->call_abi(code);
    }
    const Syscall *call = syscall_find(abi, number);
    bool known = call && (call->handler || call->host_number >= 0);
    if (abi->word_size == 4 && known) {
        widen_arguments(abi, call, registers, wide);
        arguments = wide;
    }
    if (log_on(LOG_STRACE) && known) {
        strace_enter(thread, call, arguments);
    }
    s64 result = known ? call_known(thread, call, arguments) : call_unknown(call, number);
    if (log_on(LOG_STRACE)) {
        strace_leave(thread, call, number, arguments, result);
    }
    thread->abi = abi = own;
    if (unlikely(result == SYSCALL_RESTART)) {
        abi->restart_call(thread->state);
    } else if (unlikely(result == SYSCALL_INTERRUPTED)) {
        thread->signals.call_interrupted = true;
    } else if (likely(result != SYSCALL_NO_RESULT)) {
        abi->set_result(thread->state, result);
    }
}

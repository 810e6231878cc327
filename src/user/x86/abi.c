/* Linux on x86: registers of the two call conventions, and what the ABIs consist of.
 *
 * x86_64: SYSCALL with the number in rax, arguments in rdi rsi rdx r10 r8 r9. i386: INT 80h with
 * the number in eax, arguments in ebx ecx edx esi edi ebp, which 64-bit code may use as well; and
 * SYSENTER, where ebp is the stack pointer and the last argument lies on the stack. */
#include "user/x86/abi.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/x86/cpuid.h"
#include "user/access.h"
#include "user/process.h"
#include "user/syscall_tables.h"

enum { CALL_SIZE = 2 }; /* bytes of SYSCALL and of INT 80h */

static bool choose_cpu(Thread *thread, const char *text, char *message, size_t size)
{
    X86Cpu cpu;

    if (!x86_parse_cpu(text, &cpu, message, size)) {
        return false;
    }
    x86_set_cpu(thread->state, &cpu);
    return true;
}

static void list_cpus(void)
{
    for (const X86Model *model = x86_models; model->name; model++) {
        printf("  %-16s %s\n", model->name, model->text);
    }
}

static void start(Thread *thread, u64 entry, u64 stack, bool long_mode)
{
    X86State *state = thread->state;

    if (!x86_init_descriptors(thread)) {
        abort();
    }
    state->system = thread->data;
    x86_enter_user(state, long_mode);
    state->rip = entry;
    state->gpr[X86_RSP] = stack;
}

static void start_x86_64(Thread *thread, u64 entry, u64 stack)
{
    start(thread, entry, stack, true);
}

static void start_i386(Thread *thread, u64 entry, u64 stack)
{
    start(thread, entry, stack, false);
}

static void copy(Thread *to_thread, const Thread *from_thread, const u64 *stack)
{
    X86State *to = to_thread->state;
    const X86State *from = from_thread->state;

    if (to != from) {
        u32 mxcsr = x86_get_mxcsr(from);
        *to = *from;
        x86_set_mxcsr(to, mxcsr);
        memcpy(to_thread->data, from_thread->data, sizeof(X86UserDescriptors));
        to->system = to_thread->data;
    }
    to->gpr[X86_RAX] = 0;
    if (stack) {
        to->gpr[X86_RSP] = *stack;
    }
}

static void restore(void *opaque, const void *saved)
{
    X86State *state = opaque;

    memcpy(state, saved, sizeof *state);
    x86_set_mxcsr(state, x86_get_mxcsr(state));
}

static u64 get_pc(const void *state)
{
    return ((const X86State *)state)->rip;
}

static u64 get_stack(const void *state)
{
    return ((const X86State *)state)->gpr[X86_RSP];
}

/* --- system calls -------------------------------------------------------------------------------
 */

static u64 get_call_32(const X86State *state, u64 registers[SYSCALL_ARGUMENTS])
{
    static const u8 order[SYSCALL_ARGUMENTS] = {X86_RBX, X86_RCX, X86_RDX,
                                                X86_RSI, X86_RDI, X86_RBP};

    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        registers[i] = (u32)state->gpr[order[i]];
    }
    return (u32)state->gpr[X86_RAX];
}

/* Where SYSENTER comes back to, the CPU does not know: the kernel goes to its vDSO. */
static void leave_sysenter(Thread *thread)
{
    X86State *state = thread->state;
    u32 last = 0;

    state->gpr[X86_RSP] = (u32)state->gpr[X86_RBP];
    state->rip = thread->process->program.vdso + I386_VDSO_SYSENTER_RETURN;
    if (!copy_from_guest(&last, state->gpr[X86_RSP], sizeof last)) {
        last = 0; /* the call will see a null argument; what pops it will fault */
    }
    state->gpr[X86_RBP] = last;
}

static u64 get_call(Thread *thread, u32 code, u64 registers[SYSCALL_ARGUMENTS])
{
    static const u8 order[SYSCALL_ARGUMENTS] = {X86_RDI,      X86_RSI,     X86_RDX,
                                                X86_RAX + 10, X86_RAX + 8, X86_RAX + 9};
    const X86State *state = thread->state;

    if (code != X86_CALL_SYSCALL) {
        if (code == X86_CALL_SYSENTER) {
            leave_sysenter(thread);
        }
        return get_call_32(state, registers);
    }
    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        registers[i] = state->gpr[order[i]];
    }
    return (u32)state->gpr[X86_RAX];
}

static const GuestAbi *call_abi(u32 code)
{
    return code == X86_CALL_SYSCALL ? &abi_x86_64 : &abi_i386;
}

static void set_result_x86_64(void *state, s64 result)
{
    ((X86State *)state)->gpr[X86_RAX] = (u64)result;
}

static void set_result_i386(void *state, s64 result)
{
    ((X86State *)state)->gpr[X86_RAX] = (u32)result;
}

static void restart_call(void *state)
{
    ((X86State *)state)->rip -= CALL_SIZE;
}

/* The three functions of the vsyscall page, which old static programs call. */
static bool serve_fetch(Thread *thread, u64 pc)
{
    enum { GETTIMEOFDAY = 96, TIME = 201, GETCPU = 309, STRIDE = 1024 };
    static const u16 numbers[] = {GETTIMEOFDAY, TIME, GETCPU};
    const u64 page = 0xffffffffff600000;
    X86State *state = thread->state;
    u64 index = (pc - page) / STRIDE, back;

    if (pc < page || index >= COUNT(numbers) || (pc - page) % STRIDE ||
        !word_from_guest(thread, state->gpr[X86_RSP], &back)) {
        return false;
    }
    const Syscall *call = syscall_find(thread->abi, numbers[index]);
    u64 arguments[SYSCALL_ARGUMENTS] = {state->gpr[X86_RDI], state->gpr[X86_RSI]};
    s64 result = call_known(thread, call, arguments);
    if (result == -EFAULT) {
        return false;
    }
    state->gpr[X86_RAX] = (u64)result;
    state->gpr[X86_RSP] += sizeof back;
    state->rip = back;
    return true;
}

static u64 hwcap(const void *state)
{
    return x86_hwcap(state, 0);
}

static u64 hwcap2(const void *state)
{
    return x86_hwcap(state, 1);
}

/* --- the ABIs -----------------------------------------------------------------------------------
 */

#if defined(__x86_64__)
enum { HOST_IS_X86 = true };
#else
enum { HOST_IS_X86 = false };
#endif

/* Fields that are the same for both. */
#define X86_COMMON                                                                                 \
    .big_endian = false, .of_host = HOST_IS_X86, .minimum_stack = 2048, .choose_cpu = choose_cpu,  \
    .list_cpus = list_cpus, .state_size = sizeof(X86State),                                        \
    .data_size = sizeof(X86UserDescriptors), .copy = copy, .restore = restore, .get_pc = get_pc,   \
    .get_stack = get_stack, .get_call = get_call, .call_abi = call_abi,                            \
    .restart_call = restart_call, .fault_status = x86_fault_status, .has_protection_faults = true, \
    .exception = x86_exception, .hwcap = hwcap, .hwcap2 = hwcap2, .cpuinfo = x86_cpuinfo

const GuestAbi abi_x86_64 = {
    X86_COMMON,
    .name = "x86_64",
    .platform = "x86_64",
    .machine = "x86_64",
    .machine_32 = "i686",
    .elf_machine = EM_X86_64,
    .word_size = 8,
    .frame_size = 1808,
    .address_limit = ((u64)1 << 47) - 4096,
    .pie_base = 0x5500000000,
    .syscalls = x86_64_syscalls,
    .syscall_count = X86_64_SYSCALLS,
    .open_bits = &x86_64_bits_open,
    .structs = x86_64_structs,
    .ioctls = x86_64_ioctls,
    .start = start_x86_64,
    .set_tls = x86_64_set_tls,
    .set_result = set_result_x86_64,
    .push_frame = x86_64_push_frame,
    .pop_frame = x86_64_pop_frame,
    .serve_fetch = serve_fetch,
    .make_vdso = x86_64_make_vdso,
};

/* Addresses as a 64-bit kernel gives them to 32-bit programs. */
const GuestAbi abi_i386 = {
    X86_COMMON,
    .name = "i386",
    .platform = "i686",
    .machine = "i686",
    .machine_32 = "i686",
    .elf_machine = EM_386,
    .word_size = 4,
    .frame_size = 1808,
    .address_limit = 0xffffe000,
    .pie_base = 0x56555000,
    .stack_top = 0xffffd000,
    .mmap_top = 0xf7fff000,
    .old_programs_execute_data = true,
    .syscalls = i386_syscalls,
    .syscall_count = I386_SYSCALLS,
    .open_bits = &i386_bits_open,
    .structs = i386_structs,
    .ioctls = i386_ioctls,
    .start = start_i386,
    .set_tls = i386_set_tls,
    .set_result = set_result_i386,
    .push_frame = i386_push_frame,
    .pop_frame = i386_pop_frame,
    .make_vdso = i386_make_vdso,
    .sysinfo_offset = I386_VDSO_VSYSCALL,
};

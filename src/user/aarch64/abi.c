/* Linux on arm64: registers of the call convention (AAPCS64 and the kernel's system call ABI:
 * number in x8, arguments in x0..x5, result in x0), processor description. */
#include "user/aarch64/abi.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/aarch64/state.h"
#include "user/process.h"
#include "user/syscall_tables.h"

enum { CALL_NUMBER = 8, CALL_SIZE = 4 };

static bool choose_cpu(Thread *thread, const char *text, char *message, size_t size)
{
    (void)thread;
    snprintf(message, size, "unknown CPU '%s'; '--cpu help' lists them", text);
    return !strcmp(text, "max") || !strcmp(text, "any");
}

static void list_cpus(void)
{
    puts("  max              everything that the translator supports");
}

static void start(Thread *thread, u64 entry, u64 stack)
{
    Aarch64State *state = thread->state;

    state->pc = entry;
    state->sp = stack;
}

static void copy(Thread *to_thread, const Thread *from_thread, const u64 *stack)
{
    Aarch64State *to = to_thread->state;
    const Aarch64State *from = from_thread->state;

    if (to != from) {
        *to = *from;
    }
    aarch64_set_fpcr(to, aarch64_get_fpcr(from));
    aarch64_set_fpsr(to, aarch64_get_fpsr(from));
    to->x[0] = 0;
    to->exclusive_address = AARCH64_EXCLUSIVE_NONE;
    if (stack) {
        to->sp = *stack;
    }
}

static int set_tls(Thread *thread, u64 tls)
{
    ((Aarch64State *)thread->state)->tpidr = tls;
    return 0;
}

static void restore(void *state, const void *saved)
{
    memcpy(state, saved, sizeof(Aarch64State));
    aarch64_set_fpcr(state, ((const Aarch64State *)saved)->fpcr);
}

static u64 get_pc(const void *state)
{
    return ((const Aarch64State *)state)->pc;
}

static u64 get_stack(const void *state)
{
    return ((const Aarch64State *)state)->sp;
}

static u64 get_call(Thread *thread, u32 code, u64 registers[SYSCALL_ARGUMENTS])
{
    const Aarch64State *state = thread->state;

    (void)code; /* SVC's immediate means nothing */
    memcpy(registers, state->x, SYSCALL_ARGUMENTS * sizeof *registers);
    return state->x[CALL_NUMBER];
}

static void set_result(void *state, s64 result)
{
    ((Aarch64State *)state)->x[0] = (u64)result;
}

static void restart_call(void *state)
{
    ((Aarch64State *)state)->pc -= CALL_SIZE;
}

static u64 hwcap(const void *state)
{
    (void)state; /* there is one CPU */
    return aarch64_hwcap(0);
}

static u64 hwcap2(const void *state)
{
    (void)state;
    return aarch64_hwcap(1);
}

/* What /proc/cpuinfo calls the bits of AT_HWCAP, from bit 0 on. */
static const char *const hwcap_names[] = {
    "fp",      "asimd", "evtstrm", "aes",   "pmull",    "sha1",   "sha2", "crc32",
    "atomics", "fphp",  "asimdhp", "cpuid", "asimdrdm", "jscvt",  "fcma", "lrcpc",
    "dcpop",   "sha3",  "sm3",     "sm4",   "asimddp",  "sha512", "sve",  "asimdfhm",
    "dit",     "uscat", "ilrcpc",  "flagm", "ssbs",     "sb",     "paca", "pacg",
};

static void print_features(FILE *out)
{
    for (size_t i = 0; i < COUNT(hwcap_names); i++) {
        if (aarch64_hwcap(0) >> i & 1) {
            fprintf(out, " %s", hwcap_names[i]);
        }
    }
}

static char *cpuinfo(const void *state, int cpus)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    if (!out) {
        return NULL;
    }
    for (int i = 0; i < cpus; i++) {
        fprintf(out, "processor\t: %d\nBogoMIPS\t: 100.00\nFeatures\t:", i);
        print_features(out);
        fputs("\nCPU implementer\t: 0x00\nCPU architecture: 8\nCPU variant\t: 0x0\n"
              "CPU part\t: 0x051\nCPU revision\t: 0\n\n",
              out);
    }
    fclose(out);
    return text;
}

const GuestAbi abi_aarch64 = {
    .name = "aarch64",
    .platform = "aarch64",
    .machine = "aarch64",
    .machine_32 = "armv8l",
    .elf_machine = EM_AARCH64,
    .big_endian = false,
    .word_size = 8,
    .minimum_stack = 5120,
    .frame_size = 5120,
    .address_limit = (u64)1 << 47, /* what x86-64 hosts give; arm64 itself has 48 bits */
    .pie_base = 0x5500000000,
    .state_size = sizeof(Aarch64State),
    .syscalls = aarch64_syscalls,
    .syscall_count = AARCH64_SYSCALLS,
    .open_bits = &aarch64_bits_open,
    .structs = aarch64_structs,
    .ioctls = aarch64_ioctls,
    .choose_cpu = choose_cpu,
    .list_cpus = list_cpus,
    .start = start,
    .copy = copy,
    .set_tls = set_tls,
    .restore = restore,
    .get_pc = get_pc,
    .get_stack = get_stack,
    .get_call = get_call,
    .set_result = set_result,
    .restart_call = restart_call,
    .push_frame = aarch64_push_frame,
    .pop_frame = aarch64_pop_frame,
    .fault_status = aarch64_fault_status,
    .hwcap = hwcap,
    .hwcap2 = hwcap2,
    .make_vdso = aarch64_make_vdso,
    .cpuinfo = cpuinfo,
};

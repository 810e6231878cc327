/* Segments and thread pointers: set_thread_area(2), modify_ldt(2), arch_prctl(2), and segment
 * registers that frames restore. The translator looks selectors up in the tables kept here
 * (guest/x86/user_descriptors.h). */
#include <errno.h>
#include <stdlib.h>

#include "user/access.h"
#include "user/process.h"
#include "user/syscall.h"
#include "user/x86/abi.h"

/* --- descriptors --------------------------------------------------------------------------------
 */

/* struct user_desc (asm/ldt.h) and its flag bits. */
typedef struct UserDescriptor {
    u32 entry, base, limit, flags;
} UserDescriptor;

enum {
    SEG_32BIT = 1 << 0,
    CONTENTS_SHIFT = 1, /* two bits: data, stack, code, conforming code */
    READ_EXEC_ONLY = 1 << 3,
    LIMIT_IN_PAGES = 1 << 4,
    NOT_PRESENT = 1 << 5,
    USEABLE = 1 << 6,
    FIRST_TLS = X86_USER_TLS >> 3,
};

static unsigned contents(const UserDescriptor *d)
{
    return d->flags >> CONTENTS_SHIFT & 3;
}

static bool is_empty(const UserDescriptor *d)
{
    return !d->base && !d->limit && (d->flags & ~(u32)USEABLE) == (READ_EXEC_ONLY | NOT_PRESENT) &&
           !(d->flags & USEABLE);
}

static bool is_zero(const UserDescriptor *d)
{
    return !d->base && !d->limit && !d->flags;
}

/* The CPU's format: Intel SDM volume 3, 3.4.5. Accessed, as loading would make it. */
static u64 pack(const UserDescriptor *d)
{
    u64 type = (d->flags & READ_EXEC_ONLY ? 0 : 2) | contents(d) << 2 | 1;
    u64 high = type | 1 << 4 | 3 << 5; /* S, DPL 3 */

    high |= d->flags & NOT_PRESENT ? 0 : 1 << 7;
    high |= (d->limit >> 16 & 0xf) << 8;
    high |= d->flags & USEABLE ? 1 << 12 : 0;
    high |= d->flags & SEG_32BIT ? 1 << 14 : 0;
    high |= d->flags & LIMIT_IN_PAGES ? 1 << 15 : 0;
    return (d->limit & 0xffff) | (u64)(d->base & 0xffffff) << 16 | high << 40 |
           (u64)(d->base >> 24) << 56;
}

static void unpack(UserDescriptor *d, u64 packed)
{
    u32 high = (u32)(packed >> 40) & 0xffff;

    d->base = (u32)(packed >> 16 & 0xffffff) | (u32)(packed >> 56) << 24;
    d->limit = (u32)(packed & 0xffff) | (high >> 8 & 0xf) << 16;
    d->flags = (high >> 14 & 1) | (high >> 2 & 3) << CONTENTS_SHIFT |
               (high & 2 ? 0 : READ_EXEC_ONLY) | (high >> 15 & 1 ? LIMIT_IN_PAGES : 0) |
               (high >> 7 & 1 ? 0 : NOT_PRESENT) | (high >> 12 & 1 ? USEABLE : 0);
}

static s64 read_descriptor(UserDescriptor *d, u64 address)
{
    return copy_from_guest(d, address, sizeof *d) ? 0 : -EFAULT;
}

bool x86_init_descriptors(Thread *thread)
{
    X86UserDescriptors *descriptors = thread->data;
    Process *process = thread->process;

    if (!process->data) {
        process->data = calloc(X86_USER_LDT_COUNT, sizeof(u64));
    }
    descriptors->ldt = process->data;
    return descriptors->ldt != NULL;
}

void x86_load_selector(X86State *state, unsigned segment, u16 selector)
{
    u64 descriptor = selector & ~3 ? x86_user_descriptor(state->system, selector) : 0;

    if (descriptor) {
        x86_set_segment(state, segment, selector, descriptor);
    } else {
        /* Null keeps no base but the one that arch_prctl() gave it. */
        u64 base = state->segment[segment].selector & ~3 ? 0 : state->segment[segment].base;
        state->segment[segment] = (X86Segment){.base = base, .selector = selector & 3};
    }
}

/* Registers that hold a selector whose descriptor changed. */
static void reload(X86State *state, u16 selector)
{
    static const u8 segments[] = {X86_DS, X86_ES, X86_FS, X86_GS};

    for (size_t i = 0; i < COUNT(segments); i++) {
        if ((state->segment[segments[i]].selector | 3) == selector) {
            x86_load_selector(state, segments[i], selector);
        }
    }
}

/* --- set_thread_area ----------------------------------------------------------------------------
 */

/* Only flat-like 32-bit data segments, or nothing. */
static bool may_be_tls(const UserDescriptor *d)
{
    return is_empty(d) || is_zero(d) ||
           (d->flags & SEG_32BIT && contents(d) <= 1 && !(d->flags & NOT_PRESENT));
}

/* Sets a thread's TLS descriptor; `find` lets entry -1 mean a free one. The index, or -errno. */
static s64 set_tls_entry(Thread *thread, UserDescriptor *d, bool find)
{
    X86UserDescriptors *descriptors = thread->data;

    if (!may_be_tls(d)) {
        return -EINVAL;
    }
    if (d->entry == (u32)-1 && find) {
        for (u32 i = 0; i < X86_USER_TLS_COUNT && d->entry == (u32)-1; i++) {
            d->entry = descriptors->tls[i] ? d->entry : FIRST_TLS + i;
        }
        if (d->entry == (u32)-1) {
            return -ESRCH;
        }
    }
    if (d->entry < FIRST_TLS || d->entry >= FIRST_TLS + X86_USER_TLS_COUNT) {
        return -EINVAL;
    }
    descriptors->tls[d->entry - FIRST_TLS] = is_empty(d) || is_zero(d) ? 0 : pack(d);
    reload(thread->state, (u16)(d->entry << 3 | 3));
    return 0;
}

s64 sys_set_thread_area(Thread *thread, const u64 *arguments)
{
    UserDescriptor d;
    s64 result = read_descriptor(&d, arguments[0]);
    bool find = !result && d.entry == (u32)-1;

    if (result) {
        return result;
    }
    result = set_tls_entry(thread, &d, true);
    if (result == 0 && find && !copy_to_guest(arguments[0], &d.entry, sizeof d.entry)) {
        return -EFAULT;
    }
    return result;
}

s64 sys_get_thread_area(Thread *thread, const u64 *arguments)
{
    const X86UserDescriptors *descriptors = thread->data;
    UserDescriptor d;
    s64 result = read_descriptor(&d, arguments[0]);

    if (result) {
        return result;
    }
    if (d.entry < FIRST_TLS || d.entry >= FIRST_TLS + X86_USER_TLS_COUNT) {
        return -EINVAL;
    }
    u64 packed = descriptors->tls[d.entry - FIRST_TLS];
    if (packed) {
        unpack(&d, packed);
    } else {
        d = (UserDescriptor){d.entry, 0, 0, READ_EXEC_ONLY | NOT_PRESENT};
    }
    return copy_to_guest(arguments[0], &d, sizeof d) ? 0 : -EFAULT;
}

int i386_set_tls(Thread *thread, u64 tls)
{
    UserDescriptor d;
    s64 result = read_descriptor(&d, tls);

    return (int)(result ? result : set_tls_entry(thread, &d, false));
}

/* --- modify_ldt ---------------------------------------------------------------------------------
 */

static s64 read_ldt(Thread *thread, u64 address, u64 size)
{
    const u64 *ldt = ((X86UserDescriptors *)thread->data)->ldt;
    size_t used = X86_USER_LDT_COUNT;

    while (used && !ldt[used - 1]) {
        used--;
    }
    size = MIN(size, (u64)(used * sizeof *ldt));
    return copy_to_guest(address, ldt, size) ? (s64)size : -EFAULT;
}

/* Other threads see the entry when they load its selector next. */
static s64 write_ldt(Thread *thread, u64 address, u64 size, bool old)
{
    u64 *ldt = ((X86UserDescriptors *)thread->data)->ldt;
    UserDescriptor d;

    if (size != sizeof d) {
        return -EINVAL;
    }
    if (!copy_from_guest(&d, address, sizeof d)) {
        return -EFAULT;
    }
    if (d.entry >= X86_USER_LDT_COUNT || (contents(&d) == 3 && (old || !(d.flags & NOT_PRESENT)))) {
        return -EINVAL;
    }
    bool clear = (old && !d.base && !d.limit) || is_empty(&d);
    if (old) {
        d.flags &= ~(u32)USEABLE;
    }
    __atomic_store_n(&ldt[d.entry], clear ? 0 : pack(&d), __ATOMIC_RELEASE);
    reload(thread->state, (u16)(d.entry << 3 | 7));
    return 0;
}

static s64 modify_ldt(Thread *thread, const u64 *arguments)
{
    enum { READ = 0, WRITE_OLD = 1, READ_DEFAULT = 2, WRITE = 0x11, DEFAULT_SIZE = 128 };
    static const u8 zeros[DEFAULT_SIZE];
    u64 size = (u32)arguments[2];

    switch ((int)arguments[0]) {
    case READ:
        return read_ldt(thread, arguments[1], size);
    case READ_DEFAULT:
        size = MIN(size, (u64)sizeof zeros);
        return copy_to_guest(arguments[1], zeros, size) ? (s64)size : -EFAULT;
    case WRITE_OLD:
    case WRITE:
        return write_ldt(thread, arguments[1], size, (int)arguments[0] == WRITE_OLD);
    default:
        return -ENOSYS;
    }
}

/* Errors come as unsigned ints: 64-bit programs don't see them as errors, and rely on it. */
s64 sys_modify_ldt(Thread *thread, const u64 *arguments)
{
    return (u32)modify_ldt(thread, arguments);
}

/* --- arch_prctl ---------------------------------------------------------------------------------
 */

int x86_64_set_tls(Thread *thread, u64 tls)
{
    X86State *state = thread->state;

    if (tls >= thread->abi->address_limit) {
        return -EPERM;
    }
    state->segment[X86_FS] = (X86Segment){.base = tls};
    return 0;
}

s64 sys_arch_prctl(Thread *thread, const u64 *arguments)
{
    enum { SET_GS = 0x1001, SET_FS, GET_FS, GET_GS, GET_CPUID = 0x1011, SET_CPUID };
    X86State *state = thread->state;
    bool wide = thread->abi->word_size == 8;
    int option = (int)arguments[0];

    if (option == GET_CPUID) {
        return 1;
    }
    if (option == SET_CPUID) {
        return arguments[1] ? 0 : -ENODEV; /* CPUID cannot be made to fault */
    }
    if (!wide || option < SET_GS || option > GET_GS) {
        return -EINVAL;
    }
    unsigned segment = option == SET_FS || option == GET_FS ? X86_FS : X86_GS;
    if (option == GET_FS || option == GET_GS) {
        return word_into_guest(thread, arguments[1], state->segment[segment].base) ? 0 : -EFAULT;
    }
    if (arguments[1] >= thread->abi->address_limit) {
        return -EPERM;
    }
    state->segment[segment] = (X86Segment){.base = arguments[1]};
    return 0;
}

/* --- ports: programs have none ------------------------------------------------------------------
 */

s64 sys_iopl(Thread *thread, const u64 *arguments)
{
    (void)thread;
    return (u32)arguments[0] > 3 ? -EINVAL : arguments[0] == 0 ? 0 : -EPERM;
}

s64 sys_ioperm(Thread *thread, const u64 *arguments)
{
    enum { PORTS = 65536 };

    (void)thread;
    if (arguments[0] + arguments[1] <= arguments[0] || arguments[0] + arguments[1] > PORTS) {
        return -EINVAL;
    }
    return arguments[2] ? -EPERM : 0;
}

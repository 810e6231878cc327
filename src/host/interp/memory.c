/* See memory.h.
 *
 * Guest memory is not the host's objects: no alignment, no types, and guests race as they like. So
 * nothing here is for sanitizers to judge. */
#include <string.h>

#include "host/interp/memory.h"

#define GUEST_ACCESS                                                                               \
    __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

/* Of any alignment, volatile so that each access is one. */
typedef volatile u16 __attribute__((aligned(1), may_alias)) Any16;
typedef volatile u32 __attribute__((aligned(1), may_alias)) Any32;
typedef volatile u64 __attribute__((aligned(1), may_alias)) Any64;

GUEST_ACCESS static u64 read_memory(const u8 *at, u32 size)
{
    switch (size) {
    case 1:
        return *(const volatile u8 *)at;
    case 2:
        return *(const Any16 *)at;
    case 4:
        return *(const Any32 *)at;
    default:
        return *(const Any64 *)at;
    }
}

GUEST_ACCESS static void write_memory(u8 *at, u32 size, u64 value)
{
    switch (size) {
    case 1:
        *(volatile u8 *)at = (u8)value;
        break;
    case 2:
        *(Any16 *)at = (u16)value;
        break;
    case 4:
        *(Any32 *)at = (u32)value;
        break;
    default:
        *(Any64 *)at = value;
        break;
    }
}

/* The other byte order, if sub asks for it. */
static void order_bytes(IrWord *word, u32 size, u8 sub)
{
    IrWord little = *word;

    for (u32 i = 0; i < size && (sub & IR_MEM_BIG_ENDIAN); i++) {
        word->bytes[i] = little.bytes[size - 1 - i];
    }
}

static u64 order(u64 value, u32 size, u8 sub)
{
    return sub & IR_MEM_BIG_ENDIAN ? __builtin_bswap64(value) >> (64 - size * 8) : value;
}

/* The place of an access; one that faults by itself if alignment is wanted and missing. */
static u8 *aligned_place(const u8 *at, u8 sub)
{
    uintptr_t address = (uintptr_t)at;

    return (u8 *)(sub & IR_MEM_ALIGNED && address & 15 ? address ^ (uintptr_t)1 << 62 : address);
}

void interp_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void interp_load(const u8 *at, u32 size, u8 sub, IrWord *result)
{
    at = aligned_place(at, sub);
    memset(result, 0, sizeof(*result));
    for (u32 i = 0; i * 8 < size; i++) {
        result->v[i] = read_memory(at + i * 8, MIN(size, 8u));
    }
    if (sub & IR_MEM_ACQUIRE) {
        interp_fence();
    }
    order_bytes(result, size, sub);
}

void interp_store(u8 *at, u32 size, u8 sub, const IrWord *value)
{
    IrWord ordered = *value;

    at = aligned_place(at, sub);
    order_bytes(&ordered, size, sub);
    if (sub & IR_MEM_RELEASE) {
        interp_fence();
    }
    for (u32 i = 0; i * 8 < size; i++) {
        write_memory(at + i * 8, MIN(size, 8u), ordered.v[i]);
    }
    if (sub & IR_MEM_RELEASE) { /* before a later acquiring load */
        interp_fence();
    }
}

/* Compares and swaps in the host's byte order. */
#define CAS(type)                                                                                  \
    {                                                                                              \
        type old = (type)expected;                                                                 \
        __atomic_compare_exchange_n((type *)at, &old, (type)desired, false, __ATOMIC_SEQ_CST,      \
                                    __ATOMIC_SEQ_CST);                                             \
        return old;                                                                                \
    }

GUEST_ACCESS static u64 swap_memory(void *at, u32 size, u64 expected, u64 desired)
{
    switch (size) {
    case 1:
        CAS(u8)
    case 2:
        CAS(u16)
    case 4:
        CAS(u32)
    default:
        CAS(u64)
    }
}

u64 interp_cas(u8 *at, u32 size, u8 sub, u64 expected, u64 desired)
{
    return order(swap_memory(at, size, order(expected, size, sub), order(desired, size, sub)), size,
                 sub);
}

/* The compiler may turn this into a library call where the host has no such instruction, so on
 * others than x86-64 the pieces are guarded by a lock of our own: atomic towards other guests'
 * threads that do the same, which is all that a guest can ask of such a host. */
GUEST_ACCESS void interp_cas16(u8 *at, const IrWord *expected, const IrWord *desired, IrWord *old)
{
    memset(old, 0, sizeof(*old));
#ifdef __x86_64__
    u64 low = expected->v[0], high = expected->v[1];
    __asm__ volatile("lock cmpxchg16b %0"
                     : "+m"(*(u128 *)at), "+a"(low), "+d"(high)
                     : "b"(desired->v[0]), "c"(desired->v[1])
                     : "cc", "memory");
    old->v[0] = low;
    old->v[1] = high;
#else
    static bool busy;
    while (__atomic_exchange_n(&busy, true, __ATOMIC_SEQ_CST)) {
    }
    memcpy(old->bytes, at, 16);
    if (!memcmp(old->bytes, expected->bytes, 16)) {
        memcpy(at, desired->bytes, 16);
    }
    __atomic_store_n(&busy, false, __ATOMIC_SEQ_CST);
#endif
}

static u64 modify(IrRmw op, u64 old, u64 operand, u32 size)
{
    u32 unused = 64 - size * 8;
    s64 a = (s64)(old << unused), b = (s64)(operand << unused); /* in order as signed numbers */

    switch (op) {
    case IR_RMW_ADD:
        return old + operand;
    case IR_RMW_AND:
        return old & operand;
    case IR_RMW_OR:
        return old | operand;
    case IR_RMW_XOR:
        return old ^ operand;
    case IR_RMW_XCHG:
        return operand;
    case IR_RMW_SMAX:
        return a > b ? old : operand;
    case IR_RMW_SMIN:
        return a < b ? old : operand;
    case IR_RMW_UMAX:
        return MAX(old, operand);
    case IR_RMW_UMIN:
        return MIN(old, operand);
    }
    return old;
}

u64 interp_rmw(u8 *at, u32 size, u8 sub, IrRmw op, u64 operand)
{
    u64 old = order(read_memory(at, size), size, sub), seen;

    while ((seen = interp_cas(at, size, sub, old,
                              modify(op, old, operand, size) & ir_mask(size * 8))) != old) {
        old = seen;
    }
    return old;
}

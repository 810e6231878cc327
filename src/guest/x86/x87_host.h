/* The host's x87 doing the guest's operations, for x86-64 hosts.
 *
 * The guest's control word is loaded with all exceptions masked. Sticky exception bits of the host
 * are cleared rarely: as long as an operation leaves none set that the guest does not have set as
 * well, nothing new has happened, and that is the usual case. Otherwise the operation is done again
 * in soft float, which knows which exceptions are its own and what unmasked ones do.
 *
 * Every function is one asm statement, so that no other x87 instruction sees the guest's control
 * word, and leaves the host's register stack empty. */
#ifndef GUEST_X86_X87_HOST_H
#define GUEST_X86_X87_HOST_H

#include "guest/x86/x87.h"

#ifdef X87_HOST

/* Whether the host may try: where underflow is unmasked, tiny results raise it even if they are
 * exact, which a masked operation can't tell. */
static inline bool x87_host_usable(const X86State *s)
{
    return likely(s->fcw & X87_UNDERFLOW);
}

/* Before operations: sets the guest's rounding and precision. Nearly all programs keep the default,
 * which is also what the host's ABI demands, so that nothing is to be done. */
static inline void x87_host_begin(const X86State *s)
{
    if (unlikely((s->fcw | X87_EXCEPTIONS) != X87_CONTROL_DEFAULT)) {
        u16 control = s->fcw | X87_EXCEPTIONS;
        __asm__ volatile("fldcw %0" : : "m"(control));
    }
}

static inline void x87_host_end(const X86State *s)
{
    if (unlikely((s->fcw | X87_EXCEPTIONS) != X87_CONTROL_DEFAULT)) {
        u16 usual = X87_CONTROL_DEFAULT;
        __asm__ volatile("fldcw %0" : : "m"(usual));
    }
}

/* After an operation left `status`: if no exception is new, takes the bits `conditions` over. Else
 * false, and the operation has to be done again in soft float. */
static inline bool x87_host_accept(X86State *s, u16 status, u16 conditions)
{
    if (unlikely(status & ~s->fsw & X87_EXCEPTIONS)) {
        __asm__ volatile("fnclex");
        return false;
    }
    s->fsw = (u16)((s->fsw & ~conditions) | (status & conditions));
    return true;
}

/* A register as it was. (Field by field: a wider access would have to wait for the host's store.)
 */
static inline void x87_restore(X86Fpr *to, F80 value)
{
    to->significand = value.significand;
    to->sign_exponent = value.sign_exponent;
}

#define X87_CLOBBERS "st", "st(1)", "st(2)", "cc"

/* *result = instruction(ST(0) = *a, ST(1) = *b) */
typedef u16 X87HostBinary(X86Fpr *result, const X86Fpr *a, const X86Fpr *b);
#define X87_HOST_BINARY(name, instruction)                                                         \
    static inline u16 name(X86Fpr *result, const X86Fpr *a, const X86Fpr *b)                       \
    {                                                                                              \
        u16 status;                                                                                \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" instruction                                      \
                         "\n\tfnstsw %0\n\tfstpt %1\n\tfstp %%st(0)"                               \
                         : "=&a"(status), "=m"(*result)                                            \
                         : "m"(*a), "m"(*b)                                                        \
                         : X87_CLOBBERS);                                                          \
        return status;                                                                             \
    }

/* *result = instruction(ST(0) = *a, memory); `value` is the memory operand's bits. */
typedef u16 X87HostMemory(X86Fpr *result, const X86Fpr *a, u64 value);
#define X87_HOST_MEMORY(name, instruction)                                                         \
    static inline u16 name(X86Fpr *result, const X86Fpr *a, u64 value)                             \
    {                                                                                              \
        u16 status;                                                                                \
        __asm__ volatile("fldt %2\n\t" instruction " %3\n\tfnstsw %0\n\tfstpt %1"                  \
                         : "=&a"(status), "=m"(*result)                                            \
                         : "m"(*a), "m"(value)                                                     \
                         : X87_CLOBBERS);                                                          \
        return status;                                                                             \
    }

/* *result = instruction(ST(0) = *a) */
typedef u16 X87HostUnary(X86Fpr *result, const X86Fpr *a);
#define X87_HOST_UNARY(name, instruction)                                                          \
    static inline u16 name(X86Fpr *result, const X86Fpr *a)                                        \
    {                                                                                              \
        u16 status;                                                                                \
        __asm__ volatile("fldt %2\n\t" instruction "\n\tfnstsw %0\n\tfstpt %1"                     \
                         : "=&a"(status), "=m"(*result)                                            \
                         : "m"(*a)                                                                 \
                         : X87_CLOBBERS);                                                          \
        return status;                                                                             \
    }

/* Compares ST(0) = *a with *b: a register, loaded before and popped afterwards, or memory. */
#define X87_HOST_COMPARE(name, instruction, before, after, type)                                   \
    static inline u16 name(const X86Fpr *a, const type *b)                                         \
    {                                                                                              \
        u16 status;                                                                                \
        __asm__ volatile(before "fldt %1\n\t" instruction "\n\tfnstsw %0\n\tfstp %%st(0)" after    \
                         : "=&a"(status)                                                           \
                         : "m"(*a), "m"(*b)                                                        \
                         : X87_CLOBBERS);                                                          \
        return status;                                                                             \
    }

/* Stores ST(0) = *a with an instruction that pops. */
typedef u16 X87HostStore(u64 *value, const X86Fpr *a);
#define X87_HOST_STORE(name, instruction)                                                          \
    static inline u16 name(u64 *value, const X86Fpr *a)                                            \
    {                                                                                              \
        u16 status;                                                                                \
        __asm__ volatile("fldt %2\n\t" instruction " %1\n\tfnstsw %0"                              \
                         : "=&a"(status), "+m"(*value)                                             \
                         : "m"(*a)                                                                 \
                         : X87_CLOBBERS);                                                          \
        return status;                                                                             \
    }

#endif

#endif

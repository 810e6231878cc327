/* The x87 as its helpers see it: register stack, status word, exceptions.
 *
 * A helper does one instruction on X86State. On an x86-64 host it has the host's x87 do it
 * (x87_host.h) where no exception is new; what is rare, and all of it on other hosts, goes through
 * soft float (ir/softfloat80.h), which gives the same bits. Defining X87_SOFT leaves out the host's
 * (for tests). That #MF is pending is checked before helpers are called.
 * Section numbers are the Intel SDM's, volume 1. Must not access guest memory. */
#ifndef GUEST_X86_X87_H
#define GUEST_X86_X87_H

#include "guest/x86/state.h"
#include "ir/cpu.h"
#include "ir/softfloat80.h"

#if defined(__x86_64__) && !defined(X87_SOFT)
#define X87_HOST
#endif

/* The status word (8.1.3). Exception bits are at the same places in the control word. */
enum {
    X87_INVALID = 1 << 0,
    X87_DENORMAL = 1 << 1,
    X87_DIVZERO = 1 << 2,
    X87_OVERFLOW = 1 << 3,
    X87_UNDERFLOW = 1 << 4,
    X87_INEXACT = 1 << 5,
    X87_EXCEPTIONS = 0x3f,
    X87_STACK_FAULT = 1 << 6,
    X87_ERROR = 1 << 7, /* an unmasked exception is pending */
    X87_C0 = 1 << 8,
    X87_C1 = 1 << 9,
    X87_C2 = 1 << 10,
    X87_TOP_SHIFT = 11,
    X87_TOP = 7 << X87_TOP_SHIFT,
    X87_C3 = 1 << 14,
    X87_BUSY = 1 << 15, /* a copy of X87_ERROR */
    X87_CONDITIONS = X87_C0 | X87_C1 | X87_C2 | X87_C3,
};

/* The control word (8.1.5). */
enum {
    X87_CONTROL_DEFAULT = 0x37f,
    X87_CONTROL_FIXED = 1 << 6, /* reads as one */
    X87_CONTROL_WRITABLE = 0x1f3f,
};

/* -- The stack */

static inline X86Fpr *x87_register(X86State *s, unsigned i)
{
    return &s->fpr[(s->ftop + i) & 7];
}

static inline bool x87_is_empty(const X86State *s, unsigned i)
{
    return s->ftag_empty >> ((s->ftop + i) & 7) & 1;
}

static inline F80 x87_get(const X86State *s, unsigned i)
{
    const X86Fpr *r = &s->fpr[(s->ftop + i) & 7];
    return (F80){r->significand, r->sign_exponent};
}

static inline FpValue x87_value(const X86State *s, unsigned i)
{
    return f80_unpack(x87_get(s, i));
}

/* Writes ST(i), which is then not empty. */
static inline void x87_set(X86State *s, unsigned i, F80 value)
{
    X86Fpr *r = x87_register(s, i);
    r->significand = value.significand;
    r->sign_exponent = value.sign_exponent;
    s->ftag_empty &= (u8) ~(1u << ((s->ftop + i) & 7));
}

static inline void x87_push(X86State *s, F80 value)
{
    s->ftop = (s->ftop - 1) & 7;
    x87_set(s, 0, value);
}

static inline void x87_pop(X86State *s)
{
    s->ftag_empty |= (u8)(1u << s->ftop);
    s->ftop = (s->ftop + 1) & 7;
}

/* -- Exceptions (x87_state.c) */

/* The control and status words as FNSTCW and FNSTSW see them. */
static inline u16 x87_status(const X86State *s)
{
    return (u16)(s->fsw | s->ftop << X87_TOP_SHIFT);
}
void x87_set_control(X86State *s, u16 control);
/* TOP as well. */
void x87_set_status(X86State *s, u16 status);

/* The environment of the next soft operation. */
F80Env x87_env(const X86State *s);
/* Sets exceptions, and whether an unmasked one is pending. */
void x87_raise(X86State *s, u16 exceptions);
/* The exceptions of a soft operation. */
u16 x87_exceptions_of(const F80Env *env);
/* After a soft operation: raises them, and sets C1. */
void x87_finish(X86State *s, const F80Env *env);

static inline void x87_set_c1(X86State *s, bool c1)
{
    s->fsw = (u16)((s->fsw & ~X87_C1) | (c1 ? X87_C1 : 0));
}

/* Raises stack overflow or underflow (8.5.1.1). True if it is masked: indefinite is the result. */
bool x87_stack_fault(X86State *s, bool overflow);

/* Pushes, or on stack overflow, which it raises, indefinite if that is masked. */
void x87_push_checked(X86State *s, F80 value);

/* -- FSAVE and FXSAVE images (x87_image.c) */

/* The format of FNSTENV and FNSAVE: of 16- or 32-bit operands, in real-address (or virtual-8086)
 * or protected mode. */
enum { X87_IMAGE_32 = 1, X87_IMAGE_REAL = 2 };

enum { X87_IMAGE_MAX = 108 };

/* Bytes of the environment, 14 or 28, and of all: 80 more. */
unsigned x87_environment_size(unsigned format);
/* Writes the image of FNSAVE, whose first part is that of FNSTENV. */
void x87_write_image(const X86State *s, unsigned format, u8 image[X87_IMAGE_MAX]);
void x87_read_environment(X86State *s, unsigned format, const u8 *image);
void x87_read_image(X86State *s, unsigned format, const u8 image[X87_IMAGE_MAX]);
/* FNINIT */
void x87_init(X86State *s);

/* The x87's part of FXSAVE: bytes 0..23 and 32..159. wide: REX.W, 64-bit pointers. */
void x87_write_fx(const X86State *s, bool wide, u8 image[160]);
void x87_read_fx(X86State *s, bool wide, const u8 image[160]);

#endif

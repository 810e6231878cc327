/* x87: control and status words, exceptions that helpers raise. */
#include "guest/x86/x87.h"

/* ES and B follow the exceptions that are set and not masked. */
static void update_error(X86State *s)
{
    bool error = s->fsw & ~s->fcw & X87_EXCEPTIONS;
    s->fsw = (u16)((s->fsw & ~(X87_ERROR | X87_BUSY)) | (error ? X87_ERROR | X87_BUSY : 0));
}

void x87_set_control(X86State *s, u16 control)
{
    s->fcw = (control & X87_CONTROL_WRITABLE) | X87_CONTROL_FIXED;
    update_error(s);
}

void x87_set_status(X86State *s, u16 status)
{
    s->ftop = status >> X87_TOP_SHIFT & 7;
    s->fsw = status & ~X87_TOP;
    update_error(s);
}

/* FP_* of exception bits, and back: divide by zero to inexact are neighbours in both. */
static u8 to_flags(u16 exceptions)
{
    u16 flags = (exceptions & X87_INVALID) | (exceptions >> 1 & 0x1e);
    return (u8)(flags | (exceptions & X87_DENORMAL ? FP_DENORMAL : 0));
}

static u16 from_flags(u8 flags)
{
    u16 exceptions = (u16)((flags & FP_INVALID) | (flags & 0x1e) << 1);
    return exceptions | (flags & FP_DENORMAL ? X87_DENORMAL : 0);
}

F80Env x87_env(const X86State *s)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};
    static const u8 precisions[] = {24, 64 /* reserved */, 53, 64};

    return f80_env(roundings[s->fcw >> 10 & 3], precisions[s->fcw >> 8 & 3], (u8)~to_flags(s->fcw));
}

void x87_raise(X86State *s, u16 exceptions)
{
    s->fsw |= exceptions;
    update_error(s);
}

u16 x87_exceptions_of(const F80Env *env)
{
    return from_flags(env->fp.flags);
}

void x87_finish(X86State *s, const F80Env *env)
{
    x87_set_c1(s, env->rounded_up);
    x87_raise(s, x87_exceptions_of(env));
}

bool x87_stack_fault(X86State *s, bool overflow)
{
    x87_set_c1(s, overflow);
    x87_raise(s, X87_INVALID | X87_STACK_FAULT);
    return s->fcw & X87_INVALID;
}

void x87_push_checked(X86State *s, F80 value)
{
    if (likely(x87_is_empty(s, 7))) {
        x87_set_c1(s, false);
        x87_push(s, value);
    } else if (x87_stack_fault(s, true)) {
        x87_push(s, f80_indefinite());
    }
}

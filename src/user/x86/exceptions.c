/* CPU exceptions as signals, as Linux maps them on x86-64. */
#include <signal.h>

#include "accel/vcpu.h"
#include "user/x86/abi.h"

#ifndef SI_KERNEL
#define SI_KERNEL 0x80
#endif

/* Bits of a page fault's error code (Intel SDM volume 3, 4.7). */
enum { PF_PROTECTION = 1, PF_WRITE = 2, PF_USER = 4, PF_FETCH = 16 };

u32 x86_fault_status(int access, int host_code)
{
    u32 error = PF_USER | (host_code == SEGV_ACCERR ? PF_PROTECTION : 0) |
                (access == ACCESS_WRITE ? PF_WRITE : 0) | (access == ACCESS_FETCH ? PF_FETCH : 0);

    if (host_code == SI_KERNEL) { /* an x86 host's own: the address was not canonical */
        return X86_GP | X86_EXCEPTION_HAS_ERROR;
    }
    return X86_PF | X86_EXCEPTION_HAS_ERROR | error << 16;
}

/* si_code of the unmasked floating-point exceptions: IE DE ZE OE UE PE in bits 0 to 5. 0: none. */
static int float_code(unsigned raised)
{
    return raised & 1      ? FPE_FLTINV
           : raised & 4    ? FPE_FLTDIV
           : raised & 8    ? FPE_FLTOVF
           : raised & 0x12 ? FPE_FLTUND
           : raised & 0x20 ? FPE_FLTRES
                           : 0;
}

static const struct {
    u8 signal;
    int code;
    bool has_address; /* of the instruction */
} signals[] = {
    [X86_DE] = {SIGFPE, FPE_INTDIV, true},  [X86_DB] = {SIGTRAP, TRAP_TRACE, true},
    [X86_BP] = {SIGTRAP, SI_KERNEL, false}, [X86_OF] = {SIGSEGV, SI_KERNEL, false},
    [X86_BR] = {SIGSEGV, SI_KERNEL, false}, [X86_UD] = {SIGILL, ILL_ILLOPN, true},
    [X86_NM] = {SIGSEGV, SI_KERNEL, false}, [X86_TS] = {SIGSEGV, SI_KERNEL, false},
    [X86_NP] = {SIGBUS, SI_KERNEL, false},  [X86_STACK] = {SIGBUS, SI_KERNEL, false},
    [X86_GP] = {SIGSEGV, SI_KERNEL, false}, [X86_MF] = {SIGFPE, 0, true},
    [X86_AC] = {SIGBUS, BUS_ADRALN, false}, [X86_XM] = {SIGFPE, 0, true},
};

void x86_exception(void *opaque, u32 code, GuestException *exception)
{
    const X86State *s = opaque;
    unsigned vector = code & 0xff;
    u32 mxcsr = x86_get_mxcsr(s);

    if (vector >= COUNT(signals) || !signals[vector].signal) { /* INT n: no gate lets it through */
        vector = X86_GP;
        code = X86_GP | X86_EXCEPTION_HAS_ERROR | (code & 0xff) << 19 | 2 << 16;
    }
    *exception = (GuestException){
        .signal = signals[vector].signal,
        .code = signals[vector].code,
        .address = signals[vector].has_address ? s->rip : 0,
        .status = code & ~(u32)X86_EXCEPTION_SOFTWARE,
    };
    if (vector == X86_MF) {
        exception->code = float_code(s->fsw & ~(unsigned)s->fcw);
    } else if (vector == X86_XM) {
        exception->code = float_code(mxcsr & ~(mxcsr >> 7));
    }
    if (!exception->code) {
        exception->signal = 0; /* gone meanwhile */
    }
}

/* Linux on x86: what the two ABIs, x86_64 and i386, share. One register file serves both; a program
 * of either may run the other's code by far jumps, so frames and calls belong to the ABI and the
 * selectors in the registers say what code runs. */
#ifndef USER_X86_ABI_H
#define USER_X86_ABI_H

#include "guest/x86/state.h"
#include "guest/x86/user_descriptors.h"
#include "user/abi.h"
#include "user/vdso.h"

extern const GuestAbi abi_x86_64, abi_i386;

/* frame_x86_64.c, frame_i386.c */
bool x86_64_push_frame(Thread *thread, int signal, const GuestFrame *frame);
bool x86_64_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate);
bool i386_push_frame(Thread *thread, int signal, const GuestFrame *frame);
bool i386_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate);

/* fpstate.c: x87 and vector registers in signal frames, in the format of XSAVE with Linux's marks
 * if the CPU has it, else of FXSAVE. */

enum { X86_FX_SIZE = 512, X86_FPSTATE_MAX = 512 + 64 + 256 + 4 };

/* Bytes of the image that the frame holds. */
size_t x86_fpstate_size(const X86State *state);
/* Fills the image; returns its size. */
size_t x86_save_fpstate(const X86State *state, u8 image[X86_FPSTATE_MAX], bool long_mode);
/* Reads an image of a guest program, which may lack the extended part; `fx` of 512 bytes, if not
 * NULL, replaces its first part. False: not accessible, or reserved bits are set. */
bool x86_restore_fpstate(X86State *state, u64 address, bool long_mode, const u8 *fx);
/* The initial state, in which handlers start. */
void x86_clear_fpstate(X86State *state);

/* exceptions.c */
void x86_exception(void *state, u32 code, GuestException *exception);
u32 x86_fault_status(int access, int host_code);

/* Fields of the fault status, which has the form of an exception's code word (guest/x86/state.h).
 */
static inline u32 x86_trap_number(u32 status)
{
    return status & 0xff;
}

static inline u32 x86_trap_error(u32 status)
{
    return status >> 16;
}

/* segments.c */

/* Makes room for the process's local descriptor table and gives it to its first thread. */
bool x86_init_descriptors(Thread *thread);
/* Loads a segment register as a signal frame says; what is not there becomes null. */
void x86_load_selector(X86State *state, unsigned segment, u16 selector);
int x86_64_set_tls(Thread *thread, u64 tls);
int i386_set_tls(Thread *thread, u64 tls);

/* cpuinfo.c */
char *x86_cpuinfo(const void *state, int cpus);

/* vdso.c */
size_t x86_64_make_vdso(u8 *page, u64 base);
size_t i386_make_vdso(u8 *page, u64 base);
/* Offsets in the i386 vDSO. */
enum {
    I386_VDSO_SIGRETURN = VDSO_CODE,
    I386_VDSO_RT_SIGRETURN = VDSO_CODE + VDSO_FUNCTION_BYTES,
    I386_VDSO_VSYSCALL = VDSO_CODE + 2 * VDSO_FUNCTION_BYTES, /* AT_SYSINFO */
    /* Where SYSENTER comes back to, behind an INT 80h. */
    I386_VDSO_SYSENTER_RETURN = VDSO_CODE + 3 * VDSO_FUNCTION_BYTES + 2,
};

#endif

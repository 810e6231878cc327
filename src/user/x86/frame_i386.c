/* Signal frames of i386 (arch/x86 user space ABI): struct sigframe for handlers of one argument,
 * struct rt_sigframe for those with SA_SIGINFO. Above them, aligned to 64 bytes, the image of the
 * x87 and vector registers as FXSAVE or XSAVE store them, and right before it the x87 registers as
 * FSAVE does. */
#include <string.h>

#include "user/access.h"
#include "user/process.h"
#include "user/siginfo.h"
#include "user/x86/abi.h"

enum {
    CONTEXT_XSTATE = 1,
    STATE_ALIGNMENT = 64,
    CR4_OSXSAVE = 1 << 18,
    OLD_STATE_SIZE = 624, /* unused room of struct sigframe */
};

typedef struct Context {
    u16 gs, gs_high, fs, fs_high, es, es_high, ds, ds_high;
    u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
    u32 trap, error, eip;
    u16 cs, cs_high;
    u32 eflags, esp_at_signal;
    u16 ss, ss_high;
    u32 fpstate, old_mask, cr2;
} Context;

typedef struct OldFrame {
    u32 return_address;
    s32 signal;
    Context context;
    u8 unused[OLD_STATE_SIZE];
    u32 mask_high;
    u8 code[8]; /* not executed: debuggers and unwinders know it */
} OldFrame;

typedef struct Frame {
    u32 return_address;
    s32 signal;
    u32 info_pointer, context_pointer;
    u8 info[SIGINFO_SIZE];
    u32 flags, link;
    struct {
        u32 sp;
        s32 flags;
        u32 size;
    } stack;
    Context context;
    u32 mask[2];
    u8 code[8];
} Frame;

/* What FSAVE stores in 32-bit mode, and Linux's two half words after it. */
typedef struct X87Image {
    u32 fcw, fsw, ftw, fip;
    u16 fcs, fop;
    u32 fdp, fds;
    u8 st[8][10];
    u16 status, magic; /* magic 0: an image of FXSAVE follows */
} X87Image;

_Static_assert(sizeof(Context) == 88, "struct sigcontext_32");
_Static_assert(offsetof(OldFrame, mask_high) == 720 && sizeof(OldFrame) == 732, "struct sigframe");
_Static_assert(offsetof(Frame, context) == 164 && sizeof(Frame) == 268, "struct rt_sigframe");
_Static_assert(sizeof(X87Image) == 112, "struct fregs_state");

/* --- x87 ----------------------------------------------------------------------------------------
 */

enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_TAGS = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FCS = 12,
    FX_FDP = 16,
    FX_FDS = 20,
    FX_ST = 32,
    TAG_EMPTY = 3
};

static u16 fx_u16(const u8 *fx, size_t at)
{
    return (u16)get_value(fx + at, 2, false);
}

static u32 fx_u32(const u8 *fx, size_t at)
{
    return (u32)get_value(fx + at, 4, false);
}

/* The two-bit tag of a register's contents: valid, zero or special (Intel SDM volume 1, 8.1.7). */
static unsigned tag_of(const u8 *st)
{
    enum { VALID, ZERO, SPECIAL };
    u64 significand = get_value(st, 8, false);
    unsigned exponent = fx_u16(st, 8) & 0x7fff;

    return exponent == 0 && significand == 0     ? ZERO
           : exponent == 0 || exponent == 0x7fff ? SPECIAL
           : significand >> 63                   ? VALID
                                                 : SPECIAL;
}

static void x87_from_fx(X87Image *x87, const u8 *fx)
{
    unsigned top = fx_u16(fx, FX_FSW) >> 11 & 7;
    u32 tags = 0;

    for (unsigned i = 0; i < 8; i++) { /* i: physical register */
        const u8 *st = fx + FX_ST + 16 * ((i - top) & 7);
        tags |= (fx[FX_TAGS] >> i & 1 ? tag_of(st) : TAG_EMPTY) << (2 * i);
        memcpy(x87->st[i], fx + FX_ST + 16 * i, sizeof x87->st[i]);
    }
    x87->fcw = 0xffff0000 | fx_u16(fx, FX_FCW);
    x87->fsw = 0xffff0000 | fx_u16(fx, FX_FSW);
    x87->ftw = 0xffff0000 | tags;
    x87->fip = fx_u32(fx, FX_FIP);
    x87->fcs = fx_u16(fx, FX_FCS);
    x87->fop = fx_u16(fx, FX_FOP);
    x87->fdp = fx_u32(fx, FX_FDP);
    x87->fds = 0xffff0000 | fx_u16(fx, FX_FDS);
    x87->status = fx_u16(fx, FX_FSW);
    x87->magic = 0;
}

static void x87_to_fx(const X87Image *x87, u8 *fx)
{
    put_value(fx + FX_FCW, x87->fcw, 2, false);
    put_value(fx + FX_FSW, x87->fsw, 2, false);
    fx[FX_TAGS] = 0;
    for (unsigned i = 0; i < 8; i++) {
        fx[FX_TAGS] |= (u8)(((x87->ftw >> (2 * i) & 3) != TAG_EMPTY) << i);
        memcpy(fx + FX_ST + 16 * i, x87->st[i], sizeof x87->st[i]);
    }
    put_value(fx + FX_FOP, x87->fop, 2, false);
    put_value(fx + FX_FIP, x87->fip, 4, false);
    put_value(fx + FX_FCS, x87->fcs, 4, false);
    put_value(fx + FX_FDP, x87->fdp, 4, false);
    put_value(fx + FX_FDS, x87->fds, 4, false);
}

/* Stores both images below `top`; the address of the first, or 0. */
static u32 push_fpstate(const X86State *s, u64 top)
{
    u8 image[X86_FPSTATE_MAX];
    X87Image x87;

    size_t size = x86_save_fpstate(s, image, false);
    u64 image_at = ALIGN_DOWN(top - size, (u64)STATE_ALIGNMENT);
    u64 at = image_at - sizeof x87;
    x87_from_fx(&x87, image);
    return copy_to_guest(image_at, image, size) && copy_to_guest(at, &x87, sizeof x87) ? (u32)at
                                                                                       : 0;
}

static bool pop_fpstate(X86State *s, u32 at)
{
    u64 image_at = (u64)at + sizeof(X87Image);
    X87Image x87;
    u8 fx[X86_FX_SIZE];

    if (!at) {
        return true;
    }
    if (!copy_from_guest(&x87, at, sizeof x87) || !copy_from_guest(fx, image_at, sizeof fx)) {
        return false;
    }
    x87_to_fx(&x87, fx);
    return x86_restore_fpstate(s, image_at, false, fx);
}

/* --- frames -------------------------------------------------------------------------------------
 */

static void fill_context(Context *c, const X86State *s, const GuestFrame *guest)
{
    *c = (Context){
        .gs = s->segment[X86_GS].selector,
        .fs = s->segment[X86_FS].selector,
        .es = s->segment[X86_ES].selector,
        .ds = s->segment[X86_DS].selector,
        .edi = (u32)s->gpr[X86_RDI],
        .esi = (u32)s->gpr[X86_RSI],
        .ebp = (u32)s->gpr[X86_RBP],
        .esp = (u32)s->gpr[X86_RSP],
        .ebx = (u32)s->gpr[X86_RBX],
        .edx = (u32)s->gpr[X86_RDX],
        .ecx = (u32)s->gpr[X86_RCX],
        .eax = (u32)s->gpr[X86_RAX],
        .trap = x86_trap_number(guest->fault_status),
        .error = x86_trap_error(guest->fault_status),
        .eip = (u32)s->rip,
        .cs = s->segment[X86_CS].selector,
        .eflags = (u32)x86_get_eflags(s),
        .esp_at_signal = (u32)s->gpr[X86_RSP],
        .ss = s->segment[X86_SS].selector,
        .old_mask = (u32)guest->old_mask,
        .cr2 = x86_trap_number(guest->fault_status) == X86_PF ? (u32)guest->fault_address : 0,
    };
}

static void take_context(X86State *s, const Context *c)
{
    const u32 changeable =
        X86_EFLAGS_STATUS | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_RF | X86_EFLAGS_AC;
    u64 *gpr = s->gpr;

    gpr[X86_RDI] = c->edi;
    gpr[X86_RSI] = c->esi;
    gpr[X86_RBP] = c->ebp;
    gpr[X86_RSP] = c->esp;
    gpr[X86_RBX] = c->ebx;
    gpr[X86_RDX] = c->edx;
    gpr[X86_RCX] = c->ecx;
    gpr[X86_RAX] = c->eax;
    s->rip = c->eip;
    x86_set_eflags(s, (x86_get_eflags(s) & ~(u64)changeable) | (c->eflags & changeable));
    x86_load_selector(s, X86_CS, c->cs | 3);
    x86_load_selector(s, X86_SS, c->ss | 3);
    x86_load_selector(s, X86_DS, c->ds);
    x86_load_selector(s, X86_ES, c->es);
    x86_load_selector(s, X86_FS, c->fs);
    x86_load_selector(s, X86_GS, c->gs);
}

/* After pushing the return address the stack is aligned to 16 bytes, as at a call. */
static u64 frame_address(u64 top, size_t size)
{
    return ALIGN_DOWN(top - size + 4, (u64)16) - 4;
}

static u32 return_address(const Thread *thread, const GuestFrame *guest, bool rt)
{
    u64 trampoline = rt ? I386_VDSO_RT_SIGRETURN : I386_VDSO_SIGRETURN;

    return (u32)(guest->restorer ? guest->restorer : thread->process->program.vdso + trampoline);
}

static bool push_old_frame(const Thread *thread, const GuestFrame *guest, int signal, u64 at,
                           u32 fpstate)
{
    static const u8 code[8] = {0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80};
    OldFrame frame;

    memset(&frame, 0, sizeof frame);
    frame.return_address = return_address(thread, guest, false);
    frame.signal = signal;
    fill_context(&frame.context, thread->state, guest);
    frame.context.fpstate = fpstate;
    frame.mask_high = (u32)(guest->old_mask >> 32);
    memcpy(frame.code, code, sizeof code);
    return copy_to_guest(at, &frame, sizeof frame);
}

static bool push_new_frame(const Thread *thread, const GuestFrame *guest, int signal, u64 at,
                           u32 fpstate)
{
    static const u8 code[8] = {0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0};
    const X86State *s = thread->state;
    Frame frame;

    memset(&frame, 0, sizeof frame);
    frame.return_address = return_address(thread, guest, true);
    frame.signal = signal;
    frame.info_pointer = (u32)at + offsetof(Frame, info);
    frame.context_pointer = (u32)at + offsetof(Frame, flags);
    siginfo_to_guest(thread->abi, frame.info, guest->info);
    frame.flags = s->cr[4] & CR4_OSXSAVE ? CONTEXT_XSTATE : 0;
    frame.stack.sp = (u32)host_to_guest(guest->alternate.ss_sp);
    frame.stack.flags = guest->alternate.ss_flags;
    frame.stack.size = (u32)guest->alternate.ss_size;
    fill_context(&frame.context, s, guest);
    frame.context.fpstate = fpstate;
    frame.mask[0] = (u32)guest->old_mask;
    frame.mask[1] = (u32)(guest->old_mask >> 32);
    memcpy(frame.code, code, sizeof code);
    return copy_to_guest(at, &frame, sizeof frame);
}

bool i386_push_frame(Thread *thread, int signal, const GuestFrame *guest)
{
    X86State *s = thread->state;
    bool rt = guest->flags & SA_SIGINFO;
    u32 fpstate = push_fpstate(s, guest->stack);
    u64 at = frame_address(fpstate, rt ? sizeof(Frame) : sizeof(OldFrame));

    if (!fpstate || !(rt ? push_new_frame : push_old_frame)(thread, guest, signal, at, fpstate)) {
        return false;
    }
    /* For handlers that are compiled to take arguments in registers, too. */
    s->gpr[X86_RAX] = (u32)signal;
    s->gpr[X86_RDX] = rt ? at + offsetof(Frame, info) : 0;
    s->gpr[X86_RCX] = rt ? at + offsetof(Frame, flags) : 0;
    s->gpr[X86_RSP] = at;
    s->rip = guest->handler;
    x86_clear_fpstate(s);
    x86_load_selector(s, X86_CS, X86_USER_CS32);
    x86_load_selector(s, X86_SS, X86_USER_DS);
    x86_load_selector(s, X86_DS, X86_USER_DS);
    x86_load_selector(s, X86_ES, X86_USER_DS);
    x86_set_eflags(s, x86_get_eflags(s) & ~(u64)(X86_EFLAGS_DF | X86_EFLAGS_TF | X86_EFLAGS_RF));
    return true;
}

/* sigreturn(2): the trampoline has popped the return address and the signal number. */
static bool pop_old_frame(Thread *thread, u64 *mask)
{
    X86State *s = thread->state;
    OldFrame frame;

    if (!copy_from_guest(&frame, (u32)(s->gpr[X86_RSP] - 8), sizeof frame) ||
        !pop_fpstate(s, frame.context.fpstate)) {
        return false;
    }
    take_context(s, &frame.context);
    *mask = (u64)frame.mask_high << 32 | frame.context.old_mask;
    return true;
}

bool i386_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate)
{
    X86State *s = thread->state;
    Frame frame;

    if (old) {
        return pop_old_frame(thread, mask);
    }
    if (!copy_from_guest(&frame, (u32)(s->gpr[X86_RSP] - 4), sizeof frame) ||
        !pop_fpstate(s, frame.context.fpstate)) {
        return false;
    }
    take_context(s, &frame.context);
    *mask = (u64)frame.mask[1] << 32 | frame.mask[0];
    alternate->ss_sp = guest_to_host(frame.stack.sp);
    alternate->ss_flags = frame.stack.flags;
    alternate->ss_size = frame.stack.size;
    return true;
}

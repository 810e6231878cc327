/* Signal frames of x86-64 (arch/x86 user space ABI, struct rt_sigframe): from the stack pointer up
 * return address, ucontext, siginfo, and above them, aligned to 64 bytes, the x87 and vector
 * registers. */
#include <string.h>

#include "user/access.h"
#include "user/process.h"
#include "user/siginfo.h"
#include "user/x86/abi.h"

enum {
    RED_ZONE = 128,
    CONTEXT_XSTATE = 1,    /* uc_flags: the image has XSAVE's format */
    CONTEXT_SS = 2,        /* ss is valid */
    CONTEXT_STRICT_SS = 4, /* and restored as it is */
    STATE_ALIGNMENT = 64,
    CR4_OSXSAVE = 1 << 18,
};

typedef struct Context {
    u64 flags, link;
    struct {
        u64 sp;
        s32 flags;
        u32 unused;
        u64 size;
    } stack;
    u64 r8_to_r15[8];
    u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    u16 cs, gs, fs, ss;
    u64 error, trap, old_mask, cr2, fpstate;
    u64 reserved[8];
    u64 mask;
} Context;

typedef struct Frame {
    u64 return_address;
    Context context;
    u8 info[SIGINFO_SIZE];
} Frame;

_Static_assert(offsetof(Context, r8_to_r15) == 40 && offsetof(Context, mask) == 40 + 256,
               "struct sigcontext_64");
_Static_assert(sizeof(Frame) == 440, "struct rt_sigframe");

static void fill_context(Context *c, const X86State *s, const GuestFrame *guest)
{
    const u64 *gpr = s->gpr;

    c->flags = CONTEXT_SS | CONTEXT_STRICT_SS | (s->cr[4] & CR4_OSXSAVE ? CONTEXT_XSTATE : 0);
    c->stack.sp = host_to_guest(guest->alternate.ss_sp);
    c->stack.flags = guest->alternate.ss_flags;
    c->stack.size = guest->alternate.ss_size;
    memcpy(c->r8_to_r15, gpr + 8, sizeof c->r8_to_r15);
    c->rdi = gpr[X86_RDI];
    c->rsi = gpr[X86_RSI];
    c->rbp = gpr[X86_RBP];
    c->rbx = gpr[X86_RBX];
    c->rdx = gpr[X86_RDX];
    c->rax = gpr[X86_RAX];
    c->rcx = gpr[X86_RCX];
    c->rsp = gpr[X86_RSP];
    c->rip = s->rip;
    c->eflags = x86_get_eflags(s);
    c->cs = s->segment[X86_CS].selector;
    c->ss = s->segment[X86_SS].selector;
    c->trap = x86_trap_number(guest->fault_status);
    c->error = x86_trap_error(guest->fault_status);
    c->cr2 = c->trap == X86_PF ? guest->fault_address : 0;
    c->old_mask = c->mask = guest->old_mask;
}

bool x86_64_push_frame(Thread *thread, int signal, const GuestFrame *guest)
{
    X86State *s = thread->state;
    u8 image[X86_FPSTATE_MAX];
    Frame frame;

    memset(&frame, 0, sizeof frame);
    /* Code below the stack pointer belongs to leaf functions, but not on another stack. */
    u64 top = guest->stack == s->gpr[X86_RSP] ? guest->stack - RED_ZONE : guest->stack;
    size_t image_size = x86_save_fpstate(s, image, true);
    u64 image_at = ALIGN_DOWN(top - image_size, (u64)STATE_ALIGNMENT);
    u64 at = ALIGN_DOWN(image_at - sizeof frame, (u64)16) - 8;

    frame.return_address = guest->restorer ? guest->restorer : thread->process->program.trampoline;
    fill_context(&frame.context, s, guest);
    frame.context.fpstate = image_at;
    siginfo_to_guest(thread->abi, frame.info, guest->info);
    if (!copy_to_guest(image_at, image, image_size) || !copy_to_guest(at, &frame, sizeof frame)) {
        return false;
    }
    s->gpr[X86_RDI] = (u64)signal;
    s->gpr[X86_RSI] = at + offsetof(Frame, info);
    s->gpr[X86_RDX] = at + offsetof(Frame, context);
    s->gpr[X86_RAX] = 0;
    s->gpr[X86_RSP] = at;
    s->rip = guest->handler;
    x86_clear_fpstate(s);
    x86_load_selector(s, X86_CS, X86_USER_CS64);
    x86_load_selector(s, X86_SS, X86_USER_DS);
    x86_set_eflags(s, x86_get_eflags(s) & ~(u64)(X86_EFLAGS_DF | X86_EFLAGS_TF | X86_EFLAGS_RF));
    return true;
}

static void take_context(X86State *s, const Context *c)
{
    const u64 changeable =
        X86_EFLAGS_STATUS | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_RF | X86_EFLAGS_AC;
    u64 *gpr = s->gpr;

    memcpy(gpr + 8, c->r8_to_r15, sizeof c->r8_to_r15);
    gpr[X86_RDI] = c->rdi;
    gpr[X86_RSI] = c->rsi;
    gpr[X86_RBP] = c->rbp;
    gpr[X86_RBX] = c->rbx;
    gpr[X86_RDX] = c->rdx;
    gpr[X86_RAX] = c->rax;
    gpr[X86_RCX] = c->rcx;
    gpr[X86_RSP] = c->rsp;
    s->rip = c->rip;
    x86_set_eflags(s, (x86_get_eflags(s) & ~changeable) | (c->eflags & changeable));
    x86_load_selector(s, X86_CS, c->cs | 3);
    x86_load_selector(s, X86_SS, c->ss | 3);
}

/* The return address is popped already. */
bool x86_64_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate)
{
    X86State *s = thread->state;
    Frame frame;

    if (old ||
        !copy_from_guest(&frame, s->gpr[X86_RSP] - sizeof frame.return_address, sizeof frame)) {
        return false;
    }
    const Context *c = &frame.context;
    if (c->fpstate && !x86_restore_fpstate(s, c->fpstate, true, NULL)) {
        return false;
    }
    take_context(s, c);
    *mask = c->mask;
    alternate->ss_sp = guest_to_host(c->stack.sp);
    alternate->ss_flags = c->stack.flags;
    alternate->ss_size = c->stack.size;
    return true;
}

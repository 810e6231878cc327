/* Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT (Intel SDM volume 2, the instructions; AMD
 * APM volume 3 where Intel's CPUs know SYSCALL in 64-bit mode only).
 *
 * All are inline: they load fixed segments, and what they go to is in another mode. In user mode
 * they leave for the Linux layer. */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/user_descriptors.h"

/* Attributes of the segments: 4 GiB, present, accessed. */
enum {
    DATA = X86_SEGMENT_G | X86_SEGMENT_DB | X86_SEGMENT_P | X86_SEGMENT_S | X86_TYPE_WRITABLE |
           X86_TYPE_ACCESSED,
    CODE = DATA | X86_TYPE_CODE,
    CODE_64 = (CODE & ~X86_SEGMENT_DB) | X86_SEGMENT_L,
};

/* A selector is i32, of which 16 bits count. */
static void put_segment(Tr *t, unsigned segment, IrVal selector, unsigned attributes, unsigned cpl)
{
    attributes |= cpl << X86_SEGMENT_DPL_SHIFT;
    ir_put(t->b, SLOT(segment[segment].base), const64(t, 0));
    ir_put(t->b, SLOT(segment[segment].limit), const32(t, 0xffffffff));
    ir_put(t->b, SLOT(segment[segment].attributes), ir_const(t->b, IR_I16, attributes));
    ir_put(t->b, SLOT(segment[segment].selector), ir_trunc(t->b, IR_I16, selector));
}

/* CS, and SS 8 behind it. */
static void put_segments(Tr *t, IrVal selector, bool wide, unsigned cpl)
{
    selector = ir_or(t->b, ir_and(t->b, selector, const32(t, 0xfffc)), const32(t, cpl));
    put_segment(t, X86_CS, selector, wide ? CODE_64 : CODE, cpl);
    put_segment(t, X86_SS, ir_add(t->b, selector, const32(t, 8)), DATA, cpl);
}

static IrVal part_of(Tr *t, u32 slot, unsigned shift)
{
    IrVal value = ir_get(t->b, IR_I64, slot);

    return ir_trunc(t->b, IR_I32, ir_binary(t->b, IR_SHR, value, const32(t, shift)));
}

/* Goes on at `target` (i64) in the mode of the state. */
static void end_at(Tr *t, IrVal target)
{
    ir_put(t->b, SLOT(rip), target);
    end_redirect(t);
}

/* -- SYSCALL and SYSRET */

/* Both trap by the TF that they leave. */
static void trap_by_new_flags(Tr *t)
{
    IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));
    IrVal step = ir_and(t->b, ir_binary(t->b, IR_SHR, eflags, const32(t, 8)), const32(t, 1));

    ir_put(t->b, SLOT(trap_pending), ir_trunc(t->b, IR_I8, step));
}

static bool is_amd(const Tr *t)
{
    const X86State *state = t->g->state;

    return strcmp(state->model->vendor, "AuthenticAMD") == 0;
}

/* Both exist outside 64-bit mode on AMD's CPUs only, and where IA32_EFER.SCE allows them. */
static bool is_available(Tr *t)
{
    IrVal efer;

    if ((!in_64_bit_mode(t) && !is_amd(t)) || t->mode & X86_MODE_REAL) {
        tr_undefined(t, NULL);
        return false;
    }
    efer = ir_trunc(t->b, IR_I32, ir_get(t->b, IR_I64, SLOT(efer)));
    fault_if(t, ir_cmp(t->b, IR_TSTZ, efer, const32(t, X86_EFER_SCE)), X86_UD, false, 0);
    return true;
}

/* Clears the flags in IA32_FMASK. */
static void mask_flags(Tr *t)
{
    enum { STATUS_LOW = X86_EFLAGS_STATUS & 0xff, OF_SHIFT = 11 };
    IrBuilder *b = t->b;
    IrVal mask = ir_trunc(b, IR_I32, ir_get(b, IR_I64, SLOT(sfmask)));
    IrVal low = ir_binary(b, IR_SHL, ir_and(b, mask, const32(t, STATUS_LOW)), const32(t, 8));
    IrVal overflow = ir_and(b, ir_binary(b, IR_SHR, mask, const32(t, OF_SHIFT)), const32(t, 1));
    IrVal eflags = ir_get(b, IR_I32, SLOT(eflags));

    mask = ir_or(b, mask, const32(t, X86_EFLAGS_RF));
    set_flags(t, ir_binary(b, IR_ANDN, get_flags(t), ir_or(b, low, overflow)));
    ir_put(b, SLOT(eflags),
           ir_or(b, ir_binary(b, IR_ANDN, eflags, mask), const32(t, X86_EFLAGS_FIXED)));
}

static void clear_eflags(Tr *t, u32 mask)
{
    IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));

    ir_put(t->b, SLOT(eflags), ir_and(t->b, eflags, const32(t, ~mask)));
}

static void enter_by_syscall(Tr *t)
{
    bool wide = t->mode & X86_MODE_LONG;
    IrVal selector, target;

    if (!is_available(t)) {
        return;
    }
    selector = part_of(t, SLOT(star), 32);
    put_gpr(t, X86_RCX, in_64_bit_mode(t) ? const64(t, t->next) : const32(t, (u32)t->next));
    if (wide) {
        put_gpr(t, 11, ir_zext(t->b, IR_I64, get_eflags(t)));
        target = ir_get(t->b, IR_I64, in_64_bit_mode(t) ? SLOT(lstar) : SLOT(cstar));
        mask_flags(t);
    } else {
        target = ir_zext(t->b, IR_I64, part_of(t, SLOT(star), 0));
        clear_eflags(t, X86_EFLAGS_IF | X86_EFLAGS_RF | X86_EFLAGS_VM);
    }
    put_segments(t, selector, wide, 0);
    leave_shadow(t);
    if (t->mode & X86_MODE_TF) {
        trap_by_new_flags(t);
    }
    ir_put(t->b, SLOT(rip), target);
    end_exit(t, IR_EXIT_RESYNC, t->pc, 1);
}

void tr_SYSCALL(Tr *t)
{
    if (t->mode & X86_MODE_SYSTEM) {
        enter_by_syscall(t);
    } else if (!in_64_bit_mode(t)) { /* as on Intel's CPUs */
        tr_undefined(t, NULL);
    } else {
        ir_put(t->b, SLOT_GPR(11), ir_zext(t->b, IR_I64, get_eflags(t)));
        put_gpr(t, X86_RCX, const64(t, t->next));
        end_exit(t, IR_EXIT_SYSCALL, t->next, X86_CALL_SYSCALL);
    }
}

/* From R11, or for 32-bit systems only IF, which is set. */
static void restore_flags(Tr *t)
{
    enum { KEPT = 0x3c7fd7, STATUS_LOW = X86_EFLAGS_STATUS & 0xff, OF_SHIFT = 11 };
    IrBuilder *b = t->b;
    IrVal value = get_gpr(t, IR_I32, 11), low, overflow;

    if (!(t->mode & X86_MODE_LONG)) {
        IrVal eflags = ir_get(b, IR_I32, SLOT(eflags));
        ir_put(b, SLOT(eflags), ir_or(b, eflags, const32(t, X86_EFLAGS_IF)));
        return;
    }
    low = ir_binary(b, IR_SHL, ir_and(b, value, const32(t, STATUS_LOW)), const32(t, 8));
    overflow = ir_and(b, ir_binary(b, IR_SHR, value, const32(t, OF_SHIFT)), const32(t, 1));
    set_flags(t, ir_or(b, low, overflow));
    value = ir_and(b, value, const32(t, KEPT & ~(u32)X86_EFLAGS_STATUS));
    ir_put(b, SLOT(eflags), ir_or(b, value, const32(t, X86_EFLAGS_FIXED)));
}

void tr_SYSRET(Tr *t)
{
    bool wide = t->i->operand_size == 8;
    IrVal selector, target;

    if (!is_available(t)) {
        return;
    }
    target = ir_zext(t->b, IR_I64, get_gpr(t, wide ? IR_I64 : IR_I32, X86_RCX));
    if (wide) {
        fault_unless_canonical(t, target);
    }
    selector = part_of(t, SLOT(star), 48);
    restore_flags(t);
    put_segment(t, X86_SS, ir_or(t->b, ir_add(t->b, selector, const32(t, 8)), const32(t, 3)), DATA,
                3);
    put_segment(t, X86_CS,
                ir_or(t->b, ir_add(t->b, selector, const32(t, wide ? 16 : 0)), const32(t, 3)),
                wide ? CODE_64 : CODE, 3);
    ir_call(t->b, IR_VOID, HELPER_LOOK_AGAIN, 0, 0, 0, 0);
    trap_by_new_flags(t);
    end_at(t, target);
}

/* -- SYSENTER and SYSEXIT */

/* #GP(0) in real-address mode and where the system has named no segment. Returns the selector. */
static IrVal sysenter_selector(Tr *t)
{
    IrVal selector = part_of(t, SLOT(sysenter_cs), 0);

    fault_if(t, ir_cmp(t->b, IR_TSTZ, selector, const32(t, 0xfffc)), X86_GP, true, 0);
    return selector;
}

static void enter_by_sysenter(Tr *t)
{
    bool wide = t->mode & X86_MODE_LONG;
    IrVal selector, target;

    if ((t->mode & (X86_MODE_REAL | X86_MODE_VM86)) == X86_MODE_REAL) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    selector = sysenter_selector(t);
    target = ir_get(t->b, IR_I64, SLOT(sysenter_eip));
    clear_eflags(t, X86_EFLAGS_VM | X86_EFLAGS_IF | X86_EFLAGS_RF);
    put_gpr(t, X86_RSP, ir_get(t->b, IR_I64, SLOT(sysenter_esp)));
    put_segments(t, selector, wide, 0);
    end_at(t, wide ? target : ir_zext(t->b, IR_I64, ir_trunc(t->b, IR_I32, target)));
}

void tr_SYSENTER(Tr *t)
{
    if (t->mode & X86_MODE_SYSTEM) {
        enter_by_sysenter(t);
    } else if (in_64_bit_mode(t)) {
        tr_undefined(t, "SYSENTER in 64-bit code");
    } else {
        end_exit(t, IR_EXIT_SYSCALL, t->next, X86_CALL_SYSENTER);
    }
}

void tr_SYSEXIT(Tr *t)
{
    bool wide = t->i->operand_size == 8;
    IrType type = wide ? IR_I64 : IR_I32;
    IrVal selector, target = ir_zext(t->b, IR_I64, get_gpr(t, type, X86_RDX));
    IrVal stack = ir_zext(t->b, IR_I64, get_gpr(t, type, X86_RCX));

    if (t->mode & X86_MODE_REAL) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    selector = sysenter_selector(t);
    if (wide) {
        fault_unless_canonical(t, target);
        fault_unless_canonical(t, stack);
    }
    put_segments(t, ir_add(t->b, selector, const32(t, wide ? 32 : 16)), wide, 3);
    ir_put(t->b, SLOT_GPR(X86_RSP), stack);
    end_at(t, target);
}

/* What programs may do with the system's side of the CPU: identification, time, chance, segment
 * bases; and instructions without effect. System calls are in system_call.c. */
#include "guest/x86/feature.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/user_descriptors.h"

/* -- Nothing */

void tr_nop(Tr *t)
{
    (void)t;
}

/* A spinning thread that gave up its host thread would lose far more than it waits for. */
void tr_pause(Tr *t)
{
    (void)t;
}

/* There is no cache to be seen. */
void tr_CLFLUSH(Tr *t)
{
    /* For its faults; unlike a load it may go to code that must not be read. */
    if (t->i->memory.segment == X86_CS && !in_64_bit_mode(t)) {
        IrVal base = ir_get(t->b, IR_I64, SLOT(segment[X86_CS].base));
        IrVal limit = ir_zext(t->b, IR_I64, ir_get(t->b, IR_I32, SLOT(segment[X86_CS].limit)));
        IrVal offset = ir_zext(t->b, IR_I64, effective_address(t));
        fault_if(t, ir_cmp(t->b, IR_UGT, offset, limit), X86_GP, true, 0);
        load_linear(t, IR_I8, ir_add(t->b, base, offset), 0);
    } else {
        load_memory(t, IR_I8, 0);
    }
}

/* UD0, UD1, UD2 */
void tr_UD(Tr *t)
{
    tr_undefined(t, NULL);
}

/* -- Identification, time, chance */

void tr_CPUID(Tr *t)
{
    ir_call(t->b, IR_VOID, HELPER_CPUID, 0, 0, 0, 0);
}

static void put_pair(Tr *t, IrVal value)
{
    IrVal high = ir_binary(t->b, IR_SHR, value, const32(t, 32));

    put_gpr(t, X86_RAX, ir_trunc(t->b, IR_I32, value));
    put_gpr(t, X86_RDX, ir_trunc(t->b, IR_I32, high));
}

/* CR4.TSD keeps the time from programs. */
static void check_time_stamp(Tr *t)
{
    IrVal cr4;

    if (t->mode & X86_MODE_SYSTEM && t->mode & X86_MODE_CPL) {
        cr4 = ir_trunc(t->b, IR_I32, ir_get(t->b, IR_I64, SLOT(cr[4])));
        fault_if(t, ir_cmp(t->b, IR_TST, cr4, const32(t, X86_CR4_TSD)), X86_GP, true, 0);
    }
}

void tr_RDTSC(Tr *t)
{
    check_time_stamp(t);
    put_pair(t, ir_call(t->b, IR_I64, HELPER_TIME_STAMP, 0, 0, 0, 0));
}

void tr_RDTSCP(Tr *t)
{
    tr_RDTSC(t);
    put_gpr(t, X86_RCX, ir_get(t->b, IR_I32, SLOT(tsc_aux)));
}

/* There are no performance counters, but clocks for programs' vDSO (user_descriptors.h). */
void tr_RDPMC(Tr *t)
{
    IrVal clock;

    if (t->mode & X86_MODE_SYSTEM) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    clock = ir_sub(t->b, get_gpr(t, IR_I32, X86_RCX), const32(t, X86_USER_CLOCKS));
    fault_if(t, ir_cmp(t->b, IR_UGE, clock, const32(t, X86_USER_CLOCK_COUNT)), X86_GP, true, 0);
    put_pair(t, ir_call(t->b, IR_I64, HELPER_USER_CLOCK, clock, 0, 0, 0));
}

void tr_RDPID(Tr *t)
{
    write_operand(t, 0, ir_trunc(t->b, type_of_operand(t, 0), ir_get(t->b, IR_I64, SLOT(tsc_aux))));
}

/* There are always enough random bits: CF is set, all other status flags cleared. */
static void random_bits(Tr *t)
{
    IrVal bits = ir_call(t->b, IR_I64, HELPER_RANDOM, 0, 0, 0, 0);

    write_operand(t, 0, ir_trunc(t->b, type_of_operand(t, 0), bits));
    set_flags(t, const32(t, IR_FLAG_C));
}

void tr_RDRAND(Tr *t)
{
    random_bits(t);
}

void tr_RDSEED(Tr *t)
{
    random_bits(t);
}

/* -- Segment bases */

static void read_base(Tr *t, unsigned segment)
{
    IrVal base = ir_get(t->b, IR_I64, SLOT(segment[segment].base));

    write_operand(t, 0, ir_trunc(t->b, type_of_operand(t, 0), base));
}

static void fault_unless_extended(Tr *t, IrVal address, bool wide)
{
    unsigned bits = wide ? X86_LINEAR_BITS_57 : X86_LINEAR_BITS;
    IrVal canonical = ir_emit(t->b, IR_EXTS, IR_I64, IR_VOID, 0, address, 0, 0, bits, 0);

    fault_if(t, ir_cmp(t->b, IR_NE, address, canonical), X86_GP, true, 0);
}

void fault_unless_canonical(Tr *t, IrVal address)
{
    fault_unless_extended(t, address, t->mode & X86_MODE_LA57);
}

void fault_unless_base(Tr *t, IrVal address)
{
    fault_unless_extended(t, address, x86_has(t->features, X86_FEATURE_LA57));
}

static void write_base(Tr *t, unsigned segment)
{
    IrVal base = ir_zext(t->b, IR_I64, read_operand(t, 0, type_of_operand(t, 0)));

    fault_unless_base(t, base);
    ir_put(t->b, SLOT(segment[segment].base), base);
}

void tr_RDFSBASE(Tr *t)
{
    read_base(t, X86_FS);
}

void tr_RDGSBASE(Tr *t)
{
    read_base(t, X86_GS);
}

void tr_WRFSBASE(Tr *t)
{
    write_base(t, X86_FS);
}

void tr_WRGSBASE(Tr *t)
{
    write_base(t, X86_GS);
}

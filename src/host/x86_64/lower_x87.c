/* The guest's x87 instructions, executed by the host's x87.
 *
 * While generated code runs, the whole of the guest's x87 may be on the host: registers, tags, TOP,
 * status and control word. A guest's instruction then is the same instruction of the host, with
 * all its results and exceptions, of which none is unmasked. It is brought there before the first
 * such instruction and stays, over jumps between blocks and calls of helpers, until something wants
 * its slots: an MMX instruction, a helper with IR_HELPER_X87, or the way out of generated code. So
 * a block has to ask, once, where it is: CpuCommon.host_unit.
 *
 * A fault at a memory operand leaves the x87 as it was, and the way out saves it as always. Under a
 * soft MMU an operand must be where the TLB says, in one page; any other is left to helpers. */
#include "host/x86_64/x86_64.h"

/* Instructions, as X87's imm2 has them. */
enum {
    FNSTSW_AX = 0xdfe0,
    FCMOVNE = 0xdbc8, /* with ST(0) */
    FLDCW = 0xd928,
};

enum { LAHF = 0x9f };

/* -- Where it is */

/* Predecessors that come later in the code count as anywhere. */
void x87_begin_block(Compiler *c, u32 block)
{
    const IrRegion *region = c->region;
    bool met = false;

    c->x87 = block ? X87_ANYWHERE : c->x87_at_entry;
    if (!block || !ir_may_have(region, IR_X87)) {
        return;
    }
    for (u32 b = 0; b < region->block_count; b++) {
        for (u32 s = 0; s < ir_successor_count(region, b); s++) {
            if (region->blocks[b].successor[s] != block) {
                continue;
            }
            if (met && c->x87 != c->x87_after[b]) {
                c->x87 = X87_ANYWHERE;
                return;
            }
            c->x87 = (X87Place)c->x87_after[b];
            met = true;
        }
    }
}

bool x87_is_first(const Compiler *c)
{
    if (!ir_may_have(c->region, IR_X87) || c->region->blocks[0].predecessors) {
        return false;
    }
    IR_FOR_EACH(c->region, 0, value)
    {
        const IrInsn *insn = insn_of(c, value);
        bool slot = insn->op == IR_GET || insn->op == IR_PUT || insn->op == IR_NOTE;
        if (insn->op == IR_X87) {
            return true;
        }
        if ((slot && is_x87_slot(c, (u32)insn->imm, ir_type_size((IrType)insn->type))) ||
            (insn->op == IR_CALL && c->config->helpers[insn->imm].flags & IR_HELPER_X87)) {
            return false;
        }
    }
    return false;
}

void x87_end_block(Compiler *c, u32 block)
{
    c->x87_after[block] = (u8)c->x87;
}

bool is_x87_slot(const Compiler *c, u32 offset, u32 size)
{
    const IrX87 *x87 = &c->header->x87;

    if (!c->header->has_x87 || offset >= x87->status + IR_X87_STATUS_SIZE ||
        offset + size <= x87->registers) {
        return false;
    }
    return offset != x87->control || size != sizeof(u16);
}

static void move_x87(Compiler *c, X87Place place)
{
    bool to_host = place == X87_ON_HOST;

    if (c->x87 == place) {
        return;
    }
    if (c->x87 == X87_ANYWHERE) {
        x86_alu_imm(&c->as, ALU_CMP, 4, x86_at(RBP, COMMON(host_unit)), 0);
        add_cold(c, to_host ? COLD_X87_LOAD : COLD_X87_SAVE,
                 x86_jcc(&c->as, to_host ? CC_E : CC_NE), 0);
    } else {
        emit_call_stub(c, to_host ? STUB_X87_LOAD : STUB_X87_SAVE);
    }
    c->x87 = place;
}

void x87_to_slots(Compiler *c)
{
    move_x87(c, X87_IN_SLOTS);
}

/* -- Instructions */

static void emit_memory_form(Compiler *c, u32 instruction, X86Rm rm)
{
    x86_op(&c->as, instruction >> 8, 4, instruction >> 3 & 7, rm, 0);
}

/* How the memory operand is accessed, under a soft MMU (Intel SDM volume 2, A.5): 10 bytes count as
 * 16, which may be in two pages a little sooner. */
static X86Rm memory_operand(Compiler *c, const IrInsn *insn)
{
    static const u8 sizes[8] = {4, 4, 4, 4, 8, 8, 2, 2};
    u32 opcode = insn->imm2 >> 8 & 7, reg = insn->imm2 >> 3 & 7, size = sizes[opcode];
    bool is_write = opcode & 1 && ((reg >= 1 && reg <= 3) || (opcode == 3 && reg == 7) ||
                                   (opcode == 7 && reg >= 6));

    if (!c->config->soft_mmu) {
        X86Rm address = guest_address(c, insn);
        fault_point(c);
        return address;
    }
    if ((opcode == 3 && reg >= 5) || (opcode == 7 && (reg == 4 || reg == 6))) {
        size = 16;
    } else if (opcode == 7 && reg >= 5) {
        size = 8;
    }
    return reach_directly(c, insn, size, is_write);
}

static void emit_register_form(Compiler *c, u32 instruction)
{
    x86_byte(&c->as, (u8)(instruction >> 8));
    x86_byte(&c->as, (u8)instruction);
}

/* With the result in ax: FNSTSW's, or packed flags. */
static void emit_result(Compiler *c, IrVal value, const IrInsn *insn)
{
    ra_claim(&c->ra, RAX);
    emit_register_form(c, (u32)insn->imm2);
    if (insn->imm2 != FNSTSW_AX) {
        x86_byte(&c->as, LAHF);
        x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(RAX), IR_FLAG_Z | IR_FLAG_P | IR_FLAG_C);
    }
    ra_define_in(&c->ra, value, RAX);
}

bool lower_x87(Compiler *c, IrVal value, const IrInsn *insn)
{
    const IrX87 *x87 = &c->header->x87;
    u32 instruction = (u32)insn->imm2;

    ra_slot_changes(&c->ra, x87->registers, x87->status + IR_X87_STATUS_SIZE - x87->registers);
    move_x87(c, X87_ON_HOST);
    if (insn->type != IR_VOID) {
        emit_result(c, value, insn);
    } else if (insn->arg[0]) {
        emit_memory_form(c, instruction, memory_operand(c, insn));
    } else if (insn->arg[2]) { /* under whatever condition: it is in a register */
        u8 condition = use(c, insn->arg[2]);
        x86_test(&c->as, 4, x86_reg(condition), condition);
        emit_register_form(c, FCMOVNE | (instruction & 7));
    } else if (instruction == FLDCW) {
        emit_memory_form(c, FLDCW, x86_at(RBP, (s32)x87->control - CONTEXT_BIAS));
    } else {
        emit_register_form(c, instruction);
    }
    return true;
}

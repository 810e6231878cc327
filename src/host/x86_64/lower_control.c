/* Terminators: jumps inside the region, and the ways out of it.
 *
 * Guest calls are predicted to return where they came from. A call pushes the guest's return
 * address and does a host call, whose return address is the landing pad behind it; so an entry of
 * the return stack is 16 bytes, rsp -> {landing pad, guest return address}. A guest return compares
 * its target with the entry and does a host ret, which the CPU predicts. The landing pad drops the
 * entry and jumps on by an ordinary link, so that exec/ can unlink it. Anything that does not match
 * is an indirect jump (STUB_RETURN_MISS). */
#include <assert.h>
#include <string.h>

#include "host/x86_64/x86_64.h"

/* -- Jumps that exec/ links */

/* Moves the comparison just emitted forward by what a following jcc needs to be patchable, so that
 * no padding separates the two (the CPU fuses adjacent ones). */
static void align_jcc(Compiler *c)
{
    X86Asm *as = &c->as;
    uintptr_t place = ((uintptr_t)as->at + 2) & 7;
    u32 padding = place > 4 ? (u32)(8 - place) : 0, at = (u32)(c->compare_at - as->start);
    u8 *start = c->compare_at;

    if (!padding) {
        return;
    }
    memmove(start + padding, start, (size_t)(as->at - start));
    u8 *end = as->at + padding;
    as->at = start;
    x86_nop(as, padding);
    as->at = end;
    for (u32 i = as->pool_use_count; i-- > 0 && as->pool_uses[i].site >= at;) {
        as->pool_uses[i].site += padding;
    }
}

static void jump_to_block(Compiler *c, u8 *site, u32 block)
{
    assert(c->jump_count < c->limit);
    c->jumps[c->jump_count++] = (BlockJump){(u32)(site - c->as.start), block};
}

static void link_jump(Compiler *c, u64 target)
{
    x86_align_site(&c->as, 1);
    add_link(c, x86_jmp(&c->as), target);
}

/* Jumps under the condition to what the block is or does. */
static void branch_to(Compiler *c, X86Cond cc, u32 block)
{
    const IrInsn *leave = only_goto(c, block);

    if (!leave) {
        jump_to_block(c, x86_jcc(&c->as, cc), block);
        return;
    }
    align_jcc(c);
    add_link(c, x86_jcc(&c->as, cc), leave->imm);
}

/* Goes to the successor: moves what its entry wants, and jumps unless it follows. */
static void go_to(Compiler *c, u32 from, u32 successor, bool may_fall)
{
    u32 block = c->region->blocks[from].successor[successor];
    const IrInsn *leave = only_goto(c, block);

    if (leave) {
        link_jump(c, leave->imm);
        return;
    }
    if (!x86_room(&c->as, 2048)) {
        return;
    }
    ra_edge(&c->ra, block, ra_predecessor_index(c->region, from, successor));
    if (!may_fall || c->next_block != block) {
        jump_to_block(c, x86_jmp(&c->as), block);
    }
}

bool lower_jump(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    (void)insn;
    store_notes(c);
    go_to(c, c->block, 0, true);
    return true;
}

/* Whether the edge to the successor takes no code before the jump. */
static bool is_free(Compiler *c, u32 successor)
{
    u32 block = c->region->blocks[c->block].successor[successor];

    return only_goto(c, block) ||
           ra_edge_is_free(&c->ra, block, ra_predecessor_index(c->region, c->block, successor));
}

/* Both ways need code, or the condition is two: skip over one of them. */
static void branch_over(Compiler *c, X86Cond cc, bool parity)
{
    u8 *skip[2] = {NULL, NULL}, *take = NULL;

    if (parity && cc == CC_NE) {
        take = x86_jcc(&c->as, CC_P);
    } else if (parity) {
        skip[0] = x86_jcc(&c->as, CC_P);
    }
    skip[1] = x86_jcc(&c->as, cc ^ 1);
    if (take) {
        x86_bind(take, c->as.at);
    }
    go_to(c, c->block, 0, false);
    for (u32 i = 0; i < 2; i++) {
        if (skip[i]) {
            x86_bind(skip[i], c->as.at);
        }
    }
    go_to(c, c->block, 1, true);
}

bool lower_branch(Compiler *c, IrVal value, const IrInsn *insn)
{
    const u32 *successor = c->region->blocks[c->block].successor;
    bool parity;

    (void)insn;
    store_notes(c);
    X86Cond cc = emit_condition(c, value, &parity);
    c->as.flags_of = 0;
    bool taken_free = is_free(c, 0), other_free = is_free(c, 1);
    if (!parity && taken_free && !(other_free && successor[0] == c->next_block)) {
        branch_to(c, cc, successor[0]);
        go_to(c, c->block, 1, true);
    } else if (!parity && other_free) {
        branch_to(c, cc ^ 1, successor[1]);
        go_to(c, c->block, 0, true);
    } else {
        branch_over(c, cc, parity);
    }
    return true;
}

/* -- Ways out */

bool lower_goto(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    link_jump(c, insn->imm);
    return true;
}

static void push_return_address(Compiler *c, u64 address)
{
    if (c->constant_pin < VECTOR && c->constant == address) {
        x86_push(&c->as, c->constant_pin);
    } else if (address == (u64)(s64)(s32)address) {
        x86_byte(&c->as, 0x68);
        x86_u32(&c->as, (u32)address);
    } else {
        x86_mov_imm(&c->as, RDX, address);
        x86_push(&c->as, RDX);
    }
}

static void landing_pad(Compiler *c, u64 address)
{
    x86_alu_imm(&c->as, ALU_ADD, 8, x86_reg(RSP), 8);
    link_jump(c, address);
}

bool lower_goto_call(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    push_return_address(c, insn->imm2);
    x86_align_site(&c->as, 1);
    add_link(c, x86_call(&c->as), insn->imm);
    landing_pad(c, insn->imm2);
    return true;
}

static void target_to_rax(Compiler *c, IrVal target)
{
    u8 reg = use(c, target);

    if (reg != RAX) {
        x86_mov(&c->as, 8, RAX, reg);
    }
}

/* The indirect jump to the target in rax. The inline cache comes first: it must look at `interrupt`
 * itself, as only the jump table is swapped by whoever wants the thread out. With a soft MMU there
 * is none, as it could serve jumps inside of a page only. */
static void jump_indirect(Compiler *c)
{
    X86Asm *as = &c->as;

    if (c->config->soft_mmu) {
        x86_probe(as, c->config->code_shift);
        emit_jump_stub(c, STUB_EXIT_LOOKUP);
        return;
    }
    x86_alu_imm(as, ALU_CMP, 4, x86_at(RBP, COMMON(interrupt)), 0);
    u8 *interrupted = x86_jcc_short(as, CC_NE);
    u8 *guard_use = x86_cmp_code(as, RAX);
    u8 *other = x86_jcc_short(as, CC_NE);
    x86_align_site(as, 1);
    u8 *site = x86_jmp(as);
    u8 *stub = as->at;
    x86_bind(site, stub);
    x86_bind_short(as, interrupted);
    x86_bind_short(as, other);
    x86_probe(as, c->config->code_shift);
    x86_lea_code(as, RCX, site);
    emit_jump_stub(c, STUB_EXIT_SITE);
    u8 *guard = as->start + ALIGN_UP(x86_offset(as), 8);
    while (as->at < guard) {
        x86_byte(as, 0xcc);
    }
    x86_u32(as, (u32)HOST_GUARD_NONE);
    x86_u32(as, (u32)(HOST_GUARD_NONE >> 32));
    x86_bind(guard_use, guard);
    add_guarded_link(c, site, stub, guard);
}

bool lower_igoto(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    target_to_rax(c, insn->arg[0]);
    jump_indirect(c);
    return true;
}

bool lower_igoto_call(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    target_to_rax(c, insn->arg[0]);
    push_return_address(c, insn->imm2);
    u8 *call = x86_call(&c->as);
    landing_pad(c, insn->imm2);
    x86_bind(call, c->as.at);
    jump_indirect(c);
    return true;
}

bool lower_igoto_ret(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    target_to_rax(c, insn->arg[0]);
    x86_alu_to(&c->as, ALU_CMP, 8, x86_at(RSP, 8), RAX);
    u8 *miss = x86_jcc(&c->as, CC_NE);
    x86_bind(miss, c->cache + c->header->stub[STUB_RETURN_MISS]);
    x86_byte(&c->as, 0xc3);
    return true;
}

bool lower_exit(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    x86_mov_imm(&c->as, RAX, insn->imm);
    x86_mov_imm(&c->as, RCX, (u64)insn->sub << 32 | (u32)insn->imm2);
    emit_jump_stub(c, STUB_EXIT_IR);
    return true;
}

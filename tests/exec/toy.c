/* The toy guest's translator: see toy.h. */
#include "toy.h"

#include <stdio.h>
#include <string.h>

enum { TOY_CODE_SHIFT = 2, TOY_INSN_SIZE = 4, TOY_LINE = 64, TOY_MAX_INSNS = 1000 };
enum { HELPER_ADDRESS, HELPER_STORE };

#define R(n) ((u32)offsetof(ToyState, r) + 8 * (u32)(n))

static const IrSlot toy_slots[] = {
    {"r0", R(0), IR_I64},
    {"r1", R(1), IR_I64},
    {"r2", R(2), IR_I64},
    {"r3", R(3), IR_I64},
    {"r4", R(4), IR_I64},
    {"r5", R(5), IR_I64},
    {"r6", R(6), IR_I64},
    {"r7", R(7), IR_I64},
    {"pc", offsetof(ToyState, pc), IR_I64},
    {"mode", offsetof(ToyState, mode), IR_I64},
};

static void helper_address(void *state, IrWord *io)
{
    cpu_common(state)->exit_address = io[1].i;
}

static void helper_store(void *state, IrWord *io)
{
    (void)state;
    *(volatile u64 *)(uintptr_t)io[1].i = io[2].i;
}

static const IrHelper toy_helpers[] = {
    [HELPER_ADDRESS] = {"address", helper_address, 0},
    [HELPER_STORE] = {"store", helper_store, IR_HELPER_READS_STATE | IR_HELPER_FAULTS},
};

static void toy_reset(void *state, CpuCommon *common)
{
    memset(state, 0, sizeof(ToyState));
    common->fp.nan_rule = FP_NAN_ARM;
}

static u32 toy_mode(const void *state)
{
    return (u32)((const ToyState *)state)->mode;
}

static void emit_branch(GuestTranslation *t, IrVal condition, u64 pc, u64 target)
{
    u32 taken = ir_block_new(t->b.region), otherwise = ir_block_new(t->b.region);

    ir_branch(&t->b, condition, taken, otherwise);
    t->b.block = taken;
    ir_goto(&t->b, target, target <= pc);
    t->b.block = otherwise;
    ir_goto(&t->b, pc + TOY_INSN_SIZE, false);
}

/* What does not end a block. */
static void emit_simple(GuestTranslation *t, ToyOp op, u32 a, s64 immediate)
{
    IrBuilder *b = &t->b;
    u32 second = (u32)immediate & 7;
    IrVal x = ir_get(b, IR_I64, R(a));
    IrVal y = ir_get(b, IR_I64, R(second));

    switch (op) {
    case TOY_LI:
        ir_put(b, R(a), ir_const(b, IR_I64, (u64)immediate + t->mode));
        break;
    case TOY_ADDI:
        ir_put(b, R(a), ir_add(b, x, ir_const(b, IR_I64, (u64)immediate)));
        break;
    case TOY_ADD:
        ir_put(b, R(a), ir_add(b, x, y));
        break;
    case TOY_LOAD:
        ir_put(b, R(a), ir_load(b, IR_I64, 0, y, 0));
        break;
    case TOY_STORE:
        ir_store(b, 0, y, 0, x);
        break;
    case TOY_STORE4:
        ir_store(b, 0, y, 0, ir_trunc(b, IR_I32, x));
        break;
    case TOY_FADD:
        x = ir_binary(b, IR_FADD, ir_bitcast(b, IR_F64, x), ir_bitcast(b, IR_F64, y));
        ir_put(b, R(a), ir_bitcast(b, IR_I64, x));
        break;
    default:
        ir_call(b, IR_VOID, HELPER_STORE, y, x, 0, 0);
        break;
    }
}

/* What ends a block; false if `op` does not. */
static bool emit_end(GuestTranslation *t, ToyOp op, u32 a, s64 immediate, u64 pc)
{
    IrBuilder *b = &t->b;
    u64 target = pc + (u64)immediate * TOY_INSN_SIZE, next = pc + TOY_INSN_SIZE;
    IrVal zero;

    switch (op) {
    case TOY_BNZ:
        zero = ir_const(b, IR_I64, 0);
        emit_branch(t, ir_cmp(b, IR_NE, ir_get(b, IR_I64, R(a)), zero), pc, target);
        return true;
    case TOY_JUMP:
        ir_goto(b, target, target <= pc);
        return true;
    case TOY_CALL:
        ir_put(b, R(7), ir_const(b, IR_I64, next));
        ir_emit(b, IR_GOTO_CALL, IR_VOID, IR_VOID, 0, 0, 0, 0, target, next);
        return true;
    case TOY_RETURN:
    case TOY_GO:
        ir_emit(b, op == TOY_GO ? IR_IGOTO : IR_IGOTO_RET, IR_VOID, IR_VOID, 0,
                ir_get(b, IR_I64, R(op == TOY_GO ? a : 7)), 0, 0, 0, 0);
        return true;
    case TOY_SYS:
        ir_exit(b, IR_EXIT_SYSCALL, next, (u16)immediate);
        return true;
    case TOY_FLUSH:
        ir_call(b, IR_VOID, HELPER_ADDRESS, ir_get(b, IR_I64, R(a)), 0, 0, 0);
        ir_exit(b, IR_EXIT_INVALIDATE, next, TOY_LINE);
        return true;
    case TOY_MODE:
        ir_put(b, (u32)offsetof(ToyState, mode), ir_get(b, IR_I64, R(a)));
        ir_exit(b, IR_EXIT_RESYNC, next, 0);
        return true;
    default:
        return false;
    }
}

static void toy_translate(GuestTranslation *t)
{
    u64 pc = t->pc;
    bool ended = false;

    for (t->insn_count = 0; !ended; t->insn_count++) {
        u32 word;
        if (t->insn_count >= MIN(t->max_insns, (u32)TOY_MAX_INSNS)) {
            ir_goto(&t->b, pc, false);
            break;
        }
        if (!t->fetch(t, pc, &word, sizeof word)) {
            ir_exit(&t->b, IR_EXIT_FETCH, pc, 0);
            break;
        }
        ir_mark_insn(&t->b, pc, TOY_INSN_SIZE);
        ToyOp op = (ToyOp)(word >> 24);
        if (op >= TOY_OP_COUNT) {
            ir_exit(&t->b, IR_EXIT_UNDEFINED, pc, word);
            ended = true;
        } else {
            ended = emit_end(t, op, word >> 16 & 7, (s16)word, pc);
        }
        if (!ended) {
            emit_simple(t, op, word >> 16 & 7, (s16)word);
        }
        pc += TOY_INSN_SIZE;
    }
    t->end = pc;
}

static int toy_disassemble(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size)
{
    u32 word;

    (void)pc;
    if (size < sizeof word) {
        return 0;
    }
    memcpy(&word, bytes, sizeof word);
    snprintf(text, text_size, "op %u r%u, %d", word >> 24, word >> 16 & 0xff, (s16)word);
    return TOY_INSN_SIZE;
}

#define TOY_GUEST(rule)                                                                            \
    {                                                                                              \
        .name = "toy", .coherence = rule, .code_shift = TOY_CODE_SHIFT,                            \
        .state_size = sizeof(ToyState), .pc_offset = offsetof(ToyState, pc), .pc_type = IR_I64,    \
        .slots = toy_slots, .slot_count = COUNT(toy_slots), .hot_int = toy_slots,                  \
        .hot_int_count = 8, .helpers = toy_helpers, .helper_count = COUNT(toy_helpers),            \
        .reset = toy_reset, .mode = toy_mode, .translate = toy_translate,                          \
        .disassemble = toy_disassemble,                                                            \
    }

const Guest toy_explicit = TOY_GUEST(CODE_EXPLICIT);
const Guest toy_transparent = TOY_GUEST(CODE_TRANSPARENT);

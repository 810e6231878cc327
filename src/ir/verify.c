/* The checks behind the invariants of ir.h and the rules of ops.def: see text.h.
 *
 * check_insn() looks at one instruction alone: argument types, lanes, immediates. The rest looks at
 * the region: lists, blocks, dominance, and the order of faults and puts.
 * Must cope with any contents of a region whose arrays are as large as it says. */
#include <string.h>

#include "ir/graph.h"
#include "ir/softfloat.h"
#include "ir/text.h"

/* -- One instruction */

static bool type_in(const char *classes, IrType type)
{
    char class = ir_type_is_int(type)      ? (type == IR_I128 ? 'Z' : 'I')
                 : ir_type_is_float(type)  ? 'F'
                 : ir_type_is_vector(type) ? 'V'
                                           : '?';

    return strchr(classes, class) || (strchr(classes, 'W') && (type == IR_I32 || type == IR_I64));
}

static IrType arg_type(const IrRegion *region, const IrInsn *insn, u32 index)
{
    return insn->arg[index] ? (IrType)region->insns[insn->arg[index]].type : IR_VOID;
}

static bool is_lower(char letter)
{
    return letter >= 'a' && letter <= 'z';
}

/* Whether an argument of type `type` fits the letter of the rule. */
static bool arg_fits(char letter, IrType type, IrType own, IrType first)
{
    switch (letter) {
    case 'T':
        return type == own;
    case 'U':
        return type == first;
    case 'B':
        return type == IR_I32;
    case 'A':
        return type == IR_I64;
    case 'N':
        return type == IR_I32 || type == IR_I64;
    default:
        return true; /* X */
    }
}

static const char *check_types(const IrRegion *region, const IrInsn *insn)
{
    const IrOpInfo *info = &ir_ops[insn->op];
    const char *args = info->rule + 2;
    IrType first = arg_type(region, insn, 0);

    for (u32 i = 0; i < COUNT(insn->arg); i++) {
        char letter = i < info->arg_count ? args[i] : '\0';
        IrType type = arg_type(region, insn, i);
        if (insn->op == IR_CALL && i && insn->arg[i] && !insn->arg[i - 1]) {
            return "argument missing";
        }
        if (!letter || !insn->arg[i]) {
            if (letter ? !is_lower(letter) : insn->arg[i] != 0) {
                return letter ? "argument missing" : "too many arguments";
            }
            continue;
        }
        if (is_lower(letter)) {
            letter = (char)(letter - 'a' + 'A');
        }
        if (!arg_fits(letter, type, insn->type, first)) {
            return "argument of a wrong type";
        }
    }
    if (insn->op == IR_CALL || (insn->op == IR_X87 && insn->type == IR_VOID)) {
        return NULL;
    }
    if (strchr(info->rule, 'T') ? !type_in(info->types, insn->type)
                                : strchr(info->rule, 'U') && !type_in(info->types, first)) {
        return "operation not defined for this type";
    }
    if (!strchr(info->rule, 'T') && insn->type != (info->rule[0] == 'B' ? IR_I32 : IR_VOID)) {
        return "wrong result type";
    }
    return NULL;
}

/* What an operation demands of its lane type when vectors take part. */
typedef enum LaneRule { LANE_INT, LANE_FLOAT, LANE_ANY, LANE_OPTIONAL, LANE_NONE } LaneRule;

static LaneRule lane_rule(IrOp op)
{
    switch (op) {
    case IR_CONST:
    case IR_COPY:
    case IR_TRUNC:
    case IR_ZEXT:
    case IR_BITCAST:
    case IR_SELECT:
    case IR_PHI:
    case IR_GET:
    case IR_PUT:
    case IR_NOTE:
    case IR_LOAD:
    case IR_STORE:
    case IR_CALL:
    case IR_X87:
        return LANE_NONE;
    case IR_AND:
    case IR_OR:
    case IR_XOR:
    case IR_ANDN:
    case IR_NOT:
    case IR_VBSL:
    case IR_VEXT:
    case IR_VTBL:
    case IR_VCAT:
    case IR_VHIGH:
    case IR_VRECPE:
    case IR_VRSQRTE:
    case IR_FCVT16:
    case IR_AES:
    case IR_SHA:
    case IR_VCLMUL:
    case IR_VSHUF16:
    case IR_FLAGS_VTEST:
        return LANE_OPTIONAL;
    case IR_CAS:
        return LANE_NONE;
    case IR_VSPLAT:
    case IR_VGET:
    case IR_VSET:
    case IR_VZIP1:
    case IR_VZIP2:
    case IR_VUZP1:
    case IR_VUZP2:
    case IR_VTRN1:
    case IR_VTRN2:
    case IR_VREV:
    case IR_VSHUF:
    case IR_VBLEND:
    case IR_VBLENDV:
    case IR_VMOVMSK:
        return LANE_ANY;
    case IR_FNEG:
    case IR_FABS:
    case IR_FRCP:
    case IR_FRSQRT:
        return LANE_FLOAT;
    default:
        return ir_ops[op].properties & IR_PROP_FP ? LANE_FLOAT : LANE_INT;
    }
}

static const char *check_lane(const IrRegion *region, const IrInsn *insn)
{
    LaneRule rule = lane_rule(insn->op);
    IrType lane = insn->lane;
    bool vector = ir_type_is_vector(insn->type);

    for (u32 i = 0; i < COUNT(insn->arg); i++) {
        vector |= ir_type_is_vector(arg_type(region, insn, i));
    }
    if (!vector || rule == LANE_NONE) {
        return lane == IR_VOID ? NULL : "lane type without a use";
    }
    if (lane == IR_VOID) {
        return rule == LANE_OPTIONAL ? NULL : "lane type missing";
    }
    bool is_int = ir_type_is_int(lane) && lane != IR_I128;
    bool is_float = ir_type_is_float(lane);
    return (is_int && rule != LANE_FLOAT) || (is_float && rule != LANE_INT) ? NULL
                                                                            : "wrong lane type";
}

/* Operations whose operands have other widths than their result. */
static bool widths_fit(const IrInsn *insn, const IrType args[3])
{
    u32 to = ir_type_size(insn->type), lane = ir_type_size(insn->lane);
    u32 from = ir_type_size(args[0]);

    switch ((IrOp)insn->op) {
    case IR_TRUNC:
        return to < from;
    case IR_ZEXT:
        return to > from;
    case IR_SEXT:
        return to > from && type_in("I", args[0]);
    case IR_BITCAST:
        return to == from;
    case IR_CRC32:
        return type_in("I", args[1]);
    case IR_FCVT:
        return insn->type == IR_V128  ? insn->lane == IR_F32 && (from == 8 || args[0] == IR_V128)
               : insn->type == IR_V64 ? insn->lane == IR_F64 && args[0] == IR_V128
                                      : ir_type_is_float(args[0]) && args[0] != insn->type;
    case IR_FCVT16:
        return ir_type_is_float(insn->type) ? args[0] == IR_I16
               : ir_type_is_int(insn->type) ? insn->type == IR_I16 && ir_type_is_float(args[0])
               : insn->type == IR_V128      ? args[0] == IR_V64
                                            : insn->type == IR_V64 && args[0] == IR_V128;
    case IR_FTOI:
        return !ir_type_is_vector(insn->type)               ? ir_type_is_float(args[0])
               : insn->type == IR_V64 && args[0] == IR_V128 ? insn->lane == IR_F64
                                                            : args[0] == insn->type;
    case IR_ITOF:
        return !ir_type_is_vector(insn->type)               ? type_in("W", args[0])
               : insn->type == IR_V128 && args[0] == IR_V64 ? insn->lane == IR_F64
                                                            : args[0] == insn->type;
    case IR_FRCP:
    case IR_FRSQRT:
        return insn->type == IR_F32 || insn->lane == IR_F32;
    case IR_MULHU:
    case IR_MULHS:
        return !ir_type_is_vector(insn->type) || lane == 2;
    case IR_VSPLAT:
        return !ir_type_is_vector(args[0]) && from >= lane;
    case IR_VGET:
        return ir_type_is_vector(args[0]) &&
               (ir_type_is_float(insn->type) ? to == lane : to >= lane);
    case IR_VSET:
        return !ir_type_is_vector(args[1]) && ir_type_size(args[1]) >= lane;
    default:
        return true;
    }
}

static bool vector_widths_fit(const IrInsn *insn, const IrType args[3])
{
    u32 lane = ir_type_size(insn->lane);
    bool high = insn->sub & IR_HIGH;

    switch ((IrOp)insn->op) {
    case IR_VWIDEN:
        return insn->type == IR_V128 && lane <= 4 &&
               (args[0] == IR_V128 || (args[0] == IR_V64 && !high));
    case IR_VNARROW:
    case IR_VQNARROW:
        return insn->type == IR_V64 && lane <= 4 && args[0] == IR_V128;
    case IR_VMULL:
    case IR_VMULLP:
        return insn->type == IR_V128 && args[0] == args[1] &&
               (args[0] == IR_V128 || (args[0] == IR_V64 && !high)) &&
               (insn->op == IR_VMULL ? lane <= 4 : lane == 1 || lane == 8);
    case IR_VCAT:
        return insn->type == IR_V128 && args[0] == IR_V64 && args[1] == IR_V64;
    case IR_VHIGH:
        return insn->type == IR_V64 && args[0] == IR_V128;
    case IR_VTBL:
        return insn->type != IR_V256 && args[1] == (insn->sub & IR_X86 ? insn->type : (u8)IR_V128);
    case IR_VSHUF:
        return insn->type == IR_V128 && lane >= 4;
    case IR_VSHUF16:
        return insn->type == IR_V128 || (insn->type == IR_V64 && !high);
    case IR_VMOVMSK:
        return ir_type_is_vector(args[0]);
    case IR_VSHLC:
    case IR_VSHRC:
    case IR_VSARC:
        return !ir_type_is_float(args[1]) && ir_type_size(args[1]) >= 4;
    case IR_VPACK:
        return lane <= 2;
    case IR_VMULHRS:
    case IR_VMADD:
        return lane == 2;
    case IR_VMADDUS:
    case IR_VSAD:
        return lane == 1;
    case IR_VMPSAD:
        return insn->type == IR_V128 && lane == 1;
    case IR_VMINPOS:
        return insn->type == IR_V128 && lane == 2;
    case IR_VMULE:
        return lane <= 4 && lane * 2 <= ir_type_size(insn->type);
    case IR_VCLMUL:
        return insn->type == IR_V128;
    case IR_CAS:
        return !ir_type_is_vector(insn->type) || insn->type == IR_V128;
    case IR_VPADDL:
        return lane <= 4;
    case IR_VREDADD:
    case IR_VREDMIN:
    case IR_VREDMAX:
        return ir_type_is_vector(args[0]) && ir_type_size(insn->type) >= lane;
    case IR_VQDMULH:
        return lane == 2 || lane == 4;
    case IR_VMULP:
        return lane == 1;
    case IR_VRECPE:
    case IR_VRSQRTE:
        return lane == 4 || lane == 0;
    case IR_AES:
    case IR_SHA:
        return insn->type == IR_V128;
    default:
        return true;
    }
}

/* Whether sub has no other bits than the operation knows, and imm and imm2 are in range. */
static bool sub_fits(const IrInsn *insn)
{
    u8 sub = insn->sub;

    switch ((IrOp)insn->op) {
    case IR_CMP:
    case IR_VCMP:
        return sub <= IR_TSTZ;
    case IR_COND:
        return sub <= IR_COND_NP;
    case IR_FCMP:
    case IR_VFCMP:
        return (sub & ~IR_FCMP_SIGNALLING) <= IR_FTRUE;
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT:
        return sub == 0 || (sub == IR_SCALAR && insn->type == IR_V128);
    case IR_FMIN:
    case IR_FMAX:
        return sub <= IR_X86 || (sub == (IR_X86 | IR_SCALAR) && insn->type == IR_V128);
    case IR_FMA:
        return sub <= 3 || (insn->type == IR_V128 && (sub & ~IR_FMA_SCALAR) <= 3) ||
               (ir_type_is_vector((IrType)insn->type) &&
                (sub == (IR_FMA_NEGATE_ADDEND | IR_FMA_EVEN) ||
                 sub == (IR_FMA_NEGATE_ADDEND | IR_FMA_ODD)));
    case IR_FROUND:
    case IR_FTOI:
        return (sub & 7) != 6 &&
               (sub & (IR_UNSIGNED | IR_INDEFINITE)) != (IR_UNSIGNED | IR_INDEFINITE) &&
               !(sub & ~(7 | (insn->op == IR_FTOI ? IR_UNSIGNED | IR_INDEFINITE : IR_ROUND_EXACT)));
    case IR_ITOF:
        return !(sub & ~IR_UNSIGNED);
    case IR_VSHLV:
    case IR_VRSHR:
    case IR_VHADD:
    case IR_VHSUB:
    case IR_VQDMULH:
    case IR_VQSHLV:
    case IR_VWIDEN:
    case IR_VQNARROW:
    case IR_VMULL:
    case IR_VMULLP:
    case IR_VPADDL:
    case IR_VREDMIN:
    case IR_VREDMAX:
        return sub < 16;
    case IR_CRC32:
    case IR_FLAGS_FCMP:
    case IR_FLAGS_COMI:
    case IR_VTBL:
    case IR_FCVT:
    case IR_FCVT16:
    case IR_GOTO:
    case IR_GOTO_CALL:
        return sub <= 1;
    case IR_FENCE:
        return sub <= 2;
    case IR_FLAGS_MUL:
    case IR_VMULE:
        return !(sub & ~IR_SIGNED);
    case IR_VPACK:
        return !(sub & ~IR_TO_UNSIGNED);
    case IR_VSHUF16:
        return !(sub & ~IR_HIGH);
    case IR_AES:
        return sub <= IR_AESKEYGENASSIST;
    case IR_SHA:
        return sub <= IR_SHA256MSG2;
    case IR_EXIT:
        return sub <= IR_EXIT_CODE_CHANGED;
    case IR_LOAD:
    case IR_STORE:
        return sub < 128 && (insn->arg[1] || !(sub & IR_MEM_SCALE)) &&
               (insn->type == IR_V128 || !(sub & IR_MEM_ALIGNED));
    case IR_X87:
        return sub < 64 && (insn->arg[0] || !sub) && (insn->arg[1] || !(sub & IR_MEM_SCALE));
    case IR_CAS:
    case IR_RMW:
        return sub < 64 && !(sub & IR_MEM_SCALE);
    case IR_EXTU:
    case IR_EXTS:
    case IR_DEP:
    case IR_INSN:
        return true;
    default:
        return sub == 0;
    }
}

/* The largest imm of operations with a small one; 0 where it is not used. */
static u64 imm_limit(const IrRegion *region, const IrInsn *insn, const IrType args[3])
{
    u32 bits = ir_type_size(insn->type) * 8, lane = MAX(ir_type_size(insn->lane), 1u);

    switch ((IrOp)insn->op) {
    case IR_CONST:
        return bits < 64 ? ir_mask(bits) : ~(u64)0;
    case IR_LOAD:
    case IR_STORE:
    case IR_X87:
    case IR_INSN:
    case IR_GOTO:
    case IR_GOTO_CALL:
    case IR_EXIT:
        return ~(u64)0;
    case IR_GET:
    case IR_PUT:
    case IR_NOTE:
        return IR_STATE_LIMIT - ir_type_size(insn->type);
    case IR_PHI:
        return region->phi_arg_count;
    case IR_EXTR:
        return bits - 1;
    case IR_EXTU:
    case IR_EXTS:
    case IR_DEP:
        return insn->sub < bits ? bits - insn->sub : 0;
    case IR_FTOI:
    case IR_ITOF:
        return 64;
    case IR_VGET:
        return ir_type_size(args[0]) / lane - 1;
    case IR_VSET:
        return ir_type_size(insn->type) / lane - 1;
    case IR_VSHL:
    case IR_VSHR:
    case IR_VSAR:
        return 255;
    case IR_VRSHR:
        return lane * 8;
    case IR_VEXT:
        return ir_type_size(insn->type);
    case IR_VREV:
        return 16;
    case IR_FLAGS_PICK:
        return IR_FLAGS;
    case IR_VSHUF:
        return lane == 4 ? 255 : 3;
    case IR_VSHUF16:
        return 255;
    case IR_VBLEND:
        return ir_mask(ir_type_size(insn->type) / lane);
    case IR_VMPSAD:
        return 7;
    case IR_VCLMUL:
        return 17;
    case IR_AES:
        return insn->sub == IR_AESKEYGENASSIST ? 255 : 0;
    case IR_SHA:
        return insn->sub == IR_SHA1RNDS4 ? 3 : 0;
    case IR_RMW:
        return IR_RMW_UMIN;
    case IR_CALL:
        return region->helper_count ? region->helper_count - 1 : ~0u;
    default:
        return 0;
    }
}

static bool immediates_fit(const IrRegion *region, const IrInsn *insn, const IrType args[3])
{
    bool wide = insn->op == IR_CONST && ir_type_size(insn->type) > 8;

    if (insn->imm > imm_limit(region, insn, args)) {
        return false;
    }
    if (insn->imm2 && !wide && insn->op != IR_GOTO_CALL && insn->op != IR_IGOTO_CALL &&
        insn->op != IR_EXIT && insn->op != IR_X87) {
        return false;
    }
    switch ((IrOp)insn->op) {
    case IR_EXTU:
    case IR_EXTS:
    case IR_DEP:
    case IR_VRSHR:
        return insn->imm >= 1;
    case IR_FLAGS_PICK:
        return !(insn->imm & ~(u64)IR_FLAGS);
    case IR_X87:
        return insn->imm2 >= 0xd800 && insn->imm2 <= 0xdfff &&
               !(ir_x87_is_register(insn->imm2) && insn->arg[0]);
    case IR_VCLMUL:
        return !(insn->imm & ~(u64)17);
    case IR_VREV:
        return insn->imm >= ir_type_size(insn->lane) && !(insn->imm & (insn->imm - 1)) &&
               insn->imm <= ir_type_size(insn->type);
    default:
        return true;
    }
}

const char *ir_check_insn(const IrRegion *region, const IrInsn *insn)
{
    const IrType args[3] = {arg_type(region, insn, 0), arg_type(region, insn, 1),
                            arg_type(region, insn, 2)};
    const char *error = check_types(region, insn);

    if (!error) {
        error = check_lane(region, insn);
    }
    if (!error && !(widths_fit(insn, args) && vector_widths_fit(insn, args))) {
        error = "operand widths don't fit the operation";
    }
    if (!error && !sub_fits(insn)) {
        error = "sub operation out of range";
    }
    if (!error && !immediates_fit(region, insn, args)) {
        error = "immediate out of range";
    }
    return error;
}

/* -- The region */

typedef struct Verifier {
    const IrRegion *region;
    IrGraph graph;
    u32 *block_of; /* by value; IR_NO_BLOCK: in none */
    u32 *place;    /* by value: its number in the block */
    u32 block;     /* being checked */
    IrVal value;   /* being checked; 0: the block as a whole */
    const char *error;
} Verifier;

static bool fail(Verifier *v, const char *text)
{
    const IrInsn *insn = &v->region->insns[v->value];

    if (!v->error) {
        v->error =
            v->value ? arena_printf(v->region->arena, "block %u, v%u (%s): %s", v->block, v->value,
                                    insn->op < IR_OP_COUNT ? ir_ops[insn->op].text : "?", text)
                     : arena_printf(v->region->arena, "block %u: %s", v->block, text);
    }
    return false;
}

/* Walks the block's list; everything after may follow the links freely. */
static bool check_list(Verifier *v)
{
    const IrRegion *region = v->region;
    const IrBlock *block = &region->blocks[v->block];
    IrVal prev = 0;
    u32 place = 0;

    for (IrVal value = block->first; value; value = region->insns[value].next) {
        v->value = 0;
        if (value >= region->insn_count) {
            return fail(v, "list leaves the region");
        }
        v->value = value;
        const IrInsn *insn = &region->insns[value];
        if (v->block_of[value] != IR_NO_BLOCK) {
            return fail(v, "in two places");
        }
        if (insn->prev != prev) {
            return fail(v, "broken list");
        }
        if (insn->op >= IR_OP_COUNT || insn->type >= IR_TYPE_COUNT || insn->lane >= IR_TYPE_COUNT) {
            return fail(v, "no such operation or type");
        }
        v->block_of[value] = v->block;
        v->place[value] = place++;
        prev = value;
    }
    v->value = 0;
    return block->last == prev || fail(v, "the list's end is not the block's");
}

static bool check_terminator(Verifier *v)
{
    const IrRegion *region = v->region;
    const IrBlock *block = &region->blocks[v->block];
    u32 count = ir_successor_count(region, v->block);

    v->value = 0;
    if (!block->last) {
        return v->block != 0 || fail(v, "the entry is empty");
    }
    IR_FOR_EACH(region, v->block, value)
    {
        v->value = value;
        if (!(ir_ops[region->insns[value].op].properties & IR_PROP_END) != (value != block->last)) {
            return fail(v, value == block->last ? "no terminator" : "terminator inside");
        }
    }
    for (u32 i = 0; i < count; i++) {
        u32 to = block->successor[i];
        if (to >= region->block_count || !region->blocks[to].first) {
            return fail(v, "no such successor");
        }
    }
    return count < 2 || block->successor[0] != block->successor[1] ||
           fail(v, "both successors are the same");
}

/* Whether `arg` is defined at the end of block `block` (`place` in it). Code that can't be reached
 * may use anything. */
static bool defined(const Verifier *v, IrVal arg, u32 block, u32 place)
{
    u32 from = v->block_of[arg];

    if (v->graph.rank[block] == IR_NO_BLOCK) {
        return true;
    }
    return from == block
               ? v->place[arg] < place
               : v->graph.rank[from] != IR_NO_BLOCK && ir_dominates(&v->graph, from, block);
}

static bool check_arg(Verifier *v, IrVal arg, u32 block, u32 place)
{
    if (arg >= v->region->insn_count || v->block_of[arg] == IR_NO_BLOCK ||
        !ir_has_value(&v->region->insns[arg])) {
        return fail(v, "argument is no value");
    }
    return defined(v, arg, block, place) || fail(v, "argument not defined on every path");
}

static bool check_phi(Verifier *v, const IrInsn *insn)
{
    const IrRegion *region = v->region;
    u32 first = v->graph.first_predecessor[v->block];
    u32 count = ir_predecessor_count(&v->graph, v->block);

    if (insn->prev && region->insns[insn->prev].op != IR_PHI) {
        return fail(v, "not at the start of the block");
    }
    if (insn->imm + count > region->phi_arg_count || !count) {
        return fail(v, "no arguments");
    }
    for (u32 i = 0; i < count; i++) {
        IrVal arg = region->phi_args[insn->imm + i];
        if (!check_arg(v, arg, v->graph.predecessors[first + i], ~0u)) {
            return false;
        }
        if (region->insns[arg].type != insn->type) {
            return fail(v, "argument of a wrong type");
        }
    }
    return true;
}

static bool check_block(Verifier *v)
{
    const IrRegion *region = v->region;
    bool put = false; /* since the last INSN */

    IR_FOR_EACH(region, v->block, value)
    {
        const IrInsn *insn = &region->insns[value];
        v->value = value;
        for (u32 i = 0; i < COUNT(insn->arg); i++) {
            if (insn->arg[i] && !check_arg(v, insn->arg[i], v->block, v->place[value])) {
                return false;
            }
        }
        const char *error = ir_check_insn(region, insn);
        if (error) {
            return fail(v, error);
        }
        if (insn->op == IR_PHI && !check_phi(v, insn)) {
            return false;
        }
        put = insn->op == IR_PUT || (put && insn->op != IR_INSN);
        if (put && ir_may_fault(region, insn)) {
            return fail(v, "may fault after a put of the same guest instruction");
        }
    }
    return true;
}

const char *ir_verify(const IrRegion *region)
{
    Verifier v = {.region = region};
    Arena arena;
    bool good = region->block_count > 0;

    arena_init(&arena);
    v.block_of = ARENA_ARRAY(&arena, u32, region->insn_count);
    v.place = ARENA_ARRAY(&arena, u32, region->insn_count);
    memset(v.block_of, 0xff, region->insn_count * sizeof(u32));
    if (!good) {
        v.error = "no blocks";
    }
    for (v.block = 0; good && v.block < region->block_count; v.block++) {
        good = check_list(&v);
    }
    for (v.block = 0; good && v.block < region->block_count; v.block++) {
        good = check_terminator(&v);
    }
    if (good) {
        ir_graph_make(region, &v.graph, &arena);
    }
    for (v.block = 0; good && v.block < region->block_count; v.block++) {
        good = check_block(&v);
    }
    arena_free(&arena);
    return v.error;
}

/* Text to IR: see text.h and, for what each operation looks like, syntax.c.
 *
 * A value's number in the text becomes its index, so that printing gives the same text. Only syntax
 * is checked here, and that numbers are sane; ir_verify() checks the rest, after the file is read.
 * Must be safe on any text: nothing is allocated by a number that the text merely claims. */
#include <ctype.h>
#include <string.h>

#include "ir/graph.h"
#include "ir/syntax.h"
#include "ir/text.h"

/* More than any region has; numbers in hostile text may be anything. */
enum { MAX_VALUES = 1 << 16, MAX_BLOCKS = 1 << 12, MAX_WORD = 64 };

typedef struct Parser {
    IrRegion *region;
    const char *at; /* next character */
    u32 line;
    u32 block;           /* current; IR_NO_BLOCK before the first heading */
    u32 *phi_blocks;     /* beside phi_args: the predecessor that the text names */
    u32 phi_blocks_size; /* elements there is room for */
    const char *error;
} Parser;

static bool fail(Parser *p, const char *text)
{
    if (!p->error) {
        p->error = arena_printf(p->region->arena, "line %u: %s", p->line, text);
    }
    return false;
}

/* -- Characters, words, numbers */

static void skip_blanks(Parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') {
        p->at++;
    }
}

/* Takes the text if it comes next. */
static bool take(Parser *p, const char *text)
{
    size_t length = strlen(text);

    skip_blanks(p);
    if (strncmp(p->at, text, length) != 0) {
        return false;
    }
    p->at += length;
    return true;
}

static bool expect(Parser *p, const char *text)
{
    return take(p, text) || fail(p, arena_printf(p->region->arena, "'%s' expected", text));
}

/* A name of letters, digits, '_', into `word`. */
static bool take_word(Parser *p, char word[MAX_WORD])
{
    u32 length = 0;

    while (isalnum((unsigned char)p->at[length]) || p->at[length] == '_') {
        length++;
    }
    if (length == 0 || length >= MAX_WORD) {
        return false;
    }
    memcpy(word, p->at, length);
    word[length] = '\0';
    p->at += length;
    return true;
}

/* A decimal or 0x number of up to 64 bits. */
static bool take_number(Parser *p, u64 *number)
{
    u32 base = 10, digits = 0;

    skip_blanks(p);
    if (p->at[0] == '0' && p->at[1] == 'x') {
        base = 16;
        p->at += 2;
    }
    for (*number = 0; isxdigit((unsigned char)*p->at); p->at++, digits++) {
        u32 digit = isdigit((unsigned char)*p->at) ? (u32)(*p->at - '0')
                                                   : (u32)(tolower(*p->at) - 'a' + 10);
        if (digit >= base || *number > (~(u64)0 - digit) / base) {
            return fail(p, "bad number");
        }
        *number = *number * base + digit;
    }
    return digits || fail(p, "number expected");
}

static bool take_small(Parser *p, u32 limit, u32 *number)
{
    u64 value;

    if (!take_number(p, &value)) {
        return false;
    }
    *number = (u32)value;
    return value < limit || fail(p, "number too large");
}

/* vN; only of values that the region has room for: all that are defined somewhere. */
static bool take_value(Parser *p, IrVal *value)
{
    skip_blanks(p);
    if (*p->at != 'v') {
        return fail(p, "value expected");
    }
    p->at++;
    return take_small(p, MAX_VALUES, value) &&
           ((*value && *value < p->region->insn_count) || fail(p, "value is not defined"));
}

static bool at_end(Parser *p)
{
    skip_blanks(p);
    return *p->at == '\n' || *p->at == '\0' || *p->at == '#';
}

/* -- The part after the operation's name: types and sub names */

static IrType type_named(const char *name)
{
    for (u32 i = IR_VOID + 1; i < IR_TYPE_COUNT; i++) {
        if (strcmp(ir_type_name((IrType)i), name) == 0) {
            return (IrType)i;
        }
    }
    return IR_VOID;
}

static const IrSubName *find_name(const IrSubName *names, const char *word)
{
    for (; names && names->name; names++) {
        if (strcmp(names->name, word) == 0) {
            return names;
        }
    }
    return NULL;
}

static bool parse_suffix(Parser *p, const IrSyntax *syntax, IrInsn *insn)
{
    const IrSubName *name;
    char word[MAX_WORD];
    u32 number;

    if (*p->at == '#') {
        p->at++;
        if (!take_small(p, 256, &number)) {
            return false;
        }
        insn->sub |= (u8)number;
        return true;
    }
    if (!take_word(p, word)) {
        return fail(p, "type or name expected after '.'");
    }
    IrType type = type_named(word);
    if (type != IR_VOID && insn->type == IR_VOID && ir_shows_type((IrOp)insn->op)) {
        insn->type = (u8)type;
    } else if (type != IR_VOID && insn->lane == IR_VOID) {
        insn->lane = (u8)type;
    } else if ((name = find_name(syntax->sub, word))) {
        insn->sub |= name->value;
    } else if ((name = find_name(syntax->imm, word))) {
        insn->imm |= name->value;
    } else {
        return fail(p, "unknown type or name after '.'");
    }
    return true;
}

static bool parse_operation(Parser *p, IrInsn *insn)
{
    char word[MAX_WORD];
    u32 op = 0;

    skip_blanks(p);
    if (!take_word(p, word)) {
        return fail(p, "operation expected");
    }
    while (op < IR_OP_COUNT && strcmp(ir_ops[op].text, word) != 0) {
        op++;
    }
    if (op == IR_OP_COUNT) {
        return fail(p, "unknown operation");
    }
    insn->op = (u8)op;
    while (*p->at == '.') {
        p->at++;
        if (!parse_suffix(p, &ir_syntax[op], insn)) {
            return false;
        }
    }
    if (ir_ops[op].rule[0] == 'B') {
        insn->type = IR_I32;
    }
    return true;
}

/* -- Operands, by form */

/* Up to `limit` values, from arg[first] on. `comma`: one stands before the first. */
static bool parse_values(Parser *p, IrInsn *insn, u32 first, bool comma)
{
    for (u32 i = first; i < COUNT(insn->arg) && !at_end(p); i++) {
        const char *start = p->at;
        if (comma && !expect(p, ",")) {
            return false;
        }
        skip_blanks(p);
        if (*p->at != 'v') { /* immediates follow */
            p->at = start;
            return true;
        }
        if (!take_value(p, &insn->arg[i])) {
            return false;
        }
        comma = true;
    }
    return true;
}

static bool parse_immediates(Parser *p, const IrSyntax *syntax, IrInsn *insn)
{
    bool comma = insn->arg[0] != 0;

    for (const char *show = syntax->show; show && *show; show++) {
        u64 number;
        if ((comma && !expect(p, ",")) || !take_number(p, &number)) {
            return false;
        }
        if (*show == 's' && number > 255) {
            return fail(p, "number too large");
        }
        if (*show == 's') {
            insn->sub = (u8)number;
        } else {
            *(*show == 'i' ? &insn->imm : &insn->imm2) = number;
        }
        comma = true;
    }
    return true;
}

static bool parse_const(Parser *p, IrInsn *insn)
{
    return take_number(p, &insn->imm) &&
           (ir_type_size(insn->type) <= 8 || (expect(p, ",") && take_number(p, &insn->imm2)));
}

static bool parse_phi(Parser *p, IrInsn *insn)
{
    IrRegion *region = p->region;

    insn->imm = region->phi_arg_count;
    do {
        u32 block, index;
        IrVal value;
        if (!take_small(p, MAX_BLOCKS, &block) || !expect(p, ":") || !take_value(p, &value)) {
            return false;
        }
        index = ir_phi_args_new(region, 1);
        region->phi_args[index] = value;
        if (index >= p->phi_blocks_size) {
            u32 *larger = ARENA_ARRAY(region->arena, u32, p->phi_blocks_size * 2 + 16);
            for (u32 i = 0; i < p->phi_blocks_size; i++) {
                larger[i] = p->phi_blocks[i];
            }
            p->phi_blocks = larger;
            p->phi_blocks_size = p->phi_blocks_size * 2 + 16;
        }
        p->phi_blocks[index] = block;
    } while (take(p, ","));
    insn->scratch = region->phi_arg_count - (u32)insn->imm;
    return true;
}

static bool parse_slot(Parser *p, IrInsn *insn)
{
    char word[MAX_WORD];

    if (!expect(p, "[")) {
        return false;
    }
    skip_blanks(p);
    if (isdigit((unsigned char)*p->at)) {
        return take_number(p, &insn->imm) && expect(p, "]");
    }
    if (take_word(p, word)) {
        for (u32 i = 0; i < p->region->slot_count; i++) {
            if (strcmp(p->region->slots[i].name, word) == 0) {
                insn->imm = p->region->slots[i].offset;
                return expect(p, "]");
            }
        }
    }
    return fail(p, "unknown slot");
}

static bool parse_memory(Parser *p, IrInsn *insn)
{
    u32 scale = 1;

    if (!take_value(p, &insn->arg[0])) {
        return false;
    }
    while (take(p, "+")) {
        skip_blanks(p);
        if (*p->at != 'v') {
            if (!take_number(p, &insn->imm)) {
                return false;
            }
            break;
        }
        if (insn->arg[1] || !take_value(p, &insn->arg[1]) ||
            (take(p, "*") && !take_small(p, 9, &scale))) {
            return fail(p, "bad address");
        }
    }
    if (take(p, "-")) {
        if (!take_number(p, &insn->imm)) {
            return false;
        }
        insn->imm = -insn->imm;
    }
    if (!scale || (scale & (scale - 1))) {
        return fail(p, "bad scale");
    }
    insn->sub |= (u8)__builtin_ctz(scale);
    return insn->op != IR_STORE || (expect(p, ",") && take_value(p, &insn->arg[2]));
}

static bool parse_x87(Parser *p, IrInsn *insn)
{
    if (!take_number(p, &insn->imm2)) {
        return false;
    }
    if (!take(p, ",")) {
        return true;
    }
    return ir_x87_is_register(insn->imm2) ? take_value(p, &insn->arg[2]) : parse_memory(p, insn);
}

static bool parse_helper(Parser *p, IrInsn *insn)
{
    char word[MAX_WORD];

    if (take(p, "#")) {
        return take_number(p, &insn->imm);
    }
    if (take_word(p, word)) {
        for (u32 i = 0; i < p->region->helper_count; i++) {
            if (strcmp(p->region->helpers[i].name, word) == 0) {
                insn->imm = i;
                return true;
            }
        }
    }
    return fail(p, "unknown helper");
}

static bool parse_successors(Parser *p, const IrInsn *insn)
{
    IrBlock *block = &p->region->blocks[p->block];
    u32 count = insn->op == IR_BRANCH ? 2 : 1;

    for (u32 i = 0; i < count; i++) {
        if (((i || insn->arg[0]) && !expect(p, ",")) ||
            !take_small(p, MAX_BLOCKS, &block->successor[i])) {
            return false;
        }
    }
    return true;
}

static bool parse_operands(Parser *p, IrInsn *insn)
{
    const IrSyntax *syntax = &ir_syntax[insn->op];

    switch ((IrForm)syntax->form) {
    case FORM_CONST:
        return parse_const(p, insn);
    case FORM_PHI:
        return parse_phi(p, insn);
    case FORM_SLOT:
        return parse_slot(p, insn) && parse_values(p, insn, 0, true);
    case FORM_MEMORY:
        return parse_memory(p, insn);
    case FORM_CALL:
        skip_blanks(p);
        return parse_helper(p, insn) && parse_values(p, insn, 0, true);
    case FORM_X87:
        return parse_x87(p, insn);
    case FORM_BLOCKS:
        return parse_values(p, insn, 0, false) && parse_successors(p, insn);
    case FORM_PLAIN:
        return parse_values(p, insn, 0, false) && parse_immediates(p, syntax, insn);
    }
    return false;
}

/* -- Lines */

/* Puts the instruction at the index that its number in the text says. */
static bool place(Parser *p, const IrInsn *insn, IrVal value)
{
    IrRegion *region = p->region;
    IrBlock *block = &region->blocks[p->block];
    IrInsn *at = &region->insns[value];

    if (at->type != IR_VOID) {
        return fail(p, "value defined twice");
    }
    *at = *insn;
    ir_note_insn(region, insn);
    at->prev = block->last;
    *(block->last ? &region->insns[block->last].next : &block->first) = value;
    block->last = value;
    return true;
}

static bool parse_insn(Parser *p)
{
    IrInsn insn = {0};
    IrVal value = 0;
    bool defines = p->at[0] == 'v' && isdigit((unsigned char)p->at[1]);

    if (p->block == IR_NO_BLOCK) {
        return fail(p, "instruction outside of a block");
    }
    if ((defines && (!take_value(p, &value) || !expect(p, "="))) || !parse_operation(p, &insn) ||
        !parse_operands(p, &insn)) {
        return false;
    }
    if (ir_has_value(&insn) != (value != 0)) {
        return fail(p, value ? "this operation makes no value" : "this operation makes a value");
    }
    if (value) {
        return place(p, &insn, value);
    }
    ir_append(p->region, p->block, &insn);
    return p->region->insn_count < 2 * MAX_VALUES || fail(p, "too many instructions");
}

static bool parse_heading(Parser *p)
{
    u32 number;

    if (!take_small(p, MAX_BLOCKS, &number)) {
        return false;
    }
    if (number != p->region->block_count) {
        return fail(p, "blocks must be numbered in order");
    }
    p->block = ir_block_new(p->region);
    p->region->blocks[p->block].cold = take(p, "cold");
    return expect(p, ":");
}

static bool parse_line(Parser *p)
{
    if (at_end(p)) {
        return true;
    }
    if (take(p, "region ")) {
        if (!take_number(p, &p->region->guest_pc)) {
            return false;
        }
        p->region->exact_fp = take(p, "exact_fp");
        p->region->fp_native = take(p, "fp_native");
    } else if (!(take(p, "block ") ? parse_heading(p) : parse_insn(p))) {
        return false;
    }
    return at_end(p) || fail(p, "something after the end of the instruction");
}

/* Makes room for the largest value number that a line defines; nothing else is known at first. */
static bool reserve_values(Parser *p, const char *text)
{
    u32 largest = 0;

    for (p->line = 1; *text; p->line++) {
        p->at = text;
        skip_blanks(p);
        if (p->at[0] == 'v' && isdigit((unsigned char)p->at[1])) {
            u32 value;
            p->at++;
            if (!take_small(p, MAX_VALUES, &value)) {
                return false;
            }
            largest = MAX(largest, value);
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    ir_reserve(p->region, largest);
    memset(p->region->insns + 1, 0, largest * sizeof(IrInsn));
    p->region->insn_count = largest + 1;
    return true;
}

/* The predecessors that PHIs name must be those that the terminators make. */
static bool check_phis(Parser *p)
{
    const IrRegion *region = p->region;
    IrGraph graph;

    ir_graph_make(region, &graph, region->arena);
    for (u32 block = 0; block < region->block_count; block++) {
        const u32 *expected = graph.predecessors + graph.first_predecessor[block];
        u32 count = ir_predecessor_count(&graph, block);
        IR_FOR_EACH(region, block, value)
        {
            const IrInsn *insn = &region->insns[value];
            if (insn->op == IR_PHI &&
                (insn->scratch != count ||
                 memcmp(p->phi_blocks + insn->imm, expected, count * sizeof(u32)) != 0)) {
                p->error = arena_printf(region->arena, "v%u: not the predecessors of block %u",
                                        value, block);
                return false;
            }
        }
    }
    return true;
}

static bool check_successors(Parser *p)
{
    const IrRegion *region = p->region;

    for (u32 block = 0; block < region->block_count; block++) {
        for (u32 i = 0; i < ir_successor_count(region, block); i++) {
            u32 to = region->blocks[block].successor[i];
            if (to >= region->block_count) {
                p->error = arena_printf(region->arena, "block %u leads to %u, which is missing",
                                        block, to);
                return false;
            }
        }
    }
    return true;
}

static bool parse_text(Parser *p, const char *text)
{
    if (!reserve_values(p, text)) {
        return false;
    }
    for (p->line = 1; *text; p->line++) {
        p->at = text;
        if (!parse_line(p)) {
            return false;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return check_successors(p) && check_phis(p);
}

IrRegion *ir_parse(Arena *arena, const char *text, const IrHelper *helpers, u32 helper_count,
                   const IrSlot *slots, u32 slot_count, const char **error)
{
    IrRegion *region = ir_region_new(arena);
    Parser p = {.region = region, .block = IR_NO_BLOCK};

    region->helpers = helpers;
    region->helper_count = helper_count;
    region->slots = slots;
    region->slot_count = slot_count;
    *error = NULL;
    if (!parse_text(&p, text)) {
        *error = p.error ? p.error : "syntax error";
        return NULL;
    }
    ir_link_blocks(region);
    return region;
}

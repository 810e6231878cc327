/* IR to text: see text.h and, for what each operation looks like, syntax.c.
 *
 * Values keep their numbers, so that dumps taken after different passes can be compared.
 * Must not fail on invalid IR: a dump is what one looks at when something is wrong. */
#include <inttypes.h>
#include <string.h>

#include "ir/graph.h"
#include "ir/syntax.h"
#include "ir/text.h"

typedef struct Printer {
    const IrRegion *region;
    const IrGraph *graph;
    FILE *out;
    const char *separator; /* before the next operand */
} Printer;

static void print_number(Printer *p, u64 value)
{
    fprintf(p->out, value < 10 ? "%" PRIu64 : "0x%" PRIx64, value);
}

static void separate(Printer *p)
{
    fputs(p->separator, p->out);
    p->separator = ", ";
}

static void print_value(Printer *p, IrVal value)
{
    separate(p);
    fprintf(p->out, "v%u", value);
}

static void print_immediate(Printer *p, u64 value)
{
    separate(p);
    print_number(p, value);
}

/* ".name" for each part of `value` that has one; ".#N" when names can't say it all. */
static void print_names(Printer *p, const IrSubName *names, u64 value)
{
    u64 said = 0;

    for (const IrSubName *n = names; n && n->name; n++) {
        said |= (value & n->mask) == n->value ? n->value : 0;
    }
    if (said != value) {
        fputs(".#", p->out);
        print_number(p, value);
        return;
    }
    for (const IrSubName *n = names; n && n->name; n++) {
        if ((value & n->mask) == n->value) {
            fprintf(p->out, ".%s", n->name);
        }
    }
}

static void print_slot(Printer *p, const IrInsn *insn)
{
    separate(p);
    for (u32 i = 0; i < p->region->slot_count; i++) {
        if (p->region->slots[i].offset == insn->imm) {
            fprintf(p->out, "[%s]", p->region->slots[i].name);
            return;
        }
    }
    fprintf(p->out, "[0x%" PRIx64 "]", insn->imm);
}

static void print_memory(Printer *p, const IrInsn *insn)
{
    print_value(p, insn->arg[0]);
    if (insn->arg[1]) {
        fprintf(p->out, " + v%u", insn->arg[1]);
        if (insn->sub & IR_MEM_SCALE) {
            fprintf(p->out, " * %u", 1u << (insn->sub & IR_MEM_SCALE));
        }
    }
    if (insn->imm) {
        bool negative = insn->imm >> 63;
        fputs(negative ? " - " : " + ", p->out);
        print_number(p, negative ? -insn->imm : insn->imm);
    }
    if (insn->arg[2]) {
        print_value(p, insn->arg[2]);
    }
}

static void print_phi(Printer *p, u32 block, const IrInsn *insn)
{
    u32 count = ir_predecessor_count(p->graph, block);

    for (u32 i = 0; i < count && insn->imm + i < p->region->phi_arg_count; i++) {
        separate(p);
        fprintf(p->out, "%u: v%u", p->graph->predecessors[p->graph->first_predecessor[block] + i],
                p->region->phi_args[insn->imm + i]);
    }
}

static void print_call(Printer *p, const IrInsn *insn)
{
    separate(p);
    if (insn->imm < p->region->helper_count && p->region->helpers) {
        fputs(p->region->helpers[insn->imm].name, p->out);
    } else {
        fputs("#", p->out);
        print_number(p, insn->imm);
    }
}

static void print_x87(Printer *p, const IrInsn *insn)
{
    print_immediate(p, insn->imm2);
    if (insn->arg[0]) {
        print_memory(p, insn);
    } else if (insn->arg[2]) {
        print_value(p, insn->arg[2]);
    }
}

static void print_values(Printer *p, const IrInsn *insn)
{
    u32 count = 4;

    while (count && !insn->arg[count - 1]) {
        count--;
    }
    for (u32 i = 0; i < count; i++) {
        print_value(p, insn->arg[i]);
    }
}

static void print_operands(Printer *p, u32 block, const IrInsn *insn)
{
    const IrSyntax *syntax = &ir_syntax[insn->op];

    p->separator = " ";
    switch ((IrForm)syntax->form) {
    case FORM_CONST:
        print_immediate(p, insn->imm);
        if (ir_type_size(insn->type) > 8) {
            print_immediate(p, insn->imm2);
        }
        return;
    case FORM_PHI:
        print_phi(p, block, insn);
        return;
    case FORM_SLOT:
        print_slot(p, insn);
        break;
    case FORM_MEMORY:
        print_memory(p, insn);
        return;
    case FORM_CALL:
        print_call(p, insn);
        break;
    case FORM_X87:
        print_x87(p, insn);
        return;
    case FORM_BLOCKS:
    case FORM_PLAIN:
        break;
    }
    print_values(p, insn);
    for (u32 i = 0; syntax->form == FORM_BLOCKS && i < ir_successor_count(p->region, block); i++) {
        print_immediate(p, p->region->blocks[block].successor[i]);
    }
    for (const char *show = syntax->show; show && *show; show++) {
        print_immediate(p, *show == 's' ? insn->sub : *show == 'i' ? insn->imm : insn->imm2);
    }
}

static void print_insn(Printer *p, u32 block, IrVal value)
{
    const IrInsn *insn = &p->region->insns[value];
    const IrSyntax *syntax = &ir_syntax[insn->op];

    fputs(insn->op == IR_INSN ? "  " : "    ", p->out);
    if (ir_has_value(insn)) {
        fprintf(p->out, "v%u = ", value);
    }
    fputs(ir_ops[insn->op].text, p->out);
    if (ir_shows_type(insn->op) && insn->type != IR_VOID) {
        fprintf(p->out, ".%s", ir_type_name(insn->type));
    }
    if (insn->lane != IR_VOID) {
        fprintf(p->out, ".%s", ir_type_name(insn->lane));
    }
    if (syntax->imm) {
        print_names(p, syntax->imm, insn->imm);
    }
    if (!syntax->show || !strchr(syntax->show, 's')) {
        bool memory = syntax->form == FORM_MEMORY || syntax->form == FORM_X87;
        u32 scale = memory ? IR_MEM_SCALE : 0; /* shown with the index */
        print_names(p, syntax->sub, insn->sub & ~scale);
    }
    print_operands(p, block, insn);
    fputc('\n', p->out);
}

void ir_print(const IrRegion *region, FILE *out)
{
    Arena arena;
    IrGraph graph;
    Printer p = {.region = region, .graph = &graph, .out = out};

    arena_init(&arena);
    ir_graph_make(region, &graph, &arena);
    fprintf(out, "region 0x%" PRIx64 "%s%s\n", region->guest_pc,
            region->exact_fp ? " exact_fp" : "", region->fp_native ? " fp_native" : "");
    for (u32 i = 0; i < region->block_count; i++) {
        const IrBlock *block = &region->blocks[i];
        fprintf(out, "block %u%s:\n", i, block->cold ? " cold" : "");
        IR_FOR_EACH(region, i, value)
        {
            print_insn(&p, i, value);
        }
    }
    arena_free(&arena);
}

/* The x86 disassembler: text in Intel's syntax, as objdump -M intel prints it. Everything follows
 * from the row and the operands; prefixes without a meaning for the instruction are not shown.
 * Must not decode. */
#include <string.h>

#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/state.h"

typedef struct Printer {
    Text *text;
    const X86Insn *insn;
    const X86Row *row;
    const X86DecodeMode *mode;
    u64 pc;
} Printer;

static const char *const conditions[] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                         "s", "ns", "p", "np", "l", "ge", "le", "g"};

/* -- Registers */

static const char *segment_name(unsigned segment)
{
    static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

    return names[segment % COUNT(names)];
}

static void print_gpr(Printer *p, unsigned number, unsigned size)
{
    static const char *const names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    static const char *const bytes[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};

    if (number >= 8) {
        text_printf(p->text, "r%u%s", number,
                    size == 1   ? "b"
                    : size == 2 ? "w"
                    : size == 4 ? "d"
                                : "");
    } else if (size == 1) {
        text_printf(p->text, "%s", bytes[number]);
    } else {
        text_printf(p->text, "%s%s", size == 2 ? "" : size == 4 ? "e" : "r", names[number]);
    }
}

static void print_vector(Printer *p, unsigned number, unsigned size)
{
    text_printf(p->text, "%s%u", size == 32 ? "ymm" : "xmm", number);
}

/* -- Memory */

/* "DWORD PTR " and so on; nothing for what is not accessed, or of no size with a name. */
static void print_pointer(Printer *p, unsigned size)
{
    static const struct {
        u8 size;
        const char *name;
    } names[] = {{1, "BYTE"},  {2, "WORD"},   {4, "DWORD"},    {6, "FWORD"},
                 {8, "QWORD"}, {10, "TBYTE"}, {16, "XMMWORD"}, {32, "YMMWORD"}};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (names[i].size == size) {
            text_printf(p->text, "%s PTR ", names[i].name);
        }
    }
}

static bool is_table(const Printer *p)
{
    return p->row->operand[0].size == X86_SIZE_s;
}

static u64 truncate(u64 value, unsigned size)
{
    return size == 8 ? value : value & (((u64)1 << (8 * size)) - 1);
}

/* The size of a gather's index register. */
static unsigned vsib_size(const Printer *p)
{
    return p->row->vsib == X86_SIZE_xh ? p->insn->vector_size / 2u : p->insn->vector_size;
}

static void print_index(Printer *p, const X86Memory *m)
{
    if (m->base != X86_NO_REGISTER) {
        text_printf(p->text, "+");
    }
    if (p->row->vsib) {
        print_vector(p, m->index, vsib_size(p) < 32 ? 16 : 32);
    } else {
        print_gpr(p, m->index, p->insn->address_size);
    }
    if (p->insn->address_size != 2) {
        text_printf(p->text, "*%u", 1u << m->scale);
    }
}

static void print_displacement(Printer *p, s64 displacement)
{
    u64 magnitude = displacement < 0 ? 0 - (u64)displacement : (u64)displacement;

    if (displacement) {
        text_printf(p->text, "%s0x%llx", displacement < 0 ? "-" : "+",
                    (unsigned long long)magnitude);
    }
}

/* `override`: whether the segment is one the instruction would not use by itself. */
static void print_address(Printer *p, bool override)
{
    const X86Memory *m = &p->insn->memory;
    bool absolute = m->base == X86_NO_REGISTER && m->index == X86_NO_REGISTER && !m->rip;

    if (override || absolute) {
        text_printf(p->text, "%s:", segment_name(m->segment));
    }
    if (absolute) {
        text_printf(p->text, "0x%llx",
                    (unsigned long long)truncate((u64)(s64)m->displacement, p->insn->address_size));
        return;
    }
    text_printf(p->text, "[");
    if (m->rip) {
        text_printf(p->text, "%s", p->insn->address_size == 8 ? "rip" : "eip");
    } else if (m->base != X86_NO_REGISTER) {
        print_gpr(p, m->base, p->insn->address_size);
    }
    if (m->index != X86_NO_REGISTER) {
        print_index(p, m);
    }
    print_displacement(p, m->displacement);
    text_printf(p->text, "]");
}

static bool is_overridden(const Printer *p)
{
    const X86Memory *m = &p->insn->memory;
    bool stack = m->base == X86_RSP || m->base == X86_RBP;

    if (!(p->insn->prefixes & X86_PREFIX_SEGMENT)) {
        return false;
    }
    return p->mode->code_size != 8 || m->segment >= X86_FS ||
           m->segment != (stack ? X86_SS : X86_DS);
}

static void print_memory(Printer *p, const X86Operand *operand, unsigned n)
{
    unsigned code = p->row->operand[n].code;

    if (!is_table(p) && code != X86_CODE_O) {
        print_pointer(p, operand->size);
    }
    if (code == X86_CODE_O) {
        text_printf(p->text, "%s:0x%llx", segment_name(p->insn->memory.segment),
                    (unsigned long long)truncate((u64)operand->value, p->insn->address_size));
    } else {
        print_address(p, code == X86_CODE_XB || is_overridden(p));
    }
}

static void print_string(Printer *p, const X86Operand *operand)
{
    bool source = operand->kind == X86_OPERAND_STRING_SOURCE;

    print_pointer(p, operand->size);
    text_printf(p->text, "%s:[", source ? segment_name(p->insn->memory.segment) : "es");
    print_gpr(p, source ? X86_RSI : X86_RDI, p->insn->address_size);
    text_printf(p->text, "]");
}

/* -- Operands */

static void print_relative(Printer *p, s64 displacement)
{
    u64 target = p->pc + p->insn->size + (u64)displacement;

    if (p->mode->code_size != 8) {
        target = truncate(target, p->insn->operand_size);
    }
    text_printf(p->text, "0x%llx", (unsigned long long)target);
}

static void print_operand(Printer *p, unsigned n)
{
    const X86Operand *operand = &p->insn->operand[n];
    static const char *const high[] = {"ah", "ch", "dh", "bh"};

    switch ((X86OperandKind)operand->kind) {
    case X86_OPERAND_NONE:
        break;
    case X86_OPERAND_GPR:
        print_gpr(p, operand->number, operand->size);
        break;
    case X86_OPERAND_GPR_HIGH:
        text_printf(p->text, "%s", high[operand->number & 3]);
        break;
    case X86_OPERAND_MEMORY:
        print_memory(p, operand, n);
        break;
    case X86_OPERAND_IMMEDIATE:
    case X86_OPERAND_CONSTANT:
        text_printf(p->text, p->row->operand[n].code == X86_CODE_1 ? "%llu" : "0x%llx",
                    (unsigned long long)truncate((u64)operand->value, MAX(operand->size, 1)));
        break;
    case X86_OPERAND_RELATIVE:
        print_relative(p, operand->value);
        break;
    case X86_OPERAND_FAR:
        text_printf(p->text, "0x%x:0x%llx", p->insn->selector, (unsigned long long)operand->value);
        break;
    case X86_OPERAND_SEGMENT:
        text_printf(p->text, "%s", segment_name(operand->number));
        break;
    case X86_OPERAND_CONTROL:
        text_printf(p->text, "cr%u", operand->number);
        break;
    case X86_OPERAND_DEBUG:
        text_printf(p->text, "dr%u", operand->number);
        break;
    case X86_OPERAND_VECTOR:
        print_vector(p, operand->number, operand->size);
        break;
    case X86_OPERAND_MMX:
        text_printf(p->text, "mm%u", operand->number);
        break;
    case X86_OPERAND_ST:
        text_printf(p->text, p->row->operand[n].code == X86_CODE_ST0 ? "st" : "st(%u)",
                    operand->number);
        break;
    case X86_OPERAND_STRING_SOURCE:
    case X86_OPERAND_STRING_DESTINATION:
        print_string(p, operand);
        break;
    }
}

/* -- Names */

/* The part of `name` between bars that goes with a size; all of it if there are none. */
static void print_alternative(Printer *p, const char *name, unsigned size)
{
    const char *second = strchr(name, '|');

    if (!second) {
        text_printf(p->text, "%s", name);
        return;
    }
    for (unsigned skip = size == 2 ? 0 : size == 4 ? 1 : 2; skip; skip--) {
        name = strchr(name, '|') + 1;
    }
    text_printf(p->text, "%.*s", (int)strcspn(name, "|"), name);
}

/* Comparisons and carry-less multiplications have their immediate in the name. */
static bool print_pseudo(Printer *p)
{
    static const char *const relations[] = {
        "eq",    "lt",     "le",     "unord",    "neq",    "nlt",    "nle",    "ord",
        "eq_uq", "nge",    "ngt",    "false",    "neq_oq", "ge",     "gt",     "true",
        "eq_os", "lt_oq",  "le_oq",  "unord_s",  "neq_us", "nlt_uq", "nle_uq", "ord_s",
        "eq_us", "nge_uq", "ngt_uq", "false_os", "neq_os", "ge_oq",  "gt_oq",  "true_us"};
    static const char *const halves[] = {"lql", "hql", "lqh", "hqh"};
    u64 value = (u64)p->insn->operand[p->insn->operand_count - 1].value;
    const char *v = p->insn->vector_size ? "v" : "", *name = p->row->name + *v / 'v';

    if (p->row->handler == X86_DO_float_compare && value < (*v ? 32 : 8)) {
        text_printf(p->text, "%scmp%s%s", v, relations[value], name + 3);
        return true;
    }
    if (p->row->handler == X86_DO_PCLMULQDQ && (value & ~(u64)0x11) == 0) {
        text_printf(p->text, "%spclmul%sqdq", v, halves[(value & 1) | value >> 3]);
        return true;
    }
    return false;
}

static void print_prefixes(Printer *p)
{
    u8 prefixes = p->insn->prefixes;

    if (prefixes & X86_PREFIX_LOCK) {
        text_printf(p->text, "lock ");
    }
    if (p->row->attributes & (X86_REP | X86_REPZ)) {
        const char *rep = p->row->attributes & X86_REP ? "rep" : "repz";
        text_printf(p->text, "%s%s",
                    prefixes & X86_PREFIX_REP     ? rep
                    : prefixes & X86_PREFIX_REPNE ? "repnz"
                                                  : "",
                    prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE) ? " " : "");
    }
}

/* MOV with an address or value of 64 bits. */
static bool has_long_value(const Printer *p)
{
    const X86RowOperand *operand = p->row->operand;

    if (operand[0].code == X86_CODE_O || operand[1].code == X86_CODE_O) {
        return p->insn->address_size == 8;
    }
    return operand[1].code == X86_CODE_I && operand[1].size == X86_SIZE_v &&
           p->insn->operand_size == 8;
}

/* True if the last operand has become part of the name. */
static bool print_name(Printer *p)
{
    const char *name = p->row->name;
    size_t stem = strlen(name) - 2;
    bool by_address = p->row->attributes & X86_NAME_BY_ADDRESS;

    if (p->insn->operand_count && print_pseudo(p)) {
        return true;
    }
    if (has_long_value(p)) {
        text_printf(p->text, "movabs");
    } else if (p->row->attributes & INSN_READS_FLAGS && strlen(name) > 2 &&
               !strcmp(name + stem, "cc")) {
        text_printf(p->text, "%.*s%s", (int)stem, name, conditions[p->insn->opcode & 0xf]);
    } else {
        print_alternative(p, name, by_address ? p->insn->address_size : p->insn->operand_size);
    }
    return false;
}

int x86_disassemble(const X86Insn *insn, const X86DecodeMode *mode, u64 pc, char *text,
                    size_t text_size)
{
    Text to = {text, text_size, 0};
    Printer p = {&to, insn, &x86_rows[insn->row], mode, pc};
    unsigned count = insn->operand_count;

    print_prefixes(&p);
    count -= print_name(&p);
    for (unsigned n = 0; n < count; n++) {
        text_printf(&to, n ? "," : "\t");
        print_operand(&p, n);
    }
    return (int)to.length;
}

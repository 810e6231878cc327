/* Compares the CPU in real-address mode with what real ones did: tests captured from hardware in
 * the MOO format (version 1, 16-bit registers), as SingleStepTests publishes them for the 8086 and
 * the 80286.
 *
 *   x86-hardware [--verbose N] FILE...     FILE: not compressed
 *
 * A test is one instruction, repeated string instructions with all their iterations. Flags that are
 * undefined after it (the opcode tables', and what older CPUs did otherwise) are not compared, nor
 * are those bits of FLAGS that older CPUs don't have. See docs/howto-x86-instruction.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/system.h"
#include "x86_machine.h"

/* Registers in the order of the format. */
enum { AX, BX, CX, DX, CS, SS, DS, ES, SP, BP, SI, DI, IP, FLAGS, REGISTERS };

static const char *const names[REGISTERS] = {"ax", "bx", "cx", "dx", "cs", "ss", "ds",
                                             "es", "sp", "bp", "si", "di", "ip", "flags"};

typedef struct Chunk {
    char name[4];
    const u8 *data;
    u32 size;
} Chunk;

typedef struct Snapshot {
    u32 present; /* registers that it tells */
    u16 reg[REGISTERS];
    const u8 *ram; /* cells of 5 bytes: address, value */
    u32 cells;
} Snapshot;

typedef struct Test {
    bool is_8086;
    u32 number;
    char text[64];
    u8 bytes[16];
    u32 size;
    Snapshot before, after;
    bool raises;
    u8 vector;
} Test;

typedef struct Totals {
    bool is_8086;
    unsigned tests, failures, verbose;
} Totals;

/* -- The format */

static u32 get32(const u8 *at)
{
    u32 value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static u16 get16(const u8 *at)
{
    u16 value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* Takes the next chunk off [*at, end); false at the end. */
static bool next_chunk(const u8 **at, const u8 *end, Chunk *chunk)
{
    if (end - *at < 8 || get32(*at + 4) > (u32)(end - *at - 8)) {
        return false;
    }
    memcpy(chunk->name, *at, sizeof(chunk->name));
    chunk->size = get32(*at + 4);
    chunk->data = *at + 8;
    *at = chunk->data + chunk->size;
    return true;
}

static bool is(const Chunk *chunk, const char *name)
{
    return memcmp(chunk->name, name, sizeof(chunk->name)) == 0;
}

static void read_registers(const Chunk *chunk, Snapshot *s)
{
    const u8 *at = chunk->data + 2;

    s->present = get16(chunk->data);
    for (unsigned n = 0; n < REGISTERS; n++) {
        if (s->present >> n & 1) {
            s->reg[n] = get16(at);
            at += 2;
        }
    }
}

static void read_snapshot(const Chunk *outer, Snapshot *s)
{
    const u8 *at = outer->data;
    Chunk chunk;

    while (next_chunk(&at, outer->data + outer->size, &chunk)) {
        if (is(&chunk, "REGS")) {
            read_registers(&chunk, s);
        } else if (is(&chunk, "RAM ")) {
            s->cells = get32(chunk.data);
            s->ram = chunk.data + 4;
        }
    }
}

static Test read_test(const Chunk *outer)
{
    Test t = {.number = get32(outer->data)};
    const u8 *at = outer->data + 4;
    Chunk chunk;

    while (next_chunk(&at, outer->data + outer->size, &chunk)) {
        if (is(&chunk, "NAME")) {
            memcpy(t.text, chunk.data + 4, MIN(get32(chunk.data), (u32)sizeof(t.text) - 1));
        } else if (is(&chunk, "BYTS")) {
            t.size = MIN(get32(chunk.data), (u32)sizeof(t.bytes));
            memcpy(t.bytes, chunk.data + 4, t.size);
        } else if (is(&chunk, "INIT")) {
            read_snapshot(&chunk, &t.before);
        } else if (is(&chunk, "FINA")) {
            read_snapshot(&chunk, &t.after);
        } else if (is(&chunk, "EXCP")) {
            t.raises = true;
            t.vector = chunk.data[0];
        }
    }
    return t;
}

/* -- State */

enum { KNOWN_FLAGS = 0xfff };

static const u8 gpr_of[] = {[AX] = X86_RAX, [BX] = X86_RBX, [CX] = X86_RCX, [DX] = X86_RDX,
                            [SP] = X86_RSP, [BP] = X86_RBP, [SI] = X86_RSI, [DI] = X86_RDI};
static const u8 segment_of[] = {[CS] = X86_CS, [SS] = X86_SS, [DS] = X86_DS, [ES] = X86_ES};

static u16 get_register(const X86State *s, unsigned n)
{
    switch (n) {
    case CS:
    case SS:
    case DS:
    case ES:
        return s->segment[segment_of[n]].selector;
    case IP:
        return (u16)s->rip;
    case FLAGS:
        return (u16)x86_get_eflags(s);
    default:
        return (u16)s->gpr[gpr_of[n]];
    }
}

static void set_register(X86State *s, unsigned n, u16 value)
{
    switch (n) {
    case CS:
    case SS:
    case DS:
    case ES:
        x86_load_real(s, segment_of[n], value);
        break;
    case IP:
        s->rip = value;
        break;
    case FLAGS:
        x86_set_eflags(s, value & KNOWN_FLAGS);
        break;
    default:
        s->gpr[gpr_of[n]] = value;
        break;
    }
}

/* Where an 8086 does not go: handlers of exceptions that it does not have. */
enum { NOT_ON_8086 = 0xbeefdead };

static void set_up(Machine *m, const Test *t)
{
    guest_x86_64.reset(m->cpu, cpu_common(m->cpu));
    m->cpu->idt_limit = 0x3ff;
    if (t->is_8086) {
        static const u8 vectors[] = {X86_UD, X86_STACK, X86_GP};
        for (size_t i = 0; i < COUNT(vectors); i++) {
            memcpy(m->ram + 4 * vectors[i], &(u32){NOT_ON_8086}, 4);
        }
        m->cpu->a20_mask = ~(u64)(1 << 20);
    }
    for (unsigned n = 0; n < REGISTERS; n++) {
        set_register(m->cpu, n, t->before.reg[n]);
    }
    for (u32 i = 0; i < t->before.cells; i++) {
        const u8 *cell = t->before.ram + 5 * (size_t)i;
        m->ram[get32(cell) % m->ram_size] = cell[4];
    }
}

/* -- What is not compared */

/* Beside the tables' undefined flags: those that CPUs since the 386 set in another way. */
static const struct {
    const char *name;
    u16 flags;
} older[] = {
    {"rol", X86_EFLAGS_OF},
    {"ror", X86_EFLAGS_OF},
    {"rcl", X86_EFLAGS_OF},
    {"rcr", X86_EFLAGS_OF},
    {"shl", X86_EFLAGS_OF | X86_EFLAGS_AF | X86_EFLAGS_CF},
    {"shr", X86_EFLAGS_OF | X86_EFLAGS_AF | X86_EFLAGS_CF},
    {"sar", X86_EFLAGS_OF | X86_EFLAGS_AF},
};

static bool decode(const Test *t, X86Insn *insn)
{
    static const u64 all[4] = {~(u64)0, ~(u64)0, ~(u64)0, ~(u64)0};
    X86DecodeMode mode = {.code_size = 2, .real = true, .features = all};

    return x86_decode(t->bytes, t->size, &mode, insn) == X86_DECODE_OK;
}

static u16 undefined_flags(const Test *t)
{
    u16 flags = (u16)~KNOWN_FLAGS;
    X86Insn insn;

    if (!decode(t, &insn)) {
        return flags;
    }
    flags |= x86_rows[insn.row].undefined;
    if (t->raises && strcmp(x86_rows[insn.row].name, "aam") == 0) {
        flags |= X86_EFLAGS_STATUS; /* a division error has set them before */
    }
    for (size_t n = 0; n < COUNT(older); n++) {
        if (strcmp(x86_rows[insn.row].name, older[n].name) == 0) {
            flags |= older[n].flags;
        }
    }
    return flags;
}

/* -- A test */

static bool has_prefix(const Test *t, u8 prefix, u8 other)
{
    static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3};

    for (u32 i = 0; i < t->size && memchr(prefixes, t->bytes[i], sizeof(prefixes)); i++) {
        if (t->bytes[i] == prefix || t->bytes[i] == other) {
            return true;
        }
    }
    return false;
}

static bool is_repeated(const Test *t)
{
    return has_prefix(t, 0xf2, 0xf3);
}

/* What the 80286 did otherwise than all CPUs since: LOCK before any instruction, at most ten bytes,
 * no FS and GS; string instructions and POP that fault leave their registers changed. */
static bool is_different_since(const Test *t)
{
    enum { LONGEST = 10, HLT = 1 };
    X86Insn insn;
    bool is_string = false;

    if (!decode(t, &insn)) {
        return has_prefix(t, 0xf0, 0xf0);
    }
    for (unsigned n = 0; n < insn.operand_count; n++) {
        const X86Operand *o = &insn.operand[n];
        if (o->kind == X86_OPERAND_SEGMENT && o->number >= X86_FS) {
            return true;
        }
        is_string |=
            o->kind == X86_OPERAND_STRING_SOURCE || o->kind == X86_OPERAND_STRING_DESTINATION;
    }
    return t->size - HLT > LONGEST ||
           (t->raises && (is_string || strcmp(x86_rows[insn.row].name, "pop") == 0));
}

/* Opcodes that were others' twins, or had another meaning: Jcc at 60 to 6F, RET at C0 and C8, SETMO
 * at D0/6, POP CS; of segment registers two bits count. x87 instructions do nothing without an x87.
 */
static bool is_other_opcode_8086(const Test *t, const X86Insn *insn)
{
    static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3};
    const u8 *at = t->bytes;

    while (memchr(prefixes, *at, sizeof(prefixes))) {
        at++;
    }
    return *at == 0x0f || (*at & 0xf0) == 0x60 || (*at & 0xf6) == 0xc0 || (*at & 0xf8) == 0xd8 ||
           ((*at & 0xfc) == 0xd0 && (insn->modrm >> 3 & 7) == 6) ||
           ((*at & 0xfd) == 0x8c && insn->modrm & 0x20);
}

/* What the 8086 did otherwise than all CPUs since: PUSH SP stored the new SP, shift counts could be
 * above 31, AAA, AAS, DAA and DAS carried otherwise, IDIV refused a quotient of -128 and changed
 * signs under REP as IMUL did, division errors pushed the next address. Its segments end nowhere:
 * see is_beyond_8086(). */
static bool is_different_since_8086(const Test *t)
{
    static const char *const changed[] = {"aaa", "aas", "daa", "das", "idiv", "salc"};
    X86Insn insn;

    if (!decode(t, &insn) || is_other_opcode_8086(t, &insn)) {
        return true;
    }
    for (size_t i = 0; i < COUNT(changed); i++) {
        if (strcmp(x86_rows[insn.row].name, changed[i]) == 0) {
            return true;
        }
    }
    bool divides = insn.opcode == 0xf6 || insn.opcode == 0xf7 || insn.opcode == 0xd4;
    bool counts = insn.opcode == 0xd2 || insn.opcode == 0xd3;
    bool pushes_sp = insn.opcode == 0x54 || (insn.opcode == 0xff && insn.modrm == 0xf4);
    return pushes_sp || (counts && (u8)t->before.reg[CX] > 31) ||
           (divides && (is_repeated(t) || t->after.reg[IP] == 0x400));
}

/* Where FLAGS are on the stack afterwards, if so. The upper four bits were always ones on an 8086.
 * The format tells the address, but not the right one if SP was odd. */
static u32 pushed_flags(const Machine *m, const Test *t)
{
    u16 sp = (u16)m->cpu->gpr[X86_RSP];
    bool decodes, interrupts = t->raises;
    X86Insn insn = {0};

    decodes = decode(t, &insn);
    interrupts |= t->is_8086 && decodes && (insn.opcode & 0xfc) == 0xcc;
    if (!interrupts && !(t->is_8086 && insn.opcode == 0x9c)) {
        return ~(u32)0;
    }
    sp += interrupts ? 4 : 0;
    return (u32)(m->cpu->segment[X86_SS].base + sp) & (t->is_8086 ? 0xfffff : 0xffffff);
}

/* An operand or instruction that goes round a segment's end. */
static bool is_beyond_8086(const Machine *m, const Test *t)
{
    bool raised =
        m->cpu->rip == (u16)NOT_ON_8086 && m->cpu->segment[X86_CS].selector == NOT_ON_8086 >> 16;

    return t->is_8086 && (raised || m->cpu->shutdown);
}

/* In the stack segment as well the 80286 raised 13. */
static bool is_stack_fault(const Machine *m, const Test *t)
{
    enum { STACK_FAULT = 12 };

    return t->raises && t->vector == STACK_FAULT + 1 &&
           m->cpu->rip == get16(m->ram + 4 * STACK_FAULT) &&
           m->cpu->segment[X86_CS].selector == get16(m->ram + 4 * STACK_FAULT + 2);
}

static void execute(Machine *m, const Test *t)
{
    u16 cs = m->cpu->segment[X86_CS].selector;
    u64 rip = m->cpu->rip;

    for (unsigned n = 0; n < 1000; n++) {
        machine_step(m, 1);
        if (!is_repeated(t) || m->cpu->rip != rip || m->cpu->segment[X86_CS].selector != cs) {
            break;
        }
    }
}

/* One difference as text; false when there is none. The final IP is that behind an HLT, which comes
 * next. */
static bool differs(const Machine *m, const Test *t, char *text, size_t size)
{
    u16 undefined = undefined_flags(t);
    u32 flags_at = pushed_flags(m, t);

    for (unsigned n = 0; n < REGISTERS; n++) {
        u16 wanted = t->after.present >> n & 1 ? t->after.reg[n] : t->before.reg[n];
        u16 found = get_register(m->cpu, n);
        u16 mask = n == FLAGS ? (u16)~undefined : 0xffff;
        if (n == IP && !t->is_8086) {
            found += !m->cpu->halted;
        }
        if ((wanted ^ found) & mask) {
            snprintf(text, size, "%s is %04x, should be %04x", names[n], found, wanted);
            return true;
        }
    }
    for (u32 i = 0; i < t->after.cells; i++) {
        const u8 *cell = t->after.ram + 5 * (size_t)i;
        u32 at = get32(cell);
        u8 found = m->ram[at % m->ram_size], mask = 0xff;
        if (at - flags_at < 2) {
            mask = (u8) ~(undefined >> 8 * (at - flags_at));
        }
        if ((found ^ cell[4]) & mask) {
            snprintf(text, size, "[%05x] is %02x, should be %02x", at, found, cell[4]);
            return true;
        }
    }
    return false;
}

static void run_test(Machine *m, const Test *t, const char *path, Totals *totals)
{
    char text[100];

    if (t->is_8086 ? is_different_since_8086(t) : is_different_since(t)) {
        return;
    }
    set_up(m, t);
    execute(m, t);
    if (is_beyond_8086(m, t)) {
        return;
    }
    totals->tests++;
    if (!is_stack_fault(m, t) && differs(m, t, text, sizeof(text)) &&
        totals->failures++ < totals->verbose) {
        printf("%s %u: %s: %s;", path, t->number, t->text, text);
        for (u32 i = 0; i < t->size; i++) {
            printf(" %02x", t->bytes[i]);
        }
        printf("\n");
    }
}

/* -- Files */

static u8 *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    u8 *data = NULL;

    if (file && fseek(file, 0, SEEK_END) == 0) {
        *size = (size_t)ftell(file);
        rewind(file);
        data = malloc(*size);
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    if (file) {
        fclose(file);
    }
    return data;
}

static bool run_file(Machine *m, const char *path, unsigned verbose)
{
    Totals totals = {.verbose = verbose};
    size_t size = 0;
    u8 *data = read_file(path, &size);
    const u8 *at = data;
    Chunk chunk;

    if (!data || size < 20 || memcmp(data, "MOO ", 4) != 0) {
        fprintf(stderr, "x86-hardware: %s is no MOO file\n", path);
        free(data);
        return false;
    }
    totals.is_8086 = memcmp(data + 16, "8086", 4) == 0;
    while (next_chunk(&at, data + size, &chunk)) {
        if (is(&chunk, "TEST")) {
            Test t = read_test(&chunk);
            t.is_8086 = totals.is_8086;
            run_test(m, &t, path, &totals);
        }
    }
    printf("%s: %u of %u differ\n", path, totals.failures, totals.tests);
    free(data);
    return totals.failures == 0;
}

int main(int argc, char **argv)
{
    Machine *m = machine_new(0x200000);
    unsigned verbose = 3;
    bool good = true;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0 && i + 1 < argc) {
            verbose = (unsigned)strtoul(argv[++i], NULL, 0);
        } else {
            good &= run_file(m, argv[i], verbose);
        }
    }
    machine_free(m);
    return good ? 0 : 1;
}

/* Reads .opcodes files line by line: `class NAME`, `group NAME FORM=FEATURE...`, and rows:
 * encoding, name, operands, clauses. `#` begins a comment.
 * Must not judge rows beyond their form: that is check.c's work. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gen/opcodes/opcodes.h"

typedef struct Line {
    Tables *tables;
    Place at;
    const char *next;
    Row row;
    const Group *group;
    bool vex, half_mmx, mod3;
} Line;

static const char *word(Line *line)
{
    while (isspace((unsigned char)*line->next)) {
        line->next++;
    }
    const char *start = line->next;
    while (*line->next && !isspace((unsigned char)*line->next)) {
        line->next++;
    }
    return arena_printf(&line->tables->arena, "%.*s", (int)(line->next - start), start);
}

/* Whether `text` begins with `prefix`; *rest is what follows. */
static bool begins(const char *text, const char *prefix, const char **rest)
{
    size_t length = strlen(prefix);

    *rest = text + length;
    return strncmp(text, prefix, length) == 0;
}

/* -- Encodings */

static unsigned prefix_bit(const char *text, size_t length)
{
    static const char *const names[] = {"NP", "66", "F3", "F2"};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (length == 2 && strncmp(names[i], text, 2) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

/* NP, 66, F3, F2, or several with slashes between. */
static bool parse_prefixes(Line *line, const char *text)
{
    unsigned set = 0;

    for (;;) {
        size_t length = strcspn(text, "/");
        unsigned bit = prefix_bit(text, length);
        if (!bit) {
            return false;
        }
        set |= bit;
        if (!text[length]) {
            break;
        }
        text += length + 1;
    }
    line->row.prefixes = (u8)set;
    return true;
}

/* VEX, then any of .NP .66 .F3 .F2 .W0 .W1 .L0 .L1 */
static bool parse_vex(Line *line, const char *text)
{
    static const struct {
        const char *name;
        u32 demand;
    } parts[] = {{"W0", DEMAND_W0}, {"W1", DEMAND_W1}, {"L0", DEMAND_L0}, {"L1", DEMAND_L1}};

    if (!begins(text, "VEX", &text)) {
        return false;
    }
    line->vex = true;
    line->row.prefixes = PREFIX_NP;
    while (*text == '.') {
        size_t length = strcspn(++text, ".");
        unsigned bit = prefix_bit(text, length), i;
        for (i = 0; !bit && i < COUNT(parts) && strncmp(parts[i].name, text, length) != 0; i++) {
        }
        if (bit) {
            line->row.prefixes = (u8)bit;
        } else if (i == COUNT(parts)) {
            opcodes_fail(line->at, "'%s' is no part of a VEX encoding", text);
        } else {
            line->row.demands |= parts[i].demand;
        }
        text += length;
    }
    return true;
}

static bool parse_rex(Line *line, const char *text)
{
    if (strcmp(text, "REX.W") == 0) {
        line->row.demands |= DEMAND_W1;
    } else if (strcmp(text, "REX.B0") == 0) {
        line->row.demands |= DEMAND_NO_REX_B;
    } else {
        return false;
    }
    return true;
}

static bool parse_map(Line *line, const char *text)
{
    static const char *const names[] = {"", "0F", "0F38", "0F3A"};

    for (int i = MAP_0F; i <= MAP_0F3A; i++) {
        if (strcmp(names[i], text) == 0) {
            line->row.map = i;
            return true;
        }
    }
    return false;
}

/* Fixes bits of ModRM. */
static void fix_modrm(Line *line, unsigned mask, unsigned bits)
{
    line->row.modrm_mask |= (u8)mask;
    line->row.modrm_bits |= (u8)bits;
    line->row.has_modrm = true;
}

/* Two hexadecimal digits, then nothing, /0../7 with r for a register, +r or +cc; behind an opcode,
 * two more are the whole ModRM byte. */
static bool parse_opcode(Line *line, const char *text)
{
    if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
        !strchr("/+", text[2])) {
        return false;
    }
    int byte = (int)strtol((char[]){text[0], text[1], '\0'}, NULL, 16);
    text += 2;
    if (line->row.opcode >= 0) {
        fix_modrm(line, 0xff, (unsigned)byte);
        return !*text;
    }
    line->row.opcode = byte;
    line->row.opcode_count = 1;
    if (strcmp(text, "+r") == 0 || strcmp(text, "+cc") == 0) {
        line->row.opcode_count = text[1] == 'r' ? 8 : 16;
    } else if (*text == '/') {
        if (text[1] < '0' || text[1] > '7' || (text[2] && strcmp(text + 2, "r") != 0)) {
            opcodes_fail(line->at, "'%s' is not /0 to /7 or /0r to /7r", text);
        }
        fix_modrm(line, 0x38, (unsigned)(text[1] - '0') << 3);
        if (text[2]) {
            fix_modrm(line, 0xc0, 0xc0);
        }
    }
    return true;
}

/* All words of the encoding; returns the one behind them. */
static const char *parse_encoding(Line *line, const char *text)
{
    for (;; text = word(line)) {
        bool before_map = line->row.opcode < 0 && line->row.map == MAP_ONE;
        if (before_map && (parse_prefixes(line, text) || parse_vex(line, text) ||
                           parse_rex(line, text) || parse_map(line, text))) {
            continue;
        }
        if (!parse_opcode(line, text)) {
            break;
        }
    }
    if (line->row.opcode < 0) {
        opcodes_fail(line->at, "expected an opcode before '%s'", text);
    }
    if (line->vex) {
        if (line->row.map == MAP_ONE) {
            opcodes_fail(line->at, "VEX encodings are of map 0F, 0F38 or 0F3A");
        }
        line->row.map += MAP_VEX - MAP_0F;
    }
    return text;
}

/* -- Operands */

/* Operand codes. Those without sizes are fixed registers. */
static const struct {
    const char *name;
    bool sized, modrm;
    u32 demand;      /* DEMAND_MEMORY */
    bool register_3; /* mod must be 3 */
} codes[] = {
    {"XMM0"},
    {"ST0"},
    {"STi", .modrm = true, .register_3 = true},
    {"AL"},
    {"CL"},
    {"AX"},
    {"DX"},
    {"rAX"},
    {"eAX"},
    {"1"},
    {"ES"},
    {"CS"},
    {"SS"},
    {"DS"},
    {"FS"},
    {"GS"},
    {"sI", true},
    {"XB", true},
    {"A", true},
    {"B", true},
    {"C", true, true},
    {"D", true, true},
    {"E", true, true},
    {"G", true, true},
    {"H", true},
    {"I", true},
    {"J", true},
    {"L", true},
    {"M", true, true, DEMAND_MEMORY},
    {"N", true, true, 0, true},
    {"O", true},
    {"P", true, true},
    {"Q", true, true},
    {"R", true, true, 0, true},
    {"S", true, true},
    {"U", true, true, 0, true},
    {"V", true, true},
    {"W", true, true},
    {"X", true},
    {"Y", true},
    {"Z", true},
};

static const char *const sizes[] = {
    "b", "w", "d", "q", "dq", "qq", "x",  "xh", "xq", "xe", "ss", "sd",  "v",     "z",      "y",
    "t", "s", "p", "a", "vw", "db", "dw", "dd", "qd", "f",  "fs", "512", "14/28", "94/108",
};

/* r:, w:, rw: or n:, else read; then code and size. */
static void parse_operand(Line *line, const char *text)
{
    Row *row = &line->row;
    const char *colon = strchr(text, ':'), *code = colon ? colon + 1 : text, *size = NULL;
    Operand operand = {.read = !colon || strchr(text, 'r') == text,
                       .write = colon && memchr(text, 'w', (size_t)(colon - text))};
    unsigned i, j;

    for (i = 0; i < COUNT(codes); i++) {
        if (begins(code, codes[i].name, &size) && (codes[i].sized || !*size)) {
            break;
        }
    }
    for (j = 0; i < COUNT(codes) && codes[i].sized && *size && j < COUNT(sizes) &&
                strcmp(sizes[j], size) != 0;
         j++) {
    }
    if (i == COUNT(codes) || j == COUNT(sizes)) {
        opcodes_fail(line->at, "unknown operand '%s'", text);
    }
    if (row->operand_count == MAX_OPERANDS) {
        opcodes_fail(line->at, "more than %d operands", MAX_OPERANDS);
    }
    operand.code = codes[i].name;
    operand.size = *size ? sizes[j] : NULL;
    row->demands |= codes[i].demand;
    row->has_modrm |= codes[i].modrm;
    if (codes[i].register_3) {
        fix_modrm(line, 0xc0, 0xc0);
    }
    row->operand[row->operand_count++] = operand;
}

static void parse_operands(Line *line, const char *text)
{
    char *list = arena_strdup(&line->tables->arena, text), *save = NULL;

    if (strcmp(text, "-") == 0) {
        return;
    }
    for (char *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        parse_operand(line, item);
    }
}

/* -- Clauses */

static void attribute(Line *line, const char *name)
{
    line->row.attributes =
        arena_printf(&line->tables->arena, "%s | %s", line->row.attributes, name);
}

static const char *upper(Line *line, const char *text)
{
    char *copy = arena_strdup(&line->tables->arena, text);

    for (char *c = copy; *c; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    return copy;
}

/* `handler` or `handler(argument)` */
static void parse_handler(Line *line, const char *text)
{
    size_t name = strcspn(text, "("), length = strlen(text);

    line->row.handler = arena_printf(&line->tables->arena, "%.*s", (int)name, text);
    if (text[name]) {
        if (text[length - 1] != ')') {
            opcodes_fail(line->at, "'%s' lacks its closing parenthesis", text);
        }
        line->row.argument =
            arena_printf(&line->tables->arena, "%.*s", (int)(length - name - 2), text + name + 1);
    }
}

static void parse_undefined(Line *line, const char *text)
{
    char *list = arena_strdup(&line->tables->arena, text), *save = NULL;

    for (char *flag = strtok_r(list, ",", &save); flag; flag = strtok_r(NULL, ",", &save)) {
        line->row.undefined =
            arena_printf(&line->tables->arena, "%s | X86_EFLAGS_%s", line->row.undefined, flag);
    }
}

static void parse_need(Line *line, const char *text)
{
    size_t first = strcspn(text, "+");

    line->row.need[0] = arena_printf(&line->tables->arena, "%.*s", (int)first, text);
    line->row.need[1] = text[first] ? text + first + 1 : NULL;
}

static bool parse_valued(Line *line, const char *text)
{
    const char *value;

    if (begins(text, "do=", &value)) {
        parse_handler(line, value);
    } else if (begins(text, "as=", &value)) {
        line->row.name = value;
    } else if (begins(text, "need=", &value)) {
        parse_need(line, value);
    } else if (begins(text, "lock=", &value)) {
        line->row.lock = upper(line, value);
    } else if (begins(text, "undefined=", &value)) {
        parse_undefined(line, value);
    } else if (begins(text, "vsib=", &value)) {
        line->row.vsib = value;
    } else {
        return false;
    }
    return true;
}

static void parse_clause(Line *line, const char *text)
{
    static const struct {
        const char *text, *name;
    } attributes[] = {
        {"raw", "X86_RAW"},
        {"ends", "INSN_ENDS"},
        {"d64", "X86_D64"},
        {"f64", "X86_F64"},
        {"cpl0", "X86_CPL0"},
        {"rep", "X86_REP"},
        {"repz", "X86_REPZ"},
        {"io", "X86_IO"},
        {"asize", "X86_NAME_BY_ADDRESS"},
        {"approximate", "X86_APPROXIMATE"},
        {"alias", "X86_ALIAS"},
        {"random=no", "INSN_NOT_RANDOM"},
        {"flags=read", "INSN_READS_FLAGS"},
        {"flags=write", "INSN_WRITES_FLAGS"},
    };
    static const struct {
        const char *text;
        u32 demand;
    } demands[] = {
        {"i64", DEMAND_NOT_CODE64}, {"o64", DEMAND_CODE64}, {"protected", DEMAND_PROTECTED}};

    if (parse_valued(line, text)) {
        return;
    }
    for (unsigned i = 0; i < COUNT(attributes); i++) {
        if (strcmp(attributes[i].text, text) == 0) {
            attribute(line, attributes[i].name);
            return;
        }
    }
    for (unsigned i = 0; i < COUNT(demands); i++) {
        if (strcmp(demands[i].text, text) == 0) {
            line->row.demands |= demands[i].demand;
            return;
        }
    }
    if (strcmp(text, "half_mmx") == 0) {
        line->half_mmx = true;
    } else if (strcmp(text, "mod3") == 0) {
        line->mod3 = true;
    } else {
        opcodes_fail(line->at, "unknown clause '%s'", text);
    }
}

/* -- Lines */

void add_row(Tables *tables, const Row *row)
{
    Row *copy = ARENA_NEW(&tables->arena, Row);

    if (tables->row_count == MAX_ROWS) {
        opcodes_fail(row->at, "more than %d rows", MAX_ROWS);
    }
    *copy = *row;
    tables->row[tables->row_count++] = copy;
}

static void parse_row(Line *line, const char *first)
{
    Tables *tables = line->tables;
    Row *row = &line->row;

    row->at = line->at;
    row->class_name = tables->class_name;
    row->opcode = -1;
    row->prefixes = PREFIX_ANY;
    row->attributes = row->undefined = "0";
    row->name = parse_encoding(line, first);
    row->handler = row->name;
    parse_operands(line, word(line));
    for (const char *clause = word(line); *clause; clause = word(line)) {
        parse_clause(line, clause);
    }
    if (line->mod3) { /* mod is ignored: both operands are registers */
        row->modrm_mask = row->modrm_bits = 0;
    }
    if (line->group) {
        group_expand(tables, line->group, row, line->half_mmx);
    } else {
        add_row(tables, row);
    }
}

/* `group NAME FORM=FEATURE...` */
static void parse_group(Line *line)
{
    Tables *tables = line->tables;

    if (tables->group_count == MAX_GROUPS) {
        opcodes_fail(line->at, "more than %d groups", MAX_GROUPS);
    }
    Group *group = &tables->group[tables->group_count++];
    group->name = word(line);
    for (const char *text = word(line); *text; text = word(line)) {
        const char *equals = strchr(text, '=');
        if (!equals || group->form_count == MAX_FORMS) {
            opcodes_fail(line->at, "expected FORM=FEATURE instead of '%s'", text);
        }
        group->form[group->form_count++] =
            (Form){arena_printf(&tables->arena, "%.*s", (int)(equals - text), text), equals + 1};
    }
}

static void parse_line(Line *line)
{
    Tables *tables = line->tables;
    const char *first = word(line);

    if (!*first) {
        return;
    }
    if (strcmp(first, "class") == 0) {
        tables->class_name = word(line);
        return;
    }
    if (strcmp(first, "group") == 0) {
        parse_group(line);
        return;
    }
    for (int i = 0; i < tables->group_count; i++) {
        if (strcmp(tables->group[i].name, first) == 0) {
            line->group = &tables->group[i];
            first = word(line);
        }
    }
    parse_row(line, first);
}

void opcodes_parse(Tables *tables, const char *path)
{
    Place at = {arena_strdup(&tables->arena, path), 0};
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (!in) {
        opcodes_fail(at, "%s", strerror(errno));
    }
    tables->class_name = "other";
    while (getline(&text, &size, in) >= 0) {
        at.line++;
        text[strcspn(text, "#")] = '\0';
        Line line = {.tables = tables, .at = at, .next = text};
        parse_line(&line);
    }
    free(text);
    fclose(in);
}

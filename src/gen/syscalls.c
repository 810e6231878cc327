/* gen-syscalls: system call tables in, C out.
 *
 *   gen-syscalls structs.def syscalls.def ioctls.def HOST.def GUEST.def OUTPUT.c
 *   gen-syscalls structs.def OUTPUT.h
 *
 * The notation is described at the head of the .def files. The first form defines, for one guest
 * ABI on one host ABI, the structure layouts, flag sets and the tables of user/syscall.h; the
 * second an enumeration of all structures. An error names file and line; the output is written only
 * when there is none. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 512, MAX_FIELDS = 64, MAX_ROWS = 600, MAX_STRUCTS = 128, NAME = 48 };

typedef struct Abi {
    char name[NAME];
    char order[NAME];
    unsigned long_size, pointer_size, time_size;
    unsigned largest_align; /* of a structure's field */
    bool pairs_aligned;     /* 64-bit arguments of 32-bit ABIs start in an even register */
} Abi;

typedef struct Field {
    char name[NAME];
    char kind; /* 's' 'u' 'p' 'c' */
    unsigned offset, size, count;
} Field;

typedef struct Layout {
    unsigned field_count, size;
    Field fields[MAX_FIELDS];
} Layout;

/* Text of one definition; resolved per ABI when all files are read. */
typedef struct Definition {
    char name[NAME];
    char abi[NAME]; /* empty: the canonical one */
    char *text;
    bool bits;
} Definition;

typedef struct Row {
    char name[NAME];
    char abi[NAME]; /* which guests it is for; empty: those without a row of their own */
    char *text;
} Row;

typedef struct Ioctl {
    char name[NAME];
    char number[NAME]; /* C notation, or read(X,N[,TYPE]) write(...) both(...) */
    char direction[NAME];
    char structure[NAME];
} Ioctl;

typedef struct Input {
    Abi host, guest;
    Definition definitions[MAX_STRUCTS * 2];
    unsigned definition_count;
    Row rows[MAX_ROWS];
    unsigned row_count;
    Ioctl ioctls[MAX_ROWS];
    unsigned ioctl_count;
    struct {
        char name[NAME];
        int number;
    } numbers[MAX_ROWS];
    unsigned number_count;
} Input;

static const char *current_file;
static int current_line;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: ", current_file, current_line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void copy_name(char *to, const char *from, size_t length)
{
    if (length >= NAME) {
        fail("name too long: %.*s", (int)length, from);
    }
    memcpy(to, from, length);
    to[length] = 0;
}

/* The next word of *text, which moves past it; NULL at the end. Modifies the text. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, " \t\n");

    if (!*word) {
        return NULL;
    }
    char *end = word + strcspn(word, " \t\n");
    *text = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static char *need_word(char **text, const char *what)
{
    char *word = next_word(text);

    if (!word) {
        fail("%s expected", what);
    }
    return word;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void read_definition(Input *in, char *keyword, char *rest)
{
    bool layout = !strncmp(keyword, "layout", 6);

    if (in->definition_count == MAX_STRUCTS * 2) {
        fail("too many definitions");
    }
    Definition *d = &in->definitions[in->definition_count++];
    d->bits = strstr(keyword, "bits") != NULL;
    char *name = need_word(&rest, "name");
    copy_name(d->name, name, strlen(name));
    if (layout) {
        char *abi = need_word(&rest, "ABI");
        copy_name(d->abi, abi, strlen(abi));
    }
    d->text = strdup(rest);
}

static void read_numbers(Input *in, char *rest)
{
    for (char *word; (word = next_word(&rest));) {
        char *equals = strchr(word, '=');
        if (!equals || in->number_count == MAX_ROWS) {
            fail("bad number: %s", word);
        }
        copy_name(in->numbers[in->number_count].name, word, (size_t)(equals - word));
        in->numbers[in->number_count++].number = atoi(equals + 1);
    }
}

/* Fills what ABI files may leave out. */
static void set_abi_defaults(Abi *abi)
{
    abi->largest_align = 8;
}

static void read_abi_line(Input *in, Abi *abi, char *keyword, char *rest)
{
    if (!strcmp(keyword, "nr")) {
        read_numbers(in, rest);
        return;
    }
    char *value = need_word(&rest, "value");
    if (!strcmp(keyword, "endian")) {
        copy_name(abi->order, value, strlen(value));
    } else if (!strcmp(keyword, "long")) {
        abi->long_size = (unsigned)atoi(value);
    } else if (!strcmp(keyword, "ptr")) {
        abi->pointer_size = (unsigned)atoi(value);
    } else if (!strcmp(keyword, "time")) {
        abi->time_size = (unsigned)atoi(value);
    } else if (!strcmp(keyword, "align")) {
        abi->largest_align = (unsigned)atoi(value);
    } else if (!strcmp(keyword, "pairs")) {
        abi->pairs_aligned = !strcmp(value, "aligned");
    } else {
        fail("unknown keyword: %s", keyword);
    }
}

static void read_ioctl(Input *in, char *name, char *rest)
{
    if (in->ioctl_count == MAX_ROWS) {
        fail("too many rows");
    }
    Ioctl *row = &in->ioctls[in->ioctl_count++];
    copy_name(row->name, name, strlen(name));
    char *number = need_word(&rest, "number");
    copy_name(row->number, number, strlen(number));
    char *direction = need_word(&rest, "direction");
    copy_name(row->direction, direction, strlen(direction));
    char *structure = need_word(&rest, "structure");
    copy_name(row->structure, structure, strlen(structure));
}

static void read_line(Input *in, Abi *abi, char *line)
{
    char *rest = line, *keyword = next_word(&rest);

    if (!keyword || keyword[0] == '#') {
        return;
    }
    if (abi) {
        read_abi_line(in, abi, keyword, rest);
    } else if (strstr(current_file, "ioctls.def")) {
        read_ioctl(in, keyword, rest);
    } else if (strstr(current_file, "syscalls.def")) {
        if (in->row_count == MAX_ROWS) {
            fail("too many rows");
        }
        Row *row = &in->rows[in->row_count++];
        size_t length = strcspn(keyword, "@");
        copy_name(row->name, keyword, length);
        copy_name(row->abi, keyword + length + (keyword[length] != 0),
                  strlen(keyword + length + (keyword[length] != 0)));
        row->text = strdup(rest);
    } else if (!strcmp(keyword, "struct") || !strcmp(keyword, "bits") ||
               !strcmp(keyword, "layout") || !strcmp(keyword, "layout-bits")) {
        read_definition(in, keyword, rest);
    } else {
        fail("unknown keyword: %s", keyword);
    }
}

static void read_file(Input *in, const char *path, Abi *abi)
{
    static char line[8192];
    FILE *file = fopen(path, "r");

    current_file = path;
    current_line = 0;
    if (abi) {
        set_abi_defaults(abi);
    }
    if (!file) {
        fail("%s", strerror(errno));
    }
    while (fgets(line, sizeof line, file)) {
        current_line++;
        read_line(in, abi, line);
    }
    fclose(file);
    if (abi) { /* x86_64.def -> x86_64 */
        const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        copy_name(abi->name, base, strcspn(base, "."));
    }
}

/* "32" or "64": what rows and layouts may say instead of one ABI's name. */
static const char *abi_class(const Abi *abi)
{
    return abi->long_size == 4 ? "32" : "64";
}

static const Definition *find_definition(const Input *in, const char *name, const char *abi,
                                         bool bits)
{
    for (unsigned i = 0; i < in->definition_count; i++) {
        const Definition *d = &in->definitions[i];
        if (d->bits == bits && !strcmp(d->name, name) && !strcmp(d->abi, abi)) {
            return d;
        }
    }
    return NULL;
}

/* How ABI differs from the canonical definition: its own, its class's, or NULL. */
static const Definition *find_own(const Input *in, const char *name, const Abi *abi, bool bits)
{
    const Definition *own = find_definition(in, name, abi->name, bits);

    return own ? own : find_definition(in, name, abi_class(abi), bits);
}

/* --- structures ------------------------------------------------------------------------------- */

static void parse_type(const Abi *abi, const char *type, Field *field)
{
    const char *bracket = strchr(type, '[');
    size_t length = bracket ? (size_t)(bracket - type) : strlen(type);
    char base[NAME];

    copy_name(base, type, length);
    field->count = bracket ? (unsigned)atoi(bracket + 1) : 1;
    field->kind = base[0];
    if (!strcmp(base, "long") || !strcmp(base, "ulong")) {
        field->size = abi->long_size;
        field->kind = base[0] == 'l' ? 's' : 'u';
    } else if (!strcmp(base, "ptr")) {
        field->size = abi->pointer_size;
    } else if (!strcmp(base, "time")) {
        field->size = abi->time_size;
        field->kind = 's';
    } else if (!strcmp(base, "char")) {
        field->size = 1;
    } else if ((base[0] == 'u' || base[0] == 's') && atoi(base + 1) % 8 == 0 && atoi(base + 1)) {
        field->size = (unsigned)atoi(base + 1) / 8;
    } else {
        fail("unknown type: %s", type);
    }
}

static void lay_out(const Abi *abi, const char *text, Layout *layout)
{
    char *copy = strdup(text), *rest = copy;
    unsigned align = 1, offset = 0;
    bool packed = false;

    memset(layout, 0, sizeof *layout);
    for (char *word; (word = next_word(&rest));) {
        if (!strcmp(word, "packed")) {
            packed = true;
            continue;
        }
        if (!strncmp(word, "host=", 5)) {
            continue;
        }
        char *colon = strchr(word, ':');
        if (!colon || layout->field_count == MAX_FIELDS) {
            fail("bad field: %s", word);
        }
        Field *field = &layout->fields[layout->field_count++];
        copy_name(field->name, word, (size_t)(colon - word));
        parse_type(abi, colon + 1, field);
        if (!packed) {
            unsigned own = field->size < abi->largest_align ? field->size : abi->largest_align;
            offset = (offset + own - 1) / own * own;
            align = own > align ? own : align;
        }
        field->offset = offset;
        offset += field->size * field->count;
    }
    layout->size = (offset + align - 1) / align * align;
    free(copy);
}

static void lay_out_for(const Input *in, const Abi *abi, const Definition *canonical,
                        Layout *layout)
{
    const Definition *own = find_own(in, canonical->name, abi, false);

    lay_out(abi, own ? own->text : canonical->text, layout);
}

/* The host's side, which is another structure when the definition starts with host=NAME. */
static void lay_out_for_host(const Input *in, const Definition *canonical, Layout *layout)
{
    const Definition *d = canonical;
    const char *text = d->text + strspn(d->text, " \t");
    char name[NAME];

    if (!strncmp(text, "host=", 5)) {
        copy_name(name, text + 5, strcspn(text + 5, " \t\n"));
        d = find_definition(in, name, "", false);
        if (!d) {
            fail("struct %s: no structure named %s", canonical->name, name);
        }
    }
    lay_out_for(in, &in->host, d, layout);
}

static const Field *find_field(const Layout *layout, const char *name)
{
    for (unsigned i = 0; i < layout->field_count; i++) {
        if (!strcmp(layout->fields[i].name, name)) {
            return &layout->fields[i];
        }
    }
    return NULL;
}

static bool same_layout(const Input *in, const Layout *a, const Layout *b)
{
    if (a->size != b->size || strcmp(in->host.order, in->guest.order)) {
        return false;
    }
    for (unsigned i = 0; i < a->field_count; i++) {
        const Field *f = &a->fields[i], *g = find_field(b, f->name);
        if (strcmp(f->name, "_") && (!g || f->offset != g->offset || f->size != g->size)) {
            return false;
        }
    }
    return true;
}

static void emit_struct(const Input *in, const Definition *d, FILE *out)
{
    Layout guest, host;
    unsigned count = 0;

    lay_out_for(in, &in->guest, d, &guest);
    lay_out_for_host(in, d, &host);
    fprintf(out, "static const StructField fields_%s[] = {\n", d->name);
    for (unsigned i = 0; i < guest.field_count; i++) {
        const Field *g = &guest.fields[i], *h = find_field(&host, g->name);
        if (!strcmp(g->name, "_")) {
            continue;
        }
        if (!h || h->count != g->count) {
            fail("struct %s: field %s differs in the host's layout", d->name, g->name);
        }
        fprintf(out, "    {\"%s\", %u, %u, %u, %u, '%c', %u},\n", g->name, g->offset, h->offset,
                g->size, h->size, g->kind, g->count);
        count++;
    }
    fprintf(out, "};\nconst StructLayout %s_struct_%s = {\"%s\", %u, %u, %s, %u, fields_%s};\n\n",
            in->guest.name, d->name, d->name, guest.size, host.size,
            same_layout(in, &guest, &host) ? "true" : "false", count, d->name);
}

/* --- flag sets -------------------------------------------------------------------------------- */

/* The value text of WORD in a list of WORD=value; false when it is not there. */
static bool find_value(const Definition *d, const char *word, char *value)
{
    if (!d) {
        return false;
    }
    size_t length = strlen(word);
    for (const char *at = d->text; (at = strstr(at, word)); at += length) {
        bool starts = at == d->text || at[-1] == ' ' || at[-1] == '\t';
        if (starts && at[length] == '=') {
            copy_name(value, at + length + 1, strcspn(at + length + 1, " \t\n"));
            return true;
        }
    }
    return false;
}

/* C expression "value" and "mask" of "value[/mask]". */
static void split_value(char *value, const char **mask)
{
    char *slash = strchr(value, '/');

    *mask = slash ? slash + 1 : value;
    if (slash) {
        *slash = 0;
    }
}

static void emit_bits(const Input *in, const Definition *d, FILE *out)
{
    const Definition *for_guest = find_own(in, d->name, &in->guest, true);
    const Definition *for_host = find_own(in, d->name, &in->host, true);
    char *copy = strdup(d->text), *rest = copy;
    bool same = true;
    unsigned count = 0;

    fprintf(out, "static const BitName words_%s[] = {\n", d->name);
    for (char *word; (word = next_word(&rest)); count++) {
        char guest[NAME], host[NAME];
        const char *guest_mask, *host_mask;
        char *equals = strchr(word, '=');
        if (!equals) {
            fail("bits %s: bad word %s", d->name, word);
        }
        *equals = 0;
        copy_name(guest, equals + 1, strlen(equals + 1));
        copy_name(host, guest, strlen(guest));
        find_value(for_guest, word, guest);
        find_value(for_host, word, host);
        same = same && !strcmp(guest, host);
        split_value(guest, &guest_mask);
        split_value(host, &host_mask);
        fprintf(out, "    {\"%s\", %s, %s, %s},\n", word, guest, host, guest_mask);
    }
    fprintf(out, "};\nconst BitSet %s_bits_%s = {\"%s\", %s, %u, words_%s};\n\n", in->guest.name,
            d->name, d->name, same ? "true" : "false", count, d->name);
    free(copy);
}

/* --- calls -------------------------------------------------------------------------------------
 */

typedef struct Argument {
    char name[NAME];
    char type[NAME];    /* before ( or [ */
    char inner[NAME];   /* in (...) or empty */
    char bracket[NAME]; /* in [...] or empty */
} Argument;

typedef struct Call {
    Argument arguments[6];
    unsigned count;
    char result[NAME];
    char handler[NAME]; /* empty: the kernel */
    char host_name[NAME];
    char host_arguments[NAME * 2]; /* in as NAME(...), or empty: the same */
    bool raw;
} Call;

static void take_enclosed(const char *text, char open, char close, char *into)
{
    const char *start = strchr(text, open), *end = start ? strchr(start, close) : NULL;

    into[0] = 0;
    if (start) {
        if (!end) {
            fail("'%c' expected in %s", close, text);
        }
        copy_name(into, start + 1, (size_t)(end - start - 1));
    }
}

static void parse_argument(const char *word, Argument *a)
{
    const char *colon = strchr(word, ':');

    if (!colon) {
        fail("NAME:TYPE expected, not %s", word);
    }
    copy_name(a->name, word, (size_t)(colon - word));
    copy_name(a->type, colon + 1, strcspn(colon + 1, "(["));
    take_enclosed(colon, '(', ')', a->inner);
    take_enclosed(colon, '[', ']', a->bracket);
}

/* NAME or NAME(argument,...) */
static void parse_host_call(Call *call, const char *word)
{
    size_t length = strcspn(word, "(");

    copy_name(call->host_name, word, length);
    if (word[length]) {
        size_t inside = strcspn(word + length + 1, ")");
        if (inside >= sizeof call->host_arguments || word[length + 1 + inside] != ')') {
            fail("bad host's call %s", word);
        }
        memcpy(call->host_arguments, word + length + 1, inside);
        call->host_arguments[inside] = 0;
    }
}

static void parse_call(const Row *row, Call *call)
{
    char *copy = strdup(row->text), *rest = copy, *word;

    memset(call, 0, sizeof *call);
    while ((word = next_word(&rest)) && strcmp(word, "->")) {
        if (call->count == 6) {
            fail("%s: more than six arguments", row->name);
        }
        parse_argument(word, &call->arguments[call->count++]);
    }
    if (!word) {
        fail("%s: no result", row->name);
    }
    word = need_word(&rest, "result");
    copy_name(call->result, word, strlen(word));
    copy_name(call->host_name, row->name, strlen(row->name));
    word = next_word(&rest);
    if (word && !strcmp(word, "as")) {
        parse_host_call(call, need_word(&rest, "host's call"));
        word = next_word(&rest);
    }
    if (word && !strcmp(word, "raw")) {
        call->raw = true;
        snprintf(call->handler, sizeof call->handler, "sys_%.40s", row->name);
    } else if (word && !strcmp(word, "by")) {
        word = need_word(&rest, "function");
        copy_name(call->handler, word, strlen(word));
    } else if (word) {
        fail("%s: unexpected %s", row->name, word);
    }
    free(copy);
}

static const struct {
    const char *type, *kind;
    bool int32;
} scalar_types[] = {
    {"int", "ARGUMENT_SIGNED", true},    {"uint", "ARGUMENT_UNSIGNED", true},
    {"long", "ARGUMENT_SIGNED", false},  {"ulong", "ARGUMENT_UNSIGNED", false},
    {"hex", "ARGUMENT_HEX", false},      {"size", "ARGUMENT_UNSIGNED", false},
    {"off", "ARGUMENT_SIGNED", false},   {"mode", "ARGUMENT_OCTAL", false},
    {"loff", "ARGUMENT_SIGNED", false},  {"hexpair", "ARGUMENT_HEX", false},
    {"pos", "ARGUMENT_SIGNED", false},   {"uid16", "ARGUMENT_UID16", true},
    {"fd", "ARGUMENT_SIGNED", true},     {"dirfd", "ARGUMENT_DIRECTORY", true},
    {"pid", "ARGUMENT_SIGNED", true},    {"uid", "ARGUMENT_SIGNED", true},
    {"signal", "ARGUMENT_SIGNAL", true}, {"ptr", "ARGUMENT_HEX", false},
    {"str", "ARGUMENT_STRING", false},   {"bits", "ARGUMENT_BITS", false},
    {"path", "ARGUMENT_PATH", false},    {"in", "ARGUMENT_IN", false},
    {"out", "ARGUMENT_OUT", false},      {"inout", "ARGUMENT_INOUT", false},
};

static const char *argument_kind(const Argument *a, bool *int32)
{
    if (!strcmp(a->type, "path") && a->inner[0]) {
        *int32 = false;
        return !strcmp(a->inner, "nofollow") ? "ARGUMENT_PATH_LINK"
               : !strcmp(a->inner, "create") ? "ARGUMENT_PATH_CREATE"
               : !strcmp(a->inner, "creat")  ? "ARGUMENT_PATH_CREAT"
               : !strcmp(a->inner, "open")   ? "ARGUMENT_PATH_OPEN"
                                             : "ARGUMENT_PATH_FLAGS";
    }
    for (size_t i = 0; i < sizeof scalar_types / sizeof scalar_types[0]; i++) {
        if (!strcmp(scalar_types[i].type, a->type)) {
            *int32 = scalar_types[i].int32;
            return scalar_types[i].kind;
        }
    }
    fail("unknown type %s of %s", a->type, a->name);
}

static unsigned argument_index(const Call *call, const char *name)
{
    for (unsigned i = 0; i < call->count; i++) {
        if (!strcmp(call->arguments[i].name, name)) {
            return i;
        }
    }
    fail("no argument named %s", name);
}

/* Whether the kernel can take the registers as they are. */
static bool is_plain(const Input *in, const Call *call)
{
    if (call->host_arguments[0]) {
        return false;
    }
    for (unsigned i = 0; i < call->count; i++) {
        const Argument *a = &call->arguments[i];
        const char *type = a->type;
        if (!strcmp(type, "path")) {
            return false;
        }
        if (!strcmp(type, "bits")) {
            if (find_own(in, a->inner, &in->guest, true) ||
                find_own(in, a->inner, &in->host, true)) {
                return false;
            }
        } else if (a->inner[0]) {
            const Definition *d = find_definition(in, a->inner, "", false);
            static Layout guest, host;
            if (!d) {
                fail("no structure named %s", a->inner);
            }
            lay_out_for(in, &in->guest, d, &guest);
            lay_out_for_host(in, d, &host);
            if (!same_layout(in, &guest, &host)) {
                return false;
            }
        }
    }
    return true;
}

/* How many registers the argument takes, and which is the first; moves *next past them. */
static unsigned place_argument(const Input *in, const Argument *a, unsigned *next, unsigned *first)
{
    bool pair = in->guest.long_size == 4 && (!strcmp(a->type, "loff") || !strcmp(a->type, "pos") ||
                                             !strcmp(a->type, "hexpair"));

    if (pair && in->guest.pairs_aligned && strcmp(a->type, "pos")) {
        *next += *next % 2;
    }
    *first = *next;
    *next += pair ? 2 : 1;
    if (*next > 6) {
        fail("%s: no register left", a->name);
    }
    return pair ? 2 : 1;
}

static void emit_argument(const Input *in, const Call *call, const Argument *a, unsigned *next,
                          FILE *out)
{
    bool int32, structure = false;
    const char *kind = argument_kind(a, &int32);
    unsigned size_argument = 0xff, count = 1, first;
    unsigned registers = place_argument(in, a, next, &first);

    if (!strcmp(a->type, "path")) {
        if (strstr(kind, "FLAGS") || strstr(kind, "OPEN")) {
            size_argument = argument_index(call, "flags");
        }
    } else if (a->bracket[0] >= '0' && a->bracket[0] <= '9') {
        count = (unsigned)atoi(a->bracket);
    } else if (a->bracket[0]) {
        size_argument = argument_index(call, a->bracket);
    }
    structure = a->inner[0] && strcmp(a->type, "bits") && strcmp(a->type, "path");
    bool bits = !strcmp(a->type, "bits");
    if (bits && !find_definition(in, a->inner, "", true)) {
        fail("no flags named %s", a->inner);
    }
    fprintf(out, "    {\"%s\", %s, %u, %u, %s, %u, %u, %s, ", a->name, kind, size_argument, count,
            int32 ? "true" : "false", first, registers, strcmp(a->type, "pos") ? "false" : "true");
    if (structure) {
        fprintf(out, "&%s_struct_%s, NULL},\n", in->guest.name, a->inner);
    } else if (bits) {
        fprintf(out, "NULL, &%s_bits_%s},\n", in->guest.name, a->inner);
    } else {
        fprintf(out, "NULL, NULL},\n");
    }
}

static const char *result_kind(const Call *call)
{
    const char *r = call->result;

    return !strcmp(r, "ptr") || !strcmp(r, "hex") ? "RESULT_HEX"
           : !strcmp(r, "mode")                   ? "RESULT_OCTAL"
           : !strcmp(r, "id16")                   ? "RESULT_ID16"
           : !strcmp(r, "none")                   ? "RESULT_NONE"
                                                  : "RESULT_SIGNED";
}

/* What the host's call gets: guest arguments by index, and constants. */
static void emit_host_arguments(const Call *call, const char *row, FILE *out)
{
    char copy[sizeof call->host_arguments], *rest = copy;
    unsigned count = 0;

    strcpy(copy, call->host_arguments);
    fprintf(out, "static const SyscallHostArgument host_args_%s[6] = {\n", row);
    for (char *word; (word = strsep(&rest, ",")); count++) {
        bool constant = *word == '-' || (*word >= '0' && *word <= '9');
        if (count == 6) {
            fail("%s: the host's call has more than six arguments", row);
        }
        if (constant) {
            fprintf(out, "    {NO_ARGUMENT, %s},\n", word);
        } else {
            fprintf(out, "    {%u, 0},\n", argument_index(call, word));
        }
    }
    for (; count < 6; count++) {
        fprintf(out, "    {NO_ARGUMENT, 0},\n");
    }
    fprintf(out, "};\n");
}

static void emit_arguments(const Input *in, const Call *call, const char *row, FILE *out)
{
    unsigned next = 0;

    if (call->count) {
        fprintf(out, "static const SyscallArgument args_%s[] = {\n", row);
        for (unsigned k = 0; k < call->count; k++) {
            emit_argument(in, call, &call->arguments[k], &next, out);
        }
        fprintf(out, "};\n");
    }
    if (call->host_arguments[0]) {
        emit_host_arguments(call, row, out);
    }
}

/* The guest's row of a name: its own, its class's, or everybody's. NULL: none. */
static const Row *find_row(const Input *in, const char *name)
{
    const Row *best = NULL;
    int best_rank = 0;

    for (unsigned i = 0; i < in->row_count; i++) {
        const Row *row = &in->rows[i];
        if (strcmp(row->name, name) != 0) {
            continue;
        }
        int rank = !row->abi[0]                               ? 1
                   : !strcmp(row->abi, abi_class(&in->guest)) ? 2
                   : !strcmp(row->abi, in->guest.name)        ? 3
                                                              : 0;
        if (rank && rank == best_rank) {
            fail("two rows for %s", name);
        }
        if (rank > best_rank) {
            best = row;
            best_rank = rank;
        }
    }
    return best;
}

static void emit_table(const Input *in, FILE *out, int highest, FILE *table)
{
    for (unsigned n = 0; n < in->number_count; n++) {
        const char *name = in->numbers[n].name;
        const Row *row = find_row(in, name);
        int number = in->numbers[n].number;
        Call call;
        if (!row) { /* known by name only: ENOSYS */
            fprintf(table, "    [%d] = {.name = \"%s\", .host_number = -1},\n", number, name);
            continue;
        }
        parse_call(row, &call);
        emit_arguments(in, &call, name, out);
        fprintf(table, "    [%d] = {\"%s\", HOST(%s), %u, %s, %s, %s, %s, ", number, name,
                call.host_name, call.count, result_kind(&call), call.raw ? "true" : "false",
                is_plain(in, &call) ? "true" : "false", call.handler[0] ? call.handler : "NULL");
        fprintf(table, "%s%s, ", call.count ? "args_" : "NULL", call.count ? name : "");
        fprintf(table, "%s%s},\n", call.host_arguments[0] ? "host_args_" : "NULL",
                call.host_arguments[0] ? name : "");
    }
    fprintf(out, "\nconst Syscall %s_syscalls[%d] = {\n", in->guest.name, highest + 1);
}

/* Numbers of this host: calls that its headers do not know become -1. */
static void emit_host_numbers(const Input *in, FILE *out)
{
    for (unsigned n = 0; n < in->number_count; n++) {
        const Row *row = find_row(in, in->numbers[n].name);
        Call call;
        if (row) {
            parse_call(row, &call);
            fprintf(out,
                    "#if defined SYS_%s && !defined HOST_%s\n#define HOST_%s SYS_%s\n"
                    "#elif !defined HOST_%s\n#define HOST_%s -1\n#endif\n",
                    call.host_name, call.host_name, call.host_name, call.host_name, call.host_name,
                    call.host_name);
        }
    }
    fprintf(out, "#define HOST(name) HOST_##name\n\n");
}

/* Rows that this guest has no number for are checked as well. */
static void check_rows(const Input *in)
{
    for (unsigned i = 0; i < in->row_count; i++) {
        Call call;
        parse_call(&in->rows[i], &call);
    }
}

/* --- ioctls ------------------------------------------------------------------------------------
 */

/* The request number of _IOR, _IOW and _IOWR: direction, size, type, number (linux/ioctl.h). */
static unsigned request_number(const Ioctl *row, const Abi *abi, unsigned size)
{
    unsigned direction = !strncmp(row->number, "write", 5)  ? 1
                         : !strncmp(row->number, "read", 4) ? 2
                         : !strncmp(row->number, "both", 4) ? 3
                                                            : 0;
    const char *open = strchr(row->number, '(');

    if (!direction) {
        return (unsigned)strtoul(row->number, NULL, 0);
    }
    if (!open || !strchr(open, ',')) {
        fail("ioctl %s: bad number %s", row->name, row->number);
    }
    const char *second = strchr(open, ',') + 1, *third = strchr(second, ',');
    if (third) {
        Field field;
        char name[NAME];
        copy_name(name, third + 1, strcspn(third + 1, ")"));
        parse_type(abi, name, &field);
        size = field.size;
    }
    unsigned type = open[1] == '0' ? (unsigned)strtoul(open + 1, NULL, 0) : (unsigned char)open[1];
    return direction << 30 | size << 16 | type << 8 | (unsigned)strtoul(second, NULL, 0);
}

static void emit_ioctls(const Input *in, FILE *out)
{
    static const char *const directions[] = {"in", "out", "inout"};
    static const char *const kinds[] = {"ARGUMENT_IN", "ARGUMENT_OUT", "ARGUMENT_INOUT"};

    fprintf(out, "\nconst Ioctl %s_ioctls[] = {\n", in->guest.name);
    for (unsigned i = 0; i < in->ioctl_count; i++) {
        const Ioctl *row = &in->ioctls[i];
        const Definition *d = find_definition(in, row->structure, "", false);
        Layout guest, host;
        unsigned kind = 0;
        while (kind < 3 && strcmp(row->direction, directions[kind])) {
            kind++;
        }
        if (!d || kind == 3) {
            fail("ioctl %s: unknown structure or direction", row->name);
        }
        lay_out_for(in, &in->guest, d, &guest);
        lay_out_for_host(in, d, &host);
        fprintf(out, "    {\"%s\", %#x, %#x, %s, &%s_struct_%s},\n", row->name,
                request_number(row, &in->guest, guest.size),
                request_number(row, &in->host, host.size), kinds[kind], in->guest.name, d->name);
    }
    fprintf(out, "    {NULL, 0, 0, 0, NULL},\n};\n");
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static void emit_struct_names(const Input *in, FILE *out)
{
    fprintf(out, "/* Generated by gen-syscalls; do not edit. */\n#ifndef USER_STRUCTS_H\n"
                 "#define USER_STRUCTS_H\n\n"
                 "/* Indexes of GuestAbi.structs. */\nenum GuestStruct {\n");
    for (unsigned i = 0; i < in->definition_count; i++) {
        if (!in->definitions[i].abi[0] && !in->definitions[i].bits) {
            fprintf(out, "    STRUCT_%s,\n", in->definitions[i].name);
        }
    }
    fprintf(out, "};\n\n#endif\n");
}

static void emit_struct_list(const Input *in, FILE *out)
{
    fprintf(out, "const StructLayout *const %s_structs[] = {\n", in->guest.name);
    for (unsigned i = 0; i < in->definition_count; i++) {
        if (!in->definitions[i].abi[0] && !in->definitions[i].bits) {
            fprintf(out, "    &%s_struct_%s,\n", in->guest.name, in->definitions[i].name);
        }
    }
    fprintf(out, "};\n\n");
}

static void emit(const Input *in, FILE *out)
{
    char *table_text = NULL;
    size_t table_size = 0;
    FILE *table = open_memstream(&table_text, &table_size);
    int highest = 0;

    fprintf(out, "/* Generated by gen-syscalls; do not edit. */\n#include <sys/syscall.h>\n\n"
                 "#include \"user/syscall.h\"\n#include \"user/syscall_tables.h\"\n\n");
    check_rows(in);
    emit_host_numbers(in, out);
    for (unsigned i = 0; i < in->definition_count; i++) {
        const Definition *d = &in->definitions[i];
        if (!d->abi[0]) {
            (d->bits ? emit_bits : emit_struct)(in, d, out);
        }
    }
    emit_struct_list(in, out);
    for (unsigned n = 0; n < in->number_count; n++) {
        highest = in->numbers[n].number > highest ? in->numbers[n].number : highest;
    }
    emit_table(in, out, highest, table);
    fclose(table);
    fprintf(out, "%s};\n", table_text);
    free(table_text);
    emit_ioctls(in, out);
}

int main(int argc, char **argv)
{
    static Input in;
    char *text = NULL;
    size_t size = 0;

    if (argc != 7 && argc != 3) {
        fprintf(stderr,
                "usage: gen-syscalls structs.def syscalls.def ioctls.def HOST.def GUEST.def "
                "OUTPUT.c\n       gen-syscalls structs.def OUTPUT.h\n");
        return 2;
    }
    read_file(&in, argv[1], NULL);
    FILE *buffer = open_memstream(&text, &size);
    if (argc == 3) {
        emit_struct_names(&in, buffer);
    } else {
        read_file(&in, argv[2], NULL);
        read_file(&in, argv[3], NULL);
        read_file(&in, argv[4], &in.host);
        in.number_count = 0; /* the host's numbers come from its headers */
        read_file(&in, argv[5], &in.guest);
        emit(&in, buffer);
    }
    fclose(buffer);
    FILE *out = fopen(argv[argc - 1], "w");
    if (!out || fwrite(text, 1, size, out) != size || fclose(out)) {
        fprintf(stderr, "%s: %s\n", argv[argc - 1], strerror(errno));
        return 1;
    }
    free(text);
    return 0;
}

/* Options of menura-user: one table for the long, short and QEMU spellings. */
#include "cmd/user_options.h"

#include <errno.h>
#include <linux/binfmts.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/log.h"
#include "cmd/version.h"
#include "user/abi.h"

enum { BAD_USAGE = 125, ENVIRONMENT_CHANGES = 256 };

/* State of parsing besides the options themselves. */
typedef struct Parser {
    UserCommand *command;
    char **environment;
    size_t environment_count;
    bool failed, done;
} Parser;

static void __attribute__((format(printf, 2, 3))) fail(Parser *p, const char *format, ...)
{
    va_list args;

    fputs("menura-user: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (try --help)\n", stderr);
    p->failed = true;
}

/* A size with an optional K, M or G. */
static u64 parse_size(Parser *p, const char *option, const char *text)
{
    char *end;

    errno = 0;
    u64 value = strtoull(text, &end, 0);
    unsigned shift = *end == 'K' || *end == 'k'   ? 10
                     : *end == 'M' || *end == 'm' ? 20
                     : *end == 'G' || *end == 'g' ? 30
                                                  : 0;
    end += shift != 0;
    if (errno || end == text || *end || text[0] == '-' || value >> (63 - shift)) {
        fail(p, "%s: '%s' is not a size such as 65536, 64K or 8M", option, text);
        return 0;
    }
    return value << shift;
}

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

static void unset_variable(Parser *p, const char *name)
{
    size_t length = name_length(name), kept = 0;

    for (size_t i = 0; i < p->environment_count; i++) {
        char *entry = p->environment[i];
        if (name_length(entry) != length || memcmp(entry, name, length) != 0) {
            p->environment[kept++] = entry;
        }
    }
    p->environment_count = kept;
    p->environment[kept] = NULL;
}

static void set_variable(Parser *p, char *assignment)
{
    if (!strchr(assignment, '=')) {
        fail(p, "-E needs NAME=VALUE, not '%s'", assignment);
        return;
    }
    unset_variable(p, assignment);
    p->environment[p->environment_count++] = assignment;
    p->environment[p->environment_count] = NULL;
}

/* -E and -U of QEMU take several, separated by commas. */
static void each_word(Parser *p, char *list, void (*use)(Parser *, char *))
{
    for (char *word = strtok(list, ","); word && !p->failed; word = strtok(NULL, ",")) {
        use(p, word);
    }
}

static void unset_word(Parser *p, char *name)
{
    unset_variable(p, name);
}

static void set_log(Parser *p, const char *kinds)
{
    const char *bad;

    if (!strcmp(kinds, "help")) {
        log_help();
        p->done = true;
    } else if (!log_parse(kinds, &bad)) {
        fail(p, "-d: unknown kind '%.*s'; '-d help' lists them", (int)strcspn(bad, ","), bad);
    } else {
        const char *before = p->command->options.log_kinds;
        char *both = NULL;
        if (before && asprintf(&both, "%s,%s", before, kinds) < 0) {
            abort();
        }
        p->command->options.log_kinds = both ? both : kinds;
    }
}

static void open_log(Parser *p, const char *path, bool append)
{
    int error = append ? log_append(path) : log_open(path);

    if (error) {
        fail(p, "cannot write the log '%s': %s", path, strerror(-error));
    }
    p->command->options.log_file = path;
}

static void set_accel(Parser *p, const char *name)
{
    if (strcmp(name, "dbt") != 0 && strcmp(name, "interp") != 0) {
        fail(p, "--accel: '%s' is neither dbt nor interp", name);
    }
    p->command->options.accel = name;
}

/* Whether there is such a CPU, the program decides: it says which kind of CPU it is for. */
static void set_cpu(Parser *p, const char *name)
{
    const GuestAbi *abi;

    if (!strcmp(name, "help")) {
        for (size_t i = 0; (abi = abi_at(i)); i++) {
            printf("%s:\n", abi->name);
            abi->list_cpus();
        }
        puts("x86 models take features: --cpu NAME,+FEATURE,-FEATURE");
        p->done = true;
    }
    p->command->options.cpu = name;
}

static void print_help(void)
{
    puts("Usage: menura-user [OPTION]... PROGRAM [ARGUMENT]...\n"
         "Runs a Linux program built for another CPU. The CPU is read from the program.\n"
         "\n"
         "  -L, --root DIR        look up absolute paths in DIR first (MENURA_ROOT, "
         "QEMU_LD_PREFIX)\n"
         "      --accel NAME      dbt (translate, the default) or interp (interpret)\n"
         "      --cpu NAME        guest CPU; 'help' lists them\n"
         "  -E, --set NAME=VALUE  set an environment variable of the program\n"
         "  -U, --unset NAME      remove one\n"
         "  -0, --argv0 NAME      the program's argv[0]\n"
         "  -s, --stack-size SIZE bytes of its stack, with K, M or G\n"
         "      --cache-size SIZE bytes of translated code kept\n"
         "      --strace          log system calls\n"
         "  -d LIST               log these kinds, separated by commas; 'help' lists them\n"
         "  -D, --log-file FILE   log into FILE instead of the standard error output\n"
         "      --single-step     translate one instruction at a time\n"
         "      --version, --help\n"
         "\n"
         "Each option can be given as MENURA_ and its long name, such as MENURA_STACK_SIZE=16M.\n"
         "\n"
         "Examples:\n"
         "  menura-user -L /srv/arm64 /bin/bash        a program and its libraries under a root\n"
         "  menura-user --strace -D calls.txt ./tool   what does it ask of the kernel?\n"
         "\n"
         "Exit status: the program's; 125 bad usage, 126 cannot execute, 127 not found.");
}

typedef enum OptionKey {
    KEY_ROOT,
    KEY_ACCEL,
    KEY_CPU,
    KEY_SET,
    KEY_UNSET,
    KEY_ARGV0,
    KEY_STACK_SIZE,
    KEY_CACHE_SIZE,
    KEY_STRACE,
    KEY_LOG,
    KEY_LOG_FILE,
    KEY_LOG_APPEND,
    KEY_SINGLE_STEP,
    KEY_VERSION,
    KEY_HELP,
    KEY_IGNORED,
} OptionKey;

static const struct {
    const char *name; /* as typed */
    OptionKey key;
    bool value;              /* takes one */
    const char *environment; /* variable with the same meaning, or NULL */
} options[] = {
    {"--root", KEY_ROOT, true, "MENURA_ROOT"},
    {"-L", KEY_ROOT, true, "QEMU_LD_PREFIX"},
    {"--accel", KEY_ACCEL, true, "MENURA_ACCEL"},
    {"--cpu", KEY_CPU, true, "MENURA_CPU"},
    {"-cpu", KEY_CPU, true, "QEMU_CPU"},
    {"--set", KEY_SET, true, "MENURA_SET"},
    {"-E", KEY_SET, true, "QEMU_SET_ENV"},
    {"--unset", KEY_UNSET, true, "MENURA_UNSET"},
    {"-U", KEY_UNSET, true, "QEMU_UNSET_ENV"},
    {"--argv0", KEY_ARGV0, true, NULL},
    {"-0", KEY_ARGV0, true, "QEMU_ARGV0"},
    {"--stack-size", KEY_STACK_SIZE, true, "MENURA_STACK_SIZE"},
    {"-s", KEY_STACK_SIZE, true, "QEMU_STACK_SIZE"},
    {"--cache-size", KEY_CACHE_SIZE, true, "MENURA_CACHE_SIZE"},
    {"--strace", KEY_STRACE, false, "MENURA_STRACE"},
    {"-strace", KEY_STRACE, false, "QEMU_STRACE"},
    {"-d", KEY_LOG, true, "MENURA_LOG"},
    {"--log", KEY_LOG, true, "QEMU_LOG"},
    {"-D", KEY_LOG_FILE, true, "QEMU_LOG_FILENAME"},
    {"--log-file", KEY_LOG_FILE, true, "MENURA_LOG_FILE"},
    {"--log-append", KEY_LOG_APPEND, true, NULL}, /* how a program hands on its log at exec */
    {"--single-step", KEY_SINGLE_STEP, false, "MENURA_SINGLE_STEP"},
    {"-singlestep", KEY_SINGLE_STEP, false, NULL},
    {"-one-insn-per-tb", KEY_SINGLE_STEP, false, NULL},
    {"--version", KEY_VERSION, false, NULL},
    {"-version", KEY_VERSION, false, NULL},
    {"--help", KEY_HELP, false, NULL},
    {"-help", KEY_HELP, false, NULL},
    {"-h", KEY_HELP, false, NULL},
    {"-p", KEY_IGNORED, true, NULL},    /* page size of the host: found out */
    {"-B", KEY_IGNORED, true, NULL},    /* guest base: always 0 here */
    {"-R", KEY_IGNORED, true, NULL},    /* reserved address space: not needed */
    {"-seed", KEY_IGNORED, true, NULL}, /* of random numbers: the host's are used */
};

static void apply(Parser *p, OptionKey key, char *value)
{
    UserOptions *o = &p->command->options;

    switch (key) {
    case KEY_ROOT:
        o->root = value;
        break;
    case KEY_ACCEL:
        set_accel(p, value);
        break;
    case KEY_CPU:
        set_cpu(p, value);
        break;
    case KEY_SET:
        each_word(p, value, set_variable);
        break;
    case KEY_UNSET:
        each_word(p, value, unset_word);
        break;
    case KEY_ARGV0:
        o->argv0 = value;
        break;
    case KEY_STACK_SIZE:
        o->stack_size = parse_size(p, "--stack-size", value);
        break;
    case KEY_CACHE_SIZE:
        o->cache_size = parse_size(p, "--cache-size", value);
        break;
    case KEY_STRACE:
        set_log(p, "strace");
        break;
    case KEY_LOG:
        set_log(p, value);
        break;
    case KEY_LOG_FILE:
        open_log(p, value, false);
        break;
    case KEY_LOG_APPEND:
        open_log(p, value, true);
        break;
    case KEY_SINGLE_STEP:
        o->single_step = true;
        break;
    case KEY_VERSION:
        puts("menura-user " MENURA_VERSION);
        p->done = true;
        break;
    case KEY_HELP:
        print_help();
        p->done = true;
        break;
    case KEY_IGNORED:
        break;
    }
}

/* Handles argv[*at], which starts with '-'; moves *at past what it used. */
static void parse_one(Parser *p, char **argv, int *at)
{
    char *word = argv[(*at)++];

    for (size_t i = 0; i < COUNT(options); i++) {
        size_t length = strlen(options[i].name);
        bool joined = !strncmp(word, options[i].name, length) && word[length] == '=' &&
                      !strncmp(word, "--", 2) && options[i].value;
        if (joined) {
            apply(p, options[i].key, word + length + 1);
            return;
        }
        if (!strcmp(word, options[i].name)) {
            if (options[i].value && !argv[*at]) {
                fail(p, "%s needs a value", word);
                return;
            }
            apply(p, options[i].key, options[i].value ? argv[(*at)++] : NULL);
            return;
        }
    }
    fail(p, "unknown option '%s'", word);
}

static void parse_environment(Parser *p)
{
    for (size_t i = 0; i < COUNT(options) && !p->failed; i++) {
        char *value = options[i].environment ? getenv(options[i].environment) : NULL;
        if (value && *value) {
            apply(p, options[i].key, strdup(value));
        }
    }
}

static char **copy_environment(char **environment, size_t *count)
{
    *count = 0;
    while (environment[*count]) {
        (*count)++;
    }
    char **copy = calloc(*count + ENVIRONMENT_CHANGES, sizeof *copy);
    if (!copy) {
        abort();
    }
    memcpy(copy, environment, *count * sizeof *copy);
    return copy;
}

/* Whether the kernel started us for a program, through an entry of binfmt_misc with the flag P:
 * then our arguments are the program's path and its whole argv. (Without P they are the path and
 * the rest of argv, which reads like a command line.) */
static bool started_by_kernel(int argc)
{
    return argc > 2 && getauxval(AT_FLAGS) & AT_FLAGS_PRESERVE_ARGV0;
}

void user_options_parse(UserCommand *command, int argc, char **argv, char **environment)
{
    Parser p = {.command = command};
    int at = 1;

    memset(command, 0, sizeof *command);
    p.environment = copy_environment(environment, &p.environment_count);
    parse_environment(&p);
    if (started_by_kernel(argc) && !p.failed) {
        command->program = argv[1];
        command->arguments = argv + 2;
        command->environment = p.environment;
        return;
    }
    while (argv[at] && argv[at][0] == '-' && argv[at][1] && !p.failed && !p.done) {
        if (!strcmp(argv[at], "--")) {
            at++;
            break;
        }
        parse_one(&p, argv, &at);
    }
    if (!p.failed && !p.done && !argv[at]) {
        fail(&p, "no program given");
    }
    command->status = p.failed ? BAD_USAGE : 0;
    if (p.failed || p.done) {
        return;
    }
    command->program = argv[at];
    command->arguments = argv + at;
    command->environment = p.environment;
    if (command->options.argv0) {
        command->arguments[0] = (char *)command->options.argv0;
    }
}

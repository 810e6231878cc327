/* execve(2): guest programs run under a new instance of ourselves, host programs directly.
 *
 * Scripts (#!) are resolved here, because their interpreter may be a guest program under the root.
 * Memory comes from the thread's exec arena: a vfork child never gets to free it. */
#include "user/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/access.h"
#include "user/host_stubs.h"
#include "user/load.h"
#include "user/proc_files.h"
#include "user/syscall.h"

enum { SCRIPT_DEPTH = 5, OWN_OPTIONS = 24 };

static size_t count_strings(char **list)
{
    size_t count = 0;

    while (list[count]) {
        count++;
    }
    return count;
}

/* The command line that makes ourselves run `name`, a program of `abi`, with the same options. */
static char **own_command(Thread *thread, const GuestAbi *abi, const char *name, char **arguments)
{
    const UserOptions *options = thread->process->options;
    Arena *arena = &thread->exec_memory;
    size_t count = count_strings(arguments), n = 0;
    char **list = ARENA_ARRAY(arena, char *, count + OWN_OPTIONS);

    list[n++] = "menura-user";
    const struct {
        const char *option, *value;
    } values[] = {
        {"--root", options->root ? options->root : "/"},
        {"--accel", options->accel},
        {"--cpu", abi->choose_cpu == thread->abi->choose_cpu ? options->cpu : NULL},
        {"-d", options->log_kinds},
        {"--argv0", count ? arguments[0] : NULL},
    };
    for (size_t i = 0; i < COUNT(values); i++) {
        if (values[i].value) {
            list[n++] = arena_strdup(arena, values[i].option);
            list[n++] = arena_strdup(arena, values[i].value);
        }
    }
    if (options->log_file) {
        list[n++] = arena_printf(arena, "--log-append=%s", options->log_file);
    }
    if (options->stack_size) {
        list[n++] =
            arena_printf(arena, "--stack-size=%llu", (unsigned long long)options->stack_size);
    }
    if (options->cache_size) {
        list[n++] =
            arena_printf(arena, "--cache-size=%llu", (unsigned long long)options->cache_size);
    }
    if (options->single_step) {
        list[n++] = "--single-step";
    }
    list[n++] = "--";
    list[n++] = arena_strdup(arena, name);
    for (size_t i = 1; i < count; i++) {
        list[n++] = arguments[i];
    }
    return list;
}

/* The kernel's execve with the guest's signal state; returns -errno. */
static s64 host_exec(Thread *thread, const char *path, char **arguments, char **environment)
{
    s64 result = signals_block_all(thread);

    if (result) {
        return result; /* a signal comes first */
    }
    signals_prepare_exec(thread);
    /* Not without a look at what came since the mask is the guest's again: exec would lose it. */
    result = host_call(
        thread, SYS_execve,
        (u64[6]){host_to_guest(path), host_to_guest(arguments), host_to_guest(environment)});
    signals_undo_exec(thread);
    return result;
}

static s64 exec_self(Thread *thread, const GuestAbi *abi, const char *name, char **arguments,
                     char **environment)
{
    char **command = own_command(thread, abi, name, arguments);

    s64 result = host_exec(thread, "/proc/self/exe", command, environment);
    if (result == -ENOENT) { /* no /proc */
        result = host_exec(thread, thread->process->options->self, command, environment);
    }
    return result;
}

/* Splits "#! interpreter [argument]". Returns the interpreter, or NULL if it is no such line. */
static char *parse_script(Arena *arena, const ProgramFile *file, char **argument)
{
    char *line = ARENA_ARRAY(arena, char, sizeof file->head + 1);

    *argument = NULL;
    if (file->head_size < 3 || file->head[0] != '#' || file->head[1] != '!') {
        return NULL;
    }
    memcpy(line, file->head + 2, file->head_size - 2);
    char *end = strchr(line, '\n');
    if (!end) {
        end = line + strlen(line);
    }
    while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    *end = 0;
    line += strspn(line, " \t");
    size_t length = strcspn(line, " \t");
    if (line[length]) {
        *argument = line + length + strspn(line + length, " \t");
        line[length] = 0;
    }
    return *line ? line : NULL;
}

/* [interpreter, argument, script, the rest of the script's own arguments] */
static char **script_arguments(Arena *arena, char *interpreter, char *argument, const char *script,
                               char **arguments)
{
    size_t count = count_strings(arguments), n = 0;
    char **list = ARENA_ARRAY(arena, char *, count + 4);

    list[n++] = interpreter;
    if (argument) {
        list[n++] = argument;
    }
    list[n++] = arena_strdup(arena, script);
    for (size_t i = 1; i < count; i++) {
        list[n++] = arguments[i];
    }
    return list;
}

/* Whether the host runs the program itself: it is built for the host, and who starts it is not, so
 * that this is no program of the guest's system. */
static bool runs_directly(const Thread *thread, const ProgramFile *file)
{
    return file->abi && file->abi->of_host && file->abi->word_size == sizeof(long) &&
           !thread->abi->of_host;
}

s64 exec_program(Thread *thread, const char *name, char **arguments, char **environment)
{
    Process *process = thread->process;

    for (int depth = 0; depth < SCRIPT_DEPTH; depth++) {
        char buffer[PATH_MAX];
        ProgramFile file;
        const char *reason;
        const char *host = proc_is_own(name, "exe")
                               ? process->executable_host
                               : path_to_host(&process->root, AT_FDCWD, name, PATH_FOLLOW, buffer);
        int error = program_open(&file, host, &reason);
        if (error && error != -ENOEXEC) {
            return error == -EISDIR ? -EACCES : error;
        }
        program_close(&file);
        if (error == 0 && runs_directly(thread, &file)) {
            return host_exec(thread, host, arguments, environment);
        }
        if (error == 0 && file.abi) {
            return exec_self(thread, file.abi, host == name ? name : host, arguments, environment);
        }
        char *argument;
        char *interpreter = parse_script(&thread->exec_memory, &file, &argument);
        if (!interpreter) { /* the host's, or the kernel says what is wrong */
            return host_exec(thread, host, arguments, environment);
        }
        arguments = script_arguments(&thread->exec_memory, interpreter, argument, name, arguments);
        name = interpreter;
    }
    return -ELOOP;
}

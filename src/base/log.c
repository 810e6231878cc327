/* Diagnostic logging: see log.h. The table below is the only list of kinds. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    u32 kind;
    const char *help;
} kinds[] = {
    {"in", LOG_IN, "guest instructions as decoded"},
    {"ir", LOG_IR, "intermediate representation as translated"},
    {"opt", LOG_OPT, "intermediate representation after all passes"},
    {"passes", LOG_PASSES, "intermediate representation after each pass"},
    {"out", LOG_OUT, "host code"},
    {"exec", LOG_EXEC, "blocks entered through the dispatcher"},
    {"unimp", LOG_UNIMP, "guest features that are missing"},
    {"guest_errors", LOG_GUEST_ERRORS, "guest mistakes"},
    {"strace", LOG_STRACE, "guest system calls"},
    {"signal", LOG_SIGNAL, "guest signals and faults"},
    {"cache", LOG_CACHE, "code cache eviction and invalidation"},
    {"time", LOG_TIME, "CPU time that translating each block took"},
    {"in_asm", LOG_IN, "the same as in"},
    {"op", LOG_IR, "the same as ir"},
    {"op_opt", LOG_OPT, "the same as opt"},
    {"out_asm", LOG_OUT, "the same as out"},
    {"all", ~0u, "everything"},
};

enum { LOG_LOWEST_FD = 900 };

u32 log_mask;
static int log_fd = STDERR_FILENO;

static bool enable(const char *word, size_t length)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == length && !memcmp(kinds[i].name, word, length)) {
            log_mask |= kinds[i].kind;
            return true;
        }
    }
    return false;
}

bool log_parse(const char *list, const char **bad)
{
    for (const char *word = list;;) {
        size_t length = strcspn(word, ",");
        if (!enable(word, length)) {
            *bad = word;
            return false;
        }
        if (!word[length]) {
            return true;
        }
        word += length + 1;
    }
}

void log_help(void)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        printf("  %-14s %s\n", kinds[i].name, kinds[i].help);
    }
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666);

    if (fd < 0) {
        return -errno;
    }
    /* Out of the way of descriptors that the guest expects to get or closes. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LOG_LOWEST_FD);
    log_fd = high < 0 ? fd : high;
    if (high >= 0) {
        close(fd);
    }
    return 0;
}

int log_open(const char *path)
{
    return open_file(path, O_TRUNC);
}

int log_append(const char *path)
{
    return open_file(path, 0);
}

void log_printf(const char *format, ...)
{
    char buffer[4096];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    size_t size = MIN((size_t)MAX(length, 0), sizeof buffer - 1);
    /* A log that cannot be written must not change what the guest sees. */
    if (write(log_fd, buffer, size) < 0) {
        return;
    }
}

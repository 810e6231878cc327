/* The guest's view of /proc: see proc_files.h. Each file is text made at open time and put into an
 * anonymous file. */
#include "user/proc_files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/access.h"

/* What follows "/proc/self/" in one of its spellings; NULL for other paths. */
static const char *own_name(const char *path)
{
    static const char *const prefixes[] = {"/proc/self/", "/proc/thread-self/"};

    for (size_t i = 0; i < COUNT(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        if (!strncmp(path, prefixes[i], length)) {
            return path + length;
        }
    }
    if (!strncmp(path, "/proc/", 6) && isdigit((unsigned char)path[6])) {
        char *end;
        long pid = strtol(path + 6, &end, 10);
        if (pid == getpid() && *end == '/') {
            return end + 1;
        }
    }
    return NULL;
}

bool proc_is_own(const char *path, const char *name)
{
    const char *own = own_name(path);

    return own && !strcmp(own, name);
}

bool proc_is_below_self(const char *path)
{
    return own_name(path) != NULL;
}

/* One line of the host's maps cut down to a region of the guest's. */
static void write_region(FILE *out, const Region *r, u64 start, u64 end, u64 host_start,
                         u64 host_offset, const char *device, const char *path)
{
    bool file = path[0] == '/';
    int length = fprintf(
        out, "%08llx-%08llx %c%c%c%c %08llx %s", (unsigned long long)start, (unsigned long long)end,
        r->protection & PROT_READ ? 'r' : '-', r->protection & PROT_WRITE ? 'w' : '-',
        r->protection & PROT_EXEC ? 'x' : '-', r->shared ? 's' : 'p',
        (unsigned long long)(file ? host_offset + (start - host_start) : 0), device);
    const char *name = r->name ? r->name : file ? path : "";
    if (*name) {
        fprintf(out, "%*s", MAX(1, 73 - length), "");
    }
    fprintf(out, "%s\n", name);
}

static void write_maps(Thread *thread, FILE *out)
{
    FILE *host = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t size = 0;

    while (host && getline(&line, &size, host) > 0) {
        unsigned long long start, end, offset;
        char device[64], protection[8];
        int device_at = 0, used = 0;
        if (sscanf(line, "%llx-%llx %7s %llx %n%*s %*s%n", &start, &end, protection, &offset,
                   &device_at, &used) < 4 ||
            !used) {
            continue;
        }
        snprintf(device, sizeof device, "%.*s", used - device_at, line + device_at);
        char *path = line + used + strspn(line + used, " ");
        path[strcspn(path, "\n")] = 0;
        Region region;
        for (u64 at = start;
             at < end && memory_next(&thread->process->memory, at, &region) && region.start < end;
             at = region.end) {
            write_region(out, &region, MAX(region.start, at), MIN(region.end, end), start, offset,
                         device, path_to_guest(&thread->process->root, path));
        }
    }
    free(line);
    if (host) {
        fclose(host);
    }
}

static void write_memory(FILE *out, u64 start, u64 end)
{
    u8 buffer[4096];

    while (start < end) {
        size_t size = MIN((size_t)(end - start), sizeof buffer);
        if (!copy_from_guest(buffer, start, size)) {
            return;
        }
        fwrite(buffer, 1, size, out);
        start += size;
    }
}

static void write_auxv(Thread *thread, FILE *out)
{
    const LoadedProgram *program = &thread->process->program;

    write_memory(out, program->auxv_address, program->auxv_address + program->auxv_size);
}

static void write_cmdline(Thread *thread, FILE *out)
{
    const LoadedProgram *program = &thread->process->program;

    write_memory(out, program->arguments_start, program->arguments_end);
}

static void write_environ(Thread *thread, FILE *out)
{
    const LoadedProgram *program = &thread->process->program;

    write_memory(out, program->environment_start, program->environment_end);
}

static void write_cpuinfo(Thread *thread, FILE *out)
{
    char *text = thread->abi->cpuinfo(thread->state, (int)sysconf(_SC_NPROCESSORS_ONLN));

    if (text) {
        fputs(text, out);
    }
    free(text);
}

/* The host's line with the program's name and stack start. */
static void write_stat(Thread *thread, FILE *out)
{
    const char *executable = thread->process->executable;
    const char *base = strrchr(executable, '/') ? strrchr(executable, '/') + 1 : executable;
    FILE *host = fopen("/proc/self/stat", "re");
    char *line = NULL;
    size_t size = 0;

    if (host && getline(&line, &size, host) > 0) {
        char *after = strrchr(line, ')');
        int field = 2;
        fprintf(out, "%d (%.15s)", getpid(), base);
        for (char *word = after ? strtok(after + 1, " \n") : NULL; word;
             word = strtok(NULL, " \n")) {
            field++;
            if (field == 28) {
                fprintf(out, " %llu", (unsigned long long)thread->process->program.stack);
            } else {
                fprintf(out, " %s", word);
            }
        }
        fputc('\n', out);
    }
    free(line);
    if (host) {
        fclose(host);
    }
}

static const struct {
    const char *name;
    bool own; /* below /proc/self; otherwise below /proc */
    void (*write)(Thread *thread, FILE *out);
} files[] = {
    {"maps", true, write_maps},       {"auxv", true, write_auxv}, {"cmdline", true, write_cmdline},
    {"environ", true, write_environ}, {"stat", true, write_stat}, {"cpuinfo", false, write_cpuinfo},
};

static s64 open_text(Thread *thread, void (*write)(Thread *, FILE *), int flags)
{
    int fd = memfd_create("proc", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    int copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (!out) {
        int error = errno;
        if (copy >= 0) {
            close(copy);
        }
        if (fd >= 0) {
            close(fd);
        }
        return -error;
    }
    write(thread, out);
    fclose(out);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

s64 proc_open(Thread *thread, const char *path, int flags)
{
    if (strncmp(path, "/proc/", 6) != 0) {
        return PROC_NOT_OURS;
    }
    if (proc_is_own(path, "exe")) {
        int fd = open(thread->process->executable_host, flags);
        return fd < 0 ? -errno : fd;
    }
    const char *own = own_name(path);
    const char *name = own ? own : path + 6;
    for (size_t i = 0; i < COUNT(files); i++) {
        if (files[i].own == (own != NULL) && !strcmp(name, files[i].name)) {
            return (flags & O_ACCMODE) == O_RDONLY ? open_text(thread, files[i].write, flags)
                                                   : -EACCES;
        }
    }
    return PROC_NOT_OURS;
}

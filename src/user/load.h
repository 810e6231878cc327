/* Program loading: from an ELF file to memory, stack and auxiliary vector. */
#ifndef USER_LOAD_H
#define USER_LOAD_H

#include "user/elf.h"
#include "user/process.h"

typedef struct ProgramFile {
    int fd;
    ElfImage image;
    const GuestAbi *abi; /* NULL: no guest of ours */
    u8 head[256];        /* the file's first bytes, for #! lines */
    size_t head_size;
} ProgramFile;

/* Opens and parses a host path. Returns 0; -ENOEXEC when it is no ELF program that can be executed,
 * with *reason saying why (static text; NULL: not ELF at all, only `head` is filled); or -errno
 * when it cannot be read. On 0 and -ENOEXEC the caller closes with program_close(). */
int program_open(ProgramFile *file, const char *path, const char **reason);
void program_close(ProgramFile *file);

typedef struct LoadRequest {
    Process *process;
    Thread *thread; /* the first, for what depends on its CPU */
    const ProgramFile *file;
    const char *name; /* AT_EXECFN */
    char **arguments, **environment;
} LoadRequest;

/* Maps program, interpreter, vDSO and stack. Returns 0, or -errno with one line of text in
 * `message`. Fills process->program. */
int load_program(const LoadRequest *request, char message[512]);

#endif

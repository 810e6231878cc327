/* Program loading: see load.h. The stack's layout is the kernel's (fs/binfmt_elf.c documents it as
 * ABI: argc, argv, NULL, envp, NULL, auxv, strings). */
#include "user/load.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/access.h"
#include "user/vdso.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum {
    DEFAULT_STACK = 8 << 20,
    MAX_STACK = 1 << 30,
    CLOCK_TICKS = 100,
    RANDOM_BITS_32 = 8,
    RANDOM_BITS_64 = 18, /* of the page number: the least that kernels have */
};

/* --- the file ------------------------------------------------------------------------------------
 */

static const char *parse_file(ProgramFile *file, u64 file_size)
{
    size_t size = 4096, need = 0;
    u8 *head = malloc(ELF_MAX_HEAD);
    const char *error = "out of memory";

    if (head) {
        ssize_t got = pread(file->fd, head, size, 0);
        error = elf_parse(head, (size_t)MAX(got, 0), file_size, &file->image, &need);
        if (error && need > size) {
            got = pread(file->fd, head, need, 0);
            error = elf_parse(head, (size_t)MAX(got, 0), file_size, &file->image, &need);
        }
    }
    free(head);
    return error;
}

int program_open(ProgramFile *file, const char *path, const char **reason)
{
    struct stat status;

    memset(file, 0, sizeof *file);
    *reason = NULL;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for a writer */
    if (file->fd < 0) {
        return -errno;
    }
    int error = 0;
    if (fstat(file->fd, &status)) {
        error = -errno;
    } else if (S_ISDIR(status.st_mode)) {
        error = -EISDIR;
    } else if (!S_ISREG(status.st_mode) || access(path, X_OK)) {
        error = -EACCES;
    }
    ssize_t got = error ? 0 : pread(file->fd, file->head, sizeof file->head, 0);
    if (error || got < 0) {
        error = error ? error : -errno;
        program_close(file);
        return error;
    }
    file->head_size = (size_t)got;
    if (!elf_has_magic(file->head, file->head_size)) {
        return -ENOEXEC;
    }
    *reason = parse_file(file, (u64)status.st_size);
    if (*reason) {
        return -ENOEXEC;
    }
    file->abi = abi_find(file->image.machine, file->image.big_endian, file->image.word_size);
    return 0;
}

void program_close(ProgramFile *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    file->fd = -1;
}

/* --- segments ----------------------------------------------------------------------------------
 */

static int map_segment(MemoryMap *map, const ProgramFile *file, const ElfSegment *s, u64 bias)
{
    u64 start = ALIGN_DOWN(s->address + bias, ELF_PAGE);
    u64 file_end = s->address + bias + s->file_size;
    u64 mapped_end = s->file_size ? ALIGN_UP(file_end, ELF_PAGE) : start;
    u64 end = ALIGN_UP(s->address + bias + s->memory_size, ELF_PAGE);

    if (s->file_size) {
        s64 got = memory_map(map, start, mapped_end - start, s->protection, MAP_PRIVATE | MAP_FIXED,
                             file->fd, (s64)ALIGN_DOWN(s->offset, ELF_PAGE));
        if (got != (s64)start) {
            return (int)got;
        }
    }
    if (s->memory_size > s->file_size && s->protection & PROT_WRITE && mapped_end > file_end) {
        static const u8 zeros[ELF_PAGE];
        if (!copy_to_guest(file_end, zeros, mapped_end - file_end)) {
            return -EFAULT;
        }
    }
    if (end > mapped_end) {
        s64 got = memory_map(map, mapped_end, end - mapped_end, s->protection,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (got != (s64)mapped_end) {
            return (int)got;
        }
    }
    return 0;
}

/* Where a position-independent program should go: anywhere near the ABI's place for such, unless
 * setarch(8) says that addresses are not to be random. */
static u64 program_hint(const GuestAbi *abi)
{
    u64 pages = 0;

    if (personality(0xffffffff) & ADDR_NO_RANDOMIZE ||
        getrandom(&pages, sizeof pages, 0) != sizeof pages) {
        return abi->pie_base;
    }
    pages %= (u64)1 << (abi->word_size == 8 ? RANDOM_BITS_64 : RANDOM_BITS_32);
    return abi->pie_base + pages * ELF_PAGE;
}

/* Reserves the image's address range; the bias to add to its addresses, or an error. */
static int reserve_image(MemoryMap *map, const ElfImage *image, u64 hint, u64 *bias)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    u64 span = image->high - image->low;

    *bias = 0;
    if (!image->relocatable) {
        s64 got = memory_map(map, image->low, span, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (s64)image->low) {
            return 0;
        }
        if (got >= 0) {
            memory_unmap(map, (u64)got, span);
        }
        return got < 0 && got != -EEXIST ? (int)got : -EADDRINUSE;
    }
    u64 extra = image->alignment > ELF_PAGE ? image->alignment : 0;
    if (extra > map->address_limit) {
        return -ENOMEM;
    }
    s64 got = memory_map(map, hint, span + extra, PROT_NONE, flags, -1, 0);
    if (got < 0) {
        return (int)got;
    }
    u64 start = ALIGN_UP((u64)got, image->alignment);
    memory_unmap(map, (u64)got, start - (u64)got);
    memory_unmap(map, start + span, (u64)got + extra - start);
    *bias = start - image->low;
    return 0;
}

static int map_image(MemoryMap *map, const ProgramFile *file, u64 hint, u64 *bias)
{
    int error = reserve_image(map, &file->image, hint, bias);

    for (unsigned i = 0; !error && i < file->image.segment_count; i++) {
        error = map_segment(map, file, &file->image.segments[i], *bias);
    }
    return error;
}

/* --- stack ---------------------------------------------------------------------------------------
 */

typedef struct StackBuilder {
    const GuestAbi *abi;
    u64 at;    /* grows downwards */
    u64 limit; /* lowest address */
    bool failed;
} StackBuilder;

static u64 push_bytes(StackBuilder *b, const void *bytes, size_t size)
{
    if (b->at - b->limit < size || !copy_to_guest(b->at - size, bytes, size)) {
        b->failed = true;
        return 0;
    }
    return b->at -= size;
}

static u64 push_string(StackBuilder *b, const char *string)
{
    return push_bytes(b, string, strlen(string) + 1);
}

static void put_word(StackBuilder *b, u64 *at, u64 value)
{
    u8 bytes[8];

    put_value(bytes, value, b->abi->word_size, b->abi->big_endian);
    b->failed |= !copy_to_guest(*at, bytes, b->abi->word_size);
    *at += b->abi->word_size;
}

static size_t count_strings(char **list)
{
    size_t count = 0;

    while (list[count]) {
        count++;
    }
    return count;
}

/* Pushes the strings so that the first is lowest; their addresses go into `addresses`. */
static void push_list(StackBuilder *b, char **list, size_t count, u64 *addresses)
{
    for (size_t i = count; i-- > 0;) {
        addresses[i] = push_string(b, list[i]);
    }
}

typedef struct Auxv {
    u64 entries[AUXV_MAX][2];
    unsigned count;
} Auxv;

static void add_auxv(Auxv *auxv, u64 type, u64 value)
{
    auxv->entries[auxv->count][0] = type;
    auxv->entries[auxv->count++][1] = value;
}

static void fill_auxv(Auxv *auxv, const LoadRequest *request, u64 bias, u64 base, u64 vdso)
{
    const ElfImage *image = &request->file->image;
    const GuestAbi *abi = request->process->abi;

    if (abi->sysinfo_offset) {
        add_auxv(auxv, AT_SYSINFO, vdso + abi->sysinfo_offset);
    }
    add_auxv(auxv, AT_SYSINFO_EHDR, vdso);
    add_auxv(auxv, AT_HWCAP, abi->hwcap(request->thread->state));
    add_auxv(auxv, AT_PAGESZ, ELF_PAGE);
    add_auxv(auxv, AT_CLKTCK, CLOCK_TICKS);
    add_auxv(auxv, AT_PHDR, image->header_address ? image->header_address + bias : 0);
    add_auxv(auxv, AT_PHENT, image->header_size);
    add_auxv(auxv, AT_PHNUM, image->header_count);
    add_auxv(auxv, AT_BASE, base);
    add_auxv(auxv, AT_FLAGS, 0);
    add_auxv(auxv, AT_ENTRY, image->entry + bias);
    add_auxv(auxv, AT_UID, getuid());
    add_auxv(auxv, AT_EUID, geteuid());
    add_auxv(auxv, AT_GID, getgid());
    add_auxv(auxv, AT_EGID, getegid());
    add_auxv(auxv, AT_SECURE, 0);
    add_auxv(auxv, AT_HWCAP2, abi->hwcap2(request->thread->state));
    add_auxv(auxv, AT_MINSIGSTKSZ, abi->frame_size);
}

static int build_stack(const LoadRequest *request, Auxv *auxv, u64 top, u64 limit)
{
    const GuestAbi *abi = request->process->abi;
    LoadedProgram *program = &request->process->program;
    StackBuilder b = {abi, top - abi->word_size, limit, false};
    size_t argc = count_strings(request->arguments), envc = count_strings(request->environment);
    u64 *addresses = calloc(argc + envc + 1, sizeof *addresses);
    u8 random[16];

    if (!addresses) {
        return -ENOMEM;
    }
    add_auxv(auxv, AT_EXECFN, push_string(&b, request->name));
    program->environment_end = b.at;
    push_list(&b, request->environment, envc, addresses + argc);
    program->environment_start = program->arguments_end = b.at;
    push_list(&b, request->arguments, argc, addresses);
    program->arguments_start = b.at;
    add_auxv(auxv, AT_PLATFORM, push_string(&b, abi->platform));
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        b.failed = true;
    }
    b.at = ALIGN_DOWN(b.at, 16);
    add_auxv(auxv, AT_RANDOM, push_bytes(&b, random, sizeof random));
    add_auxv(auxv, AT_NULL, 0);

    size_t words = 1 + argc + 1 + envc + 1 + 2 * (size_t)auxv->count;
    if (b.failed || b.at - limit < words * abi->word_size + 16) {
        free(addresses);
        return -E2BIG;
    }
    u64 at = program->stack = ALIGN_DOWN(b.at - words * abi->word_size, 16);
    put_word(&b, &at, argc);
    for (size_t i = 0; i < argc + envc; i++) {
        if (i == argc) {
            put_word(&b, &at, 0);
        }
        put_word(&b, &at, addresses[i]);
    }
    if (envc == 0) {
        put_word(&b, &at, 0);
    }
    put_word(&b, &at, 0);
    program->auxv_address = at;
    for (unsigned i = 0; i < auxv->count; i++) {
        put_word(&b, &at, auxv->entries[i][0]);
        put_word(&b, &at, auxv->entries[i][1]);
    }
    program->auxv_size = at - program->auxv_address;
    free(addresses);
    return b.failed ? -EFAULT : 0;
}

static int map_stack(Process *process, int protection, u64 *top, u64 *limit)
{
    struct rlimit rlimit;
    u64 size = process->options->stack_size;

    if (!size) {
        size = getrlimit(RLIMIT_STACK, &rlimit) || rlimit.rlim_cur > MAX_STACK ? DEFAULT_STACK
                                                                               : rlimit.rlim_cur;
    }
    size = ALIGN_UP(MAX(size, (u64)32 * ELF_PAGE), ELF_PAGE);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    u64 wanted = 0;
    if (process->abi->stack_top) { /* as much lower as the address space is smaller */
        u64 stack_top =
            process->abi->stack_top - (process->abi->address_limit - process->memory.address_limit);
        size = MIN(size, (stack_top - process->memory.search_high) & ~(u64)(ELF_PAGE - 1));
        wanted = stack_top - size;
    }
    s64 got = memory_map_named(&process->memory, wanted, size, protection | PROT_READ | PROT_WRITE,
                               flags, "[stack]");
    if (got < 0) {
        return (int)got;
    }
    /* The lowest page is a guard. */
    memory_protect(&process->memory, (u64)got, ELF_PAGE, PROT_NONE);
    *limit = (u64)got + ELF_PAGE;
    *top = (u64)got + size;
    return 0;
}

/* --- the whole
 * ------------------------------------------------------------------------------------ */

static int map_vdso(Process *process, u64 *address)
{
    const GuestAbi *abi = process->abi;
    MemoryMap *map = &process->memory;

    s64 got = memory_map_named(map, 0, VDSO_SIZE, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, "[vdso]");
    if (got < 0) {
        return (int)got;
    }
    *address = process->program.vdso = (u64)got;
    process->program.trampoline = *address + abi->make_vdso(guest_to_host(*address), *address);
    return (int)memory_protect(map, *address, VDSO_SIZE, PROT_READ | PROT_EXEC);
}

static int fail(char message[512], int error, const char *text, const char *name)
{
    snprintf(message, 512, "%s%s%.400s: %s", text, name ? " " : "", name ? name : "",
             error == -EADDRINUSE ? "its addresses are in use on this host" : strerror(-error));
    return error;
}

static int load_interpreter(const LoadRequest *request, u64 *base, u64 *entry, char message[512])
{
    const ElfImage *image = &request->file->image;
    char name[4097], buffer[PATH_MAX];
    ProgramFile file;
    const char *reason;

    if (pread(request->file->fd, name, image->interpreter_size, (off_t)image->interpreter_offset) !=
        (ssize_t)image->interpreter_size) {
        return fail(message, -EIO, "cannot read the interpreter's path", NULL);
    }
    name[image->interpreter_size] = 0;
    const char *host = path_to_host(&request->process->root, AT_FDCWD, name, PATH_FOLLOW, buffer);
    int error = program_open(&file, host, &reason);
    if (error == 0 && file.abi != request->process->abi) {
        program_close(&file);
        error = -ENOEXEC;
    }
    if (error) {
        fail(message, error, "interpreter", name);
        if (error == -ENOENT && !request->process->root.directory) {
            snprintf(message, 512,
                     "interpreter %.400s not found; give the guest's root with --root DIR", name);
        }
        return error == -ENOENT ? -ENOEXEC : error;
    }
    u64 bias;
    error = map_image(&request->process->memory, &file, 0, &bias);
    *base = file.image.low + bias;
    *entry = file.image.entry + bias;
    program_close(&file);
    return error ? fail(message, error, "cannot map the interpreter", name) : 0;
}

int load_program(const LoadRequest *request, char message[512])
{
    Process *process = request->process;
    const ElfImage *image = &request->file->image;
    Auxv auxv = {.count = 0};
    u64 bias = 0, base = 0, vdso = 0, top = 0, limit = 0;

    int error = map_image(&process->memory, request->file, program_hint(process->abi), &bias);
    if (error) {
        return fail(message, error, "cannot map the program", NULL);
    }
    memory_set_break(&process->memory, image->high + bias);
    process->program.entry = image->entry + bias;
    if (image->interpreter_size) {
        error = load_interpreter(request, &base, &process->program.entry, message);
        if (error) {
            return error;
        }
    }
    error = map_vdso(process, &vdso);
    if (!error) {
        error = map_stack(process, image->stack_protection, &top, &limit);
    }
    if (!error) {
        fill_auxv(&auxv, request, bias, base, vdso);
        error = build_stack(request, &auxv, top, limit);
    }
    return error ? fail(message, error, "cannot set up the stack", NULL) : 0;
}

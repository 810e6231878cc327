/* Kernels in ELF files, of 32 or 64 bits (System V ABI, chapters 4 and 5). The file may be
 * anything: every number in it is checked before it is used. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "machine/x86/loader.h"

typedef struct Segment {
    u32 type;
    u64 offset, virtual, physical, file_size, memory_size;
} Segment;

static bool is_64(const X86Kernel *kernel)
{
    return kernel->file[EI_CLASS] == ELFCLASS64;
}

/* Field of the header that is at one offset in 32-bit files and at another in 64-bit ones. */
#define FIELD(kernel, name)                                                                        \
    (is_64(kernel)                                                                                 \
         ? get_le((kernel)->file + offsetof(Elf64_Ehdr, name), sizeof(((Elf64_Ehdr *)0)->name))    \
         : get_le((kernel)->file + offsetof(Elf32_Ehdr, name), sizeof(((Elf32_Ehdr *)0)->name)))

bool x86_is_elf(const X86Kernel *kernel)
{
    const u8 *f = kernel->file;

    if (kernel->size < sizeof(Elf64_Ehdr) || memcmp(f, ELFMAG, SELFMAG) != 0 ||
        f[EI_DATA] != ELFDATA2LSB || (f[EI_CLASS] != ELFCLASS32 && f[EI_CLASS] != ELFCLASS64)) {
        return false;
    }
    return FIELD(kernel, e_machine) == EM_386 || FIELD(kernel, e_machine) == EM_X86_64;
}

/* False when there is no segment of that number, or it is not in the file. */
static bool get_segment(const X86Kernel *kernel, u32 index, Segment *s)
{
    u64 size = is_64(kernel) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    u64 start = FIELD(kernel, e_phoff), at = start + index * size;

    if (index >= FIELD(kernel, e_phnum) || FIELD(kernel, e_phentsize) != size ||
        start > kernel->size || at > kernel->size - size) {
        return false;
    }
    if (is_64(kernel)) {
        Elf64_Phdr p;
        memcpy(&p, kernel->file + at, sizeof p);
        *s = (Segment){p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz};
    } else {
        Elf32_Phdr p;
        memcpy(&p, kernel->file + at, sizeof p);
        *s = (Segment){p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz};
    }
    return s->offset <= kernel->size && s->file_size <= kernel->size - s->offset;
}

int x86_load_elf(X86Kernel *kernel, u64 *entry, char **error)
{
    u32 count = (u32)FIELD(kernel, e_phnum), loaded = 0;
    Segment s;

    *entry = FIELD(kernel, e_entry);
    for (u32 i = 0; i < count; i++) {
        if (!get_segment(kernel, i, &s)) {
            device_error(error, "%s: its segments are not in the file", kernel->path);
            return -EINVAL;
        }
        if (s.type != PT_LOAD || !s.memory_size) {
            continue;
        }
        u64 memory = MAX(s.memory_size, s.file_size);
        int result =
            x86_add_piece(kernel, s.physical, kernel->file + s.offset, s.file_size, memory, error);
        if (result < 0) {
            return result;
        }
        /* The entry is a virtual address where it is in a segment: a kernel linked to high
         * addresses is entered at low ones. */
        u64 first = FIELD(kernel, e_entry);
        if (first >= s.virtual && first - s.virtual < memory) {
            *entry = first - s.virtual + s.physical;
        }
        loaded++;
    }
    if (!loaded || *entry >= kernel->map.low_size) {
        device_error(error, "%s: this ELF file has nothing to start", kernel->path);
        return -EINVAL;
    }
    return 0;
}

/* Looks through one segment of notes. */
static const u8 *find_in_notes(const u8 *at, u64 left, const char *owner, u32 type, u32 *size)
{
    u64 owner_size = strlen(owner) + 1;

    while (left >= 12) {
        u64 name = get_le(at, 4), contents = get_le(at + 4, 4);
        u64 contents_at = 12 + ALIGN_UP(name, (u64)4), next = contents_at;
        next += ALIGN_UP(contents, (u64)4);
        if (contents_at > left || contents > left - contents_at) {
            return NULL;
        }
        if (name == owner_size && !memcmp(at + 12, owner, owner_size) &&
            get_le(at + 8, 4) == type) {
            *size = (u32)contents;
            return at + contents_at;
        }
        next = MIN(next, left);
        at += next;
        left -= next;
    }
    return NULL;
}

const u8 *x86_find_note(const X86Kernel *kernel, const char *owner, u32 type, u32 *size)
{
    const u8 *found = NULL;
    Segment s;

    for (u32 i = 0; !found && get_segment(kernel, i, &s); i++) {
        if (s.type == PT_NOTE) {
            found = find_in_notes(kernel->file + s.offset, s.file_size, owner, type, size);
        }
    }
    return found;
}

/* ELF header parser: see elf.h. Field offsets are those of the System V ABI, chapter 4 and 5. */
#include "user/elf.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "user/access.h"

typedef struct Reader {
    const u8 *head;
    bool big_endian;
    bool wide; /* ELFCLASS64 */
} Reader;

static u64 field(const Reader *r, size_t at, unsigned size)
{
    return get_value(r->head + at, size, r->big_endian);
}

/* A field at different places in the two classes; `size` 0 means a word. */
static u64 class_field(const Reader *r, size_t base, size_t at32, size_t at64, unsigned size)
{
    return field(r, base + (r->wide ? at64 : at32), size ? size : r->wide ? 8 : 4);
}

#define EHDR(r, name, bytes)                                                                       \
    class_field(r, 0, offsetof(Elf32_Ehdr, name), offsetof(Elf64_Ehdr, name), bytes)
#define PHDR(r, at, name, bytes)                                                                   \
    class_field(r, at, offsetof(Elf32_Phdr, name), offsetof(Elf64_Phdr, name), bytes)

bool elf_has_magic(const u8 *head, size_t size)
{
    return size >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

static const char *parse_ident(const u8 *head, size_t size, Reader *r)
{
    if (!elf_has_magic(head, size)) {
        return "not an ELF file";
    }
    if (size < EI_NIDENT) {
        return "truncated ELF header";
    }
    if (head[EI_CLASS] != ELFCLASS32 && head[EI_CLASS] != ELFCLASS64) {
        return "unknown ELF class";
    }
    if (head[EI_DATA] != ELFDATA2LSB && head[EI_DATA] != ELFDATA2MSB) {
        return "unknown ELF byte order";
    }
    *r = (Reader){head, head[EI_DATA] == ELFDATA2MSB, head[EI_CLASS] == ELFCLASS64};
    if (size < (r->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr))) {
        return "truncated ELF header";
    }
    return NULL;
}

static int segment_protection(u64 flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
           (flags & PF_X ? PROT_EXEC : 0);
}

static const char *parse_load(const Reader *r, size_t at, u64 file_size, ElfImage *image)
{
    ElfSegment s = {
        .offset = PHDR(r, at, p_offset, 0),
        .file_size = PHDR(r, at, p_filesz, 0),
        .address = PHDR(r, at, p_vaddr, 0),
        .memory_size = PHDR(r, at, p_memsz, 0),
        .protection = segment_protection(PHDR(r, at, p_flags, 4)),
    };
    u64 alignment = PHDR(r, at, p_align, 0);
    u64 limit = r->wide ? (u64)1 << 56 : (u64)1 << 32;

    if (s.memory_size == 0) {
        return NULL;
    }
    if (s.file_size > s.memory_size) {
        return "segment larger in the file than in memory";
    }
    if (s.offset > file_size || s.file_size > file_size - s.offset) {
        return "truncated: a segment lies outside the file";
    }
    if (s.address >= limit || s.memory_size > limit - s.address) {
        return "segment outside the address space";
    }
    if (s.file_size && (s.offset - s.address) % ELF_PAGE) {
        return "segment not aligned to a page";
    }
    if (image->segment_count == ELF_MAX_SEGMENTS) {
        return "too many segments";
    }
    if (image->segment_count && s.address < image->segments[image->segment_count - 1].address) {
        return "segments out of order";
    }
    if (alignment > image->alignment && !(alignment & (alignment - 1)) && alignment < limit) {
        image->alignment = alignment;
    }
    image->segments[image->segment_count++] = s;
    return NULL;
}

static const char *parse_program_header(const Reader *r, size_t at, u64 file_size, ElfImage *image)
{
    switch (PHDR(r, at, p_type, 4)) {
    case PT_LOAD:
        return parse_load(r, at, file_size, image);
    case PT_INTERP:
        image->interpreter_offset = PHDR(r, at, p_offset, 0);
        image->interpreter_size = PHDR(r, at, p_filesz, 0);
        if (image->interpreter_size < 2 || image->interpreter_size > 4096 ||
            image->interpreter_offset > file_size ||
            image->interpreter_size > file_size - image->interpreter_offset) {
            return "bad interpreter path";
        }
        return NULL;
    case PT_GNU_STACK:
        image->stack_protection = segment_protection(PHDR(r, at, p_flags, 4));
        image->has_stack_header = true;
        return NULL;
    default:
        return NULL;
    }
}

/* Where the program headers are in memory: in the segment that holds their file range. */
static u64 find_header_address(const ElfImage *image, u64 offset, u64 size)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const ElfSegment *s = &image->segments[i];
        if (offset >= s->offset && offset - s->offset <= s->file_size &&
            size <= s->file_size - (offset - s->offset)) {
            return s->address + (offset - s->offset);
        }
    }
    return 0;
}

static const char *parse_file_header(const Reader *r, ElfImage *image)
{
    u64 type = EHDR(r, e_type, 2);

    if (type != ET_EXEC && type != ET_DYN) {
        return type == ET_REL    ? "an object file, not a program"
               : type == ET_CORE ? "a core file, not a program"
                                 : "unknown ELF type";
    }
    *image = (ElfImage){
        .machine = (u16)EHDR(r, e_machine, 2),
        .big_endian = r->big_endian,
        .word_size = r->wide ? 8 : 4,
        .relocatable = type == ET_DYN,
        .entry = EHDR(r, e_entry, 0),
        .header_count = (u16)EHDR(r, e_phnum, 2),
        .header_size = (u16)EHDR(r, e_phentsize, 2),
        .stack_protection = PROT_READ | PROT_WRITE,
        .alignment = ELF_PAGE,
    };
    if (image->header_count == 0) {
        return "no program headers";
    }
    if (image->header_size != (r->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))) {
        return "program headers of an unknown size";
    }
    return NULL;
}

const char *elf_parse(const u8 *head, size_t size, u64 file_size, ElfImage *image, size_t *need)
{
    Reader r;

    *need = 0;
    const char *error = parse_ident(head, size, &r);
    if (error || (error = parse_file_header(&r, image))) {
        return error;
    }
    u64 offset = EHDR(&r, e_phoff, 0);
    u64 headers = (u64)image->header_count * image->header_size;
    if (offset > file_size || headers > file_size - offset) {
        return "truncated: the program headers lie outside the file";
    }
    if (offset > ELF_MAX_HEAD || headers > ELF_MAX_HEAD - offset) {
        return "program headers too far into the file";
    }
    if (offset + headers > size) {
        *need = (size_t)(offset + headers);
        return "truncated program headers";
    }
    for (unsigned i = 0; i < image->header_count; i++) {
        error = parse_program_header(&r, offset + (size_t)i * image->header_size, file_size, image);
        if (error) {
            return error;
        }
    }
    if (image->segment_count == 0) {
        return "no loadable segments";
    }
    const ElfSegment *last = &image->segments[image->segment_count - 1];
    image->low = ALIGN_DOWN(image->segments[0].address, ELF_PAGE);
    image->high = ALIGN_UP(last->address + last->memory_size, ELF_PAGE);
    for (unsigned i = 0; i < image->segment_count; i++) {
        const ElfSegment *s = &image->segments[i];
        image->high = MAX(image->high, ALIGN_UP(s->address + s->memory_size, ELF_PAGE));
    }
    image->header_address = find_header_address(image, offset, headers);
    return NULL;
}

/* The ELF header parser: what it accepts, and that it refuses everything else with a reason. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/tap.h"
#include "user/elf.h"

typedef struct Program {
    Elf64_Ehdr header;
    Elf64_Phdr segments[3];
    char interpreter[16];
    u8 body[8192];
} Program;

/* A small, correct arm64 program: text, data with bss, interpreter. */
static Program good(void)
{
    Program p = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_AARCH64,
                .e_version = EV_CURRENT,
                .e_entry = 0x400400,
                .e_phoff = offsetof(Program, segments),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 3,
            },
        .interpreter = "/lib/ld.so",
    };
    p.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_X,
                                 .p_offset = 0,
                                 .p_vaddr = 0x400000,
                                 .p_filesz = 4096,
                                 .p_memsz = 4096,
                                 .p_align = 0x10000};
    p.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_W,
                                 .p_offset = 4096,
                                 .p_vaddr = 0x411000,
                                 .p_filesz = 100,
                                 .p_memsz = 9000,
                                 .p_align = 0x10000};
    p.segments[2] = (Elf64_Phdr){
        .p_type = PT_INTERP, .p_offset = offsetof(Program, interpreter), .p_filesz = 11};
    return p;
}

static const char *parse(const Program *p, size_t size, ElfImage *image)
{
    size_t need;

    return elf_parse((const u8 *)p, size, size, image, &need);
}

static void test_good(void)
{
    Program p = good();
    ElfImage image;

    OK(!parse(&p, sizeof p, &image), "a correct program is accepted");
    OK(image.machine == EM_AARCH64 && image.word_size == 8 && !image.big_endian, "machine");
    OK(image.segment_count == 2 && image.segments[1].memory_size == 9000, "segments");
    OK(image.segments[0].protection == (PROT_READ | PROT_EXEC), "protection");
    OK(image.low == 0x400000 && image.high == 0x414000, "range, page aligned");
    OK(image.header_address == 0x400000 + offsetof(Program, segments), "program headers");
    OK(image.interpreter_size == 11 && image.alignment == 0x10000, "interpreter, alignment");
}

/* One field changed for the worse. */
#define REFUSED(change, text)                                                                      \
    do {                                                                                           \
        Program p = good();                                                                        \
        ElfImage image;                                                                            \
        change;                                                                                    \
        const char *error = parse(&p, sizeof p, &image);                                           \
        OK(error != NULL, "%s: %s", text, error ? error : "accepted");                             \
    } while (0)

static void test_hostile(void)
{
    REFUSED(p.header.e_ident[1] = 'X', "magic");
    REFUSED(p.header.e_ident[EI_CLASS] = 7, "class");
    REFUSED(p.header.e_ident[EI_DATA] = 0, "byte order");
    REFUSED(p.header.e_type = ET_REL, "object file");
    REFUSED(p.header.e_phnum = 0, "no headers");
    REFUSED(p.header.e_phnum = 0xffff, "too many headers");
    REFUSED(p.header.e_phentsize = 1, "header size");
    REFUSED(p.header.e_phoff = ~(u64)0 - 8, "header offset wraps");
    REFUSED(p.header.e_phoff = sizeof p - 8, "headers past the end");
    REFUSED(p.segments[1].p_filesz = ~(u64)0, "file size");
    REFUSED(p.segments[1].p_offset = ~(u64)0 - 100, "offset wraps");
    REFUSED(p.segments[1].p_memsz = 50, "memory smaller than file");
    REFUSED(p.segments[1].p_memsz = ~(u64)0, "memory size wraps");
    REFUSED(p.segments[1].p_vaddr = ~(u64)0 - 4095, "address wraps");
    REFUSED(p.segments[1].p_vaddr += 1, "misaligned");
    REFUSED(p.segments[1].p_vaddr = 0x1000, "out of order");
    REFUSED(p.segments[2].p_filesz = 1, "empty interpreter");
    REFUSED(p.segments[2].p_offset = sizeof p, "interpreter past the end");
    REFUSED(p.segments[0].p_type = p.segments[1].p_type = PT_NULL, "nothing to load");
}

static void test_truncated(void)
{
    Program p = good();
    ElfImage image;
    size_t need, refused = 0;

    for (size_t size = 0; size < 4096; size++) {
        /* A copy of exactly that size, so that a sanitizer sees reads past it. */
        u8 *copy = malloc(size + !size);
        memcpy(copy, &p, size);
        refused += elf_parse(copy, size, size, &image, &need) != NULL;
        free(copy);
    }
    OK(refused == 4096, "every truncation is refused (%zu)", refused);

    const char *error = elf_parse((u8 *)&p, 100, sizeof p, &image, &need);
    OK(error && need == offsetof(Program, segments) + sizeof p.segments, "asks for more headers");
}

static void test_byte_order(void)
{
    /* e_type, e_machine, e_version, e_entry, e_phoff of a 32-bit big-endian file. */
    u8 file[84] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2MSB, EV_CURRENT};
    const u8 header[] = {0, 2, 0, 8, 0, 0, 0, 1, 0, 0x40, 0, 0x10, 0, 0, 0, 52};
    const u8 counts[] = {0, 52, 0, 32, 0, 1};
    const u8 load[] = {0, 0, 0, 1,  0, 0, 0, 0,  0, 0x40, 0, 0, 0, 0x40, 0, 0,
                       0, 0, 0, 84, 0, 0, 0, 84, 0, 0,    0, 5, 0, 1,    0, 0};
    ElfImage image;
    size_t need;

    memcpy(file + 16, header, sizeof header);
    memcpy(file + 40, counts, sizeof counts);
    memcpy(file + 52, load, sizeof load);
    const char *error = elf_parse(file, sizeof file, sizeof file, &image, &need);
    OK(!error, "32-bit big-endian: %s", error ? error : "accepted");
    OK(image.machine == EM_MIPS && image.entry == 0x400010 && image.word_size == 4, "its fields");
    OK(image.low == 0x400000 && image.segments[0].memory_size == 84, "its segment");
}

int main(void)
{
    test_good();
    test_hostile();
    test_truncated();
    test_byte_order();
    return tap_done();
}

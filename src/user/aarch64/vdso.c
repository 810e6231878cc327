/* The arm64 vDSO: a minimal ELF shared object, made in memory at program start.
 *
 * Layout: ELF header, program headers (PT_LOAD, PT_DYNAMIC), dynamic section, symbols, strings,
 * hash table, code. Unwinders and libc find the functions by name; the kernel's return trampoline
 * is __kernel_rt_sigreturn. No symbol versions: libc accepts symbols without. */
#include <elf.h>
#include <string.h>

#include "user/aarch64/abi.h"

/* A64 code. The clocks are read without a system call from two counters of nanoseconds:
 * CNTVCT_EL0, which is CLOCK_MONOTONIC here, and S3_3_C15_C0_0, an IMPLEMENTATION DEFINED register
 * that is CLOCK_REALTIME. What they don't serve is left to the system call. */
#define MOV_X8(number) (0xd2800008u | (u32)(number) << 5)
enum { SVC = 0xd4000001u, RET = 0xd65f03c0u, FUNCTION_WORDS = 16 };

static const struct {
    const char *name;
    u32 code[FUNCTION_WORDS];
} functions[] = {
    {"__kernel_rt_sigreturn", {MOV_X8(139), SVC}},
    {"__kernel_clock_gettime",
     {
         0x7100041f, /*    cmp w0, #1 */
         0x54000080, /*    b.eq 1f */
         0x35000160, /*    cbnz w0, 3f */
         0xd53bf002, /*    mrs x2, S3_3_C15_C0_0 */
         0x14000002, /*    b 2f */
         0xd53be042, /* 1: mrs x2, CNTVCT_EL0 */
         0xd2994003, /* 2: mov x3, #0xca00 */
         0xf2a77343, /*    movk x3, #0x3b9a, lsl #16; 10^9 */
         0x9ac30844, /*    udiv x4, x2, x3 */
         0x9b038885, /*    msub x5, x4, x3, x2 */
         0xa9001424, /*    stp x4, x5, [x1] */
         0x52800000, /*    mov w0, #0 */
         RET,
         MOV_X8(113), /* 3: */
         SVC,
         RET,
     }},
    {"__kernel_gettimeofday",
     {
         0xb5000181, /*    cbnz x1, 2f; the time zone is the kernel's */
         0xb4000120, /*    cbz x0, 1f */
         0xd53bf002, /*    mrs x2, S3_3_C15_C0_0 */
         0xd2807d03, /*    mov x3, #1000 */
         0x9ac30842, /*    udiv x2, x2, x3 */
         0xd2884803, /*    mov x3, #0x4240 */
         0xf2a001e3, /*    movk x3, #0xf, lsl #16; 10^6 */
         0x9ac30844, /*    udiv x4, x2, x3 */
         0x9b038885, /*    msub x5, x4, x3, x2 */
         0xa9001404, /*    stp x4, x5, [x0] */
         0x52800000, /* 1: mov w0, #0 */
         RET,
         MOV_X8(169), /* 2: */
         SVC,
         RET,
     }},
    {"__kernel_clock_getres", {MOV_X8(114), SVC, RET}},
};

enum { SYMBOLS = COUNT(functions) + 1, STRINGS_SIZE = 128, DYNAMIC_COUNT = 6 };

/* One page: everything at fixed places, so that offsets are offsetof(). */
typedef struct Image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    Elf64_Dyn dynamic[DYNAMIC_COUNT];
    Elf64_Sym symbols[SYMBOLS];
    u32 hash[2 + 1 + SYMBOLS]; /* one bucket, chained through all symbols */
    char strings[STRINGS_SIZE];
    _Alignas(16) u32 code[COUNT(functions)][FUNCTION_WORDS];
} Image;

_Static_assert(sizeof(Image) <= AARCH64_VDSO_SIZE, "the vDSO fits its page");

static void fill_headers(Image *image)
{
    image->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_AARCH64,
        .e_version = EV_CURRENT,
        .e_phoff = offsetof(Image, segments),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    image->segments[0] = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_X,
        .p_filesz = sizeof(Image),
        .p_memsz = sizeof(Image),
        .p_align = AARCH64_VDSO_SIZE,
    };
    image->segments[1] = (Elf64_Phdr){
        .p_type = PT_DYNAMIC,
        .p_flags = PF_R,
        .p_offset = offsetof(Image, dynamic),
        .p_vaddr = offsetof(Image, dynamic),
        .p_filesz = sizeof image->dynamic,
        .p_memsz = sizeof image->dynamic,
        .p_align = 8,
    };
}

static void fill_dynamic(Image *image)
{
    const Elf64_Dyn dynamic[DYNAMIC_COUNT] = {
        {DT_HASH, {offsetof(Image, hash)}},      {DT_SYMTAB, {offsetof(Image, symbols)}},
        {DT_STRTAB, {offsetof(Image, strings)}}, {DT_STRSZ, {STRINGS_SIZE}},
        {DT_SYMENT, {sizeof(Elf64_Sym)}},        {DT_NULL, {0}},
    };

    memcpy(image->dynamic, dynamic, sizeof dynamic);
}

size_t aarch64_make_vdso(u8 *page, u64 base)
{
    Image *image = (Image *)page;
    size_t string = 1;

    (void)base; /* addresses in the image are relative; the loader's user adds the base */
    fill_headers(image);
    fill_dynamic(image);
    image->hash[0] = 1;
    image->hash[1] = SYMBOLS;
    image->hash[2] = 1; /* the bucket starts at symbol 1 */
    for (size_t i = 0; i < COUNT(functions); i++) {
        size_t length = strlen(functions[i].name) + 1;
        memcpy(image->strings + string, functions[i].name, length);
        memcpy(image->code[i], functions[i].code, sizeof functions[i].code);
        image->symbols[i + 1] = (Elf64_Sym){
            .st_name = (u32)string,
            .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
            .st_shndx = 1,
            .st_value = offsetof(Image, code) + i * sizeof image->code[0],
            .st_size = sizeof functions[i].code,
        };
        image->hash[3 + i + 1] = i + 1 < COUNT(functions) ? (u32)i + 2 : 0;
        string += length;
    }
    return offsetof(Image, code);
}

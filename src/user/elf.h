/* ELF headers of programs: parsing and checking, with no I/O and no knowledge of where things go.
 *
 * Input is the start of a file as bytes; nothing of it is trusted. Both classes and both byte
 * orders. After elf_parse() succeeds, every segment satisfies: file range inside the file, memory
 * size at least file size, no wrap-around, file offset and address congruent modulo 4 KiB. */
#ifndef USER_ELF_H
#define USER_ELF_H

#include "base/types.h"

enum {
    ELF_PAGE = 4096,
    ELF_MAX_SEGMENTS = 64, /* loadable ones; real programs have 2 to 6 */
    ELF_MAX_HEAD = 65536,  /* the program headers must lie in the file's first 64 KiB */
};

typedef struct ElfSegment {
    u64 offset, file_size; /* in the file, bytes */
    u64 address, memory_size;
    int protection; /* PROT_* */
} ElfSegment;

typedef struct ElfImage {
    u16 machine; /* EM_* */
    bool big_endian;
    unsigned word_size; /* 4 or 8 */
    bool relocatable;   /* ET_DYN: may be loaded anywhere */
    u64 entry;
    u64 header_address; /* of the program headers in memory, before relocation; 0: not loaded */
    u16 header_count, header_size;
    u64 low, high;                            /* memory range of all segments, page aligned */
    u64 interpreter_offset, interpreter_size; /* of the path in the file with its NUL; 0: none */
    int stack_protection;                     /* PROT_* that PT_GNU_STACK asks for */
    bool has_stack_header;                    /* there is one */
    u64 alignment;                            /* largest of the loadable segments, a power of two */
    unsigned segment_count;
    ElfSegment segments[ELF_MAX_SEGMENTS];
} ElfImage;

/* Whether the bytes start like an ELF file at all. */
bool elf_has_magic(const u8 *head, size_t size);

/* Parses `size` bytes from the start of a file of `file_size` bytes. Returns NULL or what is wrong
 * (static text fit for "cannot execute PROGRAM: ..."). If the headers reach past `size`, returns an
 * error and sets *need to the bytes that would do (at most ELF_MAX_HEAD); otherwise sets it to 0.
 */
const char *elf_parse(const u8 *head, size_t size, u64 file_size, ElfImage *image, size_t *need);

#endif

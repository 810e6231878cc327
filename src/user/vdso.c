/* vDSO images: see vdso.h. Layout: ELF header, program headers (PT_LOAD, PT_DYNAMIC), dynamic
 * section, symbols, hash table, strings, code. Unwinders and libc find the functions by name. No
 * symbol versions: libc accepts symbols without. Addresses in the image are relative; its user adds
 * the base. */
#include "user/vdso.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

#include "user/access.h"

enum { SEGMENTS = 2, DYNAMIC_ENTRIES = 6 };

/* Writes fields one after the other; ELF structures have no padding. */
typedef struct Writer {
    u8 *page;
    size_t at;
    unsigned word;
    bool big_endian;
} Writer;

static void put(Writer *w, u64 value, unsigned size)
{
    put_value(w->page + w->at, value, size, w->big_endian);
    w->at += size;
}

static void put_word(Writer *w, u64 value)
{
    put(w, value, w->word);
}

typedef struct Layout {
    size_t segments, dynamic, symbols, hash, strings;
    size_t segment_size, symbol_size;
} Layout;

static Layout lay_out(unsigned word, unsigned functions)
{
    Layout l;

    l.segments = word == 8 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    l.segment_size = word == 8 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    l.symbol_size = word == 8 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    l.dynamic = l.segments + SEGMENTS * l.segment_size;
    l.symbols = l.dynamic + DYNAMIC_ENTRIES * 2 * word;
    l.hash = l.symbols + (functions + 1) * l.symbol_size;
    l.strings = l.hash + (2 + 1 + functions + 1) * 4;
    return l;
}

static void put_header(Writer *w, const GuestAbi *abi, const Layout *l)
{
    const u8 ident[EI_NIDENT] = {ELFMAG0,
                                 ELFMAG1,
                                 ELFMAG2,
                                 ELFMAG3,
                                 w->word == 8 ? ELFCLASS64 : ELFCLASS32,
                                 w->big_endian ? ELFDATA2MSB : ELFDATA2LSB,
                                 EV_CURRENT};

    memcpy(w->page, ident, sizeof ident);
    w->at = sizeof ident;
    put(w, ET_DYN, 2);
    put(w, abi->elf_machine, 2);
    put(w, EV_CURRENT, 4);
    put_word(w, 0);
    put_word(w, l->segments);
    put_word(w, 0);
    put(w, 0, 4);
    put(w, l->segments, 2); /* which follow the header */
    put(w, l->segment_size, 2);
    put(w, SEGMENTS, 2);
    put(w, 0, 2);
    put(w, 0, 2);
    put(w, 0, 2);
}

static void put_segment(Writer *w, u32 type, u32 flags, size_t at, size_t size, size_t align)
{
    put(w, type, 4);
    if (w->word == 8) {
        put(w, flags, 4);
    }
    put_word(w, at);
    put_word(w, at);
    put_word(w, 0);
    put_word(w, size);
    put_word(w, size);
    if (w->word == 4) {
        put(w, flags, 4);
    }
    put_word(w, align);
}

static void put_symbol(Writer *w, size_t name, size_t value)
{
    u8 info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);

    put(w, name, 4);
    if (w->word == 8) {
        put(w, info, 1);
        put(w, 0, 1);
        put(w, 1, 2);
    }
    put_word(w, value);
    put_word(w, VDSO_FUNCTION_BYTES);
    if (w->word == 4) {
        put(w, info, 1);
        put(w, 0, 1);
        put(w, 1, 2);
    }
}

/* One bucket, chained through all symbols. */
static void put_hash(Writer *w, unsigned count)
{
    put(w, 1, 4);
    put(w, count + 1, 4);
    put(w, 1, 4);
    put(w, 0, 4);
    for (unsigned i = 1; i <= count; i++) {
        put(w, i < count ? i + 1 : 0, 4);
    }
}

void vdso_make(const GuestAbi *abi, u8 page[VDSO_SIZE], const VdsoFunction *functions,
               unsigned count)
{
    Writer w = {page, 0, abi->word_size, abi->big_endian};
    const Layout l = lay_out(w.word, count);
    size_t string = l.strings + 1;

    put_header(&w, abi, &l);
    put_segment(&w, PT_LOAD, PF_R | PF_X, 0, VDSO_SIZE, VDSO_SIZE);
    put_segment(&w, PT_DYNAMIC, PF_R, l.dynamic, l.symbols - l.dynamic, w.word);
    w.at = l.symbols + l.symbol_size; /* the first symbol is empty */
    for (unsigned i = 0; i < count; i++) {
        size_t length = strlen(functions[i].name) + 1;
        assert(string + length <= VDSO_CODE && vdso_offset(i + 1) <= VDSO_SIZE);
        put_symbol(&w, string - l.strings, vdso_offset(i));
        memcpy(page + string, functions[i].name, length);
        memcpy(page + vdso_offset(i), functions[i].code, VDSO_FUNCTION_BYTES);
        string += length;
    }
    w.at = l.hash;
    put_hash(&w, count);
    const u64 dynamic[DYNAMIC_ENTRIES][2] = {
        {DT_HASH, l.hash},          {DT_SYMTAB, l.symbols},
        {DT_STRTAB, l.strings},     {DT_STRSZ, string - l.strings},
        {DT_SYMENT, l.symbol_size}, {DT_NULL, 0},
    };
    w.at = l.dynamic;
    for (unsigned i = 0; i < DYNAMIC_ENTRIES; i++) {
        put_word(&w, dynamic[i][0]);
        put_word(&w, dynamic[i][1]);
    }
}

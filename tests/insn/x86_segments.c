/* See x86_segments.h. Every segment for data has its base near X86_DATA - X86_DATA_OFFSET, so that
 * an offset is good in all of them, but for those limits that lie inside the data. */
#include "x86_segments.h"

#include <asm/ldt.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../random.h"
#include "guest/x86/state.h"

enum {
    BASE = X86_DATA - X86_DATA_OFFSET,
    END = X86_DATA_OFFSET + X86_DATA_SIZE,
    MIDDLE = X86_DATA_OFFSET + X86_DATA_SIZE / 2,
    /* modify_ldt: kinds of contents */
    DATA = 0,
    DOWN = 1, /* expand-down */
    CODE = 2,
    CONFORMING = 3,
    /* modify_ldt: what to do */
    READ = 0,
    WRITE = 0x11,
    /* 16-bit code segments, one for each 64 KiB of code */
    CODE16 = 256,
    CODE16_SIZE = 0x10000,
};

typedef struct Entry {
    u32 base, limit;
    u8 contents, wide, pages, read_only, absent;
} Entry;

/* Table entries from 1 on. */
static const Entry entries[] = {
    {BASE, 0xfffff, DATA, 1, 1, 0, 0},
    {BASE + 16, END - 17, DATA, 1, 0, 0, 0},
    {BASE - 5, 0xffff, DATA, 0, 0, 0, 0},
    {BASE + 64, MIDDLE + 300, DATA, 1, 0, 0, 0},
    {BASE, MIDDLE - 300, DOWN, 1, 0, 0, 0},
    {BASE - 32, MIDDLE - 500, DOWN, 0, 0, 0, 0},
    {BASE, 3, DATA, 1, 1, 0, 0},
    {BASE + 8, 0xfffff, DATA, 1, 1, 1, 0},
    {BASE, 0xfffff, CODE, 1, 1, 0, 0},
    /* not for every register */
    {BASE, 0xfffff, CODE, 1, 1, 1, 0},
    {BASE, 0xfffff, DATA, 1, 1, 0, 1},
    /* flat, but for the base */
    {16, 0xfffff, DATA, 1, 1, 0, 0},
    {(u32)-40, 0xfffff, DATA, 1, 1, 0, 0},
    {0, 0xfffff, DATA, 1, 1, 0, 0},
    /* 32-bit code */
    {X86_CODE - 0x1000, 0xfffff, CODE, 1, 1, 0, 0},
    {X86_CODE, X86_CODE_SLOTS *X86_CODE_SLOT / 4096 - 1, CODE, 1, 1, 0, 0},
    {X86_CODE - 48, 0xfffff, CODE, 1, 1, 1, 0},
};

enum { STACKS = 7, WRITABLE = 7, READABLE = 9, FLAT = 12, FLATS = 3, CODES = 15, CODE_COUNT = 3 };

static u16 local_selector(unsigned entry)
{
    return (u16)(entry << 3 | 7);
}

static bool write_entry(unsigned number, const Entry *e)
{
    struct user_desc d = {
        .entry_number = number,
        .base_addr = e->base,
        .limit = e->limit,
        .seg_32bit = e->wide,
        .contents = e->contents & 3,
        .read_exec_only = e->read_only,
        .limit_in_pages = e->pages,
        .seg_not_present = e->absent,
        .useable = 1,
    };

    return syscall(SYS_modify_ldt, WRITE, &d, sizeof(d)) == 0;
}

bool x86_segments_install(void)
{
    for (unsigned i = 0; i < COUNT(entries); i++) {
        if (!write_entry(1 + i, &entries[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < X86_CODE_SLOTS * X86_CODE_SLOT / CODE16_SIZE; i++) {
        Entry e = {.base = X86_CODE + i * CODE16_SIZE, .limit = CODE16_SIZE - 1, .contents = CODE};
        if (!write_entry(CODE16 + i, &e)) {
            return false;
        }
    }
    return true;
}

void x86_segments_read(u64 ldt[X86_LDT_ENTRIES])
{
    memset(ldt, 0, X86_LDT_ENTRIES * sizeof(*ldt));
    syscall(SYS_modify_ldt, READ, ldt, X86_LDT_ENTRIES * sizeof(*ldt));
}

unsigned x86_code_bytes(X86Environment environment)
{
    return environment == X86_FLAT64 ? 8 : environment == X86_SEGMENTED16 ? 2 : 4;
}

static u16 choose_local(u64 *seed, unsigned first, unsigned count)
{
    return local_selector(first + (unsigned)(random_next(seed) % count));
}

static void choose_flat(u64 *seed, bool long_mode, X86Registers *r)
{
    u16 *s = r->segment.selector;

    s[X86_CS] = long_mode ? X86_SELECTOR_CS64 : X86_SELECTOR_CS32;
    s[X86_SS] = s[X86_DS] = s[X86_ES] = X86_SELECTOR_DATA;
    s[X86_FS] = long_mode ? 0 : choose_local(seed, FLAT, FLATS);
    s[X86_GS] = long_mode ? 0 : choose_local(seed, FLAT, FLATS);
    r->fs_base = long_mode ? random_next(seed) % 128 - 64 : 0;
    r->gs_base = long_mode ? random_next(seed) % 128 - 64 : 0;
}

void x86_segments_choose(X86Environment environment, u64 *seed, X86Registers *r)
{
    static const u8 data_registers[] = {X86_DS, X86_ES, X86_FS, X86_GS};
    u16 *s = r->segment.selector;

    if (environment == X86_FLAT64 || environment == X86_FLAT32) {
        choose_flat(seed, environment == X86_FLAT64, r);
        return;
    }
    s[X86_CS] = choose_local(seed, CODES, CODE_COUNT);
    s[X86_SS] = choose_local(seed, 1, STACKS);
    for (unsigned i = 0; i < COUNT(data_registers); i++) {
        s[data_registers[i]] = choose_local(seed, 1, random_next(seed) % 4 ? WRITABLE : READABLE);
    }
}

void x86_segments_place(X86Environment environment, u32 address, X86Registers *r)
{
    u16 *cs = &r->segment.selector[X86_CS];

    switch (environment) {
    case X86_SEGMENTED16:
        *cs = local_selector(CODE16 + (address - X86_CODE) / CODE16_SIZE);
        r->rip = (address - X86_CODE) % CODE16_SIZE;
        return;
    case X86_SEGMENTED32:
        r->rip = address - entries[(*cs >> 3) - 1].base;
        return;
    default:
        r->rip = address;
        return;
    }
}

u16 x86_segments_any(u64 *seed)
{
    u64 bits = random_next(seed);

    switch (bits >> 60) {
    case 0:
        return (u16)(bits % 4); /* null */
    case 1:
        return (u16)bits | 4; /* of the table, most likely nothing */
    case 2:
        return X86_SELECTOR_DATA;
    default:
        return local_selector(1 + (unsigned)(bits % COUNT(entries))) & (u16) ~(bits >> 32 & 3);
    }
}

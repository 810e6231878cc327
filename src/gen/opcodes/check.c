/* Proves what can be proved about the tables before anything is made from them.
 *
 * A row is a set of encodings: a product of prefixes, values of ModRM, W, L, and modes. Two rows
 * may share encodings only if one set contains the other: then the smaller is the exception, and
 * goes first. */
#include <stdlib.h>
#include <string.h>

#include "gen/opcodes/opcodes.h"

/* Demands that cannot hold together. */
static const u32 opposites[][2] = {
    {DEMAND_W0, DEMAND_W1}, {DEMAND_L0, DEMAND_L1}, {DEMAND_CODE64, DEMAND_NOT_CODE64}};

static int modrm_values(const Row *a, const Row *b)
{
    int count = 0;

    for (int value = 0; value < 256; value++) {
        bool memory = value < 0xc0;
        count += (value & a->modrm_mask) == a->modrm_bits &&
                 (value & b->modrm_mask) == b->modrm_bits &&
                 (memory || !((a->demands | b->demands) & DEMAND_MEMORY));
    }
    return count;
}

static bool shares_opcode(const Row *a, const Row *b)
{
    return a->map == b->map && a->opcode < b->opcode + b->opcode_count &&
           b->opcode < a->opcode + a->opcode_count;
}

static bool overlaps(const Row *a, const Row *b)
{
    u32 demands = a->demands | b->demands;

    for (unsigned i = 0; i < COUNT(opposites); i++) {
        if ((demands & opposites[i][0]) && (demands & opposites[i][1])) {
            return false;
        }
    }
    return (a->prefixes & b->prefixes) && modrm_values(a, b) > 0;
}

static bool contains(const Row *a, const Row *b)
{
    return (a->prefixes & b->prefixes) == b->prefixes && modrm_values(a, b) == modrm_values(b, b) &&
           (a->demands & ~b->demands & ~(u32)DEMAND_MEMORY) == 0;
}

u64 row_extent(const Row *row)
{
    u64 extent = (u64)(modrm_values(row, row) * __builtin_popcount(row->prefixes)) << 16;

    return extent >> __builtin_popcount(row->demands & ~(u32)DEMAND_MEMORY);
}

static bool check_pair(const Row *a, const Row *b)
{
    bool ok = true;

    if (a->has_modrm != b->has_modrm) {
        fprintf(stderr, "%s:%d: %s has %s ModRM byte, unlike %s in line %d\n", a->at.file,
                a->at.line, a->name, a->has_modrm ? "a" : "no", b->name, b->at.line);
        ok = false;
    }
    if (overlaps(a, b) && contains(a, b) == contains(b, a)) {
        fprintf(stderr, "%s:%d: %s claims encodings of %s in line %d\n", a->at.file, a->at.line,
                a->name, b->name, b->at.line);
        ok = false;
    }
    return ok;
}

/* Whether the one-byte opcode is a prefix or leads to another map. */
static bool is_prefix(int opcode)
{
    static const u8 prefixes[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64,
                                  0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

    return memchr(prefixes, opcode, sizeof(prefixes)) != NULL;
}

static bool check_one_byte_map(const Tables *tables)
{
    bool ok = true;

    for (int opcode = 0; opcode < 256; opcode++) {
        Row row = {.map = MAP_ONE, .opcode = opcode, .opcode_count = 1};
        int i = 0;
        while (i < tables->row_count && !shares_opcode(tables->row[i], &row)) {
            i++;
        }
        if ((i < tables->row_count) == is_prefix(opcode)) {
            fprintf(stderr, "one-byte opcode %02X %s\n", opcode,
                    is_prefix(opcode) ? "is a prefix" : "has no row");
            ok = false;
        }
    }
    return ok;
}

void opcodes_check(const Tables *tables)
{
    bool ok = check_one_byte_map(tables);

    for (int i = 0; i < tables->row_count; i++) {
        for (int j = 0; j < i; j++) {
            if (shares_opcode(tables->row[i], tables->row[j])) {
                ok &= check_pair(tables->row[i], tables->row[j]);
            }
        }
    }
    if (!ok) {
        exit(1);
    }
}

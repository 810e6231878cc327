/* The runtime of generated instruction tables: assembler text, random instructions, coverage.
 * Must not know any guest. */
#include "guest/insn.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void text_printf(Text *text, const char *format, ...)
{
    size_t at = MIN(text->length, text->size);
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text->buffer + at, text->size - at, format, arguments);
    va_end(arguments);
    text->length += length > 0 ? (size_t)length : 0;
}

static bool row_wanted(const InsnRow *row, const InsnRandom *how)
{
    if (row->attributes & INSN_NOT_RANDOM || row->needs & ~how->features) {
        return false;
    }
    return !how->class_name || strcmp(how->class_name, row->class_name) == 0 ||
           strcmp(how->class_name, row->name) == 0;
}

/* Half of the values are uniform, the others small or close to all ones: those reach the limits
 * of immediates and small offsets. */
static u32 random_value(const InsnRandom *how, int width)
{
    u64 bits = how->next(how->context);
    u32 value = (u32)bits;

    if (bits >> 63 && width > 3) {
        value &= (1u << (bits >> 40) % (unsigned)width) - 1;
        value ^= bits >> 62 & 1 ? ~0u : 0;
    }
    return value & (u32)((1ull << width) - 1);
}

static u32 field_bits(const InsnField *field, const InsnRandom *how)
{
    if (how->confine && field->kind == INSN_FIELD_BASE) {
        return how->base;
    }
    if (how->confine && field->kind == INSN_FIELD_INDEX) {
        return how->index;
    }
    if (field->kind == INSN_FIELD_VALUE) {
        return random_value(how, field->width);
    }
    for (;;) {
        u32 value = (u32)how->next(how->context) & ((1u << field->width) - 1);
        if (!how->confine || !(how->avoid >> (value & 31) & 1)) {
            return value;
        }
    }
}

static u32 random_word(const InsnTable *table, unsigned row, const InsnField *field,
                       const InsnRandom *how)
{
    u32 word = table->rows[row].value | table->rows[row].advised;

    for (; field->row == row; field++) {
        word |= field_bits(field, how) << field->low;
    }
    return word;
}

/* The n-th row that is wanted. */
static unsigned choose_row(const InsnTable *table, const InsnRandom *how)
{
    unsigned wanted = 0, row;

    for (row = 0; row < table->count; row++) {
        wanted += row_wanted(&table->rows[row], how);
    }
    assert(wanted && "no row of the table is of this class");
    unsigned n = (unsigned)(how->next(how->context) % wanted);
    for (row = 0;; row++) {
        if (row_wanted(&table->rows[row], how) && n-- == 0) {
            return row;
        }
    }
}

u32 insn_random(const InsnTable *table, const InsnRandom *how)
{
    enum { ROWS = 1000, TRIES = 200 }; /* a row may not be able to do as asked */

    for (int i = 0; i < ROWS; i++) {
        unsigned row = choose_row(table, how);
        const InsnField *field = table->fields;
        while (field->row < row) {
            field++;
        }
        for (int j = 0; j < TRIES; j++) {
            u32 word = random_word(table, row, field, how);
            if (table->acceptable(how, row, word)) {
                return word;
            }
        }
    }
    assert(!"no instruction fits the request");
    return 0;
}

void insn_report_coverage(FILE *out, const InsnRow *rows, unsigned count, const u64 *counts)
{
    for (int seen = 0; seen < 2; seen++) {
        for (unsigned i = 0; i < count; i++) {
            if ((counts[i] != 0) == seen) {
                fprintf(out, "%12llu %-8s %s\n", (unsigned long long)counts[i], rows[i].class_name,
                        rows[i].name);
            }
        }
    }
}

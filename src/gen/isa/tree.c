/* The decision tree: nested switches over the most telling bits of the word, down to the function
 * that extracts one row. A row's function compares all its fixed bits again, so that the tree need
 * only separate rows from each other.
 * Invariant: of rows that share words, an overriding one is tried first. */
#include <string.h>

#include "gen/isa/isa.h"

enum { MAX_SWITCH_BITS = 6 };

typedef struct Set {
    int count;
    u16 row[ISA_MAX_ROWS];
} Set;

typedef struct Choice {
    int low, width;
    double cost; /* expected number of rows left */
} Choice;

static bool compatible(const Row *row, int low, int width, u32 value)
{
    u32 bits = ((1u << width) - 1) << low;

    return ((row->value ^ (value << low)) & row->mask & bits) == 0;
}

static Choice best_choice(const Isa *isa, const Set *set, u32 known)
{
    Choice best = {.width = 0, .cost = set->count};

    for (int width = 1; width <= MAX_SWITCH_BITS; width++) {
        for (int low = 0; low + width <= ISA_WORD_BITS; low++) {
            double sum = 0;
            if (known & (((1u << width) - 1) << low)) {
                continue;
            }
            for (u32 value = 0; value < 1u << width; value++) {
                double count = 0;
                for (int i = 0; i < set->count; i++) {
                    count += compatible(isa->row[set->row[i]], low, width, value);
                }
                sum += count * count;
            }
            double cost = sum / set->count;
            if (cost < best.cost - 1e-9) {
                best = (Choice){low, width, cost};
            }
        }
    }
    return best;
}

static void indent(FILE *out, int depth)
{
    fprintf(out, "%*s", depth * 4, "");
}

/* Tries the rows one after the other, overriding ones first. */
static void emit_leaf(FILE *out, const Isa *isa, Set *set, int depth)
{
    for (int i = 0; i < set->count; i++) {
        for (int j = i + 1; j < set->count; j++) {
            if (row_overrides(isa->row[set->row[j]], isa->row[set->row[i]])) {
                u16 first = set->row[j];
                set->row[j] = set->row[i];
                set->row[i] = first;
            }
        }
    }
    indent(out, depth);
    fputs("return ", out);
    for (int i = 0; i < set->count; i++) {
        fprintf(out, "%sget_%s(word, features, out)", i ? " || " : "", isa->row[set->row[i]]->name);
    }
    fputs(set->count ? ";\n" : "false;\n", out);
}

static void emit_node(FILE *out, const Isa *isa, Set *set, u32 known, int depth);

/* The rows of `set` that are possible where the chosen bits are `value`. */
static void subset(const Isa *isa, const Set *set, Choice choice, u32 value, Set *child)
{
    child->count = 0;
    for (int i = 0; i < set->count; i++) {
        if (compatible(isa->row[set->row[i]], choice.low, choice.width, value)) {
            child->row[child->count++] = set->row[i];
        }
    }
}

static bool same(const Set *a, const Set *b)
{
    return a->count == b->count && memcmp(a->row, b->row, (size_t)a->count * 2) == 0;
}

static void emit_switch(FILE *out, const Isa *isa, const Set *set, Choice choice, u32 known,
                        int depth)
{
    u32 count = 1u << choice.width;
    Set child, other;
    bool done[1 << MAX_SWITCH_BITS] = {false};

    indent(out, depth);
    fprintf(out, "switch (word >> %d & %u) {\n", choice.low, count - 1);
    for (u32 value = 0; value < count; value++) {
        subset(isa, set, choice, value, &child);
        if (done[value] || child.count == 0) {
            continue;
        }
        for (u32 twin = value; twin < count; twin++) {
            subset(isa, set, choice, twin, &other);
            if (same(&child, &other)) {
                done[twin] = true;
                indent(out, depth);
                fprintf(out, "case %u:\n", twin);
            }
        }
        emit_node(out, isa, &child, known | (count - 1) << choice.low, depth + 1);
    }
    indent(out, depth);
    fputs("default:\n", out);
    indent(out, depth + 1);
    fputs("return false;\n", out);
    indent(out, depth);
    fputs("}\n", out);
}

static void emit_node(FILE *out, const Isa *isa, Set *set, u32 known, int depth)
{
    Choice choice = best_choice(isa, set, known);

    if (set->count <= 1 || choice.width == 0) {
        emit_leaf(out, isa, set, depth);
        return;
    }
    emit_switch(out, isa, set, choice, known, depth);
}

void tree_emit(FILE *out, const Isa *isa)
{
    Set all = {.count = isa->row_count};

    for (int i = 0; i < isa->row_count; i++) {
        all.row[i] = (u16)i;
    }
    emit_node(out, isa, &all, 0, 1);
}

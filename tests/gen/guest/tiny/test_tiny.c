/* Code generated for a made-up guest does what its tables say. */
#include <string.h>

#include "../../../random.h"
#include "../../../tap.h"
#include "guest/tiny/operands.h"
#include "guest/tiny/tiny.h"

enum { EXTRA = TINY_FEATURE_EXTRA };

void tiny_print_reg(Text *text, s64 n)
{
    text_printf(text, "r%d", (int)n);
}

void tiny_print_num(Text *text, s64 value)
{
    text_printf(text, "%d", (int)value);
}

static u32 add_word(u32 kind, u32 rd, u32 rn, u32 imm8, u32 flag, u32 advised)
{
    return kind << 25 | rd << 20 | rn << 16 | imm8 << 8 | flag << 7 | advised << 3;
}

static const char *disasm(u32 word)
{
    static char text[64];

    tiny_disasm(word, 1000, text, sizeof(text));
    return text;
}

static void check_decode(void)
{
    TinyInsn i;

    OK(tiny_decode(add_word(2, 3, 7, 0xff, 1, 6), 0, &i) && i.row == TINY_ADD && i.add.kind == 2 &&
           i.add.rd == 3 && i.add.rn == 7 && i.add.imm == -2 && i.add.flag == 1,
       "fields: plain, signed, scaled");
    OK(i.add.sum == 14 && i.add.half == 3, "computed values, with a function of the guest");
    OK(tiny_decode(add_word(2, 3, 7, 0, 0, 9), 0, &i), "advised bits may differ");
    OK(!tiny_decode(add_word(6, 3, 7, 0, 0, 6), 0, &i), "illegal if");
    OK(!tiny_decode(add_word(2, 3, 7, 0, 0, 6) | 1, 0, &i), "fixed bits behind the fields");
    OK(tiny_decode(0, 0, &i) && i.row == TINY_NOP, "the overriding row goes first");
    OK(tiny_decode(add_word(0, 0, 0, 0, 1, 0), 0, &i) && i.row == TINY_ADD,
       "but only where it matches");
    OK(tiny_decode(1u << 28 | 100, 0, &i) && i.row == TINY_HIGH && i.high.value == 100 &&
           tiny_decode(1u << 28 | 99, 0, &i) && i.row == TINY_LOW && i.low.value == 99,
       "conditions tell rows apart");
    OK(tiny_decode(2u << 28, 0, &i) && !tiny_decode(2u << 28 | 1u << 27, 0, &i) &&
           tiny_decode(2u << 28 | 1u << 27, EXTRA, &i),
       "needs, under a condition");
    OK(!tiny_decode(3u << 28, ~0u, &i), "a word of no row");
}

static void check_attributes(void)
{
    TinyInsn i;

    tiny_decode(add_word(1, 2, 3, 4, 0, 6), 0, &i);
    OK(tiny_attributes(&i) == 0, "no attributes");
    tiny_decode(add_word(5, 2, 3, 4, 1, 6), 0, &i);
    OK(tiny_attributes(&i) == (INSN_WRITES_FLAGS | INSN_NOT_RANDOM), "conditional attributes");
    tiny_decode(1u << 28, 0, &i);
    OK(tiny_attributes(&i) == INSN_ENDS, "an unconditional attribute");
    OK(strcmp(tiny_rows[TINY_LOAD].name, "load") == 0 &&
           strcmp(tiny_rows[TINY_LOAD].class_name, "memory") == 0 &&
           tiny_rows[TINY_LOAD].attributes == INSN_LOADS && tiny_rows[TINY_ADD].advised == 6 << 3,
       "the table of rows");
    OK(strcmp(tiny_feature_names[0], "extra") == 0, "names of features");
}

static void check_disasm(void)
{
    OK(strcmp(disasm(add_word(1, 2, 3, 4, 1, 6)), "subs\tr2, r3, 8") == 0, "choices: %s",
       disasm(add_word(1, 2, 3, 4, 1, 6)));
    OK(strcmp(disasm(add_word(0, 2, 3, 4, 1, 6)), "add.f\tr2, r3") == 0,
       "first naming that applies");
    OK(strcmp(disasm(0), "nop") == 0, "no operands");
    OK(strcmp(disasm(1u << 28 | 5), "low\t5, 1000") == 0, "pc");
    OK(strcmp(disasm(2u << 28 | 1u << 27 | 3u << 19), "load\todd, r0, 0") == 0, "nested choices");
    OK(strcmp(disasm(0xffffffff), ".inst\t0xffffffff") == 0, "undefined");
}

static void check_translate(void)
{
    Tr t = {0};
    TinyInsn i;

    tiny_decode(add_word(2, 3, 7, 0xff, 1, 6), 0, &i);
    bool translated = tiny_translate(&t, &i);
    tiny_decode(1u << 28 | 1000, 0, &i);
    OK(translated && tiny_translate(&t, &i) && t.sum == 1014, "handlers get their arguments");
    tiny_decode(0, 0, &i);
    OK(!tiny_translate(&t, &i), "a row without a handler");
}

static void check_random(void)
{
    u64 seed = 3, counts[TINY_ROW_COUNT] = {0};
    InsnRandom how = {.next = random_next, .context = &seed, .features = EXTRA};
    bool good = true, advised = true;
    TinyInsn i;

    for (int n = 0; n < 20000; n++) {
        u32 word = tiny_random(&how);
        good &= tiny_decode(word, EXTRA, &i) && (i.row != TINY_ADD || i.add.rd != i.add.rn);
        advised &= i.row != TINY_ADD || (word >> 3 & 15) == 6;
        counts[i.row]++;
    }
    OK(good, "random instructions decode and are predictable");
    OK(advised, "advised bits are as advised");
    OK(counts[TINY_ADD] && counts[TINY_NOP] && counts[TINY_HIGH] && counts[TINY_LOAD],
       "rows of several kinds are made");
}

static void check_random_choice(void)
{
    u64 seed = 4;
    InsnRandom how = {.next = random_next,
                      .context = &seed,
                      .class_name = "memory",
                      .confine = true,
                      .base = 9,
                      .avoid = 1 << 9,
                      .offset_min = -8,
                      .offset_max = 8};
    bool good = true;
    TinyInsn i;

    for (int n = 0; n < 2000; n++) {
        good &= tiny_decode(tiny_random(&how), 0, &i) && i.row == TINY_LOAD && i.load.rn == 9 &&
                i.load.rd != 9 && i.load.offset >= -8 && i.load.offset <= 8;
    }
    OK(good, "a class, a base register, a range of offsets");
    how.class_name = "high";
    OK(tiny_decode(tiny_random(&how), 0, &i) && i.row == TINY_HIGH, "one row by its name");
}

static void check_coverage(void)
{
    u64 counts[TINY_ROW_COUNT] = {[TINY_NOP] = 7};
    char text[1024] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    insn_report_coverage(out, tiny_rows, TINY_ROW_COUNT, counts);
    fclose(out);
    OK(strstr(text, " 0 plain    add\n") &&
           strstr(text, " 7 plain    nop\n") > strstr(text, "load"),
       "the coverage report begins with what was never decoded");
}

int main(void)
{
    check_decode();
    check_attributes();
    check_disasm();
    check_translate();
    check_random();
    check_random_choice();
    check_coverage();
    return tap_done();
}

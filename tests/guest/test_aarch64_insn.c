/* Properties of the generated AArch64 decoder and random maker that need no other program. */
#include <string.h>

#include "../random.h"
#include "../tap.h"
#include "guest/aarch64/aarch64_insn.h"

enum { ALL = -1 };

static void check_arguments(void)
{
    Aarch64Insn i;

    OK(aarch64_decode(0x8b020c20, 0, &i) && i.row == AARCH64_ADDSUB_SH && i.addsub_sh.sf == 1 &&
           i.addsub_sh.sub == 0 && i.addsub_sh.rm == 2 && i.addsub_sh.amt == 3 &&
           i.addsub_sh.rn == 1 && i.addsub_sh.rd == 0,
       "plain fields: add x0, x1, x2, lsl #3");
    OK(aarch64_decode(0x97ffffff, 0, &i) && i.row == AARCH64_B && i.b.link && i.b.imm == -4,
       "signed and scaled field: bl -4");
    OK(aarch64_decode(0xf000001f, 0, &i) && i.row == AARCH64_ADR && i.adr.imm == 0x3000,
       "value split over fields: adrp +3 pages");
    OK(aarch64_decode(0xa9bf7bfd, 0, &i) && i.row == AARCH64_LDST_PAIR && i.ldst_pair.imm == -16 &&
           i.ldst_pair.mode == 3 && !i.ldst_pair.load,
       "scale by another field: stp x29, x30, [sp, #-16]!");
    OK(aarch64_decode(0x92401c00, 0, &i) && i.row == AARCH64_LOG_IMM && i.log_imm.imm == 0xff,
       "computed immediate: and x0, x0, #0xff");
    OK(aarch64_decode(0x1e6e1000, 0, &i) && i.row == AARCH64_F_MOV_IMM &&
           i.f_mov_imm.imm == 0x3ff0000000000000,
       "floating-point immediate: fmov d0, #1.0");
}

static void check_undefined(void)
{
    Aarch64Insn i;

    OK(!aarch64_decode(0x0b028020, (u32)ALL, &i), "illegal if: 32-bit add shifted by 32");
    OK(!aarch64_decode(0x92407c00 | 63 << 10 | 1 << 16, 0, &i), "reserved logical immediate");
    OK(!aarch64_decode(0xffffffff, (u32)ALL, &i), "unallocated word");
    OK(!aarch64_decode(0xb8200020, 0, &i), "ldadd without FEAT_LSE");
    OK(aarch64_decode(0xb8200020, AARCH64_FEATURE_LSE, &i), "ldadd with FEAT_LSE");
    OK(!aarch64_decode(0x1ee02820, 0, &i) && aarch64_decode(0x1ee02820, (u32)ALL, &i),
       "conditional need: fadd of half precision");
}

static void check_attributes(void)
{
    Aarch64Insn i;

    aarch64_decode(0xeb01001f, 0, &i);
    OK(aarch64_attributes(&i) & INSN_WRITES_FLAGS, "cmp writes the flags");
    aarch64_decode(0xcb010000, 0, &i);
    OK(!(aarch64_attributes(&i) & INSN_WRITES_FLAGS), "sub does not");
    aarch64_decode(0x54000000, 0, &i);
    OK(aarch64_attributes(&i) & INSN_READS_FLAGS && aarch64_attributes(&i) & INSN_ENDS,
       "b.eq reads them and ends the block");
    aarch64_decode(0xf8408c20, 0, &i);
    OK((aarch64_attributes(&i) & (INSN_LOADS | INSN_STORES | INSN_WRITEBACK)) ==
           (INSN_LOADS | INSN_WRITEBACK),
       "ldr with pre-index loads and writes back");
}

static void check_text(void)
{
    char text[8];

    OK(aarch64_disasm(0x8b020c20, 0, text, sizeof(text)) == 22 && strcmp(text, "add\tx0,") == 0,
       "text is cut to the buffer and its length returned");
}

/* Every row that may be made is made; all that is made decodes. */
static void check_random(void)
{
    static u64 counts[AARCH64_ROW_COUNT];
    u64 seed = 1;
    InsnRandom how = {.next = random_next, .context = &seed, .features = (u32)ALL};
    Aarch64Insn i;
    bool decoded = true, allowed = true, all = true;

    for (int n = 0; n < 200000; n++) {
        decoded &= aarch64_decode(aarch64_random(&how), (u32)ALL, &i);
        counts[i.row]++;
        allowed &= !(aarch64_attributes(&i) & (INSN_NOT_RANDOM | INSN_ENDS));
    }
    for (int row = 0; row < AARCH64_ROW_COUNT; row++) {
        if (!(aarch64_rows[row].attributes & INSN_NOT_RANDOM) && counts[row] < 100) {
            printf("# %s only %d times\n", aarch64_rows[row].name, (int)counts[row]);
            all = false;
        }
    }
    OK(decoded, "all random instructions decode");
    OK(allowed, "none is excluded or ends a block");
    OK(all, "every row is made often");
}

/* A confined load or store names its base and index registers only where asked to. */
static void check_confined(void)
{
    u64 seed = 2;
    InsnRandom how = {.next = random_next,
                      .context = &seed,
                      .class_name = "memory",
                      .features = (u32)ALL,
                      .confine = true,
                      .base = 28,
                      .index = 27,
                      .avoid = 1u << 28 | 1u << 27 | 1u << 31,
                      .offset_min = -256,
                      .offset_max = 511};
    Aarch64Insn i;
    bool base = true, offset = true, data = true;

    for (int n = 0; n < 100000; n++) {
        u32 word = aarch64_random(&how);
        aarch64_decode(word, (u32)ALL, &i);
        base &= (word >> 5 & 31) == 28; /* rn of all that this class makes */
        data &= (1u << (word & 31) & how.avoid) == 0 || strstr(aarch64_rows[i.row].name, "prfm");
        if (i.row == AARCH64_LDST_UIMM) {
            offset &= i.ldst_uimm.imm <= 511;
        } else if (i.row == AARCH64_LDST_PAIR) {
            offset &= i.ldst_pair.imm <= 511 && i.ldst_pair.imm >= -256;
        } else if (i.row == AARCH64_LDST_REG) {
            base &= i.ldst_reg.rm == 27;
        }
    }
    OK(base, "base and index are the ones asked for");
    OK(offset, "offsets stay in their range");
    OK(data, "no other operand is an avoided register");
}

int main(void)
{
    check_arguments();
    check_undefined();
    check_attributes();
    check_text();
    check_random();
    check_confined();
    return tap_done();
}

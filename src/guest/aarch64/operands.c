/* Printers of AArch64 operands for the generated disassembler. */
#include "guest/aarch64/operands.h"

#include <string.h>

#include "guest/aarch64/immediate.h"

static void print_register(Text *text, char letter, const char *name31, s64 n)
{
    if (n == 31) {
        text_printf(text, "%s", name31);
    } else {
        text_printf(text, "%c%d", letter, (int)n);
    }
}

void aarch64_print_w(Text *text, s64 n)
{
    print_register(text, 'w', "wzr", n);
}

void aarch64_print_x(Text *text, s64 n)
{
    print_register(text, 'x', "xzr", n);
}

void aarch64_print_r(Text *text, s64 sf, s64 n)
{
    sf ? aarch64_print_x(text, n) : aarch64_print_w(text, n);
}

void aarch64_print_wsp(Text *text, s64 n)
{
    print_register(text, 'w', "wsp", n);
}

void aarch64_print_xsp(Text *text, s64 n)
{
    print_register(text, 'x', "sp", n);
}

void aarch64_print_rsp(Text *text, s64 sf, s64 n)
{
    sf ? aarch64_print_xsp(text, n) : aarch64_print_wsp(text, n);
}

void aarch64_print_dec(Text *text, s64 value)
{
    text_printf(text, "%lld", (long long)value);
}

void aarch64_print_hex(Text *text, s64 value)
{
    text_printf(text, "#0x%llx", (unsigned long long)value);
}

void aarch64_print_address(Text *text, s64 address)
{
    text_printf(text, "0x%llx", (unsigned long long)address);
}

void aarch64_print_cond(Text *text, s64 cond)
{
    static const char names[16][3] = {"eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc",
                                      "hi", "ls", "ge", "lt", "gt", "le", "al", "nv"};

    text_printf(text, "%s", names[cond & 15]);
}

void aarch64_print_barrier(Text *text, s64 option)
{
    static const char names[16][6] = {"", "oshld", "oshst", "osh", "", "nshld", "nshst", "nsh",
                                      "", "ishld", "ishst", "ish", "", "ld",    "st",    "sy"};

    if (*names[option & 15]) {
        text_printf(text, "%s", names[option & 15]);
    } else {
        text_printf(text, "#0x%02llx", (unsigned long long)option);
    }
}

void aarch64_print_prefetch(Text *text, s64 operation)
{
    static const char kinds[3][4] = {"pld", "pli", "pst"};

    if ((operation >> 3) == 3 || (operation >> 1 & 3) == 3) {
        text_printf(text, "#0x%02llx", (unsigned long long)operation);
        return;
    }
    text_printf(text, "%sl%d%s", kinds[operation >> 3], (int)(operation >> 1 & 3) + 1,
                operation & 1 ? "strm" : "keep");
}

/* The registers that programs meet; names of all would be a table of their own. */
static const struct {
    u16 reg;
    const char *name;
} system_registers[] = {
    {0xda10, "nzcv"},
    {0xda20, "fpcr"},
    {0xda21, "fpsr"},
    {0xde82, "tpidr_el0"},
    {0xde83, "tpidrro_el0"},
    {0xd801, "ctr_el0"},
    {0xd807, "dczid_el0"},
    {0xdf00, "cntfrq_el0"},
    {0xdf01, "cntpct_el0"},
    {0xdf02, "cntvct_el0"},
    {0xc000, "midr_el1"},
    {0xc005, "mpidr_el1"},
    {0xc020, "id_aa64pfr0_el1"},
    {0xc030, "id_aa64isar0_el1"},
    {0xc038, "id_aa64mmfr0_el1"},
};

void aarch64_print_sysreg(Text *text, s64 reg)
{
    for (size_t i = 0; i < COUNT(system_registers); i++) {
        if (system_registers[i].reg == reg) {
            text_printf(text, "%s", system_registers[i].name);
            return;
        }
    }
    text_printf(text, "s%d_%d_c%d_c%d_%d", (int)(reg >> 14), (int)(reg >> 11 & 7),
                (int)(reg >> 7 & 15), (int)(reg >> 3 & 15), (int)(reg & 7));
}

void aarch64_print_shift(Text *text, s64 kind, s64 amount)
{
    static const char names[4][4] = {"lsl", "lsr", "asr", "ror"};

    if (kind != 0 || amount != 0) {
        text_printf(text, ", %s #%d", names[kind & 3], (int)amount);
    }
}

static const char extends[8][5] = {"uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx"};

void aarch64_print_extend(Text *text, s64 sf, s64 option, s64 amount, s64 sp)
{
    bool natural = sp && option == (sf ? 3 : 2);

    if (natural && amount == 0) {
        return;
    }
    text_printf(text, ", %s", natural ? "lsl" : extends[option & 7]);
    if (amount != 0) {
        text_printf(text, " #%d", (int)amount);
    }
}

void aarch64_print_mem(Text *text, s64 base, s64 mode, s64 offset)
{
    text_printf(text, "[");
    aarch64_print_xsp(text, base);
    if (mode == 1) {
        text_printf(text, "], #%lld", (long long)offset);
    } else if (mode == 3) {
        text_printf(text, ", #%lld]!", (long long)offset);
    } else if (offset != 0) {
        text_printf(text, ", #%lld]", (long long)offset);
    } else {
        text_printf(text, "]");
    }
}

void aarch64_print_index(Text *text, s64 n, s64 option, s64 shifted, s64 shift)
{
    aarch64_print_r(text, option & 1, n);
    if (option == 3 && !shifted) {
        return;
    }
    text_printf(text, ", %s", option == 3 ? "lsl" : extends[option & 7]);
    if (shifted) {
        text_printf(text, " #%d", (int)shift);
    }
}

void aarch64_print_f(Text *text, s64 size, s64 n)
{
    text_printf(text, "%c%d", "bhsdq???"[size & 7], (int)n);
}

void aarch64_print_ft(Text *text, s64 type, s64 n)
{
    text_printf(text, "%c%d", "sd?h"[type & 3], (int)n);
}

static void print_arrangement(Text *text, s64 q, s64 size)
{
    text_printf(text, ".%d%c", (int)((q ? 16 : 8) >> size), "bhsdq???"[size & 7]);
}

void aarch64_print_v(Text *text, s64 q, s64 size, s64 n)
{
    text_printf(text, "v%d", (int)n);
    print_arrangement(text, q, size);
}

void aarch64_print_lane(Text *text, s64 size, s64 n, s64 index)
{
    text_printf(text, "v%d.%c[%d]", (int)n, "bhsdq???"[size & 7], (int)index);
}

void aarch64_print_sv(Text *text, s64 scalar, s64 q, s64 size, s64 n)
{
    scalar ? aarch64_print_f(text, size, n) : aarch64_print_v(text, q, size, n);
}

/* binutils writes three or more registers as a range unless they wrap round, two with a comma. */
static void print_registers(Text *text, s64 count, s64 n, const char *suffix)
{
    int last = (int)(n + count - 1) & 31;

    text_printf(text, "{");
    if (count > 2 && last > n) {
        text_printf(text, "v%d%s-v%d%s", (int)n, suffix, last, suffix);
    } else {
        for (int i = 0; i < count; i++) {
            text_printf(text, "%sv%d%s", i ? ", " : "", (int)(n + i) & 31, suffix);
        }
    }
    text_printf(text, "}");
}

void aarch64_print_list(Text *text, s64 count, s64 q, s64 size, s64 n)
{
    char suffix[8];
    Text to = {suffix, sizeof(suffix), 0};

    print_arrangement(&to, q, size);
    print_registers(text, count, n, suffix);
}

void aarch64_print_lanes(Text *text, s64 count, s64 size, s64 n, s64 index)
{
    char suffix[3] = {'.', "bhsdq???"[size & 7], '\0'};

    print_registers(text, count, n, suffix);
    text_printf(text, "[%d]", (int)index);
}

void aarch64_print_struct_mem(Text *text, s64 base, s64 post, s64 rm, s64 bytes)
{
    text_printf(text, "[");
    aarch64_print_xsp(text, base);
    text_printf(text, "]");
    if (post && rm == 31) {
        text_printf(text, ", #%d", (int)bytes);
    } else if (post) {
        text_printf(text, ", x%d", (int)rm);
    }
}

void aarch64_print_fp_imm(Text *text, s64 imm8)
{
    u64 bits = aarch64_fp_immediate(1, (unsigned)imm8);
    double value;

    memcpy(&value, &bits, sizeof(value));
    text_printf(text, "#%.18e", value);
}

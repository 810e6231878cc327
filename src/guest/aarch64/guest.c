/* The AArch64 guest as the engine sees it. */
#include <elf.h>

#include "guest/aarch64/helpers.h"
#include "guest/aarch64/internal.h"

#define SLOT(name, member, type)                                                                   \
    {                                                                                              \
        name, offsetof(Aarch64State, member), type                                                 \
    }
#define X(n) SLOT("x" #n, x[n], IR_I64)
#define V(n) SLOT("v" #n, v[n], IR_V128)

static const IrSlot slots[] = {
    X(0),
    X(1),
    X(2),
    X(3),
    X(4),
    X(5),
    X(6),
    X(7),
    X(8),
    X(9),
    X(10),
    X(11),
    X(12),
    X(13),
    X(14),
    X(15),
    X(16),
    X(17),
    X(18),
    X(19),
    X(20),
    X(21),
    X(22),
    X(23),
    X(24),
    X(25),
    X(26),
    X(27),
    X(28),
    X(29),
    X(30),
    SLOT("sp", sp, IR_I64),
    SLOT("pc", pc, IR_I64),
    SLOT("flags", flags, IR_I32),
    SLOT("tpidr", tpidr, IR_I64),
    SLOT("tpidrro", tpidrro, IR_I64),
    SLOT("fpcr", fpcr, IR_I32),
    SLOT("fpsr", fpsr, IR_I32),
    SLOT("exclusive_address", exclusive_address, IR_I64),
    SLOT("exclusive_low", exclusive_value[0], IR_I64),
    SLOT("exclusive_high", exclusive_value[1], IR_I64),
    V(0),
    V(1),
    V(2),
    V(3),
    V(4),
    V(5),
    V(6),
    V(7),
    V(8),
    V(9),
    V(10),
    V(11),
    V(12),
    V(13),
    V(14),
    V(15),
    V(16),
    V(17),
    V(18),
    V(19),
    V(20),
    V(21),
    V(22),
    V(23),
    V(24),
    V(25),
    V(26),
    V(27),
    V(28),
    V(29),
    V(30),
    V(31),
};

/* By heat: operands of executed instructions, counted in Python, Perl, sorting and hashing programs
 * of Debian. Arguments and leaf functions' registers lead, then those kept across calls. */
static const IrSlot hot_int[] = {
    X(0),  X(1),  X(2),  X(3),  X(19), X(4),  SLOT("sp", sp, IR_I64),
    X(20), X(5),  X(6),  X(21), X(7),  X(22), X(8),
    X(24), X(23), X(29), X(26), X(30), X(27), X(25),
    X(28), X(9),  X(10), X(16), X(17),
};

static const IrSlot hot_vector[] = {
    V(0),  V(1),  V(2),  V(3),  V(4),  V(5),  V(6), V(7), V(16), V(17),
    V(18), V(19), V(20), V(21), V(22), V(23), V(8), V(9), V(10), V(11),
};

_Static_assert(offsetof(Aarch64State, x) == 0, "disp8 reaches x0..sp from the biased pointer");
_Static_assert(sizeof(Aarch64State) % 64 == 0, "as Guest.state_size must be");

static int disassemble(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size)
{
    u32 word;

    if (size < AARCH64_INSN_SIZE) {
        return 0;
    }
    word = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (u32)bytes[3] << 24;
    aarch64_disasm(word, pc, text, text_size);
    return AARCH64_INSN_SIZE;
}

const Guest guest_aarch64 = {
    .name = "aarch64",
    .qemu_name = "aarch64",
    .elf_machine = EM_AARCH64,
    .elf_class = ELFCLASS64,
    .coherence = CODE_EXPLICIT,
    .code_shift = 2,
    .state_size = sizeof(Aarch64State),
    .pc_offset = offsetof(Aarch64State, pc),
    .pc_type = IR_I64,
    .slots = slots,
    .slot_count = COUNT(slots),
    .hot_int = hot_int,
    .hot_int_count = COUNT(hot_int),
    .hot_vector = hot_vector,
    .hot_vector_count = COUNT(hot_vector),
    .helpers = aarch64_helpers,
    .helper_count = HELPER_COUNT,
    .reset = aarch64_reset,
    .mode = aarch64_mode,
    .invalid_address = aarch64_invalid_address,
    .translate = aarch64_translate_block,
    .flags_dead = aarch64_flags_dead,
    .disassemble = disassemble,
};

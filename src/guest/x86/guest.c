/* The x86 guests as the engine sees them: 64-bit and 32-bit CPUs differ in what programs they run
 * and in which registers are worth a host register. */
#include <elf.h>

#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"

#define SLOT_AT(name, member, type)                                                                \
    {                                                                                              \
        name, offsetof(X86State, member), type                                                     \
    }
#define GPR(name, n) SLOT_AT(name, gpr[n], IR_I64)
#define XMM(n) SLOT_AT("xmm" #n, xmm[n], IR_V128)
#define YMMH(n) SLOT_AT("ymmh" #n, ymmh[n], IR_V128)
#define ST(n) SLOT_AT("fpr" #n, fpr[n], IR_V128)
#define SEGMENT(name, n)                                                                           \
    SLOT_AT(name "_base", segment[n].base, IR_I64),                                                \
        SLOT_AT(name "_limit", segment[n].limit, IR_I32),                                          \
        SLOT_AT(name "_attributes", segment[n].attributes, IR_I16),                                \
        SLOT_AT(name "_selector", segment[n].selector, IR_I16)

static const IrSlot slots[] = {
    GPR("rax", 0),
    GPR("rcx", 1),
    GPR("rdx", 2),
    GPR("rbx", 3),
    GPR("rsp", 4),
    GPR("rbp", 5),
    GPR("rsi", 6),
    GPR("rdi", 7),
    GPR("r8", 8),
    GPR("r9", 9),
    GPR("r10", 10),
    GPR("r11", 11),
    GPR("r12", 12),
    GPR("r13", 13),
    GPR("r14", 14),
    GPR("r15", 15),
    SLOT_AT("rip", rip, IR_I64),
    SLOT_AT("flags", flags, IR_I32),
    SLOT_AT("eflags", eflags, IR_I32),
    SEGMENT("es", X86_ES),
    SEGMENT("cs", X86_CS),
    SEGMENT("ss", X86_SS),
    SEGMENT("ds", X86_DS),
    SEGMENT("fs", X86_FS),
    SEGMENT("gs", X86_GS),
    SEGMENT("ldtr", X86_LDTR),
    SEGMENT("tr", X86_TR),
    SLOT_AT("gdt_base", gdt_base, IR_I64),
    SLOT_AT("gdt_limit", gdt_limit, IR_I32),
    SLOT_AT("idt_base", idt_base, IR_I64),
    SLOT_AT("idt_limit", idt_limit, IR_I32),
    SLOT_AT("cr0", cr[0], IR_I64),
    SLOT_AT("cr2", cr[2], IR_I64),
    SLOT_AT("cr3", cr[3], IR_I64),
    SLOT_AT("cr4", cr[4], IR_I64),
    SLOT_AT("efer", efer, IR_I64),
    SLOT_AT("star", star, IR_I64),
    SLOT_AT("lstar", lstar, IR_I64),
    SLOT_AT("cstar", cstar, IR_I64),
    SLOT_AT("sfmask", sfmask, IR_I64),
    SLOT_AT("kernel_gs_base", kernel_gs_base, IR_I64),
    SLOT_AT("sysenter_cs", sysenter_cs, IR_I64),
    SLOT_AT("sysenter_esp", sysenter_esp, IR_I64),
    SLOT_AT("sysenter_eip", sysenter_eip, IR_I64),
    SLOT_AT("interrupt_shadow", interrupt_shadow, IR_I8),
    SLOT_AT("trap_pending", trap_pending, IR_I8),
    SLOT_AT("halted", halted, IR_I8),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    SLOT_AT("ftop", ftop, IR_I8),
    SLOT_AT("ftag_empty", ftag_empty, IR_I8),
    SLOT_AT("fcw", fcw, IR_I16),
    SLOT_AT("fsw", fsw, IR_I16),
    SLOT_AT("mxcsr", mxcsr, IR_I32),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    YMMH(0),
    YMMH(1),
    YMMH(2),
    YMMH(3),
    YMMH(4),
    YMMH(5),
    YMMH(6),
    YMMH(7),
    YMMH(8),
    YMMH(9),
    YMMH(10),
    YMMH(11),
    YMMH(12),
    YMMH(13),
    YMMH(14),
    YMMH(15),
};

/* By heat: operands of executed instructions, addresses included. */
static const IrSlot hot_64[] = {
    GPR("rax", 0),  GPR("rsp", 4),  GPR("rdx", 2),  GPR("rcx", 1),  GPR("rdi", 7), GPR("rsi", 6),
    GPR("rbx", 3),  GPR("rbp", 5),  GPR("r8", 8),   GPR("r12", 12), GPR("r9", 9),  GPR("r13", 13),
    GPR("r10", 10), GPR("r14", 14), GPR("r11", 11), GPR("r15", 15),
};
static const IrSlot hot_32[] = {
    GPR("rax", 0), GPR("rsp", 4), GPR("rdx", 2),
    GPR("rcx", 1), GPR("rbp", 5), GPR("rbx", 3),
    GPR("rsi", 6), GPR("rdi", 7), SLOT_AT("flags", flags, IR_I32),
};

static const IrSlot hot_vector[] = {
    XMM(0), XMM(1), XMM(2),  XMM(3),  XMM(4),  XMM(5),  XMM(6),  XMM(7),
    XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
};

_Static_assert(offsetof(X86State, gpr) == 0, "disp8 reaches the registers from the biased pointer");
_Static_assert(sizeof(X86State) < IR_STATE_LIMIT, "slots end below the limit");

/* All features: what is not code for the CPU can be read nevertheless. */
static const u64 all_features[] = {~(u64)0, ~(u64)0, ~(u64)0, ~(u64)0};

static int disassemble(const u8 *bytes, size_t size, u64 pc, u8 code_size, char *text,
                       size_t text_size)
{
    X86DecodeMode mode = {.code_size = code_size, .features = all_features};
    X86Insn insn;

    if (x86_decode(bytes, MIN(size, (size_t)X86_INSN_MAX), &mode, &insn) != X86_DECODE_OK) {
        return 0;
    }
    x86_disassemble(&insn, &mode, pc, text, text_size);
    return insn.size;
}

static int disassemble_64(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size)
{
    return disassemble(bytes, size, pc, 8, text, text_size);
}

static int disassemble_32(const u8 *bytes, size_t size, u64 pc, char *text, size_t text_size)
{
    return disassemble(bytes, size, pc, 4, text, text_size);
}

static const IrX87 x87 = {
    .registers = offsetof(X86State, fpr),
    .top = offsetof(X86State, ftop),
    .empty = offsetof(X86State, ftag_empty),
    .control = offsetof(X86State, fcw),
    .status = offsetof(X86State, fsw),
};

/* What both have in common. */
#define X86_COMMON                                                                                 \
    .coherence = CODE_TRANSPARENT, .state_size = ALIGN_UP(sizeof(X86State), 64),                   \
    .pc_offset = offsetof(X86State, rip), .pc_type = IR_I64, .slots = slots,                       \
    .slot_count = COUNT(slots), .hot_vector = hot_vector, .helpers = x86_helpers,                  \
    .helper_count = HELPER_COUNT, .x87 = &x87, .reset = x86_reset, .mode = x86_mode,               \
    .translate = x86_translate_block, .flags_dead = x86_flags_dead, .system = &x86_system,         \
    .debug = x86_debug

const Guest guest_x86_64 = {
    .name = "x86_64",
    .qemu_name = "x86_64",
    .elf_machine = EM_X86_64,
    .elf_class = ELFCLASS64,
    X86_COMMON,
    .hot_int = hot_64,
    .hot_int_count = COUNT(hot_64),
    .hot_vector_count = 16,
    .disassemble = disassemble_64,
};

const Guest guest_i386 = {
    .name = "i386",
    .qemu_name = "i386",
    .elf_machine = EM_386,
    .elf_class = ELFCLASS32,
    X86_COMMON,
    .hot_int = hot_32,
    .hot_int_count = COUNT(hot_32),
    .hot_vector_count = 8,
    .disassemble = disassemble_32,
};

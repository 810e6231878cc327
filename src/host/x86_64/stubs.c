/* Code that all blocks of a cache share: entry, exits, calls of C functions; and the words of
 * CpuCommon.host that it works on.
 *
 * A cache starts with a CacheHeader, the stubs follow it. Stubs clobber temporaries only. The
 * memory of a pinned slot is free for stubs to save the register in: it is stale while generated
 * code runs. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "host/x86_64/x86_64.h"
#include "ir/eval.h"

#define GPR(reg) ((RegSet)1 << (reg))
#define XMM(reg) ((RegSet)1 << (VECTOR + (reg)))

/* In order of use. */
static const u8 pinnable_int[] = {RBX, RSI, R8, R9, R10, R11, R12, R13, R14, R15};
enum { FIRST_PINNED_XMM = 6 };

/* What a C function may change (System V ABI). */
static const RegSet clobbered_by_c = GPR(RAX) | GPR(RCX) | GPR(RDX) | GPR(RSI) | GPR(RDI) |
                                     GPR(R8) | GPR(R9) | GPR(R10) | GPR(R11) | 0xffff0000u;

enum {
    OPCODE_LDMXCSR = X86_OPCODE(0, X86_0F, 0xae), /* /2; /3 is stmxcsr */
    OPCODE_MOVUPS_LOAD = X86_OPCODE(0, X86_0F, 0x10),
    OPCODE_MOVUPS_STORE = X86_OPCODE(0, X86_0F, 0x11),
};

enum {
    MXCSR_DENORMAL = 1 << 1,
    MXCSR_DAZ = 1 << 6,
    MXCSR_INVALID_MASK = 1 << 7,
    MXCSR_DEFAULT = 0x1f80,
    MXCSR_ROUNDING_SHIFT = 13,
    MXCSR_FTZ = 1 << 15,
};

static X86Rm context(s32 disp)
{
    return x86_at(RBP, disp);
}

static s32 slot_disp(const RegPin *pin)
{
    return (s32)pin->offset - CONTEXT_BIAS;
}

/* Loads or stores the pinned registers in the set. */
static void transfer_pinned(X86Asm *as, const RegPins *pins, RegSet set, bool load)
{
    for (u32 i = 0; i < pins->count; i++) {
        const RegPin *pin = &pins->pin[i];
        if (!(set >> pin->reg & 1)) {
            continue;
        }
        X86Rm slot = context(slot_disp(pin));
        if (pin->reg >= VECTOR) {
            x86_vector2(as, load ? OPCODE_MOVUPS_LOAD : OPCODE_MOVUPS_STORE, pin->reg & 15, slot);
        } else if (load) {
            x86_load(as, pin->size, pin->reg, slot);
        } else {
            x86_store(as, pin->size, slot, pin->reg);
        }
    }
}

static void mxcsr(X86Asm *as, bool load, s32 disp)
{
    x86_op(as, OPCODE_LDMXCSR, 4, load ? 2 : 3, context(disp), 0);
}

/* MXCSR's sticky bits IE DE ZE OE UE PE into fp.flags IOC DZC OFC UFC IXC, and DE for guests that
 * have it; clobbers rax, rcx. */
static void merge_fp_flags(X86Asm *as, const CacheHeader *header)
{
    mxcsr(as, false, WORD(WORD_SCRATCH));
    x86_load(as, 4, RAX, context(WORD(WORD_SCRATCH)));
    x86_mov(as, 4, RCX, RAX);
    x86_alu_imm(as, ALU_AND, 4, x86_reg(RAX), 1);
    x86_shift_imm(as, SHIFT_SHR, 4, RCX, 1);
    x86_alu_imm(as, ALU_AND, 4, x86_reg(RCX), 0x1e);
    x86_alu(as, ALU_OR, 4, RAX, x86_reg(RCX));
    if (header->fp_native) {
        x86_load(as, 4, RCX, context(WORD(WORD_SCRATCH)));
        x86_alu_imm(as, ALU_AND, 4, x86_reg(RCX), MXCSR_DENORMAL);
        x86_shift_imm(as, SHIFT_SHL, 4, RCX, 5); /* to FP_DENORMAL */
        x86_alu(as, ALU_OR, 4, RAX, x86_reg(RCX));
    }
    x86_alu_to(as, ALU_OR, 1, context(COMMON(fp) + (s32)offsetof(FpEnv, flags)), RAX);
}

static const u8 callee_saved[] = {RBP, RBX, R12, R13, R14, R15};

/* void enter(context, code) */
static void emit_enter(X86Asm *as, const RegPins *pins)
{
    for (u32 i = 0; i < COUNT(callee_saved); i++) {
        x86_push(as, callee_saved[i]);
    }
    x86_alu_imm(as, ALU_SUB, 8, x86_reg(RSP), 8); /* calls out of stubs find it aligned */
    x86_mov(as, 8, RBP, RDI);
    x86_mov(as, 8, RAX, RSI);
    x86_store(as, 8, context(WORD(WORD_C_STACK)), RSP);
    mxcsr(as, false, WORD(WORD_MXCSR) + 4);
    mxcsr(as, true, WORD(WORD_MXCSR));
    transfer_pinned(as, pins, ~0u, true);
    x86_load(as, 8, RSP, context(WORD(WORD_RETURN_STACK)));
    x86_op(as, 0xff, 4, 4, x86_reg(RAX), 0); /* jmp rax */
}

/* On the C stack: the guest's x87 goes back to its slots, and the host's is empty for C code. */
static void leave_x87(X86Asm *as)
{
    x86_alu_imm(as, ALU_CMP, 4, context(COMMON(host_unit)), 0);
    u8 *absent = x86_jcc_short(as, CC_E);
    x86_lea(as, 8, RDI, context(-CONTEXT_BIAS));
    x86_op(as, 0xff, 4, 2, context(WORD(WORD_X87_SAVE)), 0);
    x86_bind_short(as, absent);
}

static void emit_leave(X86Asm *as, CacheHeader *header)
{
    header->stub[STUB_LEAVE] = x86_offset(as);
    merge_fp_flags(as, header);
    mxcsr(as, true, WORD(WORD_MXCSR) + 4);
    x86_load(as, 8, RSP, context(WORD(WORD_C_STACK)));
    if (header->has_x87) {
        leave_x87(as);
    }
    x86_alu_imm(as, ALU_ADD, 8, x86_reg(RSP), 8);
    for (u32 i = COUNT(callee_saved); i-- > 0;) {
        x86_pop(as, callee_saved[i]);
    }
    x86_byte(as, 0xc3);
}

static void emit_exits(X86Asm *as, CacheHeader *header)
{
    static const struct {
        u8 stub, kind;
        bool code, link;
    } exits[] = {
        {STUB_EXIT_LOOKUP, CPU_EXIT_LOOKUP, false, false},
        {STUB_EXIT_SITE, CPU_EXIT_LOOKUP, false, true},
        {STUB_EXIT_INTERRUPT, CPU_EXIT_INTERRUPT, false, false},
        {STUB_EXIT_IR, CPU_EXIT_IR, true, false},
        {STUB_EXIT_LINK, CPU_EXIT_LINK, false, true},
    };
    u8 *jumps[COUNT(exits)];

    for (u32 i = 0; i < COUNT(exits); i++) {
        header->stub[exits[i].stub] = x86_offset(as);
        if (exits[i].link) {
            x86_store(as, 8, context(COMMON(exit_link)), RCX);
        } else {
            x86_store_imm(as, 8, context(COMMON(exit_link)), 0);
        }
        if (exits[i].code) {
            x86_store(as, 8, context(COMMON(exit_code)), RCX);
        }
        x86_store_imm(as, 4, context(COMMON(exit_kind)), exits[i].kind);
        jumps[i] = x86_jmp(as);
    }
    for (u32 i = 0; i < COUNT(exits); i++) {
        x86_bind(jumps[i], as->at);
    }
    x86_store(as, 8, context(COMMON(pc)), RAX);
    x86_store(as, 8, context(WORD(WORD_RETURN_STACK)), RSP);
    transfer_pinned(as, &header->pins, ~0u, false);
    emit_leave(as, header);
}

/* The jump table probe with the target in rax; falls through on a miss. Clobbers rcx, rdx. */
void x86_probe(X86Asm *as, u32 code_shift)
{
    u32 mask = ((1u << JUMP_TABLE_BITS) - 1) << code_shift;
    u8 scale = (u8)(4 - code_shift);

    x86_load(as, 8, RCX, context(COMMON(jump_table)));
    x86_mov(as, 4, RDX, RAX);
    x86_shift_imm(as, SHIFT_SHR, 4, RDX, JUMP_FOLD);
    x86_alu(as, ALU_ADD, 4, RDX, x86_reg(RAX));
    x86_alu_imm(as, ALU_AND, 4, x86_reg(RDX), (s32)mask);
    if (scale > 3) {
        x86_shift_imm(as, SHIFT_SHL, 4, RDX, scale - 3);
        scale = 3;
    }
    x86_alu_to(as, ALU_CMP, 8, x86_indexed(RCX, RDX, scale, offsetof(JumpEntry, pc)), RAX);
    u8 *miss = x86_jcc_short(as, CC_NE);
    x86_op(as, 0xff, 4, 4, x86_indexed(RCX, RDX, scale, offsetof(JumpEntry, code)), 0);
    x86_bind_short(as, miss);
}

/* A return that does not match the top of the return stack: code that left functions by longjmp or
 * a switch of stacks. A match a few entries below is taken; otherwise the stack's content is
 * worthless and it starts again empty. */
static void emit_return_miss(X86Asm *as, CacheHeader *header, const HostConfig *config)
{
    enum { DEPTH = 4 };

    header->stub[STUB_RETURN_MISS] = x86_offset(as);
    x86_load(as, 8, RCX, context(WORD(WORD_STACK_TOP)));
    for (u32 i = 1; i < DEPTH; i++) {
        x86_lea(as, 8, RDX, x86_at(RSP, (s32)i * 16));
        x86_alu(as, ALU_CMP, 8, RDX, x86_reg(RCX));
        u8 *past = x86_jcc_short(as, CC_AE);
        x86_alu(as, ALU_CMP, 8, RAX, x86_at(RDX, 8));
        u8 *other = x86_jcc_short(as, CC_NE);
        x86_mov(as, 8, RSP, RDX);
        x86_byte(as, 0xc3);
        x86_bind_short(as, past);
        x86_bind_short(as, other);
    }
    x86_mov(as, 8, RSP, RCX);
    x86_probe(as, config->code_shift);
    u8 *lookup = x86_jmp(as);
    x86_bind(lookup, as->start + header->stub[STUB_EXIT_LOOKUP]);
}

static void to_c_stack(X86Asm *as)
{
    x86_store(as, 8, context(WORD(WORD_RETURN_STACK)), RSP);
    x86_load(as, 8, RSP, context(WORD(WORD_C_STACK)));
}

static void to_return_stack(X86Asm *as)
{
    x86_load(as, 8, RSP, context(WORD(WORD_RETURN_STACK)));
    x86_byte(as, 0xc3);
}

/* ir_eval(insn in rdi, arg_types behind it, &io[1], &io[0], &fp) */
static void emit_eval_stub(X86Asm *as, CacheHeader *header)
{
    header->stub[STUB_EVAL] = x86_offset(as);
    transfer_pinned(as, &header->pins, clobbered_by_c, false);
    x86_lea(as, 8, RSI, x86_at(RDI, sizeof(IrInsn)));
    x86_lea(as, 8, RDX, context(COMMON(io) + (s32)sizeof(IrWord)));
    x86_lea(as, 8, RCX, context(COMMON(io)));
    x86_lea(as, 8, R8, context(COMMON(fp)));
    to_c_stack(as);
    x86_op(as, 0xff, 4, 2, context(WORD(WORD_EVAL)), 0);
    transfer_pinned(as, &header->pins, clobbered_by_c, true);
    to_return_stack(as);
}

/* IrHelperFn(state, io), whose offset in the helper table is in rax. `flags`: READS_STATE,
 * WRITES_STATE, FP. */
static void emit_helper_stub(X86Asm *as, CacheHeader *header, u32 flags)
{
    bool fp = flags & IR_HELPER_FP;
    RegSet saved = flags & (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE) ? ~0u : clobbered_by_c;
    RegSet reloaded = flags & IR_HELPER_WRITES_STATE ? ~0u : clobbered_by_c;

    header->stub[STUB_HELPER + flags] = x86_offset(as);
    transfer_pinned(as, &header->pins, saved, false);
    to_c_stack(as);
    if (fp) {
        x86_mov(as, 8, RDX, RAX);
        merge_fp_flags(as, header);
        mxcsr(as, true, WORD(WORD_MXCSR) + 4);
        x86_mov(as, 8, RAX, RDX);
    }
    x86_lea(as, 8, RDI, context(-CONTEXT_BIAS));
    x86_lea(as, 8, RSI, context(COMMON(io)));
    x86_alu(as, ALU_ADD, 8, RAX, context(COMMON(helpers)));
    x86_op(as, 0xff, 4, 2, x86_at(RAX, offsetof(IrHelper, function)), 0);
    if (fp) {
        x86_lea(as, 8, RDI, context(-CONTEXT_BIAS - (s32)sizeof(CpuCommon)));
        x86_op(as, 0xff, 4, 2, context(WORD(WORD_SET_FP)), 0);
        mxcsr(as, true, WORD(WORD_MXCSR));
    }
    transfer_pinned(as, &header->pins, reloaded, true);
    to_return_stack(as);
}

/* Saves or restores the temporaries that C code may change, above rsp. */
static void transfer_temporaries(X86Asm *as, const CacheHeader *header, bool load)
{
    RegSet set = (header->machine.temporaries[0] | header->machine.temporaries[1]) & clobbered_by_c;
    s32 room = __builtin_popcount(set) * 16, at = 0;

    if (!load) {
        x86_alu_imm(as, ALU_SUB, 8, x86_reg(RSP), room);
    }
    for (u8 reg = 0; reg < REG_COUNT; reg++) {
        if (!(set >> reg & 1)) {
            continue;
        }
        if (reg >= VECTOR) {
            x86_vector2(as, load ? OPCODE_MOVUPS_LOAD : OPCODE_MOVUPS_STORE, reg & 15,
                        x86_at(RSP, at));
        } else if (load) {
            x86_load(as, 8, reg, x86_at(RSP, at));
        } else {
            x86_store(as, 8, x86_at(RSP, at), reg);
        }
        at += 16;
    }
}

/* Calls the C function whose address is in a word of the context; no register changes. */
static void emit_x87_stub(X86Asm *as, CacheHeader *header, Stub stub, u32 function)
{
    header->stub[stub] = x86_offset(as);
    transfer_pinned(as, &header->pins, clobbered_by_c, false);
    to_c_stack(as);
    transfer_temporaries(as, header, false);
    x86_lea(as, 8, RDI, context(-CONTEXT_BIAS));
    x86_op(as, 0xff, 4, 2, context(WORD(function)), 0);
    transfer_temporaries(as, header, true);
    transfer_pinned(as, &header->pins, clobbered_by_c, true);
    to_return_stack(as);
}

/* -- The pinned registers */

static void add_pin(RegPins *pins, const IrSlot *slot, u8 reg)
{
    u32 size = ir_type_size((IrType)slot->type), end = slot->offset + size;

    if (end > REG_PIN_BYTES || slot->offset % 4 || size < 4) {
        return;
    }
    for (u32 at = slot->offset; at < end; at += 4) {
        pins->at[at / 4] = (u8)pins->count;
    }
    pins->pin[pins->count++] = (RegPin){slot->offset, (u8)size, reg};
}

static RegSet choose_pins(RegPins *pins, const HostConfig *config)
{
    RegSet pinned = 0;

    memset(pins->at, REG_PIN_NONE, sizeof(pins->at));
    for (u32 i = 0; i < config->hot_int_count && i < COUNT(pinnable_int); i++) {
        add_pin(pins, &config->hot_int[i], pinnable_int[i]);
    }
    for (u32 i = 0; i < config->hot_vector_count && i < 16 - FIRST_PINNED_XMM; i++) {
        assert(config->hot_vector[i].type == IR_V128);
        add_pin(pins, &config->hot_vector[i], (u8)(VECTOR + FIRST_PINNED_XMM + i));
    }
    for (u32 i = 0; i < pins->count; i++) {
        pinned |= (RegSet)1 << pins->pin[i].reg;
    }
    return pinned;
}

size_t x86_begin_cache(u8 *code, size_t room, const HostConfig *config)
{
    CacheHeader *header = (CacheHeader *)code;
    X86Asm as = {.start = code, .at = code + sizeof(*header), .end = code + room};

    assert(room > sizeof(*header) + 16384);
    memset(header, 0, sizeof(*header));
    header->features = as.features = x86_features();
    header->fp_native = config->fp_native;
    header->has_x87 = config->x87 != NULL;
    header->x87 = config->x87 ? *config->x87 : (IrX87){0};
    RegSet pinned = choose_pins(&header->pins, config);
    RegSet all = ~(GPR(RSP) | GPR(RBP)) & ~pinned;
    header->machine = (RegMachine){.temporaries = {all & 0xffff, all & 0xffff0000u},
                                   .move = move_register,
                                   .load = machine_load,
                                   .store = machine_store,
                                   .copy = machine_copy};

    as.at = ALIGN_UP(as.at - code, 16) + code;
    header->stub[STUB_ENTER] = x86_offset(&as);
    emit_enter(&as, &header->pins);
    emit_exits(&as, header);
    emit_return_miss(&as, header, config);
    emit_eval_stub(&as, header);
    for (u32 flags = 0; flags < 8; flags++) {
        emit_helper_stub(&as, header, flags);
    }
    emit_x87_stub(&as, header, STUB_X87_LOAD, WORD_X87_LOAD);
    emit_x87_stub(&as, header, STUB_X87_SAVE, WORD_X87_SAVE);
    x86_emit_mmu_stub(&as, header);
    header->size = x86_offset(&as);
    return header->size;
}

/* -- The context's words */

void x86_enter(void *state, const u8 *cache, const u8 *code)
{
    const CacheHeader *header = cache_header(cache);
    CpuCommon *common = cpu_common(state);
    u64 *top = (u64 *)(uintptr_t)common->host[WORD_STACK_TOP];

    common->host[WORD_CACHE] = (u64)(uintptr_t)cache;
    /* Should a guest ever return to the empty stack's mark, that is a miss, which keeps the mark.
     */
    top[0] = (u64)(uintptr_t)(cache + header->stub[STUB_RETURN_MISS]);
    void (*enter)(void *, const u8 *) =
        (void (*)(void *, const u8 *))(uintptr_t)(cache + header->stub[STUB_ENTER]);
    enter((u8 *)state + CONTEXT_BIAS, code);
}

static u64 stack_base(const CpuCommon *common, u32 number)
{
    return common->host[WORD_STACKS] + (u64)number * RETURN_STACK_SIZE;
}

static u64 stack_top(const CpuCommon *common, u32 number)
{
    return stack_base(common, number) + RETURN_STACK_SIZE - RETURN_STACK_MARK;
}

/* All with guard pages; 0 or -errno. */
static int map_stacks(CpuCommon *common)
{
    u8 *stacks = mmap(NULL, HOST_RETURN_STACKS * RETURN_STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (stacks == MAP_FAILED) {
        return -errno;
    }
    common->host[WORD_STACKS] = (u64)(uintptr_t)stacks;
    for (u32 i = 0; i < HOST_RETURN_STACKS; i++) {
        if (mprotect(stacks + i * RETURN_STACK_SIZE, RETURN_STACK_GUARD, PROT_NONE)) {
            int error = -errno;
            x86_cpu_free(common);
            return error;
        }
    }
    return 0;
}

int x86_cpu_init(CpuCommon *common)
{
    int error = map_stacks(common);

    if (error) {
        return error;
    }
    common->host[WORD_STACK_BASE] = stack_base(common, 0);
    common->host[WORD_STACK_TOP] = stack_top(common, 0);
    common->host[WORD_EVAL] = (u64)(uintptr_t)ir_eval;
    common->host[WORD_SET_FP] = (u64)(uintptr_t)x86_set_fp;
    common->host[WORD_MMU] = (u64)(uintptr_t)x86_mmu_access;
    common->host[WORD_X87_LOAD] = (u64)(uintptr_t)x86_x87_load;
    common->host[WORD_X87_SAVE] = (u64)(uintptr_t)x86_x87_save;
    x86_reset_returns(common);
    x86_set_fp(common);
    return 0;
}

void x86_cpu_free(CpuCommon *common)
{
    if (common->host[WORD_STACKS]) {
        munmap((void *)(uintptr_t)common->host[WORD_STACKS],
               HOST_RETURN_STACKS * RETURN_STACK_SIZE);
        common->host[WORD_STACKS] = 0;
    }
}

/* Above the current stack's entries: an address that no guest returns to. */
static void mark_top(CpuCommon *common)
{
    u64 *top = (u64 *)(uintptr_t)common->host[WORD_STACK_TOP];

    top[1] = ~(u64)0;
}

void x86_reset_returns(CpuCommon *common)
{
    for (u32 i = 0; i < HOST_RETURN_STACKS; i++) {
        common->host[WORD_SAVED + i] = stack_top(common, i);
    }
    common->host[WORD_RETURN_STACK] = common->host[WORD_STACK_TOP];
    mark_top(common);
}

void x86_switch_returns(CpuCommon *common, u32 number)
{
    u64 current = (common->host[WORD_STACK_BASE] - common->host[WORD_STACKS]) / RETURN_STACK_SIZE;

    common->host[WORD_SAVED + current] = common->host[WORD_RETURN_STACK];
    common->host[WORD_STACK_BASE] = stack_base(common, number);
    common->host[WORD_STACK_TOP] = stack_top(common, number);
    common->host[WORD_RETURN_STACK] = common->host[WORD_SAVED + number];
    mark_top(common);
}

/* The way back is the call's return address, on top of the stack. */
void x86_trim_returns(CpuCommon *common)
{
    u64 way_back = *(const u64 *)(uintptr_t)common->host[WORD_RETURN_STACK];

    x86_reset_returns(common);
    common->host[WORD_RETURN_STACK] -= sizeof(u64);
    *(u64 *)(uintptr_t)common->host[WORD_RETURN_STACK] = way_back;
}

const u8 *x86_calling_code(const CpuCommon *common)
{
    return *(const u8 *const *)(uintptr_t)common->host[WORD_RETURN_STACK];
}

/* Rounding that MXCSR lacks (away, odd) never comes from a guest's control register. Guests with
 * x86's rules have their modes here and nothing unmasked; others trap what is invalid, and get
 * exact arithmetic while they flush subnormals. */
void x86_set_fp(CpuCommon *common)
{
    static const u8 control[] = {
        [FP_NEAREST_EVEN] = 0, [FP_UP] = 2, [FP_DOWN] = 1, [FP_TO_ZERO] = 3};
    u32 rounding = common->fp.rounding < COUNT(control) ? control[common->fp.rounding] : 0;
    u32 value = MXCSR_DEFAULT | rounding << MXCSR_ROUNDING_SHIFT;
    u32 *words = (u32 *)&common->host[WORD_MXCSR];

    if (common->fp.nan_rule == FP_NAN_X86_SSE) {
        value |=
            (common->fp.flush_inputs ? MXCSR_DAZ : 0) | (common->fp.flush_outputs ? MXCSR_FTZ : 0);
    } else {
        value &= ~(u32)MXCSR_INVALID_MASK;
    }
    words[0] = value;
}

/* One aligned word holds the displacement (x86_align_site), so a plain store is atomic. */
void x86_link(u8 *site, const u8 *target)
{
    s32 distance = (s32)(target - (site + 4));

    __asm__ volatile("movl %1, %0" : "=m"(*(s32 *)(void *)site) : "r"(distance) : "memory");
}

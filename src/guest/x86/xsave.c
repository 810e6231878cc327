/* MXCSR, and the state of x87, SSE and AVX in memory: FXSAVE, XSAVE and their like.
 *
 * State components (Intel SDM volume 1, 13.1): x87 and SSE share the 512 bytes of FXSAVE, then come
 * 64 bytes of XSAVE's header, then the upper halves of the YMM registers. Compacted images differ
 * in the header only, as there is no further component.
 * Invariant: nothing of the state changes before all of an image was read and checked. */
#include <string.h>

#include "guest/x86/helpers.h"
#include "guest/x86/system.h"
#include "guest/x86/vector.h"
#include "guest/x86/vector_helpers.h"
#include "guest/x86/x87.h"

enum {
    COMPONENT_X87 = 1,
    COMPONENT_SSE = 2,
    COMPONENT_AVX = 4,
    AT_MXCSR = 24,
    AT_MXCSR_MASK = 28,
    AT_XMM = 160,
    FX_WRITTEN = 416, /* bytes 463..416 are reserved, the rest is free for software */
    FX_SIZE = 512,
    AT_HEADER = 512, /* u64 XSTATE_BV, u64 XCOMP_BV, 48 reserved bytes */
    AT_YMMH = 576,
    XSAVE_SIZE = 832,
};

#define COMPACTED (1ull << 63) /* in XCOMP_BV */

/* Forms of an instruction, for helpers. */
enum {
    FORM_WIDE = 1, /* REX.W: pointers of 64 bits */
    FORM_16 = 2,   /* 64-bit mode: 16 registers, otherwise 8 */
    FORM_OPTIMIZED = 4,
    FORM_COMPACTED = 8,
};

/* -- Memory of the guest, for helpers: 0 or the code word of an exception. In user mode its
 * addresses are the host's, and faults leave the helper. */

static u32 read_guest(X86State *s, u64 address, void *bytes, unsigned size)
{
    if (x86_bus(s)) {
        return x86_read_linear(s, address, bytes, size, x86_cpl(s) == 3 ? X86_WALK_USER : 0);
    }
    memcpy(bytes, (const void *)(uintptr_t)address, size);
    return 0;
}

static u32 write_guest(X86State *s, u64 address, const void *bytes, unsigned size)
{
    if (x86_bus(s)) {
        return x86_write_linear(s, address, bytes, size,
                                X86_WALK_WRITE | (x86_cpl(s) == 3 ? X86_WALK_USER : 0));
    }
    memcpy((void *)(uintptr_t)address, bytes, size);
    return 0;
}

static u64 read_u64(const u8 *at)
{
    u64 value;

    memcpy(&value, at, 8);
    return value;
}

static u32 read_u32(const u8 *at)
{
    u32 value;

    memcpy(&value, at, 4);
    return value;
}

static void write_u32(u8 *at, u32 value)
{
    memcpy(at, &value, 4);
}

/* -- Components in images */

static size_t xmm_bytes(unsigned form)
{
    return form & FORM_16 ? 256 : 128;
}

static void put_mxcsr(const X86State *s, u8 *image)
{
    write_u32(image + AT_MXCSR, x86_get_mxcsr(s));
    write_u32(image + AT_MXCSR_MASK, X86_MXCSR_VALID);
}

static bool is_zero(const void *bytes, size_t size)
{
    const u8 *at = bytes;

    for (size_t i = 0; i < size; i++) {
        if (at[i]) {
            return false;
        }
    }
    return true;
}

/* The x87 as FNINIT leaves it, with empty registers being zero. */
static bool x87_is_initial(const X86State *s)
{
    u8 image[AT_XMM] = {0};

    x87_write_fx(s, true, image);
    return s->fcw == X87_CONTROL_DEFAULT && is_zero(image + 2, AT_MXCSR - 2) &&
           is_zero(image + 32, AT_XMM - 32);
}

/* XINUSE (13.6): components that are not as reset leaves them. */
static u64 components_in_use(const X86State *s)
{
    return (x87_is_initial(s) ? 0 : COMPONENT_X87) |
           (is_zero(s->xmm, sizeof(s->xmm)) ? 0 : COMPONENT_SSE) |
           (is_zero(s->ymmh, sizeof(s->ymmh)) ? 0 : COMPONENT_AVX);
}

/* -- FXSAVE */

static void save_fx(const X86State *s, u8 *image, unsigned form)
{
    x87_write_fx(s, form & FORM_WIDE, image);
    put_mxcsr(s, image);
    memcpy(image + AT_XMM, s->xmm, xmm_bytes(form));
}

static void restore_fx(X86State *s, const u8 *image, unsigned form)
{
    x87_read_fx(s, form & FORM_WIDE, image);
    x86_set_mxcsr(s, read_u32(image + AT_MXCSR) & X86_MXCSR_VALID);
    memcpy(s->xmm, image + AT_XMM, xmm_bytes(form));
}

void x86_save_fx(const X86State *state, u8 image[FX_SIZE], bool long_mode)
{
    memset(image, 0, FX_SIZE);
    save_fx(state, image, long_mode ? FORM_WIDE | FORM_16 : 0);
}

void x86_restore_fx(X86State *state, const u8 image[FX_SIZE], bool long_mode)
{
    restore_fx(state, image, long_mode ? FORM_WIDE | FORM_16 : 0);
}

/* (address, form) -> i32: 0 or the exception's code word. */
void x86_fxsave(void *state, IrWord *io)
{
    u8 image[FX_WRITTEN] = {0};
    unsigned form = (unsigned)io[2].i;

    save_fx(state, image, form);
    io[0].i = write_guest(state, io[1].i, image, AT_XMM + (unsigned)xmm_bytes(form));
}

void x86_fxrstor(void *state, IrWord *io)
{
    u8 image[FX_SIZE];
    u32 raised = read_guest(state, io[1].i, image, sizeof(image));

    if (!raised && (read_u32(image + AT_MXCSR) & ~X86_MXCSR_VALID)) {
        raised = x86_fault_error(X86_GP, 0);
    }
    if (!raised) {
        restore_fx(state, image, (unsigned)io[2].i);
    }
    io[0].i = raised;
}

/* -- XSAVE (13.7 to 13.10) */

static u32 check_enabled(const X86State *s)
{
    return s->cr[4] & X86_CR4_OSXSAVE ? 0 : x86_fault(X86_UD);
}

/* Components asked for: EDX:EAX and XCR0 (RFBM). */
static u64 requested(const X86State *s)
{
    return s->xcr0 & ((u32)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32);
}

/* Writes the components of `wanted`, each to its place. MXCSR belongs to SSE and AVX. */
static u32 save_components(X86State *s, u64 address, unsigned form, u64 wanted, u64 mxcsr_for)
{
    u8 image[AT_XMM] = {0};

    if (wanted & COMPONENT_X87) {
        x87_write_fx(s, form & FORM_WIDE, image);
        X86_TRY(write_guest(s, address, image, AT_MXCSR));
        X86_TRY(write_guest(s, address + 32, image + 32, AT_XMM - 32));
    }
    if (mxcsr_for & (COMPONENT_SSE | COMPONENT_AVX)) {
        put_mxcsr(s, image);
        X86_TRY(write_guest(s, address + AT_MXCSR, image + AT_MXCSR, 8));
    }
    if (wanted & COMPONENT_SSE) {
        X86_TRY(write_guest(s, address + AT_XMM, s->xmm, (unsigned)xmm_bytes(form)));
    }
    if (wanted & COMPONENT_AVX) {
        X86_TRY(write_guest(s, address + AT_YMMH, s->ymmh, (unsigned)xmm_bytes(form)));
    }
    return 0;
}

/* XSAVE and XSAVEOPT keep the header's bits of components that are not asked for; XSAVEC writes its
 * first 16 bytes whole. The last two leave out what is not in use. */
static u32 save_extended(X86State *s, u64 address, unsigned form)
{
    u64 wanted = requested(s), used = components_in_use(s) & wanted, header[2] = {0};

    X86_TRY(check_enabled(s));
    if (form & FORM_COMPACTED) {
        if ((wanted & COMPONENT_SSE) && x86_get_mxcsr(s) != X86_MXCSR_DEFAULT) {
            used |= COMPONENT_SSE;
        }
        X86_TRY(save_components(s, address, form, used, used & COMPONENT_SSE));
        header[0] = used;
        header[1] = wanted | COMPACTED;
        return write_guest(s, address + AT_HEADER, header, 16);
    }
    X86_TRY(read_guest(s, address + AT_HEADER, header, 8));
    X86_TRY(save_components(s, address, form, form & FORM_OPTIMIZED ? used : wanted, wanted));
    header[0] = (header[0] & ~wanted) | used;
    return write_guest(s, address + AT_HEADER, header, 8);
}

void x86_xsave(void *state, IrWord *io)
{
    io[0].i = save_extended(state, io[1].i, (unsigned)io[2].i);
}

/* Whether XRSTOR takes the header (13.8). */
static bool header_is_valid(const X86State *s, const u8 *header)
{
    u64 present = read_u64(header), compaction = read_u64(header + 8);

    if (compaction & COMPACTED) {
        u64 laid_out = compaction & ~COMPACTED;
        return !(present & ~laid_out) && !(laid_out & ~s->xcr0) && is_zero(header + 16, 48);
    }
    return !(present & ~s->xcr0) && is_zero(header + 8, 16);
}

/* Components that are asked for but not in the image become initial. */
static void restore_components(X86State *s, const u8 *image, unsigned form)
{
    u64 wanted = requested(s), present = read_u64(image + AT_HEADER) & wanted;
    bool compacted = read_u64(image + AT_HEADER + 8) & COMPACTED;

    if (present & COMPONENT_X87) {
        x87_read_fx(s, form & FORM_WIDE, image);
    } else if (wanted & COMPONENT_X87) {
        x87_init(s);
        memset(s->fpr, 0, sizeof(s->fpr));
    }
    if (compacted ? wanted & COMPONENT_SSE : wanted & (COMPONENT_SSE | COMPONENT_AVX)) {
        bool initial = compacted && !(present & COMPONENT_SSE);
        x86_set_mxcsr(s, initial ? X86_MXCSR_DEFAULT : read_u32(image + AT_MXCSR));
    }
    if (present & COMPONENT_SSE) {
        memcpy(s->xmm, image + AT_XMM, xmm_bytes(form));
    } else if (wanted & COMPONENT_SSE) {
        memset(s->xmm, 0, xmm_bytes(form));
    }
    if (present & COMPONENT_AVX) {
        memcpy(s->ymmh, image + AT_YMMH, xmm_bytes(form));
    } else if (wanted & COMPONENT_AVX) {
        memset(s->ymmh, 0, xmm_bytes(form));
    }
}

static u32 restore_extended(X86State *s, u64 address, unsigned form)
{
    u8 image[XSAVE_SIZE] = {0};
    u64 wanted = requested(s), compacted, loads_mxcsr;

    X86_TRY(check_enabled(s));
    X86_TRY(read_guest(s, address, image, AT_YMMH));
    compacted = read_u64(image + AT_HEADER + 8) & COMPACTED;
    loads_mxcsr = compacted ? wanted & read_u64(image + AT_HEADER) & COMPONENT_SSE
                            : wanted & (COMPONENT_SSE | COMPONENT_AVX);
    if (!header_is_valid(s, image + AT_HEADER) ||
        (loads_mxcsr && (read_u32(image + AT_MXCSR) & ~X86_MXCSR_VALID))) {
        return x86_fault_error(X86_GP, 0);
    }
    if (wanted & read_u64(image + AT_HEADER) & COMPONENT_AVX) {
        X86_TRY(read_guest(s, address + AT_YMMH, image + AT_YMMH, (unsigned)xmm_bytes(form)));
    }
    restore_components(s, image, form);
    return 0;
}

void x86_xrstor(void *state, IrWord *io)
{
    io[0].i = restore_extended(state, io[1].i, (unsigned)io[2].i);
}

/* () -> i32: 0 or the exception's code word. XCR0 for ECX = 0; for 1, of that what is in use. */
void x86_xgetbv(void *state, IrWord *io)
{
    X86State *s = state;
    u32 index = (u32)s->gpr[X86_RCX];
    u64 value = s->xcr0 & (index == 1 ? components_in_use(s) : ~0ull);

    io[0].i = check_enabled(s);
    if (!io[0].i && index > 1) {
        io[0].i = x86_fault_error(X86_GP, 0);
    }
    if (!io[0].i) {
        s->gpr[X86_RAX] = (u32)value;
        s->gpr[X86_RDX] = value >> 32;
    }
}

/* -- MXCSR */

/* () -> i32 */
void x86_stmxcsr(void *state, IrWord *io)
{
    io[0].i = x86_get_mxcsr(state);
}

/* (i32) -> i32: 0 or the exception's code word. */
void x86_ldmxcsr(void *state, IrWord *io)
{
    if (io[1].i & ~(u64)X86_MXCSR_VALID) {
        io[0].i = x86_fault_error(X86_GP, 0);
    } else {
        x86_set_mxcsr(state, (u32)io[1].i);
        io[0].i = 0;
    }
}

/* -- Instructions */

/* #UD without SSE, #NM when the registers are another task's. */
static bool available(Tr *t, u32 undefined)
{
    if (t->mode & undefined) {
        end_exception(t, X86_UD, false, 0);
    } else if (t->mode & X86_MODE_TS) {
        end_exception(t, X86_NM, false, 0);
    }
    return !t->ended;
}

void tr_LDMXCSR(Tr *t)
{
    if (available(t, is_vex(t) ? X86_MODE_NO_AVX : X86_MODE_NO_SSE)) {
        call_raising(t, HELPER_SET_MXCSR, load_memory(t, IR_I32, 0), 0, 0, 0);
        end_resync(t);
    }
}

void tr_STMXCSR(Tr *t)
{
    if (available(t, is_vex(t) ? X86_MODE_NO_AVX : X86_MODE_NO_SSE)) {
        store_memory(t, 0, ir_call(t->b, IR_I32, HELPER_GET_MXCSR, 0, 0, 0, 0));
    }
}

/* Calls the helper with the operand's address, which must be a multiple of `alignment`. */
static void transfer_state(Tr *t, u32 helper, unsigned form, unsigned alignment, unsigned size)
{
    bool writes = t->i->operand[0].access & X86_WRITE;
    IrVal address;

    form |= in_64_bit_mode(t) ? FORM_16 : 0;
    form |= t->i->operand_size == 8 ? FORM_WIDE : 0;
    check_vector_alignment(t, alignment);
    address = linear_address(t, t->i->memory.segment, effective_address(t), size, writes);
    call_raising(t, helper, address, const32(t, form), 0, 0);
    if (!writes) { /* MXCSR may have changed the mode */
        end_resync(t);
    }
}

void tr_FXSAVE(Tr *t)
{
    if (available(t, X86_MODE_NO_FPU)) {
        transfer_state(t, HELPER_FXSAVE, 0, 16, FX_SIZE);
    }
}

void tr_FXRSTOR(Tr *t)
{
    if (available(t, X86_MODE_NO_FPU)) {
        transfer_state(t, HELPER_FXRSTOR, 0, 16, FX_SIZE);
    }
}

/* The helper checks that the instructions are enabled. */
static void transfer_extended(Tr *t, u32 helper, unsigned form)
{
    if (available(t, 0)) {
        transfer_state(t, helper, form, 64, AT_YMMH);
    }
}

void tr_XSAVE(Tr *t)
{
    transfer_extended(t, HELPER_XSAVE, 0);
}

void tr_XSAVEOPT(Tr *t)
{
    transfer_extended(t, HELPER_XSAVE, FORM_OPTIMIZED);
}

void tr_XSAVEC(Tr *t)
{
    transfer_extended(t, HELPER_XSAVE, FORM_COMPACTED);
}

void tr_XRSTOR(Tr *t)
{
    transfer_extended(t, HELPER_XRSTOR, 0);
}

void tr_XGETBV(Tr *t)
{
    call_raising(t, HELPER_XGETBV, 0, 0, 0, 0);
}

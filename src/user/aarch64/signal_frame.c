/* arm64 signal frames, as arch/arm64 user space ABI has them: siginfo, ucontext with the register
 * records FPSIMD and ESR, and above them a frame record (fp, lr) for unwinders. */
#include <signal.h>
#include <string.h>

#include "accel/vcpu.h"
#include "guest/aarch64/state.h"
#include "user/aarch64/abi.h"
#include "user/access.h"
#include "user/process.h"

enum {
    FPSIMD_MAGIC = 0x46508001,
    ESR_MAGIC = 0x45535201,
    RECORD_BYTES = 4096,
    MINIMUM_RECORDS = 16,
};

/* ESR_ELx: exception class in bits 31..26, instruction length in bit 25, write in bit 6. */
enum {
    ESR_DATA_ABORT = 0x24 << 26 | 1 << 25,
    ESR_FETCH_ABORT = 0x20 << 26 | 1 << 25,
    ESR_WRITE = 1 << 6,
    ESR_TRANSLATION_FAULT = 7,
    ESR_PERMISSION_FAULT = 15,
};

typedef struct GuestStack {
    u64 sp;
    s32 flags;
    s32 pad;
    u64 size;
} GuestStack;

typedef struct FpsimdContext {
    u32 magic, size;
    u32 fpsr, fpcr;
    u64 v[32][2];
} FpsimdContext;

typedef struct EsrContext {
    u32 magic, size;
    u64 esr;
} EsrContext;

typedef struct Frame {
    u8 info[128]; /* siginfo_t: the same on all little-endian 64-bit ABIs */
    struct {
        u64 flags, link;
        GuestStack stack;
        u64 mask;
        u8 unused[120];
        _Alignas(16) u64 fault_address;
        u64 x[31];
        u64 sp, pc, pstate;
        _Alignas(16) u8 records[RECORD_BYTES];
    } context;
} Frame;

typedef struct FrameRecord {
    u64 fp, lr;
} FrameRecord;

_Static_assert(sizeof(siginfo_t) == 128, "siginfo_t passes through");
_Static_assert(offsetof(Frame, context.fault_address) == 128 + 176, "struct ucontext");
_Static_assert(offsetof(Frame, context.records) == 128 + 176 + 288, "struct sigcontext");
_Static_assert(sizeof(Frame) == 4688, "struct rt_sigframe");
_Static_assert(sizeof(FpsimdContext) == 528, "struct fpsimd_context");

u32 aarch64_fault_status(int access, int host_code)
{
    u32 status = host_code == SEGV_ACCERR ? ESR_PERMISSION_FAULT : ESR_TRANSLATION_FAULT;

    return access == ACCESS_FETCH
               ? (u32)ESR_FETCH_ABORT | status
               : (u32)ESR_DATA_ABORT | status | (access == ACCESS_WRITE ? ESR_WRITE : 0);
}

static void fill_records(u8 *records, const Aarch64State *state, const GuestFrame *guest)
{
    FpsimdContext fpsimd = {
        .magic = FPSIMD_MAGIC,
        .size = sizeof fpsimd,
        .fpsr = aarch64_get_fpsr(state),
        .fpcr = aarch64_get_fpcr(state),
    };

    memcpy(fpsimd.v, state->v, sizeof fpsimd.v);
    memcpy(records, &fpsimd, sizeof fpsimd);
    records += sizeof fpsimd;
    if (guest->fault_status) {
        EsrContext esr = {ESR_MAGIC, sizeof esr, guest->fault_status};
        memcpy(records, &esr, sizeof esr);
    }
    /* What follows is zero: the terminator. */
}

bool aarch64_push_frame(Thread *thread, int signal, const GuestFrame *guest)
{
    Aarch64State *state = thread->state;
    FrameRecord record = {state->x[29], state->x[30]};
    Frame frame;

    memset(&frame, 0, sizeof frame);
    memcpy(frame.info, guest->info, sizeof frame.info);
    frame.context.stack = (GuestStack){host_to_guest(guest->alternate.ss_sp),
                                       guest->alternate.ss_flags, 0, guest->alternate.ss_size};
    frame.context.mask = guest->old_mask;
    frame.context.fault_address = guest->fault_address;
    memcpy(frame.context.x, state->x, sizeof frame.context.x);
    frame.context.sp = state->sp;
    frame.context.pc = state->pc;
    frame.context.pstate = aarch64_get_nzcv(state);
    fill_records(frame.context.records, state, guest);

    u64 record_at = ALIGN_DOWN(guest->stack, 16) - sizeof record;
    u64 frame_at = record_at - sizeof frame;
    if (!copy_to_guest(record_at, &record, sizeof record) ||
        !copy_to_guest(frame_at, &frame, sizeof frame)) {
        return false;
    }
    state->x[0] = (u64)signal;
    state->x[1] = frame_at;
    state->x[2] = frame_at + offsetof(Frame, context);
    state->x[29] = record_at;
    state->x[30] = guest->restorer ? guest->restorer : thread->process->program.trampoline;
    state->sp = frame_at;
    state->pc = guest->handler;
    state->btype = 0;
    return true;
}

/* The FPSIMD record; false when the records are malformed or lack it. */
static bool find_fpsimd(const u8 *records, FpsimdContext *fpsimd)
{
    for (size_t at = 0; at + 8 <= RECORD_BYTES;) {
        u32 magic, size;
        memcpy(&magic, records + at, 4);
        memcpy(&size, records + at + 4, 4);
        if (magic == FPSIMD_MAGIC && size == sizeof *fpsimd && at + size <= RECORD_BYTES) {
            memcpy(fpsimd, records + at, sizeof *fpsimd);
            return true;
        }
        if (magic == 0 || size < MINIMUM_RECORDS || size % 16) {
            return false;
        }
        at += size;
    }
    return false;
}

bool aarch64_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate)
{
    Aarch64State *state = thread->state;
    FpsimdContext fpsimd;
    Frame frame;

    if (old || state->sp % 16 || !copy_from_guest(&frame, state->sp, sizeof frame) ||
        !find_fpsimd(frame.context.records, &fpsimd)) {
        return false;
    }
    memcpy(state->x, frame.context.x, sizeof state->x);
    state->sp = frame.context.sp;
    state->pc = frame.context.pc;
    aarch64_set_nzcv(state, (u32)frame.context.pstate);
    memcpy(state->v, fpsimd.v, sizeof state->v);
    aarch64_set_fpcr(state, fpsimd.fpcr);
    aarch64_set_fpsr(state, fpsimd.fpsr);
    state->exclusive_address = AARCH64_EXCLUSIVE_NONE;
    *mask = frame.context.mask;
    alternate->ss_sp = guest_to_host(frame.context.stack.sp);
    alternate->ss_flags = frame.context.stack.flags;
    alternate->ss_size = frame.context.stack.size;
    return true;
}

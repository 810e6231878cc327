/* vCPUs on the execution engine: names to tables, and its exits to typed ones. See vcpu.h. */
#include "accel/accel.h"
#include "accel/vcpu.h"
#include "guest/guest.h"

Engine *engine_new(const EngineOptions *options, const char **error)
{
    const Guest *guest = guest_find(options->guest);
    const Accel *accel = accel_find(options->accel ? options->accel : "dbt");

    if (!guest) {
        *error = "this guest CPU is not supported; `menura list cpus` names those that are";
        return NULL;
    }
    if (!accel) {
        *error = "there is no such accelerator; `menura list accels` names those that exist";
        return NULL;
    }
    const Host *host = accel->host(error);
    if (!host) {
        return NULL;
    }
    return exec_engine_new(
        &(ExecOptions){
            .guest = guest,
            .host = host,
            .cache_size = options->cache_size,
            .single_step = options->single_step,
            .system = options->system,
            .page_writable = options->page_writable,
            .page_executable = options->page_executable,
            .opaque = options->opaque,
        },
        error);
}

static void fill_fault(const ExecFault *fault, VcpuExit *exit)
{
    exit->kind = VCPU_FAULT;
    exit->address = fault->address;
    exit->access = fault->access;
    exit->host_signal = fault->signal;
    exit->host_code = fault->code;
}

/* An EXIT operation of the guest's code that the engine left to the caller. */
static void fill_ir(const CpuCommon *common, VcpuExit *exit)
{
    exit->code = (u32)common->exit_code;
    switch ((IrExit)(common->exit_code >> 32)) {
    case IR_EXIT_SYSCALL:
        exit->kind = VCPU_SYSCALL;
        break;
    case IR_EXIT_BREAKPOINT:
        exit->kind = VCPU_BREAKPOINT;
        break;
    case IR_EXIT_EXCEPTION:
        exit->code = exit->code ? exit->code : (u32)common->exit_address;
        exit->kind = VCPU_EXCEPTION;
        break;
    case IR_EXIT_PC_ALIGN:
        exit->kind = VCPU_UNALIGNED;
        exit->address = exit->pc;
        break;
    case IR_EXIT_UNALIGNED:
        exit->kind = VCPU_UNALIGNED;
        exit->address = common->exit_address;
        break;
    default:
        exit->kind = VCPU_UNDEFINED;
        break;
    }
}

void vcpu_run(Vcpu *vcpu, VcpuExit *exit)
{
    CpuExitKind kind = exec_run(vcpu);
    const CpuCommon *common = cpu_common(vcpu_state(vcpu));

    *exit = (VcpuExit){.pc = common->pc};
    switch (kind) {
    case CPU_EXIT_FAULT:
        fill_fault(exec_fault(vcpu), exit);
        break;
    case CPU_EXIT_IR:
        fill_ir(common, exit);
        break;
    case CPU_EXIT_HALT:
        exit->kind = VCPU_HALT;
        break;
    case CPU_EXIT_SHUTDOWN:
        exit->kind = VCPU_SHUTDOWN;
        break;
    case CPU_EXIT_DEBUG:
        exit->kind = VCPU_DEBUG;
        break;
    default:
        exit->kind = VCPU_INTERRUPT;
        break;
    }
}

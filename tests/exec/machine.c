/* The machine that runs toy programs: see toy.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "toy.h"

static _Thread_local Vcpu *this_vcpu;

static void on_signal(int number, siginfo_t *info, void *context)
{
    if (!vcpu_host_signal(this_vcpu, number, info, context)) {
        signal(number, SIG_DFL);
    }
}

void machine_attach(Vcpu *vcpu)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
    static _Thread_local u8 stack[64 << 10];
    static _Thread_local stack_t previous; /* the sanitizers have their own */
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (vcpu) {
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, &previous);
    } else {
        sigaltstack(&previous, NULL);
    }
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    this_vcpu = vcpu;
}

static u64 page_index(const Machine *machine, u64 page)
{
    return (page - machine_address(machine, 0)) / TOY_PAGE;
}

static bool page_writable(void *opaque, u64 page)
{
    const Machine *machine = opaque;
    u64 index = page_index(machine, page);

    return index < TOY_PAGES && !machine->unwritable[index];
}

static bool page_executable(void *opaque, u64 page)
{
    const Machine *machine = opaque;
    u64 index = page_index(machine, page);

    return index < TOY_PAGES && !machine->unexecutable[index];
}

Machine *machine_new(const Host *host, MachineOptions options)
{
    Machine *machine = calloc(1, sizeof *machine);
    const char *error = "out of memory";

    machine->code = mmap(NULL, TOY_PAGES * TOY_PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    machine->engine = exec_engine_new(
        &(ExecOptions){
            .guest = options.guest ? options.guest : &toy_explicit,
            .host = host,
            .cache_size = options.cache_size,
            .single_step = options.single_step,
            .page_writable = page_writable,
            .page_executable = page_executable,
            .opaque = machine,
        },
        &error);
    machine->vcpu = machine->engine ? vcpu_new(machine->engine) : NULL;
    if (!machine->vcpu || machine->code == MAP_FAILED) {
        fprintf(stderr, "cannot make a machine: %s\n", error);
        abort();
    }
    machine->state = vcpu_state(machine->vcpu);
    machine_attach(machine->vcpu);
    return machine;
}

void machine_free(Machine *machine)
{
    machine_attach(NULL);
    vcpu_free(machine->vcpu);
    engine_free(machine->engine);
    munmap(machine->code, TOY_PAGES * TOY_PAGE);
    free(machine);
}

CpuExitKind machine_run(Machine *machine, u32 start)
{
    machine->state->pc = machine_address(machine, start);
    return exec_run(machine->vcpu);
}

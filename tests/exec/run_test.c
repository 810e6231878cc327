/* Running code: links, calls, indirect jumps, modes, faults with precise state, fetch faults,
 * kicks. Every test runs on every host that this machine has. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/engine.h"
#include "tests/tap.h"
#include "toy.h"

static const MachineOptions defaults = {0};

static void put_code(Machine *machine, u32 at, const u32 *code, u32 count)
{
    memcpy(&machine->code[at], code, count * sizeof *code);
}

#define CODE(machine, at, ...)                                                                     \
    put_code(machine, at, (const u32[]){__VA_ARGS__}, sizeof((u32[]){__VA_ARGS__}) / 4)

/* Blocks of the machine that are live and have a linked jump. */
static u32 linked_blocks(const Machine *machine)
{
    const Segment *segment = &machine->engine->cache.segments[0];
    u32 linked = 0;

    for (u32 i = 0; i < segment->block_count; i++) {
        const Block *block = &segment->chunks[i / CHUNK_BLOCKS][i % CHUNK_BLOCKS];
        for (u32 l = 0; l < block->link_count; l++) {
            linked += block->links[l].to != NULL && !block->dead;
        }
    }
    return linked;
}

static void test_loop(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_LI, 0, 0), toy(TOY_LI, 1, 1000), toy(TOY_ADD, 0, 1),
         toy(TOY_ADDI, 1, -1), toy(TOY_BNZ, 1, -2), toy(TOY_SYS, 0, 7));
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 7), "%s: a loop ends in its system call", host->name);
    OK(machine->state->r[0] == 500500, "%s: it computed the sum", host->name);
    OK(machine->state->pc == machine_address(machine, 6), "%s: pc is past it", host->name);
    OK(linked_blocks(machine) >= 2, "%s: its jumps are linked", host->name);
    machine_free(machine);
}

/* r0 += 1 in a function that is called directly and through a register, 3000 times each. */
static void test_calls(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_LI, 1, 3000), toy(TOY_CALL, 0, 49), toy(TOY_LI, 7, 0),
         toy(TOY_ADD, 7, 3), toy(TOY_GO, 2, 0), toy(TOY_ADDI, 1, -1), toy(TOY_BNZ, 1, -5),
         toy(TOY_SYS, 0, 1));
    CODE(machine, 50, toy(TOY_ADDI, 0, 1), toy(TOY_RETURN, 0, 0));
    machine->state->r[2] = machine_address(machine, 50);
    machine->state->r[3] = machine_address(machine, 5);
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 6000,
       "%s: calls, returns and indirect jumps", host->name);
    const JumpEntry *entry = &machine->vcpu->jump_table[jump_index(
        machine_address(machine, 50), machine->engine->guest->code_shift)];
    OK(entry->pc == machine_address(machine, 50), "%s: an indirect jump's target is remembered",
       host->name);
    machine_free(machine);
}

static void test_mode(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_LI, 3, 2), toy(TOY_CALL, 0, 49), toy(TOY_LI, 1, 5),
         toy(TOY_MODE, 1, 0), toy(TOY_CALL, 0, 46), toy(TOY_SYS, 0, 1));
    CODE(machine, 50, toy(TOY_ADD, 0, 0), toy(TOY_LI, 2, 1), toy(TOY_ADD, 0, 2),
         toy(TOY_RETURN, 0, 0));
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 1 * 2 + 6,
       "%s: code is translated for each mode (r0 = %llu)", host->name,
       (unsigned long long)machine->state->r[0]);
    machine_free(machine);
}

/* Jumps and returns to the address that marks of emptiness might have, with tables emptied. LI adds
 * the mode, 5. */
static void test_last_address(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    const ExecFault *fault = exec_fault(machine->vcpu);

    CODE(machine, 0, toy(TOY_LI, 1, 5), toy(TOY_MODE, 1, 0), toy(TOY_LI, 2, -6), toy(TOY_GO, 2, 0));
    CpuExitKind kind = machine_run(machine, 0);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_FETCH && fault->address == ~(u64)0,
       "%s: a jump to the last address faults there", host->name);
    CODE(machine, 20, toy(TOY_LI, 7, -6), toy(TOY_RETURN, 0, 0));
    CODE(machine, 30, toy(TOY_LI, 7, -5), toy(TOY_RETURN, 0, 0));
    kind = machine_run(machine, 20);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_FETCH && fault->address == ~(u64)0,
       "%s: so does a return", host->name);
    kind = machine_run(machine, 30);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_FETCH && fault->address == 0,
       "%s: a return to 0 after it faults at 0", host->name);
    machine_free(machine);
}

static void test_fault(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    const ExecFault *fault = exec_fault(machine->vcpu);
    u64 *hole = mmap(NULL, TOY_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CODE(machine, 0, toy(TOY_ADDI, 0, 3), toy(TOY_ADDI, 0, 4), toy(TOY_LOAD, 2, 1),
         toy(TOY_ADDI, 0, 100), toy(TOY_STORE, 0, 1), toy(TOY_ADDI, 0, 1000), toy(TOY_SYS, 0, 1));
    machine->state->r[1] = (u64)(uintptr_t)hole;
    machine->state->r[2] = 55;
    CpuExitKind kind = machine_run(machine, 0);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_READ && fault->signal == SIGSEGV &&
           fault->code == SEGV_ACCERR && fault->address == (u64)(uintptr_t)hole,
       "%s: a load from a page without permission faults", host->name);
    OK(machine->state->pc == machine_address(machine, 2) && machine->state->r[0] == 7 &&
           machine->state->r[2] == 55,
       "%s: with the state before its instruction", host->name);
    mprotect(hole, TOY_PAGE, PROT_READ);
    kind = exec_run(machine->vcpu);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_WRITE &&
           machine->state->pc == machine_address(machine, 4) && machine->state->r[0] == 107 &&
           machine->state->r[2] == 0,
       "%s: repeated, the load works and the store faults", host->name);
    mprotect(hole, TOY_PAGE, PROT_READ | PROT_WRITE);
    kind = exec_run(machine->vcpu);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 1107 && hole[0] == 107,
       "%s: repeated again, all is done", host->name);
    munmap(hole, TOY_PAGE);
    CODE(machine, 20, toy(TOY_ADDI, 0, 1), toy(TOY_HELPER, 0, 1), toy(TOY_SYS, 0, 1));
    kind = machine_run(machine, 20);
    OK(kind == CPU_EXIT_FAULT && fault->access == ACCESS_WRITE && fault->code == SEGV_MAPERR &&
           machine->state->pc == machine_address(machine, 21) && machine->state->r[0] == 1108,
       "%s: a fault inside a helper is precise as well", host->name);
    machine_free(machine);
}

static bool fetch_fault_at(const Machine *machine, CpuExitKind kind, u64 pc, int code)
{
    const ExecFault *fault = exec_fault(machine->vcpu);

    return kind == CPU_EXIT_FAULT && fault->access == ACCESS_FETCH && fault->address == pc &&
           fault->code == code && machine->state->pc == pc;
}

static void test_fetch(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    u32 last = TOY_PAGE_INSNS - 1;
    u64 next_page = machine_address(machine, last + 1);

    CODE(machine, last, toy(TOY_ADDI, 0, 1), toy(TOY_ADDI, 0, 10), toy(TOY_SYS, 0, 1));
    machine->unexecutable[1] = true;
    CpuExitKind kind = machine_run(machine, last);
    OK(fetch_fault_at(machine, kind, next_page, SEGV_ACCERR) && machine->state->r[0] == 1,
       "%s: running into a page without execute permission", host->name);
    machine->unexecutable[1] = false;
    kind = exec_run(machine->vcpu);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 11,
       "%s: which then becomes executable", host->name);
    machine->unexecutable[1] = true;
    engine_invalidate(machine->engine, next_page, TOY_PAGE);
    kind = machine_run(machine, last);
    OK(fetch_fault_at(machine, kind, next_page, SEGV_ACCERR) && machine->state->r[0] == 12,
       "%s: and is taken away again", host->name);
    machine->unexecutable[1] = false;
    munmap(&machine->code[last + 1], TOY_PAGE);
    engine_invalidate(machine->engine, next_page, TOY_PAGE);
    kind = machine_run(machine, last);
    OK(fetch_fault_at(machine, kind, next_page, SEGV_MAPERR) && machine->state->r[0] == 13,
       "%s: or unmapped behind the callback's back", host->name);
    int empty = memfd_create("empty", 0);
    mmap(&machine->code[last + 1], TOY_PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, empty, 0);
    close(empty);
    engine_invalidate(machine->engine, next_page, TOY_PAGE);
    kind = machine_run(machine, last);
    OK(fetch_fault_at(machine, kind, next_page, BUS_ADRERR) &&
           exec_fault(machine->vcpu)->signal == SIGBUS && machine->state->r[0] == 14,
       "%s: or a file that ends before it", host->name);
    machine->state->pc = 0;
    kind = exec_run(machine->vcpu);
    OK(fetch_fault_at(machine, kind, 0, SEGV_MAPERR), "%s: a jump to address 0", host->name);
    CODE(machine, 0, toy(TOY_GO, 5, 0));
    machine->state->r[5] = 0;
    kind = machine_run(machine, 0);
    OK(fetch_fault_at(machine, kind, 0, SEGV_MAPERR), "%s: also an indirect one", host->name);
    machine_free(machine);
}

static void test_single_step(const Host *host)
{
    Machine *machine = machine_new(host, (MachineOptions){.single_step = true});

    CODE(machine, 0, toy(TOY_LI, 0, 1), toy(TOY_ADDI, 0, 2), toy(TOY_ADDI, 0, 3),
         toy(TOY_SYS, 0, 1));
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 6 &&
           machine->engine->cache.segments[0].block_count == 4,
       "%s: single-step makes a block of every instruction", host->name);
    machine_free(machine);
}

/* Signalling NaNs: each addition is invalid and gives the quiet NaN, in a loop long enough to have
 * the block translated again. */
static void test_fp(const Host *host)
{
    const u64 signalling = 0x7ff0000000000123, quiet = 0x7ff8000000000123;
    Machine *machine = machine_new(host, defaults);
    CpuCommon *common = cpu_common(machine->state);

    CODE(machine, 0, toy(TOY_LI, 0, 0), toy(TOY_LI, 1, 40), toy(TOY_LOAD, 2, 3),
         toy(TOY_ADDI, 0, 1), toy(TOY_FADD, 2, 4), toy(TOY_ADD, 0, 1), toy(TOY_ADDI, 1, -1),
         toy(TOY_BNZ, 1, -5), toy(TOY_SYS, 0, 1));
    memcpy(&machine->code[100], &signalling, 8);
    machine->state->r[3] = machine_address(machine, 100);
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == 40 + 820 &&
           machine->state->r[2] == quiet,
       "%s: invalid operations give the guest's result", host->name);
    OK(common->fp.flags == FP_INVALID, "%s: and raise its flag", host->name);
    machine_free(machine);
}

static void *kick_later(void *opaque)
{
    usleep(20000);
    vcpu_kick(opaque);
    return NULL;
}

static void test_kick(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    pthread_t thread;

    CODE(machine, 0, toy(TOY_ADDI, 0, 1), toy(TOY_JUMP, 0, -1));
    CODE(machine, 20, toy(TOY_ADDI, 0, 1), toy(TOY_GO, 1, 0));
    machine->state->r[1] = machine_address(machine, 20);
    vcpu_kick(machine->vcpu);
    CpuExitKind kind = machine_run(machine, 0);
    OK(kind == CPU_EXIT_INTERRUPT && machine->state->r[0] == 0, "%s: a kick is not forgotten",
       host->name);
    for (u32 start = 0; start <= 20; start += 20) {
        pthread_create(&thread, NULL, kick_later, machine->vcpu);
        kind = machine_run(machine, start);
        pthread_join(thread, NULL);
        OK(kind == CPU_EXIT_INTERRUPT && machine->state->r[0] > 0 &&
               (machine->state->pc == machine_address(machine, start) ||
                machine->state->pc == machine_address(machine, start + 1)),
           "%s: a kick ends an endless loop of %s jumps", host->name,
           start ? "indirect" : "direct");
    }
    machine_free(machine);
}

static void test_fork(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    Vcpu *other = vcpu_new(machine->engine);
    int status;

    CODE(machine, 0, toy(TOY_ADDI, 0, 1), toy(TOY_SYS, 0, 1), toy(TOY_ADDI, 0, 10),
         toy(TOY_SYS, 0, 2));
    machine_run(machine, 0);
    fflush(stdout);
    engine_fork_prepare(machine->engine);
    pid_t child = fork();
    if (child == 0) {
        engine_fork_child(machine->engine, machine->vcpu);
        CpuExitKind kind = exec_run(machine->vcpu);
        _exit(machine_left_with(machine, kind, 2) ? (int)machine->state->r[0] : 99);
    }
    engine_fork_parent(machine->engine);
    CpuExitKind kind = exec_run(machine->vcpu);
    OK(machine_left_with(machine, kind, 2), "%s: the parent of a fork goes on", host->name);
    OK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 11,
       "%s: so does the child", host->name);
    vcpu_free(other);
    machine_free(machine);
}

int main(void)
{
    for (const Host *const *host = hosts; *host; host++) {
        const char *why;
        if (!(*host)->usable(&why)) {
            continue;
        }
        test_loop(*host);
        test_calls(*host);
        test_mode(*host);
        test_last_address(*host);
        test_fault(*host);
        test_fetch(*host);
        test_single_step(*host);
        test_fp(*host);
        test_kick(*host);
        test_fork(*host);
    }
    return tap_done();
}

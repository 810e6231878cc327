/* Code that changes: by itself, by the kernel, by the Linux layer; and code that is evicted, with
 * many threads. Every test runs on every host that this machine has. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exec/engine.h"
#include "tests/tap.h"
#include "toy.h"

static const MachineOptions defaults = {0};

/* The block at code[at]. */
static const Block *find(const Machine *machine, u32 at)
{
    return block_find(machine->engine, &(BlockKey){.pc = machine_address(machine, at)});
}

static void put_code(Machine *machine, u32 at, const u32 *code, u32 count)
{
    memcpy(&machine->code[at], code, count * sizeof *code);
}

#define CODE(machine, at, ...)                                                                     \
    put_code(machine, at, (const u32[]){__VA_ARGS__}, sizeof((u32[]){__VA_ARGS__}) / 4)

/* A loop that overwrites the immediate of an instruction just after the store, in the same block:
 * round n adds n. */
static void test_own_block(const Host *host, const Guest *guest, bool flush)
{
    Machine *machine = machine_new(host, (MachineOptions){.guest = guest});
    u32 rounds = 50;

    CODE(machine, 0, toy(TOY_ADDI, 2, 1), toy(TOY_STORE4, 2, 3), toy(TOY_ADDI, 1, -1),
         flush ? toy(TOY_FLUSH, 3, 0) : toy(TOY_ADDI, 6, 1), toy(TOY_ADDI, 0, 0),
         toy(TOY_BNZ, 1, -5), toy(TOY_SYS, 0, 1));
    machine->state->r[1] = rounds;
    machine->state->r[2] = toy(TOY_ADDI, 0, 0);
    machine->state->r[3] = machine_address(machine, 4);
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == rounds * (rounds + 1) / 2,
       "%s: code that changes itself%s (%llu)", host->name, flush ? " and says so" : "",
       (unsigned long long)machine->state->r[0]);
    machine_free(machine);
}

/* A page that keeps being written is given up only where the guest must tell. */
static void test_given_up(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    u64 page = machine_address(machine, 0);
    u64 result = 0, expected = 0;

    for (s32 i = 1; i <= 20; i++) {
        CODE(machine, 0, toy(TOY_LI, 0, i), toy(TOY_SYS, 0, 1));
        engine_invalidate(machine->engine, page, 8);
        machine_run(machine, 0);
        result += machine->state->r[0];
        expected += (u64)i;
    }
    OK(result == expected, "%s: writes from outside, with invalidation", host->name);
    OK(!engine_page_is_protected(machine->engine, page), "%s: the page is not protected any more",
       host->name);
    CODE(machine, 0, toy(TOY_LI, 0, 99));
    machine_run(machine, 0);
    OK(machine->state->r[0] == 20, "%s: so a silent change goes unnoticed", host->name);
    engine_invalidate(machine->engine, page, TOY_PAGE);
    machine_run(machine, 0);
    OK(machine->state->r[0] == 99 && engine_page_is_protected(machine->engine, page),
       "%s: until the page is mapped anew", host->name);
    machine_free(machine);
}

/* Data beside code that changes all the time: from some time on the page is not protected, and
 * blocks notice by themselves what changes. */
static void test_checked(const Host *host)
{
    Machine *machine = machine_new(host, (MachineOptions){.guest = &toy_transparent});
    bool right = true;

    CODE(machine, 0, toy(TOY_STORE, 1, 3), toy(TOY_ADDI, 1, -1), toy(TOY_BNZ, 1, -2),
         toy(TOY_SYS, 0, 1));
    CODE(machine, 20, toy(TOY_LI, 0, 1), toy(TOY_ADDI, 0, 1), toy(TOY_SYS, 0, 2));
    machine->state->r[3] = machine_address(machine, 100);
    for (u32 i = 0; i < 40; i++) {
        machine->state->r[1] = 10;
        machine_run(machine, 0);
        right &= machine_left_with(machine, machine_run(machine, 20), 2);
        right &= machine->state->r[0] == 2;
    }
    OK(right && !engine_page_is_protected(machine->engine, machine_address(machine, 0)),
       "%s: a page that keeps being written is not protected any more", host->name);
    for (u32 i = 0; i < 40; i++) {
        CODE(machine, 21, toy(TOY_ADDI, 0, (s32)i / 4));
        machine_run(machine, 20);
        right &= machine->state->r[0] == 1 + i / 4;
    }
    OK(right, "%s: but changes of its code are seen", host->name);
    engine_invalidate(machine->engine, machine_address(machine, 0), TOY_PAGE);
    machine_run(machine, 20);
    OK(engine_page_is_protected(machine->engine, machine_address(machine, 0)),
       "%s: until the page is mapped anew", host->name);
    machine_free(machine);
}

/* Only what overlaps the range goes. */
static void test_range(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_LI, 0, 1), toy(TOY_SYS, 0, 1));
    CODE(machine, 100, toy(TOY_LI, 0, 2), toy(TOY_SYS, 0, 1));
    machine_run(machine, 0);
    machine_run(machine, 100);
    engine_invalidate(machine->engine, machine_address(machine, 101), 4);
    OK(find(machine, 0) && !find(machine, 100), "%s: invalidation is as precise as its range",
       host->name);
    engine_invalidate(machine->engine, 0, ~(u64)0);
    OK(!find(machine, 0), "%s: everything can be invalidated", host->name);
    machine_free(machine);
}

/* A linked jump and a remembered indirect one both notice that their target went. */
static void test_unlink(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_JUMP, 0, TOY_PAGE_INSNS));
    CODE(machine, 10, toy(TOY_GO, 1, 0));
    CODE(machine, TOY_PAGE_INSNS, toy(TOY_LI, 0, 1), toy(TOY_SYS, 0, 1));
    machine->state->r[1] = machine_address(machine, TOY_PAGE_INSNS);
    machine_run(machine, 0);
    machine_run(machine, 10);
    CODE(machine, TOY_PAGE_INSNS, toy(TOY_LI, 0, 2));
    machine_run(machine, 0);
    OK(machine->state->r[0] == 2, "%s: a direct jump to code that changed", host->name);
    CODE(machine, TOY_PAGE_INSNS, toy(TOY_LI, 0, 3));
    machine_run(machine, 10);
    OK(machine->state->r[0] == 3, "%s: an indirect jump to code that changed", host->name);
    machine_free(machine);
}

static u32 block_count(const Machine *machine)
{
    u32 count = 0;

    for (u32 i = 0; i < CACHE_SEGMENTS; i++) {
        count += machine->engine->cache.segments[i].block_count;
    }
    return count;
}

/* Code whose page was invalidated, but whose bytes did not change, is not translated again. */
static void test_revival(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    u64 page = machine_address(machine, 0);
    bool right = true;

    CODE(machine, 0, toy(TOY_LI, 0, 1), toy(TOY_BNZ, 0, 2), toy(TOY_SYS, 0, 9), toy(TOY_LI, 0, 5),
         toy(TOY_SYS, 0, 1));
    machine_run(machine, 0);
    u32 before = block_count(machine);
    for (u32 i = 0; i < 5; i++) {
        engine_invalidate(machine->engine, page, TOY_PAGE);
        machine->state->r[0] = 0;
        right &= machine_left_with(machine, machine_run(machine, 0), 1);
        right &= machine->state->r[0] == 5;
    }
    OK(right && block_count(machine) == before, "%s: unchanged code is revived", host->name);
    CODE(machine, 3, toy(TOY_LI, 0, 6));
    machine_run(machine, 0);
    OK(machine->state->r[0] == 6 && block_count(machine) == before + 1,
       "%s: only the block that changed is translated", host->name);
    CODE(machine, 3, toy(TOY_LI, 0, 5));
    machine_run(machine, 0);
    OK(machine->state->r[0] == 5 && block_count(machine) == before + 1,
       "%s: and changed back, not even that", host->name);
    machine_free(machine);
}

static void test_kernel_write(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    int zero = open("/dev/zero", O_RDONLY);

    CODE(machine, 0, toy(TOY_LI, 0, 1), toy(TOY_SYS, 0, 1));
    machine_run(machine, 0);
    OK(read(zero, &machine->code[0], 4) == -1 && errno == EFAULT,
       "%s: the kernel cannot write a page with code", host->name);
    engine_prepare_write(machine->engine, machine_address(machine, 0), 4);
    OK(read(zero, &machine->code[0], 4) == 4, "%s: but when told before", host->name);
    machine_run(machine, 0);
    OK(machine->state->r[0] == 0, "%s: and the new code runs", host->name);
    close(zero);
    machine_free(machine);
}

static void test_unwritable(const Host *host)
{
    Machine *machine = machine_new(host, defaults);

    CODE(machine, 0, toy(TOY_STORE, 0, 1), toy(TOY_SYS, 0, 1));
    machine->state->r[1] = machine_address(machine, 40);
    machine->unwritable[0] = true;
    mprotect(machine->code, TOY_PAGE, PROT_READ);
    CpuExitKind kind = machine_run(machine, 0);
    OK(kind == CPU_EXIT_FAULT && exec_fault(machine->vcpu)->access == ACCESS_WRITE,
       "%s: a store to the guest's own read-only text is a fault", host->name);
    machine_free(machine);
}

/* Fills the machine with a chain of blocks that count in r0 and come back to the start until r1 is
 * 0; returns what one round adds. */
static u32 fill_chain(Machine *machine)
{
    u32 count = 0, at = 2;

    CODE(machine, 0, toy(TOY_BNZ, 1, 2), toy(TOY_SYS, 0, 1));
    for (; at + 16 < 32 * TOY_PAGE_INSNS; at += 5, count++) {
        CODE(machine, at, toy(TOY_ADDI, 0, 1), toy(TOY_JUMP, 0, 4));
    }
    CODE(machine, at, toy(TOY_ADDI, 1, -1), toy(TOY_LI, 2, 0), toy(TOY_ADD, 2, 3),
         toy(TOY_GO, 2, 0));
    return count;
}

static void test_eviction(const Host *host)
{
    Machine *machine = machine_new(host, (MachineOptions){.cache_size = 1});
    u32 per_round = fill_chain(machine);

    machine->state->r[1] = 3;
    machine->state->r[3] = machine_address(machine, 0);
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == (u64)3 * per_round,
       "%s: code larger than the cache runs", host->name);
    OK(block_count(machine) < per_round, "%s: as old code is evicted", host->name);
    machine_free(machine);
}

/* A block that does not fit into what is left, or into a whole segment, is cut. */
static void test_large_block(const Host *host)
{
    Machine *machine = machine_new(host, (MachineOptions){.cache_size = 1});
    u32 count = 10000;

    for (u32 i = 0; i < count; i++) {
        machine->code[2 * i] = toy(TOY_ADDI, 0, 1);
        machine->code[2 * i + 1] = toy(TOY_STORE, 0, 1);
    }
    machine->code[2 * count] = toy(TOY_SYS, 0, 1);
    machine->state->r[1] = machine_address(machine, 63 * TOY_PAGE_INSNS);
    CpuExitKind kind = machine_run(machine, 0);
    OK(machine_left_with(machine, kind, 1) && machine->state->r[0] == count &&
           machine->code[63 * TOY_PAGE_INSNS] == count,
       "%s: blocks larger than a tiny cache are cut", host->name);
    machine_free(machine);
}

/* -- Threads */

enum { THREADS = 4, RUNS = 3 };

typedef struct Runner {
    Machine *machine;
    u32 per_round;
    u32 wrong;
} Runner;

static void *run_chain(void *opaque)
{
    Runner *runner = opaque;
    Vcpu *vcpu = vcpu_new(runner->machine->engine);
    ToyState *state = vcpu_state(vcpu);

    machine_attach(vcpu);
    for (u32 i = 0; i < RUNS; i++) {
        state->r[0] = 0;
        state->r[1] = 2;
        state->r[3] = state->pc = machine_address(runner->machine, 0);
        CpuExitKind kind = exec_run(vcpu);
        runner->wrong += kind != CPU_EXIT_IR || state->r[0] != (u64)2 * runner->per_round;
    }
    machine_attach(NULL);
    vcpu_free(vcpu);
    return NULL;
}

/* Threads that share the cache, while pages are invalidated and, with a small cache, evicted. */
static void test_threads(const Host *host, size_t cache_size)
{
    Machine *machine = machine_new(host, (MachineOptions){.cache_size = cache_size});
    u32 per_round = fill_chain(machine);
    Runner runners[THREADS];
    pthread_t threads[THREADS];
    u32 wrong = 0;

    for (u32 i = 0; i < THREADS; i++) {
        runners[i] = (Runner){machine, per_round, 0};
        pthread_create(&threads[i], NULL, run_chain, &runners[i]);
    }
    for (u32 i = 0; i < 200; i++) {
        engine_invalidate(machine->engine, machine_address(machine, i % 32 * TOY_PAGE_INSNS),
                          TOY_PAGE);
        usleep(200);
    }
    for (u32 i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        wrong += runners[i].wrong;
    }
    OK(wrong == 0, "%s: %d threads, %s cache", host->name, THREADS, cache_size ? "tiny" : "large");
    machine_free(machine);
}

static void *spin(void *opaque)
{
    Machine *machine = opaque;
    Vcpu *vcpu = vcpu_new(machine->engine);
    ToyState *state = vcpu_state(vcpu);

    machine_attach(vcpu);
    state->r[1] = 1;
    state->pc = machine_address(machine, 40 * TOY_PAGE_INSNS);
    exec_run(vcpu);
    machine_attach(NULL);
    vcpu_free(vcpu);
    return NULL;
}

/* A thread in an endless loop notices that another changed the loop. */
static void test_other_thread(const Host *host)
{
    Machine *machine = machine_new(host, defaults);
    u32 at = 40 * TOY_PAGE_INSNS;
    pthread_t thread;

    CODE(machine, at, toy(TOY_ADDI, 0, 1), toy(TOY_BNZ, 1, -1), toy(TOY_SYS, 0, 1));
    pthread_create(&thread, NULL, spin, machine);
    usleep(20000);
    machine->state->r[2] = toy(TOY_LI, 1, 0);
    machine->state->r[3] = machine_address(machine, at);
    CODE(machine, 0, toy(TOY_STORE4, 2, 3), toy(TOY_FLUSH, 3, 0), toy(TOY_SYS, 0, 1));
    CpuExitKind kind = machine_run(machine, 0);
    pthread_join(thread, NULL);
    OK(machine_left_with(machine, kind, 1), "%s: another thread's loop was changed", host->name);
    machine_free(machine);
}

int main(void)
{
    for (const Host *const *host = hosts; *host; host++) {
        const char *why;
        if (!(*host)->usable(&why)) {
            continue;
        }
        test_own_block(*host, &toy_transparent, false);
        test_own_block(*host, &toy_explicit, true);
        test_given_up(*host);
        test_checked(*host);
        test_range(*host);
        test_unlink(*host);
        test_revival(*host);
        test_kernel_write(*host);
        test_unwritable(*host);
        test_eviction(*host);
        test_large_block(*host);
        test_threads(*host, 0);
        test_threads(*host, 1);
        test_other_thread(*host);
    }
    return tap_done();
}

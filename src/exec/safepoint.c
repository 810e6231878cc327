/* Safepoints: waiting until no thread is "inside", that is, runs generated code or holds a pointer
 * to a block.
 *
 * Eviction needs one, and what must not happen while another vCPU is at it: a change of the memory
 * map, a new watch on RAM, a locked access in two parts. Who stops the others holds the engine's
 * lock, which no thread may wait for while inside; so everybody else either leaves generated code
 * at the next check (their `interrupt` is set and their indirect jumps miss, as for vcpu_kick()),
 * or is outside already: in a system call, translating, or not running. Who wants to come inside
 * meanwhile waits for the lock.
 *
 * enter: inside = 1, then look at stopping; stop: stopping = 1, then look at each inside. Both are
 * sequentially consistent, so at least one of the two sees the other. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/engine.h"

static void futex(u32 *word, int operation, u32 value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void safepoint_leave(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->inside, 0, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&vcpu->engine->stopping, __ATOMIC_SEQ_CST))) {
        futex(&vcpu->inside, FUTEX_WAKE_PRIVATE, INT_MAX);
    }
}

void safepoint_enter(Vcpu *vcpu)
{
    Engine *engine = vcpu->engine;

    for (;;) {
        __atomic_store_n(&vcpu->inside, 1, __ATOMIC_SEQ_CST);
        if (likely(!__atomic_load_n(&engine->stopping, __ATOMIC_SEQ_CST))) {
            return;
        }
        safepoint_leave(vcpu);
        pthread_mutex_lock(&engine->lock);
        pthread_mutex_unlock(&engine->lock);
    }
}

/* Makes the thread leave generated code. */
static void expel(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->common->jump_table, vcpu->engine->no_jumps, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vcpu->common->interrupt, 1, __ATOMIC_SEQ_CST);
}

void safepoint_stop(Engine *engine)
{
    __atomic_store_n(&engine->stopping, 1, __ATOMIC_SEQ_CST);
    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        expel(vcpu);
    }
    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        while (__atomic_load_n(&vcpu->inside, __ATOMIC_SEQ_CST)) {
            futex(&vcpu->inside, FUTEX_WAIT_PRIVATE, 1);
        }
    }
}

void safepoint_forget_code(Engine *engine)
{
    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        __atomic_store_n(&vcpu->stale, 1, __ATOMIC_SEQ_CST);
    }
}

void safepoint_resume(Engine *engine)
{
    __atomic_store_n(&engine->stopping, 0, __ATOMIC_SEQ_CST);
}

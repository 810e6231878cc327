/* The gate around a node: see driver.h.
 *
 * Shared holders only count themselves; they look at `closed` after counting, an exclusive one sets
 * `closed` before looking at the counts, so that one of them sees the other (both sequentially
 * consistent). */
#include "block/gate.h"

void block_gate_init(BlockGate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

void block_gate_destroy(BlockGate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    pthread_cond_destroy(&gate->changed);
}

static void wake(BlockGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

int block_gate_try_enter(BlockGate *gate)
{
    for (;;) {
        u32 epoch = atomic_load(&gate->epoch) & 1;
        atomic_fetch_add(&gate->users[epoch], 1);
        if (atomic_load(&gate->closed)) {
            block_gate_leave(gate, (int)epoch);
            return -1;
        }
        if ((atomic_load(&gate->epoch) & 1) == epoch) {
            return (int)epoch;
        }
        block_gate_leave(gate, (int)epoch); /* the epoch ended in between */
    }
}

int block_gate_enter(BlockGate *gate)
{
    int epoch;

    while ((epoch = block_gate_try_enter(gate)) < 0) {
        pthread_mutex_lock(&gate->lock);
        while (atomic_load(&gate->closed)) {
            pthread_cond_wait(&gate->changed, &gate->lock);
        }
        pthread_mutex_unlock(&gate->lock);
    }
    return epoch;
}

void block_gate_leave(BlockGate *gate, int epoch)
{
    if (atomic_fetch_sub(&gate->users[epoch], 1) == 1 && atomic_load(&gate->closed)) {
        wake(gate);
    }
}

void block_gate_close(BlockGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (atomic_load(&gate->closed)) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    atomic_store(&gate->closed, 1);
    while (atomic_load(&gate->users[0]) || atomic_load(&gate->users[1])) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

void block_gate_open(BlockGate *gate)
{
    atomic_store(&gate->closed, 0);
    wake(gate);
}

u32 block_epoch_next(BlockNode *node)
{
    return atomic_fetch_add(&node->gate.epoch, 1) & 1;
}

bool block_epoch_over(BlockNode *node, u32 ticket)
{
    return atomic_load(&node->gate.users[ticket]) == 0;
}

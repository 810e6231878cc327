/* The gate around a node, for the layer itself: shared by requests, exclusive for changes. */
#ifndef BLOCK_GATE_H
#define BLOCK_GATE_H

#include "block/driver.h"

void block_gate_init(BlockGate *gate);
void block_gate_destroy(BlockGate *gate);

/* Shared: waits while the gate is closed. Returns the epoch, for block_gate_leave(). */
int block_gate_enter(BlockGate *gate);
/* The same without waiting: -1 if the gate is closed. */
int block_gate_try_enter(BlockGate *gate);
void block_gate_leave(BlockGate *gate, int epoch);

/* Exclusive: waits until nobody is inside. */
void block_gate_close(BlockGate *gate);
void block_gate_open(BlockGate *gate);

#endif

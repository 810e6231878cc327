/* Interrupt lines: a wire from a device's output to whoever listens.
 *
 * A device owns its Irq outputs; the board connects each to a function of the receiving device
 * (an input of an interrupt controller, a gate). Levels are set under the machine lock.
 * Must not remember levels: a receiver does that if it needs to. */
#ifndef DEVICE_CORE_IRQ_H
#define DEVICE_CORE_IRQ_H

#include "base/types.h"

/* Input `line` of the receiver has that level now. */
typedef void IrqInput(void *receiver, unsigned line, bool level);

typedef struct Irq {
    IrqInput *input; /* NULL: not connected */
    void *receiver;
    unsigned line;
} Irq;

static inline void irq_set(const Irq *irq, bool level)
{
    if (irq->input) {
        irq->input(irq->receiver, irq->line, level);
    }
}

/* A rising and a falling edge. */
static inline void irq_pulse(const Irq *irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}

#endif

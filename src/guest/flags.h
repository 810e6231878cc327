/* What translators with lazy flags share: taking back a put of the flags that nobody reads.
 *
 * Must not know any guest. */
#ifndef GUEST_FLAGS_H
#define GUEST_FLAGS_H

#include "ir/build.h"

/* Takes `put`, a PUT in the builder's current block, back because every way on overwrites its slot
 * unread. Where an operation after it may still leave with a fault, which finds the precise value,
 * it becomes a NOTE. */
void guest_drop_put(IrBuilder *b, IrVal put);

#endif

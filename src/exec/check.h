/* Blocks that compare their guest code bytes when they are entered: for pages that are written so
 * often that protecting them costs more (coherence.c, PAGE_CHECKED).
 *
 * Such a block has its comparison in block 0 of the region and the guest's code from block 1 on. It
 * ends behind the first instruction that may store, so that what follows is compared again: a
 * store takes effect at the next instruction, as CODE_TRANSPARENT guests demand. */
#ifndef EXEC_CHECK_H
#define EXEC_CHECK_H

#include "exec/job.h"

enum { CHECK_MAX_INSNS = 16 }; /* guest instructions in such a block */

/* Makes the two blocks; the guest's code goes to the builder's. */
void check_begin(Job *job);
/* Fills in the comparison with what was read of the guest's code. */
void check_end(Job *job);
/* Number of the first guest instruction in the region that may store, counted from 1; 0: none. */
u32 check_first_store(const IrRegion *region);

#endif

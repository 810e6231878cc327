/* Guest memory as the interpreter accesses it: at host addresses of any alignment, each access of
 * up to 8 bytes as one, `sub` as in IrInsn. Any of these may fault. */
#ifndef HOST_INTERP_MEMORY_H
#define HOST_INTERP_MEMORY_H

#include "ir/ir.h"

/* `size` bytes (1..32), zero-extended. */
void interp_load(const u8 *at, u32 size, u8 sub, IrWord *result);
void interp_store(u8 *at, u32 size, u8 sub, const IrWord *value);

/* Atomic, sequentially consistent; sizes 1..8. Return the old value. */
u64 interp_cas(u8 *at, u32 size, u8 sub, u64 expected, u64 desired);
/* 16 bytes, aligned. */
void interp_cas16(u8 *at, const IrWord *expected, const IrWord *desired, IrWord *old);
u64 interp_rmw(u8 *at, u32 size, u8 sub, IrRmw op, u64 operand);

void interp_fence(void);

#endif

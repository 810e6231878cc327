/* A vDSO made in memory: a minimal ELF shared object of one page. */
#ifndef USER_VDSO_H
#define USER_VDSO_H

#include "user/abi.h"

enum { VDSO_SIZE = 4096, VDSO_FUNCTION_BYTES = 64 };

/* A function's name and code: 64 bytes are given to each, in the order of the list. */
typedef struct VdsoFunction {
    const char *name;
    u8 code[VDSO_FUNCTION_BYTES];
} VdsoFunction;

/* Offset of the first function's code in the image. */
enum { VDSO_CODE = 2048 };

/* Offset of function number `index`. */
static inline size_t vdso_offset(unsigned index)
{
    return VDSO_CODE + (size_t)index * VDSO_FUNCTION_BYTES;
}

/* Fills a zeroed page. */
void vdso_make(const GuestAbi *abi, u8 page[VDSO_SIZE], const VdsoFunction *functions,
               unsigned count);

#endif

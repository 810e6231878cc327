/* Linux on arm64: the GuestAbi and what its files share. */
#ifndef USER_AARCH64_ABI_H
#define USER_AARCH64_ABI_H

#include "user/abi.h"

extern const GuestAbi abi_aarch64;

/* signal_frame.c */
bool aarch64_push_frame(Thread *thread, int signal, const GuestFrame *frame);
bool aarch64_pop_frame(Thread *thread, bool old, u64 *mask, stack_t *alternate);
u32 aarch64_fault_status(int access, int host_code);

/* vdso.c */
size_t aarch64_make_vdso(u8 *page, u64 base);

#endif

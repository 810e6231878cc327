/* What gen-syscalls makes, one set per guest ABI. */
#ifndef USER_SYSCALL_TABLES_H
#define USER_SYSCALL_TABLES_H

#include "user/syscall.h"

/* One past the highest number; the tables must match. */
enum { AARCH64_SYSCALLS = 451, I386_SYSCALLS = 451, X86_64_SYSCALLS = 451 };
extern const Syscall aarch64_syscalls[AARCH64_SYSCALLS];
extern const Syscall i386_syscalls[I386_SYSCALLS];
extern const Syscall x86_64_syscalls[X86_64_SYSCALLS];

/* By enum GuestStruct of the generated user/structs.h. */
extern const StructLayout *const aarch64_structs[], *const i386_structs[], *const x86_64_structs[];

extern const Ioctl aarch64_ioctls[], i386_ioctls[], x86_64_ioctls[];

/* Flags that hand-written handlers need of each ABI. */
extern const BitSet aarch64_bits_open, i386_bits_open, x86_64_bits_open;

#endif

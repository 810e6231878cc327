/* What gen-syscalls makes, one set per guest ABI. */
#ifndef USER_SYSCALL_TABLES_H
#define USER_SYSCALL_TABLES_H

#include "user/syscall.h"

enum { AARCH64_SYSCALLS = 451 }; /* one past the highest number; the table must match */
extern const Syscall aarch64_syscalls[AARCH64_SYSCALLS];

/* The tables that hand-written handlers need of each ABI. */
extern const BitSet aarch64_bits_open, aarch64_bits_pipe;
extern const StructLayout aarch64_struct_stat, aarch64_struct_epoll_event,
    aarch64_struct_semid64_ds;

#endif

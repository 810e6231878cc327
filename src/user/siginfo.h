/* siginfo_t in the guest's layout. */
#ifndef USER_SIGINFO_H
#define USER_SIGINFO_H

#include <signal.h>

#include "user/abi.h"

enum { SIGINFO_SIZE = 128 };

/* Which fields there are follows from the signal and its code, as in the kernel. */
void siginfo_to_guest(const GuestAbi *abi, u8 guest[SIGINFO_SIZE], const siginfo_t *host);
void siginfo_to_host(const GuestAbi *abi, siginfo_t *host, const u8 guest[SIGINFO_SIZE]);

#endif

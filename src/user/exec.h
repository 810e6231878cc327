/* Starting programs from the guest: execve(2) of guest programs, host programs and scripts. */
#ifndef USER_EXEC_H
#define USER_EXEC_H

#include "user/process.h"

/* execve(2) with a name as the guest has it and NULL-terminated lists. Returns -errno only. */
s64 exec_program(Thread *thread, const char *name, char **arguments, char **environment);

#endif

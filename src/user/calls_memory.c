/* System calls of the memory map: the work is in memory.c. */
#include <errno.h>

#include "user/process.h"
#include "user/syscall.h"

enum { ANY_PROTECTION_KEY = -1 };

static MemoryMap *map_of(Thread *thread)
{
    return &thread->process->memory;
}

s64 sys_brk(Thread *thread, const u64 *arguments)
{
    return (s64)memory_break(map_of(thread), arguments[0]);
}

s64 sys_mmap(Thread *thread, const u64 *arguments)
{
    return memory_map(map_of(thread), arguments[0], arguments[1], (int)arguments[2],
                      (int)arguments[3], (int)arguments[4], (s64)arguments[5]);
}

/* The offset in pages, so that 32 bits reach far enough. */
s64 sys_mmap2(Thread *thread, const u64 *arguments)
{
    enum { MMAP2_PAGE = 4096 };

    return memory_map(map_of(thread), arguments[0], arguments[1], (int)arguments[2],
                      (int)arguments[3], (int)arguments[4], (s64)(arguments[5] * MMAP2_PAGE));
}

/* i386's first mmap(2): six words in memory. */
s64 map_from_memory(Thread *thread, const u64 *arguments)
{
    u64 inner[SYSCALL_ARGUMENTS];

    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        if (!word_from_guest(thread, arguments[0] + i * thread->abi->word_size, &inner[i])) {
            return -EFAULT;
        }
    }
    return inner[5] % MEMORY_PAGE ? -EINVAL : sys_mmap(thread, inner);
}

s64 sys_munmap(Thread *thread, const u64 *arguments)
{
    return memory_unmap(map_of(thread), arguments[0], arguments[1]);
}

s64 sys_mprotect(Thread *thread, const u64 *arguments)
{
    return memory_protect(map_of(thread), arguments[0], arguments[1], (int)arguments[2]);
}

s64 sys_pkey_mprotect(Thread *thread, const u64 *arguments)
{
    if ((int)arguments[3] != ANY_PROTECTION_KEY) {
        return -EINVAL; /* no keys were given out */
    }
    return sys_mprotect(thread, arguments);
}

s64 sys_mremap(Thread *thread, const u64 *arguments)
{
    return memory_remap(map_of(thread), arguments[0], arguments[1], arguments[2], (int)arguments[3],
                        arguments[4]);
}

s64 sys_madvise(Thread *thread, const u64 *arguments)
{
    return memory_advise(map_of(thread), arguments[0], arguments[1], (int)arguments[2]);
}

s64 sys_shmat(Thread *thread, const u64 *arguments)
{
    return memory_attach(map_of(thread), (int)arguments[0], arguments[1], (int)arguments[2]);
}

s64 sys_shmdt(Thread *thread, const u64 *arguments)
{
    return memory_detach(map_of(thread), arguments[0]);
}

/* What ThreadSanitizer is to overlook. Linked into menura-user in builds with -Db_sanitize=thread.
 *
 * Generated code is not instrumented, so TSan misses what it does to order threads. */
const char *__tsan_default_suppressions(void);
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

const char *__tsan_default_suppressions(void)
{
    /* ir_eval() reads instructions from the constants of a block. A thread may come to a block that
     * another thread just made by a jump that was patched: the block is complete before the patch,
     * and x86 keeps stores in order, but TSan has seen neither the patch nor the jump. */
    return "race:ir_eval\n";
}

/* In TSan's place, which takes every clone() for a fork(): parent and child each undo in TSan's
 * state of the thread what it did before, and with CLONE_VM that is one and the same, so that TSan
 * does not see the thread's locks any more. To TSan a vfork child is its parent, which waits, as
 * well. */
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    return __clone(function, stack, flags, argument); /* the C library's other name of it */
}

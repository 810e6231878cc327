/* What ThreadSanitizer is to overlook. Linked into menura-user in builds with -Db_sanitize=thread.
 *
 * Generated code is not instrumented, so TSan misses what it does to order threads. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    /* ir_eval() reads instructions from the constants of a block. A thread may come to a block that
     * another thread just made by a jump that was patched: the block is complete before the patch,
     * and x86 keeps stores in order, but TSan has seen neither the patch nor the jump. */
    return "race:ir_eval\n";
}

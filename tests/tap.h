/* The smallest TAP producer: OK() per check, tap_done() at the end of main().
 * Each check prints its place and text, so that a failure needs no debugger to find. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdio.h>

static int tap_count, tap_failures;

#define OK(condition, ...)                                                                         \
    do {                                                                                           \
        int tap_passed = !!(condition);                                                            \
        tap_count++;                                                                               \
        tap_failures += !tap_passed;                                                               \
        printf("%s %d - ", tap_passed ? "ok" : "not ok", tap_count);                               \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        if (!tap_passed) {                                                                         \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
        }                                                                                          \
        fflush(stdout);                                                                            \
    } while (0)

/* Prints the plan; the exit status for main(). */
static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures != 0;
}

#endif

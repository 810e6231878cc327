/* The clocks, through the C library, the functions of the vDSO and the system calls, which must
 * agree: a time is never before one that was read earlier in another way. */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 2000, TICK = 20000000 /* ns: how far coarse clocks may be behind */ };

typedef int ClockFunction(clockid_t, struct timespec *);
typedef int TimeOfDayFunction(struct timeval *, struct timezone *);

static const struct {
    clockid_t clock;
    const char *name;
    int behind; /* ns */
} clocks[] = {
    {CLOCK_REALTIME, "realtime", 0},
    {CLOCK_MONOTONIC, "monotonic", 0},
    {CLOCK_MONOTONIC_RAW, "monotonic raw", 0},
    {CLOCK_BOOTTIME, "boot time", 0},
    {CLOCK_REALTIME_COARSE, "realtime coarse", TICK},
    {CLOCK_MONOTONIC_COARSE, "monotonic coarse", TICK},
    {CLOCK_PROCESS_CPUTIME_ID, "process", 0},
    {CLOCK_THREAD_CPUTIME_ID, "thread", 0},
};

/* A function of the vDSO by name; NULL when there is none. */
static void *vdso_function(const char *name)
{
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    const ElfW(Ehdr) *header = (const void *)base;
    const ElfW(Phdr) *segment = (const void *)(base + header->e_phoff);
    const ElfW(Dyn) *entry = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL, *bias = base;
    const uint32_t *hash = NULL;

    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD) {
            bias = base + segment[i].p_offset - segment[i].p_vaddr;
        } else if (segment[i].p_type == PT_DYNAMIC) {
            entry = (const void *)(base + segment[i].p_offset);
        }
    }
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *at = bias + entry->d_un.d_ptr;
        symbols = entry->d_tag == DT_SYMTAB ? at : symbols;
        strings = entry->d_tag == DT_STRTAB ? at : strings;
        hash = entry->d_tag == DT_HASH ? at : hash;
    }
    for (uint32_t i = 0; i < hash[1]; i++) {
        if (strcmp(strings + symbols[i].st_name, name) == 0 && symbols[i].st_value) {
            return (void *)(uintptr_t)(bias + symbols[i].st_value);
        }
    }
    return NULL;
}

static int64_t nanoseconds(const struct timespec *time)
{
    return time->tv_sec * 1000000000 + time->tv_nsec;
}

static int by_call(clockid_t clock, struct timespec *time)
{
    return (int)syscall(SYS_clock_gettime, clock, time);
}

/* Reads a clock in three ways in turn; how often that was wrong. */
static int compare(clockid_t clock, int behind, ClockFunction *by_vdso)
{
    static ClockFunction *ways[3] = {clock_gettime, by_call};
    int64_t before = 0;
    int wrong = 0;

    ways[2] = by_vdso;
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec now = {-1, -1};
        if (ways[i % 3](clock, &now) || now.tv_nsec < 0 || now.tv_nsec >= 1000000000) {
            wrong++;
        }
        wrong += nanoseconds(&now) + behind < before;
        before = nanoseconds(&now);
    }
    return wrong;
}

static void test_time_of_day(TimeOfDayFunction *by_vdso)
{
    struct timespec first, last;
    struct timeval now = {-1, -1}, same;
    struct timezone zone = {-1, -1};

    clock_gettime(CLOCK_REALTIME, &first);
    int result = by_vdso(&now, &zone);
    clock_gettime(CLOCK_REALTIME, &last);
    int64_t got = (now.tv_sec * 1000000 + now.tv_usec) * 1000;
    printf("time of day: %d, in order %d, zone %d %d\n", result,
           got / 1000 >= nanoseconds(&first) / 1000 && got <= nanoseconds(&last),
           zone.tz_minuteswest, zone.tz_dsttime);
    result = by_vdso(&same, NULL);
    printf("without zone: %d, %d, nothing: %d\n", result, timercmp(&same, &now, >=),
           by_vdso(NULL, NULL));
    printf("seconds: %d\n", time(NULL) - last.tv_sec < 2);
}

int main(void)
{
    ClockFunction *clock_function = vdso_function("__kernel_clock_gettime");
    ClockFunction *resolution = vdso_function("__kernel_clock_getres");
    TimeOfDayFunction *time_of_day = vdso_function("__kernel_gettimeofday");
    struct timespec time;

    if (!clock_function || !resolution || !time_of_day) {
        puts("the vDSO lacks a function");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        printf("%s: wrong %d", clocks[i].name,
               compare(clocks[i].clock, clocks[i].behind, clock_function));
        struct timespec fine;
        clock_getres(clocks[i].clock, &fine);
        printf(", resolution %d %d\n", resolution(clocks[i].clock, &time),
               nanoseconds(&time) == nanoseconds(&fine));
    }
    test_time_of_day(time_of_day);
    printf("no such clock: %d", clock_function(77, &time));
    printf(" %d", clock_gettime(77, &time));
    printf(" %s\n", strerror(errno));
    return EXIT_SUCCESS;
}

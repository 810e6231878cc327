/* Structure layouts and flag words of the tables against the kernel's headers, and round trips. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/stat.h>

#include "tests/random.h"
#include "tests/tap.h"
#include "user/structs.h"
#include "user/syscall_tables.h"

static const StructField *find(const StructLayout *layout, const char *name)
{
    for (unsigned i = 0; i < layout->field_count; i++) {
        if (!strcmp(layout->fields[i].name, name)) {
            return &layout->fields[i];
        }
    }
    return NULL;
}

/* A field of the host's layout against the C compiler's view of the kernel's structure. */
#define HOST_FIELD(layout, field, type, member)                                                    \
    do {                                                                                           \
        const StructField *f = find(&(layout), field);                                             \
        OK(f && f->host_offset == offsetof(type, member) &&                                        \
               f->host_size == sizeof(((type *)0)->member),                                        \
           "%s." field, (layout).name);                                                            \
    } while (0)

static void test_host_layouts(void)
{
    OK((*aarch64_structs[STRUCT_stat]).host_size == sizeof(struct stat), "struct stat");
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "dev", struct stat, st_dev);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "ino", struct stat, st_ino);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "mode", struct stat, st_mode);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "nlink", struct stat, st_nlink);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "uid", struct stat, st_uid);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "gid", struct stat, st_gid);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "rdev", struct stat, st_rdev);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "size", struct stat, st_size);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "blksize", struct stat, st_blksize);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "blocks", struct stat, st_blocks);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "atime", struct stat, st_atim.tv_sec);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "mtime_nsec", struct stat, st_mtim.tv_nsec);
    HOST_FIELD(*aarch64_structs[STRUCT_stat], "ctime", struct stat, st_ctim.tv_sec);
    OK((*aarch64_structs[STRUCT_epoll_event]).host_size == sizeof(struct epoll_event),
       "struct epoll_event");
    HOST_FIELD(*aarch64_structs[STRUCT_epoll_event], "data", struct epoll_event, data.u64);
    HOST_FIELD(*aarch64_structs[STRUCT_semid64_ds], "nsems", struct semid_ds, sem_nsems);
    HOST_FIELD(*aarch64_structs[STRUCT_semid64_ds], "ctime", struct semid_ds, sem_ctime);
}

/* arm64's own, from include/uapi/asm-generic/stat.h and friends. */
static void test_guest_layouts(void)
{
    OK((*aarch64_structs[STRUCT_stat]).guest_size == 128, "arm64 struct stat has 128 bytes");
    OK(find(aarch64_structs[STRUCT_stat], "mode")->guest_offset == 16, "st_mode");
    OK(find(aarch64_structs[STRUCT_stat], "nlink")->guest_offset == 20, "st_nlink");
    OK(find(aarch64_structs[STRUCT_stat], "size")->guest_offset == 48, "st_size");
    OK(find(aarch64_structs[STRUCT_stat], "blocks")->guest_offset == 64, "st_blocks");
    OK(find(aarch64_structs[STRUCT_stat], "mtime")->guest_offset == 88, "st_mtime");
    OK((*aarch64_structs[STRUCT_epoll_event]).guest_size == 16,
       "arm64 struct epoll_event has 16 bytes");
    OK((*aarch64_structs[STRUCT_semid64_ds]).guest_size == 88,
       "arm64 struct semid64_ds has 88 bytes");
}

static void round_trip(const StructLayout *layout, bool big_endian)
{
    u8 guest[512], host[512], again[512];
    u64 random = 7;
    int wrong = 0;

    for (int round = 0; round < 1000; round++) {
        memset(guest, 0, sizeof guest);
        for (unsigned i = 0; i < layout->field_count; i++) {
            const StructField *f = &layout->fields[i];
            for (unsigned k = 0; k < f->guest_size * f->count; k++) {
                guest[f->guest_offset + k] = (u8)random_next(&random);
            }
        }
        wrong += struct_to_host(layout, host, guest, big_endian) != 0;
        wrong += struct_to_guest(layout, again, host, big_endian) != 0;
        wrong += memcmp(guest, again, layout->guest_size) != 0;
    }
    OK(wrong == 0, "%s survives a round trip%s", layout->name, big_endian ? ", big-endian" : "");
}

static void test_overflow(void)
{
    struct stat host = {.st_nlink = (nlink_t)1 << 40};
    u8 guest[128];

    OK(struct_to_guest(aarch64_structs[STRUCT_stat], guest, (u8 *)&host, false) < 0,
       "a link count that does not fit is an error");
}

static void test_open_flags(void)
{
    /* include/uapi/asm/fcntl.h of arm64 */
    static const struct {
        u64 guest, host;
    } pairs[] = {
        {040000, O_DIRECTORY},
        {0100000, O_NOFOLLOW},
        {0200000, O_DIRECT},
        {0400000, 0100000},
        {02000000, O_CLOEXEC},
        {0100, O_CREAT},
        {020040000, O_TMPFILE},
        {1, O_WRONLY},
        {02, O_RDWR},
        {0340000 | 02000101, O_DIRECTORY | O_NOFOLLOW | O_DIRECT | O_CLOEXEC | O_CREAT | O_WRONLY},
    };
    int wrong = 0;

    for (size_t i = 0; i < COUNT(pairs); i++) {
        wrong += bits_to_host(&aarch64_bits_open, pairs[i].guest) != pairs[i].host;
        wrong += bits_to_guest(&aarch64_bits_open, pairs[i].host) != pairs[i].guest;
    }
    OK(wrong == 0, "open flags both ways");
}

static void test_table(void)
{
    int wrong = 0;

    for (size_t i = 0; i < AARCH64_SYSCALLS; i++) {
        const Syscall *call = &aarch64_syscalls[i];
        wrong += call->name && call->argument_count && !call->arguments;
        wrong += call->raw && !call->handler;
    }
    OK(wrong == 0, "the call table is consistent");
    OK(!strcmp(aarch64_syscalls[64].name, "write") && aarch64_syscalls[64].plain, "write is plain");
    OK(!aarch64_syscalls[80].plain, "fstat is converted");
}

int main(void)
{
    test_host_layouts();
    test_guest_layouts();
    round_trip(aarch64_structs[STRUCT_stat], false);
    round_trip(aarch64_structs[STRUCT_stat], true);
    round_trip(aarch64_structs[STRUCT_epoll_event], false);
    round_trip(aarch64_structs[STRUCT_semid64_ds], true);
    test_overflow();
    test_open_flags();
    test_table();
    return tap_done();
}

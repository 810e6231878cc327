/* siginfo_t between the host's layout and those of ABIs with other words and byte order. */
#include <stddef.h>
#include <string.h>

#include "tests/tap.h"
#include "user/access.h"
#include "user/siginfo.h"

static const GuestAbi narrow = {.word_size = 4}, wide = {.word_size = 8},
                      big = {.word_size = 4, .big_endian = true};

static u32 word(const GuestAbi *abi, const u8 *guest, size_t at)
{
    return (u32)get_value(guest + at, 4, abi->big_endian);
}

static void test_queued(void)
{
    siginfo_t info = {.si_signo = SIGRTMIN, .si_code = SI_QUEUE}, back;
    u8 guest[SIGINFO_SIZE];

    info.si_pid = 1234;
    info.si_uid = 56;
    info.si_value.sival_int = 0x12345678;
    siginfo_to_guest(&narrow, guest, &info);
    OK(word(&narrow, guest, 0) == (u32)SIGRTMIN && word(&narrow, guest, 8) == (u32)SI_QUEUE,
       "signal and code");
    OK(word(&narrow, guest, 12) == 1234 && word(&narrow, guest, 16) == 56 &&
           word(&narrow, guest, 20) == 0x12345678,
       "a queued signal in i386's layout");
    siginfo_to_host(&narrow, &back, guest);
    OK(back.si_pid == 1234 && back.si_value.sival_int == 0x12345678, "and back");
    siginfo_to_guest(&big, guest, &info);
    OK(guest[12] == 0 && guest[14] == 1234 >> 8 && word(&big, guest, 20) == 0x12345678,
       "the same, big-endian");
}

static void test_fault(void)
{
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_ACCERR};
    u8 guest[SIGINFO_SIZE];

    info.si_addr = (void *)0xdeadb000;
    siginfo_to_guest(&narrow, guest, &info);
    OK(word(&narrow, guest, 12) == 0xdeadb000, "si_addr of a fault");
}

static void test_child(void)
{
    siginfo_t info = {.si_signo = SIGCHLD, .si_code = CLD_EXITED};
    u8 guest[SIGINFO_SIZE];

    info.si_pid = 7;
    info.si_uid = 8;
    info.si_status = 9;
    info.si_utime = 10;
    info.si_stime = 11;
    siginfo_to_guest(&narrow, guest, &info);
    OK(word(&narrow, guest, 12) == 7 && word(&narrow, guest, 20) == 9 &&
           word(&narrow, guest, 24) == 10 && word(&narrow, guest, 28) == 11,
       "SIGCHLD");
    /* Not so when it was sent by kill(). */
    info.si_code = SI_USER;
    siginfo_to_guest(&narrow, guest, &info);
    OK(word(&narrow, guest, 16) == 8 && word(&narrow, guest, 20) == 0, "SIGCHLD of kill()");
}

static void test_same(void)
{
    siginfo_t info = {.si_signo = SIGCHLD, .si_code = CLD_KILLED};
    u8 guest[SIGINFO_SIZE];

    info.si_pid = 1;
    info.si_status = SIGKILL;
    info.si_utime = 1L << 40;
    siginfo_to_guest(&wide, guest, &info);
    OK(!memcmp(guest, &info, sizeof info), "a 64-bit ABI has the host's layout");
}

int main(void)
{
    test_queued();
    test_fault();
    test_child();
    test_same();
    return tap_done();
}

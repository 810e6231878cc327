/* siginfo_t between layouts: see siginfo.h. After three words of 32 bits come fields that depend on
 * the signal, all at their natural alignment; so a layout is a list of field types, and ABIs differ
 * in the size of a word and in byte order only. */
#include "user/siginfo.h"

#include "user/access.h"

_Static_assert(sizeof(siginfo_t) == SIGINFO_SIZE, "siginfo_t");

enum { HEADER_WORDS = 3 };

#ifndef SI_KERNEL
#define SI_KERNEL 0x80
#endif

/* i: int, h: short, w: word. The kernel's siginfo_layout() decides the same way. */
static const char *fields_of(int signal, int code)
{
    static const char kill[] = "ii", queued[] = "iiw", child[] = "iiiww", fault[] = "whww",
                      poll[] = "wi", system_call[] = "wii";

    if (code == SI_USER || code == SI_KERNEL) {
        return kill;
    }
    if (code < 0) {
        return code == SI_SIGIO ? poll : queued;
    }
    switch (signal) {
    case SIGILL:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGTRAP:
        return fault;
    case SIGCHLD:
        return child;
    case SIGSYS:
        return system_call;
    default:
        return poll;
    }
}

typedef struct Side {
    unsigned word_size;
    bool big_endian;
    size_t at;
} Side;

/* Moves to the next field of `size` bytes; its offset. */
static size_t advance(Side *side, unsigned size)
{
    size_t at = ALIGN_UP(side->at, size);

    side->at = at + size;
    return at;
}

static void copy_fields(const char *fields, u8 *to, Side to_side, const u8 *from, Side from_side)
{
    memset(to, 0, SIGINFO_SIZE);
    for (int i = 0; i < HEADER_WORDS; i++) {
        u64 value = get_value(from + advance(&from_side, 4), 4, from_side.big_endian);
        put_value(to + advance(&to_side, 4), value, 4, to_side.big_endian);
    }
    from_side.at = ALIGN_UP(from_side.at, from_side.word_size);
    to_side.at = ALIGN_UP(to_side.at, to_side.word_size);
    for (const char *field = fields; *field; field++) {
        unsigned fixed = *field == 'i' ? 4 : 2;
        unsigned from_size = *field == 'w' ? from_side.word_size : fixed;
        unsigned to_size = *field == 'w' ? to_side.word_size : fixed;
        u64 value =
            get_value(from + advance(&from_side, from_size), from_size, from_side.big_endian);
        put_value(to + advance(&to_side, to_size), value, to_size, to_side.big_endian);
    }
}

static Side host_side(void)
{
    return (Side){sizeof(long), __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__, 0};
}

static Side guest_side(const GuestAbi *abi)
{
    return (Side){abi->word_size, abi->big_endian, 0};
}

/* Then all bytes are passed on: rt_sigqueueinfo(2) takes any. */
static bool same_layout(const GuestAbi *abi)
{
    Side host = host_side();

    return abi->word_size == host.word_size && abi->big_endian == host.big_endian;
}

void siginfo_to_guest(const GuestAbi *abi, u8 guest[SIGINFO_SIZE], const siginfo_t *host)
{
    if (same_layout(abi)) {
        memcpy(guest, host, SIGINFO_SIZE);
        return;
    }
    copy_fields(fields_of(host->si_signo, host->si_code), guest, guest_side(abi), (const u8 *)host,
                host_side());
}

void siginfo_to_host(const GuestAbi *abi, siginfo_t *host, const u8 guest[SIGINFO_SIZE])
{
    int signal = (int)get_value(guest, 4, abi->big_endian);
    int code = (int)get_value(guest + 8, 4, abi->big_endian);

    if (same_layout(abi)) {
        memcpy(host, guest, SIGINFO_SIZE);
        return;
    }
    copy_fields(fields_of(signal, code), (u8 *)host, host_side(), guest, guest_side(abi));
}

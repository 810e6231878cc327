/* System calls on sockets for ABIs whose messages and options are not the host's: headers, vectors
 * and control messages are copied to the host's layout and back. Also socketcall(2). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "user/access.h"
#include "user/process.h"
#include "user/structs.h"
#include "user/syscall.h"

enum {
    VECTOR_MAX = 1024,
    CONTROL_MAX = 1 << 20,
    CONTROL_EXTRA = 64, /* what the host's larger headers may need */
    OLD_TIMESTAMP = 29, /* SO_TIMESTAMP_OLD and so on: asm-generic/socket.h */
    OLD_TIMESTAMPNS = 35,
    OLD_RECEIVE_TIMEOUT = 20,
    OLD_SEND_TIMEOUT = 21,
};

/* A message in the host's layout and what belongs to it. */
typedef struct Message {
    struct msghdr header;
    u64 guest_control, guest_control_size;
    void *control; /* owned, as header.msg_iov is */
} Message;

static void free_message(Message *m)
{
    free(m->header.msg_iov);
    free(m->control);
}

/* struct cmsghdr: length as a word, level, type; data and the next one at a word's alignment. */
static size_t guest_header(const GuestAbi *abi)
{
    return abi->word_size + 8;
}

/* Guest control messages to the host's; returns the bytes used, or -errno. */
static s64 control_to_host(const GuestAbi *abi, u8 *host, const u8 *guest, size_t size)
{
    size_t header = guest_header(abi), used = 0;

    for (size_t at = 0; at + header <= size;) {
        u64 length = get_value(guest + at, abi->word_size, abi->big_endian);
        if (length < header || length > size - at) {
            return -EINVAL;
        }
        struct cmsghdr *to = (struct cmsghdr *)(host + used);
        to->cmsg_level = (int)get_value(guest + at + abi->word_size, 4, abi->big_endian);
        to->cmsg_type = (int)get_value(guest + at + abi->word_size + 4, 4, abi->big_endian);
        to->cmsg_len = CMSG_LEN(length - header);
        memcpy(CMSG_DATA(to), guest + at + header, length - header);
        used += CMSG_SPACE(length - header);
        at += ALIGN_UP(length, (u64)abi->word_size);
    }
    return (s64)used;
}

static s64 take_control(const GuestAbi *abi, Message *m)
{
    size_t size = m->header.msg_controllen;
    u8 *guest = malloc(size);
    /* Headers at least double when their words do. */
    m->control = calloc(2, size + CONTROL_EXTRA);
    s64 used = !guest || !m->control                             ? -ENOMEM
               : !copy_from_guest(guest, m->guest_control, size) ? -EFAULT
                                                                 : 0;
    if (!used) {
        used = control_to_host(abi, m->control, guest, size);
    }
    free(guest);
    m->header.msg_control = m->control;
    m->header.msg_controllen = used < 0 ? 0 : (size_t)used;
    return MIN(used, (s64)0);
}

static s64 take_vector(const Thread *thread, struct iovec *vector, u64 address, size_t count)
{
    size_t size = thread->abi->structs[STRUCT_iovec]->guest_size;

    for (size_t i = 0; i < count; i++) {
        int error = struct_from_guest(thread, STRUCT_iovec, &vector[i], address + i * size);
        if (error) {
            return error;
        }
    }
    return 0;
}

static s64 take_message(const Thread *thread, u64 address, bool sending, Message *m)
{
    memset(m, 0, sizeof *m);
    s64 error = struct_from_guest(thread, STRUCT_msghdr, &m->header, address);
    u64 vector = host_to_guest(m->header.msg_iov);
    m->header.msg_iov = NULL;
    if (error) {
        return error;
    }
    m->guest_control = host_to_guest(m->header.msg_control);
    m->guest_control_size = m->header.msg_controllen;
    if (m->header.msg_iovlen > VECTOR_MAX) {
        return -EMSGSIZE;
    }
    if (m->header.msg_controllen > CONTROL_MAX) {
        return -ENOBUFS;
    }
    m->header.msg_iov = calloc(m->header.msg_iovlen + 1, sizeof(struct iovec));
    if (!m->header.msg_iov) {
        return -ENOMEM;
    }
    error = take_vector(thread, m->header.msg_iov, vector, m->header.msg_iovlen);
    if (error || !m->guest_control || !m->guest_control_size) {
        return error;
    }
    if (sending) {
        return take_control(thread->abi, m);
    }
    m->header.msg_controllen = m->guest_control_size + CONTROL_EXTRA;
    m->header.msg_control = m->control = calloc(1, m->header.msg_controllen);
    return m->control ? 0 : -ENOMEM;
}

/* The data of a control message in the guest's layout: into `to`, which holds as much as the host's
 * data; returns its size. */
static size_t control_data(const Thread *thread, const struct cmsghdr *c, size_t size, u8 *to)
{
    bool socket = c->cmsg_level == SOL_SOCKET;
    int structure = socket && c->cmsg_type == OLD_TIMESTAMP     ? STRUCT_timeval
                    : socket && c->cmsg_type == OLD_TIMESTAMPNS ? STRUCT_timespec
                                                                : -1;
    const StructLayout *layout = structure < 0 ? NULL : thread->abi->structs[structure];

    if (layout && size == layout->host_size &&
        struct_to_guest(layout, to, CMSG_DATA(c), thread->abi->big_endian) == 0) {
        return layout->guest_size;
    }
    memcpy(to, CMSG_DATA(c), size);
    return size;
}

/* Descriptors that arrived but did not fit the guest's buffer. */
static void close_passed(const struct cmsghdr *c, size_t kept, size_t size)
{
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        for (size_t at = ALIGN_UP(kept, sizeof(int)); at + sizeof(int) <= size; at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            close(fd);
        }
    }
}

/* Received control messages to the guest's buffer, as many as fit; the bytes used or -EFAULT. */
static s64 give_control(const Thread *thread, Message *m)
{
    const GuestAbi *abi = thread->abi;
    size_t header = guest_header(abi), room = m->guest_control_size, used = 0;
    u8 *guest = calloc(1, room + m->header.msg_controllen + CONTROL_EXTRA);

    if (!guest) {
        return -ENOMEM;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->header); c; c = CMSG_NXTHDR(&m->header, c)) {
        size_t host_size = c->cmsg_len - CMSG_LEN(0);
        if (used + header > room) {
            m->header.msg_flags |= MSG_CTRUNC;
            close_passed(c, 0, host_size);
            continue;
        }
        size_t size = control_data(thread, c, host_size, guest + used + header);
        if (size > room - used - header) {
            m->header.msg_flags |= MSG_CTRUNC;
            size = room - used - header;
            close_passed(c, size, host_size);
        }
        put_value(guest + used, header + size, abi->word_size, abi->big_endian);
        put_value(guest + used + abi->word_size, (u32)c->cmsg_level, 4, abi->big_endian);
        put_value(guest + used + abi->word_size + 4, (u32)c->cmsg_type, 4, abi->big_endian);
        used = MIN(ALIGN_UP(used + header + size, (size_t)abi->word_size), room);
    }
    bool ok = copy_to_guest(m->guest_control, guest, used);
    free(guest);
    return ok ? (s64)used : -EFAULT;
}

static s64 send_one(Thread *thread, u64 fd, u64 address, u64 flags)
{
    Message m;

    s64 result = take_message(thread, address, true, &m);
    if (result == 0) {
        result = host_call(thread, SYS_sendmsg, (u64[6]){fd, host_to_guest(&m.header), flags});
    }
    free_message(&m);
    return result;
}

/* Writes back what recvmsg() changes of the header. */
static s64 give_header(const Thread *thread, u64 address, Message *m)
{
    struct msghdr header;

    int error = struct_from_guest(thread, STRUCT_msghdr, &header, address);
    if (error) {
        return error;
    }
    s64 used = m->control ? give_control(thread, m) : 0;
    if (used < 0) {
        return used;
    }
    header.msg_namelen = m->header.msg_namelen;
    header.msg_controllen = (size_t)used;
    header.msg_flags = m->header.msg_flags;
    return struct_into_guest(thread, STRUCT_msghdr, address, &header);
}

static s64 receive_one(Thread *thread, u64 fd, u64 address, u64 flags)
{
    Message m;

    s64 result = take_message(thread, address, false, &m);
    if (result == 0) {
        result = host_call(thread, SYS_recvmsg, (u64[6]){fd, host_to_guest(&m.header), flags});
        s64 error = result < 0 ? 0 : give_header(thread, address, &m);
        result = error ? error : result;
    }
    free_message(&m);
    return result;
}

s64 send_message(Thread *thread, const u64 *arguments)
{
    return send_one(thread, arguments[0], arguments[1], arguments[2]);
}

s64 receive_message(Thread *thread, const u64 *arguments)
{
    return receive_one(thread, arguments[0], arguments[1], arguments[2]);
}

/* One message after the other; how many, or the first one's error. */
typedef s64 TransferOne(Thread *thread, u64 fd, u64 address, u64 flags);

static s64 transfer_messages(Thread *thread, const u64 *arguments, TransferOne *transfer,
                             const struct timespec *end)
{
    const GuestAbi *abi = thread->abi;
    u64 length_at = abi->structs[STRUCT_msghdr]->guest_size;
    u64 stride = ALIGN_UP(length_at + 4, (u64)abi->word_size);
    u32 count = MIN((u32)arguments[2], (u32)VECTOR_MAX), done = 0;
    u64 flags = arguments[3];
    s64 result = 0;

    while (done < count) {
        u64 address = arguments[1] + done * stride;
        struct timespec now;
        u8 bytes[4];
        result = transfer(thread, arguments[0], address, flags & ~(u64)MSG_WAITFORONE);
        if (result < 0) {
            break;
        }
        put_value(bytes, (u64)result, 4, abi->big_endian);
        if (!copy_to_guest(address + length_at, bytes, 4)) {
            result = -EFAULT;
            break;
        }
        done++;
        flags |= flags & MSG_WAITFORONE ? MSG_DONTWAIT : 0;
        if (end && clock_gettime(CLOCK_MONOTONIC, &now) == 0 &&
            (now.tv_sec > end->tv_sec ||
             (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec))) {
            break;
        }
    }
    return done ? done : result;
}

s64 send_messages(Thread *thread, const u64 *arguments)
{
    return transfer_messages(thread, arguments, send_one, NULL);
}

/* The timeout is looked at after each message only, as in the kernel. */
s64 receive_messages(Thread *thread, const u64 *arguments)
{
    struct timespec end, timeout;

    if (!arguments[4]) {
        return transfer_messages(thread, arguments, receive_one, NULL);
    }
    if (!copy_from_guest(&timeout, arguments[4], sizeof timeout)) {
        return -EFAULT;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout.tv_sec + (end.tv_nsec + timeout.tv_nsec) / 1000000000;
    end.tv_nsec = (end.tv_nsec + timeout.tv_nsec) % 1000000000;
    return transfer_messages(thread, arguments, receive_one, &end);
}

/* --- options -------------------------------------------------------------------------------------
 */

static bool is_timeout(u64 level, u64 option)
{
    return (int)level == SOL_SOCKET &&
           ((int)option == OLD_RECEIVE_TIMEOUT || (int)option == OLD_SEND_TIMEOUT);
}

static bool is_filter(u64 level, u64 option)
{
    return (int)level == SOL_SOCKET &&
           ((int)option == SO_ATTACH_FILTER || (int)option == SO_ATTACH_REUSEPORT_CBPF);
}

/* Options whose values have words in them; all others are the same in every ABI. */
s64 set_socket_option(Thread *thread, const u64 *arguments)
{
    u64 host[SYSCALL_ARGUMENTS];
    struct timeval timeout;
    struct sock_fprog filter;
    int error = 0;

    memcpy(host, arguments, sizeof host);
    if (is_timeout(arguments[1], arguments[2])) {
        if ((int)arguments[4] < thread->abi->structs[STRUCT_timeval]->guest_size) {
            return -EINVAL;
        }
        error = struct_from_guest(thread, STRUCT_timeval, &timeout, arguments[3]);
        host[3] = host_to_guest(&timeout);
        host[4] = sizeof timeout;
    } else if (is_filter(arguments[1], arguments[2])) {
        if ((int)arguments[4] != thread->abi->structs[STRUCT_sock_fprog]->guest_size) {
            return -EINVAL;
        }
        error = struct_from_guest(thread, STRUCT_sock_fprog, &filter, arguments[3]);
        host[3] = host_to_guest(&filter);
        host[4] = sizeof filter;
    }
    return error ? error : host_call(thread, SYS_setsockopt, host);
}

s64 get_socket_option(Thread *thread, const u64 *arguments)
{
    const GuestAbi *abi = thread->abi;
    struct timeval timeout;
    socklen_t size = sizeof timeout;
    u8 bytes[4];

    if (!is_timeout(arguments[1], arguments[2])) {
        return host_call(thread, SYS_getsockopt, arguments);
    }
    if (!copy_from_guest(bytes, arguments[4], 4)) {
        return -EFAULT;
    }
    u32 guest_size = abi->structs[STRUCT_timeval]->guest_size;
    if ((u32)get_value(bytes, 4, abi->big_endian) < guest_size) {
        return -EINVAL;
    }
    s64 result = host_call(thread, SYS_getsockopt,
                           (u64[6]){arguments[0], arguments[1], arguments[2],
                                    host_to_guest(&timeout), host_to_guest(&size)});
    if (result) {
        return result;
    }
    put_value(bytes, guest_size, 4, abi->big_endian);
    result = struct_into_guest(thread, STRUCT_timeval, arguments[3], &timeout);
    return result || copy_to_guest(arguments[4], bytes, 4) ? result : -EFAULT;
}

/* --- socketcall ---------------------------------------------------------------------------------
 */

/* The calls by number (linux/net.h): the name of the row, how many words the guest gives. What it
 * does not give is zero, as accept4(2), sendto(2) and recvfrom(2) want it. */
static const struct {
    const char *name;
    u8 count;
} socket_calls[] = {
    [SYS_SOCKET] = {"socket", 3},
    [SYS_BIND] = {"bind", 3},
    [SYS_CONNECT] = {"connect", 3},
    [SYS_LISTEN] = {"listen", 2},
    [SYS_ACCEPT] = {"accept4", 3},
    [SYS_GETSOCKNAME] = {"getsockname", 3},
    [SYS_GETPEERNAME] = {"getpeername", 3},
    [SYS_SOCKETPAIR] = {"socketpair", 4},
    [SYS_SEND] = {"sendto", 4},
    [SYS_RECV] = {"recvfrom", 4},
    [SYS_SENDTO] = {"sendto", 6},
    [SYS_RECVFROM] = {"recvfrom", 6},
    [SYS_SHUTDOWN] = {"shutdown", 2},
    [SYS_SETSOCKOPT] = {"setsockopt", 5},
    [SYS_GETSOCKOPT] = {"getsockopt", 5},
    [SYS_SENDMSG] = {"sendmsg", 3},
    [SYS_RECVMSG] = {"recvmsg", 3},
    [SYS_ACCEPT4] = {"accept4", 4},
    [SYS_RECVMMSG] = {"recvmmsg", 5},
    [SYS_SENDMMSG] = {"sendmmsg", 4},
};

s64 sys_socketcall(Thread *thread, const u64 *arguments)
{
    u64 inner[SYSCALL_ARGUMENTS] = {0}, call = arguments[0];
    unsigned word = thread->abi->word_size;

    if (call >= COUNT(socket_calls) || !socket_calls[call].name) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < socket_calls[call].count; i++) {
        if (!word_from_guest(thread, arguments[1] + i * word, &inner[i])) {
            return -EFAULT;
        }
    }
    return call_by_name(thread, socket_calls[call].name, inner);
}

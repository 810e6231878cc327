/* Connecting and listening: see socket.h. */
#include "base/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

typedef struct Any {
    struct sockaddr_storage storage;
    socklen_t size;
} Any;

/* Takes one address that the other may have; 0 or an errno. */
typedef int Try(int fd, const struct sockaddr *address, socklen_t size, unsigned limit_seconds);

bool socket_split(char *text, SocketAddress *address)
{
    char *colon = strrchr(text, ':');

    if (!colon || (*text == '[' && colon[-1] != ']')) {
        return false;
    }
    *colon = '\0';
    *address = (SocketAddress){.host = *text ? text : NULL, .port = colon + 1};
    if (*text == '[') {
        colon[-1] = '\0';
        address->host = text + 1;
    }
    return true;
}

/* How long connecting may take, or (0) whatever follows. */
static void limit_time(int fd, unsigned seconds)
{
    struct timeval limit = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int try_to_connect(int fd, const struct sockaddr *address, socklen_t size,
                          unsigned limit_seconds)
{
    limit_time(fd, limit_seconds);
    if (connect(fd, address, size) < 0) {
        return errno;
    }
    limit_time(fd, 0);
    return 0;
}

static int try_to_listen(int fd, const struct sockaddr *address, socklen_t size, unsigned unused)
{
    int on = 1;

    (void)unused;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return bind(fd, address, size) < 0 || listen(fd, BACKLOG) < 0 ? errno : 0;
}

/* The socket, or -errno. */
static int open_with(Try *try, int type, const struct sockaddr *address, socklen_t size,
                     unsigned limit_seconds)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | type, 0), error;

    if (fd < 0) {
        return -errno;
    }
    error = try(fd, address, size, limit_seconds);
    if (error) {
        close(fd);
        return -error;
    }
    return fd;
}

static int unix_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path) {
        return -ENOENT;
    }
    if (strlen(path) >= sizeof address->sun_path) {
        return -ENAMETOOLONG;
    }
    strcpy(address->sun_path, path);
    return 0;
}

/* Removes a socket that a server left behind. A plain file refuses connections as well. */
static void remove_dead(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;

    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
            errno == ECONNREFUSED) {
            unlink(address->sun_path);
        }
        close(fd);
    }
}

/* getaddrinfo() takes a number of any size. */
static bool is_port(const char *port)
{
    char *end;
    unsigned long number = strtoul(port, &end, 10);

    return *port && (*end || number <= UINT16_MAX);
}

/* With the first address that will do. */
static int open_named(Try *try, int type, const SocketAddress *address, unsigned limit_seconds,
                      const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = type ? AI_PASSIVE : 0}, *list;
    int result = is_port(address->port) ? getaddrinfo(address->host, address->port, &hints, &list)
                                        : EAI_SERVICE;

    if (result) {
        *why = gai_strerror(result);
        return -EINVAL;
    }
    result = -EADDRNOTAVAIL;
    for (struct addrinfo *at = list; at && result < 0; at = at->ai_next) {
        result = open_with(try, type, at->ai_addr, at->ai_addrlen, limit_seconds);
    }
    freeaddrinfo(list);
    if (result < 0) {
        *why = strerror(-result);
    }
    return result;
}

int socket_connect(const SocketAddress *address, unsigned limit_seconds, const char **why)
{
    struct sockaddr_un path;
    int result;

    if (!address->path) {
        return open_named(try_to_connect, 0, address, limit_seconds, why);
    }
    result = unix_address(address->path, &path);
    if (result == 0) {
        result = open_with(try_to_connect, 0, (const struct sockaddr *)&path, sizeof path, 0);
    }
    if (result < 0) {
        *why = strerror(-result);
    }
    return result;
}

int socket_listen(const SocketAddress *address, const char **why)
{
    struct sockaddr_un path;
    int result;

    if (!address->path) {
        return open_named(try_to_listen, SOCK_NONBLOCK, address, 0, why);
    }
    result = unix_address(address->path, &path);
    if (result == 0) {
        remove_dead(&path);
        result =
            open_with(try_to_listen, SOCK_NONBLOCK, (const struct sockaddr *)&path, sizeof path, 0);
    }
    if (result < 0) {
        *why = strerror(-result);
    }
    return result;
}

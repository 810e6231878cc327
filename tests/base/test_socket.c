/* Sockets by address: what is split, what may be listened at, and what is left where it is. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "base/types.h"
#include "tests/tap.h"

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void test_split(void)
{
    static const struct {
        const char *text, *host, *port;
    } cases[] = {
        {"localhost:80", "localhost", "80"},
        {":80", NULL, "80"},
        {"[::1]:80", "::1", "80"},
        {"127.0.0.1:", "127.0.0.1", ""},
        {"80", NULL, NULL},
        {"[::1]80", NULL, NULL},
        {"[::1", NULL, NULL},
        {"", NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text = strdup(cases[i].text);
        SocketAddress address = {0};
        bool split = socket_split(text, &address);
        OK(split == !!cases[i].port && same(address.host, cases[i].host) &&
               same(address.port, cases[i].port),
           "'%s'", cases[i].text);
        free(text);
    }
}

static void test_path(void)
{
    SocketAddress address = {.path = "socket.test"};
    const char *why = NULL;
    int plain = open(address.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), fd, client;

    close(plain);
    OK(socket_listen(&address, &why) == -EADDRINUSE && access(address.path, F_OK) == 0,
       "a plain file is no place to listen at, and stays: %s", why);
    unlink(address.path);
    OK(socket_connect(&address, 0, &why) == -ENOENT, "nothing is there: %s", why);
    fd = socket_listen(&address, &why);
    OK(fd >= 0, "there is now");
    client = socket_connect(&address, 0, &why);
    OK(client >= 0, "who connects is let in");
    OK(socket_listen(&address, &why) == -EADDRINUSE, "taken: %s", why);
    close(client);
    close(fd);
    OK(socket_connect(&address, 0, &why) == -ECONNREFUSED, "its server is gone: %s", why);
    fd = socket_listen(&address, &why);
    OK(fd >= 0, "so the place is free");
    close(fd);
    unlink(address.path);
}

static void test_long_path(void)
{
    char path[200];
    const char *why = NULL;

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    OK(socket_listen(&(SocketAddress){.path = path}, &why) == -ENAMETOOLONG, "too long: %s", why);
    OK(socket_listen(&(SocketAddress){.path = ""}, &why) == -ENOENT, "no path: %s", why);
}

static void test_tcp(void)
{
    SocketAddress address = {.host = "127.0.0.1", .port = "0"};
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    const char *why = NULL;
    char port[16];
    int fd = socket_listen(&address, &why), client;

    OK(fd >= 0 && getsockname(fd, (struct sockaddr *)&bound, &size) == 0, "any free port");
    snprintf(port, sizeof port, "%u", ntohs(bound.sin_port));
    address.port = port;
    client = socket_connect(&address, 5, &why);
    OK(client >= 0, "who connects is let in");
    close(client);
    close(fd);
    OK(socket_connect(&address, 5, &why) == -ECONNREFUSED, "nobody listens: %s", why);
    address.port = "65536";
    OK(socket_listen(&address, &why) < 0, "no port: %s", why);
    address.port = "";
    OK(socket_listen(&address, &why) < 0, "none either: %s", why);
}

int main(void)
{
    test_split();
    test_path();
    test_long_path();
    test_tcp();
    return tap_done();
}

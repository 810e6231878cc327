/* Character ports on the host: files, pseudo-terminals, sockets; back-pressure both ways. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/char/char.h"
#include "tests/tap.h"

typedef struct User {
    char got[200000];
    size_t size, limit;
    unsigned drained, connects, disconnects;
} User;

static Loop *loop;
static User user;

static size_t room(void *opaque)
{
    const User *u = opaque;

    return u->limit - u->size;
}

static void receive(void *opaque, const u8 *bytes, size_t size)
{
    User *u = opaque;

    memcpy(u->got + u->size, bytes, size);
    u->size += size;
}

static void drained(void *opaque)
{
    ((User *)opaque)->drained++;
}

static void event(void *opaque, CharEvent event)
{
    User *u = opaque;

    u->connects += event == CHAR_CONNECTED;
    u->disconnects += event == CHAR_DISCONNECTED;
}

static const CharUser char_user = {room, receive, drained, event};

static void quit(void *opaque)
{
    int *rounds = opaque;

    if (--*rounds > 0) {
        loop_defer(loop, quit, rounds);
    } else {
        loop_quit(loop);
    }
}

/* Lets the loop do what there is to do. */
static void run(void)
{
    int rounds = 20;

    loop_defer(loop, quit, &rounds);
    loop_run(loop);
}

/* The same until the user has that much: the kernel passes on what goes through a terminal when it
 * has time. */
static void run_until_got(size_t size)
{
    for (int tries = 0; tries < 2000 && user.size < size; tries++) {
        usleep(1000);
        run();
    }
}

static CharPort *open_port(const char *spec)
{
    CharPort *port;
    char *error = NULL;

    if (char_open(&port, spec, loop, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    user = (User){.limit = sizeof user.got};
    char_attach(port, &char_user, &user);
    return port;
}

static size_t write_text(CharPort *port, const char *text)
{
    return char_write(port, (const u8 *)text, strlen(text));
}

static bool got(const char *text)
{
    bool same = user.size == strlen(text) && !memcmp(user.got, text, user.size);

    user.size = 0;
    return same;
}

static bool file_holds(const char *path, const char *text)
{
    char bytes[100] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof bytes - 1);

    close(fd);
    return n == (ssize_t)strlen(text) && !strcmp(bytes, text);
}

static void test_refusals(void)
{
    static const char *const specs[] = {
        "carrier-pigeon", "file:/no/such/place", "stdio,colour=on",    "unix:",
        "tcp:nowhere",    "unix:gone.sock",      "file:x,append=maybe"};

    for (size_t i = 0; i < COUNT(specs); i++) {
        CharPort *port;
        char *error = NULL;
        int result = char_open(&port, specs[i], loop, &error);
        OK(result < 0 && error && !port, "%s is refused: %s", specs[i], error ? error : "");
        free(error);
    }
}

static void test_files(void)
{
    CharPort *port = open_port("file:char.out");

    OK(write_text(port, "one\n") == 4, "written to a file");
    char_close(port);
    OK(file_holds("char.out", "one\n"), "and there");
    port = open_port("file:char.out,append=on");
    write_text(port, "two\n");
    char_close(port);
    OK(file_holds("char.out", "one\ntwo\n"), "appended");
    unlink("char.out");
    port = open_port("null");
    OK(write_text(port, "nothing") == 7 && !char_is_connected(port), "null takes all");
    char_close(port);
    OK(write_text(NULL, "nothing") == 7, "and so does no port");
}

static void test_pty(void)
{
    CharPort *port = open_port("pty");
    char bytes[16];
    int fd = open(char_name(port), O_RDWR | O_NOCTTY | O_CLOEXEC);

    OK(fd >= 0, "opened %s", char_name(port));
    write_text(port, "hello");
    run();
    OK(read(fd, bytes, sizeof bytes) == 5 && !memcmp(bytes, "hello", 5), "to the terminal");
    OK(write(fd, "a\r\3", 3) == 3, "written to it");
    run_until_got(3);
    OK(got("a\r\3"), "unchanged");
    close(fd);
    write_text(port, "nobody hears");
    run();
    OK(user.disconnects == 0, "it never hangs up");
    char_close(port);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void test_socket(void)
{
    CharPort *port = open_port("unix:char.sock,server,nowait"), *client;
    char bytes[64];
    int fd;

    OK(!char_is_connected(port) && write_text(port, "lost") == 4, "nobody is there");
    fd = connect_to("char.sock");
    run();
    OK(user.connects == 1 && char_is_connected(port), "somebody connects");
    user.limit = 3;
    OK(write(fd, "abcdef", 6) == 6, "who sends more than there is room for");
    run();
    OK(user.size == 3, "half of it comes");
    OK(got("abc"), "first");
    char_accept(port);
    run();
    OK(got("def"), "the rest when there is room again");
    user.limit = sizeof user.got;
    write_text(port, "answer");
    run();
    OK(read(fd, bytes, sizeof bytes) == 6 && !memcmp(bytes, "answer", 6), "answered");
    close(fd);
    run();
    OK(user.disconnects == 1 && !char_is_connected(port), "gone");
    user = (User){.limit = sizeof user.got};
    client = NULL;
    char *error = NULL;
    OK(char_open(&client, "unix:char.sock", loop, &error) == 0, "another, a port itself");
    run();
    write_text(client, "hi");
    run();
    run();
    OK(got("hi"), "is heard");
    char_close(client);
    char_close(port);
    OK(access("char.sock", F_OK) < 0, "the socket is removed");
}

static void test_pressure(void)
{
    static u8 bytes[100000], back[100000];
    CharPort *port = open_port("unix:char.sock,server,nowait");
    int fd = connect_to("char.sock");
    size_t sent = 0, read_size = 0;

    run();
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (u8)(i * 7 + i / 256);
    }
    sent = char_write(port, bytes, sizeof bytes);
    OK(sent > 0 && sent < sizeof bytes, "a port takes so much and no more");
    while (read_size < sizeof bytes) {
        run();
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&readable, 1, 1000) > 0 ? read(fd, back + read_size, 5000) : 0;
        if (n <= 0) {
            break;
        }
        read_size += (size_t)n;
        sent += char_write(port, bytes + sent, sizeof bytes - sent);
    }
    OK(read_size == sizeof bytes && !memcmp(bytes, back, sizeof bytes), "all of it comes");
    OK(user.drained > 0, "and the user is told of room");
    close(fd);
    char_close(port);
}

int main(void)
{
    loop = loop_new(NULL);
    test_refusals();
    test_files();
    test_pty();
    test_socket();
    test_pressure();
    loop_free(loop);
    return tap_done();
}

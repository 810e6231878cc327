/* The virtio console: a driver that knows one port, and one that is told of all; both directions
 * with buffers and without. */
#include "backend/char/char.h"
#include "tests/device/virtio_driver.h"

enum { IN, OUT, CONTROL_IN, CONTROL_OUT, PORT1_IN, PORT1_OUT, BUFFER = 0x10000, TEXT = 0x20000 };
enum { READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME };

#define MULTIPORT ((u64)1 << 1)

static Bare bare;
static VirtioDriver driver;
static CharPort *lines[2];
static void *ports[2];

static bool sent(u32 line, const char *text)
{
    char found[64] = {0};

    char_ring_take(lines[line], found, sizeof found - 1);
    return !strcmp(found, text);
}

static void put_text(const char *text)
{
    memcpy(driver_memory(&driver, TEXT), text, strlen(text));
}

static void test_one_port(void)
{
    u32 length;

    driver_set_up(&driver, 0);
    put_text("hello, world");
    OK(driver_do(&driver, OUT, (Piece[]){{TEXT, 5, false}, {TEXT + 5, 7, false}}, 2) == 0 &&
           sent(0, "hello, world"),
       "what is written goes out");
    char_ring_feed(lines[0], "abcdef", 6);
    OK(driver_do(&driver, IN, (Piece[]){{BUFFER, 4, true}}, 1) == 4 &&
           !memcmp(driver_memory(&driver, BUFFER), "abcd", 4),
       "what arrives waits for a buffer");
    OK(driver_do(&driver, IN, (Piece[]){{BUFFER, 100, true}}, 1) == 2, "and so does the rest");
    char_ring_limit(lines[0], 6);
    OK(driver_do(&driver, OUT, (Piece[]){{TEXT, 12, false}}, 1) < 0 && sent(0, "hello,"),
       "a line that takes no more lets the driver wait");
    OK(sent(0, " world") && driver_used(&driver, OUT, &length) >= 0, "until it does");
    char_ring_limit(lines[0], 4096);
    driver_set_config(&driver, 8, 4, '!');
    OK(sent(0, "!"), "an emergency");
    driver_do(&driver, IN, (Piece[]){{BUFFER, 4, false}}, 1);
    OK(!driver_is_broken(&driver), "a buffer is looked at when used");
    char_ring_feed(lines[0], "x", 1);
    OK(driver_is_broken(&driver), "one without room is a mistake");
}

static void tell(u32 port, u16 event, u16 value)
{
    u8 *at = driver_memory(&driver, TEXT);

    put_le(at, port, 4);
    put_le(at + 4, event, 2);
    put_le(at + 6, value, 2);
    driver_do(&driver, CONTROL_OUT, (Piece[]){{TEXT, 8, false}}, 1);
}

/* The next message is that; its buffer goes back to the queue. */
static bool told(u32 port, u16 event, u16 value, const char *name)
{
    u32 length;
    int head = driver_used(&driver, CONTROL_IN, &length);
    Piece buffer = {driver.chains[CONTROL_IN][MAX(head, 0)].address, 256, true};
    const u8 *at = driver_memory(&driver, buffer.address);
    bool same = head >= 0 && length == 8 + strlen(name) && get_le(at, 4) == port &&
                get_le(at + 4, 2) == event && get_le(at + 6, 2) == value &&
                !memcmp(at + 8, name, strlen(name));

    if (head >= 0) {
        driver_add(&driver, CONTROL_IN, &buffer, 1);
        driver_notify(&driver, CONTROL_IN);
    }
    return same;
}

static void add_control_buffers(u16 count)
{
    for (u16 i = 0; i < count; i++) {
        driver_add(&driver, CONTROL_IN, (Piece[]){{BUFFER + 256u * i, 256, true}}, 1);
    }
    driver_notify(&driver, CONTROL_IN);
}

static void test_many_ports(void)
{
    driver_set_up(&driver, MULTIPORT);
    OK(driver_config(&driver, 4, 4) == 7, "how many ports there may be");
    add_control_buffers(1);
    tell(0, READY, 1);
    OK(told(0, ADD, 1, "") && told(1, ADD, 1, "") && !told(2, ADD, 1, ""),
       "the driver is told of its ports");
    tell(0, PORT_READY, 1);
    OK(told(0, CONSOLE, 1, "") && told(0, OPEN, 1, ""), "the first is a console");
    tell(1, PORT_READY, 1);
    OK(told(1, NAME, 1, "org.example.agent") && told(1, OPEN, 1, ""), "the second has a name");
    char_ring_feed(lines[1], "for you", 7);
    OK(driver_do(&driver, PORT1_IN, (Piece[]){{BUFFER + 0x4000, 64, true}}, 1) < 0,
       "nothing comes before a port is open");
    tell(1, OPEN, 1);
    u32 length;
    OK(driver_used(&driver, PORT1_IN, &length) >= 0 && length == 7, "then it does");
    put_text("thanks");
    OK(driver_do(&driver, PORT1_OUT, (Piece[]){{TEXT, 6, false}}, 1) == 0 && sent(1, "thanks"),
       "and back");
    char_ring_event(lines[1], CHAR_DISCONNECTED);
    OK(told(1, OPEN, 0, ""), "the other end goes");
    char_ring_event(lines[1], CHAR_CONNECTED);
    OK(told(1, OPEN, 1, ""), "and comes");
    tell(77, PORT_READY, 1);
    tell(5, OPEN, 1);
    OK(!driver_is_broken(&driver), "ports that do not exist");
}

static void add_port(u32 n, const DeviceDef *def, const char *name)
{
    char *error = NULL;

    ports[n] = device_new(def, &bare.board, NULL);
    if (char_open(&lines[n], "ring", bare.board.loop, &error) < 0 ||
        device_set_backend(ports[n], "chardev", lines[n], &error) < 0 ||
        (name && device_set(ports[n], "name", name, &error) < 0) ||
        device_start(ports[n], &error) < 0 ||
        driver.device->d.def->offers->plug(driver.device, 0, ports[n], -1, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
}

static void test_device(const DeviceDef *def, DriverForm form)
{
    bare_start(&bare);
    driver_start(&driver, &bare, driver_new(&bare, def, form), form);
    add_port(0, &device_virtconsole, NULL);
    add_port(1, &device_virtserialport, "org.example.agent");
    test_one_port();
    test_many_ports();
    driver_stop(&driver);
    for (u32 n = 0; n < COUNT(ports); n++) {
        device_free(ports[n]);
        char_close(lines[n]);
    }
    bare_stop(&bare);
}

int main(void)
{
    for (DriverForm form = DRIVER_SPLIT; form < DRIVER_FORMS; form++) {
        test_device(&device_virtio_serial_pci, form);
        test_device(&device_virtio_serial_device, form);
    }
    return tap_done();
}

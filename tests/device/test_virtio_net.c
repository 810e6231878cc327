/* The virtio network card: frames both ways, buffers that are merged or missing, filters, the
 * link. */
#include "backend/net/net.h"
#include "tests/device/virtio_driver.h"

enum { RECEIVE, SEND, CONTROL, BUFFER = 0x10000, FRAME = 0x20000, COMMAND = 0x30000 };

#define BASIC ((u64)1 << 5 | (u64)1 << 16)
#define MERGE ((u64)1 << 15)
#define FILTERS ((u64)1 << 17 | (u64)1 << 18 | (u64)1 << 19 | (u64)1 << 20 | (u64)1 << 23)

static Bare bare;
static VirtioDriver driver;
static NetPort *port;

/* A frame of that size to an address. */
static void make_frame(u8 *frame, size_t size, const u8 *to)
{
    for (size_t i = 0; i < size; i++) {
        frame[i] = (u8)(i * 7 + i / 256);
    }
    memcpy(frame, to, NET_ADDRESS);
}

static const u8 own[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56}, other[] = {0x52, 0x54, 0, 1, 2, 3},
                group[] = {1, 0, 0x5e, 0, 0, 1}, all[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void feed(size_t size, const u8 *to)
{
    u8 frame[4096];

    make_frame(frame, size, to);
    net_memory_feed(port, frame, size);
}

/* Legacy drivers that don't merge buffers do not have the number of them. */
static u32 header_size(void)
{
    return driver.form == DRIVER_LEGACY && !(driver.features & MERGE) ? 10 : 12;
}

/* What was received is that frame, in `buffers` buffers of `size` bytes one after the other. */
static bool received(size_t frame_size, const u8 *to, u16 buffers, u32 size)
{
    u8 frame[4096], found[4096];
    size_t at = 0;

    make_frame(frame, frame_size, to);
    for (u16 i = 0; i < buffers; i++) {
        u32 length, header = i ? 0 : header_size();
        if (driver_used(&driver, RECEIVE, &length) < 0 || length > size) {
            return false;
        }
        const u8 *buffer = driver_memory(&driver, BUFFER + (u64)i * size);
        if (!i && header == 12 && get_le(buffer + 10, 2) != buffers) {
            return false;
        }
        memcpy(found + at, buffer + header, length - header);
        at += length - header;
    }
    return at == frame_size && !memcmp(frame, found, at);
}

static void add_buffers(u16 count, u32 size)
{
    for (u16 i = 0; i < count; i++) {
        driver_add(&driver, RECEIVE, (Piece[]){{BUFFER + (u64)i * size, size, true}}, 1);
    }
    driver_notify(&driver, RECEIVE);
}

static void test_receive(void)
{
    u32 length;

    driver_set_up(&driver, BASIC);
    add_buffers(1, 2048);
    feed(60, own);
    OK(received(60, own, 1, 2048), "a frame is received");
    OK(driver_take_interrupt(&driver) == VIRTIO_ISR_QUEUE, "with an interrupt");
    feed(1514, own);
    OK(driver_used(&driver, RECEIVE, &length) < 0, "the next waits for a buffer");
    add_buffers(1, 2048);
    OK(received(1514, own, 1, 2048), "and goes into it");
    add_buffers(1, 256);
    feed(1514, own);
    OK(driver_used(&driver, RECEIVE, &length) < 0, "a buffer that is too small gets nothing");
    feed(60, own);
    OK(received(60, own, 1, 256), "but a smaller frame");
    driver_set_up(&driver, BASIC | MERGE);
    add_buffers(2, 256);
    feed(700, own);
    OK(driver_used(&driver, RECEIVE, &length) < 0, "two merged buffers are not enough");
    driver_add(&driver, RECEIVE, (Piece[]){{BUFFER + 512, 256, true}}, 1);
    driver_notify(&driver, RECEIVE);
    OK(received(700, own, 3, 256), "three are");
}

static void test_send(void)
{
    u8 frame[4096], sent[4096];

    driver_set_up(&driver, BASIC);
    Piece pieces[] = {
        {FRAME, header_size(), false}, {FRAME + 0x1000, 14, false}, {FRAME + 0x2000, 1000, false}};
    make_frame(frame, 1014, other);
    memcpy(driver_memory(&driver, FRAME + 0x1000), frame, 14);
    memcpy(driver_memory(&driver, FRAME + 0x2000), frame + 14, 1000);
    OK(driver_do(&driver, SEND, pieces, 3) == 0, "a frame is sent");
    OK(net_memory_take(port, sent, sizeof sent) == 1014 && !memcmp(sent, frame, 1014),
       "without its header");
    u64 before = net_counters(port)->sent_frames;
    net_memory_limit(port, 1);
    driver_do(&driver, SEND, pieces, 3);
    OK(driver_do(&driver, SEND, pieces, 3) < 0, "one that is not taken waits");
    net_memory_take(port, sent, sizeof sent);
    u32 length;
    OK(driver_used(&driver, SEND, &length) >= 0 &&
           net_memory_take(port, sent, sizeof sent) == 1014 &&
           net_counters(port)->sent_frames == before + 2,
       "until it is");
    net_memory_limit(port, 100);
    driver_add(&driver, SEND, (Piece[]){{FRAME, 4, false}}, 1);
    driver_notify(&driver, SEND);
    OK(driver_is_broken(&driver), "a frame needs a header");
}

/* The answer to a command. */
static u8 command(u8 class, u8 number, const void *data, u32 size)
{
    u8 *at = driver_memory(&driver, COMMAND);

    at[0] = class;
    at[1] = number;
    memcpy(at + 2, data, size);
    at[0x1000] = 0xff;
    driver_do(
        &driver, CONTROL,
        (Piece[]){{COMMAND, 2, false}, {COMMAND + 2, size, false}, {COMMAND + 0x1000, 1, true}}, 3);
    return at[0x1000];
}

static bool gets(const u8 *to)
{
    u32 length;
    bool got;

    feed(60, to);
    got = driver_used(&driver, RECEIVE, &length) >= 0;
    if (got) {
        driver_add(&driver, RECEIVE, (Piece[]){{BUFFER, 2048, true}}, 1);
    }
    return got;
}

static void test_filters(void)
{
    static const u8 off[] = {0}, on[] = {1};
    u8 table[8 + 2 * NET_ADDRESS] = {1};

    driver_set_up(&driver, BASIC | FILTERS);
    add_buffers(4, 2048);
    OK(gets(own) && gets(other) && gets(group) && gets(all), "at first it gets everything");
    OK(command(0, 0, off, 1) == 0, "it takes a command");
    OK(gets(own) && !gets(other) && !gets(group) && gets(all), "its own frames");
    memcpy(table + 4, other, NET_ADDRESS);
    table[10] = 1;
    memcpy(table + 14, group, NET_ADDRESS);
    OK(command(1, 0, table, 20) == 0 && gets(other) && gets(group), "those of a table");
    table[10] = 100;
    OK(command(1, 0, table, 20) == 1 && gets(group), "a table that is cut off is refused");
    OK(command(0, 5, on, 1) == 0 && !gets(all), "no broadcasts");
    OK(command(1, 1, group + 0, 5) == 1 && command(7, 0, on, 1) == 1 && command(0, 6, on, 1) == 1,
       "commands that make no sense");
    OK(command(1, 1, other, NET_ADDRESS) == 0 && driver_config(&driver, 5, 1) == other[5] &&
           command(1, 0, (u8[8]){0}, 8) == 0 && gets(other) && !gets(own),
       "another address of its own");
    u8 tagged[60];
    make_frame(tagged, sizeof tagged, other);
    memcpy(tagged + 12, (u8[]){0x81, 0, 0, 5}, 4);
    u32 length;
    net_memory_feed(port, tagged, sizeof tagged);
    bool early = driver_used(&driver, RECEIVE, &length) >= 0;
    OK(command(2, 0, (u8[]){5, 0}, 2) == 0, "a virtual LAN is added");
    net_memory_feed(port, tagged, sizeof tagged);
    OK(!early && driver_used(&driver, RECEIVE, &length) >= 0, "and only then received");
    driver_set_up(&driver, BASIC);
    OK(driver_config(&driver, 5, 1) == own[5], "a reset brings the address back");
}

static void test_link(DriverForm form)
{
    u32 length;

    driver_set_up(&driver, BASIC);
    add_buffers(1, 2048);
    driver_take_interrupt(&driver);
    OK(driver_config(&driver, 6, 2) == 1, "the link is up");
    u64 generation = driver_get(&driver, DRIVER_GENERATION);
    net_set_link(port, false);
    OK(driver_config(&driver, 6, 2) == 0 &&
           (driver_get(&driver, DRIVER_GENERATION) != generation || form == DRIVER_LEGACY) &&
           driver_take_interrupt(&driver) == VIRTIO_ISR_CONFIG,
       "its loss is told");
    feed(60, own);
    net_set_link(port, true);
    OK(driver_used(&driver, RECEIVE, &length) < 0, "what came meanwhile is lost");
}

/* Without a control queue, legacy drivers write it. */
static void test_legacy_address(void)
{
    driver_set_up(&driver, BASIC);
    for (u32 i = 0; i < NET_ADDRESS; i++) {
        driver_set_config(&driver, i, 1, other[i]);
    }
    OK(driver_config(&driver, 0, 4) == get_le(other, 4) &&
           driver_config(&driver, 4, 2) == get_le(other + 4, 2),
       "a legacy driver chooses the address");
}

static void test_device(const DeviceDef *def, DriverForm form)
{
    char *error = NULL;
    void *device;

    bare_start(&bare);
    net_open(&port, "memory", bare.board.loop, &error);
    device = driver_new(&bare, def, form);
    device_set_backend(device, "netdev", port, &error);
    driver_start(&driver, &bare, device, form);
    test_receive();
    test_send();
    test_filters();
    test_link(form);
    if (form == DRIVER_LEGACY) {
        test_legacy_address();
    }
    driver_stop(&driver);
    net_close(port);
    bare_stop(&bare);
}

int main(void)
{
    for (DriverForm form = DRIVER_SPLIT; form < DRIVER_FORMS; form++) {
        test_device(&device_virtio_net_pci, form);
        test_device(&device_virtio_net_device, form);
    }
    return tap_done();
}

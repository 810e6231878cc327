/* The NVMe controller: starting it, its queues, transfers by PRPs and SGLs, features, logs, events.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/block/disk.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"

enum {
    DISK_SIZE = 4 << 20,
    ENTRIES = 16, /* of each queue */
    QUEUES = 0x1000,
    QUEUE = 0x1000, /* submission queues at even numbers of these, completion queues at odd ones */
    LISTS = 0x40000,
    DATA = 0x100000,
    CC = 0x14,
    CSTS = 0x1c,
    DOORBELLS = 0x1000,
    NO_RETRY = 0x4000,
};

static const u64 base = 0xf0000000, msix = 0xf0100000;
static Bare bare;
static PciBus *pci;
static void *nvme;
static Disk *disk;
static BlockNode *node;
static int file;
static u32 stride;

static struct {
    u32 tail, head, phase;
} queues[3];

static u32 last_message;
static u16 next_id;
static u32 result; /* DW0 of the last completion */

static u32 get(u32 offset)
{
    return (u32)map_read(&bare.board.dma, base + offset, 4, NULL);
}

static void set(u32 offset, u32 value)
{
    map_write(&bare.board.dma, base + offset, 4, value, NULL);
}

static u8 *memory(u64 address)
{
    return bare.ram->host + address;
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)line;
    bare_wire(opaque, 0, level);
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address;
    last_message = data;
}

static void quit(void *opaque)
{
    loop_quit(opaque);
}

static void come_round(void)
{
    loop_defer(bare.board.loop, quit, bare.board.loop);
    loop_run(bare.board.loop);
}

static void wait_for_disk(void)
{
    come_round();
    disk_drain(disk);
}

/* -- Setting up */

static void make_disk(void)
{
    BlockOptions *options = block_options_new();
    char path[40];
    BlockError error;

    file = memfd_create("disk", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    block_options_set(options, "driver", "raw");
    if (file < 0 || ftruncate(file, DISK_SIZE) < 0 ||
        block_open(&node, path, options, BLOCK_WRITE | BLOCK_UNMAP | BLOCK_NO_LOCK, &error) < 0) {
        abort();
    }
    block_options_free(options);
    disk = disk_new(&bare.board, node, false, &error);
}

static void start_device(u64 doorbell_stride)
{
    char *error = NULL;

    stride = (u32)doorbell_stride;
    nvme = device_new(&device_nvme, &bare.board, NULL);
    device_set_backend(nvme, "drive", disk, &error);
    device_set(nvme, "serial", "one", &error);
    device_set_u64(nvme, "doorbell_stride", doorbell_stride);
    if (device_start(nvme, &error) < 0 || pci_attach(pci, nvme, 3, 0, &error) < 0) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
    device_reset(nvme);
    pci_config_write(pci, 3, 0, 0x10, 4, (u32)base);
    pci_config_write(pci, 3, 0, 0x20, 4, (u32)msix);
    pci_config_write(pci, 3, 0, 0x04, 2, 6);
}

static void enable(void)
{
    memset(memory(QUEUES), 0, 6 * QUEUE);
    memset(queues, 0, sizeof queues);
    for (unsigned i = 0; i < COUNT(queues); i++) {
        queues[i].phase = 1;
    }
    set(0x24, (ENTRIES - 1) << 16 | (ENTRIES - 1));
    set(0x28, QUEUES);
    set(0x30, QUEUES + QUEUE);
    set(CC, 0x00460001);
}

/* -- Commands */

static void ring(unsigned queue, bool completion, u32 value)
{
    set(DOORBELLS + ((2 * queue + completion) << stride) * 4, value);
}

/* Puts a command into a queue, without ringing; its data are at DATA. */
static u8 *put(unsigned queue, u8 opcode, u32 namespace)
{
    u8 *c = memory(QUEUES + 2 * queue * QUEUE + queues[queue].tail * 64);

    memset(c, 0, 64);
    c[0] = opcode;
    put_le(c + 2, ++next_id, 2);
    put_le(c + 4, namespace, 4);
    put_le(c + 24, DATA, 8);
    put_le(c + 32, DATA + 4096, 8);
    queues[queue].tail = (queues[queue].tail + 1) % ENTRIES;
    return c;
}

/* Whether there is a completion; its status and id are left. */
static bool take(unsigned queue, u32 *status, u16 *id)
{
    const u8 *e = memory(QUEUES + (2 * queue + 1) * QUEUE + queues[queue].head * 16);

    if ((e[14] & 1) != queues[queue].phase) {
        return false;
    }
    *status = (u32)get_le(e + 14, 2) >> 1;
    *id = (u16)get_le(e + 12, 2);
    result = (u32)get_le(e, 4);
    queues[queue].head = (queues[queue].head + 1) % ENTRIES;
    queues[queue].phase ^= queues[queue].head == 0;
    ring(queue, true, queues[queue].head);
    return true;
}

/* Runs what was put; the status of the one command, or ~0 if it does not end. */
static u32 run(unsigned queue)
{
    u32 status;
    u16 id;

    ring(queue, false, queues[queue].tail);
    wait_for_disk();
    return take(queue, &status, &id) && id == next_id ? status : ~0u;
}

static u32 admin(u8 opcode, u32 namespace, u32 dword10, u32 dword11)
{
    u8 *c = put(0, opcode, namespace);

    put_le(c + 40, dword10, 4);
    put_le(c + 44, dword11, 4);
    return run(0);
}

static u32 io(u8 opcode, u64 lba, u32 dword12)
{
    u8 *c = put(1, opcode, 1);

    put_le(c + 40, lba, 8);
    put_le(c + 48, dword12, 4);
    return run(1);
}

static u32 create_queue(u8 opcode, u32 id, u32 size, u32 flags, u64 address)
{
    u8 *c = put(0, opcode, 0);

    put_le(c + 24, address, 8);
    put_le(c + 40, (size - 1) << 16 | id, 4);
    put_le(c + 44, flags, 4);
    return run(0);
}

static void make_queues(void)
{
    for (u32 i = 1; i < COUNT(queues); i++) {
        OK(create_queue(5, i, ENTRIES, i << 16 | 3, QUEUES + (2 * i + 1) * QUEUE) == 0 &&
               create_queue(1, i, ENTRIES, i << 16 | 1, QUEUES + 2 * i * QUEUE) == 0,
           "queues %u", i);
    }
}

static void fill(u8 *bytes, u32 size, u8 seed)
{
    for (u32 i = 0; i < size; i++) {
        bytes[i] = (u8)(seed + i * 7 + (i >> 9));
    }
}

static bool is_on_disk(u64 offset, const u8 *bytes, u32 size)
{
    static u8 found[64 << 10];

    return pread(file, found, size, (off_t)offset) == size && !memcmp(found, bytes, size);
}

/* -- Tests */

static void test_start(void)
{
    OK((get(0) & 0xffff) == 2047 && get(4) >> 5 & 1 && get(8) == 0x10400, "capabilities");
    set(0x24, 0);
    set(CC, 1);
    OK(get(CSTS) == 2, "without queues it does not start");
    set(CC, 0);
    OK(get(CSTS) == 0, "stopped");
    enable();
    OK(get(CSTS) == 1, "ready");
}

static void test_identify(void)
{
    const u8 *b = memory(DATA);

    OK(admin(6, 0, 1, 0) == 0 && !memcmp(b + 4, "one  ", 5) && b[516] == 1, "the controller");
    OK(bare.wires[0].rises > 0 && !bare.wires[0].level, "interrupts by its pin");
    OK(admin(6, 1, 0, 0) == 0 && get_le(b, 8) == DISK_SIZE / 512 && b[130] == 9, "the namespace");
    OK(admin(6, 0, 2, 0) == 0 && get_le(b, 8) == 1, "the list of namespaces");
    OK(admin(6, 1, 3, 0) == 0 && b[0] == 1 && b[1] == 8, "its descriptors");
    OK(admin(6, 2, 0, 0) == (0x00b | NO_RETRY), "there is no other");
    OK(admin(6, 0, 0x77, 0) == (0x002 | NO_RETRY), "nor other data");
    OK(admin(0x7f, 0, 0, 0) == (0x001 | NO_RETRY), "nor such a command");
}

static void test_queues(void)
{
    u64 at = QUEUES + 3 * QUEUE;

    OK(create_queue(5, 64, ENTRIES, 3, at) == (0x101 | NO_RETRY), "too many queues");
    OK(create_queue(5, 1, 1, 3, at) == (0x102 | NO_RETRY), "too small");
    OK(create_queue(5, 1, ENTRIES, 64 << 16 | 3, at) == (0x108 | NO_RETRY), "no such vector");
    OK(create_queue(5, 1, ENTRIES, 3, at + 8) == (0x013 | NO_RETRY), "off a page");
    OK(create_queue(1, 1, ENTRIES, 1 << 16 | 1, at) == (0x100 | NO_RETRY), "no completion queue");
    OK(admin(9, 0, 7, 0x00040004) == 0 && result == (62u << 16 | 62), "the number of queues");
    make_queues();
    OK(create_queue(5, 1, ENTRIES, 3, at) == (0x101 | NO_RETRY), "one that exists");
    OK(admin(4, 0, 2, 0) == (0x10c | NO_RETRY), "one in use");
    OK(admin(0, 0, 2, 0) == 0 && admin(4, 0, 2, 0) == 0, "deleted");
}

static void test_prp(void)
{
    u8 *data = memory(DATA), *list = memory(LISTS), *c;

    fill(data, 0x20000, 1);
    OK(io(1, 10, 7) == 0 && is_on_disk(5120, data, 4096), "one page is written");
    memset(data, 0, 4096);
    OK(io(2, 10, 7) == 0 && is_on_disk(5120, data, 4096), "and read");
    fill(data, 8192, 4);
    c = put(1, 1, 1);
    put_le(c + 24, DATA + 512, 8);
    put_le(c + 32, DATA + 8192, 8);
    put_le(c + 48, 7, 4);
    OK(run(1) == 0 && is_on_disk(0, data + 512, 3584) && is_on_disk(3584, data + 8192, 512),
       "from an offset over two pages");
    for (unsigned i = 0; i < 15; i++) { /* pages in reverse */
        put_le(list + 8 * i, DATA + (15 - i) * 4096u, 8);
    }
    c = put(1, 1, 1);
    put_le(c + 32, LISTS, 8);
    put_le(c + 48, 127, 4);
    bool good = run(1) == 0 && is_on_disk(0, data, 4096);
    for (unsigned i = 0; i < 15; i++) {
        good &= is_on_disk((i + 1) * 4096, data + (15 - i) * 4096, 4096);
    }
    OK(good, "a list");
    put_le(list, DATA + 4, 8);
    c = put(1, 1, 1);
    put_le(c + 32, LISTS, 8);
    put_le(c + 48, 127, 4);
    OK(run(1) == (0x013 | NO_RETRY), "an entry off a page");
    c = put(1, 1, 1);
    put_le(c + 24, (u64)1 << 39, 8);
    OK(run(1) == 0x004, "no memory");
    put_le(memory(LISTS + 4096 - 8), LISTS + 4096 - 8, 8); /* a list that goes round for ever */
    c = put(1, 1, 1);
    put_le(c + 32, LISTS + 4096 - 8, 8);
    put_le(c + 48, 255, 4);
    OK(run(1) == (0x013 | NO_RETRY), "a list without an end");
}

static void put_descriptor(u8 *at, u64 address, u32 size, u8 type)
{
    memset(at, 0, 16);
    put_le(at, address, 8);
    put_le(at + 8, size, 4);
    at[15] = type;
}

static void test_sgl(void)
{
    u8 *data = memory(DATA), *list = memory(LISTS), *c;

    fill(data, 8192, 6);
    c = put(1, 1, 1);
    c[1] = 0x40;
    put_descriptor(c + 24, DATA, 4096, 0);
    put_le(c + 48, 7, 4);
    OK(run(1) == 0 && is_on_disk(0, data, 4096), "one descriptor");
    put_descriptor(list, DATA + 4000, 96, 0);
    put_descriptor(list + 16, DATA, 1000, 0);
    put_descriptor(list + 32, LISTS + 512, 16, 0x30);
    put_descriptor(list + 512, DATA + 5000, 3000, 0);
    c = put(1, 1, 1);
    c[1] = 0x40;
    put_descriptor(c + 24, LISTS, 48, 0x20);
    put_le(c + 48, 7, 4);
    OK(run(1) == 0 && is_on_disk(0, data + 4000, 96) && is_on_disk(96, data, 1000) &&
           is_on_disk(1096, data + 5000, 3000),
       "segments");
    put_descriptor(list + 512, DATA, 2999, 0);
    c = put(1, 1, 1);
    c[1] = 0x40;
    put_descriptor(c + 24, LISTS, 48, 0x20);
    put_le(c + 48, 7, 4);
    OK(run(1) == (0x00f | NO_RETRY), "too short");
    list[15] = 0x50;
    c = put(1, 1, 1);
    c[1] = 0x40;
    put_descriptor(c + 24, LISTS, 48, 0x20);
    put_le(c + 48, 7, 4);
    OK(run(1) == (0x011 | NO_RETRY), "no such type");
    put_descriptor(list, LISTS, 16, 0x20);
    c = put(1, 1, 1);
    c[1] = 0x40;
    put_descriptor(c + 24, LISTS, 16, 0x20);
    OK(run(1) == (0x00e | NO_RETRY), "a segment that leads to itself");
}

static void test_blocks(void)
{
    u8 *data = memory(DATA), zeroes[4096] = {0};

    fill(data, 8192, 7);
    io(1, 0, 15);
    OK(io(5, 0, 7) == 0, "equal");
    data[77] ^= 1;
    OK(io(5, 0, 7) == (0x285 | NO_RETRY), "not equal");
    OK(io(8, 0, 7) == 0 && is_on_disk(0, zeroes, 4096) && is_on_disk(4096, data + 4096, 4096),
       "zeroes");
    u8 *c = put(1, 9, 1);
    put_le(c + 40, 1, 4); /* two ranges */
    put_le(c + 44, 4, 4);
    memset(data, 0, 64);
    put_le(data + 20, 8, 4);
    put_le(data + 24, 8, 8);
    OK(run(1) == 0 && is_on_disk(4096, zeroes, 4096), "deallocated");
    OK(io(0, 0, 0) == 0, "flushed");
    OK(io(2, DISK_SIZE / 512, 0) == (0x080 | NO_RETRY), "beyond the end");
    OK(io(2, 0, 0xffff) == (0x002 | NO_RETRY), "too much at once");
    fill(data, 4096, 1);
    io(1, 0, 7);
    OK(admin(0x80, 1, 0, 0) == 0 && is_on_disk(0, zeroes, 4096), "formatted");
    OK(admin(0x80, 1, 1, 0) == (0x10a | NO_RETRY), "there is one format");
}

/* Commands wait when the completion queue has no room, and none is lost. */
static void test_full(void)
{
    u32 status, ended = 0;
    u16 id;

    for (unsigned i = 0; i < ENTRIES - 1; i++) {
        put(1, 2, 1);
    }
    ring(1, false, queues[1].tail);
    wait_for_disk();
    for (unsigned i = 0; i < ENTRIES - 1; i++) { /* the completion queue is full now */
        put(1, 2, 1);
    }
    ring(1, false, queues[1].tail);
    wait_for_disk();
    while (take(1, &status, &id)) {
        ended += status == 0;
        wait_for_disk();
    }
    OK(ended == 2 * (ENTRIES - 1), "all of two rounds end");
}

static void test_features(void)
{
    OK(admin(10, 0, 6, 0) == 0 && result == 1, "the write cache is on");
    OK(admin(9, 0, 6, 0) == 0 && admin(10, 0, 6, 0) == 0 && result == 0, "and off");
    OK(admin(10, 0, 0x106, 0) == 0 && result == 1, "by default on");
    OK(admin(9, 0, 6 | 1u << 31, 1) == (0x10d | NO_RETRY), "nothing is saved");
    OK(admin(9, 0, 0x55, 1) == (0x002 | NO_RETRY), "no such feature");
}

static void test_logs(void)
{
    const u8 *b = memory(DATA);

    OK(admin(2, ~0u, 127u << 16 | 2, 0) == 0 && get_le(b + 1, 2) == 313 && get_le(b + 80, 8) > 5,
       "health");
    OK(admin(2, ~0u, 127u << 16 | 3, 0) == 0 && b[0] == 1 && !memcmp(b + 8, "1.0", 3), "firmware");
    io(2, DISK_SIZE, 0);
    u16 id = next_id;
    OK(admin(2, ~0u, 15u << 16 | 1, 0) == 0 && get_le(b + 8, 2) == 1 && get_le(b + 10, 2) == id &&
           get_le(b + 12, 2) == (0x080 | NO_RETRY) << 1 && get_le(b + 16, 8) == DISK_SIZE,
       "errors");
    OK(admin(2, ~0u, 0x99, 0) == (0x109 | NO_RETRY), "no such page");
}

static void test_events(void)
{
    u32 status;
    u16 id, first;

    put(0, 12, 0);
    first = next_id;
    ring(0, false, queues[0].tail);
    OK(!take(0, &status, &id), "a request for events waits");
    ring(2, false, 3);
    OK(take(0, &status, &id) && id == first && result == 0x010000, "a doorbell without a queue");
    put(0, 12, 0);
    first = next_id;
    ring(0, false, queues[0].tail);
    ring(1, false, 100);
    OK(!take(0, &status, &id), "the type is masked");
    put(0, 2, ~0u);
    put_le(memory(QUEUES + (queues[0].tail + ENTRIES - 1) % ENTRIES * 64 + 40), 15u << 16 | 1, 4);
    ring(0, false, queues[0].tail);
    bool told = false;
    for (unsigned i = 0; i < 2; i++) {
        told |= take(0, &status, &id) && id == first && result == 0x010100;
    }
    OK(told, "until its log is read");
    put(0, 12, 0);
    first = next_id;
    ring(0, false, queues[0].tail);
    OK(admin(8, 0, (u32)first << 16, 0) == ~0u && take(0, &status, &id) && status == 0,
       "a request is aborted");
}

static void test_messages(void)
{
    for (u32 vector = 0; vector < 3; vector++) {
        map_write(&bare.board.dma, msix + vector * 16, 4, 0xfee00000, NULL);
        map_write(&bare.board.dma, msix + vector * 16 + 8, 4, 100 + vector, NULL);
        map_write(&bare.board.dma, msix + vector * 16 + 12, 4, 0, NULL);
    }
    pci_config_write(pci, 3, 0, 0x42, 2, 0x8000);
    OK(io(2, 0, 0) == 0 && last_message == 101, "the queue's vector");
    OK(admin(10, 0, 6, 0) == 0 && last_message == 100, "and the admin queue's");
}

/* Puts more commands into queue 2 than the controller takes at once. */
static void crowd(u8 opcode)
{
    enum { MANY = 2048, COMMANDS = 0x80000, ENDS = 0xc0000 };

    enable();
    create_queue(5, 2, MANY, 3, ENDS);
    create_queue(1, 2, MANY, 2 << 16 | 1, COMMANDS);
    for (u32 i = 0; i < MANY - 1; i++) {
        u8 *c = memory(COMMANDS + i * 64);
        memset(c, 0, 64);
        c[0] = opcode;
        put_le(c + 2, i, 2);
        put_le(c + 4, 1, 4);
        put_le(c + 24, DATA, 8);
    }
    ring(2, false, MANY - 1);
}

/* Reads end one by one, and zeroes many at a time. */
static void test_crowd(u8 opcode)
{
    u32 status[2] = {~0u, ~0u};
    u16 id;

    set(CC, 0x00460000);
    crowd(opcode);
    set(CC, 0x00460000);
    wait_for_disk();
    OK(get(CSTS) == 0, "stopped while commands wait for others");
    crowd(opcode);
    come_round();
    usleep(20000); /* most end before anybody looks */
    for (unsigned i = 0; i < COUNT(status); i++) {
        put_le(put(0, 0, 0) + 40, 2, 4);
    }
    ring(0, false, queues[0].tail);
    wait_for_disk();
    OK(take(0, &status[0], &id) && take(0, &status[1], &id) && status[0] == 0 &&
           status[1] == (0x101 | NO_RETRY),
       "their queue is deleted once");
}

static void test_shutdown(void)
{
    set(CC, 0x00464001);
    wait_for_disk();
    OK((get(CSTS) >> 2 & 3) == 2, "shut down");
    put(1, 2, 1);
    set(CC, 0x00460000);
    OK(get(CSTS) == 0, "stopped");
}

static void stop_device(void)
{
    device_free(nvme);
}

int main(void)
{
    bare_start(&bare);
    make_disk();
    pci = pci_bus_new(&bare.board, &(PciWires){&bare, interrupt, message});
    start_device(0);
    test_start();
    test_identify();
    test_queues();
    test_prp();
    test_sgl();
    test_blocks();
    test_full();
    test_features();
    test_logs();
    test_events();
    test_messages();
    test_crowd(2);
    test_crowd(8);
    test_shutdown();
    stop_device();
    start_device(2);
    enable();
    make_queues();
    fill(memory(DATA), 4096, 9);
    OK((get(4) & 15) == 2 && io(1, 3, 7) == 0 && is_on_disk(1536, memory(DATA), 4096),
       "doorbells further apart");
    stop_device();
    disk_free(disk);
    block_close(node);
    pci_bus_free(pci);
    bare_stop(&bare);
    return tap_done();
}

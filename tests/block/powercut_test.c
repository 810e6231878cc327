/* Power cuts and failing disks under qcow2, simulated.
 *
 * A filter between format and file notes all writes and flushes. Then power is cut at random
 * moments: what was flushed is there, of the rest each write is there, or not, or its first sectors
 * are. The image must open, have no errors but leaks, and hold every flushed write of the guest.
 * The same filter makes writes fail at random; once it stops, everything must work again, with
 * nothing lost. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/drivers.h"
#include "tests/random.h"
#include "tests/tap.h"

enum { DISK = 4 << 20, UNIT = 512, UNITS = DISK / UNIT, LOG = 100000, STEPS = 400, CUTS = 25 };

/* --- The filter --------------------------------------------------------------------------------
 */

typedef struct Event {
    bool flush;
    u64 offset, bytes;
    u8 *data;
} Event;

static struct {
    Event log[LOG];
    unsigned count;
    bool record;
    unsigned fail_percent;
    int fail_with;
} f;

static u64 randomness = 1;

static u64 below(u64 limit)
{
    return random_next(&randomness) % limit;
}

static int fails(void)
{
    return f.fail_percent && below(100) < f.fail_percent ? f.fail_with : 0;
}

static void note(bool flush, u64 offset, u64 bytes, const BlockVector *data)
{
    if (!f.record || f.count == LOG) {
        return;
    }
    Event *e = &f.log[f.count++];
    *e = (Event){flush, offset, bytes, bytes ? calloc(1, bytes) : NULL};
    if (data) {
        block_vector_load(data, e->data, bytes);
    }
}

static int filter_open(BlockNode *node, const BlockOptions *options, BlockError *error)
{
    (void)options, (void)error;
    node->size = block_size(node->file);
    node->can_grow = true;
    return 0;
}

static int filter_read(BlockNode *node, u64 offset, const BlockVector *data)
{
    return block_readv(node->file, offset, data);
}

static int filter_write(BlockNode *node, u64 offset, const BlockVector *data, unsigned flags)
{
    int result = fails();

    if (result) {
        return result;
    }
    note(false, offset, data->bytes, data);
    result = block_writev(node->file, offset, data, flags);
    node->size = block_size(node->file);
    return result;
}

static int filter_flush(BlockNode *node)
{
    int result = fails();

    if (!result) {
        note(true, 0, 0, NULL);
        result = block_flush(node->file);
    }
    return result;
}

static const BlockDriver filter = {
    .name = "power-cut",
    .kind = BLOCK_PROTOCOL,
    .open = filter_open,
    .read = filter_read,
    .write = filter_write,
    .flush = filter_flush,
};

/* --- The guest ---------------------------------------------------------------------------------
 */

/* What each unit may hold: version numbers. Flushed versions can't be lost, later ones may be
 * there. */
static struct {
    u32 version[UNITS]; /* newest */
    u32 flushed[UNITS]; /* newest that was flushed */
    bool zeroed[UNITS]; /* was ever made zero, which has no version */
    u32 next;
} g;

/* The flushed versions at each flush, for cuts in the past. */
typedef struct Moment {
    unsigned event; /* log length when the flush had returned */
    u32 flushed[UNITS];
} Moment;

static Moment *moments;
static unsigned moment_count;

static void fill(u8 *data, u32 version)
{
    for (u32 i = 0; i < UNIT; i += 4) {
        memcpy(data + i, &version, 4);
    }
}

/* One random step; false if it failed, as it may. */
static bool step(BlockNode *disk)
{
    static u8 data[64 * UNIT];
    u64 kind = below(20), first = below(UNITS), count = 1 + below(MIN(64ull, UNITS - first));
    u32 version = ++g.next;
    bool zero = kind == 17, discard = kind == 18;
    int result;

    if (kind >= 19) {
        if (block_flush(disk)) {
            return false;
        }
        memcpy(g.flushed, g.version, sizeof g.flushed);
        if (f.record) {
            moments[moment_count].event = f.count;
            memcpy(moments[moment_count++].flushed, g.flushed, sizeof g.flushed);
        }
        return true;
    }
    if (discard) { /* then zero, to be sure what is there */
        block_discard(disk, first * UNIT, count * UNIT);
    }
    if (zero || discard) {
        version = 0;
        result = block_zero(disk, first * UNIT, count * UNIT, below(2) ? BLOCK_MAY_UNMAP : 0);
    } else {
        for (u64 i = 0; i < count; i++) {
            fill(data + i * UNIT, version);
        }
        result = block_pwrite(disk, first * UNIT, data, count * UNIT, 0);
    }
    for (u64 i = 0; i < count; i++) {
        /* After a failure the disk holds one or the other. */
        g.version[first + i] = result ? UINT32_MAX : version;
        g.zeroed[first + i] |= zero || discard;
    }
    return !result;
}

static BlockNode *open_image(const char *path, BlockNode **file, BlockNode **cut)
{
    BlockOptions *options = block_options_new();
    BlockNode *disk = NULL;
    BlockError error = {""};

    block_options_set(options, "driver", "file");
    block_open(file, path, options, BLOCK_WRITE | BLOCK_UNMAP, &error);
    block_open_over(cut, &filter, *file, NULL, BLOCK_WRITE | BLOCK_UNMAP, &error);
    if (block_open_over(&disk, &block_driver_qcow2, *cut, NULL, BLOCK_WRITE | BLOCK_UNMAP,
                        &error)) {
        printf("# %s\n", error.text);
    }
    block_options_free(options);
    return disk;
}

static void create(const char *path, const char *options)
{
    BlockOptions *list = block_options_new();
    BlockError error = {""};

    unlink(path);
    block_options_parse(list, options, NULL, &error);
    block_options_setf(list, "size", "%d", DISK);
    if (block_create(&block_driver_qcow2, path, list, &error) < 0) {
        printf("# %s\n", error.text);
    }
    block_options_free(list);
    memset(&g, 0, sizeof g);
}

static void forget_log(void)
{
    for (unsigned i = 0; i < f.count; i++) {
        free(f.log[i].data);
    }
    memset(&f, 0, sizeof f);
    moment_count = 0;
}

static void print_line(void *opaque, const char *line)
{
    (void)opaque;
    if (!strncmp(line, "ERROR", 5)) {
        printf("# %s\n", line);
    }
}

/* --- Power cuts --------------------------------------------------------------------------------
 */

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    static u8 data[1 << 20];

    for (ssize_t bytes; (bytes = read(in, data, sizeof data)) > 0;) {
        if (write(out, data, (size_t)bytes) != bytes) {
            break;
        }
    }
    close(in);
    close(out);
}

/* Makes the image as it may be when power fails after `end` events. */
static void cut_power(const char *path, unsigned end)
{
    unsigned sure = 0;
    int fd = open(path, O_RDWR);

    for (unsigned i = 0; i < end; i++) {
        sure = f.log[i].flush ? i : sure;
    }
    for (unsigned i = 0; i < end; i++) {
        const Event *e = &f.log[i];
        u64 bytes = e->bytes;
        if (i > sure && below(3) == 0) {
            bytes = below(2) ? 0 : below(bytes / 512 + 1) * 512; /* lost, or torn */
        }
        if (bytes && pwrite(fd, e->data, bytes, (off_t)e->offset) < 0) {
            break;
        }
    }
    close(fd);
}

/* Does the image hold what was flushed at the moment, or something newer? */
static bool holds(BlockNode *disk, const Moment *m)
{
    static u8 data[DISK];

    if (block_pread(disk, 0, data, DISK)) {
        return false;
    }
    for (u32 i = 0; i < UNITS; i++) {
        u32 version;
        memcpy(&version, data + (size_t)i * UNIT, 4);
        if (version < m->flushed[i] && (version || !g.zeroed[i])) {
            printf("# unit %u: version %u, flushed was %u\n", i, version, m->flushed[i]);
            return false;
        }
    }
    return true;
}

static bool survives(const char *path, const Moment *m)
{
    BlockOptions *options = block_options_new();
    BlockCheck check = {.report = print_line};
    BlockError error = {""};
    BlockNode *disk;

    block_options_set(options, "driver", "qcow2");
    int result = block_open(&disk, path, options, BLOCK_WRITE | BLOCK_REPAIR, &error);
    block_options_free(options);
    if (result < 0) {
        printf("# %s\n", error.text);
        return false;
    }
    BlockInfo info;
    block_info(disk, &info, NULL);
    bool dirty = info.dirty; /* lazy refcounts: may be wrong, and are said to be */
    block_info_free(&info);
    check.report = dirty ? NULL : check.report;
    bool good = !block_check(disk, 0, &check, &error) && (dirty || !check.corruptions);
    good = good && (!m || holds(disk, m));
    block_close(disk);
    return good;
}

static void test_cuts(const char *options)
{
    const char *path = "powercut.img", *start = "powercut.start", *after = "powercut.after";
    BlockNode *file, *cut;
    unsigned bad = 0;

    forget_log();
    create(path, options);
    copy_file(path, start);
    BlockNode *disk = open_image(path, &file, &cut);
    f.record = true;
    for (unsigned i = 0; i < STEPS; i++) {
        step(disk);
    }
    block_close(disk);
    block_close(cut);
    block_close(file);
    for (unsigned i = 0; i < CUTS; i++) {
        unsigned end = (unsigned)below(f.count + 1);
        const Moment *m = NULL;
        for (unsigned j = 0; j < moment_count && moments[j].event <= end; j++) {
            m = &moments[j];
        }
        copy_file(start, after);
        cut_power(after, end);
        bad += !survives(after, m);
    }
    OK(!bad, "%s: %u of %u power cuts among %u writes lost something", options, bad, CUTS, f.count);
    unlink(path);
    unlink(start);
    unlink(after);
}

/* --- Errors ------------------------------------------------------------------------------------
 */

static void test_errors(const char *options, int error_code)
{
    BlockNode *file, *cut;
    BlockCheck check = {.report = print_line};
    unsigned failed = 0, wrong = 0;
    static u8 data[DISK];

    forget_log();
    create("errors.img", options);
    BlockNode *disk = open_image("errors.img", &file, &cut);
    for (unsigned i = 0; i < STEPS; i++) {
        f.fail_percent = i / 20 % 2 ? 20 : 0;
        f.fail_with = error_code;
        failed += !step(disk);
    }
    f.fail_percent = 0;
    OK(failed && !block_flush(disk), "%s: a flush works after %u failures", options, failed);
    OK(!block_pread(disk, 0, data, DISK), "read all");
    for (u32 i = 0; i < UNITS; i++) {
        u32 version;
        memcpy(&version, data + (size_t)i * UNIT, 4);
        wrong += g.version[i] != UINT32_MAX && version != g.version[i];
    }
    OK(!wrong, "%u units are wrong", wrong);
    BlockError error = {""};
    OK(!block_check(disk, 0, &check, &error) && !check.corruptions, "no corruption %s", error.text);
    OK(!block_close(disk), "close");
    block_close(cut);
    block_close(file);
    unlink("errors.img");
}

int main(void)
{
    moments = malloc(STEPS * sizeof *moments);
    test_cuts("cluster_size=64k");
    test_cuts("cluster_size=512");
    test_cuts("cluster_size=4k,refcount_bits=1");
    test_cuts("cluster_size=4k,lazy_refcounts=on");
    test_cuts("cluster_size=16k,extended_l2=on");
    test_errors("cluster_size=4k", -EIO);
    test_errors("cluster_size=512", -ENOSPC);
    forget_log();
    free(moments);
    return tap_done();
}

/* What every device must do right, whatever it is: each of device_defs, or those named in the
 * arguments, on a bench with dummy back ends (bench.h).
 *
 * - A reset gives the same state whatever was before, but for what DeviceDef.kept lists and memory,
 *   which outlive resets.
 * - What is saved, loaded into another such device and saved again is the same.
 * - A saved state that was cut off is refused, and one with changed bits is refused or survived.
 * - Registers with a field take the bits that their rows say.
 *
 * Random accesses bring the devices into the states that this is tried in; the numbers are the same
 * in each run. */
#include "device/devices.h"
#include "tests/device/bench.h"

enum {
    ROUNDS = 40,      /* states that are saved */
    ACCESSES = 300,   /* before each */
    TRUNCATIONS = 64, /* at most */
    FLIPS = 128,
    DMA_AREA = 0x20000, /* where guests' structures lie */
};

/* -- Random numbers */

static u64 seed;

static u64 random_number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1d;
}

static u32 below(u32 limit)
{
    return (u32)((random_number() >> 32) * limit >> 32);
}

/* As guests write: often small, one bit, all ones, an address in RAM. */
static u64 random_value(void)
{
    switch (below(6)) {
    case 0:
        return below(256);
    case 1:
        return (u64)1 << below(64);
    case 2:
        return ~(u64)0;
    case 3:
        return below(DMA_AREA / 16) * 16;
    default:
        return random_number();
    }
}

/* Most registers are at the beginning of their regions. */
static u64 random_offset(void)
{
    return below(2) ? below(64) : below(2) ? below(4096) : random_number() >> 16;
}

/* -- Use */

static void fill_memory(Bench *bench)
{
    for (unsigned i = 0; i < 64; i++) {
        u64 value = random_value();
        memcpy(bench->bare.ram->host + below(DMA_AREA / 8) * 8, &value, sizeof value);
    }
}

static void use_once(Bench *bench)
{
    u32 target = below(256);
    unsigned size = 1u << below(4);
    u64 offset = random_offset();

    switch (below(16)) {
    case 0:
        bench_wait(bench, (u64)1 << below(20));
        break;
    case 1:
        bench_outside(bench, (u32)random_number());
        break;
    case 2:
        fill_memory(bench);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        bench_read(bench, target, offset, size);
        break;
    default:
        bench_write(bench, target, offset, size, random_value());
    }
}

static void use(Bench *bench, unsigned accesses)
{
    for (unsigned i = 0; i < accesses; i++) {
        use_once(bench);
    }
    bench_calm(bench);
    bench_wait(bench, 0);
}

static u64 now_of(const Bench *bench)
{
    return clock_now(bench->bare.board.clock);
}

/* -- States */

static StateBuffer save(const Bench *bench)
{
    StateBuffer buffer = {0};

    device_save(bench->device, &buffer);
    return buffer;
}

/* What a reset determines. */
static StateBuffer save_what_resets(const Bench *bench)
{
    Device *device = bench->device;
    const DeviceDef *def = device->def;
    DeviceDef part = bench_without_memory(def);
    const StateField *kept = part.kept;
    StateBuffer buffer = {0};

    part.kept = NULL;
    device->def = &part;
    device_save(device, &buffer);
    device->def = def;
    part.kept = kept;
    bench_free_fields(&part);
    return buffer;
}

static bool same(const char *what, const StateBuffer *a, const StateBuffer *b)
{
    size_t at = 0, size = MIN(a->size, b->size);

    while (at < size && a->bytes[at] == b->bytes[at]) {
        at++;
    }
    if (at < size || a->size != b->size) {
        printf("# %s: byte %zu of %zu differs: %#x, %#x\n", what, at, a->size,
               at < size ? a->bytes[at] : 0, at < size ? b->bytes[at] : 0);
        return false;
    }
    return true;
}

/* Compares and frees. */
static bool same_states(const char *what, StateBuffer a, StateBuffer b)
{
    bool equal = same(what, &a, &b);

    state_buffer_free(&a);
    state_buffer_free(&b);
    return equal;
}

static void start(Bench *bench, const DeviceDef *def, u64 now)
{
    char *error = NULL;

    if (!bench_start(bench, def, now, &error)) {
        printf("Bail out! %s\n", error);
        exit(1);
    }
}

/* -- Tests */

/* The device is as a new one is after a reset at the same time. */
static bool is_reset(const char *what, const Bench *bench)
{
    Bench fresh;
    bool equal;

    start(&fresh, ((const Device *)bench->device)->def, now_of(bench));
    bench_reset(&fresh);
    equal = same_states(what, save_what_resets(&fresh), save_what_resets(bench));
    bench_stop(&fresh);
    return equal;
}

static void test_reset(const DeviceDef *def)
{
    Bench bench;
    bool good = true;

    start(&bench, def, 0);
    bench_reset(&bench);
    StateBuffer first = save(&bench);
    bench_reset(&bench);
    OK(same_states("second reset", first, save(&bench)), "%s: a second reset changes nothing",
       def->name);
    for (unsigned i = 0; good && i < ROUNDS; i++) {
        bench_place(&bench);
        use(&bench, ACCESSES);
        bench_reset(&bench);
        good = is_reset("after use", &bench);
    }
    OK(good, "%s: a reset after use gives the first state", def->name);
    bench_stop(&bench);
}

/* Loads the device's state into another and compares what that saves. */
static bool reloads(const Bench *bench)
{
    Bench other;
    StateBuffer saved = save(bench);
    char *error = NULL;
    bool good;

    start(&other, ((const Device *)bench->device)->def, now_of(bench));
    good = device_load(other.device, &saved, &error) == 0;
    if (!good) {
        printf("# %s\n", error);
        free(error);
    }
    good = same_states("loaded", saved, save(&other)) && good;
    bench_stop(&other);
    return good;
}

static void test_reload(const DeviceDef *def)
{
    Bench bench;
    bool good;

    start(&bench, def, 0);
    OK(reloads(&bench), "%s: saved, loaded, saved: the same", def->name);
    good = true;
    for (unsigned i = 0; good && i < ROUNDS; i++) {
        use(&bench, ACCESSES);
        good = reloads(&bench);
        bench_place(&bench);
    }
    OK(good, "%s: the same after use", def->name);
    bench_stop(&bench);
}

static bool refuses(const Bench *bench, StateBuffer *part)
{
    char *error = NULL;
    bool refused = device_load(bench->device, part, &error) < 0 && error;

    free(error);
    return refused && is_reset("after a load that failed", bench);
}

static void test_truncated(const DeviceDef *def)
{
    Bench bench;
    bool good = true;

    start(&bench, def, 0);
    use(&bench, ACCESSES);
    StateBuffer saved = save(&bench);
    for (unsigned i = 0; good && i < MIN((size_t)TRUNCATIONS, saved.size); i++) {
        StateBuffer part = {saved.bytes, i % 2 ? below((u32)saved.size) : i / 2, 0, 0};
        use(&bench, 10);
        good = refuses(&bench, &part);
    }
    OK(good, "%s: a state that was cut off is refused", def->name);
    state_buffer_free(&saved);
    bench_stop(&bench);
}

/* Devices with much memory have their registers at both ends. */
static size_t place_of_flip(size_t size)
{
    size_t near = below(4096);

    return below(2) && near < size ? size - 1 - near : near % size;
}

static void test_damaged(const DeviceDef *def)
{
    Bench bench;
    bool good = true;

    start(&bench, def, 0);
    use(&bench, ACCESSES);
    StateBuffer saved = save(&bench);
    for (unsigned i = 0; good && i < FLIPS; i++) {
        char *error = NULL;
        size_t at = place_of_flip(saved.size);
        u8 old = saved.bytes[at];
        saved.bytes[at] = below(2) ? (u8)(old ^ 1u << below(8)) : (u8)~old;
        saved.at = 0;
        bool loaded = device_load(bench.device, &saved, &error) == 0;
        good = loaded == !error;
        saved.bytes[at] = old;
        free(error);
        use(&bench, 20);
        bench_reset(&bench);
    }
    OK(good && is_reset("after damage", &bench), "%s: a damaged state is refused or survived",
       def->name);
    state_buffer_free(&saved);
    bench_stop(&bench);
}

/* -- Rows */

static u64 field_of(const void *device, const Register *r, u32 index)
{
    u64 value = 0;

    memcpy(&value, (const u8 *)device + r->offset + (size_t)index * r->size, r->size);
    return value;
}

static bool row_holds(const Bench *bench, const RegisterBank *bank, const Register *r, u32 index)
{
    const Region *region = (const Region *)(const void *)((u8 *)bench->device + bank->region);
    unsigned width = r->width ? r->width : bank->width;
    u64 ones = ~(u64)0 >> (64 - 8 * width), field_ones = ~(u64)0 >> (64 - 8 * r->size);
    u64 offset = r->at + (u64)index * (r->stride ? r->stride : width);

    for (unsigned i = 0; i < 16; i++) {
        u64 value = random_value() & ones, old = field_of(bench->device, r, index);
        u64 expected = ((old & ~r->mask) | (value & r->mask)) & ~(value & r->clear) & field_ones;
        region->ops->write(region->opaque, offset, width, value);
        if (field_of(bench->device, r, index) != expected) {
            printf("# %s: %#llx written to %#llx: %#llx, not %#llx\n", r->name,
                   (unsigned long long)value, (unsigned long long)old,
                   (unsigned long long)field_of(bench->device, r, index),
                   (unsigned long long)expected);
            return false;
        }
        if (!r->read && !r->read_at &&
            region->ops->read(region->opaque, offset, width) != (expected & ones)) {
            printf("# %s does not read as its field\n", r->name);
            return false;
        }
    }
    return true;
}

/* A hook may do more with what was written than the row says. */
static bool is_plain(const Register *r)
{
    return r->size && !r->write && !r->write_at;
}

static void test_rows(const DeviceDef *def)
{
    Bench bench;
    unsigned rows = 0;
    bool good = true;

    start(&bench, def, 0);
    for (u32 b = 0; b < def->bank_count; b++) {
        const RegisterBank *bank = &def->banks[b];
        for (u32 i = 0; !bank->raw && i < bank->count; i++) {
            const Register *r = &bank->registers[i];
            for (u32 n = 0; is_plain(r) && n < MAX(r->count, 1u); n++, rows++) {
                good &= row_holds(&bench, bank, r, n);
            }
        }
    }
    if (rows) {
        OK(good, "%s: %u registers take the bits of their masks", def->name, rows);
    }
    bench_stop(&bench);
}

static void test_device(const DeviceDef *def)
{
    seed = 0x9e3779b97f4a7c15;
    test_reset(def);
    test_reload(def);
    test_truncated(def);
    test_damaged(def);
    test_rows(def);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (device_find(argv[i])) {
            test_device(device_find(argv[i]));
        } else {
            OK(0, "there is a device %s", argv[i]);
        }
    }
    for (size_t i = 0; argc == 1 && device_defs[i]; i++) {
        test_device(device_defs[i]);
    }
    return tap_done();
}

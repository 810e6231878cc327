/* The commands of `menura ctl`: a row in the table, and a function. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/input/keymap.h"
#include "control/control.h"
#include "device/devices.h"
#include "device/virtio/balloon.h"

enum { MAX_WORDS = 16 };

void reply_line(ControlReply *reply, const char *format, ...)
{
    char line[1024] = " ";
    va_list args;
    char *more;

    va_start(args, format);
    int length = 1 + vsnprintf(line + 1, sizeof line - 1, format, args);
    va_end(args);
    length = MIN(length, (int)sizeof line - 1);
    more = realloc(reply->text, reply->size + (size_t)length + 2);
    if (!more) {
        abort();
    }
    memcpy(more + reply->size, line, (size_t)length);
    reply->text = more;
    reply->size += (size_t)length;
    reply->text[reply->size++] = '\n';
    reply->text[reply->size] = 0;
}

/* -- Running */

static int run_stop(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine_pause(machine);
    return 0;
}

static int run_cont(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine_resume(machine);
    return 0;
}

static int run_reset(Machine *machine, char **words, u32 count, const char *rest,
                     ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine->board.event(&machine->board, BOARD_RESET, 0);
    return 0;
}

static int run_powerdown(Machine *machine, char **words, u32 count, const char *rest,
                         ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine_power_button(machine);
    return 0;
}

static int run_wakeup(Machine *machine, char **words, u32 count, const char *rest,
                      ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine_wake(machine);
    return 0;
}

static int run_quit(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)rest, (void)reply, (void)error;
    machine_quit(machine, 0);
    return 0;
}

/* -- Screen */

static int run_screenshot(Machine *machine, char **words, u32 count, const char *rest,
                          ControlReply *reply, char **error)
{
    int result = display_screenshot(machine->display, rest);

    (void)words, (void)count, (void)reply;
    if (result == -ENODATA) {
        device_error(error, "the machine shows no picture");
    } else if (result < 0) {
        device_error(error, "cannot write %s: %s", rest, strerror(-result));
    }
    return result;
}

/* Characters outside ASCII are shown as dots. */
static int run_text(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    DisplayText text;

    (void)words, (void)count, (void)rest;
    if (!display_text(machine->display, &text)) {
        device_error(error, "the screen is not in a text mode");
        return -ENODATA;
    }
    for (u32 row = 0; row < text.rows; row++) {
        char line[512];
        u32 length = MIN(text.columns, (u32)sizeof line - 1);
        for (u32 i = 0; i < length; i++) {
            u8 c = text.cells[row * text.columns + i].character;
            line[i] = c >= ' ' && c < 0x7f ? (char)c : c == 0 ? ' ' : '.';
        }
        while (length && line[length - 1] == ' ') {
            length--;
        }
        reply_line(reply, "%.*s", (int)length, line);
    }
    return 0;
}

/* -- Keyboard: keys wait in the machine's queue, so that the guest can follow */

static int run_sendkey(Machine *machine, char **words, u32 count, const char *rest,
                       ControlReply *reply, char **error)
{
    unsigned codes[8];
    u32 n = 0;

    (void)rest, (void)reply;
    for (u32 i = 1; i < count; i++) {
        n = 0;
        for (char *save, *key = strtok_r(words[i], "-", &save); key && n < COUNT(codes);
             key = strtok_r(NULL, "-", &save)) {
            codes[n] = control_key(key);
            if (!codes[n++]) {
                device_error(error, "there is no key '%s'", key);
                return -EINVAL;
            }
        }
        machine_type_keys(machine, codes, n);
    }
    return 0;
}

/* "\n", "\t", "\\" and "\e" in the text are the keys. */
static char next_character(const char **at)
{
    static const char escapes[] = "n\nt\tb\be\x1b\\\\";
    char c = *(*at)++;

    if (c == '\\' && **at) {
        for (const char *e = escapes; *e; e += 2) {
            if (*e == **at) {
                (*at)++;
                return e[1];
            }
        }
    }
    return c;
}

static int run_type(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)words, (void)count, (void)reply;
    while (*rest) {
        bool shift;
        char c = next_character(&rest);
        unsigned codes[2] = {KEY_LEFTSHIFT, keymap_character(c, &shift)};
        if (!codes[1]) {
            device_error(error, "there is no key for the character '%c'", c);
            return -EINVAL;
        }
        machine_type_keys(machine, shift ? codes : codes + 1, shift ? 2 : 1);
    }
    return 0;
}

/* -- Hardware that changes */

/* The first balloon; NULL with *error: there is none. */
static void *find_balloon(Machine *machine)
{
    for (Device *d = machine->devices; d; d = d->next) {
        if (d->def == &device_virtio_balloon_pci || d->def == &device_virtio_balloon_device) {
            return d;
        }
    }
    return NULL;
}

static int no_balloon(char **error)
{
    device_error(error, "the machine has no balloon (--device virtio-balloon-pci)");
    return -ENODEV;
}

/* The memory that the guest is to keep. */
static int run_balloon(Machine *machine, char **words, u32 count, const char *rest,
                       ControlReply *reply, char **error)
{
    void *balloon = find_balloon(machine);
    u64 size, all = machine->ram->size;

    (void)words, (void)count, (void)reply;
    if (!balloon) {
        return no_balloon(error);
    }
    if (block_parse_size(rest, &size) < 0 || size > all) {
        device_error(error, "'%s' is not a size such as 512M, of at most %lluM", rest,
                     (unsigned long long)(all >> 20));
        return -EINVAL;
    }
    balloon_set_target(balloon, all - size);
    return 0;
}

static int run_set_link(Machine *machine, char **words, u32 count, const char *rest,
                        ControlReply *reply, char **error)
{
    NetPort *port = machine_find_netdev(machine, words[1]);

    (void)rest, (void)reply;
    if (!port || count != 3 || (strcmp(words[2], "on") != 0 && strcmp(words[2], "off") != 0)) {
        device_error(error, port ? "set_link %s on|off" : "there is no network '%s'", words[1]);
        return -EINVAL;
    }
    net_set_link(port, !strcmp(words[2], "on"));
    return 0;
}

static int run_block_resize(Machine *machine, char **words, u32 count, const char *rest,
                            ControlReply *reply, char **error)
{
    Disk *disk = machine_find_disk(machine, words[1]);
    BlockError why;
    u64 size;

    (void)rest, (void)reply;
    if (!disk_has_medium(disk)) {
        device_error(error, "there is no disk '%s'", words[1]);
        return -ENOENT;
    }
    if (count != 3 || block_parse_size(words[2], &size) < 0) {
        device_error(error, "block_resize %s SIZE, such as 20G", words[1]);
        return -EINVAL;
    }
    if (disk_resize(disk, size, &why) < 0) {
        device_error(error, "%s", why.text);
        return -EINVAL;
    }
    return 0;
}

/* -- Looking */

static void add_line(void *opaque, const char *text)
{
    reply_line(opaque, "%s", text);
}

static void info_status(Machine *machine, ControlReply *reply)
{
    reply_line(reply, "%s", machine->paused ? "paused" : machine->asleep ? "asleep" : "running");
}

static void info_memory(Machine *machine, ControlReply *reply)
{
    space_print(machine->board.memory, add_line, reply);
}

static void info_ports(Machine *machine, ControlReply *reply)
{
    space_print(machine->board.ports, add_line, reply);
}

static void info_devices(Machine *machine, ControlReply *reply)
{
    for (const Device *d = machine->devices; d; d = d->next) {
        reply_line(reply, "%-20s %s", d->id, d->def->summary);
    }
}

static void info_cpus(Machine *machine, ControlReply *reply)
{
    for (u32 i = 0; i < machine->processor_count; i++) {
        const Processor *p = &machine->processors[i];
        const char *what = p->stopped ? "shut down" : p->halted ? "halted" : "running";
        reply_line(reply, "cpu %u %s", i, what);
    }
}

static void info_chardev(Machine *machine, ControlReply *reply)
{
    for (u32 i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i]) {
            reply_line(reply, "serial%u %s", i, char_name(machine->serial[i]));
        }
    }
    for (const Backend *b = machine->chardevs; b; b = b->next) {
        reply_line(reply, "%s %s", b->id, char_name(b->port));
    }
}

/* The statistics are those that the driver told last: asking makes it tell new ones. */
static void info_balloon(Machine *machine, ControlReply *reply)
{
    void *balloon = find_balloon(machine);
    u64 value;

    if (!balloon) {
        reply_line(reply, "none");
        return;
    }
    reply_line(reply, "actual %llu MiB",
               (unsigned long long)((machine->ram->size - balloon_size(balloon)) >> 20));
    for (u32 tag = 0; tag < BALLOON_STATISTICS; tag++) {
        if (balloon_statistic(balloon, tag, &value)) {
            reply_line(reply, "%s %llu", balloon_statistic_names[tag], (unsigned long long)value);
        }
    }
    balloon_ask_statistics(balloon);
}

static void info_network(Machine *machine, ControlReply *reply)
{
    for (const Backend *b = machine->netdevs; b; b = b->next) {
        const NetCounters *n = net_counters(b->port);
        reply_line(reply,
                   "%s %s link %s sent %llu frames %llu bytes received %llu frames %llu bytes",
                   b->id, net_name(b->port), net_link_is_up(b->port) ? "up" : "down",
                   (unsigned long long)n->sent_frames, (unsigned long long)n->sent_bytes,
                   (unsigned long long)n->received_frames, (unsigned long long)n->received_bytes);
    }
}

static const struct {
    const char *name;
    void (*print)(Machine *machine, ControlReply *reply);
} infos[] = {
    {"block", control_info_block}, {"balloon", info_balloon}, {"network", info_network},
    {"status", info_status},       {"memory", info_memory},   {"ports", info_ports},
    {"devices", info_devices},     {"cpus", info_cpus},       {"chardev", info_chardev},
};

static int run_info(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)rest;
    for (size_t i = 0; count == 2 && i < COUNT(infos); i++) {
        if (!strcmp(infos[i].name, words[1])) {
            infos[i].print(machine, reply);
            return 0;
        }
    }
    device_error(error, "info status|memory|ports|devices|cpus|block|chardev|network|balloon");
    return -EINVAL;
}

static int run_help(Machine *machine, char **words, u32 count, const char *rest,
                    ControlReply *reply, char **error)
{
    (void)machine, (void)words, (void)count, (void)rest, (void)error;
    for (const ControlCommand *c = control_commands; c->name; c++) {
        reply_line(reply, "%-12s%-14s%s", c->name, c->arguments, c->summary);
    }
    return 0;
}

const ControlCommand control_commands[] = {
    {"stop", "", "pause the machine", run_stop},
    {"cont", "", "let it go on", run_cont},
    {"reset", "", "press the reset button", run_reset},
    {"powerdown", "", "press the power button", run_powerdown},
    {"wakeup", "", "wake it, if it sleeps (S3)", run_wakeup},
    {"quit", "", "switch it off at once", run_quit},
    {"screenshot", "FILE", "write the picture to a PNG or PPM file", run_screenshot},
    {"text", "", "print the characters of the screen", run_text},
    {"sendkey", "KEY[-KEY]...", "press keys together: ctrl-alt-delete", run_sendkey},
    {"type", "TEXT", "type a text; \\n is Enter", run_type},
    {"balloon", "SIZE", "memory that the guest is to keep", run_balloon},
    {"block_resize", "ID SIZE", "make a disk larger or smaller", run_block_resize},
    {"set_link", "ID on|off", "plug a network's cable in, or pull it", run_set_link},
    {"change", "DRIVE FILE", "put an image into a CD or floppy drive", control_change},
    {"eject", "[-f] DRIVE", "take it out; -f: even if the guest says no", control_eject},
    {"info", "WHAT", "status, memory, ports, devices, cpus, block, chardev, network, balloon",
     run_info},
    {"help", "", "list the commands", run_help},
    {0},
};

int control_run(Machine *machine, const char *line, ControlReply *reply, char **error)
{
    char copy[CONTROL_LINE], *words[MAX_WORDS], *save;
    const char *rest = line + strcspn(line, " ");
    u32 count = 0;

    snprintf(copy, sizeof copy, "%s", line);
    rest += *rest == ' ';
    for (char *word = strtok_r(copy, " ", &save); word && count < MAX_WORDS;
         word = strtok_r(NULL, " ", &save)) {
        words[count++] = word;
    }
    for (const ControlCommand *c = control_commands; count && c->name; c++) {
        if (!strcmp(c->name, words[0])) {
            if (*c->arguments && !*rest) {
                device_error(error, "%s needs %s", c->name, c->arguments);
                return -EINVAL;
            }
            return c->run(machine, words, count, rest, reply, error);
        }
    }
    device_error(error, "unknown command '%s'; `help` lists them", count ? words[0] : "");
    return -EINVAL;
}
